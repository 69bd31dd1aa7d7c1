/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mem.c - registration by the protocol of the paper (Seifert, Rehm: Reliably
 * Locking System V Shared Memory, section 4.1.2): the library locks the area
 * first, then asks the agent, and does what the answer says to the whole
 * segment.
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
#include <unistd.h>

#include "kagent/host/limit.h"
#include "vipl/hold.h"
#include "vipl/object.h"
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

/* How long VipCloseNic waits for that at most; the agent may have died. */
#define TIDY_MS 200u

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
	err = vip_touch_open();
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

/*
 * For a copy by the kernel: from here on the region does not go, neither by
 * being deregistered (the queue's lock is held) nor with its memory, whose
 * loss is read of only after vip_touch_end().
 */
static bool begin(const struct vip_nic *nic, uint32_t handle)
{
	struct ka_tpt_entry e;

	for (;;) {
		vip_touch_begin();
		if (!ka_load_acquire(&vip_revoking))
			break;
		vip_touch_end();
		vip_watch_wait();
	}
	return nic->ops->mem_find(nic, handle, &e) && e.tag != 0;
}

/*
 * What is known of the memory of a region, and whether these bytes are still of
 * it; NULL: not.  A handle is not told before its region is known here; who
 * guesses it earlier is refused.
 */
static const struct vip_seen *look(const struct vip_nic *nic, uint32_t handle, const void *user, size_t n)
{
	const struct vip_region *r = region_of(nic, handle);

	return ka_load_acquire(&r->handle) == handle && vip_touch_same((uintptr_t)user, n, &r->seen)
		       ? &r->seen
		       : NULL;
}

bool vip_mem_begin(const struct vip_nic *nic, uint32_t handle, const void *user, size_t n)
{
	if (!look(nic, handle, user, n))
		return false;
	if (begin(nic, handle))
		return true;
	vip_touch_end();
	return false;
}

bool vip_mem_get(const struct vip_nic *nic, uint32_t handle, void *to, const void *user, size_t n,
		 bool foreign)
{
	const struct vip_seen *seen = look(nic, handle, user, n);
	bool ok;

	if (!seen)
		return false;
	if (seen->steady && !foreign) {
		memcpy(to, user, n);
		return true;
	}
	ok = begin(nic, handle) && vip_touch_read(to, (uintptr_t)user, n);
	vip_touch_end();
	return ok;
}

