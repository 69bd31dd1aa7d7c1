/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_engine.c - the DMA engine with both ends in one process: where data
 * goes for each way to the peer's memory, and a peer that scribbles over
 * everything that it can write (rings, lengths, counters): nothing but
 * registered memory is ever written, and no call runs for ever.
 */
#include "nic-emu/core/emu_small.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "vipl.h"

#define BUF   65536u
#define GUARD 4096u
#define TAG   7u

struct side {
	struct emu_link l;
	struct ka_tpt_entry tpt[KA_TPT_ENTRIES];
	uint8_t memory[GUARD + BUF + GUARD];
};

static struct side s[2];
static struct emu_region *region;
static int mappable;

static bool shrinks; /* what is mapped may not be touched */

static void *map_here(struct emu_link *l, const struct ka_tpt_entry *e, bool *direct)
{
	(void)l;
	*direct = !shrinks;
	return mappable ? (void *)(uintptr_t)e->start : NULL;
}

/* Memory that is touched with care: it has gone from `alive` bytes on. */
static uint64_t alive;
static unsigned int with_care, settled;
static uint32_t revoking[2];
static uint64_t idle[2][KA_TPT_ENTRIES / 64], told[2][KA_TPT_ENTRIES / 64]; /* and what the peer sees */
static uint32_t keeps[2][KA_TPT_ENTRIES];				    /* as each says */
static bool careful[2];

static bool get(struct emu_link *l, const struct emu_seg *from, uint64_t off, void *to, uint64_t n)
{
	(void)l;
	with_care++;
	if (off + n > alive)
		return false;
	memcpy(to, (void *)(uintptr_t)(from->addr + off), n);
	return true;
}

static bool put(struct emu_link *l, const struct emu_seg *to, uint64_t off, const void *from, uint64_t n,
		bool now_careful)
{
	(void)l, (void)now_careful;
	with_care++;
	if (off + n > alive)
		return false;
	memcpy((void *)(uintptr_t)(to->addr + off), from, n);
	return true;
}

static uint8_t *buf(int side)
{
	return s[side].memory + GUARD;
}

/* What the host copies: the peer's memory is there up to here, the own as `alive` says. */
static uint64_t peer_alive;
static unsigned int copies;
static void (*while_copying)(void);

static enum emu_copied copy(struct emu_link *l, const struct emu_copy *c)
{
	bool from_own = c->way == EMU_TO_WINDOW;
	uintptr_t to = (uintptr_t)c->to, own_at = from_own ? c->from : to, peer_at = from_own ? to : c->from;
	uint32_t me = l->side;

	copies++;
	if (own_at - (uintptr_t)buf((int)me) < BUF && own_at + c->n > (uintptr_t)buf((int)me) + alive)
		return EMU_OWN_GONE;
	if (peer_at + c->n > (uintptr_t)buf(1 - (int)me) + peer_alive)
		return EMU_PEER_GONE;
	memcpy(c->to, (void *)(uintptr_t)c->from, c->n);
	if (while_copying)
		while_copying();
	return EMU_COPIED;
}

static void settle(void)
{
	settled++;
	revoking[0] = revoking[1] = 0;
}

static const struct emu_host host = {.map = map_here, .get = get, .put = put, .copy = copy, .settle = settle};

