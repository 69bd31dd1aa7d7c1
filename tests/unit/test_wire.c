/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_wire.c - the wire's model, on a clock of the test's own: when a frame
 * arrives, what each fault does at each level, receivers that are not ready,
 * links that die, and that all memory comes back.
 */
#include "wire_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vipl.h"

#define T0   (1000 * MS) /* when a world begins */
#define SOME 20000u	 /* frames for one fault */

static struct world v;

/* ---- time ---- */

static void test_latency(void **state)
{
	struct emu_link_model m = {.latency_ns = 10 * US, PLAIN};
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		world_begin(&v, &m, world_levels[i], 2);
		world_send(&v, 1000000);
		assert_int_equal(world_run(&v, T0), T0 + 10 * US);
		assert_int_equal(world_run(&v, T0 + 10 * US - 1), T0 + 10 * US);
		assert_int_equal(v.got, 0);
		/* reliable: the acknowledgement is next */
		assert_int_equal(world_run(&v, T0 + 10 * US), i ? T0 + 20 * US : EMU_WIRE_NEVER);
		assert_int_equal(v.got, 1);
		assert_int_equal(v.w.taken, 0);
		if (i) {
			world_run(&v, T0 + 20 * US - 1);
			assert_int_equal(v.w.taken, 0);
			/* the deadline of the one frame was armed; it finds nothing to do */
			world_pass(&v, EMU_WIRE_NEVER);
			assert_int_equal(v.w.taken, 1);
		}
		assert_int_equal(v.w.stats.resent, 0);
		assert_int_equal(v.w.frames, 0);
		world_end(&v);
	}
}

static void test_no_limit(void **state)
{
	struct emu_link_model m = {PLAIN};
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		world_begin(&v, &m, world_levels[i], 1);
		world_send(&v, 0);
		world_run(&v, T0);
		assert_int_equal(v.got, 1);
		assert_int_equal(v.w.taken, i ? 1 : 0);
		world_end(&v);
	}
}

static void test_bandwidth(void **state)
{
	struct emu_link_model m = {.latency_ns = 5 * US, .bandwidth = 100 * 1000 * 1000, PLAIN};
	/* 10 ns a byte; each frame waits for the one before; one of no bytes takes no time */
	static const uint32_t bytes[] = {1000, 2000, 0, 1};
	static const uint64_t arrives[] = {15000, 35000, 35000, 35010};
	size_t i, k;

	(void)state;
	for (i = 0; i < 3; i++) {
		world_begin(&v, &m, world_levels[i], 8);
		for (k = 0; k < 4; k++)
			world_send(&v, bytes[k]);
		for (k = 0; k < 4; k++) {
			if (k != 2) {
				world_pass(&v, T0 + arrives[k] - 1);
				assert_int_equal(v.got, k ? k == 1 ? 1 : 3 : 0);
			}
			world_pass(&v, T0 + arrives[k]);
			assert_in_range(v.got, k + 1, 4);
		}
		/* the wire has been idle meanwhile: nothing is saved up */
		world_pass(&v, T0 + MS);
		world_send(&v, 100);
		world_pass(&v, T0 + MS + 5999);
		assert_int_equal(v.got, 4);
		world_pass(&v, T0 + MS + 6000);
		assert_int_equal(v.got, 5);
		world_end(&v);
	}
}

/* A message of 100 MB at 87.7 MB/s, in frames of 64 KB, when the sender never waits for anything else. */
static void test_throughput(void **state)
{
	struct emu_link_model m = {.latency_ns = 14200, .bandwidth = 87700000, PLAIN};
	uint64_t sent = 0, rate;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++, sent = 0) {
		world_begin(&v, &m, world_levels[i], 1600);
		while (sent < 1600) {
			for (; sent < 1600 && !emu_wire_full(&v.w); sent++)
				world_send(&v, 65536);
			world_pass(&v, v.now + 100 * US);
			assert_true(v.now < T0 + 2000 * MS);
		}
		world_pass(&v, EMU_WIRE_NEVER);
		assert_int_equal(v.got, 1600);
		rate = 1600ull * 65536 * 1000 / ((v.at - T0 - 14200) / 1000);
		assert_in_range(rate, 87690, 87701); /* kB/s */
		assert_int_equal(v.w.stats.resent, 0);
		world_end(&v);
	}
}

/* A sender that is not scheduled for ten seconds has seen no timeout. */
static void test_overslept(void **state)
{
	struct emu_link_model m = {.latency_ns = 10 * US, .bandwidth = 1000000, PLAIN};
	uint32_t k;

	(void)state;
	world_begin(&v, &m, VIP_SERVICE_RELIABLE_DELIVERY, 64);
	for (k = 0; k < 64; k++)
		world_send(&v, 1000);
	world_run(&v, T0 + 10000 * MS);
	assert_int_equal(v.w.taken, 64);
	assert_int_equal(v.w.stats.resent, 0);
	world_end(&v);
}

