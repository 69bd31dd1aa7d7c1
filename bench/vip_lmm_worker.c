/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_lmm_worker.c - a process that registers at one lock level, as it is told.
 *
 * All memory is touched before, and its pages are small ones: what is timed is
 * the registration, neither the making of pages nor the luck of getting a huge
 * one.  Private memory lies alone between two pages that nothing may touch, so
 * that locking it never splits a mapping.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/vip_lmm.h"
#include "tools/common.h"

static struct {
	struct subject s;
	enum vipx_level level;
	struct vnic n;
	struct bare bare;
	size_t page;
	uint64_t bytes; /* of each of the areas */
	void *room;	/* the private area with its neighbours */
	void *segment;
	VIP_MEM_HANDLE held; /* of the segment, from HOLD to RELEASE */
	struct reply reply;
} w;

static void refuse(enum verdict verdict, const char *text)
{
	w.reply.verdict = verdict;
	snprintf(w.reply.text, sizeof(w.reply.text), "%s: %s", level_name[w.level], text);
}

/* ---- memory ---- */

static void drop_areas(void)
{
	if (w.room)
		munmap(w.room, w.bytes + 2 * w.page);
	if (w.segment)
		shmdt(w.segment);
	w.room = w.segment = NULL;
}

static void touch(void *area, uint64_t bytes)
{
	madvise(area, bytes, MADV_NOHUGEPAGE); /* a kernel without them refuses */
	memset(area, 1, bytes);
}

static void have_areas(uint64_t bytes, int shmid)
{
	void *room, *segment;

	drop_areas();
	w.bytes = bytes;
	room = mmap(NULL, bytes + 2 * w.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED) {
		refuse(FAILED, strerror(errno));
		return;
	}
	w.room = room;
	segment = shmat(shmid, NULL, 0);
	if (segment == (void *)-1) { /* NOLINT(performance-no-int-to-ptr) */
		refuse(FAILED, strerror(errno));
		return;
	}
	w.segment = segment;
	if (mprotect((char *)room + w.page, bytes, PROT_READ | PROT_WRITE)) {
		refuse(FAILED, strerror(errno));
		return;
	}
	touch((char *)room + w.page, bytes);
	touch(segment, bytes);
}

static void *area_of(enum kind kind)
{
	return kind == PRIVATE ? (char *)w.room + w.page : w.segment;
}

/* ---- turns ---- */

static int enter(void *area, uint64_t bytes, VIP_MEM_HANDLE *handle)
{
	VIP_MEM_ATTRIBUTES attr = {.Ptag = w.n.ptag};
	VIP_RETURN rc = VipRegisterMem(w.n.nic, area, bytes, &attr, handle);

	if (rc == VIP_SUCCESS)
		return 0;
	vnic_failed(&w.n, "VipRegisterMem", rc);
	refuse(rc == VIP_ERROR_RESOURCE ? NO_ROOM : FAILED, w.n.fault);
	return -1;
}

static int leave(void *area, VIP_MEM_HANDLE handle)
{
	VIP_RETURN rc = VipDeregisterMem(w.n.nic, area, handle);

	if (rc == VIP_SUCCESS)
		return 0;
	vnic_failed(&w.n, "VipDeregisterMem", rc);
	refuse(FAILED, w.n.fault);
	return -1;
}

static int cache(VIP_ULONG regions)
{
	VIP_RETURN rc = VipxRegCache(w.n.nic, regions, 2 * MAX_BYTES);

	if (rc == VIP_SUCCESS)
		return 0;
	vnic_failed(&w.n, "VipxRegCache", rc);
	refuse(FAILED, w.n.fault);
	return -1;
}

#define CACHED_CALLS 32u /* at once: one is about as quick as a look at the clock */

/* Through the cache and out again; it is empty before and after. */
static int cached(void *area, uint64_t *ns)
{
	uint64_t start = 0;
	VIP_MEM_HANDLE handle;

	if (cache(1))
		return -1;
	for (uint32_t i = 0; i <= CACHED_CALLS; i++) {
		if (enter(area, w.bytes, &handle) || leave(area, handle))
			return -1;
		if (i == 0)
			start = tool_now_ns();
	}
	*ns = (tool_now_ns() - start) / CACHED_CALLS;
	return cache(0);
}

