/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_lmm_kinds.c - the Locked Memory Manager and all kinds of memory:
 * attachments, areas of several mappings, and their pages and blocks.
 */
#include "tests/unit/lmm_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- attachments ---- */

static void test_segment(void **state)
{
	lmm_handle a = lmw_lock(S(1), S(2), LMM_MLOCK_LOCK), b, c, other;

	(void)state;
	assert_int_equal(lmw.nlocked, 2);
	assert_int_equal(lmw.locked[0].what, LMM_AREA);
	assert_int_equal(lmw.locked[1].what, LMM_SEGMENT);
	assert_int_equal(lmw.locked[1].start, S(0));
	assert_int_equal(lmw.locked[1].end, S(0) + SEG_BYTES);
	b = lmw_lock(S(0), S(0) + SEG_BYTES, LMM_MLOCK_NOP);
	c = lmw_lock(S(1), S(3), LMM_MLOCK_NOP);
	other = lmw_lock(SHMEM_AT(2), SHMEM_AT(2) + PAGE, LMM_MLOCK_LOCK);
	lmw_look();
	assert_int_equal(lmw.nseen, 4 + 1);
	assert_false(lmw.seen[0].physical);
	assert_int_equal(lmw.seen[0].kind, LMM_SYSV);
	assert_int_equal(lmw.seen[4].dev, SHMEM_DEV);
	assert_int_equal(lmw.nseen_seg, 2);
	assert_int_equal(lmw.seen_seg[0].count, 3);
	assert_true(lmw.seen_seg[0].whole);
	assert_true(lmm_holds(lmw.m, LMM_SYSV, 0, 1) && lmm_holds(lmw.m, LMM_SHMEM, SHMEM_DEV, 2));
	assert_false(lmm_holds(lmw.m, LMM_SYSV, 0, 2) || lmm_holds(lmw.m, LMM_SHMEM, 0, 2));
	lmw_unlock(b, LMM_MLOCK_NOP);
	lmw_unlock(a, LMM_MLOCK_NOP);
	lmw_unlock(c, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, S(0), S(0) + SEG_BYTES, LMM_SEGMENT);
	assert_false(lmm_holds(lmw.m, LMM_SYSV, 0, 1));
	lmw_unlock(other, LMM_MLOCK_UNLOCK);
	/* And from the start. */
	lmw_unlock(lmw_lock(S(3), S(4), LMM_MLOCK_LOCK), LMM_MLOCK_UNLOCK);
}

/* A mapped file is an attachment with a counter, and locked page by page. */
static void test_file(void **state)
{
	lmm_handle a = lmw_lock(F(1), F(3), LMM_MLOCK_NOP), b = lmw_lock(F(2), F(5), LMM_MLOCK_NOP);
	struct lmm_area_info info;

	(void)state;
	lmw_look();
	assert_int_equal(lmw.nseen, 3);
	assert_true(lmw.seen[0].physical);
	assert_int_equal(lmw.seen[0].kind, LMM_FILE);
	assert_int_equal(lmw.seen_seg[0].count, 2);
	assert_false(lmw.seen_seg[0].whole);
	assert_int_equal(lmm_get_area(lmw.m, a, &info), 0);
	assert_true(info.can_shrink);
	lmw_unlock(a, LMM_MLOCK_UNLOCK);
	lmw_expect_unlocked(0, F(1), F(2), LMM_AREA);
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, F(2), F(5), LMM_AREA);
}

static void test_refused_at_once(void **state)
{
	lmm_handle a, b;

	(void)state;
	lmw.seg_error = -ENOMEM;
	a = lmw_lock(S(1), S(3), LMM_MLOCK_NOP);
	lmw_look();
	assert_false(lmw.seen_seg[0].whole);
	assert_true(lmw.seen[0].physical);
	lmw.seg_error = 0;
	b = lmw_lock(S(2), S(4), LMM_MLOCK_NOP);
	lmw_unlock(a, LMM_MLOCK_UNLOCK);
	lmw_expect_unlocked(0, S(1), S(2), LMM_AREA);
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
	lmw_expect_unlocked(0, S(2), S(4), LMM_AREA);
	lmw_unlock(lmw_lock(S(1), S(3), LMM_MLOCK_LOCK), LMM_MLOCK_UNLOCK);
}

