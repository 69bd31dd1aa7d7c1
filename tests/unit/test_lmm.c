/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_lmm.c - the Locked Memory Manager: intersections, verdicts, failure,
 * and random work against a model that counts every page.
 */
#include "tests/unit/fake_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define P(n) (PRIVATE_AT + (n)*PAGE)

static struct ka_range freed[64];
static struct lmm_ranges out;
static struct ka_range seg;

static int lock(struct lmm *m, uint64_t start, uint64_t end, struct lmm_area *area)
{
	struct ka_map map;
	char text[KA_TEXT];

	assert_int_equal(ka_host_resolve(NULL, start, end - start, &map, text), 0);
	return lmm_lock_area(m, start, end, &map, area, &seg);
}

static int unlock(struct lmm *m, const struct lmm_area *area)
{
	out = (struct lmm_ranges){freed, 0, 64};
	seg = (struct ka_range){0, 0};
	return lmm_unlock_area(m, area, &out, &seg);
}

static void expect_lmas(const struct lma_list *l, uint32_t n, const struct lma *want)
{
	uint32_t i;

	assert_int_equal(l->n, n);
	for (i = 0; i < n; i++) {
		assert_int_equal(l->v[i].start, want[i].start);
		assert_int_equal(l->v[i].end, want[i].end);
		assert_int_equal(l->v[i].count, want[i].count);
	}
}

#define EXPECT(m, ...)                                                         \
	do {                                                                   \
		const struct lma want[] = {__VA_ARGS__};                       \
		expect_lmas(&(m)->priv, sizeof(want) / sizeof(want[0]), want); \
	} while (0)

/* Lock [a, b), then [c, d), and give both back; the caller looks in between. */
static void two(struct lmm *m, struct lmm_area *area, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	assert_int_equal(lock(m, P(a), P(b), &area[0]), KA_MLOCK_NOP);
	assert_int_equal(lock(m, P(c), P(d), &area[1]), KA_MLOCK_NOP);
}

static void done(struct lmm *m)
{
	assert_int_equal(m->priv.n, 0);
	assert_null(m->atts);
	lmm_destroy(m);
	assert_int_equal(fake.live, 0);
}

static void test_equal(void **state)
{
	struct lmm m = {0};
	struct lmm_area a[2];

	(void)state;
	two(&m, a, 2, 5, 2, 5);
	EXPECT(&m, {P(2), P(5), 2});
	assert_int_equal(unlock(&m, &a[0]), KA_MLOCK_NOP);
	EXPECT(&m, {P(2), P(5), 1});
	assert_int_equal(unlock(&m, &a[1]), KA_MLOCK_UNLOCK);
	assert_int_equal(out.n, 1);
	assert_int_equal(freed[0].start, P(2));
	assert_int_equal(freed[0].length, 3 * PAGE);
	done(&m);
}

static void test_enclosed(void **state)
{
	struct lmm m = {0};
	struct lmm_area a[3];

	(void)state;
	two(&m, a, 2, 4, 6, 8);
	assert_int_equal(lock(&m, P(1), P(9), &a[2]), KA_MLOCK_NOP);
	EXPECT(&m, {P(1), P(2), 1}, {P(2), P(4), 2}, {P(4), P(6), 1}, {P(6), P(8), 2}, {P(8), P(9), 1});
	assert_int_equal(unlock(&m, &a[2]), KA_MLOCK_UNLOCK);
	assert_int_equal(out.n, 3);
	EXPECT(&m, {P(2), P(4), 1}, {P(6), P(8), 1});
	unlock(&m, &a[0]);
	unlock(&m, &a[1]);
	done(&m);
}

static void test_inside(void **state)
{
	struct lmm m = {0};
	struct lmm_area a[2];

	(void)state;
	two(&m, a, 1, 9, 3, 5);
	EXPECT(&m, {P(1), P(3), 1}, {P(3), P(5), 2}, {P(5), P(9), 1});
	assert_int_equal(unlock(&m, &a[0]), KA_MLOCK_UNLOCK);
	assert_int_equal(out.n, 2);
	assert_int_equal(freed[0].length, 2 * PAGE);
	assert_int_equal(freed[1].start, P(5));
	EXPECT(&m, {P(3), P(5), 1});
	assert_int_equal(unlock(&m, &a[1]), KA_MLOCK_UNLOCK);
	done(&m);
}

