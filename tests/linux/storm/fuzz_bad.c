/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_bad.c - see fuzz.h. */
#include "tests/linux/storm/fuzz.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

uint64_t fuzz_any(struct fuzz_life *l)
{
	uint64_t z = (l->random += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint32_t fuzz_below(struct fuzz_life *l, uint32_t n)
{
	return (uint32_t)(fuzz_any(l) >> 32) % n;
}

bool fuzz_once_in(struct fuzz_life *l, uint32_t n)
{
	return fuzz_below(l, n) == 0;
}

uint64_t fuzz_number(struct fuzz_life *l)
{
	static const uint64_t edges[] = {
		0,
		1,
		2,
		3,
		7,
		8,
		31,
		32,
		33,
		63,
		64,
		252,
		253,
		255,
		256,
		257,
		1023,
		1024,
		4095,
		4096,
		4097,
		16384,
		65535,
		65536,
		(4u << 20) - 1,
		4u << 20,
		(4u << 20) + 1,
		1u << 30,
		(1u << 30) + 1,
		0x7fffffff,
		0x80000000,
		0xfffff000,
		0xffffffff,
		1ull << 32,
		(1ull << 32) + 1,
		1ull << 47,
		(1ull << 63) - 1,
		1ull << 63,
		0ull - 4097,
		0ull - 4096,
		0ull - 8,
		0ull - 1,
	};

	switch (fuzz_below(l, 8)) {
	case 0:
		return fuzz_any(l);
	case 1:
		return fuzz_any(l) >> fuzz_below(l, 64);
	default:
		return edges[fuzz_below(l, sizeof(edges) / sizeof(edges[0]))];
	}
}

uint64_t fuzz_address(struct fuzz_life *l)
{
	const uint64_t bad[] = {
		0,
		1,
		FUZZ_PAGE - 1,
		0x00007ffffffff000,
		0x00007fffffffefff,
		0x0000800000000000,
		0x8000000000000000,
		0xffff800000000000,
		0xffff888000000000,
		0xffffc90000000000,
		0xffffffff81000000,
		0xffffffffc0000000,
		0xffffffffff600000, /* vsyscall */
		0xfffffffffffff000,
		0xffffffffffffffff,
		(uintptr_t)l->edge,
		(uintptr_t)l->edge - 1,
		(uintptr_t)l->edge - 8,
		(uintptr_t)l->edge - 1 - fuzz_below(l, 400),
		(uintptr_t)l->constant,
		(uintptr_t)l->constant + 1 + fuzz_below(l, FUZZ_PAGE - 1),
	};

	return bad[fuzz_below(l, sizeof(bad) / sizeof(bad[0]))];
}

uint64_t fuzz_near(struct fuzz_life *l, uint64_t v)
{
	switch (fuzz_below(l, 7)) {
	case 0:
		return v + 1;
	case 1:
		return v - 1;
	case 2:
		return v ^ 1ull << fuzz_below(l, 64);
	case 3:
		return v + fuzz_below(l, FUZZ_PAGE);
	case 4:
		return fuzz_address(l);
	default:
		return fuzz_number(l);
	}
}

/* ---- the second thread ---- */

static uint32_t step(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Words of what is asked for take turns with others: each is there for some of the kernel's looks. */
static void rewrite(struct fuzz_life *l, uint32_t *seed)
{
	static const uint32_t others[] = {0, 1, 2, 253, 4096, 0x7fffffff, 0xffffffff};
	uint32_t words = offsetof(struct fuzz_ask, seg[8]) / 4, *word = (uint32_t *)(void *)l->ask, was, i;
	uint32_t other = step(seed) % 2 ? others[step(seed) % 7] : step(seed);

	word += step(seed) % words;
	was = __atomic_load_n(word, __ATOMIC_RELAXED);
	for (i = 0; i < 40 && __atomic_load_n(&l->racing, __ATOMIC_ACQUIRE); i++)
		__atomic_store_n(word, i % 2 ? was : other, __ATOMIC_RELAXED);
	__atomic_store_n(word, was, __ATOMIC_RELAXED);
}

/* Calls of its own, with what the first thread has just now. */
static void interfere(struct fuzz_life *l, uint32_t *seed)
{
	const struct fuzz_dev *d = &l->dev[step(seed) % FUZZ_DEVS];
	const struct fuzz_area *a =
		step(seed) % 2 ? &l->fixed[step(seed) % FUZZ_FIXED] : &l->loose[step(seed) % FUZZ_LOOSE];
	static const uint8_t ops[] = {KA_OP_MEM_SET,	  KA_OP_MEM_SET,     KA_OP_MEM_SET,
				      KA_OP_MEM_SET,	  KA_OP_INSPECT,     KA_OP_INSPECT,
				      KA_OP_MEM_DEREG,	  KA_OP_MEM_DEREG,   KA_OP_PTAG_DESTROY,
				      KA_OP_PTAG_DESTROY, KA_OP_MEM_REFUSED, KA_OP_MEM_UNCOVERED,
				      KA_OP_MEM_GONE,	  KA_OP_DISCONNECT};
	struct ka_req req = {.op = ops[step(seed) % sizeof(ops)], .nic = d->nic[0]};
	struct vipka_seg seg = {(uintptr_t)a->at, a->handle, a->len};
	struct vipka_send s = {.seg = (uintptr_t)&seg, .nsegs = 1, .op = EMU_OP_SEND + step(seed) % 2};
	uint8_t tail[256];
	const struct fuzz_conn *c = &d->conn[step(seed) % FUZZ_CONNS], *next = d->conn;
	struct ka_rep rep = {.err = 0};
	struct vipka_call call = {.req = (uintptr_t)&req,
				  .rep = (uintptr_t)&rep,
				  .tail = (uintptr_t)tail,
				  .tail_bytes = sizeof(tail)};
	int err;

	while (c->fd < 0 && next < d->conn + FUZZ_CONNS)
		c = next++;
	s.target = seg;
	if (step(seed) % 4) {
		__atomic_store_n(&l->lane->helper, FUZZ_SEND, __ATOMIC_RELAXED);
		err = ioctl(c->fd, VIPKA_SEND, &s) ? errno : 0;
		fuzz_count(l, s.op == EMU_OP_SEND ? FUZZ_SEND : FUZZ_WRITE,
			   err	    ? (uint32_t)err
			   : s.sent ? FUZZ_ENGINE + s.sent
				    : 0);
	} else {
		req.u.mem.start = seg.addr;
		req.u.mem.handle = a->handle;
		req.u.mem.tag = d->tag[0];
		req.u.mem.rdma = KA_R_RDMA_WRITE | KA_R_RDMA_READ;
		if (req.op == KA_OP_DISCONNECT)
			req.u.vi.vi = d->vi[step(seed) % FUZZ_VIS];
		if (req.op == KA_OP_INSPECT)
			req.u.inspect.kind = 1;
		__atomic_store_n(&l->lane->helper, req.op, __ATOMIC_RELAXED);
		err = ioctl(d->fd, VIPKA_CALL, &call) ? errno : 0;
		fuzz_count(l, req.op, err ? (uint32_t)err : rep.err ? FUZZ_DOOR + (uint32_t)-rep.err : 0);
	}
	__atomic_store_n(&l->lane->helper, 0, __ATOMIC_RELAXED);
	__atomic_add_fetch(&l->board->calls, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&l->board->raced, 1, __ATOMIC_RELAXED);
}

static void *race(void *arg)
{
	struct fuzz_life *l = arg;
	uint32_t seed = (uint32_t)l->random;

	for (;;) {
		if (!__atomic_load_n(&l->racing, __ATOMIC_ACQUIRE)) {
			__atomic_store_n(&l->races, 0, __ATOMIC_RELEASE);
			syscall(SYS_futex, &l->racing, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
			continue;
		}
		__atomic_store_n(&l->races, 1, __ATOMIC_RELEASE);
		if (step(&seed) % 8)
			rewrite(l, &seed);
		else
			interfere(l, &seed);
	}
	return NULL;
}

bool fuzz_start_thread(struct fuzz_life *l)
{
	l->has_thread = pthread_create(&l->thread, NULL, race, l) == 0;
	return l->has_thread;
}

void fuzz_race(struct fuzz_life *l, bool on)
{
	if (!l->has_thread)
		return;
	__atomic_store_n(&l->racing, on, __ATOMIC_RELEASE);
	if (on)
		syscall(SYS_futex, &l->racing, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	while (__atomic_load_n(&l->races, __ATOMIC_ACQUIRE) != on)
		sched_yield();
}