static void test_refused_later(void **state)
{
	lmm_handle a = lmw_lock(S(1), S(3), LMM_MLOCK_LOCK), b = lmw_lock(S(5), S(6), LMM_MLOCK_NOP);

	(void)state;
	/* Only the area that was told to lock it can say so. */
	assert_int_equal(lmm_segment_refused(lmw.m, b), 0);
	lmw_look();
	assert_true(lmw.seen_seg[0].whole);
	assert_int_equal(lmm_segment_refused(lmw.m, a), 0);
	lmw_look();
	assert_false(lmw.seen_seg[0].whole);
	lmw_unlock(a, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, S(1), S(3), LMM_AREA);
	assert_int_equal(lmm_segment_refused(lmw.m, a), -EINVAL);
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
}

static void test_attachment_grows(void **state)
{
	struct lmm_run run = {.start = S(0),
			      .end = S(1),
			      .kind = LMM_SHMEM,
			      .dev = 1,
			      .object = 9,
			      .seg_start = S(0),
			      .seg_end = S(4),
			      .writable = true};
	lmm_handle a, b;

	(void)state;
	lmw.remapped = &run;
	a = lmw_lock(S(0), S(1), LMM_MLOCK_LOCK);
	run.seg_end = S(6); /* the new part wants a lock, too */
	b = lmw_lock(S(0), S(1), LMM_MLOCK_LOCK);
	run.seg_end = S(2);
	lmw_unlock(lmw_lock(S(0), S(1), LMM_MLOCK_NOP), LMM_MLOCK_NOP);
	lmw_unlock(a, LMM_MLOCK_NOP);
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
	lmw_expect_unlocked(0, S(0), S(6), LMM_SEGMENT);
}

/* ---- areas of several mappings ---- */

static void test_mixed(void **state)
{
	struct lmm_area_info info;
	lmm_handle a = lmw_lock(M(2), M(26), LMM_MLOCK_LOCK), seg, file;

	(void)state;
	assert_int_equal(lmm_get_area(lmw.m, a, &info), 0);
	/* Private, segment, private (two mappings), memfd, file, segment, private. */
	assert_int_equal(info.nruns, 7);
	assert_int_equal(info.first.kind, LMM_MIXED);
	assert_int_equal(info.first.object, 0);
	assert_int_equal(info.first.offset, 0);
	assert_int_equal(info.start, M(2));
	assert_int_equal(info.end, M(26));
	assert_false(info.writable);
	assert_true(info.can_shrink);
	lmw_look();
	assert_int_equal(lmw.nseen, 7);
	assert_int_equal(lmw.nseen_seg, 4);
	assert_int_equal(lmw.nlocked, 1 + 3);
	seg = lmw_lock(M(4), M(5), LMM_MLOCK_NOP);
	file = lmw_lock(M(16), M(18), LMM_MLOCK_NOP);
	lmw_unlock(a, LMM_MLOCK_UNLOCK);
	/* Pages first: private 2-4, 8-12, file 18-20, private 24-26; then memfd and segment whole. */
	assert_int_equal(lmw.nunlocked, 6);
	lmw_expect_unlocked(0, M(2), M(4), LMM_AREA);
	lmw_expect_unlocked(1, M(8), M(12), LMM_AREA);
	lmw_expect_unlocked(2, M(18), M(20), LMM_AREA);
	lmw_expect_unlocked(3, M(24), M(26), LMM_AREA);
	lmw_expect_unlocked(4, M(12), M(16), LMM_SEGMENT);
	lmw_expect_unlocked(5, M(20), M(24), LMM_SEGMENT);
	lmw_unlock(seg, LMM_MLOCK_UNLOCK);
	lmw_unlock(file, LMM_MLOCK_UNLOCK);
	lmw_expect_unlocked(0, M(16), M(18), LMM_AREA);
	/* The two private mappings beside each other are one part. */
	a = lmw_lock(M(9), M(12), LMM_MLOCK_NOP);
	assert_int_equal(lmm_get_area(lmw.m, a, &info), 0);
	assert_int_equal(info.nruns, 1);
	assert_int_equal(info.first.kind, LMM_PRIVATE);
	assert_false(info.writable);
}