static void test_head(void **state)
{
	struct lmm m = {0};
	struct lmm_area a[2];

	(void)state;
	two(&m, a, 4, 8, 2, 6);
	EXPECT(&m, {P(2), P(4), 1}, {P(4), P(6), 2}, {P(6), P(8), 1});
	assert_int_equal(unlock(&m, &a[0]), KA_MLOCK_UNLOCK);
	assert_int_equal(freed[0].start, P(6));
	EXPECT(&m, {P(2), P(4), 1}, {P(4), P(6), 1});
	/* Two LMAs, one range: neighbours are given out together. */
	assert_int_equal(unlock(&m, &a[1]), KA_MLOCK_UNLOCK);
	assert_int_equal(out.n, 1);
	assert_int_equal(freed[0].length, 4 * PAGE);
	done(&m);
}

static void test_tail(void **state)
{
	struct lmm m = {0};
	struct lmm_area a[2];

	(void)state;
	two(&m, a, 2, 6, 4, 8);
	EXPECT(&m, {P(2), P(4), 1}, {P(4), P(6), 2}, {P(6), P(8), 1});
	assert_int_equal(unlock(&m, &a[1]), KA_MLOCK_UNLOCK);
	assert_int_equal(freed[0].start, P(6));
	unlock(&m, &a[0]);
	done(&m);
}

static void test_shared_bounds(void **state)
{
	struct lmm m = {0};
	struct lmm_area a[4];

	(void)state;
	two(&m, a, 2, 6, 2, 4); /* inside, at the start */
	EXPECT(&m, {P(2), P(4), 2}, {P(4), P(6), 1});
	assert_int_equal(lock(&m, P(4), P(6), &a[2]), KA_MLOCK_NOP);
	assert_int_equal(lock(&m, P(6), P(7), &a[3]), KA_MLOCK_NOP); /* touches */
	EXPECT(&m, {P(2), P(4), 2}, {P(4), P(6), 2}, {P(6), P(7), 1});
	unlock(&m, &a[3]);
	unlock(&m, &a[2]);
	unlock(&m, &a[1]);
	unlock(&m, &a[0]);
	done(&m);
}

static void test_segment(void **state)
{
	struct lmm m = {0};
	struct lmm_area a[3], other;

	(void)state;
	assert_int_equal(lock(&m, SEG_AT(1) + PAGE, SEG_AT(1) + 2 * PAGE, &a[0]), KA_MLOCK_LOCK);
	assert_int_equal(seg.start, SEG_AT(1));
	assert_int_equal(seg.length, SEG_BYTES);
	assert_int_equal(lock(&m, SEG_AT(1), SEG_AT(1) + SEG_BYTES, &a[1]), KA_MLOCK_NOP);
	assert_int_equal(lock(&m, SEG_AT(1), SEG_AT(1) + PAGE, &a[2]), KA_MLOCK_NOP);
	assert_int_equal(lock(&m, SEG_AT(2), SEG_AT(2) + PAGE, &other), KA_MLOCK_LOCK);
	assert_int_equal(lmm_count(&m), 3 + 1);
	assert_true(lmm_holds(&m, 1) && lmm_holds(&m, 2) && !lmm_holds(&m, 3));
	assert_int_equal(unlock(&m, &a[1]), KA_MLOCK_NOP);
	assert_int_equal(lmm_count(&m), 2 + 1);
	assert_int_equal(unlock(&m, &a[0]), KA_MLOCK_NOP);
	assert_int_equal(unlock(&m, &a[2]), KA_MLOCK_UNLOCK);
	assert_int_equal(out.n, 1);
	assert_int_equal(freed[0].start, SEG_AT(1));
	assert_int_equal(freed[0].length, SEG_BYTES);
	assert_int_equal(seg.length, SEG_BYTES);
	assert_false(lmm_holds(&m, 1));
	assert_int_equal(unlock(&m, &other), KA_MLOCK_UNLOCK);
	done(&m);
}

