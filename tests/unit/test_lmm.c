/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_lmm.c - the Locked Memory Manager: how areas intersect, by hand and at
 * random; levels, handles, and the end.
 */
#include "tests/unit/lmm_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- the five intersections ---- */

static void test_equal(void **state)
{
	lmm_handle a = lmw_lock(P(2), P(5), LMM_MLOCK_NOP), b = lmw_lock(P(2), P(5), LMM_MLOCK_NOP);

	(void)state;
	assert_int_not_equal(a, b);
	LMW_EXPECT({P(2), P(5), 2});
	lmw_unlock(a, LMM_MLOCK_NOP);
	LMW_EXPECT({P(2), P(5), 1});
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, P(2), P(5), LMM_AREA);
	lmw_look();
	assert_int_equal(lmw.nseen, 0);
}

static void test_enclosed(void **state)
{
	lmm_handle a = lmw_lock(P(2), P(4), LMM_MLOCK_NOP), b = lmw_lock(P(6), P(8), LMM_MLOCK_NOP), c;

	(void)state;
	c = lmw_lock(P(1), P(9), LMM_MLOCK_NOP);
	LMW_EXPECT({P(1), P(2), 1}, {P(2), P(4), 2}, {P(4), P(6), 1}, {P(6), P(8), 2}, {P(8), P(9), 1});
	lmw_unlock(c, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 3);
	lmw_expect_unlocked(1, P(4), P(6), LMM_AREA);
	LMW_EXPECT({P(2), P(4), 1}, {P(6), P(8), 1});
	lmw_unlock(a, LMM_MLOCK_UNLOCK);
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
}

static void test_inside(void **state)
{
	lmm_handle a = lmw_lock(P(1), P(9), LMM_MLOCK_NOP), b = lmw_lock(P(3), P(5), LMM_MLOCK_NOP);

	(void)state;
	LMW_EXPECT({P(1), P(3), 1}, {P(3), P(5), 2}, {P(5), P(9), 1});
	lmw_unlock(a, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 2);
	lmw_expect_unlocked(0, P(1), P(3), LMM_AREA);
	lmw_expect_unlocked(1, P(5), P(9), LMM_AREA);
	LMW_EXPECT({P(3), P(5), 1});
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
}

static void test_head(void **state)
{
	lmm_handle a = lmw_lock(P(4), P(8), LMM_MLOCK_NOP), b = lmw_lock(P(2), P(6), LMM_MLOCK_NOP);

	(void)state;
	LMW_EXPECT({P(2), P(4), 1}, {P(4), P(6), 2}, {P(6), P(8), 1});
	lmw_unlock(a, LMM_MLOCK_UNLOCK);
	lmw_expect_unlocked(0, P(6), P(8), LMM_AREA);
	/* What becomes free together is unlocked together. */
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, P(2), P(6), LMM_AREA);
}

static void test_tail(void **state)
{
	lmm_handle a = lmw_lock(P(2), P(6), LMM_MLOCK_NOP), b = lmw_lock(P(4), P(8), LMM_MLOCK_NOP);

	(void)state;
	LMW_EXPECT({P(2), P(4), 1}, {P(4), P(6), 2}, {P(6), P(8), 1});
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, P(6), P(8), LMM_AREA);
	lmw_unlock(a, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmw.nunlocked, 1);
	lmw_expect_unlocked(0, P(2), P(6), LMM_AREA);
}

static void test_bounds_in_common(void **state)
{
	lmm_handle a = lmw_lock(P(2), P(6), LMM_MLOCK_NOP), b = lmw_lock(P(2), P(4), LMM_MLOCK_NOP), c;

	(void)state;
	LMW_EXPECT({P(2), P(4), 2}, {P(4), P(6), 1});
	c = lmw_lock(P(3), P(4), LMM_MLOCK_NOP);
	LMW_EXPECT({P(2), P(3), 2}, {P(3), P(4), 3}, {P(4), P(6), 1});
	lmw_unlock(a, LMM_MLOCK_UNLOCK);
	lmw_expect_unlocked(0, P(4), P(6), LMM_AREA);
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
	lmw_unlock(c, LMM_MLOCK_UNLOCK);
}

static void test_rounding(void **state)
{
	lmm_handle h;
	struct lmm_area_info info;

	(void)state;
	assert_int_equal(lmm_lock_area(lmw.m, P(2) + 4095, 2, LMM_MAPPED, &h, NULL), LMM_MLOCK_NOP);
	LMW_EXPECT({P(2), P(4), 1});
	assert_int_equal(lmw.nlocked, 1);
	assert_int_equal(lmw.locked[0].what, LMM_AREA);
	assert_int_equal(lmw.locked[0].end - lmw.locked[0].start, 2 * PAGE);
	assert_int_equal(lmm_get_area(lmw.m, h, &info), 0);
	assert_int_equal(info.start, P(2));
	assert_int_equal(info.end, P(4));
}