/* ---- faults ---- */

/* Is @n what comes of @of trials with the probability @p, in percent? */
static void assert_about(uint64_t n, uint64_t of, uint64_t p)
{
	uint64_t mean = of * p / 100, slack = of / 100 + 10; /* far more than five sigma of 20000 */

	assert_in_range(n, mean > slack ? mean - slack : 0, mean + slack);
}

static void one_fault(const struct emu_link_model *m, uint32_t level)
{
	const struct emu_wire_stats *s = &v.w.stats;
	uint64_t packets;

	world_begin(&v, m, level, SOME);
	world_many(&v, SOME, 200);
	packets = s->launched + s->duplicated;
	assert_false(v.w.broken);
	assert_int_equal(v.w.frames, 0);
	assert_about(s->lost, packets, m->loss / PERCENT);
	assert_about(s->duplicated, s->launched, m->dup / PERCENT);
	assert_about(s->delayed, packets, m->reorder / PERCENT);
	assert_about(s->damaged, packets - s->lost, m->corrupt / PERCENT);
	assert_int_equal(!s->lost, !m->loss);
	assert_int_equal(!s->duplicated, !m->dup);
	assert_int_equal(!s->delayed, !m->reorder);
	assert_int_equal(!s->damaged, !m->corrupt);
	assert_int_equal(!s->resent, !(v.reliable && (m->loss || m->corrupt)));
	if (v.reliable) {
		assert_int_equal(v.got, SOME);
		assert_int_equal(v.w.taken, SOME);
		assert_int_equal(v.damaged, 0);
	} else {
		/* what was not lost and not damaged came, and came once */
		assert_int_equal(v.got, SOME - s->lost - s->damaged);
		assert_int_equal(v.damaged, s->damaged);
		assert_int_equal(s->discarded, s->duplicated);
		assert_int_equal(!v.overtaken, !m->reorder);
	}
	world_end(&v);
}

static void test_each_fault(void **state)
{
	static const struct emu_link_model with[] = {
		{PLAIN},
		{.loss = 10 * PERCENT, PLAIN},
		{.dup = 10 * PERCENT, PLAIN},
		{.reorder = 10 * PERCENT, PLAIN},
		{.corrupt = 10 * PERCENT, PLAIN},
	};
	size_t i, k;

	(void)state;
	for (i = 0; i < 3; i++) {
		for (k = 0; k < sizeof(with) / sizeof(with[0]); k++) {
			struct emu_link_model m = with[k];

			one_fault(&m, world_levels[i]);
			m.latency_ns = 3 * US;
			m.bandwidth = 250 * 1000 * 1000;
			one_fault(&m, world_levels[i]);
		}
	}
}

static void test_certain_faults(void **state)
{
	struct emu_link_model dup = {.dup = EMU_WIRE_CERTAIN, PLAIN};
	struct emu_link_model late = {.reorder = EMU_WIRE_CERTAIN, PLAIN};
	struct emu_link_model bad = {.corrupt = EMU_WIRE_CERTAIN, PLAIN};
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		world_begin(&v, &dup, world_levels[i], 1000);
		world_many(&v, 1000, 100);
		assert_int_equal(v.got, 1000);
		assert_int_equal(v.w.stats.discarded, 1000);
		world_end(&v);

		world_begin(&v, &late, world_levels[i], 1000);
		world_many(&v, 1000, 100);
		assert_int_equal(v.got, 1000);
		world_end(&v);

		world_begin(&v, &bad, world_levels[i], 1000);
		world_many(&v, 1000, 100);
		assert_int_equal(v.got, 0);
		assert_int_equal(v.w.broken, i != 0);
		if (!i)
			assert_int_equal(v.damaged, 1000);
		world_end(&v);
	}
}

/* Unreliable: a frame may be so late that nobody can tell whether it has been there. */
static void test_very_late(void **state)
{
	struct emu_link_model m = {.reorder = PERCENT / 20, .dup = 50 * PERCENT, PLAIN};

	(void)state;
	world_begin(&v, &m, VIP_SERVICE_UNRELIABLE, SOME * 10);
	world_many(&v, SOME * 10, 5); /* 10 us are 2000 frames */
	assert_in_range(v.got, SOME * 10 - 200, SOME * 10 - 1);
	assert_true(v.w.stats.discarded > v.w.stats.duplicated);
	world_end(&v);
	/* its place among the numbers seen may be that of a later frame, which was lost */
	m.reorder = PERCENT;
	m.loss = 20 * PERCENT;
	world_begin(&v, &m, VIP_SERVICE_UNRELIABLE, SOME * 10);
	world_many(&v, SOME * 10, 5);
	world_end(&v);
}