static int setup(void **state)
{
	int i;

	(void)state;
	region = mmap(NULL, sizeof(*region), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (region == MAP_FAILED)
		return -1;
	memset(s, 0, sizeof(s));
	memset(revoking, 0, sizeof(revoking));
	memset(idle, 0, sizeof(idle));
	memset(told, 0, sizeof(told));
	memset(careful, 0, sizeof(careful));
	alive = peer_alive = BUF;
	with_care = settled = copies = 0;
	shrinks = false;
	while_copying = NULL;
	for (i = 0; i < 2; i++) {
		memset(s[i].memory, 0xcc, sizeof(s[i].memory));
		s[i].tpt[0] = (struct ka_tpt_entry){.handle = 0x10000,
						    .tag = TAG,
						    .start = (uintptr_t)buf(i),
						    .length = BUF,
						    .rights = KA_R_WRITE | KA_R_DIRECT | KA_R_RDMA_WRITE |
							      KA_R_RDMA_READ,
						    .kind = LMM_SYSV,
						    .object = 1,
						    .object_bytes = BUF};
		s[i].l = (struct emu_link){.region = region,
					   .own_tpt = s[i].tpt,
					   .peer_tpt = s[1 - i].tpt,
					   .host = &host,
					   .revoking = &revoking[i],
					   .peer_revoking = &revoking[1 - i],
					   .own_idle = idle[i],
					   .peer_idle = told[1 - i],
					   .peer_keeps = keeps[1 - i],
					   .tx_careful = &careful[i],
					   .rx_careful = &careful[i],
					   .side = (uint32_t)i,
					   .own_tag = TAG,
					   .peer_tag = TAG,
					   .own_rdma = KA_R_RDMA_WRITE | KA_R_RDMA_READ,
					   .peer_rdma = KA_R_RDMA_WRITE | KA_R_RDMA_READ,
					   .level = VIP_SERVICE_UNRELIABLE,
					   .max_transfer = BUF,
					   .small_most = EMU_SMALL,
					   .cell_most = EMU_CELL_DATA,
					   .pull_least = UINT64_MAX};
		region->ctl.side[i].ready = 1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return munmap(region, sizeof(*region));
}

/* As the agent does it: a reader that keeps an entry sees that it is another. */
static void changed(void)
{
	s[0].tpt[0].seq += 2;
	s[1].tpt[0].seq += 2;
}

static struct emu_seg seg(int side, uint32_t at, uint32_t len)
{
	return (struct emu_seg){(uintptr_t)buf(side) + at, 0x10000, len};
}

static enum emu_sent send_from(int side, uint32_t at, uint32_t len)
{
	struct emu_seg from = seg(side, at, len);

	return emu_send_start(&s[side].l,
			      &(struct emu_send){.op = EMU_OP_SEND, .seg = &from, .nsegs = 1, .total = len});
}

static enum emu_sent write_from(int side, uint32_t at, uint32_t len, uint64_t to, bool imm)
{
	struct emu_seg from = seg(side, at, len);

	return emu_send_start(&s[side].l, &(struct emu_send){.op = EMU_OP_WRITE,
							     .seg = &from,
							     .nsegs = 1,
							     .total = len,
							     .imm = 77,
							     .has_imm = imm,
							     .target = {to, 0x10000, 0}});
}

static bool take(const struct emu_seg *to, struct emu_recv *r, bool *moved)
{
	return emu_recv_look(&s[1].l) && emu_recv_take(&s[1].l, to, to ? 1 : 0, r, moved);
}

static void test_three_places(void **state)
{
	static const uint32_t sizes[] = {0, 1, EMU_CELL_DATA, EMU_CELL_DATA + 1, 50000};
	struct emu_seg to = seg(1, 100, 60000);
	struct emu_recv r;
	bool moved = false;
	size_t i, k;

	(void)state;
	for (mappable = 0; mappable < 2; mappable++) {
		for (i = 0; i < 5; i++) {
			for (k = 0; k < sizes[i]; k++)
				buf(0)[k] = (uint8_t)(k * 7 + i);
			memset(buf(1), 0x11, BUF);
			emu_post_recv(&s[1].l, &to, 1, false);
			assert_int_equal(send_from(0, 0, sizes[i]),
					 mappable || sizes[i] == 0 ? EMU_SENT : EMU_SENT_UNREAPED);
			if (mappable) /* there before the owner does anything */
				assert_memory_equal(buf(1) + 100, buf(0), sizes[i]);
			assert_true(emu_recv_look(&s[1].l));
			assert_true(take(&to, &r, &moved));
			assert_int_equal(r.status, 0);
			assert_int_equal(r.length, sizes[i]);
			assert_memory_equal(buf(1) + 100, buf(0), sizes[i]);
			assert_int_equal(buf(1)[100 + sizes[i]], 0x11);
			assert_false(emu_recv_look(&s[1].l));
		}
	}
}

/* The short ways do what the long ones do, and each understands the other. */
static void test_small(void **state)
{
	struct emu_seg to = seg(1, 100, 5000), from;
	struct emu_recv r;
	uint32_t i, k, size, shorts = 0;
	bool moved = false;

	(void)state;
	mappable = 0;
	s[1].tpt[0].object = 0;
	changed();
	for (i = 0; i < 20000; i++) {
		size = i % 3 ? (uint32_t)rand() % 100 : (uint32_t)rand() % 5001;
		from = seg(0, i % 64, size);
		for (k = 0; k < size; k++)
			buf(0)[i % 64 + k] = (uint8_t)(k * 7 + i);
		memset(buf(1) + 100 + size, 0x11, 16);
		emu_post_recv(&s[1].l, &to, 1, false);
		if (rand() % 2 && emu_send_small(&s[0].l, &from, VIP_STATUS_IMMEDIATE, i))
			shorts++;
		else
			assert_int_equal(emu_send_start(&s[0].l, &(struct emu_send){.op = EMU_OP_SEND,
										    .seg = &from,
										    .nsegs = 1,
										    .total = size,
										    .imm = i,
										    .has_imm = true}),
					 size ? EMU_SENT_UNREAPED : EMU_SENT);
		if (rand() % 2 && emu_recv_small(&s[1].l, &to, &r))
			shorts++;
		else
			assert_true(take(&to, &r, &moved));
		assert_int_equal(r.status, VIP_STATUS_IMMEDIATE);
		assert_int_equal(r.imm, i);
		assert_int_equal(r.length, size);
		assert_memory_equal(buf(1) + 100, buf(0) + i % 64, size);
		assert_int_equal(buf(1)[100 + size], 0x11);
	}
	assert_true(shorts > 15000);
}

/* What is not of the common kind they leave alone, wholly. */
static void test_not_small(void **state)
{
	struct emu_seg to = seg(1, 0, 100), from = seg(0, 0, 50), two[2] = {to, to};
	struct emu_link before;
	struct emu_recv r;
	bool moved;
	int i;

	(void)state;
	mappable = 0;
	assert_false(emu_send_small(&s[0].l, &from, 0, 0)); /* no receive */
	assert_false(emu_recv_small(&s[1].l, &to, &r));	    /* no message */
	for (i = 0; i < 7; i++) {
		s[0].tpt[0].rights = s[1].tpt[0].rights = KA_R_WRITE | KA_R_DIRECT;
		s[1].tpt[0].object = 0;
		from = seg(0, 0, 50);
		emu_post_recv(&s[1].l, i == 0 ? two : &to, i == 0 ? 2 : 1, i == 1);
		if (i == 2)
			s[1].tpt[0].object = 1;
		if (i == 3)
			s[0].tpt[0].rights = KA_R_WRITE; /* to be touched with care */
		if (i == 4)
			from.len = 101; /* more than there is room for */
		if (i == 5)
			from.handle++;
		if (i == 6)
			s[1].tpt[0].rights = 0;
		changed();
		before = s[0].l;
		assert_false(emu_send_small(&s[0].l, &from, 0, 0));
		assert_int_equal(s[0].l.tx_next, before.tx_next);
		assert_int_equal(s[0].l.tx_recv, before.tx_recv);
		assert_int_equal(s[0].l.land_head, before.land_head);
		if (send_from(0, 0, i == 4 ? 101 : 50) != EMU_BAD_SOURCE)
			assert_true(take(i == 0 ? two : &to, &r, &moved));
		s[1].l.rx_posted = s[0].l.tx_recv;
	}
	s[0].tpt[0].rights = s[1].tpt[0].rights = KA_R_WRITE | KA_R_DIRECT;
	s[1].tpt[0].object = 0;
	changed();
	emu_post_recv(&s[1].l, &to, 1, false);
	from = seg(0, 0, 50);
	assert_true(emu_send_small(&s[0].l, &from, 0, 0));
	to.len = 49; /* what a peer may make of it */
	assert_false(emu_recv_small(&s[1].l, &to, &r));
	to.len = 100;
	s[1].tpt[0].rights = KA_R_WRITE;
	changed();
	assert_false(emu_recv_small(&s[1].l, &to, &r));
	region->to[1].cell[s[1].l.rx_next % EMU_DEPTH].length = EMU_CELL_DATA + 1;
	s[1].tpt[0].rights = KA_R_WRITE | KA_R_DIRECT;
	changed();
	assert_false(emu_recv_small(&s[1].l, &to, &r));
}

static void test_errors(void **state)
{
	struct emu_seg to = seg(1, 0, 100);
	struct emu_recv r;
	bool moved;

	(void)state;
	mappable = 1;
	assert_int_equal(send_from(0, 0, 10), EMU_NO_RECEIVE);
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, BUF - 9, 10), EMU_BAD_SOURCE);
	assert_int_equal(send_from(0, 0, 101), EMU_BAD_RECEIVE);
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_LENGTH_ERROR);
	s[1].tpt[0].rights = 0; /* read-only memory */
	changed();
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 10), EMU_BAD_RECEIVE);
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	s[1].tpt[0].rights = KA_R_WRITE | KA_R_DIRECT;
	changed();
	emu_set_down(&s[1].l, KA_DOWN_DISCONNECT);
	assert_int_equal(send_from(0, 0, 10), EMU_IS_DOWN);
	assert_int_equal(emu_down(&s[0].l), KA_DOWN_DISCONNECT | 1 << 8);
}

