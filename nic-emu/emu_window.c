/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_window.c - how the engine gets at memory: the consumer's, with care, and
 * the peer's, through mappings of its shared objects.
 *
 * A System V segment is attached by its number.  Another object is opened by
 * way of the peer's entries in /proc and known by device and inode, as the
 * peer's TPT has them.  One that may shrink is not touched: the kernel copies
 * to and from the mapping, and says when it is not there any more.
 */
#include "nic-emu/core/emu_small.h"
#include "nic-emu/emu.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vipl/object.h"
#include "vipl/touch.h"
#include "vipl/watch.h"

#define PAGE 4096ull /* mappings end on one, as the bounds of an entry were checked against the owner's */

/* Bytes that are pulled at a time where they cannot go straight to their place; on the stack. */
#define PULLED (16u << 10)

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) & ~(to - 1);
}

/* ---- mappings of the peer's objects ---- */

static void map_sysv(struct emu_vi *e, struct emu_map *m)
{
	struct shmid_ds ds;
	void *p;

	/* in another IPC namespace than the agent's the same number is another segment */
	if (!ka_agent_same_ipc(e->vi->nic->agent))
		return;
	p = shmat((int)m->object, NULL, 0);
	if (p == (void *)-1) /* NOLINT(performance-no-int-to-ptr) */
		return;
	if (shmctl((int)m->object, IPC_STAT, &ds)) {
		shmdt(p);
		return;
	}
	m->base = p;
	m->size = round_up(ds.shm_segsz, PAGE);
	m->direct = true;
}

static void map_file(struct emu_vi *e, struct emu_map *m, const struct ka_tpt_entry *t)
{
	const struct vip_object o = {.pid = (pid_t)e->peer_pid,
				     .dev = t->dev,
				     .inode = t->object,
				     .start = t->start,
				     .offset = t->offset};
	struct stat st;
	void *p;
	int fd;

	fd = vip_object_open(&o);
	if (fd < 0)
		return;
	m->direct = vip_object_sealed(fd);
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		/* huge pages are mapped, and unmapped, as a whole */
		m->size = round_up((uint64_t)st.st_size,
				   st.st_blksize > (long)PAGE ? (uint64_t)st.st_blksize : PAGE);
		p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p != MAP_FAILED)
			m->base = p;
	}
	close(fd);
}

static void unmap(struct emu_map *m)
{
	if (m->base && m->kind == LMM_SYSV)
		shmdt(m->base);
	else if (m->base)
		munmap(m->base, m->size);
	*m = (struct emu_map){0};
}

static void map_object(struct emu_vi *e, struct emu_map *m, const struct ka_tpt_entry *t)
{
	unmap(m);
	m->kind = t->kind;
	m->dev = t->dev;
	m->object = t->object;
	if (t->kind == LMM_SYSV)
		map_sysv(e, m);
	else
		map_file(e, m, t);
	if (m->base)
		madvise(m->base, m->size, MADV_DONTFORK);
	else
		vip_log(VIP_LOG_DEBUG,
			"memory of process %u (kind %u, device 0x%x, object %lu) cannot be mapped here",
			e->peer_pid, m->kind, m->dev, m->object);
}

static bool reaches(const struct emu_map *m, const struct ka_tpt_entry *t)
{
	return t->offset <= m->size && t->length <= m->size - t->offset;
}

static void *map(struct emu_link *l, const struct ka_tpt_entry *t, bool *direct)
{
	struct emu_vi *e = (struct emu_vi *)l; /* its first member */
	uint64_t this_message = e->started + 1;
	struct emu_map *m, *oldest = &e->map[0];
	enum emu_window window = emu_nic(e->vi->nic)->window;

	if (window == EMU_WINDOW_PULL || window == EMU_WINDOW_LAND || t->kind == LMM_PRIVATE ||
	    t->kind >= LMM_MIXED)
		return NULL;
	for (m = e->map; m < e->map + EMU_MAPS; m++) {
		if (m->kind == t->kind && m->dev == t->dev && m->object == t->object)
			break;
		if (m->used < oldest->used)
			oldest = m;
	}
	if (m == e->map + EMU_MAPS) {
		if (oldest->used == this_message)
			return NULL; /* all are in use by this very message */
		m = oldest;
		map_object(e, m, t);
	} else if (m->base && !reaches(m, t) && m->used != this_message) {
		map_object(e, m, t); /* it has grown */
	}
	m->used = this_message;
	*direct = m->direct;
	return m->base && reaches(m, t) ? m->base + t->offset : NULL;
}