/* As many late doubles as there can be: what waits for them stays bounded, and has room. */
static void test_flood(void **state)
{
	struct emu_link_model m = {.reorder = 50 * PERCENT, .dup = EMU_WIRE_CERTAIN, PLAIN};
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		world_begin(&v, &m, world_levels[i], SOME);
		world_many(&v, SOME, 1);
		assert_int_equal(v.got, SOME);
		assert_int_equal(v.w.stats.lost, 0);
		world_end(&v);
	}
}

/* ---- the end of a link ---- */

static void test_dead_link(void **state)
{
	struct emu_link_model m = {
		.latency_ns = 50 * US, .bandwidth = 10 * 1000 * 1000, .loss = EMU_WIRE_CERTAIN, PLAIN};
	size_t i;
	uint32_t k;

	(void)state;
	for (i = 1; i < 3; i++) {
		world_begin(&v, &m, world_levels[i], 100);
		for (k = 0; k < EMU_WIRE_FRAMES; k++)
			world_send(&v, 10000);
		assert_true(emu_wire_full(&v.w));
		world_pass(&v, EMU_WIRE_NEVER);
		assert_true(v.w.broken);
		assert_int_equal(v.w.stats.resent % EMU_WIRE_RETRIES, 0);
		assert_in_range(v.now - T0, 8 * 120 * US, world_patience(&m, 10000, 64 * 10000));
		/* nothing moves any more, and nothing leaks */
		world_send(&v, 1);
		assert_int_equal(world_run(&v, v.now + 1000 * MS), EMU_WIRE_NEVER);
		world_end(&v);
	}
	/* the exact time for one small frame */
	m.bandwidth = 0;
	world_begin(&v, &m, VIP_SERVICE_RELIABLE_DELIVERY, 1);
	world_send(&v, 8);
	world_pass(&v, EMU_WIRE_NEVER);
	assert_int_equal(v.now - T0, 8 * (2 * 50 + 20) * US);
	assert_int_equal(v.w.stats.resent, EMU_WIRE_RETRIES);
	world_end(&v);

	world_begin(&v, &m, VIP_SERVICE_UNRELIABLE, SOME);
	world_many(&v, SOME, 100);
	assert_int_equal(v.w.sent, SOME);
	assert_int_equal(v.w.stats.lost, SOME);
	assert_int_equal(v.got, 0);
	world_end(&v);
}

static void test_cut(void **state)
{
	struct emu_link_model m = {.latency_ns = 10 * US, .cut_ns = 500 * US, .seed = 1};
	size_t i;
	int k;

	(void)state;
	for (i = 0; i < 3; i++) {
		world_begin(&v, &m, world_levels[i], 1000);
		for (k = 0; k < 100; k++) {
			world_send(&v, 10);
			world_pass(&v, v.now + 10 * US);
		}
		world_pass(&v, T0 + 100 * MS);
		/* the last one that leaves at 480 us arrives at 490 us */
		assert_int_equal(v.got, 49);
		assert_int_equal(v.w.broken, i != 0);
		/* its word never came back: a sender cannot tell these two apart */
		if (i)
			assert_int_equal(v.w.taken, 48);
		world_end(&v);
	}
	m.cut_ns = 0;
	world_begin(&v, &m, VIP_SERVICE_RELIABLE_RECEPTION, 1);
	world_send(&v, 10);
	world_pass(&v, EMU_WIRE_NEVER);
	assert_int_equal(v.got, 0);
	assert_true(v.w.broken);
	world_end(&v);
}

/* ---- a receiver that is not ready ---- */

static void not_ready(const struct emu_link_model *m, uint32_t level, uint64_t for_ns)
{
	bool faults = m->loss != 0;

	world_begin(&v, m, level, 1000);
	v.refuse = true;
	while (!emu_wire_full(&v.w))
		world_send(&v, world_bytes(v.w.sent));
	world_pass(&v, T0 + for_ns);
	assert_int_equal(v.got, 0);
	assert_true(v.refused > 0);
	assert_false(v.w.broken);
	assert_true(faults || !v.w.stats.resent);
	v.refuse = false;
	v.refuse_in = 3;
	world_many(&v, 1000 - v.w.sent, 300);
	assert_false(v.w.broken);
	if (v.reliable || !faults) {
		assert_int_equal(v.got, 1000);
		assert_true(faults || !v.overtaken);
	}
	world_end(&v);
}

