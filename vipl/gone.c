/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * gone.c - registered memory that may have gone: what is known of it and how it
 * is touched, what the watching thread does when it is told of a loss
 * (watch.h), and how a loss is found that nobody tells of.
 *
 * A loss is taken out of the TPT at once, without vip_mem_lock; what must be
 * unlocked then is left for later, when that lock is free.
 */
#include "vipl/mem.h"

#include <string.h>
#include <unistd.h>

#include "vipl/hold.h"
#include "vipl/object.h"
#include "vipl/watch.h"

/* What is being registered: it may go away before the agent has it in the TPT. */
static struct {
	uint64_t start, end; /* end 0: nothing */
	uint32_t gone;
} coming;

/* The watching thread's: what it has to unlock when nobody registers. */
static struct ka_range later[64];
static uint32_t nlater;

static uint32_t losses;

/* How long VipCloseNic waits for that at most: on a busy machine, and when the handle's agent has died. */
#define TIDY_MS	     10000u
#define TIDY_DEAD_MS 200u

void vip_gone_forked(void)
{
	coming.end = 0;
	nlater = 0;
}

uint32_t vip_gone_losses(void)
{
	return ka_load_acquire(&losses);
}

void vip_gone_begin(uint64_t start, uint64_t end)
{
	vip_watch_settle(); /* what went before is not meant */
	ka_store_relaxed(&coming.gone, 0);
	ka_store_relaxed(&coming.start, start);
	__atomic_store_n(&coming.end, end, __ATOMIC_SEQ_CST);
}

bool vip_gone_end(void)
{
	vip_watch_settle();
	ka_store_release(&coming.end, 0);
	return ka_load_acquire(&coming.gone);
}

/* ---- touching it ---- */

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
	return ka_tpt_get(nic->tpt, handle, &e) && e.tag != 0;
}

/*
 * What is known of the memory of a region, and whether these bytes are still of
 * it; NULL: not.  A handle is not told before its region is known here; who
 * guesses it earlier is refused.
 */
static const struct vip_seen *look(const struct vip_nic *nic, uint32_t handle, const void *user, size_t n)
{
	const struct vip_region *r = vip_region_of(nic, handle);

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
	__atomic_fetch_add(&losses, 1, __ATOMIC_RELEASE);
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

void vip_mem_wait_tidy(const struct vip_nic *nic)
{
	uint64_t start = vip_now_ms();

	vip_watch_settle();
	while (vip_mem_untidy() &&
	       vip_now_ms() - start < (ka_agent_is_dead(nic->agent) ? TIDY_DEAD_MS : TIDY_MS))
		usleep(1000);
}

void vip_mem_tidy(struct ka_agent *agent)
{
	struct ka_req req = {.op = KA_OP_MEM_UNCOVERED};
	struct ka_rep rep;

	if (ka_agent_is_dead(agent) || pthread_mutex_trylock(&vip_mem_lock))
		return;
	/* what was registered anew since then is covered, and stays */
	while (nlater && !ka_agent_is_dead(agent)) {
		req.u.reg.start = later[nlater - 1].start;
		req.u.reg.length = later[nlater - 1].length;
		vip_mem_ask(agent, &req, &rep);
		if (!ka_agent_is_dead(agent))
			ka_store_release(&nlater, nlater - 1);
	}
	pthread_mutex_unlock(&vip_mem_lock);
}

/* ---- losses that nobody tells of; vip_mem_lock held ---- */

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

static bool steady(const struct ka_tpt_entry *e)
{
	return e->kind == LMM_SYSV || (e->kind == LMM_SHMEM && !(e->rights & KA_R_DIRECT) && sealed(e));
}

void vip_gone_see_pinned(const struct ka_tpt_entry *e, struct vip_region *r)
{
	r->seen.look = VIP_LOOK_NOT;
	/* the pages of private memory that may be written are the process's own: no file takes them away */
	r->seen.steady = steady(e) || (e->kind == LMM_PRIVATE && (e->rights & KA_R_WRITE));
}

/*
 * What must be looked at before the region is touched with care.  Huge pages
 * are of a file, too, and show no lock.
 */
void vip_gone_see(const struct ka_tpt_entry *e, bool watched, struct vip_region *r)
{
	uint32_t kind = e->kind;
	bool mapped = vip_hold_level() == LMM_MAPPED;

	r->seen.look = VIP_LOOK_NOT;
	r->seen.steady = steady(e);
	if (!watched || (kind == LMM_MIXED && !mapped))
		r->seen.look = VIP_LOOK_ALL;
	else if (kind == LMM_SYSV)
		r->seen.look = VIP_LOOK_ONE;
	if (!watched || kind == LMM_SYSV)
		vip_touch_see(r->start, r->length, &r->seen);
	if ((!watched || mapped) && r->seen.uniform && r->seen.inode)
		r->seen.look = VIP_LOOK_MAP;
}

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
	vip_mem_ask(nic->agent, &req, &rep);
	__atomic_fetch_add(&losses, 1, __ATOMIC_RELEASE);
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

void vip_gone_lose_old(const struct vip_region *fresh)
{
	vip_obj_each(VIP_T_NIC, lose_old, (void *)fresh); /* NOLINT */
}
