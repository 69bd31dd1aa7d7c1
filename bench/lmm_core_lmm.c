/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm_core_lmm.c - the Locked Memory Manager among few and among many LMAs, and
 * the memory that it takes.  The areas are pages with gaps, locked in any order.
 */
#include <malloc.h>

#include "kagent/host/alloc.h"
#include "lmm_core.h"

#define FEW   100u
#define MANY  1000000u
#define AREAS 100000u /* to count memory */
#define BATCH 16u     /* calls that the clock runs for */

/* Areas lie this far apart; those that are locked in between touch one of them, or none. */
#define PAGE	   4096ull
#define APART	   (4 * PAGE)
#define BESIDE	   PAGE
#define IN_BETWEEN (2 * PAGE)
#define BASE	   0x100000000ull

/* ---- the host ---- */

static uint64_t heap; /* bytes that the manager has taken from it, with the heap's own */

static uint64_t heap_bytes(void *mem)
{
	return malloc_usable_size(mem) + sizeof(size_t);
}

static void *host_alloc(size_t bytes)
{
	void *mem = alloc_zeroed(bytes);

	if (mem)
		heap += heap_bytes(mem);
	return mem;
}

static void host_free(void *mem)
{
	if (mem)
		heap -= heap_bytes(mem);
	free(mem);
}

static int host_resolve(void *ctx, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max,
			char *text)
{
	(void)ctx;
	(void)max;
	(void)text;
	runs[0] = (struct lmm_run){
		.start = start, .end = end, .kind = LMM_PRIVATE, .offset = start, .writable = true};
	return 1;
}

static int host_lock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	(void)ctx;
	(void)start;
	(void)end;
	(void)what;
	return 0;
}

static void host_unlock(void *ctx, uint64_t start, uint64_t end, enum lmm_what what)
{
	host_lock(ctx, start, end, what);
}

static const struct lmm_host host = {host_alloc, host_free, host_resolve, host_lock, host_unlock, NULL};

/* ---- times ---- */

struct stock {
	struct lmm *m;
	uint32_t n;
	lmm_handle *areas; /* area i is the page at BASE + i * APART */
};

static lmm_handle lock_page(struct lmm *m, uint64_t at)
{
	lmm_handle area;

	if (lmm_lock_area(m, at, PAGE, LMM_LOCKED, &area, NULL) < 0)
		die("lmm_lock_area failed");
	return area;
}

static void unlock_page(struct lmm *m, lmm_handle area)
{
	if (lmm_unlock_area(m, area) < 0)
		die("lmm_unlock_area failed");
}

static uint64_t place(uint32_t i)
{
	return BASE + i * APART;
}

/* The numbers from 0 to @n - 1, shuffled. */
static uint32_t *any_order(uint32_t n)
{
	uint32_t *order = calloc(n, sizeof(*order));

	if (!order)
		die("no memory");
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = random_below(i + 1);

		order[i] = order[at];
		order[at] = i;
	}
	return order;
}

static void fill(struct stock *s, uint32_t n)
{
	uint32_t *order;

	s->n = n;
	s->m = lmm_create(&host, NULL, PAGE);
	s->areas = calloc(n, sizeof(*s->areas));
	if (!s->m || !s->areas)
		die("no memory");
	order = any_order(n);
	for (uint32_t i = 0; i < n; i++)
		s->areas[order[i]] = lock_page(s->m, place(order[i]));
	free(order);
}

/* Different areas from all over the stock, in any order. */
static void pick(const struct stock *s, uint32_t picked[BATCH])
{
	uint32_t share = s->n / BATCH;

	for (uint32_t i = 0; i < BATCH; i++) {
		uint32_t at = random_below(i + 1);

		picked[i] = picked[at];
		picked[at] = i * share + random_below(share);
	}
}

enum action { LOCK_APART, UNLOCK_APART, LOCK_BESIDE, UNLOCK_BESIDE, UNLOCK_OLD, BLOCKS, ACTIONS };

static void note(struct samples *s, uint64_t started)
{
	s->ns[s->n++] = (double)(now_ns() - started) / BATCH;
}

/* Lock pages that are not locked, and unlock them: the stock is as before. */
static void lock_unlock(struct stock *s, uint64_t offset, struct samples *lock, struct samples *unlock)
{
	uint32_t picked[BATCH];
	lmm_handle area[BATCH];
	uint64_t started;

	pick(s, picked);
	started = now_ns();
	for (uint32_t i = 0; i < BATCH; i++)
		area[i] = lock_page(s->m, place(picked[i]) + offset);
	note(lock, started);

	/* What was locked last is not what is unlocked first. */
	started = now_ns();
	for (uint32_t i = 0; i < BATCH; i++)
		unlock_page(s->m, area[i]);
	note(unlock, started);
}

