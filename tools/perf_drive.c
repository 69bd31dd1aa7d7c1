/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_drive.c - the rows of data transfer: a check, a warm-up, a few messages
 * that tell how long one takes, and then samples.
 *
 * A sample of a latency is a batch of exchanges that takes 5 us at least, so
 * that reading the clock does not count.  A sample of a bandwidth is a burst
 * that ends when the last message was acknowledged.  When it is time that
 * decides how many, they come in some orders one after the other, and each
 * tells how long the next one takes: the machine may have other work.
 */
#include <stdlib.h>

#include "tools/perf.h"

#define CLOCK_NS    5000 /* beside which reading the clock is nothing */
#define MAX_BATCH   4096 /* exchanges */
#define LEAD	    16	 /* exchanges after an order, while which both ends forget their waking */
#define WARM_STEP   10
#define PROBES	    4	    /* samples of the few messages, */
#define PROBE	    8	    /* and of these in one sample */
#define MAX_SAMPLES 1000000 /* of a row, and of an order */
#define CHECKS	    16
#define BURSTS	    20 /* of a row, if they are not too small then */
#define ORDERS	    4  /* of a row */

struct row_samples {
	uint64_t *ns;
	size_t have, room;
};

static bool is_burst(const struct perf_plan *p)
{
	return p->test == PERF_BW || p->test == PERF_RATE || p->test == PERF_WRITE_BW ||
	       p->test == PERF_READ_BW;
}

static struct perf_order order_of(const struct perf_link *l, uint32_t bytes, uint64_t count, uint64_t batch)
{
	return (struct perf_order){.what = PERF_RUN,
				   .bytes = bytes,
				   .lead = is_burst(&l->plan) ? 0
					   : l->plan.pause_us ? 1
							      : LEAD,
				   .count = count,
				   .batch = batch,
				   .window = l->plan.window};
}

static int check(struct perf_link *l, uint32_t bytes)
{
	const struct perf_plan *p = &l->plan;
	bool one_each = p->test == PERF_WRITE_BW || p->test == PERF_READ_BW; /* looked at afterwards */
	uint64_t count = one_each || p->buffers > CHECKS ? p->buffers : CHECKS, ns;
	struct perf_order o = order_of(l, bytes, count, count);

	o.what = PERF_CHECK;
	o.lead = 0;
	if (o.window > p->buffers)
		o.window = p->buffers;
	return perf_ask(l, &o, &ns);
}

/* What a message takes: at best, which decides on the batch, and with all that belongs to it. */
struct cost {
	double best_ns, all_ns;
};

static int probe(struct perf_link *l, uint32_t bytes, struct cost *c)
{
	bool burst = is_burst(&l->plan);
	uint64_t batch = burst ? l->plan.window : l->plan.pause_us ? 1 : PROBE;
	uint64_t ns[PROBES], start = tool_now_ns(), best = UINT64_MAX;
	struct perf_order o = order_of(l, bytes, batch * (burst ? 1 : PROBES), batch);

	if (perf_ask(l, &o, ns))
		return -1;
	for (uint64_t i = 0; i < o.count / o.batch; i++)
		best = ns[i] < best ? ns[i] : best;
	c->best_ns = best ? (double)best / (double)o.batch : 1;
	c->all_ns = (double)(tool_now_ns() - start) / (double)(o.count + o.lead);
	return 0;
}

static uint64_t choose_batch(const struct perf_link *l, const struct perf_options *o, const struct cost *c)
{
	uint64_t batch = 1, tenth = o->count > 10 ? o->count / 10 : 1;

	if (l->plan.pause_us)
		return 1;
	if (!is_burst(&l->plan)) {
		while ((double)batch * c->best_ns < CLOCK_NS && batch < MAX_BATCH)
			batch *= 2;
		return o->count && batch > tenth ? tenth : batch;
	}
	if (o->count) {
		batch = tenth > l->plan.window ? tenth : l->plan.window;
		return batch > o->count ? o->count : batch;
	}
	batch = (uint64_t)(o->seconds * 1e9 / BURSTS / c->best_ns);
	if (batch > PERF_MAX_COUNT / ORDERS)
		batch = PERF_MAX_COUNT / ORDERS;
	return batch > l->plan.window ? batch : l->plan.window;
}

