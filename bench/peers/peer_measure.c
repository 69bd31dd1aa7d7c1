/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer_measure.c - the loops with the clock.
 */
#include <string.h>

#include "bench/peers/peer_measure.h"

struct peer_samples peer_samples;

static void keep(uint64_t ns, unsigned int messages)
{
	if (peer_samples.n < PEER_MAX_SAMPLES)
		peer_samples.ns[peer_samples.n++] = (double)ns / messages;
}

/* ---- latency ---- */

#define LINE 64 /* bytes of a cache line, or a part of one */

/* Every line: what an application does with a message, at the least. */
static void write_lines(const struct peer *p, uint8_t value)
{
	for (size_t i = 0; i < p->now.bytes; i += LINE)
		((volatile uint8_t *)p->from)[i] = value;
}

static void read_lines(const struct peer *p)
{
	for (size_t i = 0; i < p->now.bytes; i += LINE)
		(void)((volatile uint8_t *)p->to)[i];
}

/* Two receives are posted ahead: one for the next message while the other is put back. */
static void exchanges(struct peer *p, unsigned int n, uint64_t *unposted)
{
	size_t bytes = p->now.bytes;
	bool touched = p->now.test == PEER_TOUCHED;

	for (unsigned int i = 0; i < n; i++) {
		if (p->rank) {
			peer_ops.wait_recv(p);
			if (touched)
				read_lines(p);
		}
		if (touched)
			write_lines(p, (uint8_t)i);
		peer_ops.send(p, bytes);
		if (*unposted) {
			peer_ops.post_recv(p, bytes);
			--*unposted;
		}
		if (!p->rank) {
			peer_ops.wait_recv(p);
			if (touched)
				read_lines(p);
		}
		peer_ops.wait_sends(p, 0);
	}
}

static uint64_t latency_set(struct peer *p)
{
	uint64_t unposted = (uint64_t)p->now.per * p->now.batches;

	if (peer_ops.exchange)
		return 0;
	for (int i = 0; i < 2 && unposted; i++, unposted--)
		peer_ops.post_recv(p, p->now.bytes);
	return unposted;
}

static void latency_run(struct peer *p, uint64_t unposted)
{
	uint64_t start, end;

	start = peer_now_ns();
	for (unsigned int b = 0; b < p->now.batches; b++) {
		if (peer_ops.exchange)
			peer_ops.exchange(p, p->now.per);
		else
			exchanges(p, p->now.per, &unposted);
		end = peer_now_ns();
		keep(end - start, 2 * p->now.per);
		start = end;
	}
}

/* ---- bandwidth: a stream; rank 1 acknowledges each half of the window ---- */

static size_t ack_bytes(const struct peer *p)
{
	return p->now.bytes < PEER_MIN_BYTES ? p->now.bytes : PEER_MIN_BYTES;
}

/* As many receives are posted as may be under way: no library need keep what nobody expects. */
static uint64_t bandwidth_set(struct peer *p)
{
	unsigned int half = p->now.window / 2, ahead = p->rank ? p->now.window : 2;
	uint64_t unposted;

	p->now.per = (p->now.per + half - 1) / half * half;
	unposted = p->rank ? p->now.per : p->now.per / half;
	for (; ahead && unposted; ahead--, unposted--)
		peer_ops.post_recv(p, p->rank ? p->now.bytes : ack_bytes(p));
	return unposted;
}

static void take_ack(struct peer *p, uint64_t *unposted)
{
	peer_ops.wait_recv(p);
	if (*unposted) {
		peer_ops.post_recv(p, ack_bytes(p));
		--*unposted;
	}
}

/* One sample, all but the first window: the sender may see several acknowledgements at once. */
static void stream_out(struct peer *p, uint64_t unposted)
{
	unsigned int window = p->now.window, half = window / 2, acks = p->now.per / half, sent = 0;
	uint64_t start = 0;

	for (unsigned int acked = 0; acked < acks;) {
		for (; sent < p->now.per && sent < acked * half + window; sent++) {
			peer_ops.wait_sends(p, window - 1);
			peer_ops.send(p, p->now.bytes);
		}
		take_ack(p, &unposted);
		if (++acked == 2)
			start = peer_now_ns();
	}
	keep(peer_now_ns() - start, p->now.per - window);
	peer_ops.wait_sends(p, 0);
}

