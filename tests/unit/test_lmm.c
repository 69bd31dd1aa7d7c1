/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_lmm.c - the Locked Memory Manager through include/lmm.h alone:
 * intersections, verdicts, attachments, memory that goes away, and failure.
 */
#include "tests/unit/fake_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define P(n) (PRIVATE_AT + (n)*PAGE)
#define M(n) (MIXED_AT + (n)*PAGE)
#define S(n) (SEG_AT(1) + (n)*PAGE)
#define F(n) (FILE_AT(1) + (n)*PAGE)

/* ---- a host that notes what it is told ---- */

struct call {
	uint64_t start;
	uint64_t end;
	enum lmm_what what;
};

static struct call unlocked[64], locked[64];
static uint32_t nunlocked, nlocked;
static int area_error, seg_error;      /* what lock answers */
static const struct lmm_run *remapped; /* resolve: this instead */

static int note_lock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	(void)ctx;
	locked[nlocked++ % 64] = (struct call){start, end, what};
	return what == LMM_AREA ? area_error : seg_error;
}

static void note_unlock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	(void)ctx;
	assert_true(nunlocked < 64);
	assert_true(start < end && start % PAGE == 0 && end % PAGE == 0);
	unlocked[nunlocked++] = (struct call){start, end, what};
}

static int resolve(void *ctx, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max, char *text)
{
	if (remapped == NULL)
		return ka_host_resolve(ctx, start, end, runs, max, text);
	*runs = *remapped;
	return 1;
}

/* Two pages follow each other in physical memory, then there is a gap; the first 8 are not known. */
static uint64_t frame(void *ctx, uint64_t addr)
{
	uint64_t n = addr / PAGE % 64;

	(void)ctx;
	return n < 8 ? 0 : 1000 + n + n / 2;
}

static struct lmm_host host = {ka_host_alloc, ka_host_free, resolve, note_lock, note_unlock, NULL};
static struct lmm *m;

static int setup(void **state)
{
	(void)state;
	fake_reset();
	nlocked = nunlocked = 0;
	area_error = seg_error = 0;
	remapped = NULL;
	host.frame = NULL;
	m = lmm_create(&host, NULL, PAGE);
	assert_non_null(m);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lmm_destroy(m);
	assert_int_equal(fake.live, 0);
	return 0;
}

static int lock_level(uint64_t start, uint64_t end, enum lmm_level level, lmm_handle *h)
{
	char text[LMM_TEXT] = "";
	int verdict = lmm_lock_area(m, start, end - start, level, h, text);

	assert_int_equal(verdict < 0, text[0] != '\0');
	return verdict;
}

static lmm_handle lock(uint64_t start, uint64_t end, int verdict)
{
	lmm_handle h = 0;

	assert_int_equal(lock_level(start, end, LMM_LOCKED, &h), verdict);
	assert_int_not_equal(h, 0);
	return h;
}

static void unlock(lmm_handle h, int verdict)
{
	nunlocked = 0;
	assert_int_equal(lmm_unlock_area(m, h), verdict);
	assert_int_equal(nunlocked > 0, verdict == LMM_MLOCK_UNLOCK);
}

static void expect_unlocked(uint32_t i, uint64_t start, uint64_t end, enum lmm_what what)
{
	assert_true(i < nunlocked);
	assert_int_equal(unlocked[i].start, start);
	assert_int_equal(unlocked[i].end, end);
	assert_int_equal(unlocked[i].what, what);
}

static struct lmm_lma seen[64];
static struct lmm_segment seen_seg[16];
static uint32_t nseen, nseen_seg;

static void see(void *arg, const struct lmm_lma *lma)
{
	(void)arg;
	assert_true(nseen < 64);
	seen[nseen++] = *lma;
}

static void see_seg(void *arg, const struct lmm_segment *seg)
{
	(void)arg;
	seen_seg[nseen_seg++] = *seg;
}

static void look(void)
{
	struct lmm_counts counts;
	uint64_t bytes = 0;
	uint32_t i;

	nseen = nseen_seg = 0;
	lmm_walk(m, see, see_seg, NULL);
	lmm_get_counts(m, &counts);
	assert_int_equal(counts.lmas, nseen);
	assert_int_equal(counts.segments, nseen_seg);
	for (i = 0; i < nseen; i++)
		bytes += seen[i].end - seen[i].start;
	assert_int_equal(counts.bytes, bytes);
}

