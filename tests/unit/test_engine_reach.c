/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_engine_reach.c - the engine with a host that reaches all of the peer's memory,
 * as the kernel's does: places are no pointers, own memory is not touched, and
 * nothing goes by way of cell or landing ring.
 */
#include "tests/unit/engine_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "vipl.h"

#define TOKEN 0x7777000000000000ull /* no address on any machine */

static struct {
	bool gone;		   /* there is no place */
	const struct ka_seg *more; /* of the receive */
	unsigned int copies, words;
	uint64_t last;
} reach;

static uint8_t *place(uint32_t side, uint64_t token)
{
	assert_true(token - TOKEN <= ENG_BUF);
	return eng_buf((int)side) + (token - TOKEN);
}

static void *map(struct emu_link *l, const struct ka_tpt_entry *e, bool *direct)
{
	(void)l, (void)e;
	*direct = false;
	return reach.gone ? NULL : (void *)(uintptr_t)TOKEN; /* NOLINT(performance-no-int-to-ptr) */
}

static bool get(struct emu_link *l, const struct ka_seg *s, uint64_t off, void *to, uint64_t n)
{
	assert_int_equal(s->handle, 0x10000);
	memcpy(to, eng_buf((int)l->side) + (s->addr - TOKEN) + off, n);
	return true;
}

/* Own addresses are none either: the same tokens. */
static enum emu_copied copy(struct emu_link *l, const struct emu_copy *c)
{
	bool out = c->way == EMU_TO_WINDOW;

	reach.copies++;
	reach.last = c->n;
	assert_int_not_equal(c->way, EMU_FROM_PEER);
	if (!c->own) {
		assert_true(out && c->n <= 8);
		reach.words++;
		memcpy(place(1 - l->side, (uintptr_t)c->to), (const void *)(uintptr_t)c->from, c->n);
	} else if (out) {
		memcpy(place(1 - l->side, (uintptr_t)c->to), place(l->side, c->from), c->n);
	} else {
		memcpy(place(l->side, (uintptr_t)c->to), place(1 - l->side, c->from), c->n);
	}
	return EMU_COPIED;
}

static const struct ka_seg *more(struct emu_link *l, uint32_t slot)
{
	(void)l;
	assert_true(slot < KA_DEPTH);
	return reach.more;
}

static const struct emu_host host = {.map = map, .get = get, .copy = copy, .more = more, .reaches_all = true};

static int setup(void **state)
{
	int i;

	if (eng_setup(state))
		return -1;
	memset(&reach, 0, sizeof(reach));
	for (i = 0; i < 2; i++) {
		struct emu_link *l = &eng.side[i].l;

		l->host = &host;
		l->cell_most = l->small_most = 0;
		eng.careful[i] = true;
		eng.side[i].tpt[0].start = TOKEN;
		eng.side[i].tpt[0].object = 0; /* private */
		eng.side[i].tpt[0].kind = LMM_PRIVATE;
		eng.side[i].tpt[0].rights &= (uint16_t)~KA_R_DIRECT;
	}
	return 0;
}

static struct ka_seg seg(uint64_t at, uint32_t len)
{
	return (struct ka_seg){TOKEN + at, 0x10000, len};
}

static enum emu_sent start(enum emu_op op, const struct ka_seg *s, uint32_t n, uint64_t target)
{
	struct emu_send send = {.op = op, .seg = s, .nsegs = n, .target = {target, 0x10000, 0}};

	while (n--)
		send.total += s[n].len;
	return emu_send_start(&eng.side[0].l, &send);
}

static void sends_in_place(void **state)
{
	static const uint32_t size[] = {1, 224, 225, 4096, ENG_BUF};
	const struct emu_region *r = eng.region;
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		struct ka_seg s = seg(0, size[i]);

		memset(eng_buf(0), (int)i + 1, size[i]);
		emu_post_recv(&eng.side[1].l, &s, 1, false);
		assert_int_equal(start(EMU_OP_SEND, &s, 1, 0), EMU_SENT);
		assert_memory_equal(eng_buf(0), eng_buf(1), size[i]);
		assert_int_equal(r->to[1].cell[i].status, EMU_IN_PLACE);
		assert_int_equal(r->to[1].cell[i].length, size[i]);
	}
	assert_int_equal(r->to[1].tx.land_head, 0);
}

