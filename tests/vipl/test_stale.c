/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_stale.c - memory that goes away while the registration cache keeps it:
 * what is registered at its address afterwards is the new memory, which is
 * held, and which messages and RDMA reach; what has come somewhere else, or was
 * detached, is left alone.  And a deregistered handle is nobody's.
 */
#include "tests/vipl/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include <cmocka.h>

#define BYTES (32u * PAGE)

enum way {
	UNMAP_AND_MAP,
	MAP_OVER,
	FILE_OVER,
	HOLE, /* a page in the middle is another one */
	MOVE,
	HEAP_END,
	OTHER_MEMFD,
	SAME_MEMFD_ELSEWHERE, /* at the same address, another part of it */
	OTHER_SEGMENT,	      /* attached where the first was */
	OTHER_SEGMENT_LOCKED, /* by the program itself */
	SEGMENT_OVER_MEMFD,   /* SHM_REMAP, which nobody tells of */
	/* what may be found again */
	SAME_SEGMENT,
	DONTNEED,
	NOTHING,
	WAYS
};

static bool watched, locked_level;
static char what[64];
static unsigned int cached;

/* What is registered, and what has come in its place. */
struct spot {
	uint8_t *p;
	uint8_t *old; /* the first memory, where it is still mapped: pattern `seed` is in it */
	int fd[2], id[2];
	unsigned int seed;
};

static uint8_t *map_at(void *where, int flags, int fd, off_t offset)
{
	uint8_t *p = mmap(where, BYTES, PROT_READ | PROT_WRITE, flags | (where ? MAP_FIXED : 0), fd, offset);

	CHECK(p != MAP_FAILED);
	return p;
}

static uint8_t *attach(int id, void *where, int flags)
{
	uint8_t *p = shmat(id, where, flags);

	CHECK(p != (void *)-1);
	return p;
}

#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

static bool of_memfd(enum way way)
{
	return way == OTHER_MEMFD || way == SAME_MEMFD_ELSEWHERE || way == SEGMENT_OVER_MEMFD;
}

static bool of_segment(enum way way)
{
	return way == OTHER_SEGMENT || way == OTHER_SEGMENT_LOCKED || way == SAME_SEGMENT;
}

static void make(struct spot *s, enum way way)
{
	int i;

	for (i = 0; i < 2; i++) {
		s->fd[i] = memfd_create("stale", MFD_CLOEXEC);
		CHECK_EQ(ftruncate(s->fd[i], 2 * BYTES), 0);
		s->id[i] = shmget(IPC_PRIVATE, BYTES, IPC_CREAT | 0600);
		CHECK(s->id[i] >= 0);
	}
	s->old = NULL;
	if (of_memfd(way)) {
		s->p = map_at(NULL, MAP_SHARED, s->fd[0], 0);
		s->old = map_at(NULL, MAP_SHARED, s->fd[0], 0);
	} else if (of_segment(way)) {
		s->p = attach(s->id[0], NULL, 0);
		s->old = attach(s->id[0], NULL, 0);
	} else if (way == HEAP_END) {
		s->p = sbrk(0);
		s->p += -(uintptr_t)s->p & (PAGE - 1);
		CHECK_EQ(brk(s->p + BYTES), 0);
	} else {
		s->p = map_at(NULL, PRIVATE, -1, 0);
	}
}

/* The old memory goes, and there is other memory at its address. */
static void replace(struct spot *s, enum way way)
{
	switch (way) {
	case UNMAP_AND_MAP:
		CHECK_EQ(munmap(s->p, BYTES), 0);
		map_at(s->p, PRIVATE, -1, 0);
		break;
	case MAP_OVER:
		map_at(s->p, PRIVATE, -1, 0);
		break;
	case FILE_OVER:
		map_at(s->p, MAP_SHARED, s->fd[0], 0);
		break;
	case HOLE:
		CHECK_EQ(munmap(s->p + BYTES / 2, PAGE), 0);
		CHECK(mmap(s->p + BYTES / 2, PAGE, PROT_READ | PROT_WRITE, PRIVATE | MAP_FIXED, -1, 0) !=
		      MAP_FAILED);
		break;
	case MOVE:
		s->old = mremap(s->p, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
				map_at(NULL, PRIVATE, -1, 0));
		CHECK(s->old != MAP_FAILED);
		map_at(s->p, PRIVATE, -1, 0);
		break;
	case HEAP_END:
		if (sbrk(0) == s->p + BYTES) { /* nobody has moved it since */
			CHECK_EQ(brk(s->p), 0);
			CHECK_EQ(brk(s->p + BYTES), 0);
		}
		break;
	case OTHER_MEMFD:
		map_at(s->p, MAP_SHARED, s->fd[1], 0);
		break;
	case SAME_MEMFD_ELSEWHERE:
		map_at(s->p, MAP_SHARED, s->fd[0], BYTES);
		break;
	case OTHER_SEGMENT_LOCKED:
	case OTHER_SEGMENT:
		CHECK_EQ(shmdt(s->p), 0);
		CHECK(attach(s->id[1], s->p, 0) == s->p);
		if (way == OTHER_SEGMENT_LOCKED)
			CHECK_EQ(mlock(s->p, BYTES), 0);
		break;
	case SEGMENT_OVER_MEMFD:
		CHECK(attach(s->id[1], s->p, SHM_REMAP) == s->p);
		break;
	case SAME_SEGMENT:
		CHECK_EQ(shmdt(s->p), 0);
		CHECK(attach(s->id[0], s->p, 0) == s->p);
		break;
	case DONTNEED:
		CHECK_EQ(madvise(s->p, BYTES, MADV_DONTNEED), locked_level && watched ? -1 : 0);
		break;
	default:
		break;
	}
}