_Static_assert(offsetof(struct emu_vi, l) == 0, "map finds the VI by its link");

void emu_unmap_all(struct emu_vi *e)
{
	struct emu_map *m;

	for (m = e->map; m < e->map + EMU_MAPS; m++)
		unmap(m);
}

/* ---- the own memory ---- */

static bool get(struct emu_link *l, const struct ka_seg *s, uint64_t off, void *to, uint64_t n)
{
	const struct emu_vi *e = (const struct emu_vi *)l;
	const void *from = (const void *)(uintptr_t)(s->addr + off); /* NOLINT */

	bool ok = emu_engine_touch(e->vi->nic, s->handle) &&
		  vip_mem_get(e->vi->nic, s->handle, to, from, n, *l->tx_careful);

	emu_engine_touched();
	return ok;
}

static bool put(struct emu_link *l, const struct ka_seg *s, uint64_t off, const void *from, uint64_t n,
		bool careful)
{
	const struct emu_vi *e = (const struct emu_vi *)l;
	void *to = (void *)(uintptr_t)(s->addr + off); /* NOLINT */

	bool ok = emu_engine_touch(e->vi->nic, s->handle) &&
		  vip_mem_put(e->vi->nic, s->handle, to, from, n, careful);

	emu_engine_touched();
	return ok;
}

/* ---- copies by the kernel ---- */

/*
 * From the peer's process, with the number that shows that it is the peer's:
 * it may have ended, and another one have its number.  Returns bytes of @to;
 * negative: it is not the peer's.
 */
static long pull(const struct emu_vi *e, void *to, uint64_t from, uint64_t n)
{
	const struct emu_dir *d = &e->l.region->to[e->l.side];
	uint64_t found = 0, nonce = ka_load_relaxed(&d->tx.nonce), at = ka_load_relaxed(&d->tx.nonce_at);
	struct iovec local[2] = {{&found, sizeof(found)}, {to, n}},
		     remote[2] = {{(void *)at, sizeof(found)}, {(void *)from, n}}; /* NOLINT */
	long got;

	got = syscall(SYS_process_vm_readv, (pid_t)e->peer_pid, local, 2L, remote, 2L, 0L);
	return got >= (long)sizeof(found) && found == nonce ? got - (long)sizeof(found) : -1;
}

/* The peer's process does not let itself be read: what it has sent cannot be had. */
static void lose_peer(struct emu_vi *e)
{
	if (emu_down(&e->l))
		return;
	vip_log(VIP_LOG_WARN,
		"process %u has ended, or cannot be read any more (has it changed its user?): the connection "
		"ends; VIPL_EMU_WINDOW=map does without reading",
		e->peer_pid);
	emu_set_down(&e->l, KA_DOWN_ERROR);
	emu_alarm_peer(e);
}

static enum emu_copied pull_once(struct emu_vi *e, const struct emu_copy *c)
{
	long got = pull(e, c->to, c->from, c->n);
	uint64_t at, end = c->from + c->n;
	uint8_t byte;

	if (got == (long)c->n)
		return EMU_COPIED;
	/* is all of the source there? */
	for (at = c->from; at < end && got >= 0; at = (at & ~(PAGE - 1)) + PAGE) {
		got = pull(e, &byte, at, 1);
		if (got == 0)
			return EMU_PEER_GONE;
	}
	if (got >= 0)
		return EMU_OWN_GONE;
	lose_peer(e);
	return EMU_PEER_GONE;
}

/* A source that goes away and comes again between the two looks is not the own memory's fault. */
static enum emu_copied pull_all(struct emu_vi *e, const struct emu_copy *c)
{
	enum emu_copied r = pull_once(e, c);

	return r == EMU_OWN_GONE ? pull_once(e, c) : r;
}

/*
 * The same into own memory that may have gone.  A peer can let a call that reads
 * its memory wait for ever (userfaultfd): nobody else must wait with it, neither
 * for the lock of vip_touch_begin() nor for a piece of the engine's thread.
 */