/* More LMAs than a node of the tree takes, at random places, and back. */
static void test_many(void **state)
{
	static lmm_handle h[3000];
	struct lmm_counts counts;
	uint64_t rnd = 77, at;
	uint32_t i;

	(void)state;
	for (i = 0; i < 3000; i++)
		h[i] = lmw_lock(P(2ull * ((i * 1009ull) % 3000)), P(2ull * ((i * 1009ull) % 3000) + 1),
				LMM_MLOCK_NOP);
	lmm_get_counts(lmw.m, &counts);
	assert_int_equal(counts.lmas, 3000);
	assert_int_equal(counts.bytes, 3000 * PAGE);
	for (i = 0; i < 20000; i++) {
		at = 2 * (fake_rand(&rnd) % 2990);
		lmw_unlock(lmw_lock(P(at), P(at + 9), LMM_MLOCK_NOP), LMM_MLOCK_UNLOCK);
		assert_int_equal(lmw.nunlocked, 4);
		lmw_expect_unlocked(3, P(at + 7), P(at + 8), LMM_AREA);
		lmw.nunlocked = 0;
		assert_int_equal(lmm_undo(lmw.m, P(at), 9 * PAGE), LMM_MLOCK_UNLOCK);
		assert_int_equal(lmw.nunlocked, 4);
	}
	for (i = 0; i < 3000; i++)
		lmw_unlock(h[(i * 7) % 3000], LMM_MLOCK_UNLOCK);
	lmm_get_counts(lmw.m, &counts);
	assert_int_equal(counts.lmas + counts.areas + counts.bytes, 0);
	assert_int_equal(counts.locks, counts.unlocks);
}

/* ---- random work against a count for each page ---- */

#define PAGES 5000u
#define AREAS 3000u

static uint32_t count[PAGES]; /* areas that cover the page */
static bool held[PAGES];      /* the page is locked */

static void model_unlock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	(void)ctx;
	assert_int_equal(what, LMM_AREA);
	for (; start < end; start += PAGE) {
		assert_int_equal(count[(start - P(0)) / PAGE], 0);
		held[(start - P(0)) / PAGE] = false;
	}
}

static void model_lma(void *arg, const struct lmm_lma *lma)
{
	uint64_t *pos = arg, page;

	assert_true(lma->start >= *pos && lma->end > lma->start && lma->count > 0);
	for (page = (*pos - P(0)) / PAGE; page < (lma->start - P(0)) / PAGE; page++)
		assert_true(count[page] == 0 && !held[page]);
	for (; page < (lma->end - P(0)) / PAGE; page++)
		assert_true(count[page] == lma->count && held[page]);
	*pos = lma->end;
}

static void check_model(void)
{
	uint64_t pos = P(0), page;

	lmm_walk(lmw.m, model_lma, NULL, &pos);
	for (page = (pos - P(0)) / PAGE; page < PAGES; page++)
		assert_true(count[page] == 0 && !held[page]);
}

static void test_random(void **state)
{
	static struct {
		lmm_handle h;
		uint32_t from, to;
	} area[AREAS], *a;
	uint64_t seed = 0x5eed1234abcdull, rnd = seed;
	uint32_t round, i, most;

	(void)state;
	print_message("seed 0x%llx\n", (unsigned long long)seed);
	lmw.host.unlock = model_unlock;
	for (round = 0; round < 60000; round++) {
		/* Fewer and more areas by turns. */
		most = round / 10000 % 2 == 0 ? AREAS : AREAS / 50;
		a = &area[fake_rand(&rnd) % AREAS];
		if (a->h == 0 && a < area + most) {
			a->from = (uint32_t)(fake_rand(&rnd) % PAGES);
			a->to = a->from + 1 +
				(uint32_t)(fake_rand(&rnd) % (fake_rand(&rnd) % 500 == 0 ? PAGES : 9));
			a->to = a->to < PAGES ? a->to : PAGES;
			for (i = a->from; i < a->to; i++)
				held[i] = true;
			fake.allow = fake_rand(&rnd) % 5 == 0 ? 0 : -1;
			if (lmm_lock_area(lmw.m, P(a->from), (a->to - a->from) * PAGE, LMM_LOCKED, &a->h,
					  NULL) >= 0)
				for (i = a->from; i < a->to; i++)
					count[i]++;
			else
				a->h = 0;
		} else if (a->h != 0) {
			fake.allow = 0;
			for (i = a->from; i < a->to; i++)
				count[i]--;
			assert_true(lmm_unlock_area(lmw.m, a->h) >= 0);
			a->h = 0;
		}
		fake.allow = -1;
		if (round % 200 == 0)
			check_model();
	}
	memset(count, 0, sizeof(count));
	lmm_cleanup(lmw.m);
	check_model();
}