static int ours_once(void *area, uint64_t ns[WHATS])
{
	bool lock = w.s.rdma && w.level == VIPX_LOCKED;
	uint64_t start = tool_now_ns(), registered;
	VIP_MEM_HANDLE handle;

	if (lock && mlock(area, w.bytes)) {
		refuse(NO_ROOM, strerror(errno));
		return -1;
	}
	if (enter(area, w.bytes, &handle))
		return -1;
	registered = tool_now_ns();
	if (leave(area, handle))
		return -1;
	if (lock)
		munlock(area, w.bytes);
	ns[DEREGISTER] = tool_now_ns() - registered;
	ns[REGISTER] = registered - start;
	ns[PAIR] = ns[REGISTER] + ns[DEREGISTER];
	return w.s.rdma ? 0 : cached(area, &ns[CACHED]);
}

static int bare_turn(void *area, bool held, uint64_t ns[WHATS])
{
	int err = w.s.rdma ? mr_once(&w.bare, w.level, area, w.bytes, ns)
			   : bare_once(&w.bare, w.level, area, w.bytes, held, ns);

	if (!err)
		return 0;
	refuse(w.bare.no_room ? NO_ROOM : FAILED, w.bare.fault);
	return -1;
}

/* The first call is for the caches, and for the processor to be awake. */
static void turn(const struct command *c)
{
	void *area = area_of((enum kind)c->kind);
	bool held = c->kind == FURTHER;
	uint64_t ns[WHATS] = {0};
	VIP_MEM_HANDLE holder;
	int err = 0;

	/* one byte holds all of the segment */
	if (held && enter(area, 1, &holder))
		return;
	for (uint32_t i = 0; i <= c->calls && !err; i++) {
		err = c->order == OURS ? ours_once(area, ns) : bare_turn(area, held, ns);
		for (int what = 0; i > 0 && what < WHATS; what++)
			w.reply.ns[what][i - 1] = ns[what];
	}
	if (held)
		leave(area, holder);
}

static void obey(const struct command *c)
{
	switch (c->order) {
	case AREA:
		have_areas(c->bytes, c->shmid);
		break;
	case OURS:
	case BARE:
		turn(c);
		break;
	case HOLD:
		enter(w.segment, w.bytes, &w.held);
		break;
	case RELEASE:
		leave(w.segment, w.held);
		break;
	}
}

/* ---- life ---- */

static bool answer(int sock)
{
	bool sent = send(sock, &w.reply, sizeof(w.reply), MSG_NOSIGNAL) == (ssize_t)sizeof(w.reply);

	memset(&w.reply, 0, sizeof(w.reply));
	return sent;
}

/*
 * Other programs shall not run in the middle of a call, which a call that
 * waits for the agent would suffer from and a bare mlock would not: they would
 * not be compared fairly.  The agent inherits it.  Who may not have it measures
 * without, well on a machine that is idle otherwise.
 */
static void take_priority(void)
{
	const struct sched_param lowest = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};

	sched_setscheduler(0, SCHED_FIFO, &lowest);
}

/* The agent is there by then: what it inherits from its starter is no pin to a processor. */
static void settle_on(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		refuse(FAILED, strerror(errno));
}

void worker(int sock, const struct subject *s, enum vipx_level level, int cpu)
{
	struct command c;
	int agent = 0;

	w.s = *s;
	w.level = level;
	w.page = (size_t)sysconf(_SC_PAGESIZE);
	setenv("VIPL_LOCK_LEVEL", level_name[level], 1);
	take_priority();
	if (vnic_open(&w.n, s->device)) {
		refuse(level > VIPX_MAPPED ? NO_ROOM : FAILED, w.n.fault);
	} else if (s->rdma ? mr_open(&w.bare, s->rdma) : bare_open(&w.bare, level == VIPX_PINNED, &agent)) {
		refuse(FAILED, w.bare.fault);
	} else {
		settle_on(cpu);
	}
	w.reply.agent = agent;
	while (answer(sock) && recv(sock, &c, sizeof(c), 0) == (ssize_t)sizeof(c))
		obey(&c);
	if (w.n.nic) {
		if (s->rdma)
			mr_close(&w.bare);
		else
			bare_close(&w.bare);
		vnic_close(&w.n);
	}
}