/* The word behind which somebody waits comes from two segments, and is written as one. */
static void last_word(void **state)
{
	struct ka_seg s[3] = {seg(100, 20), seg(0, 3), seg(3, 5)};

	(void)state;
	memcpy(eng_buf(0), "abcdefgh", 8);
	assert_int_equal(start(EMU_OP_WRITE, s, 3, TOKEN + 4), EMU_SENT);
	assert_memory_equal(eng_buf(1) + 24, "abcdefgh", 8);
	assert_int_equal(reach.words, 1);
	assert_int_equal(reach.last, 8);
}

/* A notice that was not reaped yet makes nothing go another way. */
static void overtakes(void **state)
{
	struct ka_seg s = seg(0, 8);
	struct emu_send notice = {.op = EMU_OP_READ, .error = VIP_STATUS_RDMA_PROT_ERROR};

	(void)state;
	assert_int_equal(emu_send_start(&eng.side[0].l, &notice), EMU_SENT_UNREAPED);
	assert_int_equal(start(EMU_OP_WRITE, &s, 1, TOKEN), EMU_SENT);
	eng.region->to[1].rx.failed = 1;
	assert_int_equal(start(EMU_OP_WRITE, &s, 1, TOKEN), EMU_SENT);
	assert_int_equal(eng.side[0].l.tx_next, 1);
	assert_int_equal(eng.region->to[1].tx.land_head, 0);
}

/* What is in the TPT and has no place is not there. */
static void no_place(void **state)
{
	struct ka_seg s = seg(0, 8);
	struct emu_place at;

	(void)state;
	reach.gone = true;
	emu_post_recv(&eng.side[1].l, &s, 1, false);
	assert_int_equal(start(EMU_OP_SEND, &s, 1, 0), EMU_BAD_RECEIVE);
	assert_int_equal(eng.region->to[1].cell[0].status, VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(start(EMU_OP_WRITE, &s, 1, TOKEN), EMU_BAD_TARGET);
	assert_int_equal(emu_read_check(&eng.side[0].l, &s, &at), 0);
	assert_int_equal(reach.copies, 0);
}

static void further_segments(void **state)
{
	struct ka_seg s[EMU_POST_SEGS + 2], from = seg(0, 50);
	uint32_t i;

	(void)state;
	for (i = 0; i < EMU_POST_SEGS + 2; i++)
		s[i] = seg(i * 100, 10);
	memset(eng_buf(0), 0x33, 50);
	emu_post_recv(&eng.side[1].l, s, EMU_POST_SEGS + 2, false);
	assert_int_equal(start(EMU_OP_SEND, &from, 1, 0), EMU_BAD_RECEIVE); /* the host has none */
	assert_int_equal(eng.region->to[1].cell[0].status, VIP_STATUS_FORMAT_ERROR);
	assert_int_equal(reach.copies, 0);
	reach.more = s + EMU_POST_SEGS;
	emu_post_recv(&eng.side[1].l, s, EMU_POST_SEGS + 2, false);
	assert_int_equal(start(EMU_OP_SEND, &from, 1, 0), EMU_SENT);
	assert_int_equal(eng_buf(1)[(EMU_POST_SEGS + 1) * 100 + 9], 0x33);
	/* where there are none one does not ask */
	reach.more = NULL;
	emu_post_recv(&eng.side[1].l, s, EMU_POST_SEGS, false);
	from.len = EMU_POST_SEGS * 10;
	assert_int_equal(start(EMU_OP_SEND, &from, 1, 0), EMU_SENT);
}

static void reads(void **state)
{
	struct ka_seg target = seg(1, 30000), to[2] = {seg(5, 100), seg(200, 29900)};
	struct emu_place at;

	(void)state;
	memset(eng_buf(1), 0x44, ENG_BUF);
	assert_int_equal(emu_read_check(&eng.side[0].l, &target, &at), 1);
	assert_false(at.direct);
	assert_int_equal(emu_read_here(&eng.side[0].l, &target, &at, to, 2), EMU_SENT);
	assert_memory_equal(eng_buf(0) + 5, eng_buf(1), 100);
	assert_memory_equal(eng_buf(0) + 200, eng_buf(1), 29900);
	assert_int_equal(eng_buf(0)[4], 0xcc);
	assert_int_equal(eng_buf(0)[30100], 0xcc);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, eng_teardown)
	const struct CMUnitTest tests[] = {TEST(sends_in_place), TEST(last_word),	 TEST(overtakes),
					   TEST(no_place),	 TEST(further_segments), TEST(reads)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
