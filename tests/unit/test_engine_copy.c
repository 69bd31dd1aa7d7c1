/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_engine_copy.c - what the host copies for the DMA engine: through a window
 * that may shrink, and out of the peer's process.
 */
#include "tests/unit/engine_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vipl.h"

/* A window that may shrink: the host copies, and who has gone is told apart. */
static void test_shrinking_window(void **state)
{
	struct ka_seg to = eng_seg(1, 0, 60000), target = eng_seg(1, 8, 300), own_seg = eng_seg(0, 100, 300);
	struct emu_place place;
	struct emu_recv r;
	bool moved;

	(void)state;
	eng.mappable = 1;
	eng.shrinks = true;
	memset(eng_buf(0), 0x31, 50000);
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 50000), EMU_SENT);
	assert_int_equal(eng.copies, 1);
	assert_memory_equal(eng_buf(1), eng_buf(0), 50000);
	assert_true(eng_take(&to, &r, &moved));
	/* the flag behind the data is written last, by itself */
	eng.copies = 0;
	assert_int_equal(eng_write(0, 0, 100, (uintptr_t)eng_buf(1), false), EMU_SENT);
	assert_int_equal(eng.copies, 2);
	/* the target shrinks: an error for both */
	eng.peer_alive = 40000;
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 50000), EMU_BAD_RECEIVE);
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	/* the source has gone */
	eng.peer_alive = ENG_BUF;
	eng.alive = 40000;
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 50000), EMU_SOURCE_GONE);
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	/* a read: what is not there is asked for */
	eng.alive = ENG_BUF;
	memset(eng_buf(1) + 8, 0x42, 300);
	assert_int_equal(emu_read_check(&eng.side[0].l, &target, &place), 1);
	assert_int_equal(emu_read_here(&eng.side[0].l, &target, &place, &own_seg, 1), EMU_SENT);
	assert_memory_equal(eng_buf(0) + 100, eng_buf(1) + 8, 300);
	eng.peer_alive = 100;
	assert_int_equal(emu_read_here(&eng.side[0].l, &target, &place, &own_seg, 1), EMU_NOT_READY);
	eng.peer_alive = ENG_BUF;
	eng.alive = 200;
	assert_int_equal(emu_read_here(&eng.side[0].l, &target, &place, &own_seg, 1), EMU_BAD_SOURCE);
	assert_int_equal(eng.region->ctl.side[0].busy % 2, 0);
}

/* Both ends can read the other one's memory, and do. */
static void let_pull(void)
{
	int i;

	eng.mappable = 0;
	for (i = 0; i < 2; i++) {
		eng.side[i].l.pull_least = 1;
		eng.side[i].l.small_most = 0;
		eng.side[i].l.pulls = true;
		eng.region->to[i].rx.pulls = 1;
	}
}

/* Segments of all lengths and borders on both sides; the source is in use until it was taken. */
static void test_held(void **state)
{
	struct ka_seg from[EMU_HELD_SEGS + 1], to[7];
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
			from[i] = eng_seg(0, (uint32_t)random() % 30000,
					  (uint32_t)random() % (random() % 2 ? 2000 : 5));
			sum += from[i].len;
		}
		for (i = 0; i < 32000; i++)
			eng_buf(0)[i] = (uint8_t)(i * 31 + round);
		for (i = 0; i < nfrom; flat += from[i++].len)
			memcpy(sent + flat, (void *)(uintptr_t)from[i].addr, from[i].len);
		for (i = room = 0; i < 7; i++) {
			to[i] = eng_seg(1, i * 8192, i == 6 ? sum : (uint32_t)random() % 3000);
			room += to[i].len;
		}
		memset(eng_buf(1), 0, ENG_BUF);
		emu_post_recv(&eng.side[1].l, to, 7, false);
		eng.copies = 0;
		switch (emu_send_start(
			&eng.side[0].l,
			&(struct emu_send){.op = EMU_OP_SEND, .seg = from, .nsegs = nfrom, .total = sum})) {
		case EMU_SENT_HELD:
			assert_true(emu_holds(&eng.side[0].l));
			break;
		case EMU_SENT: /* nothing to send */
			assert_int_equal(sum, 0);
			break;
		default: /* more segments than a cell names */
			assert_int_equal(eng.side[0].l.tx_nsegs, EMU_HELD_SEGS + 1);
			break;
		}
		assert_true(emu_recv_look(&eng.side[1].l));
		assert_true(emu_recv_take(&eng.side[1].l, to, 7, &r, &moved));
		assert_int_equal(r.status, 0);
		assert_int_equal(r.length, sum);
		assert_false(emu_holds(&eng.side[0].l));
		for (i = flat = 0; i < 7 && flat < sum; i++) {
			uint32_t n = to[i].len < sum - flat ? to[i].len : sum - flat;

			assert_memory_equal((void *)(uintptr_t)to[i].addr, sent + flat, n);
			flat += n;
		}
	}
	/* an RDMA write */
	memset(eng_buf(0), 0x55, 1000);
	assert_int_equal(eng_write(0, 0, 1000, (uintptr_t)eng_buf(1) + 3, false), EMU_SENT_HELD);
	assert_int_equal(eng_buf(1)[3] == 0x55 && eng_buf(1)[1002] == 0x55, false);
	assert_true(eng_take(NULL, &r, &moved));
	assert_memory_equal(eng_buf(1) + 3, eng_buf(0), 1000);
}

