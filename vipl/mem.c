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
 *
 * Memory that goes away while it is registered (watch.h) is taken out of the
 * TPT at once, without mem_lock; what must be unlocked then is left for later,
 * when mem_lock is free.
 */
#include "vipl/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vipl/hold.h"
#include "vipl/touch.h"
#include "vipl/watch.h"

static pthread_mutex_t mem_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ka_range ranges[KA_MAX_RANGES]; /* under mem_lock: an answer's */

/* What is being registered: it may go away before the agent has it in the TPT. */
static struct {
	uint64_t start, end; /* end 0: nothing */
	uint32_t gone;
} coming;

/* The watching thread's: what it has to unlock when nobody registers. */
static struct ka_range later[64];
static uint32_t nlater;

void vip_mem_forked(void)
{
	pthread_mutex_init(&mem_lock, NULL);
	coming.end = 0;
	nlater = 0;
	vip_hold_forked();
	vip_watch_forked();
	vip_touch_forked();
}

int vip_mem_open(struct vip_nic *nic)
{
	int err = vip_hold_open();

	if (err)
		return err;
	if (!nic->region)
		nic->region = calloc(KA_TPT_ENTRIES, sizeof(*nic->region)); /* pages come as they are used */
	if (!nic->region) {
		vip_why("no memory for the table of regions");
		return -ENOMEM;
	}
	return 0;
}

static struct vip_region *region_of(const struct vip_nic *nic, uint32_t handle)
{
	return &nic->region[(handle & 0xffff) % KA_TPT_ENTRIES];
}

/* Only where nothing but shmdt can happen is memory touched directly, and not by a foreign thread. */
bool vip_mem_get(const struct vip_nic *nic, uint32_t handle, void *to, const void *user, size_t n,
		 bool foreign)
{
	enum vip_look look = (enum vip_look)ka_load_relaxed(&region_of(nic, handle)->look);

	return vip_touch_read(to, (uintptr_t)user, n, look, foreign || look != VIP_LOOK_ONE);
}

bool vip_mem_put(const struct vip_nic *nic, uint32_t handle, void *user, const void *from, size_t n,
		 bool foreign)
{
	enum vip_look look = (enum vip_look)ka_load_relaxed(&region_of(nic, handle)->look);

	return vip_touch_write((uintptr_t)user, from, n, look, foreign || look != VIP_LOOK_ONE);
}

static void unlock_range(uint64_t start, uint64_t length)
{
	vip_watch_remove(start, length);
	vip_hold_unlock(start, length);
}

static void obey(const struct ka_rep *rep)
{
	uint32_t i;

	if (rep->u.mem.verdict != LMM_MLOCK_UNLOCK)
		return;
	for (i = 0; i < rep->nranges && i < KA_MAX_RANGES; i++)
		unlock_range(ranges[i].start, ranges[i].length);
}

/* A question whose answer tells what to unlock; mem_lock held. */
static int call_locked(struct vip_nic *nic, struct ka_req *req, struct ka_rep *rep)
{
	int err;

	req->nic = nic->id;
	err = ka_agent_call(nic->agent, req, rep, NULL, ranges, sizeof(ranges));
	if (err)
		vip_why("%s", rep->text);
	else if (req->op == KA_OP_MEM_DEREG)
		nic->ops->mem_quiet(nic); /* no peer is still writing there */
	obey(rep);
	return err;
}

static void drop_region(struct vip_region *r)
{
	vip_hold_unpin(r->pin);
	*r = (struct vip_region){0};
}

void vip_mem_close(struct vip_nic *nic)
{
	struct ka_req req = {.op = KA_OP_CLOSE};
	struct ka_rep rep;
	struct vip_region *r;

	pthread_mutex_lock(&mem_lock);
	if (call_locked(nic, &req, &rep)) {
		/* nobody is left to ask what else covers them */
		for (r = nic->region; r < nic->region + KA_TPT_ENTRIES; r++) {
			if (r->length)
				unlock_range(r->start, r->length);
			if (r->seg.length)
				unlock_range(r->seg.start, r->seg.length);
		}
	}
	for (r = nic->region; r < nic->region + KA_TPT_ENTRIES; r++) {
		if (r->length)
			drop_region(r);
	}
	pthread_mutex_unlock(&mem_lock);
}

/* ---- memory that has gone; all of this runs in the watching thread ---- */

void vip_mem_gone(struct ka_agent *agent, uint64_t start, uint64_t end)
{
	static struct ka_range freed[KA_MAX_RANGES];
	struct ka_req req = {.op = KA_OP_MEM_GONE, .u.reg = {.start = start, .length = end - start}};
	struct ka_rep rep;
	uint32_t i;

	if (start < ka_load_acquire(&coming.end) && end > ka_load_relaxed(&coming.start))
		__atomic_store_n(&coming.gone, 1, __ATOMIC_SEQ_CST);
	if (ka_agent_call(agent, &req, &rep, NULL, freed, sizeof(freed)) ||
	    rep.u.mem.verdict != LMM_MLOCK_UNLOCK)
		return;
	for (i = 0; i < rep.nranges; i++)
		vip_mem_later(freed[i].start, freed[i].length);
}