/* Without KA_R_DIRECT, or by a thread that is careful, own memory is touched through the host alone. */
static void test_with_care(void **state)
{
	static const uint32_t sizes[] = {100, 50000};
	struct emu_seg to = seg(1, 0, 60000);
	struct emu_recv r;
	bool moved;
	size_t i;

	(void)state;
	mappable = 0;
	for (i = 0; i < 4; i++) {
		uint32_t size = sizes[i % 2];

		with_care = 0;
		careful[0] = careful[1] = i < 2;
		s[0].tpt[0].rights = s[1].tpt[0].rights =
			(uint16_t)(i < 2 ? KA_R_WRITE | KA_R_DIRECT : KA_R_WRITE);
		changed();
		memset(buf(0), (int)i + 1, size);
		emu_post_recv(&s[1].l, &to, 1, false);
		assert_int_equal(send_from(0, 0, size), EMU_SENT_UNREAPED);
		assert_int_not_equal(with_care, 0);
		with_care = 0;
		assert_true(take(&to, &r, &moved));
		assert_int_not_equal(with_care, 0);
		assert_int_equal(r.length, size);
		assert_memory_equal(buf(1), buf(0), size);
	}
}

/* Memory that goes: under the receiver, under the sender before and in the middle of a message. */
static void test_gone(void **state)
{
	struct emu_seg to = seg(1, 0, 60000);
	struct emu_recv r;
	bool moved;

	(void)state;
	s[0].tpt[0].rights = s[1].tpt[0].rights = KA_R_WRITE;
	changed();
	mappable = 0;
	/* in a cell: nothing has happened, and the receive is not used up */
	emu_post_recv(&s[1].l, &to, 1, false);
	alive = 50;
	assert_int_equal(send_from(0, 0, 100), EMU_BAD_SOURCE);
	alive = BUF;
	assert_int_equal(send_from(0, 0, 100), EMU_SENT_UNREAPED);
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, 0);
	/* in the landing ring: the receiver hears of it */
	emu_post_recv(&s[1].l, &to, 1, false);
	alive = 40000;
	assert_int_equal(send_from(0, 0, 50000), EMU_SENT_UNREAPED);
	assert_true(s[0].l.source_gone);
	alive = BUF;
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	/* in place */
	mappable = 1;
	emu_post_recv(&s[1].l, &to, 1, false);
	alive = 0;
	assert_int_equal(send_from(0, 0, 50000), EMU_SOURCE_GONE);
	assert_int_equal(region->ctl.side[0].busy % 2, 0);
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	/* under the receiver */
	mappable = 0;
	alive = BUF;
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 50000), EMU_SENT_UNREAPED);
	alive = 40000;
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(r.length, 0);
	/* and the next one is as good as any */
	alive = BUF;
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 50000), EMU_SENT_UNREAPED);
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, 0);
}

