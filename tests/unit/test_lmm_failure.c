/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_lmm_failure.c - the Locked Memory Manager when something goes wrong:
 * what is undone, no memory, and memory that goes away.
 */
#include "tests/unit/lmm_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- undoing ---- */

static void test_undo(void **state)
{
	lmm_handle seg;

	(void)state;
	lmw_lock(P(2), P(4), LMM_MLOCK_NOP);
	lmw_lock(P(6), P(8), LMM_MLOCK_NOP);
	assert_int_equal(lmm_undo(lmw.m, P(0), 10 * PAGE), LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 3);
	lmw_expect_unlocked(0, P(0), P(2), LMM_AREA);
	lmw_expect_unlocked(1, P(4), P(6), LMM_AREA);
	lmw_expect_unlocked(2, P(8), P(10), LMM_AREA);
	assert_int_equal(lmm_undo(lmw.m, P(2), 2 * PAGE), LMM_MLOCK_NOP);
	assert_int_equal(lmm_undo(lmw.m, P(2), 0), -EINVAL);
	assert_int_equal(lmm_undo(lmw.m, UINT64_MAX - 5, 10), -EINVAL);
	/* All of an attachment that is locked as a whole is covered, ... */
	seg = lmw_lock(S(2), S(3), LMM_MLOCK_LOCK);
	lmw.nunlocked = 0;
	assert_int_equal(lmm_undo(lmw.m, S(0), SEG_BYTES + PAGE), LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, S(0) + SEG_BYTES, S(0) + SEG_BYTES + PAGE, LMM_AREA);
	/* ... and of one that is not, what is locked. */
	assert_int_equal(lmm_segment_refused(lmw.m, seg), 0);
	lmw.nunlocked = 0;
	assert_int_equal(lmm_undo(lmw.m, S(0), SEG_BYTES), LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 2);
	lmw_expect_unlocked(0, S(0), S(2), LMM_AREA);
	lmw_expect_unlocked(1, S(3), S(0) + SEG_BYTES, LMM_AREA);
}

static void test_failed_first_lock(void **state)
{
	lmm_handle h = 0;

	(void)state;
	/* A hole. */
	assert_int_equal(lmw_lock_level(PAGE, 3 * PAGE, LMM_LOCKED, &h), -EINVAL);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, PAGE, 3 * PAGE, LMM_AREA);
	/* Lengths that are none. */
	assert_int_equal(lmm_lock_area(lmw.m, P(0), 0, LMM_LOCKED, &h, NULL), -EINVAL);
	assert_int_equal(lmm_lock_area(lmw.m, UINT64_MAX - 5, 10, LMM_LOCKED, &h, NULL), -EINVAL);
	assert_int_equal(lmm_lock_area(lmw.m, UINT64_MAX - 5, 5, LMM_LOCKED, &h, NULL), -EINVAL);
	assert_int_equal(lmw.nunlocked, 1);
	/* What the host cannot lock. */
	lmw.area_error = -ENOMEM;
	lmw_lock_level(P(0), P(2), LMM_LOCKED, &h);
	assert_int_equal(lmw.nunlocked, 2);
	lmw.area_error = -EAGAIN;
	assert_int_equal(lmw_lock_level(P(0), P(2), LMM_LOCKED, &h), -EAGAIN);
	lmw.area_error = 0;
	/* Next to what is covered. */
	lmw_lock(P(0), P(1), LMM_MLOCK_NOP);
	lmw.nunlocked = 0;
	lmw.area_error = -ENOMEM;
	assert_int_equal(lmw_lock_level(P(0), P(3), LMM_LOCKED, &h), -ENOMEM);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, P(1), P(3), LMM_AREA);
	assert_int_equal(h, 0);
}

/* Every allocation fails once, in turn: nothing changes, and giving back works without memory. */
static void test_no_memory(void **state)
{
	lmm_handle a[3], h = 0;
	struct lmm_counts before, after;
	long n, live;
	uint32_t i;

	(void)state;
	fake.allow = 0;
	assert_null(lmm_create(&lmw.host, NULL, PAGE));
	fake.allow = -1;
	for (n = 0;; n++) {
		live = fake.live;
		lmw.nlocked = lmw.nunlocked = 0;
		fake.allow = n;
		if (lmw_lock_level(M(2), M(26), LMM_LOCKED, &h) >= 0)
			break;
		assert_int_equal(h, 0);
		assert_int_equal(lmw.nunlocked, 1);
		lmw_look();
		assert_int_equal(lmw.nseen + lmw.nseen_seg, 0);
		/* What stays is room for later, in the manager. */
		assert_true(fake.live - live <= 3);
	}
	assert_int_equal(n, 7); /* attachments, table, LMAs, parts */
	fake.allow = 0;
	lmw_unlock(h, LMM_MLOCK_UNLOCK);

	/* Many LMAs, of which an area makes many more. */
	fake.allow = -1;
	for (i = 0; i < 2000; i++)
		lmw_lock(P(2ull * i), P(2ull * i + 1), LMM_MLOCK_NOP);
	for (i = 0; i < 3; i++) {
		a[i] = 0;
		lmm_get_counts(lmw.m, &before);
		for (n = 0; a[i] == 0; n++) {
			fake.allow = n;
			lmw.nunlocked = 0;
			lmw_lock_level(P(i), P(60 + i), LMM_LOCKED, &a[i]);
			lmm_get_counts(lmw.m, &after);
			if (a[i] == 0)
				assert_memory_equal(&before, &after, sizeof(before));
		}
	}
	fake.allow = 0;
	for (i = 0; i < 3; i++)
		lmw_unlock(a[i], i == 0 ? LMM_MLOCK_NOP : LMM_MLOCK_UNLOCK); /* page 0 stays covered */
}