/* ---- levels ---- */

static void test_levels(void **state)
{
	lmm_handle mapped, locked_too, pinned;
	struct lmm_area_info info;

	(void)state;
	assert_int_equal(lmw_lock_level(P(0), P(4), LMM_MAPPED, &mapped), LMM_MLOCK_NOP);
	lmw_look();
	assert_int_equal(lmw.seen[0].level, LMM_MAPPED);
	assert_int_equal(lmw_lock_level(P(0), P(4), LMM_LOCKED, &locked_too), LMM_MLOCK_NOP);
	assert_int_equal(lmw_lock_level(P(2), P(4), LMM_PINNED, &pinned), LMM_MLOCK_NOP);
	lmw_look();
	assert_int_equal(lmw.nseen, 2);
	assert_int_equal(lmw.seen[0].level, LMM_LOCKED);
	assert_int_equal(lmw.seen[1].level, LMM_PINNED);
	lmw_unlock(pinned, LMM_MLOCK_NOP);
	lmw_unlock(locked_too, LMM_MLOCK_NOP);
	lmw_look();
	assert_int_equal(lmw.seen[0].level, LMM_MAPPED);
	assert_int_equal(lmw.seen[lmw.nseen - 1].level, LMM_MAPPED);
	assert_int_equal(lmm_get_area(lmw.m, mapped, &info), 0);
	assert_int_equal(info.level, LMM_MAPPED);
	lmw.nunlocked = 0;
	assert_int_equal(lmw_lock_level(P(8), P(9), (enum lmm_level)3, &pinned), -EINVAL);
	assert_int_equal(lmw.nunlocked, 1);
}

/* ---- handles and cleanup ---- */

static void test_stale_handles(void **state)
{
	struct lmm_area_info info;
	lmm_handle a = lmw_lock(P(0), P(1), LMM_MLOCK_NOP), b;

	(void)state;
	lmw_unlock(a, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmm_unlock_area(lmw.m, a), -EINVAL);
	b = lmw_lock(P(0), P(1), LMM_MLOCK_NOP);
	assert_int_not_equal(a, b);
	assert_int_equal(lmm_unlock_area(lmw.m, a), -EINVAL);
	assert_int_equal(lmm_get_area(lmw.m, a, &info), -EINVAL);
	assert_int_equal(lmm_unlock_area(lmw.m, 0), -EINVAL);
	assert_int_equal(lmm_unlock_area(lmw.m, UINT64_MAX), -EINVAL);
	assert_int_equal(lmm_unlock_area(lmw.m, b + 1), -EINVAL);
	assert_int_equal(lmm_unlock_area(lmw.m, b + (1ull << 32)), -EINVAL);
	lmw_unlock(b, LMM_MLOCK_UNLOCK);
}

static void test_cleanup(void **state)
{
	lmm_handle a = lmw_lock(P(0), P(4), LMM_MLOCK_NOP), b = lmw_lock(M(2), M(26), LMM_MLOCK_LOCK);
	struct lmm_counts counts;

	(void)state;
	lmw_lock(P(2), P(6), LMM_MLOCK_NOP);
	lmw_lock(F(0), F(2), LMM_MLOCK_NOP);
	assert_int_equal(lmm_cleanup(lmw.m), LMM_MLOCK_UNLOCK);
	/* Private: P and three of M; attachments of M: segment, memfd, file's pages, segment; F. */
	assert_int_equal(lmw.nunlocked, 9);
	lmw_expect_unlocked(0, P(0), P(6), LMM_AREA);
	assert_int_equal(lmm_unlock_area(lmw.m, a), -EINVAL);
	assert_int_equal(lmm_unlock_area(lmw.m, b), -EINVAL);
	lmm_get_counts(lmw.m, &counts);
	assert_int_equal(counts.areas + counts.lmas + counts.segments + counts.bytes, 0);
	assert_int_equal(counts.locks, 4);
	assert_int_equal(counts.unlocks, 4);
	lmw.nunlocked = 0;
	assert_int_equal(lmm_cleanup(lmw.m), LMM_MLOCK_NOP);
	assert_int_equal(lmw.nunlocked, 0);
	lmw_lock(P(0), P(4), LMM_MLOCK_NOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LMW_TEST(test_equal),	 LMW_TEST(test_enclosed),      LMW_TEST(test_inside),
		LMW_TEST(test_head),	 LMW_TEST(test_tail),	       LMW_TEST(test_bounds_in_common),
		LMW_TEST(test_rounding), LMW_TEST(test_random),	       LMW_TEST(test_many),
		LMW_TEST(test_levels),	 LMW_TEST(test_stale_handles), LMW_TEST(test_cleanup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
