/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_move.c - descriptors, buffers, posting and completions.
 *
 * A queue is a ring of descriptors.  What has completed is counted, whoever
 * waits for it: with a completion queue, or while several VIs are polled in
 * turn, other completions come first than the one that is waited for.
 *
 * While it polls, an exchange makes no system call: the limit on silence is
 * looked at once in many polls.
 */
#include <sched.h>
#include <string.h>

#include "tools/perf.h"

/*
 * Polls without anything, after which others may run: where the processors have
 * other work, too, who burns his time slice while he waits has none left when
 * the message comes.
 */
#define SPINS 4096
#define LOOKS 16 /* at memory that the peer writes straight into, between two calls of VIPL */

static size_t round_up(size_t bytes, size_t to)
{
	return (bytes + to - 1) / to * to;
}

/* ---- buffers ---- */

void perf_shape(struct perf_link *l, uint32_t bytes)
{
	uint32_t segs = l->plan.segs;

	l->bytes = bytes;
	l->piece = segs ? (bytes + segs - 1) / segs : bytes;
	/* a gap behind each piece, or there would be nothing to gather */
	l->piece_step = segs > 1 ? round_up(l->piece, 64) + 64 : round_up(bytes ? bytes : 1, 64);
	l->step = l->piece_step * (segs ? segs : 1);
	l->turn = 0;
	if (l->desc)
		memset(l->desc, 0, l->desc_bytes);
	for (uint32_t v = 0; v < l->nvis; v++) {
		struct perf_vi *vi = &l->vi[v];

		vi->number = vi->acks = vi->sent = vi->acked = 0;
		for (int queue = 0; queue < 2; queue++) {
			struct perf_queue *q = &vi->q[queue];

			q->posted = q->done = q->total = 0;
			q->data = false;
		}
	}
}

static size_t buffer_offset(const struct perf_link *l, uint64_t number)
{
	return l->plan.buffers == 1 ? 0 : (size_t)(number % l->plan.buffers) * l->step;
}

uint8_t *perf_send_buffer(const struct perf_link *l, uint64_t number)
{
	return l->data + buffer_offset(l, number);
}

uint8_t *perf_recv_buffer(const struct perf_link *l, uint64_t number)
{
	return l->data + l->half + buffer_offset(l, number);
}

static uint8_t pattern(uint64_t number, uint32_t at, bool back)
{
	return (uint8_t)(number * 131 + (uint64_t)at * 13 + (at >> 9) + (back ? 85 : 0));
}

static size_t place(const struct perf_link *l, uint32_t at, bool whole)
{
	return whole ? at : at / l->piece * l->piece_step + at % l->piece;
}

void perf_fill(struct perf_link *l, uint8_t *buffer, uint64_t number, bool back, bool whole)
{
	for (uint32_t at = 0; at < l->bytes; at++)
		buffer[place(l, at, whole)] = pattern(number, at, back);
}

int perf_verify(struct perf_link *l, const uint8_t *buffer, uint64_t number, bool back, bool whole,
		uint32_t bytes)
{
	for (uint32_t at = 0; at < bytes; at++) {
		uint8_t is = buffer[place(l, at, whole)], want = pattern(number, at, back);

		if (is != want)
			return vnic_fault(&l->n,
					  "data mismatch in message %llu of %u bytes: byte %u is 0x%02x, "
					  "not 0x%02x",
					  (unsigned long long)number, l->bytes, at, is, want);
	}
	return 0;
}

/* ---- posting ---- */

static VIP_DESCRIPTOR *descriptor(const struct perf_link *l, const struct perf_queue *q, uint64_t n)
{
	return (VIP_DESCRIPTOR *)(void *)(q->desc + (n & q->ring) * l->desc_stride);
}

VIP_DESCRIPTOR *perf_last(const struct perf_link *l, uint32_t v, enum vqueue queue)
{
	const struct perf_queue *q = &l->vi[v].q[queue];

	return descriptor(l, q, q->done - 1);
}

/* Data segments for the buffer at @data, unless they are there already; returns how many. */
static uint32_t put_segments(const struct perf_link *l, VIP_DESCRIPTOR_SEGMENT *s, uint8_t *data)
{
	uint32_t left = l->bytes, segs = l->plan.segs;

	if (!left)
		return 0;
	if (s[0].Local.Data.Address == data)
		return segs;
	for (uint32_t i = 0; i < segs; i++) {
		uint32_t length = left < l->piece ? left : l->piece;

		s[i].Local.Data.Address = data + i * l->piece_step;
		s[i].Local.Handle = l->data_handle;
		s[i].Local.Length = length;
		left -= length;
	}
	return segs;
}

static void put_control(VIP_DESCRIPTOR *d, unsigned int control, uint32_t segs, uint32_t bytes, uint32_t imm)
{
	d->CS.SegCount = (VIP_UINT16)segs;
	d->CS.Control = (VIP_UINT16)control;
	d->CS.ImmediateData = imm;
	d->CS.Length = bytes;
	d->CS.Status = 0;
}

