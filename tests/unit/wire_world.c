/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wire_world.c - see wire_world.h.
 */
#include "wire_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vipl.h"

const uint32_t world_levels[3] = {VIP_SERVICE_UNRELIABLE, VIP_SERVICE_RELIABLE_DELIVERY,
				  VIP_SERVICE_RELIABLE_RECEPTION};

uint32_t world_alloc_fails;
int64_t world_allocated;

static uint32_t draws;

static uint32_t draw(void)
{
	draws = draws * 1664525u + 1013904223u;
	return draws >> 8;
}

static void *counted_alloc(uint64_t bytes)
{
	void *mem;

	if (world_alloc_fails && draw() % world_alloc_fails == 0)
		return NULL;
	mem = malloc(bytes);
	assert_non_null(mem);
	world_allocated++;
	return mem;
}

static void counted_free(void *mem)
{
	world_allocated--;
	free(mem);
}

static uint64_t pattern(uint64_t n, uint64_t word)
{
	uint64_t x = (n << 20 ^ word) * 0x9e3779b97f4a7c15ull;

	return x ^ x >> 29;
}

/* Word 0 of the head is the number, then come patterns, through to the payload's end. */
static void fill(uint8_t *to, uint32_t bytes, uint64_t n, uint64_t word)
{
	uint64_t p;

	for (; bytes; word++) {
		uint32_t part = bytes < 8 ? bytes : 8;

		p = word ? pattern(n, word) : n;
		memcpy(to, &p, part);
		to += part;
		bytes -= part;
	}
}

static void check(const uint8_t *at, uint32_t bytes, uint64_t n, uint64_t word)
{
	uint64_t p;

	for (; bytes; word++) {
		uint32_t part = bytes < 8 ? bytes : 8;

		p = word ? pattern(n, word) : n;
		if (memcmp(at, &p, part) != 0)
			fail_msg("frame %llu: wrong bytes at word %llu", (unsigned long long)n,
				 (unsigned long long)word);
		at += part;
		bytes -= part;
	}
}

static bool not_now(struct world *v)
{
	if (!v->refuse && !(v->refuse_in && draw() % v->refuse_in == 0))
		return false;
	v->refused++;
	return true;
}

static bool deliver(void *ctx, const struct emu_frame *f)
{
	struct world *v = ctx;
	uint64_t n;

	assert_false(v->w.broken);
	if (not_now(v))
		return false;
	memcpy(&n, f->head, sizeof(n));
	if (n >= v->w.sent)
		fail_msg("frame %llu was never sent", (unsigned long long)n);
	check(f->head, EMU_WIRE_HEAD, n, 0);
	check(f->data, f->bytes, n, EMU_WIRE_HEAD / 8);
	if (v->reliable && n != v->got)
		fail_msg("frame %llu was delivered, %llu is the next", (unsigned long long)n,
			 (unsigned long long)v->got);
	if (!v->reliable && v->had[n / 8] >> n % 8 & 1)
		fail_msg("frame %llu was delivered twice", (unsigned long long)n);
	if (!v->reliable)
		v->had[n / 8] |= (uint8_t)(1u << n % 8);
	v->overtaken += n + 1 < v->highest;
	if (n + 1 > v->highest)
		v->highest = n + 1;
	v->got++;
	v->at = v->now;
	return true;
}

static bool damaged(void *ctx, const struct emu_frame *f)
{
	struct world *v = ctx;

	(void)f;
	if (not_now(v))
		return false;
	v->damaged++;
	return true;
}

static const struct emu_wire_host host = {
	.alloc = counted_alloc, .free = counted_free, .deliver = deliver, .damaged = damaged};

void world_begin(struct world *v, const struct emu_link_model *m, uint32_t level, uint64_t frames)
{
	memset(v, 0, sizeof(*v));
	world_allocated = 0; /* a test that failed left what it had */
	v->now = 1000 * MS;
	v->frames = frames;
	v->reliable = level != VIP_SERVICE_UNRELIABLE;
	v->had = calloc(1, frames / 8 + 1);
	assert_non_null(v->had);
	emu_wire_init(&v->w, m, level, &host, v, v->now);
}