/* While an end's memory is being taken out of its TPT, it waits, and its peer leaves writing to it. */
static void test_revoking(void **state)
{
	struct emu_seg to = seg(1, 0, 60000);
	struct emu_recv r;
	bool moved;

	(void)state;
	mappable = 1;
	emu_post_recv(&s[1].l, &to, 1, false);
	revoking[0] = 1;
	assert_int_equal(send_from(0, 0, 100), EMU_SENT);
	assert_int_equal(settled, 1);
	assert_true(take(&to, &r, &moved));
	emu_post_recv(&s[1].l, &to, 1, false);
	memset(buf(1), 0x22, 100);
	revoking[1] = 1;
	assert_int_equal(send_from(0, 0, 100), EMU_SENT_UNREAPED);
	assert_int_equal(buf(1)[0], 0x22);
	s[1].tpt[0].tag = 0; /* it has gone */
	changed();
	assert_true(take(&to, &r, &moved));
	assert_int_equal(settled, 2);
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(buf(1)[0], 0x22);
}

/* A region that its owner only keeps for later is refused: by him, and by a peer that is told so. */
static void test_idle(void **state)
{
	struct emu_seg to = seg(1, 0, 60000), target = seg(1, 0, 100), from = seg(0, 0, 100);
	struct emu_place place;
	struct emu_recv r;
	bool moved;

	(void)state;
	mappable = 1;
	idle[0][0] = 1;
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 100), EMU_BAD_SOURCE);
	idle[0][0] = 0;

	/* kept between the look and the copy */
	assert_int_equal(emu_read_check(&s[0].l, &target, &place), 1);
	told[1][0] = 1;
	assert_int_equal(emu_read_here(&s[0].l, &target, &place, &from, 1), EMU_BAD_TARGET);
	assert_int_equal(emu_read_check(&s[0].l, &target, &place), -1);
	told[1][0] = 0;

	/* the peer does not know it yet */
	idle[1][0] = 1;
	mappable = 0;
	memset(buf(1), 0x22, 100);
	assert_int_equal(send_from(0, 0, 100), EMU_SENT_UNREAPED);
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);

	/* it does */
	told[1][0] = 1;
	assert_int_equal(write_from(0, 0, 100, (uintptr_t)buf(1), false), EMU_BAD_TARGET);
	assert_true(take(NULL, &r, &moved));
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 100), EMU_BAD_RECEIVE);
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(buf(1)[0], 0x22);

	/* and it is in use again */
	told[1][0] = idle[1][0] = 0;
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 100), EMU_SENT_UNREAPED);
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, 0);
	assert_memory_equal(buf(1), buf(0), 100);
}

/* RDMA writes: sizes and alignments, bytes around untouched, with and without a receive. */
static void test_write(void **state)
{
	static const uint32_t sizes[] = {0, 1, 7, 8, 9, 63, EMU_CELL_DATA, EMU_CELL_DATA + 1, 50001};
	struct emu_seg none = seg(1, 0, 0);
	bool moved = false, imm;
	struct emu_recv r;
	uint32_t at;
	size_t i;

	(void)state;
	for (mappable = 0; mappable < 2; mappable++) {
		for (i = 0; i < 9 * 9; i++) {
			imm = i % 2;
			at = 100 + (uint32_t)(i % 9);
			memset(buf(0), (int)i + 1, sizes[i / 9]);
			memset(buf(1), 0, BUF);
			if (imm) {
				assert_int_equal(write_from(0, 0, 1, (uintptr_t)buf(1), true),
						 EMU_NO_RECEIVE);
				emu_post_recv(&s[1].l, &none, 1, false);
			}
			assert_int_equal(write_from(0, 0, sizes[i / 9], (uintptr_t)buf(1) + at, imm),
					 mappable || sizes[i / 9] == 0 ? EMU_SENT : EMU_SENT_UNREAPED);
			/* in place and without immediate data it is no message */
			assert_int_equal(emu_recv_look(&s[1].l), imm || (!mappable && sizes[i / 9]));
			if (emu_recv_look(&s[1].l)) {
				assert_int_equal(s[1].l.rx_msg.op, imm ? EMU_OP_WRITE_IMM : EMU_OP_WRITE);
				assert_true(take(NULL, &r, &moved));
				assert_int_equal(r.status, imm ? VIP_STATUS_IMMEDIATE : 0);
				assert_int_equal(r.length, sizes[i / 9]);
			}
			assert_memory_equal(buf(1) + at, buf(0), sizes[i / 9]);
			assert_int_equal(buf(1)[at - 1], 0);
			assert_int_equal(buf(1)[at + sizes[i / 9]], 0);
		}
	}
}

