/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lmm_world.c - see lmm_world.h. */
#include "tests/unit/lmm_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct lmw_world lmw;

static int note_lock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	(void)ctx;
	lmw.locked[lmw.nlocked++ % 64] = (struct lmw_call){start, end, what};
	return what == LMM_AREA ? lmw.area_error : lmw.seg_error;
}

static void note_unlock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	(void)ctx;
	assert_true(lmw.nunlocked < 64);
	assert_true(start < end && start % PAGE == 0 && end % PAGE == 0);
	lmw.unlocked[lmw.nunlocked++] = (struct lmw_call){start, end, what};
}

static int resolve(void *ctx, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max, char *text)
{
	if (lmw.remapped == NULL)
		return ka_host_resolve(ctx, start, end, runs, max, text);
	*runs = *lmw.remapped;
	return 1;
}

int lmw_setup(void **state)
{
	(void)state;
	fake_reset();
	memset(&lmw, 0, sizeof(lmw));
	lmw.host = (struct lmm_host){ka_host_alloc, ka_host_free, resolve, note_lock, note_unlock, NULL};
	lmw.m = lmm_create(&lmw.host, NULL, PAGE);
	assert_non_null(lmw.m);
	return 0;
}

int lmw_teardown(void **state)
{
	(void)state;
	lmm_destroy(lmw.m);
	assert_int_equal(fake.live, 0);
	return 0;
}

int lmw_lock_level(uint64_t start, uint64_t end, enum lmm_level level, lmm_handle *h)
{
	char text[LMM_TEXT] = "";
	int verdict = lmm_lock_area(lmw.m, start, end - start, level, h, text);

	assert_int_equal(verdict < 0, text[0] != '\0');
	return verdict;
}

lmm_handle lmw_lock(uint64_t start, uint64_t end, int verdict)
{
	lmm_handle h = 0;

	assert_int_equal(lmw_lock_level(start, end, LMM_LOCKED, &h), verdict);
	assert_int_not_equal(h, 0);
	return h;
}

void lmw_unlock(lmm_handle h, int verdict)
{
	lmw.nunlocked = 0;
	assert_int_equal(lmm_unlock_area(lmw.m, h), verdict);
	assert_int_equal(lmw.nunlocked > 0, verdict == LMM_MLOCK_UNLOCK);
}

void lmw_expect_unlocked(uint32_t i, uint64_t start, uint64_t end, enum lmm_what what)
{
	assert_true(i < lmw.nunlocked);
	assert_int_equal(lmw.unlocked[i].start, start);
	assert_int_equal(lmw.unlocked[i].end, end);
	assert_int_equal(lmw.unlocked[i].what, what);
}

static void see(void *arg, const struct lmm_lma *lma)
{
	(void)arg;
	assert_true(lmw.nseen < 64);
	lmw.seen[lmw.nseen++] = *lma;
}

static void see_seg(void *arg, const struct lmm_segment *seg)
{
	(void)arg;
	assert_true(lmw.nseen_seg < 16);
	lmw.seen_seg[lmw.nseen_seg++] = *seg;
}

void lmw_look(void)
{
	struct lmm_counts counts;
	uint64_t bytes = 0;
	uint32_t i;

	lmw.nseen = lmw.nseen_seg = 0;
	lmm_walk(lmw.m, see, see_seg, NULL);
	lmm_get_counts(lmw.m, &counts);
	assert_int_equal(counts.lmas, lmw.nseen);
	assert_int_equal(counts.segments, lmw.nseen_seg);
	for (i = 0; i < lmw.nseen; i++)
		bytes += lmw.seen[i].end - lmw.seen[i].start;
	assert_int_equal(counts.bytes, bytes);
}

void lmw_expect_lmas(const struct lmw_want *want, uint32_t n)
{
	uint32_t i;

	lmw_look();
	assert_int_equal(lmw.nseen, n);
	for (i = 0; i < n; i++) {
		assert_int_equal(lmw.seen[i].start, want[i].start);
		assert_int_equal(lmw.seen[i].end, want[i].end);
		assert_int_equal(lmw.seen[i].count, want[i].count);
	}
}
