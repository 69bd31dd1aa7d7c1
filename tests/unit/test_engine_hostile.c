/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_engine_hostile.c - the DMA engine and a peer that scribbles over everything
 * that it can write (rings, lengths, counters): nothing but registered memory is
 * ever written, and no call runs for ever.
 */
#include "nic-emu/core/emu_small.h"
#include "tests/unit/engine_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t any(void)
{
	return (uint32_t)random() ^ (uint32_t)random() << 16;
}

/* A value as an attacker would choose it. */
static uint64_t nasty(void)
{
	static const uint64_t edges[] = {0,	     1,		 EMU_LAND,   EMU_LAND + 1,  ~0ull,
					 1ull << 63, 1ull << 32, 0xffffffff, EMU_CELL_DATA, KA_DEPTH};

	return random() % 2 ? edges[random() % 10] : ((uint64_t)any() << 32 | any());
}

static uint64_t nasty_addr(int side)
{
	return random() % 3 ? (uintptr_t)eng_buf(side) + nasty() % (2 * ENG_BUF) : nasty();
}

static void scribble(struct emu_dir *d, uint64_t n)
{
	struct emu_post *p = &d->post[n % KA_DEPTH];
	struct emu_cell *c = &d->cell[n % KA_DEPTH];
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
			struct ka_seg at = {nasty_addr((int)(random() % 2)), random() % 3 ? 0x10000 : any(),
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
		struct ka_seg to[3] = {eng_seg(1, any() % ENG_BUF, any() % ENG_BUF),
				       eng_seg(1, any() % ENG_BUF, any() % 300),
				       eng_seg(1, any() % ENG_BUF, any() % ENG_BUF)};
		struct ka_seg from = eng_seg(0, any() % ENG_BUF, any() % 5000);
		struct emu_link *l = &eng.side[1].l;

		eng.mappable = (int)(random() % 2);
		eng.side[1].tpt[0].object = (uint64_t)(random() % 2);
		eng_changed();
		if (l->rx_posted - eng.side[0].l.tx_recv < KA_DEPTH)
			emu_post_recv(l, to, 1 + any() % 3, false);
		if (random() % 2)
			scribble(&eng.region->to[1], random() % 2 ? eng.side[0].l.tx_next : l->rx_next);
		if (eng.side[0].l.stream_left)
			emu_send_more(&eng.side[0].l);
		else if (random() % 3 == 0)
			eng_send(0, any() % ENG_BUF, any() % 4096);
		else if (random() % 2)
			emu_send_small(&eng.side[0].l, &from, 0, 0);
		else
			eng_write(0, any() % ENG_BUF, any() % 4096, nasty_addr(1), random() % 2);
		if (random() % 2)
			scribble(&eng.region->to[1], l->rx_next);
		if (any() % 2)
			emu_recv_small(l, to, &r);
		if (emu_recv_look(l))
			emu_recv_take(l, to, 1 + any() % 3, &r, &moved);
	}
	for (round = 0; round < ENG_GUARD; round++) {
		assert_int_equal(eng.side[1].memory[round], 0xcc);
		assert_int_equal(eng.side[1].memory[ENG_GUARD + ENG_BUF + round], 0xcc);
		assert_int_equal(eng.side[0].memory[round], 0xcc);
		assert_int_equal(eng.side[0].memory[ENG_GUARD + ENG_BUF + round], 0xcc);
	}
	/* the sender's own memory is only read */
	for (round = 0; round < ENG_BUF; round++)
		assert_int_equal(eng_buf(0)[round], 0xcc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hostile, eng_setup, eng_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