/* What may not be written is not, and the peer is told. */
static void test_write_refused(void **state)
{
	struct emu_recv r;
	bool moved;
	int fault;

	(void)state;
	for (mappable = 0; mappable < 2; mappable++) {
		for (fault = 0; fault < 4; fault++) {
			s[1].tpt[0].rights =
				(uint16_t)(fault == 0 ? KA_R_WRITE : KA_R_WRITE | KA_R_RDMA_WRITE);
			changed();
			s[0].l.peer_rdma = fault == 1 ? 0 : KA_R_RDMA_WRITE;
			s[1].tpt[0].tag = fault == 2 ? TAG + 1 : TAG;
			changed();
			assert_int_equal(
				write_from(0, 0, 100, (uintptr_t)buf(1) + (fault == 3 ? BUF - 99 : 0), false),
				EMU_BAD_TARGET);
			assert_true(take(NULL, &r, &moved));
			assert_int_equal(r.status, VIP_STATUS_RDMA_PROT_ERROR);
			assert_int_equal(buf(1)[0], 0xcc);
		}
	}
	/* taken out after it was sent: the owner finds it, and the sender can learn of it */
	mappable = 0;
	assert_int_equal(write_from(0, 0, 100, (uintptr_t)buf(1), false), EMU_SENT_UNREAPED);
	s[1].tpt[0].tag = 0;
	changed();
	assert_true(take(NULL, &r, &moved));
	assert_int_equal(r.status, VIP_STATUS_RDMA_PROT_ERROR);
	assert_int_equal(region->to[1].rx.failed, s[0].l.tx_next);
	assert_int_equal(region->to[1].rx.error, VIP_STATUS_RDMA_PROT_ERROR);
}

/* Nothing that is seen at once overtakes what is still on its way. */
static void test_no_overtaking(void **state)
{
	struct emu_seg to = seg(1, 0, 1000);
	struct emu_recv r;
	bool moved;

	(void)state;
	mappable = 0;
	assert_int_equal(write_from(0, 0, 100, (uintptr_t)buf(1), false), EMU_SENT_UNREAPED);
	mappable = 1;
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(write_from(0, 0, 10, (uintptr_t)buf(1), false), EMU_SENT_UNREAPED);
	assert_int_equal(send_from(0, 0, 100), EMU_SENT_UNREAPED);
	while (emu_recv_look(&s[1].l))
		assert_true(take(&to, &r, &moved));
	assert_int_equal(write_from(0, 0, 10, (uintptr_t)buf(1), false), EMU_SENT);
}

/* More messages than cells: the sender waits for the peer. */
static void test_cells(void **state)
{
	struct emu_recv r;
	bool moved;
	int i;

	(void)state;
	mappable = 0;
	for (i = 0; i < (int)EMU_DEPTH; i++)
		assert_int_equal(write_from(0, 0, 10, (uintptr_t)buf(1), false), EMU_SENT_UNREAPED);
	assert_int_equal(write_from(0, 0, 10, (uintptr_t)buf(1), false), EMU_NOT_READY);
	assert_true(take(NULL, &r, &moved));
	assert_int_equal(write_from(0, 0, 10, (uintptr_t)buf(1), false), EMU_SENT_UNREAPED);
	assert_int_equal(write_from(0, 0, 10, (uintptr_t)buf(1), false), EMU_NOT_READY);
}

static void test_read(void **state)
{
	struct emu_seg target = seg(1, 8, 300), to = seg(0, 100, 300);
	struct emu_send reply = {.op = EMU_OP_REPLY, .seg = &target, .nsegs = 1, .total = 300};
	struct emu_place place;
	struct emu_recv r;
	bool moved;

	(void)state;
	memset(buf(1) + 8, 0x42, 300);
	mappable = 1;
	assert_int_equal(emu_read_check(&s[0].l, &target, &place), 1);
	assert_ptr_equal(place.at, buf(1) + 8);
	mappable = 0;
	assert_int_equal(emu_read_check(&s[0].l, &target, &place), 0);
	assert_int_equal(
		emu_send_start(&s[0].l,
			       &(struct emu_send){.op = EMU_OP_READ, .total = 300, .target = target}),
		EMU_SENT_UNREAPED);
	assert_true(take(NULL, &r, &moved));
	assert_int_equal(r.status, 0);
	assert_int_equal(emu_send_start(&s[1].l, &reply), EMU_SENT_UNREAPED);
	assert_true(emu_recv_look(&s[0].l));
	assert_int_equal(s[0].l.rx_msg.op, EMU_OP_REPLY);
	assert_true(emu_recv_take(&s[0].l, &to, 1, &r, &moved));
	assert_int_equal(r.length, 300);
	assert_memory_equal(buf(0) + 100, buf(1) + 8, 300);
	s[1].tpt[0].rights &= (uint16_t)~KA_R_RDMA_READ;
	changed();
	assert_int_equal(emu_read_check(&s[0].l, &target, &place), -1);
	assert_int_equal(emu_send_start(&s[1].l, &reply), EMU_BAD_SOURCE);
	s[1].tpt[0].rights |= KA_R_RDMA_READ;
	changed();
	s[0].l.peer_rdma = KA_R_RDMA_WRITE;
	assert_int_equal(emu_read_check(&s[0].l, &target, &place), -1);
}

