/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_engine.c - the DMA engine with both ends in one process: where data
 * goes for each way to the peer's memory, and a peer that scribbles over
 * everything that it can write (rings, lengths, counters): nothing but
 * registered memory is ever written, and no call runs for ever.
 */
#include "nic-emu/core/emu_engine.h"

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

static void *map_here(struct emu_link *l, const struct ka_tpt_entry *e)
{
	(void)l;
	return mappable ? (void *)(uintptr_t)e->start : NULL;
}

static const struct emu_host host = {.map = map_here};

static uint8_t *buf(int side)
{
	return s[side].memory + GUARD;
}

static int setup(void **state)
{
	int i;

	(void)state;
	region = mmap(NULL, sizeof(*region), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (region == MAP_FAILED)
		return -1;
	memset(s, 0, sizeof(s));
	for (i = 0; i < 2; i++) {
		memset(s[i].memory, 0xcc, sizeof(s[i].memory));
		s[i].tpt[0] = (struct ka_tpt_entry){.handle = 0x10000,
						    .tag = TAG,
						    .start = (uintptr_t)buf(i),
						    .length = BUF,
						    .rights = KA_R_WRITE,
						    .object_kind = KA_OBJ_SYSV,
						    .object = 1,
						    .object_bytes = BUF};
		s[i].l = (struct emu_link){.region = region,
					   .own_tpt = s[i].tpt,
					   .peer_tpt = s[1 - i].tpt,
					   .host = &host,
					   .side = (uint32_t)i,
					   .own_tag = TAG,
					   .peer_tag = TAG,
					   .level = VIP_SERVICE_UNRELIABLE,
					   .max_transfer = BUF};
		region->ctl.side[i].ready = 1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return munmap(region, sizeof(*region));
}

static struct emu_seg seg(int side, uint32_t at, uint32_t len)
{
	return (struct emu_seg){(uintptr_t)buf(side) + at, 0x10000, len};
}

static enum emu_sent send_from(int side, uint32_t at, uint32_t len)
{
	struct emu_seg from = seg(side, at, len);

	return emu_send_start(&s[side].l, &(struct emu_send){.seg = &from, .nsegs = 1, .total = len});
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
			assert_true(emu_recv_ready(&s[1].l));
			assert_true(emu_recv_take(&s[1].l, &to, 1, &r, &moved));
			assert_int_equal(r.status, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
			assert_int_equal(r.length, sizes[i]);
			assert_memory_equal(buf(1) + 100, buf(0), sizes[i]);
			assert_int_equal(buf(1)[100 + sizes[i]], 0x11);
			assert_false(emu_recv_ready(&s[1].l));
		}
	}
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
	assert_true(emu_recv_take(&s[1].l, &to, 1, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_LENGTH_ERROR);
	s[1].tpt[0].rights = 0; /* read-only memory */
	emu_post_recv(&s[1].l, &to, 1, false);
	assert_int_equal(send_from(0, 0, 10), EMU_BAD_RECEIVE);
	assert_true(emu_recv_take(&s[1].l, &to, 1, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	s[1].tpt[0].rights = KA_R_WRITE;
	emu_set_down(&s[1].l, KA_DOWN_DISCONNECT);
	assert_int_equal(send_from(0, 0, 10), EMU_IS_DOWN);
	assert_int_equal(emu_down(&s[0].l), KA_DOWN_DISCONNECT | 1 << 8);
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

static void scribble(struct emu_dir *d, uint64_t n)
{
	struct emu_post *p = &d->post[n % EMU_DEPTH];
	struct emu_cell *c = &d->cell[n % EMU_DEPTH];
	int i;

	switch (random() % 6) {
	case 0:
		p->nsegs = (uint16_t)nasty();
		p->flags = (uint16_t)(random() % 4);
		break;
	case 1:
		i = (int)(random() % EMU_POST_SEGS);
		p->seg[i].addr =
			random() % 3 ? (uintptr_t)buf((int)(random() % 2)) + nasty() % (2 * BUF) : nasty();
		p->seg[i].len = (uint32_t)nasty();
		p->seg[i].handle = random() % 2 ? 0x10000 : any();
		break;
	case 2:
		c->seq = emu_seq(n);
		c->status = random() % 2 ? any() : (uint32_t)(random() % 3) << 30;
		c->length = (uint32_t)nasty();
		break;
	case 3:
		d->tx.land_head = nasty();
		break;
	case 4:
		d->rx.land_tail = nasty();
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
		struct emu_link *l = &s[1].l;

		mappable = (int)(random() % 2);
		if (l->rx_posted - l->rx_next < EMU_DEPTH)
			emu_post_recv(l, to, 1 + any() % 3, false);
		if (random() % 2)
			scribble(&region->to[1], random() % 2 ? s[0].l.tx_next : l->rx_next);
		if (s[0].l.stream_left)
			emu_send_more(&s[0].l);
		else
			send_from(0, any() % BUF, any() % 4096);
		if (random() % 2)
			scribble(&region->to[1], l->rx_next);
		if (emu_recv_ready(l) && l->rx_next < l->rx_posted)
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
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