struct want {
	uint64_t start;
	uint64_t end;
	uint32_t count;
};

static void expect_lmas(const struct want *want, uint32_t n)
{
	uint32_t i;

	look();
	assert_int_equal(nseen, n);
	for (i = 0; i < n; i++) {
		assert_int_equal(seen[i].start, want[i].start);
		assert_int_equal(seen[i].end, want[i].end);
		assert_int_equal(seen[i].count, want[i].count);
	}
}

#define EXPECT(...)                                                \
	do {                                                       \
		const struct want want[] = {__VA_ARGS__};          \
		expect_lmas(want, sizeof(want) / sizeof(want[0])); \
	} while (0)

/* ---- the five intersections ---- */

static void test_equal(void **state)
{
	lmm_handle a = lock(P(2), P(5), LMM_MLOCK_NOP), b = lock(P(2), P(5), LMM_MLOCK_NOP);

	(void)state;
	assert_int_not_equal(a, b);
	EXPECT({P(2), P(5), 2});
	unlock(a, LMM_MLOCK_NOP);
	EXPECT({P(2), P(5), 1});
	unlock(b, LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, P(2), P(5), LMM_AREA);
	look();
	assert_int_equal(nseen, 0);
}

static void test_enclosed(void **state)
{
	lmm_handle a = lock(P(2), P(4), LMM_MLOCK_NOP), b = lock(P(6), P(8), LMM_MLOCK_NOP), c;

	(void)state;
	c = lock(P(1), P(9), LMM_MLOCK_NOP);
	EXPECT({P(1), P(2), 1}, {P(2), P(4), 2}, {P(4), P(6), 1}, {P(6), P(8), 2}, {P(8), P(9), 1});
	unlock(c, LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 3);
	expect_unlocked(1, P(4), P(6), LMM_AREA);
	EXPECT({P(2), P(4), 1}, {P(6), P(8), 1});
	unlock(a, LMM_MLOCK_UNLOCK);
	unlock(b, LMM_MLOCK_UNLOCK);
}

static void test_inside(void **state)
{
	lmm_handle a = lock(P(1), P(9), LMM_MLOCK_NOP), b = lock(P(3), P(5), LMM_MLOCK_NOP);

	(void)state;
	EXPECT({P(1), P(3), 1}, {P(3), P(5), 2}, {P(5), P(9), 1});
	unlock(a, LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 2);
	expect_unlocked(0, P(1), P(3), LMM_AREA);
	expect_unlocked(1, P(5), P(9), LMM_AREA);
	EXPECT({P(3), P(5), 1});
	unlock(b, LMM_MLOCK_UNLOCK);
}

static void test_head(void **state)
{
	lmm_handle a = lock(P(4), P(8), LMM_MLOCK_NOP), b = lock(P(2), P(6), LMM_MLOCK_NOP);

	(void)state;
	EXPECT({P(2), P(4), 1}, {P(4), P(6), 2}, {P(6), P(8), 1});
	unlock(a, LMM_MLOCK_UNLOCK);
	expect_unlocked(0, P(6), P(8), LMM_AREA);
	/* What becomes free together is unlocked together. */
	unlock(b, LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, P(2), P(6), LMM_AREA);
}

static void test_tail(void **state)
{
	lmm_handle a = lock(P(2), P(6), LMM_MLOCK_NOP), b = lock(P(4), P(8), LMM_MLOCK_NOP);

	(void)state;
	EXPECT({P(2), P(4), 1}, {P(4), P(6), 2}, {P(6), P(8), 1});
	unlock(b, LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, P(6), P(8), LMM_AREA);
	unlock(a, LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, P(2), P(6), LMM_AREA);
}

static void test_bounds_in_common(void **state)
{
	lmm_handle a = lock(P(2), P(6), LMM_MLOCK_NOP), b = lock(P(2), P(4), LMM_MLOCK_NOP), c;

	(void)state;
	EXPECT({P(2), P(4), 2}, {P(4), P(6), 1});
	c = lock(P(3), P(4), LMM_MLOCK_NOP);
	EXPECT({P(2), P(3), 2}, {P(3), P(4), 3}, {P(4), P(6), 1});
	unlock(a, LMM_MLOCK_UNLOCK);
	expect_unlocked(0, P(4), P(6), LMM_AREA);
	unlock(b, LMM_MLOCK_UNLOCK);
	unlock(c, LMM_MLOCK_UNLOCK);
}