static void drop(struct spot *s, enum way way)
{
	int i;

	if (way == SEGMENT_OVER_MEMFD || of_segment(way))
		CHECK_EQ(shmdt(s->p), 0);
	else if (way == HEAP_END)
		CHECK_EQ(sbrk(0) != s->p + BYTES || brk(s->p) == 0, 1);
	else
		CHECK_EQ(munmap(s->p, BYTES), 0);
	if (of_segment(way))
		CHECK_EQ(shmdt(s->old), 0);
	else if (s->old)
		CHECK_EQ(munmap(s->old, BYTES), 0);
	for (i = 0; i < 2; i++) {
		close(s->fd[i]);
		CHECK_EQ(shmctl(s->id[i], IPC_RMID, NULL), 0);
	}
}

/* A message of the peer's into @p, an RDMA write of his, and one back. */
static void use(struct end *e, uint8_t *p, VIP_MEM_HANDLE mem, unsigned int seed)
{
	VIP_DESCRIPTOR *d = end_fill(e, 0, p, BYTES, mem);
	VIP_RETURN r;

	CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
	end_tell(e, (uintptr_t)p);
	end_tell(e, mem);
	CHECK(end_recv(e, &r) == d);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(diff_pattern(p, BYTES, seed), -1);
	end_sync(e);
	CHECK_EQ(end_hear(e), 1); /* he has written */
	d = end_fill(e, 0, p, 64, mem);
	CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
	end_sync(e); /* he says so, in order behind it */
	CHECK(end_recv(e, &r) == d);
	CHECK_EQ(diff_pattern(p + PAGE, PAGE, seed + 1), -1);
	fill_pattern(p, BYTES, seed + 2);
	d = end_fill(e, 0, p, BYTES, mem);
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	CHECK(end_sent(e, &r) == d);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(end_hear(e), 2); /* he has looked at it */
}

static VIP_DESCRIPTOR *rdma_write(struct end *e, uint8_t *data, uint32_t n, uint64_t at, VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d = end_fill(e, 1, data, n, e->mem);

	d->CS.Control = VIP_CONTROL_OP_RDMAWRITE;
	d->CS.SegCount = 2;
	d->DS[1] = d->DS[0];
	memset(&d->DS[0], 0, sizeof(d->DS[0]));
	d->DS[0].Remote.Data.AddressBits = at;
	d->DS[0].Remote.Handle = mem;
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	return d;
}

/* The other end of use(). */
static void be_used(struct end *e, unsigned int seed)
{
	uint64_t at = end_hear(e);
	VIP_MEM_HANDLE mem = (VIP_MEM_HANDLE)end_hear(e);
	uint8_t *data = end_data(e), *in = data + 2 * BYTES;
	VIP_RETURN r;

	end_post_recv(e, 2, in, BYTES);
	fill_pattern(data, BYTES, seed);
	end_post_send(e, 0, data, BYTES);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	fill_pattern(data, PAGE, seed + 1);
	end_sync(e);
	CHECK(rdma_write(e, data, PAGE, at + PAGE, mem) == end_desc(e, 1));
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_tell(e, 1);
	end_sync(e);
	end_post_send(e, 0, data, 64);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK(end_recv(e, &r) == end_desc(e, 2));
	CHECK_EQ(diff_pattern(in, BYTES, seed + 2), -1);
	end_tell(e, 2);
}

#define ROUNDS 6

static bool skipped(enum way way)
{
	return way == OTHER_SEGMENT_LOCKED && !locked_level;
}

