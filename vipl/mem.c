/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mem.c - protection tags, and registration by the protocol of the paper
 * (Seifert, Rehm: Reliably Locking System V Shared Memory, section 4.1.2): the
 * library locks the area first, then asks the agent, and does what the answer
 * says to the whole segment.
 *
 * mem_lock makes lock, question and obedience one step: between the agent's
 * answer to one thread and its munlock, no other thread can register a page
 * that is about to be unlocked.  It is process-wide, as locked pages are.
 */
#include "vipl/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static pthread_mutex_t mem_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ka_range ranges[KA_MAX_RANGES]; /* under mem_lock: an answer's */

void vip_mem_forked(void)
{
	pthread_mutex_init(&mem_lock, NULL);
}

static void *at(uint64_t addr)
{
	return (void *)(uintptr_t)addr; /* NOLINT(performance-no-int-to-ptr) */
}

static void unlock_range(uint64_t start, uint64_t length)
{
	munlock(at(start), length);
}

/* mem_lock held. */
static int call_locked(struct vip_nic *nic, struct ka_req *req, struct ka_rep *rep)
{
	uint32_t i;
	int err;

	req->nic = nic->id;
	err = ka_agent_call(nic->agent, req, rep, NULL, ranges, sizeof(ranges));
	if (err)
		vip_why("%s", rep->text);
	if (rep->u.mem.verdict == KA_MLOCK_UNLOCK) {
		for (i = 0; i < rep->nranges && i < KA_MAX_RANGES; i++)
			unlock_range(ranges[i].start, ranges[i].length);
	}
	return err;
}

int vip_mem_call(struct vip_nic *nic, const struct ka_req *req, struct ka_rep *rep)
{
	struct ka_req mine = *req;
	int err;

	pthread_mutex_lock(&mem_lock);
	err = call_locked(nic, &mine, rep);
	pthread_mutex_unlock(&mem_lock);
	return err;
}

void vip_mem_forget(struct vip_nic *nic)
{
	pthread_mutex_lock(&mem_lock);
	nic->ops->mem_each(nic, unlock_range);
	pthread_mutex_unlock(&mem_lock);
}

/* ---- protection tags ---- */

uint32_t vip_tag_of(struct vip_nic *nic, VIP_PROTECTION_HANDLE h)
{
	struct vip_ptag *p;

	if (!h) /* docs/spec-choices.md K-6 */
		return nic->default_tag;
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

/* ---- registration ---- */

static unsigned long locked_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmLck: %lu kB", &kib) == 1)
			break;
	}
	if (f)
		fclose(f);
	return kib;
}

static bool all_mapped(uint64_t start, uint64_t length)
{
	unsigned char pages[4096];
	uint64_t part = sizeof(pages) * (uint64_t)sysconf(_SC_PAGESIZE), i;

	for (i = 0; i < length; i += part) {
		if (mincore(at(start + i), length - i < part ? length - i : part, pages) && errno == ENOMEM)
			return false;
	}
	return true;
}

/* Why could [start, start + length) not be locked?  Returns what the caller says. */
static VIP_RETURN lock_failed(int err, uint64_t start, uint64_t length)
{
	unsigned long locked = locked_kib();
	struct rlimit lim = {RLIM_INFINITY, RLIM_INFINITY};

	if (err == ENOMEM && !all_mapped(start, length))
		return vip_fail_at(VIP_LOG_WARN, "VipRegisterMem", VIP_INVALID_PARAMETER,
				   "0x%lx..0x%lx is not wholly mapped memory of this process", start,
				   start + length);
	getrlimit(RLIMIT_MEMLOCK, &lim);
	if (lim.rlim_cur != RLIM_INFINITY && (err == EPERM || err == EAGAIN || err == ENOMEM) &&
	    locked * 1024 + length > lim.rlim_cur)
		return vip_fail_at(
			VIP_LOG_WARN, "VipRegisterMem", VIP_ERROR_RESOURCE,
			"cannot lock %lu KiB: the locked-memory limit RLIMIT_MEMLOCK of this process is %lu "
			"KiB, of which %lu KiB are in use; raise it with 'ulimit -l', "
			"/etc/security/limits.conf (memlock) or LimitMEMLOCK= of the service",
			length / 1024, (unsigned long)lim.rlim_cur / 1024, locked);
	if (err == ENOMEM || err == EINVAL)
		return vip_fail_at(VIP_LOG_WARN, "VipRegisterMem", VIP_INVALID_PARAMETER,
				   "0x%lx..0x%lx is not wholly accessible memory of this process", start,
				   start + length);
	return vip_fail_at(VIP_LOG_WARN, "VipRegisterMem", VIP_ERROR_RESOURCE, "mlock of %lu KiB: %s",
			   length / 1024, strerror(err));
}