void vip_mem_later(uint64_t start, uint64_t length)
{
	/* a range that finds no room stays locked, which is safe */
	if (nlater < sizeof(later) / sizeof(later[0]))
		later[nlater++] = (struct ka_range){start, length};
}

bool vip_mem_untidy(void)
{
	return nlater > 0;
}

void vip_mem_tidy(struct ka_agent *agent)
{
	struct ka_req req = {.op = KA_OP_MEM_UNCOVERED};
	struct ka_rep rep;

	if (pthread_mutex_trylock(&mem_lock))
		return;
	/* what was registered anew since then is covered, and stays */
	for (; nlater; nlater--) {
		req.u.reg.start = later[nlater - 1].start;
		req.u.reg.length = later[nlater - 1].length;
		if (ka_agent_call(agent, &req, &rep, NULL, ranges, sizeof(ranges)) == 0)
			obey(&rep);
	}
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

/* Why could [start, start + length), which is proper memory, not be locked?  Returns what the caller says. */
static VIP_RETURN lock_failed(int err, uint64_t start, uint64_t length)
{
	unsigned long locked = locked_kib();
	struct rlimit lim = {RLIM_INFINITY, RLIM_INFINITY};

	getrlimit(RLIMIT_MEMLOCK, &lim);
	if (lim.rlim_cur != RLIM_INFINITY && (err == EPERM || err == EAGAIN || err == ENOMEM) &&
	    locked * 1024 + length > lim.rlim_cur)
		return vip_fail_at(
			VIP_LOG_WARN, "VipRegisterMem", VIP_ERROR_RESOURCE,
			"cannot lock %lu KiB: the locked-memory limit RLIMIT_MEMLOCK of this process is %lu "
			"KiB, of which %lu KiB are in use; raise it with 'ulimit -l', "
			"/etc/security/limits.conf (memlock) or LimitMEMLOCK= of the service",
			length / 1024, (unsigned long)lim.rlim_cur / 1024, locked);
	/* mlock has one code for what cannot be made present and for too many mappings */
	if (err == EFAULT ||
	    (err == ENOMEM && madvise((void *)start, length, MADV_POPULATE_READ))) /* NOLINT */
		return vip_fail_at(VIP_LOG_WARN, "VipRegisterMem", VIP_INVALID_PARAMETER,
				   "0x%lx..0x%lx is not wholly accessible: its file ends before, or the file "
				   "system behind it (/dev/shm?) is full",
				   start, start + length);
	return vip_fail_at(VIP_LOG_WARN, "VipRegisterMem", VIP_ERROR_RESOURCE, "cannot lock %lu KiB: %s%s",
			   length / 1024, strerror(err),
			   err == ENOMEM ? "; does the process have vm.max_map_count mappings?" : "");
}

/* The pin of a region, when the level is so high; VIP_SUCCESS also when less will do. */
static VIP_RETURN pin(uint64_t start, uint64_t length, uint32_t *level, uint16_t *slot)
{
	int err;

	*slot = 0;
	*level = vip_hold_level();
	if (*level < LMM_PINNED)
		return VIP_SUCCESS;
	err = vip_hold_pin(start, length, slot);
	if (!err)
		return VIP_SUCCESS;
	*level = LMM_LOCKED;
	if (!vip_hold_strict())
		return VIP_SUCCESS;
	if (err == -EFAULT)
		return vip_fail_at(VIP_LOG_WARN, "VipRegisterMem", VIP_ERROR_RESOURCE,
				   "0x%lx..0x%lx cannot be pinned: it is read-only, or a file on a disk; "
				   "VIPL_LOCK_LEVEL=locked is enough for it",
				   start, start + length);
	return vip_fail_at(VIP_LOG_WARN, "VipRegisterMem", VIP_ERROR_RESOURCE,
			   "cannot pin %lu KiB: %s; pins count against RLIMIT_MEMLOCK a second time "
			   "(all of the user's processes): raise it ('ulimit -l'), or ask for "
			   "VIPL_LOCK_LEVEL=locked",
			   length / 1024, strerror(-err));
}

/* The agent said no, and why. */
static VIP_RETURN refused(int err)
{
	return vip_fail_at(VIP_LOG_WARN, "VipRegisterMem",
			   err == -EFBIG || err == -E2BIG ? VIP_ERROR_RESOURCE : vip_return(err), NULL);
}

/* What must be looked at before each use; what is not locked cannot be known by its lock. */
static enum vip_look look_at(uint32_t kind, bool watched)
{
	if (vip_hold_level() == LMM_MAPPED)
		return VIP_LOOK_NOT;
	if (!watched)
		return VIP_LOOK_ALL;
	return kind == LMM_SYSV ? VIP_LOOK_ONE : kind == LMM_MIXED ? VIP_LOOK_ALL : VIP_LOOK_NOT;
}

/*
 * Lock, watch and pin.  What the caller says when that fails; when the memory
 * itself is at fault, the agent knows more, and is asked to undo anyway.
 */
static VIP_RETURN hold(struct vip_region *r, struct ka_req *req)
{
	int err = vip_hold_lock(r->start, r->length);

	if (err)
		return lock_failed(-err, r->start, r->length);
	req->u.reg.watched = vip_watch_add(r->start, r->length);
	if (!req->u.reg.watched && vip_hold_level() == LMM_MAPPED)
		return vip_fail_at(VIP_LOG_WARN, "VipRegisterMem", VIP_ERROR_RESOURCE,
				   "the memory is neither locked nor watched, so nobody would notice when "
				   "it goes away: raise RLIMIT_MEMLOCK ('ulimit -l'), or allow userfaultfd");
	return pin(r->start, r->length, &req->u.reg.level, &r->pin);
}

/* Hold [start, end), then ask the agent; what fails is undone. */
static VIP_RETURN enter(struct vip_nic *nic, struct ka_req *req, uint64_t start, uint64_t end,
			VIP_MEM_HANDLE *out)
{
	struct ka_req undo = {.op = KA_OP_MEM_UNCOVERED, .u.reg = req->u.reg};
	struct vip_region r = {.start = start, .length = end - start};
	VIP_RETURN result = hold(&r, req);
	struct ka_rep rep;
	int err;

	if (result != VIP_SUCCESS) {
		err = call_locked(nic, &undo, &rep);
		return err == -EINVAL || err == -E2BIG ? refused(err) : result;
	}
	err = call_locked(nic, req, &rep);
	if (err == -ECONNRESET)
		unlock_range(start, end - start); /* nobody is left to ask what else covers it */
	if (err) {
		vip_hold_unpin(r.pin);
		return refused(err);
	}
	*out = rep.u.mem.handle;
	if (rep.u.mem.verdict == LMM_MLOCK_LOCK) {
		r.seg = rep.u.mem.seg;
		if (vip_hold_lock(r.seg.start, r.seg.length)) {
			/* more than the process may lock: page by page, then */
			struct ka_req too_large = {.op = KA_OP_MEM_REFUSED,
						   .u.mem = {.start = req->u.reg.start, .handle = *out}};

			call_locked(nic, &too_large, &rep);
			undo.u.reg.start = r.seg.start; /* what was locked before it failed */
			undo.u.reg.length = r.seg.length;
			call_locked(nic, &undo, &rep);
			r.seg.length = 0;
		}
	}
	r.look = look_at(nic->ops->mem_kind(nic, *out), req->u.reg.watched);
	*region_of(nic, *out) = r;
	return VIP_SUCCESS;
}

static int leave(struct vip_nic *nic, uint64_t start, VIP_MEM_HANDLE mem)
{
	struct ka_req req = {.op = KA_OP_MEM_DEREG, .u.mem = {.start = start, .handle = mem}};
	struct ka_rep rep;
	int err = call_locked(nic, &req, &rep);

	if (!err)
		drop_region(region_of(nic, mem));
	return err;
}

static VIP_RETURN register_locked(struct vip_nic *nic, struct ka_req *req, VIP_MEM_HANDLE *out)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = req->u.reg.start & ~(page - 1),
		 end = (req->u.reg.start + req->u.reg.length + page - 1) & ~(page - 1);
	VIP_RETURN r;

	ka_store_relaxed(&coming.gone, 0);
	ka_store_relaxed(&coming.start, start);
	__atomic_store_n(&coming.end, end, __ATOMIC_SEQ_CST);
	r = enter(nic, req, start, end, out);
	vip_watch_settle();
	ka_store_release(&coming.end, 0);
	if (r == VIP_SUCCESS && ka_load_acquire(&coming.gone)) {
		leave(nic, req->u.reg.start, *out);
		r = vip_fail_at(VIP_LOG_WARN, "VipRegisterMem", VIP_INVALID_PARAMETER,
				"0x%lx..0x%lx went away while it was being registered", start, end);
	}
	return r;
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
	VIP_RETURN r = VIP_SUCCESS;
	int err;

	if (!nic)
		return vip_bad("not a NIC handle");
	pthread_mutex_lock(&nic->lock);
	if (!vip_obj_is(nic, h)) {
		r = vip_bad("not a NIC handle");
	} else {
		pthread_mutex_lock(&mem_lock);
		err = leave(nic, (uintptr_t)addr, mem);
		pthread_mutex_unlock(&mem_lock);
		if (err)
			r = vip_fail(vip_return(err), NULL);
	}
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
	} else if (!tag) {
		r = vip_bad("the memory of this region has gone: deregister it");
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

VIP_EXPORT VIP_RETURN VipxHold(VIP_NIC_HANDLE h, struct vipx_hold *out)
{
	if (!vip_nic_find(h))
		return vip_bad("not a NIC handle");
	if (!out)
		return vip_bad("no place for the answer");
	memset(out, 0, sizeof(*out));
	vip_hold_tell(out);
	vip_watch_tell(out);
	return VIP_SUCCESS;
}
