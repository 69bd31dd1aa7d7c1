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
#include "nic-emu/emu.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vipl/object.h"
#include "vipl/touch.h"
#include "vipl/watch.h"

#define PAGE 4096ull /* mappings end on one, as the bounds of an entry were checked against the owner's */

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
	if ((m->direct || vip_touch_copies()) && fstat(fd, &st) == 0 && st.st_size > 0) {
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

static bool get(struct emu_link *l, const struct emu_seg *s, uint64_t off, void *to, uint64_t n)
{
	const struct emu_vi *e = (const struct emu_vi *)l;
	const void *from = (const void *)(uintptr_t)(s->addr + off); /* NOLINT */

	return vip_mem_get(e->vi->nic, s->handle, to, from, n, *l->tx_careful);
}

static bool put(struct emu_link *l, const struct emu_seg *s, uint64_t off, const void *from, uint64_t n,
		bool careful)
{
	const struct emu_vi *e = (const struct emu_vi *)l;
	void *to = (void *)(uintptr_t)(s->addr + off); /* NOLINT */

	return vip_mem_put(e->vi->nic, s->handle, to, from, n, careful);
}

/* ---- copies by the kernel ---- */

/* After a copy has failed: is all of its source there? */
static bool source_there(const struct emu_copy *c)
{
	uint64_t at, end = c->from + c->n;
	uint8_t byte;

	for (at = c->from; at < end; at = (at & ~(PAGE - 1)) + PAGE) {
		if (!vip_touch_copy(&byte, at, 1))
			return false;
	}
	return true;
}

static enum emu_copied copy(struct emu_link *l, const struct emu_copy *c)
{
	const struct emu_vi *e = (const struct emu_vi *)l;
	bool own_from = c->way == EMU_TO_WINDOW, done;
	const void *own = own_from ? (const void *)(uintptr_t)c->from : c->to; /* NOLINT */

	if (c->own && !vip_mem_begin(e->vi->nic, c->own->handle, own, c->n))
		return EMU_OWN_GONE;
	done = vip_touch_copy(c->to, c->from, c->n);
	if (c->own)
		vip_touch_end();
	if (done)
		return EMU_COPIED;
	return source_there(c) == own_from ? EMU_PEER_GONE : EMU_OWN_GONE;
}

const struct emu_host emu_process_host = {
	.map = map, .get = get, .put = put, .copy = copy, .settle = vip_watch_wait};