static void test_rounding(void **state)
{
	lmm_handle h;
	struct lmm_area_info info;

	(void)state;
	assert_int_equal(lmm_lock_area(m, P(2) + 4095, 2, LMM_MAPPED, &h, NULL), LMM_MLOCK_NOP);
	EXPECT({P(2), P(4), 1});
	assert_int_equal(nlocked, 1);
	assert_int_equal(locked[0].what, LMM_AREA);
	assert_int_equal(locked[0].end - locked[0].start, 2 * PAGE);
	assert_int_equal(lmm_get_area(m, h, &info), 0);
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
		h[i] = lock(P(2ull * ((i * 1009ull) % 3000)), P(2ull * ((i * 1009ull) % 3000) + 1),
			    LMM_MLOCK_NOP);
	lmm_get_counts(m, &counts);
	assert_int_equal(counts.lmas, 3000);
	assert_int_equal(counts.bytes, 3000 * PAGE);
	for (i = 0; i < 20000; i++) {
		at = 2 * (fake_rand(&rnd) % 2990);
		unlock(lock(P(at), P(at + 9), LMM_MLOCK_NOP), LMM_MLOCK_UNLOCK);
		assert_int_equal(nunlocked, 4);
		expect_unlocked(3, P(at + 7), P(at + 8), LMM_AREA);
		nunlocked = 0;
		assert_int_equal(lmm_undo(m, P(at), 9 * PAGE), LMM_MLOCK_UNLOCK);
		assert_int_equal(nunlocked, 4);
	}
	for (i = 0; i < 3000; i++)
		unlock(h[(i * 7) % 3000], LMM_MLOCK_UNLOCK);
	lmm_get_counts(m, &counts);
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

	lmm_walk(m, model_lma, NULL, &pos);
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
	host.unlock = model_unlock;
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
			if (lmm_lock_area(m, P(a->from), (a->to - a->from) * PAGE, LMM_LOCKED, &a->h, NULL) >=
			    0)
				for (i = a->from; i < a->to; i++)
					count[i]++;
			else
				a->h = 0;
		} else if (a->h != 0) {
			fake.allow = 0;
			for (i = a->from; i < a->to; i++)
				count[i]--;
			assert_true(lmm_unlock_area(m, a->h) >= 0);
			a->h = 0;
		}
		fake.allow = -1;
		if (round % 200 == 0)
			check_model();
	}
	memset(count, 0, sizeof(count));
	lmm_cleanup(m);
	check_model();
	host.unlock = note_unlock;
}

/* ---- levels ---- */

static void test_levels(void **state)
{
	lmm_handle mapped, locked_too, pinned;
	struct lmm_area_info info;

	(void)state;
	assert_int_equal(lock_level(P(0), P(4), LMM_MAPPED, &mapped), LMM_MLOCK_NOP);
	look();
	assert_int_equal(seen[0].level, LMM_MAPPED);
	assert_int_equal(lock_level(P(0), P(4), LMM_LOCKED, &locked_too), LMM_MLOCK_NOP);
	assert_int_equal(lock_level(P(2), P(4), LMM_PINNED, &pinned), LMM_MLOCK_NOP);
	look();
	assert_int_equal(nseen, 2);
	assert_int_equal(seen[0].level, LMM_LOCKED);
	assert_int_equal(seen[1].level, LMM_PINNED);
	unlock(pinned, LMM_MLOCK_NOP);
	unlock(locked_too, LMM_MLOCK_NOP);
	look();
	assert_int_equal(seen[0].level, LMM_MAPPED);
	assert_int_equal(seen[nseen - 1].level, LMM_MAPPED);
	assert_int_equal(lmm_get_area(m, mapped, &info), 0);
	assert_int_equal(info.level, LMM_MAPPED);
	nunlocked = 0;
	assert_int_equal(lock_level(P(8), P(9), (enum lmm_level)3, &pinned), -EINVAL);
	assert_int_equal(nunlocked, 1);
}