static void one_way(struct end *e, enum way way, unsigned int seed)
{
	VIP_MEM_ATTRIBUTES attr = {.Ptag = e->tag, .EnableRdmaWrite = VIP_TRUE};
	struct vipx_rec before, after;
	VIP_MEM_HANDLE mem, again;
	struct spot s;

	make(&s, way);
	CHECK_EQ(VipRegisterMem(e->nic, s.p, BYTES, &attr, &mem), VIP_SUCCESS);
	use(e, s.p, mem, seed);
	CHECK_EQ(VipDeregisterMem(e->nic, s.p, mem), VIP_SUCCESS);
	before = nic_row(e->nic, 0);
	CHECK_EQ(before.u.nic.kept_regions > 0, watched);
	replace(&s, way);
	CHECK_EQ(VipRegisterMem(e->nic, s.p, BYTES, &attr, &again), VIP_SUCCESS);
	after = nic_row(e->nic, 0);
	if (way < SAME_SEGMENT || !watched) {
		CHECK_EQ(after.u.nic.hits, before.u.nic.hits);
	} else if (way == NOTHING || way == DONTNEED) {
		CHECK_EQ(after.u.nic.hits, before.u.nic.hits + 1);
		CHECK_EQ(again, mem);
	}
	CHECK((!locked_level || pages_held(s.p, BYTES)));
	use(e, s.p, again, seed + 3);
	if (s.old && way != SAME_SEGMENT)
		CHECK_EQ(diff_pattern(s.old, BYTES, seed + 2), -1);
	CHECK_EQ(VipDeregisterMem(e->nic, s.p, again), VIP_SUCCESS);
	drop(&s, way);
}

static void server(struct end *e)
{
	struct vipx_hold hold;
	struct vipx_rec rec;
	unsigned long lck;
	unsigned int i;
	int way;

	end_open(e);
	CHECK_EQ(VipxHold(e->nic, &hold), VIP_SUCCESS);
	watched = hold.watched;
	locked_level = hold.level >= VIPX_LOCKED;
	end_connect(e);
	CHECK_EQ(VipxRegCache(e->nic, 64, 8u << 20), VIP_SUCCESS);
	lck = vm_lck_kib();
	check_doing = what;
	for (i = 0; i < ROUNDS; i++) {
		for (way = 0; way < WAYS; way++) {
			snprintf(what, sizeof(what), "way %d, round %u", way, i);
			if (!skipped((enum way)way))
				one_way(e, (enum way)way, 10 * i);
		}
	}
	/* nothing of what has gone is left, but for what one more look would find */
	CHECK_EQ(VipxRegCache(e->nic, 0, 0), VIP_SUCCESS);
	CHECK_EQ(count_rows(e->nic, VIPX_TPT), 1);
	rec = nic_row(e->nic, 0);
	CHECK_EQ(rec.u.nic.invalidations > 0, watched);
	for (i = 0; i < 200 && vm_lck_kib() != lck; i++)
		usleep(10000); /* what is unlocked later */
	CHECK_EQ(vm_lck_kib(), lck);
	end_sync(e);
	end_close(e);
}

static void client(struct end *e)
{
	struct vipx_hold hold;
	unsigned int i;
	int way;

	end_open(e);
	CHECK_EQ(VipxHold(e->nic, &hold), VIP_SUCCESS);
	locked_level = hold.level >= VIPX_LOCKED;
	end_connect(e);
	check_doing = what;
	for (i = 0; i < ROUNDS; i++) {
		for (way = 0; way < WAYS; way++) {
			snprintf(what, sizeof(what), "way %d, round %u", way, i);
			if (skipped((enum way)way))
				continue;
			be_used(e, 10 * i);
			be_used(e, 10 * i + 3);
		}
	}
	end_sync(e);
	end_close(e);
}

/* ---- a deregistered handle is nobody's ---- */

/* It is on its way. */
static void await_pattern(const uint8_t *p, size_t n, unsigned int seed)
{
	int i;

	for (i = 0; i < 500 && diff_pattern(p, n, seed) != -1; i++)
		usleep(10000);
	CHECK_EQ(diff_pattern(p, n, seed), -1);
}