/* A window that may shrink: the host copies, and who has gone is told apart. */
static void test_shrinking_window(void **state)
{
	struct emu_seg to = seg(1, 0, 60000), target = seg(1, 8, 300), own_seg = seg(0, 100, 300);
	struct emu_place place;
	struct emu_recv r;
	bool moved;

	(void)state;
	mappable = 1;
	shrinks = true;
	memset(buf(0), 0x31, 50000);
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 50000), EMU_SENT);
	assert_int_equal(copies, 1);
	assert_memory_equal(buf(1), buf(0), 50000);
	assert_true(take(&to, &r, &moved));
	/* the flag behind the data is written last, by itself */
	copies = 0;
	assert_int_equal(write_from(0, 0, 100, (uintptr_t)buf(1), false), EMU_SENT);
	assert_int_equal(copies, 2);
	/* the target shrinks: an error for both */
	peer_alive = 40000;
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 50000), EMU_BAD_RECEIVE);
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	/* the source has gone */
	peer_alive = BUF;
	alive = 40000;
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 50000), EMU_SOURCE_GONE);
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	/* a read: what is not there is asked for */
	alive = BUF;
	memset(buf(1) + 8, 0x42, 300);
	assert_int_equal(emu_read_check(&s[0].l, &target, &place), 1);
	assert_int_equal(emu_read_here(&s[0].l, &target, &place, &own_seg, 1), EMU_SENT);
	assert_memory_equal(buf(0) + 100, buf(1) + 8, 300);
	peer_alive = 100;
	assert_int_equal(emu_read_here(&s[0].l, &target, &place, &own_seg, 1), EMU_NOT_READY);
	peer_alive = BUF;
	alive = 200;
	assert_int_equal(emu_read_here(&s[0].l, &target, &place, &own_seg, 1), EMU_BAD_SOURCE);
	assert_int_equal(region->ctl.side[0].busy % 2, 0);
}

/* Both ends can read the other one's memory, and do. */
static void let_pull(void)
{
	int i;

	mappable = 0;
	for (i = 0; i < 2; i++) {
		s[i].l.pull_least = 1;
		s[i].l.small_most = 0;
		s[i].l.pulls = true;
		region->to[i].rx.pulls = 1;
	}
}

/* Segments of all lengths and borders on both sides; the source is in use until it was taken. */
static void test_held(void **state)
{
	struct emu_seg from[EMU_HELD_SEGS + 1], to[7];
	uint32_t round, i, sum, room;
	struct emu_recv r;
	bool moved;

	(void)state;
	let_pull();
	srandom(4711);
	for (round = 0; round < 2000; round++) {
		uint32_t nfrom = 1 + (uint32_t)random() % (EMU_HELD_SEGS + 1), flat = 0;
		uint8_t sent[32768];

		for (i = sum = 0; i < nfrom; i++) {
			from[i] = seg(0, (uint32_t)random() % 30000,
				      (uint32_t)random() % (random() % 2 ? 2000 : 5));
			sum += from[i].len;
		}
		for (i = 0; i < 32000; i++)
			buf(0)[i] = (uint8_t)(i * 31 + round);
		for (i = 0; i < nfrom; flat += from[i++].len)
			memcpy(sent + flat, (void *)(uintptr_t)from[i].addr, from[i].len);
		for (i = room = 0; i < 7; i++) {
			to[i] = seg(1, i * 8192, i == 6 ? sum : (uint32_t)random() % 3000);
			room += to[i].len;
		}
		memset(buf(1), 0, BUF);
		emu_post_recv(&s[1].l, to, 7, false);
		copies = 0;
		switch (emu_send_start(
			&s[0].l,
			&(struct emu_send){.op = EMU_OP_SEND, .seg = from, .nsegs = nfrom, .total = sum})) {
		case EMU_SENT_HELD:
			assert_true(emu_holds(&s[0].l));
			break;
		case EMU_SENT: /* nothing to send */
			assert_int_equal(sum, 0);
			break;
		default: /* more segments than a cell names */
			assert_int_equal(s[0].l.tx_nsegs, EMU_HELD_SEGS + 1);
			break;
		}
		assert_true(emu_recv_look(&s[1].l));
		assert_true(emu_recv_take(&s[1].l, to, 7, &r, &moved));
		assert_int_equal(r.status, 0);
		assert_int_equal(r.length, sum);
		assert_false(emu_holds(&s[0].l));
		for (i = flat = 0; i < 7 && flat < sum; i++) {
			uint32_t n = to[i].len < sum - flat ? to[i].len : sum - flat;

			assert_memory_equal((void *)(uintptr_t)to[i].addr, sent + flat, n);
			flat += n;
		}
	}
	/* an RDMA write */
	memset(buf(0), 0x55, 1000);
	assert_int_equal(write_from(0, 0, 1000, (uintptr_t)buf(1) + 3, false), EMU_SENT_HELD);
	assert_int_equal(buf(1)[3] == 0x55 && buf(1)[1002] == 0x55, false);
	assert_true(take(NULL, &r, &moved));
	assert_memory_equal(buf(1) + 3, buf(0), 1000);
}