static VIP_RETURN register_locked(struct vip_nic *nic, struct ka_req *req, VIP_MEM_HANDLE *out)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = req->u.reg.start & ~(page - 1),
		 end = (req->u.reg.start + req->u.reg.length + page - 1) & ~(page - 1);
	struct ka_req undo = {.op = KA_OP_MEM_UNCOVERED, .u.reg = req->u.reg};
	struct ka_rep rep;
	VIP_RETURN r;
	int err;

	if (mlock(at(start), end - start)) {
		r = lock_failed(errno, start, end - start);
		call_locked(nic, &undo, &rep); /* what was locked before it failed */
		return r;
	}
	err = call_locked(nic, req, &rep);
	if (err == -ECONNRESET)
		unlock_range(start, end - start); /* nobody is left to ask what else covers it */
	if (err)
		return vip_fail_at(VIP_LOG_WARN, "VipRegisterMem",
				   err == -EFBIG ? VIP_ERROR_RESOURCE : vip_return(err), NULL);
	if (rep.u.mem.verdict == KA_MLOCK_LOCK && mlock(at(rep.u.mem.seg.start), rep.u.mem.seg.length)) {
		struct ka_req back = {.op = KA_OP_MEM_DEREG,
				      .u.mem = {.start = req->u.reg.start, .handle = rep.u.mem.handle}};

		r = lock_failed(errno, rep.u.mem.seg.start, rep.u.mem.seg.length);
		call_locked(nic, &back, &rep);
		return r;
	}
	*out = rep.u.mem.handle;
	return VIP_SUCCESS;
}

/* The attributes of a region as the agent wants them; NULL: docs/spec-choices.md K-16. */
static VIP_RETURN mem_attr(struct vip_nic *nic, const VIP_MEM_ATTRIBUTES *a, uint32_t *tag, uint32_t *rdma)
{
	*tag = vip_tag_of(nic, a ? a->Ptag : NULL);
	*rdma = 0;
	if (!*tag)
		return vip_fail(VIP_INVALID_PTAG, "not a protection tag of this NIC handle");
	if (!a)
		return VIP_SUCCESS;
	if (a->EnableRdmaRead && !nic->attr.RDMAReadSupport)
		return vip_fail(VIP_INVALID_RDMAREAD, "%s does not support RDMA read", nic->device);
	*rdma = (a->EnableRdmaWrite ? KA_R_RDMA_WRITE : 0) | (a->EnableRdmaRead ? KA_R_RDMA_READ : 0);
	return VIP_SUCCESS;
}

VIP_EXPORT VIP_RETURN VipRegisterMem(VIP_NIC_HANDLE h, VIP_PVOID addr, VIP_ULONG length,
				     VIP_MEM_ATTRIBUTES *attr, VIP_MEM_HANDLE *out)
{
	struct vip_nic *nic = vip_nic_find(h);
	struct ka_req req = {.op = KA_OP_MEM_REG, .u.reg = {.start = (uintptr_t)addr, .length = length}};
	VIP_RETURN r;

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!out)
		return vip_bad("no place for the memory handle");
	if (length == 0 || (uintptr_t)addr + length < length || (uintptr_t)addr + length > (uintptr_t)-8192)
		return vip_fail(VIP_INVALID_PARAMETER, "%lu bytes at %p are no memory", length, addr);
	if (length > nic->attr.MaxRegisterBlockBytes)
		return vip_fail(VIP_ERROR_RESOURCE,
				"%lu bytes: one registration has at most %lu "
				"(MaxRegisterBlockBytes); register it in parts",
				length, nic->attr.MaxRegisterBlockBytes);
	pthread_mutex_lock(&nic->lock);
	if (!vip_obj_is(nic, h)) {
		r = vip_bad("not a NIC handle");
	} else {
		r = mem_attr(nic, attr, &req.u.reg.tag, &req.u.reg.rdma);
		if (r == VIP_SUCCESS) {
			pthread_mutex_lock(&mem_lock);
			r = register_locked(nic, &req, out);
			pthread_mutex_unlock(&mem_lock);
		}
	}
	pthread_mutex_unlock(&nic->lock);
	return r;
}

VIP_EXPORT VIP_RETURN VipDeregisterMem(VIP_NIC_HANDLE h, VIP_PVOID addr, VIP_MEM_HANDLE mem)
{
	struct vip_nic *nic = vip_nic_find(h);
	struct ka_req req = {.op = KA_OP_MEM_DEREG, .u.mem = {.start = (uintptr_t)addr, .handle = mem}};
	struct ka_rep rep;
	VIP_RETURN r = VIP_SUCCESS;

	if (!nic)
		return vip_bad("not a NIC handle");
	pthread_mutex_lock(&nic->lock);
	if (!vip_obj_is(nic, h))
		r = vip_bad("not a NIC handle");
	else if (vip_mem_call(nic, &req, &rep))
		r = vip_fail(vip_return(rep.err), NULL);
	pthread_mutex_unlock(&nic->lock);
	return r;
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
		r = mem_attr(nic, attr, &req.u.mem.tag, &req.u.mem.rdma);
		if (r == VIP_SUCCESS && vip_call(nic, &req, &rep, NULL))
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
	uint32_t tag, rights;
	VIP_RETURN r;

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!out)
		return vip_bad("no place for the attributes");
	pthread_mutex_lock(&nic->lock);
	if (!vip_obj_is(nic, h) || nic->ops->mem_query(nic, mem, (uintptr_t)addr, &tag, &rights)) {
		r = vip_bad("the address is not in a region with this handle");
	} else {
		/* the default tag has no handle: NULL stands for it */
		struct tag_search s = {nic, tag, NULL};

		vip_obj_each(VIP_T_PTAG, match_tag, &s);
		*out = (VIP_MEM_ATTRIBUTES){s.handle, !!(rights & KA_R_RDMA_WRITE),
					    !!(rights & KA_R_RDMA_READ)};
		r = VIP_SUCCESS;
	}
	pthread_mutex_unlock(&nic->lock);
	return r;
}
