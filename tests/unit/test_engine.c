/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_engine.c - the DMA engine: where data goes for each way to the peer's
 * memory, what is refused, and in which order it is seen.
 */
#include "tests/unit/engine_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vipl.h"

static void test_three_places(void **state)
{
	static const uint32_t sizes[] = {0, 1, EMU_CELL_DATA, EMU_CELL_DATA + 1, 50000};
	struct ka_seg to = eng_seg(1, 100, 60000);
	struct emu_recv r;
	bool moved = false;
	size_t i, k;

	(void)state;
	for (eng.mappable = 0; eng.mappable < 2; eng.mappable++) {
		for (i = 0; i < 5; i++) {
			for (k = 0; k < sizes[i]; k++)
				eng_buf(0)[k] = (uint8_t)(k * 7 + i);
			memset(eng_buf(1), 0x11, ENG_BUF);
			emu_post_recv(&eng.side[1].l, &to, 1, false);
			assert_int_equal(eng_send(0, 0, sizes[i]),
					 eng.mappable || sizes[i] == 0 ? EMU_SENT : EMU_SENT_UNREAPED);
			if (eng.mappable) /* there before the owner does anything */
				assert_memory_equal(eng_buf(1) + 100, eng_buf(0), sizes[i]);
			assert_true(emu_recv_look(&eng.side[1].l));
			assert_true(eng_take(&to, &r, &moved));
			assert_int_equal(r.status, 0);
			assert_int_equal(r.length, sizes[i]);
			assert_memory_equal(eng_buf(1) + 100, eng_buf(0), sizes[i]);
			assert_int_equal(eng_buf(1)[100 + sizes[i]], 0x11);
			assert_false(emu_recv_look(&eng.side[1].l));
		}
	}
}

static void test_errors(void **state)
{
	struct ka_seg to = eng_seg(1, 0, 100);
	struct emu_recv r;
	bool moved;

	(void)state;
	eng.mappable = 1;
	assert_int_equal(eng_send(0, 0, 10), EMU_NO_RECEIVE);
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, ENG_BUF - 9, 10), EMU_BAD_SOURCE);
	assert_int_equal(eng_send(0, 0, 101), EMU_BAD_RECEIVE);
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_LENGTH_ERROR);
	eng.side[1].tpt[0].rights = 0; /* read-only memory */
	eng_changed();
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_send(0, 0, 10), EMU_BAD_RECEIVE);
	assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(r.status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	eng.side[1].tpt[0].rights = KA_R_WRITE | KA_R_DIRECT;
	eng_changed();
	emu_set_down(&eng.side[1].l, KA_DOWN_DISCONNECT);
	assert_int_equal(eng_send(0, 0, 10), EMU_IS_DOWN);
	assert_int_equal(emu_down(&eng.side[0].l), KA_DOWN_DISCONNECT | 1 << 8);
}