static void take_out(void)
{
	s[0].tpt[0].tag = 0;
}

/* Into the registration cache, and out of it. */
static void keep_and_take(void)
{
	keeps[0][0]++;
}

static void end_it(void)
{
	emu_set_down(&s[0].l, KA_DOWN_DISCONNECT);
}

static void begin_revoking(void)
{
	revoking[0] = 1;
}

/* What was read while its region went away, or the connection ended, does not count. */
static void test_held_goes(void **state)
{
	struct emu_seg to = seg(1, 0, 60000), pieces[2] = {seg(1, 0, 2500), seg(1, 2500, 2500)};
	struct emu_recv r;
	bool moved;

	(void)state;
	let_pull();
	/* before, by its address, and by the TPT during the copy */
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 5000), EMU_SENT_HELD);
	peer_alive = 100;
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	assert_true(emu_lost(&s[0].l, s[0].l.tx_next));
	assert_int_equal(region->to[1].rx.failed, 0);
	peer_alive = BUF;
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 5000), EMU_SENT_HELD);
	while_copying = take_out;
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	assert_true(emu_lost(&s[0].l, s[0].l.tx_next));
	/* also that the sender has not heard of yet */
	assert_true(emu_lost(&s[0].l, s[0].l.tx_next - 1));
	assert_false(emu_lost(&s[0].l, 0));
	s[0].tpt[0].tag = TAG;
	/* the handle is valid again, but not for this message */
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 5000), EMU_SENT_HELD);
	while_copying = keep_and_take;
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	assert_true(emu_lost(&s[0].l, s[0].l.tx_next));
	while_copying = take_out;
	/* the last word of a write, which a program may watch, is not written then */
	assert_int_equal(write_from(0, 0, 64, (uintptr_t)buf(1), false), EMU_SENT_HELD);
	memset(buf(0), 0x77, 64);
	memset(buf(1), 0, 64);
	assert_true(take(NULL, &r, &moved));
	assert_int_equal(buf(1)[55], 0x77);
	assert_int_equal(buf(1)[56], 0);
	s[0].tpt[0].tag = TAG;
	/* something is going: it is tried again */
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 5000), EMU_SENT_HELD);
	while_copying = begin_revoking;
	assert_false(take(&to, &r, &moved));
	revoking[0] = 0;
	while_copying = NULL;
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status, 0);
	/* the target has gone */
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 5000), EMU_SENT_HELD);
	alive = 100;
	assert_true(take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(region->to[1].rx.failed, s[0].l.tx_next);
	alive = BUF;
	/* what nobody tells of when it goes is not left for the peer */
	s[0].tpt[0].rights &= (uint16_t)~KA_R_DIRECT;
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 5000), EMU_SENT_UNREAPED);
	assert_true(take(&to, &r, &moved));
	s[0].tpt[0].rights |= KA_R_DIRECT;
	/* the sender takes everything back, and waits for one piece */
	emu_post_recv(&s[1].l, pieces, 2, false);
	assert_int_equal(send_from(0, 0, 5000), EMU_SENT_HELD);
	while_copying = end_it;
	copies = 0;
	assert_true(emu_recv_look(&s[1].l));
	assert_false(emu_recv_take(&s[1].l, pieces, 2, &r, &moved));
	assert_int_equal(copies, 1);
	while_copying = NULL;
	copies = 0;
	assert_false(take(&to, &r, &moved));
	assert_int_equal(copies, 0);
	assert_true(emu_holds(&s[0].l));
}

/* A read out of the peer's process: the TPT decides, before and after. */
static void test_read_pulled(void **state)
{
	struct emu_seg target = seg(1, 8, 300), to = seg(0, 100, 300);
	struct emu_place place;

	(void)state;
	let_pull();
	memset(buf(1) + 8, 0x42, 300);
	assert_int_equal(emu_read_check(&s[0].l, &target, &place), 1);
	assert_null(place.at);
	assert_int_equal(emu_read_here(&s[0].l, &target, &place, &to, 1), EMU_SENT);
	assert_memory_equal(buf(0) + 100, buf(1) + 8, 300);
	peer_alive = 200;
	assert_int_equal(emu_read_here(&s[0].l, &target, &place, &to, 1), EMU_NOT_READY);
	peer_alive = BUF;
	s[1].tpt[0].rights &= (uint16_t)~KA_R_DIRECT;
	assert_int_equal(emu_read_check(&s[0].l, &target, &place), 0);
	s[1].tpt[0].rights |= KA_R_DIRECT;
	/* not past a write that is on its way */
	assert_int_equal(write_from(0, 0, 10, (uintptr_t)buf(1), false), EMU_SENT_HELD);
	assert_int_equal(emu_read_check(&s[0].l, &target, &place), 0);
}