static VIP_DESCRIPTOR_SEGMENT *segments(VIP_DESCRIPTOR *d)
{
	return (VIP_DESCRIPTOR_SEGMENT *)(void *)(&d->CS + 1);
}

static int post(struct perf_link *l, uint32_t v, enum vqueue queue, VIP_DESCRIPTOR *d)
{
	if (vnic_post(&l->n, queue, l->vi[v].vi, d, l->desc_handle))
		return -1;
	l->vi[v].q[queue].posted++;
	return 0;
}

int perf_repost(struct perf_link *l, uint32_t v)
{
	struct perf_queue *q = &l->vi[v].q[VQ_RECV];
	VIP_DESCRIPTOR *d = descriptor(l, q, q->posted);
	uint32_t segs = 0;

	if (q->posted == q->total)
		return 0;
	if (q->data)
		segs = put_segments(l, segments(d), perf_recv_buffer(l, q->posted * l->nvis + v));
	put_control(d, VIP_CONTROL_OP_SENDRECV, segs, segs ? l->bytes : 0, 0);
	return post(l, v, VQ_RECV, d);
}

int perf_expect(struct perf_link *l, uint32_t v, bool data, uint64_t total, uint64_t depth)
{
	struct perf_queue *q = &l->vi[v].q[VQ_RECV];

	q->total = total;
	q->data = data;
	while (q->posted < depth && q->posted < total) {
		if (perf_repost(l, v))
			return -1;
	}
	return 0;
}

/* The next descriptor of the send queue; what used it last has completed. */
static VIP_DESCRIPTOR *next_send(struct perf_link *l, uint32_t v)
{
	struct perf_queue *q = &l->vi[v].q[VQ_SEND];

	if (q->posted - q->done >= q->slots && perf_until(l, v, VQ_SEND, q->posted - q->slots + 1))
		return NULL;
	return descriptor(l, q, q->posted);
}

int perf_post(struct perf_link *l, uint32_t v, unsigned int control, uint64_t number, uint32_t imm)
{
	unsigned int op = control & VIP_CONTROL_OP_MASK;
	VIP_DESCRIPTOR *d = next_send(l, v);
	VIP_DESCRIPTOR_SEGMENT *s;
	uint32_t segs = 0;

	if (!d)
		return -1;
	s = segments(d);
	if (op != VIP_CONTROL_OP_SENDRECV) {
		uint64_t remote = op == VIP_CONTROL_OP_RDMAREAD ? l->peer.send : l->peer.receive;

		s->Remote.Data.AddressBits = remote + buffer_offset(l, number);
		s->Remote.Handle = l->peer.handle;
		s++;
		segs = 1;
	}
	segs += put_segments(l, s,
			     op == VIP_CONTROL_OP_RDMAREAD ? perf_recv_buffer(l, number)
							   : perf_send_buffer(l, number));
	put_control(d, control, segs, l->bytes, imm);
	return post(l, v, VQ_SEND, d);
}

int perf_post_token(struct perf_link *l, uint32_t v, uint32_t imm)
{
	VIP_DESCRIPTOR *d = next_send(l, v);

	if (!d)
		return -1;
	put_control(d, VIP_CONTROL_OP_SENDRECV | VIP_CONTROL_IMMEDIATE, 0, 0, imm);
	return post(l, v, VQ_SEND, d);
}

/* ---- completions ---- */

static int fault_stall(struct perf_link *l)
{
	return vnic_fault(
		&l->n, "nothing came from the peer for %d s%s", PERF_STALL_MS / 1000,
		l->plan.level == VIP_SERVICE_UNRELIABLE ? "; at level unreliable a message may be lost" : "");
}

/* What each poll without anything comes through is as short as can be, for half of it is in every latency. */
static __attribute__((noinline)) int let_others_run(struct perf_link *l, uint32_t spins, uint64_t *give_up)
{
	sched_yield();
	/* that may take a time slice */
	if (spins % 64)
		return 0;
	if (!*give_up)
		*give_up = tool_now_ns() + PERF_STALL_MS * 1000000ull;
	else if (tool_now_ns() > *give_up)
		return fault_stall(l);
	return 0;
}

int perf_patience(struct perf_link *l, uint32_t spins, uint64_t *give_up)
{
	return l->yield || spins > SPINS ? let_others_run(l, spins, give_up) : 0;
}