static int make_room(struct perf_link *l, struct row_samples *s, uint64_t more)
{
	uint64_t *ns;

	if (s->have + more <= s->room)
		return 0;
	ns = realloc(s->ns, (s->have + more) * sizeof(*ns));
	if (!ns)
		return vnic_fault(&l->n, "no memory for %zu times", s->have + (size_t)more);
	s->ns = ns;
	s->room = s->have + more;
	return 0;
}

/* How many samples the next order has; 0: there are enough. */
static uint64_t next_samples(const struct perf_options *o, const struct row_samples *s, uint64_t batch,
			     double all_ns, uint64_t begin)
{
	double each = all_ns * (double)batch, total = o->seconds * 1e9;
	double left = total - (double)(tool_now_ns() - begin), fit;
	uint64_t want = (o->count + batch - 1) / batch, most = PERF_MAX_COUNT / batch;

	if (most > MAX_SAMPLES)
		most = MAX_SAMPLES;
	if (o->count) {
		want -= s->have;
		return want < most ? want : most;
	}
	if (s->have && (left <= 0 || s->have >= MAX_SAMPLES))
		return 0;
	fit = (left < total / ORDERS ? left : total / ORDERS) / each;
	if (fit > (double)(MAX_SAMPLES - s->have))
		fit = (double)(MAX_SAMPLES - s->have);
	if (fit > (double)most)
		fit = (double)most;
	return fit > 1 ? (uint64_t)fit : 1;
}

static int collect(struct perf_link *l, const struct perf_options *o, uint32_t bytes, uint64_t batch,
		   double all_ns, struct row_samples *s)
{
	uint64_t begin = tool_now_ns(), samples;

	while ((samples = next_samples(o, s, batch, all_ns, begin)) > 0) {
		struct perf_order order = order_of(l, bytes, samples * batch, batch);
		uint64_t start = tool_now_ns();

		if (make_room(l, s, samples) || perf_ask(l, &order, s->ns + s->have))
			return -1;
		s->have += samples;
		all_ns = (double)(tool_now_ns() - start) / (double)order.count;
	}
	return 0;
}

/* From the time of a sample to its value and unit. */
static double value_of(const struct perf_plan *p, uint32_t bytes, uint64_t batch, uint64_t ns,
		       const char **unit)
{
	double time = ns ? (double)ns : 1, many = (double)batch;

	*unit = "us";
	switch (p->test) {
	case PERF_LAT:
	case PERF_WRITE_LAT:
		return time / many / (p->pause_us ? 1e3 : 2e3);
	case PERF_READ_LAT:
		return time / many / 1e3;
	case PERF_RATE:
		*unit = "msg/s";
		return many / time * 1e9;
	default:
		*unit = "MB/s";
		return bytes * many / time * 1e3;
	}
}

static int emit(struct perf_link *l, uint32_t bytes, uint64_t batch, const struct row_samples *s)
{
	struct perf_row row = perf_row_of(&l->plan, bytes);
	double *value = NULL;

	if (s->ns && s->have)
		value = malloc(s->have * sizeof(*value));
	if (!value)
		return vnic_fault(&l->n, "no memory for %zu times", s->have);
	for (size_t i = 0; i < s->have; i++)
		value[i] = value_of(&l->plan, bytes, batch, s->ns[i], &row.unit);
	if (l->plan.pause_us)
		row.test = "wakeup";
	row.n = s->have * batch;
	row.batch = batch;
	perf_row_add(&row, value, s->have);
	free(value);
	return 0;
}

static int measure(struct perf_link *l, const struct perf_options *o, uint32_t bytes)
{
	struct perf_order warm = order_of(l, bytes, o->warmup, o->warmup);
	struct row_samples s = {0};
	struct cost c;
	uint64_t ns, batch;
	int err;

	warm.lead = 0;
	if ((l->plan.check && check(l, bytes)) || (o->warmup && perf_ask(l, &warm, &ns)) ||
	    probe(l, bytes, &c))
		return -1;
	batch = choose_batch(l, o, &c);
	err = collect(l, o, bytes, batch, c.all_ns, &s) || emit(l, bytes, batch, &s) ? -1 : 0;
	free(s.ns);
	return err;
}

int perf_drive(struct perf_link *l, const struct perf_options *o)
{
	for (uint32_t i = 0; i < o->nsizes; i++) {
		perf_progress(perf_test_name[l->plan.test], o->sizes[i], i + 1, o->nsizes);
		if (measure(l, o, (uint32_t)o->sizes[i]))
			return -1;
	}
	return perf_end(l);
}
