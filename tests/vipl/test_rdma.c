/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_rdma.c - RDMA in a crowd: writes, reads and sends of all sizes mixed, in
 * both directions at a time, into private memory and into a segment; more
 * reads than are answered at a time; and targets that are taken away under
 * way.  What each operation does by itself the conformance suite checks.
 */
#include "tests/vipl/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include <cmocka.h>

#define SLOTS	 16u
#define SLOT	 (128u << 10)
#define ROUNDS	 400
#define RECEIVES 32

/* What the peer may write to and read from: SLOTS of the private block, or of a segment. */
struct shared {
	uint8_t *base;
	VIP_MEM_HANDLE mem;
};

static int in_segment;

static struct shared make_shared(struct end *e)
{
	VIP_MEM_ATTRIBUTES a = {.Ptag = e->tag, .EnableRdmaWrite = VIP_TRUE, .EnableRdmaRead = VIP_TRUE};
	struct shared s = {.base = end_data(e)};
	int id;

	if (in_segment) {
		id = shmget(IPC_PRIVATE, 2 * SLOTS * SLOT, IPC_CREAT | 0600);
		CHECK(id >= 0);
		s.base = shmat(id, NULL, 0);
		CHECK(s.base != (void *)-1);
		shmctl(id, IPC_RMID, NULL);
	}
	CHECK_EQ(VipRegisterMem(e->nic, s.base, 2 * SLOTS * SLOT, &a, &s.mem), VIP_SUCCESS);
	return s;
}

static void open_rdma(struct end *e)
{
	VIP_VI_ATTRIBUTES a;
	VIP_VI_STATE state;
	VIP_BOOLEAN empty;

	end_open(e);
	CHECK_EQ(VipQueryVi(e->vi, &state, &a, &empty, &empty), VIP_SUCCESS);
	a.EnableRdmaRead = VIP_TRUE;
	CHECK_EQ(VipSetViAttributes(e->vi, &a), VIP_SUCCESS);
}

static VIP_DESCRIPTOR *post_rdma(struct end *e, int i, unsigned int op, void *at, uint32_t len, uint64_t to,
				 VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d = end_desc(e, i);

	memset(d, 0, sizeof(*d));
	d->CS.SegCount = 2;
	d->CS.Control = (VIP_UINT16)op;
	d->CS.Length = len;
	d->DS[0].Remote.Data.AddressBits = to;
	d->DS[0].Remote.Handle = mem;
	d->DS[1].Local.Data.Address = at;
	d->DS[1].Local.Handle = e->mem;
	d->DS[1].Local.Length = len;
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	return d;
}

static void sent_well(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	d = end_sent(e, &r);
	CHECK(d != NULL);
	CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, 0);
	CHECK_EQ(r, VIP_SUCCESS);
}

/*
 * Each round: a write of a random size into one of the peer's slots, a read of
 * it back, a send that names the slot, and after the peer's send a look at
 * what the peer has written here.  Nobody waits for the other but for the sends.
 */
static void crowd(struct end *e)
{
	struct shared mine;
	uint64_t peer_base, peer_mem;
	unsigned int seed = 77u + (unsigned int)e->server;
	uint8_t *source, *back;
	int round;

	open_rdma(e);
	mine = make_shared(e);
	source = e->block + BLOCK - 2 * SLOT;
	back = e->block + BLOCK - SLOT;
	for (round = 0; round < RECEIVES; round++)
		end_post_recv(e, 32 + round % 32, source - 4096 * (1 + round % 32), 64);
	end_connect(e);
	end_tell(e, (uintptr_t)mine.base);
	end_tell(e, mine.mem);
	peer_base = end_hear(e);
	peer_mem = end_hear(e);
	end_sync(e);
	for (round = 0; round < ROUNDS; round++) {
		uint32_t len = 1 + (uint32_t)rand_r(&seed) % (round % 3 ? 300 : SLOT - 64);
		uint32_t off = (uint32_t)rand_r(&seed) % 64, slot = (uint32_t)round % SLOTS;
		uint32_t *note = (uint32_t *)(void *)(e->block + 16 * 4096);
		uint64_t to = peer_base + slot * SLOT + off;
		VIP_DESCRIPTOR *d;
		VIP_RETURN r;

		fill_pattern(source, len, (unsigned int)round);
		memset(back, 0, len);
		note[0] = slot;
		note[1] = off;
		note[2] = len;
		post_rdma(e, 0, VIP_CONTROL_OP_RDMAWRITE, source, len, to, (VIP_MEM_HANDLE)peer_mem);
		post_rdma(e, 1, VIP_CONTROL_OP_RDMAREAD, back, len, to, (VIP_MEM_HANDLE)peer_mem);
		end_post_send(e, 2, note, 12);
		sent_well(e);
		sent_well(e);
		sent_well(e);
		CHECK_EQ(diff_pattern(back, len, (unsigned int)round), -1);
		CHECK_EQ(end_desc(e, 1)->CS.Status, VIP_STATUS_DONE | VIP_STATUS_OP_RDMA_READ);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		memcpy(note + 4, d->DS[0].Local.Data.Address, 12);
		CHECK(note[4] < SLOTS && note[6] < SLOT);
		CHECK_EQ(diff_pattern(mine.base + note[4] * SLOT + note[5], note[6], (unsigned int)round),
			 -1);
		CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
		if (round % SLOTS == SLOTS - 1)
			end_sync(e); /* a slot is written again only when it was looked at */
	}
	end_sync(e);
	end_close(e);
}