static void test_uncovered(void **state)
{
	struct lmm m = {0};
	struct lmm_area a[3];

	(void)state;
	two(&m, a, 2, 4, 6, 8);
	out = (struct lmm_ranges){freed, 0, 64};
	lmm_uncovered(&m, P(0), P(10), &out);
	assert_int_equal(out.n, 3);
	assert_int_equal(freed[1].start, P(4));
	assert_int_equal(freed[1].length, 2 * PAGE);
	out.n = 0;
	lmm_uncovered(&m, P(2), P(4), &out);
	assert_int_equal(out.n, 0);
	/* All of an attachment held locked is covered, LMA or not. */
	assert_int_equal(lock(&m, SEG_AT(1), SEG_AT(1) + PAGE, &a[2]), KA_MLOCK_LOCK);
	lmm_uncovered(&m, SEG_AT(1) + 4 * PAGE, SEG_AT(1) + SEG_BYTES + PAGE, &out);
	assert_int_equal(out.n, 1);
	assert_int_equal(freed[0].start, SEG_AT(1) + SEG_BYTES);
	/* What does not fit is left out. */
	out = (struct lmm_ranges){freed, 0, 1};
	lmm_uncovered(&m, P(0), P(10), &out);
	assert_int_equal(out.n, 1);
	lmm_destroy(&m);
	assert_int_equal(fake.live, 0);
}

/* Private memory was unmapped while registered, and a segment attached in its place. */
static void test_remapped(void **state)
{
	const struct ka_map map = {.kind = KA_OBJ_SYSV,
				   .object = 9,
				   .att_start = P(0),
				   .att_length = 8 * PAGE,
				   .object_bytes = 8 * PAGE};
	struct lmm m = {0};
	struct lmm_area old, fresh;

	(void)state;
	assert_int_equal(lock(&m, P(2), P(4), &old), KA_MLOCK_NOP);
	assert_int_equal(lmm_lock_area(&m, P(3), P(5), &map, &fresh, &seg), KA_MLOCK_LOCK);
	assert_int_equal(unlock(&m, &old), KA_MLOCK_NOP);
	assert_int_equal(unlock(&m, &fresh), KA_MLOCK_UNLOCK);
	done(&m);
}

static void test_no_memory(void **state)
{
	struct lmm m = {0};
	struct lmm_area a[16], failed = {1, 2, NULL};
	uint32_t i, n;

	(void)state;
	fake.allow = 0;
	assert_int_equal(lock(&m, P(0), P(1), &failed), -ENOMEM);
	assert_int_equal(lock(&m, SEG_AT(1), SEG_AT(1) + PAGE, &failed), -ENOMEM);
	fake.allow = 1; /* the attachment, and not its LMA */
	assert_int_equal(lock(&m, SEG_AT(1), SEG_AT(1) + PAGE, &failed), -ENOMEM);
	assert_null(m.atts);
	assert_int_equal(fake.live, 0);
	assert_int_equal(failed.start, 1);
	fake_reset();
	for (i = 0; i < 8; i++)
		assert_int_equal(lock(&m, P(2 * i), P(2 * i + 1), &a[i]), KA_MLOCK_NOP);
	n = m.priv.n;
	fake.allow = 0;
	assert_int_equal(lock(&m, P(0), P(16), &failed), -ENOMEM);
	assert_int_equal(m.priv.n, n);
	for (i = 0; i < 8; i++)
		assert_int_equal(m.priv.v[i].count, 1);
	/* Giving back needs no memory. */
	for (i = 0; i < 8; i++)
		assert_int_equal(unlock(&m, &a[i]), KA_MLOCK_UNLOCK);
	fake_reset();
	done(&m);
}

/* ---- random work against a count for each page ---- */

#define MODEL_PAGES 96u
#define MODEL_AREAS 48u
#define MODEL_SEG   64u /* pages from here on are segment 1 */

static uint64_t page_at(uint32_t page)
{
	return page < MODEL_SEG ? P(page) : SEG_AT(1) + ((page - MODEL_SEG) % 16) * PAGE;
}