void world_end(struct world *v)
{
	const struct emu_wire_stats *s = &v->w.stats;

	assert_int_equal(s->launched + s->duplicated, s->lost + s->damaged + s->arrived + v->w.packets);
	assert_int_equal(s->delivered, v->got);
	if (!v->reliable && !v->w.offered)
		assert_int_equal(s->arrived, s->delivered + s->discarded);
	emu_wire_end(&v->w);
	assert_int_equal(world_allocated, 0);
	free(v->had);
	v->had = NULL;
}

uint32_t world_bytes(uint64_t n)
{
	return (uint32_t)(pattern(n, 7) % 49);
}

void world_send(struct world *v, uint32_t bytes)
{
	struct emu_frame *f = emu_wire_new(&v->w, bytes);

	if (!f) /* a test lets allocations fail */
		return;
	fill(f->head, EMU_WIRE_HEAD, v->w.sent, 0);
	fill(f->data, bytes, v->w.sent, EMU_WIRE_HEAD / 8);
	v->sent_at[v->w.sent % EMU_WIRE_FRAMES] = v->now;
	assert_true(v->w.sent < v->frames);
	emu_wire_send(&v->w, f, v->now);
}

uint64_t world_run(struct world *v, uint64_t now)
{
	uint64_t next;

	v->now = now;
	next = emu_wire_run(&v->w, now);
	assert_true(next > now);
	return next;
}

void world_pass(struct world *v, uint64_t until)
{
	uint64_t next = v->now, too_long = v->now + 100000 * MS;

	while (next <= until && next != EMU_WIRE_NEVER) {
		next = world_run(v, next);
		assert_true(v->now < too_long);
	}
	if (until != EMU_WIRE_NEVER && v->now < until)
		v->now = until;
}

/* How long the oldest frame has been waiting. */
static uint64_t waits(const struct world *v)
{
	return v->now - v->sent_at[v->w.taken % EMU_WIRE_FRAMES];
}

void world_many(struct world *v, uint64_t n, uint64_t gap)
{
	uint64_t end = v->w.sent + n, next, patience = world_patience(&v->w.model, 64, 64 * 64);
	uint64_t too_long = v->now + 100000 * MS;

	while (v->w.sent < end && !v->w.broken) {
		assert_true(v->now < too_long);
		if (!emu_wire_full(&v->w)) {
			world_send(v, world_bytes(v->w.sent));
			world_run(v, v->now + gap);
		} else {
			next = world_run(v, v->now);
			assert_true(next != EMU_WIRE_NEVER || v->w.broken);
			if (!v->w.broken)
				world_run(v, next);
		}
		/* twice: first that it has arrived must become known, then that it was taken */
		if (v->reliable && v->w.taken < v->w.sent && !v->refused)
			assert_true(waits(v) <= 2 * patience);
	}
	world_pass(v, EMU_WIRE_NEVER);
	if (v->w.broken) /* never before all tries were made */
		assert_true(waits(v) >= (EMU_WIRE_RETRIES + 1) * (2 * v->w.model.latency_ns + 20 * US));
}

uint64_t world_patience(const struct emu_link_model *m, uint64_t frame, uint64_t on_wire)
{
	uint64_t rto = 2 * m->latency_ns + 20 * US, leaving = 0, serial = 0;
	uint64_t spread = m->latency_ns > 10 * US ? m->latency_ns : 10 * US;

	if (m->bandwidth) {
		leaving = frame * 1000 * MS / m->bandwidth + 1;
		serial = on_wire * 1000 * MS / m->bandwidth + EMU_WIRE_FRAMES;
	}
	if (m->reorder)
		rto += 4 * spread + 4 * leaving;
	return (EMU_WIRE_RETRIES + 1) * (serial + rto + MS);
}