/* ---- attachments ---- */

static void test_segment(void **state)
{
	lmm_handle a = lock(S(1), S(2), LMM_MLOCK_LOCK), b, c, other;

	(void)state;
	assert_int_equal(nlocked, 2);
	assert_int_equal(locked[0].what, LMM_AREA);
	assert_int_equal(locked[1].what, LMM_SEGMENT);
	assert_int_equal(locked[1].start, S(0));
	assert_int_equal(locked[1].end, S(0) + SEG_BYTES);
	b = lock(S(0), S(0) + SEG_BYTES, LMM_MLOCK_NOP);
	c = lock(S(1), S(3), LMM_MLOCK_NOP);
	other = lock(SHMEM_AT(2), SHMEM_AT(2) + PAGE, LMM_MLOCK_LOCK);
	look();
	assert_int_equal(nseen, 4 + 1);
	assert_false(seen[0].physical);
	assert_int_equal(seen[0].kind, LMM_SYSV);
	assert_int_equal(seen[4].dev, SHMEM_DEV);
	assert_int_equal(nseen_seg, 2);
	assert_int_equal(seen_seg[0].count, 3);
	assert_true(seen_seg[0].whole);
	assert_true(lmm_holds(m, LMM_SYSV, 0, 1) && lmm_holds(m, LMM_SHMEM, SHMEM_DEV, 2));
	assert_false(lmm_holds(m, LMM_SYSV, 0, 2) || lmm_holds(m, LMM_SHMEM, 0, 2));
	unlock(b, LMM_MLOCK_NOP);
	unlock(a, LMM_MLOCK_NOP);
	unlock(c, LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, S(0), S(0) + SEG_BYTES, LMM_SEGMENT);
	assert_false(lmm_holds(m, LMM_SYSV, 0, 1));
	unlock(other, LMM_MLOCK_UNLOCK);
	/* And from the start. */
	unlock(lock(S(3), S(4), LMM_MLOCK_LOCK), LMM_MLOCK_UNLOCK);
}

/* A mapped file is an attachment with a counter, and locked page by page. */
static void test_file(void **state)
{
	lmm_handle a = lock(F(1), F(3), LMM_MLOCK_NOP), b = lock(F(2), F(5), LMM_MLOCK_NOP);
	struct lmm_area_info info;

	(void)state;
	look();
	assert_int_equal(nseen, 3);
	assert_true(seen[0].physical);
	assert_int_equal(seen[0].kind, LMM_FILE);
	assert_int_equal(seen_seg[0].count, 2);
	assert_false(seen_seg[0].whole);
	assert_int_equal(lmm_get_area(m, a, &info), 0);
	assert_true(info.can_shrink);
	unlock(a, LMM_MLOCK_UNLOCK);
	expect_unlocked(0, F(1), F(2), LMM_AREA);
	unlock(b, LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, F(2), F(5), LMM_AREA);
}

static void test_refused_at_once(void **state)
{
	lmm_handle a, b;

	(void)state;
	seg_error = -ENOMEM;
	a = lock(S(1), S(3), LMM_MLOCK_NOP);
	look();
	assert_false(seen_seg[0].whole);
	assert_true(seen[0].physical);
	seg_error = 0;
	b = lock(S(2), S(4), LMM_MLOCK_NOP);
	unlock(a, LMM_MLOCK_UNLOCK);
	expect_unlocked(0, S(1), S(2), LMM_AREA);
	unlock(b, LMM_MLOCK_UNLOCK);
	expect_unlocked(0, S(2), S(4), LMM_AREA);
	unlock(lock(S(1), S(3), LMM_MLOCK_LOCK), LMM_MLOCK_UNLOCK);
}