/* ---- memory that goes away ---- */

static void test_gone(void **state)
{
	lmm_handle a = lmw_lock(P(0), P(8), LMM_MLOCK_NOP), b = lmw_lock(P(6), P(10), LMM_MLOCK_NOP);

	(void)state;
	assert_int_equal(lmm_gone(lmw.m, a, P(2), P(4)), LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 2);
	lmw_expect_unlocked(0, P(0), P(2), LMM_AREA);
	lmw_expect_unlocked(1, P(4), P(6), LMM_AREA);
	assert_int_equal(lmm_gone(lmw.m, a, P(2), P(4)), -EINVAL);
	lmw.nunlocked = 0;
	assert_int_equal(lmm_gone(lmw.m, b, P(0), P(100)), LMM_MLOCK_NOP);
	assert_int_equal(lmw.nunlocked, 0);
	lmw_look();
	assert_int_equal(lmw.nseen, 0);
}

static void test_gone_segment(void **state)
{
	lmm_handle a = lmw_lock(S(0), S(2), LMM_MLOCK_LOCK), b = lmw_lock(S(6), S(8), LMM_MLOCK_NOP), c;

	(void)state;
	/* The first four pages go; b stays, and from now on has its own pages only. */
	assert_int_equal(lmm_gone(lmw.m, a, S(0), S(4)), LMM_MLOCK_NOP);
	assert_int_equal(lmm_gone_segments(lmw.m, S(0), S(4)), LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 2);
	lmw_expect_unlocked(0, S(4), S(6), LMM_SEGMENT);
	lmw_expect_unlocked(1, S(8), S(0) + SEG_BYTES, LMM_SEGMENT);
	lmw_look();
	assert_false(lmw.seen_seg[0].whole);
	assert_true(lmw.seen[0].physical);
	lmw.nunlocked = 0;
	assert_int_equal(lmm_gone_segments(lmw.m, S(0), S(4)), LMM_MLOCK_NOP);
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
	lmw_expect_unlocked(0, S(6), S(8), LMM_AREA);
	/* The last area of an attachment goes: the rest of it is unlocked. */
	c = lmw_lock(S(0), S(2), LMM_MLOCK_LOCK);
	lmw.nunlocked = 0;
	assert_int_equal(lmm_gone(lmw.m, c, S(1), S(3)), LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 2);
	lmw_expect_unlocked(0, S(0), S(1), LMM_SEGMENT);
	lmw_expect_unlocked(1, S(3), S(0) + SEG_BYTES, LMM_SEGMENT);
	assert_int_equal(lmm_gone_segments(lmw.m, S(1), S(3)), LMM_MLOCK_NOP);
}

/* Private memory was unmapped while registered, nobody said so, and a segment came in its place. */
static void test_remapped(void **state)
{
	const struct lmm_run run = {.start = P(3),
				    .end = P(5),
				    .kind = LMM_SYSV,
				    .object = 9,
				    .seg_start = P(0),
				    .seg_end = P(8),
				    .writable = true};
	lmm_handle old = lmw_lock(P(2), P(4), LMM_MLOCK_NOP), past = lmw_lock(P(7), P(9), LMM_MLOCK_NOP),
		   fresh;

	(void)state;
	lmw.remapped = &run;
	fresh = lmw_lock(P(3), P(5), LMM_MLOCK_LOCK);
	lmw_unlock(old, LMM_MLOCK_NOP);
	lmw_unlock(fresh, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, P(0), P(7), LMM_SEGMENT);
	lmw_unlock(past, LMM_MLOCK_UNLOCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LMW_TEST(test_undo), LMW_TEST(test_failed_first_lock), LMW_TEST(test_no_memory),
		LMW_TEST(test_gone), LMW_TEST(test_gone_segment),      LMW_TEST(test_remapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
