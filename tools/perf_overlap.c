/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_overlap.c - how much of a transfer is hidden behind computing.
 *
 * First transfers by themselves: from the call of VipPostSend until the other
 * end has acknowledged the message.  Then the same with computing in between
 * that takes as long as the median of those.  Of the time that the two would
 * take one after the other, what was saved is hidden: 100 % when the shorter of
 * them cost nothing.
 */
#include <stdlib.h>

#include "tools/perf.h"

#define MIN_TIMES   5
#define TRIES	    20
#define TRY_ROUNDS  20000
#define DEFAULT_EST 1000000.0 /* ns, when nothing was measured yet */

/* One transfer, all in ns from the call of VipPostSend on. */
struct times {
	uint64_t posted, computed, done;
};

static volatile uint64_t sink; /* or the computing would not be done */

static void compute(uint64_t rounds)
{
	uint64_t x = 88172645463325252ull;

	while (rounds--) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	sink = x;
}

/* At best: a program that runs in between is not a round's cost. */
static double ns_of_a_round(void)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		uint64_t start = tool_now_ns(), took;

		compute(TRY_ROUNDS);
		took = tool_now_ns() - start;
		best = took < best ? took : best;
	}
	return best ? (double)best / TRY_ROUNDS : 1;
}

static int transfer(struct perf_link *l, uint64_t rounds, struct times *t)
{
	struct perf_vi *vi = &l->vi[0];
	uint64_t start = tool_now_ns();

	if (perf_post(l, 0, VIP_CONTROL_OP_SENDRECV, vi->number++, 0))
		return -1;
	t->posted = tool_now_ns() - start;
	compute(rounds);
	t->computed = tool_now_ns() - start;
	if (perf_until(l, 0, VQ_RECV, ++vi->acks))
		return -1;
	t->done = tool_now_ns() - start;
	return perf_until(l, 0, VQ_SEND, vi->number) || perf_repost(l, 0) ? -1 : 0;
}

static int transfers(struct perf_link *l, uint32_t bytes, uint64_t rounds, struct times *t, uint64_t n)
{
	struct perf_order o = {.what = PERF_RUN, .bytes = bytes, .count = n, .batch = 1, .window = 1};

	if (perf_begin(l, &o))
		return -1;
	for (uint64_t i = 0; i < n; i++) {
		if (transfer(l, rounds, &t[i]))
			return -1;
	}
	return perf_drain(l);
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = ((const struct times *)a)->done, y = ((const struct times *)b)->done;

	return x < y ? -1 : x > y;
}

static double hidden_percent(double transfer, const struct times *t)
{
	double work = (double)(t->computed - t->posted), shorter = work < transfer ? work : transfer;
	double hidden = shorter > 0 ? (transfer + work - (double)t->done) / shorter * 100 : 0;

	return hidden < 0 ? 0 : hidden > 100 ? 100 : hidden;
}

static void emit(const struct perf_link *l, uint32_t bytes, const char *test, const char *unit, double *value,
		 uint64_t n)
{
	struct perf_row row = perf_row_of(&l->plan, bytes);

	row.test = test;
	row.unit = unit;
	row.n = n;
	perf_row_add(&row, value, n);
}

/* Of sorted times, ns. */
static double median_of(const struct times *t, uint64_t n)
{
	uint64_t middle = n / 2;

	return (double)t[middle].done;
}

/* @alone is sorted; @value has room for @n. */
static void emit_all(const struct perf_link *l, uint32_t bytes, const struct times *alone,
		     const struct times *both, double *value, uint64_t n)
{
	double median = median_of(alone, n);

	for (uint64_t i = 0; i < n; i++)
		value[i] = (double)alone[i].done / 1e3;
	emit(l, bytes, "overlap-transfer", "us", value, n);
	for (uint64_t i = 0; i < n; i++)
		value[i] = (double)both[i].posted / 1e3;
	emit(l, bytes, "overlap-post", "us", value, n);
	for (uint64_t i = 0; i < n; i++)
		value[i] = (double)both[i].done / 1e3;
	emit(l, bytes, "overlap-total", "us", value, n);
	for (uint64_t i = 0; i < n; i++)
		value[i] = hidden_percent(median, &both[i]);
	emit(l, bytes, "overlap-hidden", "%", value, n);
}

static uint64_t how_many(const struct perf_options *o, double each_ns)
{
	double fit = o->seconds * 1e9 / 3 / each_ns; /* one alone takes half as long as with computing */

	if (o->count)
		return o->count;
	return fit < MIN_TIMES ? MIN_TIMES : fit > PERF_MAX_TIMES ? PERF_MAX_TIMES : (uint64_t)fit;
}

static int measure(struct perf_link *l, const struct perf_options *o, uint32_t bytes, double round_ns)
{
	struct times *t = calloc(2 * PERF_MAX_TIMES, sizeof(*t)), *both = t + PERF_MAX_TIMES;
	double *value = calloc(PERF_MAX_TIMES, sizeof(*value));
	uint64_t warm = o->warmup < PERF_MAX_TIMES ? o->warmup : PERF_MAX_TIMES, n, rounds;
	int err = -1;

	if (!t || !value) {
		vnic_fault(&l->n, "no memory for %d times", PERF_MAX_TIMES);
		goto out;
	}
	if (warm && transfers(l, bytes, 0, t, warm))
		goto out;
	qsort(t, warm, sizeof(*t), ascending);
	n = how_many(o, warm ? median_of(t, warm) : DEFAULT_EST);
	if (transfers(l, bytes, 0, t, n))
		goto out;
	qsort(t, n, sizeof(*t), ascending);
	rounds = (uint64_t)(median_of(t, n) / round_ns) + 1;
	if (transfers(l, bytes, rounds, both, n))
		goto out;
	emit_all(l, bytes, t, both, value, n);
	err = 0;
out:
	free(t);
	free(value);
	return err;
}

int perf_overlap(struct perf_link *l, const struct perf_options *o)
{
	double round_ns = ns_of_a_round();

	for (uint32_t i = 0; i < o->nsizes; i++) {
		perf_progress(perf_test_name[l->plan.test], o->sizes[i], i + 1, o->nsizes);
		if (measure(l, o, (uint32_t)o->sizes[i], round_ns))
			return -1;
	}
	return perf_end(l);
}