static void test_refused_later(void **state)
{
	lmm_handle a = lock(S(1), S(3), LMM_MLOCK_LOCK), b = lock(S(5), S(6), LMM_MLOCK_NOP);

	(void)state;
	/* Only the area that was told to lock it can say so. */
	assert_int_equal(lmm_segment_refused(m, b), 0);
	look();
	assert_true(seen_seg[0].whole);
	assert_int_equal(lmm_segment_refused(m, a), 0);
	look();
	assert_false(seen_seg[0].whole);
	unlock(a, LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, S(1), S(3), LMM_AREA);
	assert_int_equal(lmm_segment_refused(m, a), -EINVAL);
	unlock(b, LMM_MLOCK_UNLOCK);
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
	remapped = &run;
	a = lock(S(0), S(1), LMM_MLOCK_LOCK);
	run.seg_end = S(6); /* the new part wants a lock, too */
	b = lock(S(0), S(1), LMM_MLOCK_LOCK);
	run.seg_end = S(2);
	unlock(lock(S(0), S(1), LMM_MLOCK_NOP), LMM_MLOCK_NOP);
	unlock(a, LMM_MLOCK_NOP);
	unlock(b, LMM_MLOCK_UNLOCK);
	expect_unlocked(0, S(0), S(6), LMM_SEGMENT);
}

/* ---- areas of several mappings ---- */

static void test_mixed(void **state)
{
	struct lmm_area_info info;
	lmm_handle a = lock(M(2), M(26), LMM_MLOCK_LOCK), seg, file;

	(void)state;
	assert_int_equal(lmm_get_area(m, a, &info), 0);
	/* Private, segment, private (two mappings), memfd, file, segment, private. */
	assert_int_equal(info.nruns, 7);
	assert_int_equal(info.first.kind, LMM_MIXED);
	assert_int_equal(info.first.object, 0);
	assert_int_equal(info.first.offset, 0);
	assert_int_equal(info.start, M(2));
	assert_int_equal(info.end, M(26));
	assert_false(info.writable);
	assert_true(info.can_shrink);
	look();
	assert_int_equal(nseen, 7);
	assert_int_equal(nseen_seg, 4);
	assert_int_equal(nlocked, 1 + 3);
	seg = lock(M(4), M(5), LMM_MLOCK_NOP);
	file = lock(M(16), M(18), LMM_MLOCK_NOP);
	unlock(a, LMM_MLOCK_UNLOCK);
	/* Pages first: private 2-4, 8-12, file 18-20, private 24-26; then memfd and segment whole. */
	assert_int_equal(nunlocked, 6);
	expect_unlocked(0, M(2), M(4), LMM_AREA);
	expect_unlocked(1, M(8), M(12), LMM_AREA);
	expect_unlocked(2, M(18), M(20), LMM_AREA);
	expect_unlocked(3, M(24), M(26), LMM_AREA);
	expect_unlocked(4, M(12), M(16), LMM_SEGMENT);
	expect_unlocked(5, M(20), M(24), LMM_SEGMENT);
	unlock(seg, LMM_MLOCK_UNLOCK);
	unlock(file, LMM_MLOCK_UNLOCK);
	expect_unlocked(0, M(16), M(18), LMM_AREA);
	/* The two private mappings beside each other are one part. */
	a = lock(M(9), M(12), LMM_MLOCK_NOP);
	assert_int_equal(lmm_get_area(m, a, &info), 0);
	assert_int_equal(info.nruns, 1);
	assert_int_equal(info.first.kind, LMM_PRIVATE);
	assert_false(info.writable);
}

static void test_too_many_mappings(void **state)
{
	lmm_handle h;

	(void)state;
	assert_int_equal(lock_level(MANY_AT, MANY_AT + MANY_PAGES * PAGE, LMM_LOCKED, &h), -E2BIG);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, MANY_AT, MANY_AT + MANY_PAGES * PAGE, LMM_AREA);
	look();
	assert_int_equal(nseen + nseen_seg, 0);
	nlocked = 0;
	nunlocked = 0;
	seg_error = -EAGAIN;
	assert_int_equal(lock_level(MANY_AT, MANY_AT + 40 * PAGE, LMM_LOCKED, &h), LMM_MLOCK_NOP);
	unlock(h, LMM_MLOCK_UNLOCK);
	/* All became free together, page by page. */
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, MANY_AT, MANY_AT + 40 * PAGE, LMM_AREA);
}

/* ---- undoing ---- */