static void test_receiver_not_ready(void **state)
{
	struct emu_link_model m = {.latency_ns = 10 * US, .bandwidth = 50 * 1000 * 1000, PLAIN};
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		m.loss = m.dup = m.reorder = m.corrupt = 0;
		not_ready(&m, world_levels[i], 5000 * MS);
		m.loss = m.dup = m.reorder = m.corrupt = 5 * PERCENT;
		not_ready(&m, world_levels[i], 1000 * MS);
	}
}

/* It keeps all, takes nothing, and the link dies: the sender notices. */
static void test_not_ready_then_cut(void **state)
{
	struct emu_link_model m = {.latency_ns = 10 * US, .cut_ns = 100 * MS, .seed = 1};

	(void)state;
	world_begin(&v, &m, VIP_SERVICE_RELIABLE_DELIVERY, 64);
	v.refuse = true;
	while (!emu_wire_full(&v.w))
		world_send(&v, 100);
	world_pass(&v, T0 + 100 * MS);
	assert_false(v.w.broken);
	world_pass(&v, T0 + 100 * MS + world_patience(&m, 100, 6400));
	assert_true(v.w.broken);
	assert_int_equal(v.w.stats.resent, 0);
	world_end(&v);
}

/* Its word that it has taken the frames is lost: it is asked. */
static void test_taken_is_asked_for(void **state)
{
	struct emu_link_model m = {.latency_ns = 10 * US, PLAIN};

	(void)state;
	world_begin(&v, &m, VIP_SERVICE_RELIABLE_RECEPTION, 1);
	v.refuse = true;
	world_send(&v, 100);
	world_pass(&v, T0 + 500 * US); /* it is known to be kept */
	v.refuse = false;
	v.w.model.loss = EMU_WIRE_CERTAIN;
	world_run(&v, T0 + 600 * US);
	v.w.model.loss = 0;
	assert_int_equal(v.got, 1);
	world_pass(&v, T0 + 1000 * US);
	assert_int_equal(v.w.taken, 0);
	world_pass(&v, T0 + 1100 * US);
	assert_int_equal(v.w.taken, 1);
	assert_int_equal(v.w.stats.resent, 0);
	world_end(&v);
}

/* ---- limits ---- */

static void test_full(void **state)
{
	struct emu_link_model m = {.latency_ns = 10 * US, PLAIN};
	struct emu_frame *f;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		world_begin(&v, &m, world_levels[i], 1000);
		while (!emu_wire_full(&v.w))
			world_send(&v, 1);
		assert_int_equal(v.w.sent, EMU_WIRE_FRAMES);
		world_pass(&v, T0 + MS);
		assert_false(emu_wire_full(&v.w));
		while (!emu_wire_full(&v.w))
			world_send(&v, 1 << 20);
		assert_int_equal(v.w.sent, EMU_WIRE_FRAMES + (EMU_WIRE_BYTES >> 20));
		world_pass(&v, T0 + 2 * MS);
		/* one that is made and not sent is no number */
		f = emu_wire_new(&v.w, 100);
		assert_non_null(f);
		emu_wire_drop(&v.w, f);
		world_send(&v, 1);
		world_pass(&v, T0 + 3 * MS);
		assert_int_equal(v.got, v.w.sent);
		world_end(&v);
	}
}

/* In the middle of everything. */
static void test_end(void **state)
{
	struct emu_link_model m = {.latency_ns = 10 * US,
				   .bandwidth = 1000000,
				   .dup = 20 * PERCENT,
				   .corrupt = 20 * PERCENT,
				   .reorder = 20 * PERCENT,
				   PLAIN};
	uint64_t after;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		for (after = 0; after < 200 * US; after += 1777) {
			world_begin(&v, &m, world_levels[i], 64);
			v.refuse = true;
			while (!emu_wire_full(&v.w))
				world_send(&v, 1 + (uint32_t)v.w.sent);
			world_pass(&v, T0 + after);
			v.refuse = false;
			world_run(&v, v.now + 1);
			world_end(&v);
		}
	}
}

static void test_no_memory(void **state)
{
	struct emu_link_model m = {.latency_ns = US, .corrupt = 5 * PERCENT, PLAIN};
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		world_begin(&v, &m, world_levels[i], SOME);
		world_alloc_fails = 10;
		world_many(&v, SOME, 200);
		world_alloc_fails = 0;
		assert_false(v.w.broken);
		if (v.reliable)
			assert_int_equal(v.got, SOME);
		world_end(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_bandwidth),
		cmocka_unit_test(test_throughput),
		cmocka_unit_test(test_overslept),
		cmocka_unit_test(test_each_fault),
		cmocka_unit_test(test_certain_faults),
		cmocka_unit_test(test_very_late),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_dead_link),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_receiver_not_ready),
		cmocka_unit_test(test_not_ready_then_cut),
		cmocka_unit_test(test_taken_is_asked_for),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
