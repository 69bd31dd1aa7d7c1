/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mem.c - registration by the protocol of the paper (Seifert, Rehm: Reliably
 * Locking System V Shared Memory, section 4.1.2): the library locks the area
 * first, then asks the agent, and does what the answer says to the whole
 * segment.  An agent that holds memory by itself (nic->pinned) is only asked.
 */
#include "vipl/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kagent/host/limit.h"
#include "vipl/hold.h"
#include "vipl/watch.h"

pthread_mutex_t vip_mem_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ka_range ranges[KA_MAX_RANGES]; /* under vip_mem_lock: an answer's */

void vip_mem_forked(void)
{
	pthread_mutex_init(&vip_mem_lock, NULL);
	vip_gone_forked();
	vip_cache_forked();
	vip_hold_forked();
	vip_watch_forked();
	vip_touch_forked();
}

int vip_mem_open(struct vip_nic *nic)
{
	int err = nic->pinned ? 0 : vip_hold_open();

	if (err)
		return err;
	err = vip_touch_open();
	if (err)
		return err;
	err = vip_cache_open(nic);
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

static void unlock_range(uint64_t start, uint64_t length)
{
	vip_watch_remove(start, length);
	vip_hold_unlock(start, length);
}

static void obey(const struct ka_rep *rep)
{
	uint32_t i;

	for (i = 0; i < rep->nranges && i < KA_MAX_RANGES; i++)
		unlock_range(ranges[i].start, ranges[i].length);
}

int vip_mem_ask(struct ka_agent *agent, struct ka_req *req, struct ka_rep *rep)
{
	int err = ka_agent_call(agent, req, rep, NULL, ranges, sizeof(ranges));

	obey(rep);
	return err;
}

/* A question whose answer tells what to unlock; vip_mem_lock held. */
static int call_locked(struct vip_nic *nic, struct ka_req *req, struct ka_rep *rep)
{
	int err;

	req->nic = nic->id;
	err = ka_agent_call(nic->agent, req, rep, NULL, ranges, sizeof(ranges));
	if (err)
		vip_why("%s", rep->text);
	else if (req->op == KA_OP_MEM_DEREG)
		vip_links_quiet(nic); /* no peer is still writing there */
	obey(rep);
	return err;
}

/* For cover(): the first interval of [start, end) that a region of another handle holds. */
struct cover {
	const struct vip_nic *without;
	uint64_t start, end; /* looked at */
	uint64_t from, to;   /* found */
};

static void cover_by(struct cover *c, uint64_t start, uint64_t length)
{
	if (length && start < c->end && start + length > c->start && start < c->from) {
		c->from = start;
		c->to = start + length;
	}
}

static void cover(void *obj, void *arg)
{
	const struct vip_nic *nic = obj;
	const struct vip_region *r;
	struct cover *c = arg;

	if (nic == c->without || nic->pinned)
		return;
	for (r = nic->region; r < nic->region + KA_TPT_ENTRIES; r++) {
		cover_by(c, r->start, r->length);
		cover_by(c, r->seg.start, r->seg.length);
	}
}

/* Unlock what no other handle of the process holds, for the agent that knew has died. */
static void unlock_alone(const struct vip_nic *nic, uint64_t start, uint64_t length)
{
	struct cover c = {.without = nic, .start = start, .end = start + length};

	while (c.start < c.end) {
		c.from = c.to = c.end;
		vip_obj_each(VIP_T_NIC, cover, &c);
		if (c.from > c.start)
			unlock_range(c.start, c.from - c.start);
		c.start = c.to;
	}
}

static void set_look(struct vip_nic *nic, const struct vip_region *r, bool look)
{
	size_t i = (size_t)(r - nic->region);

	nic->looks[i / 64] &= ~(1ull << i % 64);
	nic->looks[i / 64] |= (uint64_t)look << i % 64;
}

static void drop_region(struct vip_nic *nic, struct vip_region *r)
{
	if (nic->ops->mem_drop && r->handle)
		nic->ops->mem_drop(nic, r->handle);
	vip_hold_unpin(r->pin);
	set_look(nic, r, false);
	ka_store_release(&r->handle, 0);
	/* what was seen of it stays: a receiver may have found the handle just before */
	r->start = r->length = 0;
	r->seg = (struct ka_range){0};
	r->pin = 0;
	r->watched = false;
	r->kept = (struct vip_kept){0};
}

void vip_mem_close(struct vip_nic *nic)
{
	struct ka_req req = {.op = KA_OP_CLOSE};
	struct ka_rep rep;
	struct vip_region *r;

	pthread_mutex_lock(&vip_mem_lock);
	vip_cache_close(nic);
	if (call_locked(nic, &req, &rep) && !nic->pinned) {
		for (r = nic->region; r < nic->region + KA_TPT_ENTRIES; r++) {
			unlock_alone(nic, r->start, r->length);
			unlock_alone(nic, r->seg.start, r->seg.length);
		}
	}
	for (r = nic->region; r < nic->region + KA_TPT_ENTRIES; r++) {
		if (r->length)
			drop_region(nic, r);
	}
	pthread_mutex_unlock(&vip_mem_lock);
}

/* ---- registration ---- */

/* Said by VipRegisterMem, when it is not tried again. */
#define fail(code, ...) (vip_why(__VA_ARGS__), (code))

/* The agent said no, and why.  Memory that cannot be pinned (-EOPNOTSUPP) lacks what it takes. */
static VIP_RETURN refused(int err)
{
	return err == -EFBIG || err == -E2BIG || err == -EOPNOTSUPP ? VIP_ERROR_RESOURCE : vip_return(err);
}

/* Why could proper memory not be locked?  Its lock is undone. */
static VIP_RETURN lock_failed(int err, uint64_t start, uint64_t length)
{
	char text[KA_TEXT + 100];

	if (vip_hold_level() >= LMM_LOCKED && limit_exceeded(length, text, sizeof(text)))
		return fail(VIP_ERROR_RESOURCE, "%s", text);
	/* mlock has one code for what cannot be made present and for too many mappings */
	if (err == -EFAULT ||
	    (err == -ENOMEM && madvise((void *)start, length, MADV_POPULATE_READ))) /* NOLINT */
		return fail(VIP_INVALID_PARAMETER,
			    "0x%lx..0x%lx is not wholly accessible: its file ends before, or the file system "
			    "behind it (/dev/shm?) is full",
			    start, start + length);
	return fail(VIP_ERROR_RESOURCE, "cannot lock %lu KiB: %s%s", length / 1024, strerror(-err),
		    err == -ENOMEM ? "; does the process have vm.max_map_count mappings?" : "");
}

/* Why could it not be pinned, which VIPL_LOCK_LEVEL demands? */
static VIP_RETURN pin_failed(int err, uint64_t start, uint64_t length)
{
	uint64_t kib = limit_kib();

	if (err == -EFAULT)
		return fail(VIP_ERROR_RESOURCE,
			    "0x%lx..0x%lx cannot be pinned: it is read-only, or a file on a disk; "
			    "VIPL_LOCK_LEVEL=locked is enough for it",
			    start, start + length);
	if (err == -ENOMEM && kib != UINT64_MAX)
		return fail(
			VIP_ERROR_RESOURCE,
			"cannot pin %lu KiB: pins count against RLIMIT_MEMLOCK (%lu KiB) apart from locks, "
			"for all processes of the user; raise it ('ulimit -l'), or use "
			"VIPL_LOCK_LEVEL=locked",
			length / 1024, kib);
	return fail(VIP_ERROR_RESOURCE, "cannot pin %lu KiB: %s; VIPL_LOCK_LEVEL=locked does without",
		    length / 1024,
		    err == -ENOSPC  ? "the process has no more than 16383 pins"
		    : err == -EFBIG ? "one pin has no more than 1 GiB"
				    : strerror(-err));
}

/* The agent's verdict: the whole attachment @seg, unless that is more than the process may lock. */
static void lock_segment(struct vip_nic *nic, uint64_t start, uint32_t handle, const struct ka_range *seg,
			 struct vip_region *r)
{
	struct ka_req by_page = {.op = KA_OP_MEM_REFUSED, .u.mem = {.start = start, .handle = handle}},
		      undo = {.op = KA_OP_MEM_UNCOVERED,
			      .u.reg = {.start = seg->start, .length = seg->length}};
	struct ka_rep rep;

	r->seg = *seg;
	if (vip_hold_segment(r->seg.start, r->seg.length) == 0)
		return;
	r->seg.length = 0;
	call_locked(nic, &by_page, &rep);
	call_locked(nic, &undo, &rep); /* what was locked before it failed */
}

/* From here on its handle can be used. */
static void know_region(struct vip_nic *nic, VIP_MEM_HANDLE mem, const struct vip_region *r)
{
	struct vip_region *to = vip_region_of(nic, mem);

	*to = *r;
	ka_store_release(&to->handle, mem);
	set_look(nic, to, r->seen.look != VIP_LOOK_NOT);
}

/* Lock, watch, pin [start, end) and ask the agent; what fails is undone. */
static VIP_RETURN enter(struct vip_nic *nic, struct ka_req *req, uint64_t start, uint64_t end,
			VIP_MEM_HANDLE *out)
{
	struct ka_req undo = {.op = KA_OP_MEM_UNCOVERED, .u.reg = req->u.reg};
	struct vip_region r = {.start = start, .length = end - start};
	uint32_t *level = &req->u.reg.level;
	struct ka_tpt_entry e = {0};
	struct ka_rep rep;
	int locked, pinned = 0, err;
	bool again;

	vip_gone_lose_old(&r);
	*level = vip_hold_level();
	req->u.reg.watched = vip_watch_add(start, r.length);
	locked = vip_hold_lock(start, r.length);
	if (locked == 0 && *level == LMM_PINNED)
		pinned = vip_hold_pin(start, r.length, &r.pin);
	if (pinned)
		*level = LMM_LOCKED;
	/* a pin may still be had, when what is kept goes */
	again = (pinned == -ENOMEM || pinned == -ENOSPC) && vip_cache_any();
	if (locked || (pinned && vip_hold_strict()) || again ||
	    (*level == LMM_MAPPED && !req->u.reg.watched)) {
		err = call_locked(nic, &undo, &rep);
		if (err == -ECONNRESET)
			unlock_alone(NULL, start, r.length);
		if (err == -EINVAL || err == -E2BIG) /* the memory itself is to blame */
			return refused(err);
		if (locked)
			return lock_failed(locked, start, r.length);
		if (pinned)
			return pin_failed(pinned, start, r.length);
		return fail(VIP_ERROR_RESOURCE,
			    "the memory is neither locked nor watched, so nobody would notice when it goes "
			    "away: use VIPL_LOCK_LEVEL=locked (within RLIMIT_MEMLOCK, 'ulimit -l'), or allow "
			    "userfaultfd, which cannot watch a read-only attachment");
	}
	err = call_locked(nic, req, &rep);
	if (err) {
		vip_hold_unpin(r.pin);
		if (err == -ECONNRESET)
			unlock_alone(NULL, start, r.length);
		return refused(err);
	}
	*out = rep.u.mem.handle;
	if (rep.u.mem.verdict == LMM_MLOCK_LOCK)
		lock_segment(nic, req->u.reg.start, *out, &rep.u.mem.seg, &r);
	ka_tpt_get(nic->tpt, *out, &e);
	if (nic->ops->mem_add && nic->ops->mem_add(nic, &e, start, r.length)) {
		vip_mem_leave(nic, req->u.reg.start, *out);
		vip_hold_unpin(r.pin);
		return VIP_ERROR_RESOURCE;
	}
	r.watched = req->u.reg.watched;
	vip_gone_see(&e, req->u.reg.watched, &r);
	know_region(nic, *out, &r);
	return VIP_SUCCESS;
}

/* The agent holds it, and takes it out of the TPT before the call that unmaps it returns. */
static VIP_RETURN enter_pinned(struct vip_nic *nic, struct ka_req *req, uint64_t start, uint64_t end,
			       VIP_MEM_HANDLE *out)
{
	struct vip_region r = {.start = start, .length = end - start};
	struct ka_tpt_entry e = {0};
	struct ka_rep rep;
	int err = call_locked(nic, req, &rep);

	if (err)
		return refused(err);
	*out = rep.u.mem.handle;
	ka_tpt_get(nic->tpt, *out, &e);
	vip_gone_see_pinned(&e, &r);
	know_region(nic, *out, &r);
	return VIP_SUCCESS;
}

int vip_mem_leave(struct vip_nic *nic, uint64_t start, VIP_MEM_HANDLE mem)
{
	struct ka_req req = {.op = KA_OP_MEM_DEREG, .u.mem = {.start = start, .handle = mem}};
	struct ka_rep rep;
	int err = call_locked(nic, &req, &rep);

	if (!err)
		drop_region(nic, vip_region_of(nic, mem));
	return err;
}

static VIP_RETURN register_locked(struct vip_nic *nic, struct ka_req *req, VIP_MEM_HANDLE *out)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = req->u.reg.start & ~(page - 1),
		 end = (req->u.reg.start + req->u.reg.length + page - 1) & ~(page - 1);
	VIP_RETURN r;

	if (nic->pinned)
		return enter_pinned(nic, req, start, end, out);
	vip_gone_begin(start, end);
	r = enter(nic, req, start, end, out);
	if (vip_gone_end() && r == VIP_SUCCESS) {
		vip_mem_leave(nic, req->u.reg.start, *out);
		r = fail(VIP_INVALID_PARAMETER, "0x%lx..0x%lx went away while it was being registered", start,
			 end);
	}
	return r;
}