static enum emu_copied pull_with_care(struct emu_link *l, const struct emu_copy *c)
{
	uint64_t at, off = (uintptr_t)c->to - c->own->addr, part;
	enum emu_copied r = EMU_COPIED;
	uint8_t room[PULLED];

	for (at = 0; at < c->n && r == EMU_COPIED; at += part) {
		struct emu_copy piece = {.to = room, .from = c->from + at, .way = EMU_FROM_PEER};

		part = piece.n = min64(c->n - at, sizeof(room));
		r = pull_all((struct emu_vi *)l, &piece);
		if (r == EMU_COPIED && !put(l, c->own, off + at, room, part, true))
			r = EMU_OWN_GONE;
	}
	return r;
}

static enum emu_copied copy_here(struct emu_vi *e, const struct emu_copy *c)
{
	const void *from = (const void *)(uintptr_t)c->from; /* NOLINT(performance-no-int-to-ptr) */
	enum emu_copied r;
	bool gone;

	if (!c->own)
		vip_touch_begin();
	else if (!vip_mem_begin(e->vi->nic, c->own->handle, c->way == EMU_TO_WINDOW ? from : c->to, c->n))
		return EMU_OWN_GONE;
	if (vip_touch_window((uintptr_t)c->to, from, c->n, &gone))
		r = EMU_COPIED;
	else
		r = gone == (c->way == EMU_TO_WINDOW) ? EMU_OWN_GONE : EMU_PEER_GONE;
	vip_touch_end();
	return r;
}

static enum emu_copied copy(struct emu_link *l, const struct emu_copy *c)
{
	struct emu_vi *e = (struct emu_vi *)l;
	enum emu_copied r = EMU_OWN_GONE;

	if (c->way == EMU_FROM_PEER)
		return c->own ? pull_with_care(l, c) : pull_all(e, c);
	if (!c->own)
		return copy_here(e, c);
	if (emu_engine_touch(e->vi->nic, c->own->handle))
		r = copy_here(e, c);
	emu_engine_touched();
	return r;
}

const struct emu_host emu_process_host = {
	.map = map, .get = get, .put = put, .copy = copy, .settle = vip_watch_wait};

/* ---- which ways there are ---- */

/* What a peer finds who can read this process. */
static uint64_t nonce;

static uint64_t make_nonce(void)
{
	uint64_t have = 0, fresh;

	if (getrandom(&fresh, sizeof(fresh), GRND_NONBLOCK) != sizeof(fresh))
		fresh = vip_now_ns();
	fresh |= 1;
	if (__atomic_compare_exchange_n(&nonce, &have, fresh, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return fresh;
	return have;
}

void emu_window_begin(struct emu_vi *e)
{
	struct emu_dir *d = &e->l.region->to[1 - e->l.side];
	enum emu_window window = emu_nic(e->vi->nic)->window;

	/* the kernel's engine has its own ways: nothing is small, and nobody is read, here */
	e->probed = e->doorbell >= 0;
	if (e->probed)
		return;
	d->tx.nonce = make_nonce();
	d->tx.nonce_at = (uintptr_t)&nonce;
	e->l.small_most = window == EMU_WINDOW_AUTO || window == EMU_WINDOW_MAP ? EMU_SMALL : 0;
	e->l.cell_most = window == EMU_WINDOW_LAND ? 0 : EMU_CELL_DATA;
	/* at no size is it quicker on all machines: docs/performance.md */
	e->l.pull_least = window == EMU_WINDOW_PULL ? 1 : UINT64_MAX;
	/* there is nothing to find out */
	e->probed = window == EMU_WINDOW_MAP || window == EMU_WINDOW_LAND || emu_nic(e->vi->nic)->modelled;
}

void emu_probe(struct emu_vi *e)
{
	struct emu_dir *d = &e->l.region->to[e->l.side];
	uint8_t byte;
	bool can;

	if (ka_load_acquire(&e->probed))
		return;
	/* both halves may find it out at once */
	can = ka_load_relaxed(&d->tx.nonce_at) && pull(e, &byte, 0, 0) == 0;
	if (can) {
		ka_store_relaxed(&e->l.pulls, true);
		ka_store_release(&d->rx.pulls, 1);
	}
	ka_store_release(&e->probed, 1);
	vip_log(VIP_LOG_DEBUG, "the memory of process %u can%s be read from here", e->peer_pid,
		can ? "" : "not");
}