/* 1: a descriptor completed well, 0: none did, -1. */
static int completed(struct perf_link *l, uint32_t v, enum vqueue queue, VIP_RETURN rc,
		     const VIP_DESCRIPTOR *d)
{
	static const char *const calls[] = {[VQ_SEND] = "VipSendDone", [VQ_RECV] = "VipRecvDone"};
	struct perf_queue *q = &l->vi[v].q[queue];

	if (rc == VIP_TIMEOUT)
		return fault_stall(l);
	if (rc != VIP_SUCCESS && vnic_completed(&l->n, calls[queue], rc, d))
		return -1;
	if (d != descriptor(l, q, q->done))
		return vnic_fault(&l->n, "%s gave descriptors back in another order than they were posted",
				  calls[queue]);
	q->done++;
	if (queue == VQ_SEND || l->any_length || (d->CS.Status & VIP_STATUS_OP_MASK) != VIP_STATUS_OP_RECEIVE)
		return 1;
	if (d->CS.Length != (q->data ? l->bytes : 0))
		return vnic_fault(&l->n, "a message of %u bytes came, %u were expected", d->CS.Length,
				  q->data ? l->bytes : 0);
	return 1;
}

static int poll_queue(struct perf_link *l, uint32_t v, enum vqueue queue)
{
	VIP_DESCRIPTOR *d = NULL;
	VIP_RETURN rc = queue == VQ_SEND ? VipSendDone(l->vi[v].vi, &d) : VipRecvDone(l->vi[v].vi, &d);

	return rc == VIP_NOT_DONE ? 0 : completed(l, v, queue, rc, d);
}

static int sleep_queue(struct perf_link *l, uint32_t v, enum vqueue queue)
{
	VIP_VI_HANDLE vi = l->vi[v].vi;
	VIP_DESCRIPTOR *d = NULL;
	VIP_RETURN rc =
		queue == VQ_SEND ? VipSendWait(vi, PERF_STALL_MS, &d) : VipRecvWait(vi, PERF_STALL_MS, &d);

	return completed(l, v, queue, rc, d);
}

/* One entry of the completion queue, most likely of VI @v. */
static int take_entry(struct perf_link *l, uint32_t v, bool sleep)
{
	VIP_BOOLEAN recv;
	VIP_VI_HANDLE vi;
	VIP_RETURN rc = sleep ? VipCQWait(l->cq, PERF_STALL_MS, &vi, &recv) : VipCQDone(l->cq, &vi, &recv);

	if (rc == VIP_NOT_DONE)
		return 0;
	if (rc == VIP_TIMEOUT)
		return fault_stall(l);
	if (rc != VIP_SUCCESS)
		return vnic_failed(&l->n, sleep ? "VipCQWait" : "VipCQDone", rc);
	if (l->vi[v].vi != vi) {
		for (v = 0; v < l->nvis && l->vi[v].vi != vi; v++)
			;
		if (v == l->nvis)
			return vnic_fault(&l->n, "the connection of an idle VI was lost");
	}
	return poll_queue(l, v, recv ? VQ_RECV : VQ_SEND);
}

/*
 * VIs that nobody waits for: what is posted there goes on when it is polled.
 * Now and then one of them, when there was nothing else.
 */
static int poll_others(struct perf_link *l, uint32_t v, uint32_t spins)
{
	uint32_t other = spins / 16 % l->nvis;

	if (spins % 16 || other == v)
		return 0;
	for (int queue = 0; queue < 2; queue++) {
		struct perf_queue *q = &l->vi[other].q[queue];

		if (q->posted > q->done && poll_queue(l, other, (enum vqueue)queue) < 0)
			return -1;
	}
	return 0;
}

static int advance(struct perf_link *l, uint32_t v, enum vqueue queue, uint32_t spins, bool sleep)
{
	int got;

	if (l->cq)
		return take_entry(l, v, sleep);
	if (sleep)
		return sleep_queue(l, v, queue);
	got = poll_queue(l, v, queue);
	return got || l->nvis == 1 ? got : poll_others(l, v, spins);
}

int perf_until(struct perf_link *l, uint32_t v, enum vqueue queue, uint64_t done)
{
	const struct perf_queue *q = &l->vi[v].q[queue];
	uint64_t give_up = 0;

	for (uint32_t spins = 1; q->done < done; spins++) {
		int got = advance(l, v, queue, spins, l->plan.wait);

		if (got < 0 || (got == 0 && perf_patience(l, spins, &give_up)))
			return -1;
	}
	return 0;
}

int perf_drain(struct perf_link *l)
{
	for (uint32_t v = 0; v < l->nvis; v++) {
		for (int queue = 0; queue < 2; queue++) {
			if (perf_until(l, v, (enum vqueue)queue, l->vi[v].q[queue].posted))
				return -1;
		}
	}
	return 0;
}

int perf_until_flag(struct perf_link *l, uint32_t v, const uint8_t *byte, uint8_t flag)
{
	uint32_t looks = l->plan.memory == PERF_PRIVATE ? 1 : LOOKS;
	uint64_t give_up = 0;

	for (uint32_t spins = 1; __atomic_load_n(byte, __ATOMIC_ACQUIRE) != flag; spins++) {
		if ((spins % looks == 0 || spins > SPINS) && advance(l, v, VQ_RECV, spins, false) < 0)
			return -1;
		if (perf_patience(l, spins, &give_up))
			return -1;
	}
	return 0;
}