static uint32_t any(void)
{
	return (uint32_t)random() ^ (uint32_t)random() << 16;
}

/* A value as an attacker would choose it. */
static uint64_t nasty(void)
{
	static const uint64_t edges[] = {0,	     1,		 EMU_LAND,   EMU_LAND + 1,  ~0ull,
					 1ull << 63, 1ull << 32, 0xffffffff, EMU_CELL_DATA, EMU_DEPTH};

	return random() % 2 ? edges[random() % 10] : ((uint64_t)any() << 32 | any());
}

static uint64_t nasty_addr(int side)
{
	return random() % 3 ? (uintptr_t)buf(side) + nasty() % (2 * BUF) : nasty();
}

static void scribble(struct emu_dir *d, uint64_t n)
{
	struct emu_post *p = &d->post[n % EMU_DEPTH];
	struct emu_cell *c = &d->cell[n % EMU_DEPTH];
	int i;

	switch (random() % 8) {
	case 0:
		p->nsegs = (uint16_t)nasty();
		p->flags = (uint16_t)(random() % 4);
		break;
	case 1:
		i = (int)(random() % EMU_POST_SEGS);
		p->seg[i].addr = nasty_addr((int)(random() % 2));
		p->seg[i].len = (uint32_t)nasty();
		p->seg[i].handle = random() % 2 ? 0x10000 : any();
		break;
	case 2:
		c->seq = emu_seq(n);
		c->status = random() % 2 ? any() : (uint32_t)(random() % 4) << 30;
		c->length = (uint32_t)nasty();
		break;
	case 3:
		d->tx.land_head = nasty();
		break;
	case 5:
		c->op = (uint32_t)(random() % 7);
		c->addr = nasty_addr((int)(random() % 2));
		c->handle = random() % 2 ? 0x10000 : any();
		break;
	case 4:
		d->rx.land_tail = nasty();
		break;
	case 6: /* segments of a message in the sender's memory */
		for (i = 0; i < (int)EMU_HELD_SEGS; i++) {
			struct emu_seg at = {nasty_addr((int)(random() % 2)), random() % 3 ? 0x10000 : any(),
					     random() % 2 ? (uint32_t)(any() % 3000) : (uint32_t)nasty()};

			memcpy(c->data + (size_t)i * sizeof(at), &at, sizeof(at));
		}
		break;
	default:
		d->rx.reaped = nasty();
		break;
	}
}

static void test_hostile(void **state)
{
	uint32_t seed = 20010429, round;
	struct emu_recv r;
	bool moved;

	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	for (round = 0; round < 200000; round++) {
		struct emu_seg to[3] = {seg(1, any() % BUF, any() % BUF), seg(1, any() % BUF, any() % 300),
					seg(1, any() % BUF, any() % BUF)};
		struct emu_seg from = seg(0, any() % BUF, any() % 5000);
		struct emu_link *l = &s[1].l;

		mappable = (int)(random() % 2);
		s[1].tpt[0].object = (uint64_t)(random() % 2);
		changed();
		if (l->rx_posted - s[0].l.tx_recv < EMU_DEPTH)
			emu_post_recv(l, to, 1 + any() % 3, false);
		if (random() % 2)
			scribble(&region->to[1], random() % 2 ? s[0].l.tx_next : l->rx_next);
		if (s[0].l.stream_left)
			emu_send_more(&s[0].l);
		else if (random() % 3 == 0)
			send_from(0, any() % BUF, any() % 4096);
		else if (random() % 2)
			emu_send_small(&s[0].l, &from, 0, 0);
		else
			write_from(0, any() % BUF, any() % 4096, nasty_addr(1), random() % 2);
		if (random() % 2)
			scribble(&region->to[1], l->rx_next);
		if (any() % 2)
			emu_recv_small(l, to, &r);
		if (emu_recv_look(l))
			emu_recv_take(l, to, 1 + any() % 3, &r, &moved);
	}
	for (round = 0; round < GUARD; round++) {
		assert_int_equal(s[1].memory[round], 0xcc);
		assert_int_equal(s[1].memory[GUARD + BUF + round], 0xcc);
		assert_int_equal(s[0].memory[round], 0xcc);
		assert_int_equal(s[0].memory[GUARD + BUF + round], 0xcc);
	}
	/* the sender's own memory is only read */
	for (round = 0; round < BUF; round++)
		assert_int_equal(buf(0)[round], 0xcc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_three_places, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_small, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_with_care, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_revoking, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_overtaking, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cells, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shrinking_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_pulled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
