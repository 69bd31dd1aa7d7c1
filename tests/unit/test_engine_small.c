/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_engine_small.c - the DMA engine's short ways for a small message: they do
 * what the long ones do, or nothing.
 */
#include "nic-emu/core/emu_small.h"
#include "tests/unit/engine_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vipl.h"

/* The short ways do what the long ones do, and each understands the other. */
static void test_small(void **state)
{
	struct ka_seg to = eng_seg(1, 100, 5000), from;
	struct emu_recv r;
	uint32_t i, k, size, shorts = 0;
	bool moved = false;

	(void)state;
	eng.mappable = 0;
	eng.side[1].tpt[0].object = 0;
	eng_changed();
	for (i = 0; i < 20000; i++) {
		size = i % 3 ? (uint32_t)rand() % 100 : (uint32_t)rand() % 5001;
		from = eng_seg(0, i % 64, size);
		for (k = 0; k < size; k++)
			eng_buf(0)[i % 64 + k] = (uint8_t)(k * 7 + i);
		memset(eng_buf(1) + 100 + size, 0x11, 16);
		emu_post_recv(&eng.side[1].l, &to, 1, false);
		if (rand() % 2 && emu_send_small(&eng.side[0].l, &from, VIP_STATUS_IMMEDIATE, i))
			shorts++;
		else
			assert_int_equal(emu_send_start(&eng.side[0].l, &(struct emu_send){.op = EMU_OP_SEND,
											   .seg = &from,
											   .nsegs = 1,
											   .total = size,
											   .imm = i,
											   .has_imm = true}),
					 size ? EMU_SENT_UNREAPED : EMU_SENT);
		if (rand() % 2 && emu_recv_small(&eng.side[1].l, &to, &r))
			shorts++;
		else
			assert_true(eng_take(&to, &r, &moved));
		assert_int_equal(r.status, VIP_STATUS_IMMEDIATE);
		assert_int_equal(r.imm, i);
		assert_int_equal(r.length, size);
		assert_memory_equal(eng_buf(1) + 100, eng_buf(0) + i % 64, size);
		assert_int_equal(eng_buf(1)[100 + size], 0x11);
	}
	assert_true(shorts > 15000);
}

/* What is not of the common kind they leave alone, wholly. */
static void test_not_small(void **state)
{
	struct ka_seg to = eng_seg(1, 0, 100), from = eng_seg(0, 0, 50), two[2] = {to, to};
	struct emu_link before;
	struct emu_recv r;
	bool moved;
	int i;

	(void)state;
	eng.mappable = 0;
	assert_false(emu_send_small(&eng.side[0].l, &from, 0, 0)); /* no receive */
	assert_false(emu_recv_small(&eng.side[1].l, &to, &r));	   /* no message */
	for (i = 0; i < 7; i++) {
		eng.side[0].tpt[0].rights = eng.side[1].tpt[0].rights = KA_R_WRITE | KA_R_DIRECT;
		eng.side[1].tpt[0].object = 0;
		from = eng_seg(0, 0, 50);
		emu_post_recv(&eng.side[1].l, i == 0 ? two : &to, i == 0 ? 2 : 1, i == 1);
		if (i == 2)
			eng.side[1].tpt[0].object = 1;
		if (i == 3)
			eng.side[0].tpt[0].rights = KA_R_WRITE; /* to be touched with care */
		if (i == 4)
			from.len = 101; /* more than there is room for */
		if (i == 5)
			from.handle++;
		if (i == 6)
			eng.side[1].tpt[0].rights = 0;
		eng_changed();
		before = eng.side[0].l;
		assert_false(emu_send_small(&eng.side[0].l, &from, 0, 0));
		assert_int_equal(eng.side[0].l.tx_next, before.tx_next);
		assert_int_equal(eng.side[0].l.tx_recv, before.tx_recv);
		assert_int_equal(eng.side[0].l.land_head, before.land_head);
		if (eng_send(0, 0, i == 4 ? 101 : 50) != EMU_BAD_SOURCE)
			assert_true(eng_take(i == 0 ? two : &to, &r, &moved));
		eng.side[1].l.rx_posted = eng.side[0].l.tx_recv;
	}
	eng.side[0].tpt[0].rights = eng.side[1].tpt[0].rights = KA_R_WRITE | KA_R_DIRECT;
	eng.side[1].tpt[0].object = 0;
	eng_changed();
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	from = eng_seg(0, 0, 50);
	assert_true(emu_send_small(&eng.side[0].l, &from, 0, 0));
	to.len = 49; /* what a peer may make of it */
	assert_false(emu_recv_small(&eng.side[1].l, &to, &r));
	to.len = 100;
	eng.side[1].tpt[0].rights = KA_R_WRITE;
	eng_changed();
	assert_false(emu_recv_small(&eng.side[1].l, &to, &r));
	eng.region->to[1].cell[eng.side[1].l.rx_next % KA_DEPTH].length = EMU_CELL_DATA + 1;
	eng.side[1].tpt[0].rights = KA_R_WRITE | KA_R_DIRECT;
	eng_changed();
	assert_false(emu_recv_small(&eng.side[1].l, &to, &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_small, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_not_small, eng_setup, eng_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