static void test_undo(void **state)
{
	lmm_handle seg;

	(void)state;
	lock(P(2), P(4), LMM_MLOCK_NOP);
	lock(P(6), P(8), LMM_MLOCK_NOP);
	assert_int_equal(lmm_undo(m, P(0), 10 * PAGE), LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 3);
	expect_unlocked(0, P(0), P(2), LMM_AREA);
	expect_unlocked(1, P(4), P(6), LMM_AREA);
	expect_unlocked(2, P(8), P(10), LMM_AREA);
	assert_int_equal(lmm_undo(m, P(2), 2 * PAGE), LMM_MLOCK_NOP);
	assert_int_equal(lmm_undo(m, P(2), 0), -EINVAL);
	assert_int_equal(lmm_undo(m, UINT64_MAX - 5, 10), -EINVAL);
	/* All of an attachment that is locked as a whole is covered, ... */
	seg = lock(S(2), S(3), LMM_MLOCK_LOCK);
	nunlocked = 0;
	assert_int_equal(lmm_undo(m, S(0), SEG_BYTES + PAGE), LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, S(0) + SEG_BYTES, S(0) + SEG_BYTES + PAGE, LMM_AREA);
	/* ... and of one that is not, what is locked. */
	assert_int_equal(lmm_segment_refused(m, seg), 0);
	nunlocked = 0;
	assert_int_equal(lmm_undo(m, S(0), SEG_BYTES), LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 2);
	expect_unlocked(0, S(0), S(2), LMM_AREA);
	expect_unlocked(1, S(3), S(0) + SEG_BYTES, LMM_AREA);
}

static void test_failed_first_lock(void **state)
{
	lmm_handle h = 0;

	(void)state;
	/* A hole. */
	assert_int_equal(lock_level(PAGE, 3 * PAGE, LMM_LOCKED, &h), -EINVAL);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, PAGE, 3 * PAGE, LMM_AREA);
	/* Lengths that are none. */
	assert_int_equal(lmm_lock_area(m, P(0), 0, LMM_LOCKED, &h, NULL), -EINVAL);
	assert_int_equal(lmm_lock_area(m, UINT64_MAX - 5, 10, LMM_LOCKED, &h, NULL), -EINVAL);
	assert_int_equal(lmm_lock_area(m, UINT64_MAX - 5, 5, LMM_LOCKED, &h, NULL), -EINVAL);
	assert_int_equal(nunlocked, 1);
	/* What the host cannot lock. */
	area_error = -ENOMEM;
	lock_level(P(0), P(2), LMM_LOCKED, &h);
	assert_int_equal(nunlocked, 2);
	area_error = -EAGAIN;
	assert_int_equal(lock_level(P(0), P(2), LMM_LOCKED, &h), -EAGAIN);
	area_error = 0;
	/* Next to what is covered. */
	lock(P(0), P(1), LMM_MLOCK_NOP);
	nunlocked = 0;
	area_error = -ENOMEM;
	assert_int_equal(lock_level(P(0), P(3), LMM_LOCKED, &h), -ENOMEM);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, P(1), P(3), LMM_AREA);
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
	assert_null(lmm_create(&host, NULL, PAGE));
	fake.allow = -1;
	for (n = 0;; n++) {
		live = fake.live;
		nlocked = nunlocked = 0;
		fake.allow = n;
		if (lock_level(M(2), M(26), LMM_LOCKED, &h) >= 0)
			break;
		assert_int_equal(h, 0);
		assert_int_equal(nunlocked, 1);
		look();
		assert_int_equal(nseen + nseen_seg, 0);
		/* What stays is room for later, in the manager. */
		assert_true(fake.live - live <= 3);
	}
	assert_int_equal(n, 7); /* attachments, table, LMAs, parts */
	fake.allow = 0;
	unlock(h, LMM_MLOCK_UNLOCK);

	/* Many LMAs, of which an area makes many more. */
	fake.allow = -1;
	for (i = 0; i < 2000; i++)
		lock(P(2ull * i), P(2ull * i + 1), LMM_MLOCK_NOP);
	for (i = 0; i < 3; i++) {
		a[i] = 0;
		lmm_get_counts(m, &before);
		for (n = 0; a[i] == 0; n++) {
			fake.allow = n;
			nunlocked = 0;
			lock_level(P(i), P(60 + i), LMM_LOCKED, &a[i]);
			lmm_get_counts(m, &after);
			if (a[i] == 0)
				assert_memory_equal(&before, &after, sizeof(before));
		}
	}
	fake.allow = 0;
	for (i = 0; i < 3; i++)
		unlock(a[i], i == 0 ? LMM_MLOCK_NOP : LMM_MLOCK_UNLOCK); /* page 0 stays covered */
}