static void take_out(void)
{
	eng.side[0].tpt[0].tag = 0;
}

/* Into the registration cache, and out of it. */
static void keep_and_take(void)
{
	eng.keeps[0][0]++;
}

static void end_it(void)
{
	emu_set_down(&eng.side[0].l, KA_DOWN_DISCONNECT);
}

static void begin_revoking(void)
{
	eng.revoking[0] = 1;
}

/* What was read while its region went away, or the connection ended, does not count. */
static void test_held_goes(void **state)
{
	struct ka_seg to = eng_seg(1, 0, 60000), pieces[2] = {eng_seg(1, 0, 2500), eng_seg(1, 2500, 2500)};
	struct emu_recv r;
	bool moved;

	(void)state;
	let_pull();
	/* before, by its address, and by the TPT during the copy */
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 5000), EMU_SENT_HELD);
	eng.peer_alive = 100;
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	assert_true(emu_lost(&eng.side[0].l, eng.side[0].l.tx_next));
	assert_int_equal(eng.region->to[1].rx.failed, 0);
	eng.peer_alive = ENG_BUF;
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 5000), EMU_SENT_HELD);
	eng.while_copying = take_out;
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	assert_true(emu_lost(&eng.side[0].l, eng.side[0].l.tx_next));
	/* also that the sender has not heard of yet */
	assert_true(emu_lost(&eng.side[0].l, eng.side[0].l.tx_next - 1));
	assert_false(emu_lost(&eng.side[0].l, 0));
	eng.side[0].tpt[0].tag = ENG_TAG;
	/* the handle is valid again, but not for this message */
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 5000), EMU_SENT_HELD);
	eng.while_copying = keep_and_take;
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
	assert_true(emu_lost(&eng.side[0].l, eng.side[0].l.tx_next));
	eng.while_copying = take_out;
	/* the last word of a write, which a program may watch, is not written then */
	assert_int_equal(eng_write(0, 0, 64, (uintptr_t)eng_buf(1), false), EMU_SENT_HELD);
	memset(eng_buf(0), 0x77, 64);
	memset(eng_buf(1), 0, 64);
	assert_true(eng_take(NULL, &r, &moved));
	assert_int_equal(eng_buf(1)[55], 0x77);
	assert_int_equal(eng_buf(1)[56], 0);
	eng.side[0].tpt[0].tag = ENG_TAG;
	/* something is going: it is tried again */
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 5000), EMU_SENT_HELD);
	eng.while_copying = begin_revoking;
	assert_false(eng_take(&to, &r, &moved));
	eng.revoking[0] = 0;
	eng.while_copying = NULL;
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status, 0);
	/* the target has gone */
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 5000), EMU_SENT_HELD);
	eng.alive = 100;
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(eng.region->to[1].rx.failed, eng.side[0].l.tx_next);
	eng.alive = ENG_BUF;
	/* what nobody tells of when it goes is not left for the peer */
	eng.side[0].tpt[0].rights &= (uint16_t)~KA_R_DIRECT;
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 5000), EMU_SENT_UNREAPED);
	assert_true(eng_take(&to, &r, &moved));
	eng.side[0].tpt[0].rights |= KA_R_DIRECT;
	/* the sender takes everything back, and waits for one piece */
	emu_post_recv(&eng.side[1].l, pieces, 2, false);
	assert_int_equal(eng_send(0, 0, 5000), EMU_SENT_HELD);
	eng.while_copying = end_it;
	eng.copies = 0;
	assert_true(emu_recv_look(&eng.side[1].l));
	assert_false(emu_recv_take(&eng.side[1].l, pieces, 2, &r, &moved));
	assert_int_equal(eng.copies, 1);
	eng.while_copying = NULL;
	eng.copies = 0;
	assert_false(eng_take(&to, &r, &moved));
	assert_int_equal(eng.copies, 0);
	assert_true(emu_holds(&eng.side[0].l));
}

/* A read out of the peer's process: the TPT decides, before and after. */
static void test_read_pulled(void **state)
{
	struct ka_seg target = eng_seg(1, 8, 300), to = eng_seg(0, 100, 300);
	struct emu_place place;

	(void)state;
	let_pull();
	memset(eng_buf(1) + 8, 0x42, 300);
	assert_int_equal(emu_read_check(&eng.side[0].l, &target, &place), 1);
	assert_null(place.at);
	assert_int_equal(emu_read_here(&eng.side[0].l, &target, &place, &to, 1), EMU_SENT);
	assert_memory_equal(eng_buf(0) + 100, eng_buf(1) + 8, 300);
	eng.peer_alive = 200;
	assert_int_equal(emu_read_here(&eng.side[0].l, &target, &place, &to, 1), EMU_NOT_READY);
	eng.peer_alive = ENG_BUF;
	eng.side[1].tpt[0].rights &= (uint16_t)~KA_R_DIRECT;
	assert_int_equal(emu_read_check(&eng.side[0].l, &target, &place), 0);
	eng.side[1].tpt[0].rights |= KA_R_DIRECT;
	/* not past a write that is on its way */
	assert_int_equal(eng_write(0, 0, 10, (uintptr_t)eng_buf(1), false), EMU_SENT_HELD);
	assert_int_equal(emu_read_check(&eng.side[0].l, &target, &place), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shrinking_window, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_held, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_held_goes, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_read_pulled, eng_setup, eng_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