/* RDMA writes: sizes and alignments, bytes around untouched, with and without a receive. */
static void test_write(void **state)
{
	static const uint32_t sizes[] = {0, 1, 7, 8, 9, 63, EMU_CELL_DATA, EMU_CELL_DATA + 1, 50001};
	struct ka_seg none = eng_seg(1, 0, 0);
	bool moved = false, imm;
	struct emu_recv r;
	uint32_t at;
	size_t i;

	(void)state;
	for (eng.mappable = 0; eng.mappable < 2; eng.mappable++) {
		for (i = 0; i < 9 * 9; i++) {
			imm = i % 2;
			at = 100 + (uint32_t)(i % 9);
			memset(eng_buf(0), (int)i + 1, sizes[i / 9]);
			memset(eng_buf(1), 0, ENG_BUF);
			if (imm) {
				assert_int_equal(eng_write(0, 0, 1, (uintptr_t)eng_buf(1), true),
						 EMU_NO_RECEIVE);
				emu_post_recv(&eng.side[1].l, &none, 1, false);
			}
			assert_int_equal(eng_write(0, 0, sizes[i / 9], (uintptr_t)eng_buf(1) + at, imm),
					 eng.mappable || sizes[i / 9] == 0 ? EMU_SENT : EMU_SENT_UNREAPED);
			/* in place and without immediate data it is no message */
			assert_int_equal(emu_recv_look(&eng.side[1].l),
					 imm || (!eng.mappable && sizes[i / 9]));
			if (emu_recv_look(&eng.side[1].l)) {
				assert_int_equal(eng.side[1].l.rx_msg.op,
						 imm ? EMU_OP_WRITE_IMM : EMU_OP_WRITE);
				assert_true(eng_take(NULL, &r, &moved));
				assert_int_equal(r.status, imm ? VIP_STATUS_IMMEDIATE : 0);
				assert_int_equal(r.length, sizes[i / 9]);
			}
			assert_memory_equal(eng_buf(1) + at, eng_buf(0), sizes[i / 9]);
			assert_int_equal(eng_buf(1)[at - 1], 0);
			assert_int_equal(eng_buf(1)[at + sizes[i / 9]], 0);
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
	for (eng.mappable = 0; eng.mappable < 2; eng.mappable++) {
		for (fault = 0; fault < 4; fault++) {
			eng.side[1].tpt[0].rights =
				(uint16_t)(fault == 0 ? KA_R_WRITE : KA_R_WRITE | KA_R_RDMA_WRITE);
			eng_changed();
			eng.side[0].l.peer_rdma = fault == 1 ? 0 : KA_R_RDMA_WRITE;
			eng.side[1].tpt[0].tag = fault == 2 ? ENG_TAG + 1 : ENG_TAG;
			eng_changed();
			assert_int_equal(eng_write(0, 0, 100,
						   (uintptr_t)eng_buf(1) + (fault == 3 ? ENG_BUF - 99 : 0),
						   false),
					 EMU_BAD_TARGET);
			assert_true(eng_take(NULL, &r, &moved));
			assert_int_equal(r.status, VIP_STATUS_RDMA_PROT_ERROR);
			assert_int_equal(eng_buf(1)[0], 0xcc);
		}
	}
	/* taken out after it was sent: the owner finds it, and the sender can learn of it */
	eng.mappable = 0;
	assert_int_equal(eng_write(0, 0, 100, (uintptr_t)eng_buf(1), false), EMU_SENT_UNREAPED);
	eng.side[1].tpt[0].tag = 0;
	eng_changed();
	assert_true(eng_take(NULL, &r, &moved));
	assert_int_equal(r.status, VIP_STATUS_RDMA_PROT_ERROR);
	assert_int_equal(eng.region->to[1].rx.failed, eng.side[0].l.tx_next);
	assert_int_equal(eng.region->to[1].rx.error, VIP_STATUS_RDMA_PROT_ERROR);
}

/* Nothing that is seen at once overtakes what is still on its way. */
static void test_no_overtaking(void **state)
{
	struct ka_seg to = eng_seg(1, 0, 1000);
	struct emu_recv r;
	bool moved;

	(void)state;
	eng.mappable = 0;
	assert_int_equal(eng_write(0, 0, 100, (uintptr_t)eng_buf(1), false), EMU_SENT_UNREAPED);
	eng.mappable = 1;
	emu_post_recv(&eng.side[1].l, &to, 1, false);
	assert_int_equal(eng_write(0, 0, 10, (uintptr_t)eng_buf(1), false), EMU_SENT_UNREAPED);
	assert_int_equal(eng_send(0, 0, 100), EMU_SENT_UNREAPED);
	while (emu_recv_look(&eng.side[1].l))
		assert_true(eng_take(&to, &r, &moved));
	assert_int_equal(eng_write(0, 0, 10, (uintptr_t)eng_buf(1), false), EMU_SENT);
}

/* More messages than cells: the sender waits for the peer. */
static void test_cells(void **state)
{
	struct emu_recv r;
	bool moved;
	int i;

	(void)state;
	eng.mappable = 0;
	for (i = 0; i < (int)KA_DEPTH; i++)
		assert_int_equal(eng_write(0, 0, 10, (uintptr_t)eng_buf(1), false), EMU_SENT_UNREAPED);
	assert_int_equal(eng_write(0, 0, 10, (uintptr_t)eng_buf(1), false), EMU_NOT_READY);
	assert_true(eng_take(NULL, &r, &moved));
	assert_int_equal(eng_write(0, 0, 10, (uintptr_t)eng_buf(1), false), EMU_SENT_UNREAPED);
	assert_int_equal(eng_write(0, 0, 10, (uintptr_t)eng_buf(1), false), EMU_NOT_READY);
}

static void test_read(void **state)
{
	struct ka_seg target = eng_seg(1, 8, 300), to = eng_seg(0, 100, 300);
	struct emu_send reply = {.op = EMU_OP_REPLY, .seg = &target, .nsegs = 1, .total = 300};
	struct emu_place place;
	struct emu_recv r;
	bool moved;

	(void)state;
	memset(eng_buf(1) + 8, 0x42, 300);
	eng.mappable = 1;
	assert_int_equal(emu_read_check(&eng.side[0].l, &target, &place), 1);
	assert_ptr_equal(place.at, eng_buf(1) + 8);
	eng.mappable = 0;
	assert_int_equal(emu_read_check(&eng.side[0].l, &target, &place), 0);
	assert_int_equal(
		emu_send_start(&eng.side[0].l,
			       &(struct emu_send){.op = EMU_OP_READ, .total = 300, .target = target}),
		EMU_SENT_UNREAPED);
	assert_true(eng_take(NULL, &r, &moved));
	assert_int_equal(r.status, 0);
	assert_int_equal(emu_send_start(&eng.side[1].l, &reply), EMU_SENT_UNREAPED);
	assert_true(emu_recv_look(&eng.side[0].l));
	assert_int_equal(eng.side[0].l.rx_msg.op, EMU_OP_REPLY);
	assert_true(emu_recv_take(&eng.side[0].l, &to, 1, &r, &moved));
	assert_int_equal(r.length, 300);
	assert_memory_equal(eng_buf(0) + 100, eng_buf(1) + 8, 300);
	eng.side[1].tpt[0].rights &= (uint16_t)~KA_R_RDMA_READ;
	eng_changed();
	assert_int_equal(emu_read_check(&eng.side[0].l, &target, &place), -1);
	assert_int_equal(emu_send_start(&eng.side[1].l, &reply), EMU_BAD_SOURCE);
	eng.side[1].tpt[0].rights |= KA_R_RDMA_READ;
	eng_changed();
	eng.side[0].l.peer_rdma = KA_R_RDMA_WRITE;
	assert_int_equal(emu_read_check(&eng.side[0].l, &target, &place), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_three_places, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_errors, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_write, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_write_refused, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_no_overtaking, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_cells, eng_setup, eng_teardown),
		cmocka_unit_test_setup_teardown(test_read, eng_setup, eng_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