bool vip_mem_put(const struct vip_nic *nic, uint32_t handle, void *user, const void *from, size_t n,
		 bool foreign)
{
	const struct vip_seen *seen = look(nic, handle, user, n);
	bool ok;

	if (!seen)
		return false;
	if (seen->steady && !foreign) {
		memcpy(user, from, n);
		return true;
	}
	ok = begin(nic, handle) && vip_touch_write((uintptr_t)user, from, n);
	vip_touch_end();
	return ok;
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

	for (r = nic->region; nic != c->without && r < nic->region + KA_TPT_ENTRIES; r++) {
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
	vip_hold_unpin(r->pin);
	set_look(nic, r, false);
	*r = (struct vip_region){0};
}

void vip_mem_close(struct vip_nic *nic)
{
	struct ka_req req = {.op = KA_OP_CLOSE};
	struct ka_rep rep;
	struct vip_region *r;

	pthread_mutex_lock(&mem_lock);
	if (call_locked(nic, &req, &rep)) {
		for (r = nic->region; r < nic->region + KA_TPT_ENTRIES; r++) {
			unlock_alone(nic, r->start, r->length);
			unlock_alone(nic, r->seg.start, r->seg.length);
		}
	}
	for (r = nic->region; r < nic->region + KA_TPT_ENTRIES; r++) {
		if (r->length)
			drop_region(nic, r);
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
	if (ka_agent_call(agent, &req, &rep, NULL, freed, sizeof(freed)))
		return;
	for (i = 0; i < rep.nranges; i++)
		vip_mem_later(freed[i].start, freed[i].length);
}

void vip_mem_later(uint64_t start, uint64_t length)
{
	/* a range that finds no room stays locked, which is safe */
	if (nlater < sizeof(later) / sizeof(later[0])) {
		later[nlater] = (struct ka_range){start, length};
		ka_store_release(&nlater, nlater + 1);
	}
}

bool vip_mem_untidy(void)
{
	return ka_load_acquire(&nlater) > 0;
}

void vip_mem_wait_tidy(void)
{
	uint64_t end = vip_now_ms() + TIDY_MS;

	vip_watch_settle();
	while (vip_mem_untidy() && vip_now_ms() < end)
		usleep(1000);
}

void vip_mem_tidy(struct ka_agent *agent)
{
	struct ka_req req = {.op = KA_OP_MEM_UNCOVERED};
	struct ka_rep rep;

	if (ka_agent_is_dead(agent) || pthread_mutex_trylock(&mem_lock))
		return;
	/* what was registered anew since then is covered, and stays */
	while (nlater && !ka_agent_is_dead(agent)) {
		req.u.reg.start = later[nlater - 1].start;
		req.u.reg.length = later[nlater - 1].length;
		ka_agent_call(agent, &req, &rep, NULL, ranges, sizeof(ranges));
		obey(&rep);
		if (!ka_agent_is_dead(agent))
			ka_store_release(&nlater, nlater - 1);
	}
	pthread_mutex_unlock(&mem_lock);
}

/* ---- registration ---- */

#define fail(code, ...) vip_fail_at(VIP_LOG_WARN, "VipRegisterMem", (code), __VA_ARGS__)

/* The agent said no, and why. */
static VIP_RETURN refused(int err)
{
	return fail(err == -EFBIG || err == -E2BIG ? VIP_ERROR_RESOURCE : vip_return(err), NULL);
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

/* A memory object that will never shrink, as far as this process can tell. */
static bool sealed(const struct ka_tpt_entry *e)
{
	const struct vip_object o = {
		.dev = e->dev, .inode = e->object, .start = e->start, .offset = e->offset};
	int fd = vip_object_open(&o);
	bool is = fd >= 0 && vip_object_sealed(fd);

	if (fd >= 0)
		close(fd);
	return is;
}

/*
 * What must be looked at before the region is touched with care.  Huge pages
 * are of a file, too, and show no lock.
 */
static void look_at(const struct ka_tpt_entry *e, bool watched, struct vip_region *r)
{
	uint32_t kind = e->kind;
	bool mapped = vip_hold_level() == LMM_MAPPED;

	r->seen.look = VIP_LOOK_NOT;
	r->seen.steady = kind == LMM_SYSV || (kind == LMM_SHMEM && !(e->rights & KA_R_DIRECT) && sealed(e));
	if (!watched || (kind == LMM_MIXED && !mapped))
		r->seen.look = VIP_LOOK_ALL;
	else if (kind == LMM_SYSV)
		r->seen.look = VIP_LOOK_ONE;
	if (!watched || (kind == LMM_SYSV && mapped))
		vip_touch_see(r->start, r->length, &r->seen);
	if (r->seen.uniform && r->seen.inode)
		r->seen.look = VIP_LOOK_MAP;
}

/*
 * What was registered where the new area lies may have gone without a word; the
 * new lock would make it look as if it were there.  Tell the agent before.
 */
static void lose_one(const struct vip_nic *nic, struct vip_region *r, const struct vip_region *fresh)
{
	uint64_t end = r->start + r->length, fresh_end = fresh->start + fresh->length,
		 from = r->start > fresh->start ? r->start : fresh->start,
		 to = end < fresh_end ? end : fresh_end;
	struct ka_req req = {.op = KA_OP_MEM_GONE, .u.reg = {.start = from, .length = to - from}};
	struct ka_rep rep;

	if (from >= to || r->seen.look == VIP_LOOK_GONE || vip_touch_same(from, to - from, &r->seen))
		return;
	ka_store_relaxed(&r->seen.look, (uint8_t)VIP_LOOK_GONE);
	ka_agent_call(nic->agent, &req, &rep, NULL, ranges, sizeof(ranges));
	obey(&rep);
}

static void lose_old(void *obj, void *arg)
{
	const struct vip_nic *nic = obj;
	uint64_t map;
	size_t i;

	for (i = 0; i < KA_TPT_ENTRIES / 64; i++) {
		for (map = nic->looks[i]; map; map &= map - 1)
			lose_one(nic, &nic->region[i * 64 + (size_t)__builtin_ctzll(map)], arg);
	}
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

	vip_obj_each(VIP_T_NIC, lose_old, &r);
	*level = vip_hold_level();
	req->u.reg.watched = vip_watch_add(start, r.length);
	locked = vip_hold_lock(start, r.length);
	if (locked == 0 && *level == LMM_PINNED)
		pinned = vip_hold_pin(start, r.length, &r.pin);
	if (pinned)
		*level = LMM_LOCKED;
	if (locked || (pinned && vip_hold_strict()) || (*level == LMM_MAPPED && !req->u.reg.watched)) {
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
	nic->ops->mem_find(nic, *out, &e);
	look_at(&e, req->u.reg.watched, &r);
	*region_of(nic, *out) = r;
	ka_store_release(&region_of(nic, *out)->handle, *out);
	set_look(nic, region_of(nic, *out), r.seen.look != VIP_LOOK_NOT);
	return VIP_SUCCESS;
}

static int leave(struct vip_nic *nic, uint64_t start, VIP_MEM_HANDLE mem)
{
	struct ka_req req = {.op = KA_OP_MEM_DEREG, .u.mem = {.start = start, .handle = mem}};
	struct ka_rep rep;
	int err = call_locked(nic, &req, &rep);

	if (!err)
		drop_region(nic, region_of(nic, mem));
	return err;
}

static VIP_RETURN register_locked(struct vip_nic *nic, struct ka_req *req, VIP_MEM_HANDLE *out)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = req->u.reg.start & ~(page - 1),
		 end = (req->u.reg.start + req->u.reg.length + page - 1) & ~(page - 1);
	VIP_RETURN r;

	vip_watch_settle(); /* what went before is not meant */
	ka_store_relaxed(&coming.gone, 0);
	ka_store_relaxed(&coming.start, start);
	__atomic_store_n(&coming.end, end, __ATOMIC_SEQ_CST);
	r = enter(nic, req, start, end, out);
	vip_watch_settle();
	ka_store_release(&coming.end, 0);
	if (r == VIP_SUCCESS && ka_load_acquire(&coming.gone)) {
		leave(nic, req->u.reg.start, *out);
		r = fail(VIP_INVALID_PARAMETER, "0x%lx..0x%lx went away while it was being registered", start,
			 end);
	}
	return r;
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