static void test_crowd(void **state)
{
	int level;

	(void)state;
	for (in_segment = 0; in_segment < 2; in_segment++) {
		for (level = VIP_SERVICE_RELIABLE_DELIVERY; level <= VIP_SERVICE_RELIABLE_RECEPTION;
		     level <<= 1)
			run_pair(crowd, crowd, level, 60);
	}
}

/* Forty reads at a time, then a fenced send of what the last one has brought. */
static void many_reads(struct end *e)
{
	struct shared mine;
	uint64_t peer_base, peer_mem;
	uint8_t *back;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int i;

	open_rdma(e);
	mine = make_shared(e);
	back = e->block + BLOCK - 41 * 4096;
	fill_pattern(mine.base, 41 * 4096, 5);
	end_post_recv(e, 50, back + 40 * 4096, 4096);
	end_connect(e);
	end_tell(e, (uintptr_t)mine.base);
	end_tell(e, mine.mem);
	peer_base = end_hear(e);
	peer_mem = end_hear(e);
	end_sync(e);
	for (i = 0; i < 40; i++)
		post_rdma(e, i, VIP_CONTROL_OP_RDMAREAD, back + i * 4096, 4096,
			  peer_base + (uint64_t)i * 4096, (VIP_MEM_HANDLE)peer_mem);
	d = end_fill(e, 41, back + 39 * 4096, 4096, e->mem);
	d->CS.Control = VIP_CONTROL_QFENCE;
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	for (i = 0; i < 41; i++)
		sent_well(e);
	CHECK_EQ(diff_pattern(back, 40 * 4096, 5), -1);
	d = end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	/* what the peer has read here, and sent back */
	CHECK_EQ(memcmp(back + 40 * 4096, mine.base + 39 * 4096, 4096), 0);
	end_sync(e);
	end_close(e);
}

static void test_many_reads(void **state)
{
	(void)state;
	for (in_segment = 0; in_segment < 2; in_segment++)
		run_pair(many_reads, many_reads, VIP_SERVICE_RELIABLE_DELIVERY, 30);
}

/* The target is deregistered while large writes are under way: an error for both, and no byte afterwards. */
static void target_owner(struct end *e)
{
	struct shared mine;

	open_rdma(e);
	mine = make_shared(e);
	memset(mine.base, 0, SLOTS * SLOT);
	end_connect(e);
	end_tell(e, (uintptr_t)mine.base);
	end_tell(e, mine.mem);
	end_hear(e); /* it writes */
	usleep(2000);
	CHECK_EQ(VipDeregisterMem(e->nic, mine.base, mine.mem), VIP_SUCCESS);
	memset(mine.base, 0x5a, SLOTS * SLOT);
	end_error(e, VIP_ERROR_RDMAW_PROT, 1);
	CHECK_EQ(end_state(e), VIP_STATE_ERROR);
	CHECK_EQ(mine.base[0], 0x5a);
	CHECK_EQ(memcmp(mine.base, mine.base + 1, SLOTS * SLOT - 1), 0);
	end_sync(e);
	end_close(e);
}

static void target_writer(struct end *e)
{
	uint64_t base, mem;
	VIP_DESCRIPTOR *d = NULL;
	VIP_RETURN r = VIP_SUCCESS;
	int i;

	open_rdma(e);
	end_connect(e);
	base = end_hear(e);
	mem = end_hear(e);
	end_tell(e, 1);
	for (i = 0; i < 100000 && r == VIP_SUCCESS; i++) {
		post_rdma(e, i % NDESC, VIP_CONTROL_OP_RDMAWRITE, end_data(e), SLOTS * SLOT, base,
			  (VIP_MEM_HANDLE)mem);
		d = end_sent(e, &r);
	}
	CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
	CHECK(d->CS.Status & VIP_STATUS_RDMA_PROT_ERROR);
	CHECK_EQ(end_state(e), VIP_STATE_ERROR);
	end_sync(e);
	end_close(e);
}

static void test_target_goes(void **state)
{
	(void)state;
	for (in_segment = 0; in_segment < 2; in_segment++)
		run_pair(target_owner, target_writer, VIP_SERVICE_RELIABLE_RECEPTION, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_many_reads),
		cmocka_unit_test(test_target_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