static void check_model(const struct lmm *m, const uint32_t *count)
{
	const struct lma_list *l;
	uint32_t page, i, found;
	uint64_t end = 0;

	for (page = 0; page < MODEL_SEG + 16; page++) {
		l = page < MODEL_SEG ? &m->priv : m->atts != NULL ? &m->atts->lmas : NULL;
		for (found = 0, i = 0; l != NULL && i < l->n; i++)
			if (l->v[i].start <= page_at(page) && page_at(page) < l->v[i].end)
				found += l->v[i].count;
		assert_int_equal(found, count[page]);
	}
	for (i = 0; i < m->priv.n; i++) {
		assert_true(m->priv.v[i].start >= end && m->priv.v[i].end > m->priv.v[i].start);
		assert_true(m->priv.v[i].count > 0);
		end = m->priv.v[i].end;
	}
}

static void test_random(void **state)
{
	struct lmm m = {0};
	struct lmm_area area[MODEL_AREAS];
	uint32_t first[MODEL_AREAS], last[MODEL_AREAS] = {0}, count[MODEL_PAGES] = {0},
				     locked[MODEL_PAGES] = {0};
	uint64_t seed = 0x5eed1234abcdull, rnd = seed;
	uint32_t round, i, p, pages, held = 0;
	int verdict;

	(void)state;
	print_message("seed 0x%llx\n", (unsigned long long)seed);
	for (round = 0; round < 40000; round++) {
		i = (uint32_t)(fake_rand(&rnd) % MODEL_AREAS);
		if (last[i] == 0) {
			pages = fake_rand(&rnd) % 4 == 0 ? 16 : MODEL_SEG;
			first[i] = (uint32_t)(fake_rand(&rnd) % pages);
			last[i] = first[i] + 1 + (uint32_t)(fake_rand(&rnd) % (pages - first[i]));
			if (pages == 16) {
				first[i] += MODEL_SEG;
				last[i] += MODEL_SEG;
			}
			fake.allow = fake_rand(&rnd) % 5 == 0 ? 0 : -1;
			verdict = lock(&m, page_at(first[i]), page_at(last[i] - 1) + PAGE, &area[i]);
			fake.allow = -1;
			if (verdict < 0) {
				last[i] = 0;
			} else {
				assert_int_equal(verdict,
						 pages == 16 && held == 0 ? KA_MLOCK_LOCK : KA_MLOCK_NOP);
				held += pages == 16;
				for (p = first[i]; p < last[i]; p++)
					locked[p] = ++count[p];
			}
		} else {
			for (p = first[i]; p < last[i]; p++)
				count[p]--;
			verdict = unlock(&m, &area[i]);
			last[i] = 0;
			if (first[i] >= MODEL_SEG) {
				held--;
				assert_int_equal(verdict, held == 0 ? KA_MLOCK_UNLOCK : KA_MLOCK_NOP);
			}
			assert_int_equal(verdict == KA_MLOCK_UNLOCK, out.n > 0);
			for (p = 0; p < MODEL_SEG; p++)
				for (i = 0; i < out.n; i++)
					if (freed[i].start <= P(p) &&
					    P(p) < freed[i].start + freed[i].length) {
						assert_int_equal(count[p], 0);
						assert_true(locked[p] != 0);
						locked[p] = 0;
					}
			/* Whatever nobody covers has been given out to be unlocked. */
			for (p = 0; p < MODEL_SEG; p++)
				assert_true(count[p] > 0 || locked[p] == 0);
		}
		check_model(&m, count);
	}
	for (i = 0; i < MODEL_AREAS; i++)
		if (last[i] != 0)
			lmm_release(&m, &area[i]);
	out = (struct lmm_ranges){freed, 0, 64};
	lmm_sweep(&m, &out);
	done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal),	 cmocka_unit_test(test_enclosed),
		cmocka_unit_test(test_inside),	 cmocka_unit_test(test_head),
		cmocka_unit_test(test_tail),	 cmocka_unit_test(test_shared_bounds),
		cmocka_unit_test(test_segment),	 cmocka_unit_test(test_uncovered),
		cmocka_unit_test(test_remapped), cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