/* ---- memory that goes away ---- */

static void test_gone(void **state)
{
	lmm_handle a = lock(P(0), P(8), LMM_MLOCK_NOP), b = lock(P(6), P(10), LMM_MLOCK_NOP);

	(void)state;
	assert_int_equal(lmm_gone(m, a, P(2), P(4)), LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 2);
	expect_unlocked(0, P(0), P(2), LMM_AREA);
	expect_unlocked(1, P(4), P(6), LMM_AREA);
	assert_int_equal(lmm_gone(m, a, P(2), P(4)), -EINVAL);
	nunlocked = 0;
	assert_int_equal(lmm_gone(m, b, P(0), P(100)), LMM_MLOCK_NOP);
	assert_int_equal(nunlocked, 0);
	look();
	assert_int_equal(nseen, 0);
}

static void test_gone_segment(void **state)
{
	lmm_handle a = lock(S(0), S(2), LMM_MLOCK_LOCK), b = lock(S(6), S(8), LMM_MLOCK_NOP), c;

	(void)state;
	/* The first four pages go; b stays, and from now on has its own pages only. */
	assert_int_equal(lmm_gone(m, a, S(0), S(4)), LMM_MLOCK_NOP);
	assert_int_equal(lmm_gone_segments(m, S(0), S(4)), LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 2);
	expect_unlocked(0, S(4), S(6), LMM_SEGMENT);
	expect_unlocked(1, S(8), S(0) + SEG_BYTES, LMM_SEGMENT);
	look();
	assert_false(seen_seg[0].whole);
	assert_true(seen[0].physical);
	nunlocked = 0;
	assert_int_equal(lmm_gone_segments(m, S(0), S(4)), LMM_MLOCK_NOP);
	unlock(b, LMM_MLOCK_UNLOCK);
	expect_unlocked(0, S(6), S(8), LMM_AREA);
	/* The last area of an attachment goes: the rest of it is unlocked. */
	c = lock(S(0), S(2), LMM_MLOCK_LOCK);
	nunlocked = 0;
	assert_int_equal(lmm_gone(m, c, S(1), S(3)), LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 2);
	expect_unlocked(0, S(0), S(1), LMM_SEGMENT);
	expect_unlocked(1, S(3), S(0) + SEG_BYTES, LMM_SEGMENT);
	assert_int_equal(lmm_gone_segments(m, S(1), S(3)), LMM_MLOCK_NOP);
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
	lmm_handle old = lock(P(2), P(4), LMM_MLOCK_NOP), past = lock(P(7), P(9), LMM_MLOCK_NOP), fresh;

	(void)state;
	remapped = &run;
	fresh = lock(P(3), P(5), LMM_MLOCK_LOCK);
	unlock(old, LMM_MLOCK_NOP);
	unlock(fresh, LMM_MLOCK_UNLOCK);
	assert_int_equal(nunlocked, 1);
	expect_unlocked(0, P(0), P(7), LMM_SEGMENT);
	unlock(past, LMM_MLOCK_UNLOCK);
}

/* ---- pages and blocks ---- */

static void test_pages(void **state)
{
	lmm_handle a = lock(M(2), M(26), LMM_MLOCK_LOCK);
	struct lmm_page page[30];
	uint64_t i;

	(void)state;
	assert_int_equal(lmm_get_pages(m, a, 0, page, 30), 24);
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
	assert_int_equal(lmm_get_pages(m, a, 5, page, 4), 4);
	assert_int_equal(page[0].addr, M(7));
	assert_int_equal(page[1].kind, LMM_PRIVATE);
	assert_int_equal(lmm_get_pages(m, a, 23, page, 4), 1);
	assert_int_equal(lmm_get_pages(m, a, 24, page, 4), 0);
	assert_int_equal(lmm_get_pages(m, a, UINT64_MAX, page, 4), 0);
	assert_int_equal(lmm_get_pages(m, a, 0, page, 0), 0);
	host.frame = frame;
	assert_int_equal(lmm_get_pages(m, a, 8, page, 1), 1);
	assert_int_equal(page[0].frame, frame(NULL, M(10)));
	assert_int_equal(lmm_get_pages(m, a + 1, 0, page, 4), -EINVAL);
}