static void test_too_many_mappings(void **state)
{
	lmm_handle h;

	(void)state;
	assert_int_equal(lmw_lock_level(MANY_AT, MANY_AT + MANY_PAGES * PAGE, LMM_LOCKED, &h), -E2BIG);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, MANY_AT, MANY_AT + MANY_PAGES * PAGE, LMM_AREA);
	lmw_look();
	assert_int_equal(lmw.nseen + lmw.nseen_seg, 0);
	lmw.nlocked = 0;
	lmw.nunlocked = 0;
	lmw.seg_error = -EAGAIN;
	assert_int_equal(lmw_lock_level(MANY_AT, MANY_AT + 40 * PAGE, LMM_LOCKED, &h), LMM_MLOCK_NOP);
	lmw_unlock(h, LMM_MLOCK_UNLOCK);
	/* All became free together, page by page. */
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, MANY_AT, MANY_AT + 40 * PAGE, LMM_AREA);
}

/* ---- pages and blocks ---- */

/* Two pages follow each other in physical memory, then there is a gap; the first 8 are not known. */
static uint64_t frame(void *ctx, uint64_t addr)
{
	uint64_t n = addr / PAGE % 64;

	(void)ctx;
	return n < 8 ? 0 : 1000 + n + n / 2;
}

static void test_pages(void **state)
{
	lmm_handle a = lmw_lock(M(2), M(26), LMM_MLOCK_LOCK);
	struct lmm_page page[30];
	uint64_t i;

	(void)state;
	assert_int_equal(lmm_get_pages(lmw.m, a, 0, page, 30), 24);
	for (i = 0; i < 24; i++) {
		assert_int_equal(page[i].addr, M(2 + i));
		assert_int_equal(page[i].frame, 0);
	}
	assert_int_equal(page[0].kind, LMM_PRIVATE);
	assert_int_equal(page[0].offset, M(2));
	assert_int_equal(page[3].kind, LMM_SYSV);
	assert_int_equal(page[3].object, 101);
	assert_int_equal(page[3].offset, PAGE);
	assert_int_equal(page[11].kind, LMM_SHMEM);
	assert_int_equal(page[11].dev, SHMEM_DEV);
	assert_int_equal(page[11].offset, 3 * PAGE);
	assert_int_equal(lmm_get_pages(lmw.m, a, 5, page, 4), 4);
	assert_int_equal(page[0].addr, M(7));
	assert_int_equal(page[1].kind, LMM_PRIVATE);
	assert_int_equal(lmm_get_pages(lmw.m, a, 23, page, 4), 1);
	assert_int_equal(lmm_get_pages(lmw.m, a, 24, page, 4), 0);
	assert_int_equal(lmm_get_pages(lmw.m, a, UINT64_MAX, page, 4), 0);
	assert_int_equal(lmm_get_pages(lmw.m, a, 0, page, 0), 0);
	lmw.host.frame = frame;
	assert_int_equal(lmm_get_pages(lmw.m, a, 8, page, 1), 1);
	assert_int_equal(page[0].frame, frame(NULL, M(10)));
	assert_int_equal(lmm_get_pages(lmw.m, a + 1, 0, page, 4), -EINVAL);
}

static void test_blocks(void **state)
{
	lmm_handle a = lmw_lock(M(2), M(26), LMM_MLOCK_LOCK);
	struct lmm_block block[30];
	uint64_t from = 0, bytes = 0;
	int n;

	(void)state;
	assert_int_equal(lmm_get_blocks(lmw.m, a, 0, block, 30), 7);
	assert_int_equal(block[2].addr, M(8));
	assert_int_equal(block[2].length, 4 * PAGE);
	assert_int_equal(block[3].kind, LMM_SHMEM);
	assert_int_equal(block[3].offset, 2 * PAGE);
	/* In pieces, and with page frames: pairs, where they are known. */
	lmw.host.frame = frame;
	while ((n = lmm_get_blocks(lmw.m, a, from, block, 2)) > 0) {
		bytes += block[0].length + (n > 1 ? block[1].length : 0);
		from = block[n - 1].addr + block[n - 1].length;
		if (block[0].addr >= M(8))
			assert_true(block[0].length == 2 * PAGE &&
				    block[0].frame == frame(NULL, block[0].addr));
		else
			assert_int_equal(block[0].frame, 0);
	}
	assert_int_equal(n, 0);
	assert_int_equal(from, M(26));
	assert_int_equal(bytes, 24 * PAGE);
	assert_int_equal(lmm_get_blocks(lmw.m, 0, 0, block, 2), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LMW_TEST(test_segment),
		LMW_TEST(test_file),
		LMW_TEST(test_refused_at_once),
		LMW_TEST(test_refused_later),
		LMW_TEST(test_attachment_grows),
		LMW_TEST(test_mixed),
		LMW_TEST(test_too_many_mappings),
		LMW_TEST(test_pages),
		LMW_TEST(test_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
