/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ptag.c - protection tags, and the attributes of registered memory.  A NIC handle has a default tag, which
 * has no VIPL handle: NULL stands for it.
 */
#include "vipl/choices.h"
#include "vipl/mem.h"
#include "vipl/watch.h"

uint32_t vip_tag_of(struct vip_nic *nic, VIP_PROTECTION_HANDLE h)
{
	struct vip_ptag *p;

	if (!h) /* docs/spec-choices.md K-6 */
		return vip_choices()->null_ptag ? nic->default_tag : 0;
	p = vip_obj_find(h, VIP_T_PTAG);
	return p && p->nic == nic ? p->id : 0;
}

VIP_EXPORT VIP_RETURN VipCreatePtag(VIP_NIC_HANDLE h, VIP_PROTECTION_HANDLE *out)
{
	struct vip_nic *nic = vip_nic_find(h);
	struct ka_req req = {.op = KA_OP_PTAG_CREATE};
	struct vip_ptag *p;
	struct ka_rep rep;
	VIP_RETURN r;
	bool fresh;

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!out)
		return vip_bad("no place for the tag");
	pthread_mutex_lock(&nic->lock);
	p = vip_obj_is(nic, h) ? vip_obj_new(VIP_T_PTAG, sizeof(*p), &fresh) : NULL;
	if (!p) {
		r = vip_fail(VIP_ERROR_RESOURCE, "no memory for a protection tag");
	} else if (vip_call(nic, &req, &rep, NULL)) {
		vip_obj_free(p);
		r = vip_fail(vip_return(rep.err), NULL);
	} else {
		p->nic = nic;
		p->id = rep.u.ptag.tag;
		*out = vip_obj_publish(p);
		r = VIP_SUCCESS;
	}
	pthread_mutex_unlock(&nic->lock);
	return r;
}

VIP_EXPORT VIP_RETURN VipDestroyPtag(VIP_NIC_HANDLE h, VIP_PROTECTION_HANDLE tag)
{
	struct vip_nic *nic = vip_nic_find(h);
	struct ka_req req = {.op = KA_OP_PTAG_DESTROY};
	struct vip_ptag *p;
	struct ka_rep rep;
	VIP_RETURN r;

	if (!nic)
		return vip_bad("not a NIC handle");
	pthread_mutex_lock(&nic->lock);
	p = vip_obj_find(tag, VIP_T_PTAG);
	if (!vip_obj_is(nic, h) || !p || p->nic != nic) {
		r = vip_bad("not a protection tag of this NIC handle");
	} else {
		req.u.ptag.tag = p->id;
		pthread_mutex_lock(&vip_mem_lock);
		vip_cache_drop_tag(nic, p->id);
		pthread_mutex_unlock(&vip_mem_lock);
		if (vip_call(nic, &req, &rep, NULL)) {
			r = vip_fail(vip_return(rep.err), NULL);
		} else {
			vip_obj_retire(p);
			vip_obj_free(p);
			r = VIP_SUCCESS;
		}
	}
	pthread_mutex_unlock(&nic->lock);
	return r;
}

/* ---- the attributes of registered memory ---- */

VIP_RETURN vip_mem_attr(const char *call, struct vip_nic *nic, const VIP_MEM_ATTRIBUTES *a, uint32_t *tag,
			uint32_t *rdma)
{
	if (!a && !vip_choices()->null_mem_attr)
		return vip_fail_at(VIP_LOG_WARN, call, VIP_INVALID_PARAMETER, "no memory attributes");
	*tag = vip_tag_of(nic, a ? a->Ptag : NULL);
	*rdma = 0;
	if (!*tag)
		return vip_fail_at(VIP_LOG_WARN, call, VIP_INVALID_PTAG,
				   "not a protection tag of this NIC handle");
	if (!a)
		return VIP_SUCCESS;
	if (a->EnableRdmaRead && !nic->attr.RDMAReadSupport)
		return vip_fail_at(VIP_LOG_WARN, call, VIP_INVALID_RDMAREAD, "%s does not support RDMA read",
				   nic->device);
	*rdma = (a->EnableRdmaWrite ? KA_R_RDMA_WRITE : 0) | (a->EnableRdmaRead ? KA_R_RDMA_READ : 0);
	return VIP_SUCCESS;
}

VIP_EXPORT VIP_RETURN VipSetMemAttributes(VIP_NIC_HANDLE h, VIP_PVOID addr, VIP_MEM_HANDLE mem,
					  VIP_MEM_ATTRIBUTES *attr)
{
	struct vip_nic *nic = vip_nic_find(h);
	struct ka_req req = {.op = KA_OP_MEM_SET, .u.mem = {.start = (uintptr_t)addr, .handle = mem}};
	struct ka_rep rep;
	VIP_RETURN r;

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!attr)
		return vip_bad("no attributes");
	pthread_mutex_lock(&nic->lock);
	if (!vip_obj_is(nic, h)) {
		r = vip_bad("not a NIC handle");
	} else {
		r = vip_mem_attr(__func__, nic, attr, &req.u.mem.tag, &req.u.mem.rdma);
		if (r == VIP_SUCCESS && ka_idle(nic->idle, mem))
			r = vip_bad("the region with this handle is deregistered");
		else if (r == VIP_SUCCESS && vip_call(nic, &req, &rep, NULL))
			r = vip_fail(vip_return(rep.err), NULL);
	}
	pthread_mutex_unlock(&nic->lock);
	return r;
}

struct tag_search {
	const struct vip_nic *nic;
	uint32_t id;
	void *handle;
};

static void match_tag(void *obj, void *arg)
{
	struct vip_ptag *p = obj;
	struct tag_search *s = arg;

	if (p->nic == s->nic && p->id == s->id)
		s->handle = vip_obj_handle(p);
}

VIP_EXPORT VIP_RETURN VipQueryMem(VIP_NIC_HANDLE h, VIP_PVOID addr, VIP_MEM_HANDLE mem,
				  VIP_MEM_ATTRIBUTES *out)
{
	struct vip_nic *nic = vip_nic_find(h);
	struct ka_tpt_entry e;
	VIP_RETURN r;

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!out)
		return vip_bad("no place for the attributes");
	vip_watch_settle();
	pthread_mutex_lock(&nic->lock);
	if (!vip_obj_is(nic, h) || ka_idle(nic->idle, mem) || !ka_tpt_get(nic->tpt, mem, &e) ||
	    (uintptr_t)addr < e.start || (uintptr_t)addr - e.start >= e.length) {
		r = vip_bad("the address is not in a region with this handle");
	} else if (!e.tag) {
		r = vip_bad("the memory of this region has gone: deregister it");
	} else {
		/* the default tag has no handle: NULL stands for it */
		struct tag_search s = {nic, e.tag, NULL};

		vip_obj_each(VIP_T_PTAG, match_tag, &s);
		*out = (VIP_MEM_ATTRIBUTES){s.handle, !!(e.rights & KA_R_RDMA_WRITE),
					    !!(e.rights & KA_R_RDMA_READ)};
		r = VIP_SUCCESS;
	}
	pthread_mutex_unlock(&nic->lock);
	return r;
}
