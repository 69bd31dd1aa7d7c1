/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_engine_gone.c - the DMA engine and memory that does not stay: touched with
 * care, gone in the middle of a message, taken out of its TPT, or only kept.
 */
#include "tests/unit/engine_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vipl.h"

/* Without KA_R_DIRECT, or by a thread that is careful, own memory is touched through the host alone. */
static void test_with_care(void **state)
{
	static const uint32_t sizes[] = {100, 50000};
	struct ka_seg to = eng_seg(1, 0, 60000);
	struct emu_recv r;
	bool moved;
	size_t i;

	(void)state;
	eng.mappable = 0;
	for (i = 0; i < 4; i++) {
		uint32_t size = sizes[i % 2];

		eng.with_care = 0;
		eng.careful[0] = eng.careful[1] = i < 2;
		eng.side[0].tpt[0].rights = eng.side[1].tpt[0].rights =
			(uint16_t)(i < 2 ? KA_R_WRITE | KA_R_DIRECT : KA_R_WRITE);
		eng_changed();
		memset(eng_buf(0), (int)i + 1, size);
		emu_post_recv(&eng.side[1].l, &to, 1, false);
		assert_int_equal(eng_send(0, 0, size), EMU_SENT_UNREAPED);
		assert_int_not_equal(eng.with_care, 0);
		eng.with_care = 0;
		assert_true(eng_take(&to, &r, &moved));
		assert_int_not_equal(eng.with_care, 0);
		assert_int_equal(r.length, size);
		assert_memory_equal(eng_buf(1), eng_buf(0), size);
	}
}

/* Memory that goes: under the receiver, under the sender before and in the middle of a message. */
static void test_gone(void **state)
{
	struct ka_seg to = eng_seg(1, 0, 60000);
	struct emu_recv r;
	bool moved;

	(void)state;
	eng.side[0].tpt[0].rights = eng.side[1].tpt[0].rights = KA_R_WRITE;
	eng_changed();
	eng.mappable = 0;
	/* in a cell: nothing has happened, and the receive is not used up */
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	eng.alive = 50;
	assert_int_equal(eng_send(0, 0, 100), EMU_BAD_SOURCE);
	eng.alive = ENG_BUF;
	assert_int_equal(eng_send(0, 0, 100), EMU_SENT_UNREAPED);
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, 0);
	/* in the landing ring: the receiver hears of it */
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	eng.alive = 40000;
	assert_int_equal(eng_send(0, 0, 50000), EMU_SENT_UNREAPED);
	assert_true(eng.side[0].l.source_gone);
	eng.alive = ENG_BUF;
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	/* in place */
	eng.mappable = 1;
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	eng.alive = 0;
	assert_int_equal(eng_send(0, 0, 50000), EMU_SOURCE_GONE);
	assert_int_equal(eng.region->ctl.side[0].busy % 2, 0);
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	/* under the receiver */
	eng.mappable = 0;
	eng.alive = ENG_BUF;
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 50000), EMU_SENT_UNREAPED);
	eng.alive = 40000;
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(r.length, 0);
	/* and the next one is as good as any */
	eng.alive = ENG_BUF;
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 50000), EMU_SENT_UNREAPED);
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, 0);
}

/* While an end's memory is being taken out of its TPT, it waits, and its peer leaves writing to it. */
static void test_revoking(void **state)
{
	struct ka_seg to = eng_seg(1, 0, 60000);
	struct emu_recv r;
	bool moved;

	(void)state;
	eng.mappable = 1;
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	eng.revoking[0] = 1;
	assert_int_equal(eng_send(0, 0, 100), EMU_SENT);
	assert_int_equal(eng.settled, 1);
	assert_true(eng_take(&to, &r, &moved));
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	memset(eng_buf(1), 0x22, 100);
	eng.revoking[1] = 1;
	assert_int_equal(eng_send(0, 0, 100), EMU_SENT_UNREAPED);
	assert_int_equal(eng_buf(1)[0], 0x22);
	eng.side[1].tpt[0].tag = 0; /* it has gone */
	eng_changed();
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(eng.settled, 2);
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(eng_buf(1)[0], 0x22);
}

/* A region that its owner only keeps for later is refused: by him, and by a peer that is told so. */
static void test_idle(void **state)
{
	struct ka_seg to = eng_seg(1, 0, 60000), target = eng_seg(1, 0, 100), from = eng_seg(0, 0, 100);
	struct emu_place place;
	struct emu_recv r;
	bool moved;

	(void)state;
	eng.mappable = 1;
	eng.idle[0][0] = 1;
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 100), EMU_BAD_SOURCE);
	eng.idle[0][0] = 0;

	/* kept between the look and the copy */
	assert_int_equal(emu_read_check(&eng.side[0].l, &target, &place), 1);
	eng.told[1][0] = 1;
	assert_int_equal(emu_read_here(&eng.side[0].l, &target, &place, &from, 1), EMU_BAD_TARGET);
	assert_int_equal(emu_read_check(&eng.side[0].l, &target, &place), -1);
	eng.told[1][0] = 0;

	/* the peer does not know it yet */
	eng.idle[1][0] = 1;
	eng.mappable = 0;
	memset(eng_buf(1), 0x22, 100);
	assert_int_equal(eng_send(0, 0, 100), EMU_SENT_UNREAPED);
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);

	/* it does */
	eng.told[1][0] = 1;
	assert_int_equal(eng_write(0, 0, 100, (uintptr_t)eng_buf(1), false), EMU_BAD_TARGET);
	assert_true(eng_take(NULL, &r, &moved));
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 100), EMU_BAD_RECEIVE);
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(eng_buf(1)[0], 0x22);

	/* and it is in use again */
	eng.told[1][0] = eng.idle[1][0] = 0;
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 100), EMU_SENT_UNREAPED);
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, 0);
	assert_memory_equal(eng_buf(1), eng_buf(0), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_with_care, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_gone, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_revoking, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_idle, eng_setup, eng_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