static void test_blocks(void **state)
{
	lmm_handle a = lock(M(2), M(26), LMM_MLOCK_LOCK);
	struct lmm_block block[30];
	uint64_t from = 0, bytes = 0;
	int n;

	(void)state;
	assert_int_equal(lmm_get_blocks(m, a, 0, block, 30), 7);
	assert_int_equal(block[2].addr, M(8));
	assert_int_equal(block[2].length, 4 * PAGE);
	assert_int_equal(block[3].kind, LMM_SHMEM);
	assert_int_equal(block[3].offset, 2 * PAGE);
	/* In pieces, and with page frames: pairs, where they are known. */
	host.frame = frame;
	while ((n = lmm_get_blocks(m, a, from, block, 2)) > 0) {
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
	assert_int_equal(lmm_get_blocks(m, 0, 0, block, 2), -EINVAL);
}

/* ---- handles and cleanup ---- */

static void test_stale_handles(void **state)
{
	struct lmm_area_info info;
	lmm_handle a = lock(P(0), P(1), LMM_MLOCK_NOP), b;

	(void)state;
	unlock(a, LMM_MLOCK_UNLOCK);
	assert_int_equal(lmm_unlock_area(m, a), -EINVAL);
	b = lock(P(0), P(1), LMM_MLOCK_NOP);
	assert_int_not_equal(a, b);
	assert_int_equal(lmm_unlock_area(m, a), -EINVAL);
	assert_int_equal(lmm_get_area(m, a, &info), -EINVAL);
	assert_int_equal(lmm_unlock_area(m, 0), -EINVAL);
	assert_int_equal(lmm_unlock_area(m, UINT64_MAX), -EINVAL);
	assert_int_equal(lmm_unlock_area(m, b + 1), -EINVAL);
	assert_int_equal(lmm_unlock_area(m, b + (1ull << 32)), -EINVAL);
	unlock(b, LMM_MLOCK_UNLOCK);
}

static void test_cleanup(void **state)
{
	lmm_handle a = lock(P(0), P(4), LMM_MLOCK_NOP), b = lock(M(2), M(26), LMM_MLOCK_LOCK);
	struct lmm_counts counts;

	(void)state;
	lock(P(2), P(6), LMM_MLOCK_NOP);
	lock(F(0), F(2), LMM_MLOCK_NOP);
	assert_int_equal(lmm_cleanup(m), LMM_MLOCK_UNLOCK);
	/* Private: P and three of M; attachments of M: segment, memfd, file's pages, segment; F. */
	assert_int_equal(nunlocked, 9);
	expect_unlocked(0, P(0), P(6), LMM_AREA);
	assert_int_equal(lmm_unlock_area(m, a), -EINVAL);
	assert_int_equal(lmm_unlock_area(m, b), -EINVAL);
	lmm_get_counts(m, &counts);
	assert_int_equal(counts.areas + counts.lmas + counts.segments + counts.bytes, 0);
	assert_int_equal(counts.locks, 4);
	assert_int_equal(counts.unlocks, 4);
	nunlocked = 0;
	assert_int_equal(lmm_cleanup(m), LMM_MLOCK_NOP);
	assert_int_equal(nunlocked, 0);
	lock(P(0), P(4), LMM_MLOCK_NOP);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_equal),
		TEST(test_enclosed),
		TEST(test_inside),
		TEST(test_head),
		TEST(test_tail),
		TEST(test_bounds_in_common),
		TEST(test_rounding),
		TEST(test_random),
		TEST(test_many),
		TEST(test_levels),
		TEST(test_segment),
		TEST(test_file),
		TEST(test_refused_at_once),
		TEST(test_refused_later),
		TEST(test_attachment_grows),
		TEST(test_mixed),
		TEST(test_too_many_mappings),
		TEST(test_undo),
		TEST(test_failed_first_lock),
		TEST(test_no_memory),
		TEST(test_gone),
		TEST(test_gone_segment),
		TEST(test_remapped),
		TEST(test_pages),
		TEST(test_blocks),
		TEST(test_stale_handles),
		TEST(test_cleanup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