/* Unlock areas that have not been touched for long, and lock them again. */
static void unlock_old(struct stock *s, struct samples *unlock)
{
	uint32_t picked[BATCH];
	lmm_handle area[BATCH];
	uint64_t started;

	pick(s, picked);
	for (uint32_t i = 0; i < BATCH; i++)
		area[i] = s->areas[picked[i]];
	started = now_ns();
	for (uint32_t i = 0; i < BATCH; i++)
		unlock_page(s->m, area[i]);
	note(unlock, started);
	for (uint32_t i = 0; i < BATCH; i++)
		s->areas[picked[i]] = lock_page(s->m, place(picked[i]));
}

static void blocks(struct stock *s, struct samples *get)
{
	uint32_t picked[BATCH];
	lmm_handle area[BATCH];
	struct lmm_block block;
	uint64_t started;

	pick(s, picked);
	for (uint32_t i = 0; i < BATCH; i++)
		area[i] = s->areas[picked[i]];
	started = now_ns();
	for (uint32_t i = 0; i < BATCH; i++) {
		if (lmm_get_blocks(s->m, area[i], 0, &block, 1) != 1)
			die("lmm_get_blocks failed");
	}
	note(get, started);
}

void measure_lmm_times(void)
{
	static const char *const names[ACTIONS] = {
		"lock a random page, apart from others, 10^6 LMAs against 10^2",
		"unlock one of the last 16 that were locked apart",
		"lock a random page beside another, 10^6 LMAs against 10^2",
		"unlock one of the last 16 that were locked beside another",
		"unlock a random page, 10^6 LMAs against 10^2",
		"lmm_get_blocks of a random page, 10^6 LMAs against 10^2",
	};
	static const double targets[ACTIONS] = {[LOCK_APART] = 5.0};
	struct samples times[ACTIONS][2];
	struct stock stocks[2];

	fill(&stocks[0], FEW);
	fill(&stocks[1], MANY);
	for (int a = 0; a < ACTIONS; a++) {
		times[a][0] = samples_new();
		times[a][1] = samples_new();
	}
	for (uint32_t i = 0; i < rounds * BATCHES * 2; i++) {
		struct stock *s = &stocks[i % 2];

		lock_unlock(s, IN_BETWEEN, &times[LOCK_APART][i % 2], &times[UNLOCK_APART][i % 2]);
		lock_unlock(s, BESIDE, &times[LOCK_BESIDE][i % 2], &times[UNLOCK_BESIDE][i % 2]);
		unlock_old(s, &times[UNLOCK_OLD][i % 2]);
		blocks(s, &times[BLOCKS][i % 2]);
	}
	for (int a = 0; a < ACTIONS; a++)
		add_row(names[a], "ns", samples_median(&times[a][1]), samples_median(&times[a][0]),
			targets[a]);
	for (int i = 0; i < 2; i++) {
		lmm_destroy(stocks[i].m);
		free(stocks[i].areas);
	}
}

/* ---- memory ---- */

/* Bytes that AREAS areas take, @apart from each other; @lmas: how many LMAs they are. */
static double area_bytes(uint64_t apart, uint32_t *lmas)
{
	struct lmm *m = lmm_create(&host, NULL, PAGE);
	uint32_t *order = any_order(AREAS);
	uint64_t before = heap;
	struct lmm_counts counts;
	double bytes;

	if (!m)
		die("no memory");
	for (uint32_t i = 0; i < AREAS; i++)
		lock_page(m, BASE + order[i] * apart);
	bytes = (double)(heap - before);
	lmm_get_counts(m, &counts);
	*lmas = counts.lmas;
	lmm_destroy(m);
	free(order);
	return bytes;
}

/*
 * An LMA comes with an area, so its memory is the difference between many areas
 * of a page each and as many areas of one page: all but the LMAs is the same.
 * What the manager sets aside for an area's sake, so that it can be unlocked
 * without memory, counts as the area's.
 */
void measure_lmm_memory(void)
{
	uint32_t many, one;
	double apart = area_bytes(APART, &many), same = area_bytes(0, &one);

	if (many != AREAS || one != 1)
		die("the areas are not the LMAs that they should be");
	add_row("memory of an LMA, against 128 bytes", "bytes", (apart - same) / (many - one), 128, 1.0);
	add_row("memory of an area without an LMA", "bytes", same / AREAS, 0, 0);
	add_row("memory of an area with its LMA", "bytes", apart / AREAS, 0, 0);
}