/* What is kept for later makes room for what is wanted now. */
static VIP_RETURN register_anew(struct vip_nic *nic, struct ka_req *req, VIP_MEM_HANDLE *out)
{
	VIP_RETURN r;

	do
		r = register_locked(nic, req, out);
	while (r == VIP_ERROR_RESOURCE && vip_cache_make_room(nic, req->u.reg.length));
	return r == VIP_SUCCESS ? r : vip_fail_at(VIP_LOG_WARN, "VipRegisterMem", r, NULL);
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
		r = vip_mem_attr("VipRegisterMem", nic, attr, &req.u.reg.tag, &req.u.reg.rdma);
		if (r == VIP_SUCCESS) {
			pthread_mutex_lock(&vip_mem_lock);
			r = vip_cache_take(nic, &req, out) ? VIP_SUCCESS : register_anew(nic, &req, out);
			pthread_mutex_unlock(&vip_mem_lock);
		}
	}
	pthread_mutex_unlock(&nic->lock);
	return r;
}

static int deregister(struct vip_nic *nic, uint64_t start, VIP_MEM_HANDLE mem)
{
	if (ka_idle(nic->idle, mem)) {
		vip_why("memory handle 0x%x is deregistered already", mem);
		return -EINVAL;
	}
	return vip_cache_keep(nic, start, mem) ? 0 : vip_mem_leave(nic, start, mem);
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
		pthread_mutex_lock(&vip_mem_lock);
		err = deregister(nic, (uintptr_t)addr, mem);
		pthread_mutex_unlock(&vip_mem_lock);
		if (err)
			r = vip_fail(vip_return(err), NULL);
	}
	pthread_mutex_unlock(&nic->lock);
	return r;
}

VIP_EXPORT VIP_RETURN VipxHold(VIP_NIC_HANDLE h, struct vipx_hold *out)
{
	const struct vip_nic *nic = vip_nic_find(h);

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!out)
		return vip_bad("no place for the answer");
	memset(out, 0, sizeof(*out));
	if (nic->pinned) {
		out->level = LMM_PINNED;
		out->watched = 1;
		snprintf(out->level_why, sizeof(out->level_why), "pinned by the kernel module");
		snprintf(out->watched_why, sizeof(out->watched_why),
			 "the kernel module sees when registered memory goes away");
		return VIP_SUCCESS;
	}
	vip_hold_tell(out);
	vip_watch_tell(out);
	return VIP_SUCCESS;
}