static void stream_in(struct peer *p, uint64_t unposted)
{
	unsigned int half = p->now.window / 2;

	for (unsigned int got = 1; got <= p->now.per; got++) {
		peer_ops.wait_recv(p);
		if (unposted) {
			peer_ops.post_recv(p, p->now.bytes);
			unposted--;
		}
		if (got % half == 0) {
			peer_ops.send(p, ack_bytes(p));
			peer_ops.wait_sends(p, 1);
		}
	}
	peer_ops.wait_sends(p, 0);
}

/* ---- one way, by the clock that both processors share ---- */

static void pause_us(unsigned int us)
{
	uint64_t end = peer_now_ns() + us * 1000ull;

	while (peer_now_ns() < end)
		peer_relax();
}

/* Each waits so long before it answers that the other sleeps. */
static void wake_run(struct peer *p)
{
	struct peer_common *c = p->common;

	for (unsigned int i = 0; i < p->now.batches; i++) {
		if (p->rank) {
			peer_ops.wait_recv(p);
			pause_us(p->now.window);
		}
		peer_ops.post_recv(p, p->now.bytes);
		c->sent[p->rank][0] = peer_now_ns();
		peer_ops.send(p, p->now.bytes);
		if (!p->rank) {
			peer_ops.wait_recv(p);
			keep(peer_now_ns() - c->sent[1][0], 1);
			pause_us(p->now.window);
		}
		peer_ops.wait_sends(p, 0);
	}
	/* the receive that rank 1 has posted for a message that does not come */
	if (p->rank)
		peer_ops.wait_recv(p);
	else
		peer_ops.send(p, p->now.bytes), peer_ops.wait_sends(p, 0);
}

static void cold_out(struct peer *p)
{
	struct peer_common *c = p->common;
	uint64_t start, end;

	for (unsigned int i = 1; i <= p->now.batches; i++) {
		while (c->written != i)
			peer_relax();
		start = peer_now_ns();
		peer_ops.send(p, p->now.bytes);
		if (peer_ops.done_when_sent) {
			end = peer_now_ns();
		} else {
			peer_ops.wait_sends(p, 0);
			while (c->come != i)
				peer_relax();
			end = c->came;
		}
		keep(end - start, 1);
		c->word[0][0] = i;
	}
}

static void cold_in(struct peer *p)
{
	struct peer_common *c = p->common;

	for (unsigned int i = 1; i <= p->now.batches; i++) {
		memset(c->source, (int)i, p->now.bytes);
		c->written = i;
		if (!peer_ops.done_when_sent) {
			peer_ops.wait_recv(p);
			c->came = peer_now_ns();
			c->come = i;
			if (i < p->now.batches)
				peer_ops.post_recv(p, p->now.bytes);
		}
		while (c->word[0][0] != i)
			peer_relax();
	}
}

static void cold_set(struct peer *p)
{
	struct peer_common *c = p->common;

	c->written = c->come = c->word[0][0] = 0;
	if (p->rank && !peer_ops.done_when_sent)
		peer_ops.post_recv(p, p->now.bytes);
}

/* ---- a driver by itself ---- */

static void local_run(struct peer *p)
{
	uint64_t start;

	for (unsigned int i = 0; !p->rank && i < p->now.batches; i++) {
		start = peer_now_ns();
		peer_ops.local(p);
		keep(peer_now_ns() - start, 1);
		peer_ops.local_undo(p);
	}
}

/* ---- all of them ---- */

uint64_t peer_set(struct peer *p)
{
	if (peer_ops.begin)
		peer_ops.begin(p);
	switch (p->now.test) {
	case PEER_LATENCY:
	case PEER_TOUCHED:
		return latency_set(p);
	case PEER_BANDWIDTH:
		return bandwidth_set(p);
	case PEER_WAKE:
		if (p->rank)
			peer_ops.post_recv(p, p->now.bytes);
		return 0;
	case PEER_COLD:
		cold_set(p);
		return 0;
	case PEER_LOCAL:
		return 0;
	}
	return 0;
}

void peer_run(struct peer *p, uint64_t unposted)
{
	switch (p->now.test) {
	case PEER_LATENCY:
	case PEER_TOUCHED:
		latency_run(p, unposted);
		break;
	case PEER_BANDWIDTH:
		if (p->rank)
			stream_in(p, unposted);
		else
			stream_out(p, unposted);
		break;
	case PEER_WAKE:
		wake_run(p);
		break;
	case PEER_COLD:
		if (p->rank)
			cold_in(p);
		else
			cold_out(p);
		break;
	case PEER_LOCAL:
		local_run(p);
		break;
	}
}