/* @e's region, of private memory or a segment: written to, deregistered, written to in vain, registered. */
static void closed_server(struct end *e)
{
	VIP_MEM_ATTRIBUTES attr = {.Ptag = e->tag, .EnableRdmaWrite = VIP_TRUE};
	VIP_MEM_HANDLE mem, again;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	uint8_t *p;
	int i, id;

	end_open(e);
	attr.Ptag = e->tag;
	CHECK_EQ(VipxRegCache(e->nic, cached, 8u << 20), VIP_SUCCESS);
	for (i = 0; i < 4; i++) {
		id = shmget(IPC_PRIVATE, BYTES, IPC_CREAT | 0600);
		p = i % 2 ? attach(id, NULL, 0) : map_at(NULL, PRIVATE, -1, 0);
		CHECK_EQ(VipRegisterMem(e->nic, p, BYTES, &attr, &mem), VIP_SUCCESS);
		end_connect(e);
		end_tell(e, (uintptr_t)p);
		end_tell(e, mem);
		end_sync(e); /* he has written */
		await_pattern(p, PAGE, 9);
		CHECK_EQ(VipDeregisterMem(e->nic, p, mem), VIP_SUCCESS);
		CHECK_EQ(nic_row(e->nic, 0).u.nic.kept_regions, cached);
		fill_pattern(p, BYTES, 7);
		d = end_fill(e, 0, p, BYTES, mem);
		if (i < 2) { /* a message into it */
			CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
			end_sync(e);
			CHECK(end_recv(e, &r) == d);
			CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
		} else { /* an RDMA write, and a message out of it */
			end_sync(e);
			end_sync(e); /* the connection is down, or he has seen the error */
		}
		CHECK_EQ(diff_pattern(p, BYTES, 7), -1);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		while (VipRecvDone(e->vi, &d) != VIP_NOT_DONE && d)
			;
		end_sync(e);
		/* and taken out again it is as good as new */
		CHECK_EQ(VipRegisterMem(e->nic, p, BYTES, &attr, &again), VIP_SUCCESS);
		CHECK_EQ(again == mem, cached);
		end_tell(e, again);
		end_connect(e);
		end_sync(e);
		end_sync(e);
		await_pattern(p, PAGE, 9);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		CHECK_EQ(VipDeregisterMem(e->nic, p, again), VIP_SUCCESS);
		CHECK_EQ(VipxRegCache(e->nic, 0, 0), VIP_SUCCESS);
		CHECK_EQ(VipxRegCache(e->nic, cached, 8u << 20), VIP_SUCCESS);
		end_sync(e);
		CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	}
	end_close(e);
}

static void closed_client(struct end *e)
{
	VIP_MEM_HANDLE mem;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	uint64_t at;
	int i;

	end_open(e);
	for (i = 0; i < 4; i++) {
		end_connect(e);
		at = end_hear(e);
		mem = (VIP_MEM_HANDLE)end_hear(e);
		fill_pattern(end_data(e), PAGE, 9);
		rdma_write(e, end_data(e), PAGE, at, mem);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		end_sync(e);
		end_sync(e);
		if (i < 2)
			end_post_send(e, 0, end_data(e), PAGE);
		else
			rdma_write(e, end_data(e), PAGE, at, mem);
		d = end_sent(e, &r);
		CHECK_EQ(d->CS.Status,
			 i < 2 ? VIP_STATUS_DONE | VIP_STATUS_OP_SEND | VIP_STATUS_REMOTE_DESC_ERROR
			       : VIP_STATUS_DONE | VIP_STATUS_OP_RDMA_WRITE | VIP_STATUS_RDMA_PROT_ERROR);
		if (i >= 2)
			end_sync(e);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		end_sync(e);
		mem = (VIP_MEM_HANDLE)end_hear(e);
		end_connect(e);
		end_sync(e);
		rdma_write(e, end_data(e), PAGE, at, mem);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		end_sync(e);
		VipDisconnect(e->vi);
		end_sync(e);
	}
	end_close(e);
}

/* ---- at each level, watched and not ---- */

static void ways_at(const char *level, const char *watch)
{
	setenv("VIPL_LOCK_LEVEL", level, 1);
	setenv("VIPL_WATCH", watch, 1);
	if (!level_works(level))
		return;
	run_pair(server, client, VIP_SERVICE_RELIABLE_DELIVERY, 100);
}

static void test_mapped(void **state)
{
	(void)state;
	ways_at("mapped", "1");
}

static void test_locked(void **state)
{
	(void)state;
	ways_at("locked", "1");
}

static void test_pinned(void **state)
{
	(void)state;
	ways_at("pinned", "1");
}

static void test_not_watched(void **state)
{
	(void)state;
	ways_at("locked", "0");
}

static void test_closed(void **state)
{
	(void)state;
	for (cached = 0; cached < 2; cached++)
		run_pair(closed_server, closed_client, VIP_SERVICE_RELIABLE_RECEPTION, 60);
}

static int restore(void **state)
{
	(void)state;
	unsetenv("VIPL_LOCK_LEVEL");
	unsetenv("VIPL_WATCH");
	check_doing = NULL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_mapped, restore),
		cmocka_unit_test_teardown(test_locked, restore),
		cmocka_unit_test_teardown(test_pinned, restore),
		cmocka_unit_test_teardown(test_not_watched, restore),
		cmocka_unit_test_teardown(test_closed, restore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
