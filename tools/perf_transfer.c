/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_transfer.c - what both ends do in each test.
 *
 * An order begins at both ends with the receives that it needs: exactly as many
 * as messages come, some of them at once.  A message that finds no receive
 * ends a reliable connection; therefore nobody has more messages under way than
 * the other end has receives, which is what acknowledgements are for.
 */
#include "tools/perf.h"

#define LAT_DEPTH 2 /* a receive is there for the next message while the other is being put back */
#define ACK_DEPTH 4 /* a share of the window has three acknowledgements at most */

uint32_t perf_share(const struct perf_link *l, uint32_t window)
{
	uint32_t share = l->nvis ? window / l->nvis : window;

	return share ? share : 1;
}

/* By how many messages an acknowledgement counts. */
static uint32_t chunk_of(uint32_t share)
{
	return share > 1 ? share / 2 : 1;
}

/* Of @count messages, taken by the VIs in turn, those of VI @v. */
static uint64_t part(const struct perf_link *l, uint64_t count, uint32_t v)
{
	return (count + l->nvis - 1 - v) / l->nvis;
}

static uint64_t parts(uint64_t count, uint64_t size)
{
	return (count + size - 1) / size;
}

static uint32_t next_turn(struct perf_link *l)
{
	uint32_t v = l->turn;

	l->turn = v + 1 == l->nvis ? 0 : v + 1;
	return v;
}

/* The number of the next message of VI @v: with the VIs in turn they ascend by one. */
static uint64_t next_number(struct perf_link *l, uint32_t v)
{
	return l->vi[v].number++ * l->nvis + v;
}

/* ---- lat; write-lat when it waits: the answer is as the question ---- */

static unsigned int lat_control(const struct perf_link *l)
{
	return l->plan.test == PERF_WRITE_LAT ? VIP_CONTROL_OP_RDMAWRITE | VIP_CONTROL_IMMEDIATE
					      : VIP_CONTROL_OP_SENDRECV;
}

static bool is_write(const struct perf_link *l)
{
	return l->plan.test == PERF_WRITE_LAT || l->plan.test == PERF_WRITE_BW;
}

static int lat_start(struct perf_link *l, const struct perf_order *o)
{
	for (uint32_t v = 0; v < l->nvis; v++) {
		if (perf_expect(l, v, true, part(l, o->lead + o->count, v), LAT_DEPTH))
			return -1;
	}
	return 0;
}

static int lat_exchange(struct perf_link *l, const struct perf_order *o)
{
	uint32_t v = next_turn(l);
	uint64_t number = next_number(l, v);
	bool check = o->what == PERF_CHECK, whole = is_write(l);
	struct perf_vi *vi = &l->vi[v];

	if (check)
		perf_fill(l, perf_send_buffer(l, number), number, false, false);
	if (perf_post(l, v, lat_control(l), number, 0) || perf_until(l, v, VQ_RECV, vi->number))
		return -1;
	if (l->plan.pause_us)
		l->wake_ns = (uint32_t)tool_now_ns() - perf_last(l, v, VQ_RECV)->CS.ImmediateData;
	if (perf_until(l, v, VQ_SEND, vi->number))
		return -1;
	if (check && perf_verify(l, perf_recv_buffer(l, number), number, true, whole, l->bytes))
		return -1;
	return perf_repost(l, v);
}

/* The processor stays awake, and so does not add its own waking. */
static int pause_answer(struct perf_link *l, uint32_t *imm)
{
	uint64_t end = tool_now_ns() + l->plan.pause_us * 1000ull, give_up = 0, now;

	for (uint32_t spins = 1; (now = tool_now_ns()) < end; spins++) {
		if (perf_patience(l, spins, &give_up))
			return -1;
	}
	*imm = (uint32_t)now;
	return 0;
}

static int lat_answer(struct perf_link *l, const struct perf_order *o)
{
	bool check = o->what == PERF_CHECK, whole = is_write(l);

	for (uint64_t i = 0; i < o->lead + o->count; i++) {
		uint32_t v = next_turn(l), imm = 0;
		uint64_t number = next_number(l, v);
		unsigned int control = lat_control(l);

		if (perf_until(l, v, VQ_RECV, l->vi[v].number))
			return -1;
		if (check) {
			if (perf_verify(l, perf_recv_buffer(l, number), number, false, whole, l->bytes))
				return -1;
			perf_fill(l, perf_send_buffer(l, number), number, true, false);
		}
		if (l->plan.pause_us) {
			control |= VIP_CONTROL_IMMEDIATE;
			if (pause_answer(l, &imm))
				return -1;
		}
		if (perf_post(l, v, control, number, imm) || perf_until(l, v, VQ_SEND, l->vi[v].number) ||
		    perf_repost(l, v))
			return -1;
	}
	return 0;
}

/* ---- the ends of an order of RDMA: the other end is not told of anything else ---- */

/* write-bw: after each sample; else once. */
static uint64_t closings(const struct perf_link *l, const struct perf_order *o)
{
	return l->plan.test == PERF_WRITE_BW ? o->count / o->batch : 1;
}

static int rdma_start(struct perf_link *l, const struct perf_order *o)
{
	for (uint32_t v = 0; v < l->nvis; v++) {
		if (perf_expect(l, v, false, closings(l, o), 1))
			return -1;
	}
	return 0;
}

int perf_rdma_close(struct perf_link *l)
{
	for (uint32_t v = 0; v < l->nvis && !l->server; v++) {
		if (perf_post_token(l, v, 0))
			return -1;
	}
	for (uint32_t v = 0; v < l->nvis; v++) {
		if (perf_until(l, v, VQ_RECV, ++l->vi[v].acks) || perf_repost(l, v))
			return -1;
	}
	for (uint32_t v = 0; v < l->nvis && l->server; v++) {
		if (perf_post_token(l, v, 0))
			return -1;
	}
	return 0;
}

/* ---- write-lat: the last byte of the target is looked at ---- */

/* Two messages in turn that have the same buffer have different flags, and none has 0. */
static uint8_t flag_of(const struct perf_link *l, uint64_t number)
{
	return (uint8_t)(1 + number / l->plan.buffers % 255);
}

static int flag_start(struct perf_link *l, const struct perf_order *o)
{
	for (uint32_t i = 0; i < l->plan.buffers; i++)
		perf_recv_buffer(l, i)[l->bytes - 1] = 0;
	return rdma_start(l, o);
}

static uint8_t *flag_place(const struct perf_link *l, uint64_t number)
{
	uint32_t at = l->bytes - 1;

	return perf_send_buffer(l, number) + at / l->piece * l->piece_step + at % l->piece;
}

static int flag_write(struct perf_link *l, const struct perf_order *o, uint32_t v, uint64_t number)
{
	if (o->what == PERF_CHECK)
		perf_fill(l, perf_send_buffer(l, number), number, l->server, false);
	*flag_place(l, number) = flag_of(l, number);
	return perf_post(l, v, VIP_CONTROL_OP_RDMAWRITE, number, 0);
}

static int flag_await(struct perf_link *l, const struct perf_order *o, uint32_t v, uint64_t number)
{
	const uint8_t *buffer = perf_recv_buffer(l, number);

	if (perf_until_flag(l, v, buffer + l->bytes - 1, flag_of(l, number)))
		return -1;
	if (o->what != PERF_CHECK)
		return 0;
	return perf_verify(l, buffer, number, !l->server, true, l->bytes - 1);
}

static int flag_exchange(struct perf_link *l, const struct perf_order *o)
{
	uint32_t v = next_turn(l);
	uint64_t number = next_number(l, v);

	return flag_write(l, o, v, number) || flag_await(l, o, v, number) ||
			       perf_until(l, v, VQ_SEND, l->vi[v].number)
		       ? -1
		       : 0;
}

static int flag_answer(struct perf_link *l, const struct perf_order *o)
{
	for (uint64_t i = 0; i < o->lead + o->count; i++) {
		uint32_t v = next_turn(l);
		uint64_t number = next_number(l, v);

		if (flag_await(l, o, v, number) || flag_write(l, o, v, number) ||
		    perf_until(l, v, VQ_SEND, l->vi[v].number))
			return -1;
	}
	return perf_rdma_close(l);
}

/* ---- read-lat ---- */

static int read_exchange(struct perf_link *l, const struct perf_order *o)
{
	uint32_t v = next_turn(l);
	uint64_t number = next_number(l, v);

	if (perf_post(l, v, VIP_CONTROL_OP_RDMAREAD, number, 0) || perf_until(l, v, VQ_SEND, l->vi[v].number))
		return -1;
	if (o->what != PERF_CHECK)
		return 0;
	/* what is there was put there once: read_start */
	return perf_verify(l, perf_recv_buffer(l, number), number % l->plan.buffers, false, false, l->bytes);
}

/* ---- write-bw, read-bw ---- */

/* All messages of a check have a buffer of their own. */
static int rdma_verify(struct perf_link *l, const struct perf_order *o, bool whole)
{
	for (uint64_t i = 0; i < o->count; i++) {
		if (perf_verify(l, perf_recv_buffer(l, i), i, false, whole, l->bytes))
			return -1;
	}
	return 0;
}

static int rdma_batch(struct perf_link *l, const struct perf_order *o)
{
	bool read = l->plan.test == PERF_READ_BW;
	uint32_t share = perf_share(l, o->window);

	for (uint64_t i = 0; i < o->batch; i++) {
		uint32_t v = next_turn(l);
		uint64_t number = next_number(l, v);
		struct perf_queue *q = &l->vi[v].q[VQ_SEND];

		if (o->what == PERF_CHECK && !read)
			perf_fill(l, perf_send_buffer(l, number), number, false, false);
		if ((q->posted >= q->done + share && perf_until(l, v, VQ_SEND, q->posted - share + 1)) ||
		    perf_post(l, v, read ? VIP_CONTROL_OP_RDMAREAD : VIP_CONTROL_OP_RDMAWRITE, number, 0))
			return -1;
	}
	if (!read)
		return perf_rdma_close(l);
	for (uint32_t v = 0; v < l->nvis; v++) {
		if (perf_until(l, v, VQ_SEND, l->vi[v].q[VQ_SEND].posted))
			return -1;
	}
	return o->what == PERF_CHECK ? rdma_verify(l, o, false) : 0;
}

static int rdma_answer(struct perf_link *l, const struct perf_order *o)
{
	for (uint64_t i = 0; i < closings(l, o); i++) {
		if (perf_rdma_close(l))
			return -1;
	}
	return o->what == PERF_CHECK && is_write(l) ? rdma_verify(l, o, true) : 0;
}

/* What the peer reads is in one piece here. */
static int read_start(struct perf_link *l, const struct perf_order *o)
{
	for (uint32_t i = 0; i < l->plan.buffers && l->server && o->what == PERF_CHECK; i++)
		perf_fill(l, perf_send_buffer(l, i), i, false, true);
	return rdma_start(l, o);
}

/* ---- bw, rate, overlap: messages, acknowledged by the chunk and at the end of each sample ---- */

static int bw_start(struct perf_link *l, const struct perf_order *o)
{
	uint32_t share = perf_share(l, o->window);
	uint64_t samples = o->count / o->batch;

	for (uint32_t v = 0; v < l->nvis; v++) {
		uint64_t messages = part(l, o->batch, v);
		uint64_t acks = parts(messages, chunk_of(share));

		if (l->server ? perf_expect(l, v, true, samples * messages, share)
			      : perf_expect(l, v, false, samples * acks, ACK_DEPTH))
			return -1;
	}
	return 0;
}

/* VI @v's next acknowledgement; @messages: of the VI in this sample. */
static int bw_take_ack(struct perf_link *l, uint32_t v, uint32_t chunk, uint64_t messages)
{
	struct perf_vi *vi = &l->vi[v];

	if (perf_until(l, v, VQ_RECV, ++vi->acks) || perf_repost(l, v))
		return -1;
	vi->acked += chunk;
	if (vi->acked > messages)
		vi->acked = messages;
	return 0;
}

static int bw_batch(struct perf_link *l, const struct perf_order *o)
{
	uint32_t share = perf_share(l, o->window), chunk = chunk_of(share);

	l->turn = 0;
	for (uint32_t v = 0; v < l->nvis; v++)
		l->vi[v].sent = l->vi[v].acked = 0;
	for (uint64_t i = 0; i < o->batch; i++) {
		uint32_t v = next_turn(l);
		uint64_t number = next_number(l, v);
		struct perf_vi *vi = &l->vi[v];

		if (vi->sent - vi->acked >= share && bw_take_ack(l, v, chunk, part(l, o->batch, v)))
			return -1;
		if (o->what == PERF_CHECK)
			perf_fill(l, perf_send_buffer(l, number), number, false, false);
		if (perf_post(l, v, VIP_CONTROL_OP_SENDRECV, number, 0))
			return -1;
		vi->sent++;
	}
	for (uint32_t v = 0; v < l->nvis; v++) {
		while (l->vi[v].acked < l->vi[v].sent) {
			if (bw_take_ack(l, v, chunk, part(l, o->batch, v)))
				return -1;
		}
	}
	return 0;
}

static int bw_answer_batch(struct perf_link *l, const struct perf_order *o)
{
	uint32_t chunk = chunk_of(perf_share(l, o->window));

	l->turn = 0;
	for (uint32_t v = 0; v < l->nvis; v++)
		l->vi[v].sent = 0; /* here: received */
	for (uint64_t i = 0; i < o->batch; i++) {
		uint32_t v = next_turn(l);
		uint64_t number = next_number(l, v);
		struct perf_vi *vi = &l->vi[v];

		if (perf_until(l, v, VQ_RECV, vi->number))
			return -1;
		if (o->what == PERF_CHECK &&
		    perf_verify(l, perf_recv_buffer(l, number), number, false, false, l->bytes))
			return -1;
		if (perf_repost(l, v))
			return -1;
		vi->sent++;
		if ((vi->sent % chunk == 0 || vi->sent == part(l, o->batch, v)) && perf_post_token(l, v, 0))
			return -1;
	}
	return 0;
}

static int bw_answer(struct perf_link *l, const struct perf_order *o)
{
	for (uint64_t i = 0; i < o->count / o->batch; i++) {
		if (bw_answer_batch(l, o))
			return -1;
	}
	return 0;
}

/* ---- all of them ---- */

const struct perf_transfer *perf_transfer_of(const struct perf_plan *p)
{
	static const struct perf_transfer lat = {lat_start, lat_exchange, NULL, lat_answer, false},
					  flag = {flag_start, flag_exchange, NULL, flag_answer, true},
					  write_bw = {rdma_start, NULL, rdma_batch, rdma_answer, false},
					  read_lat = {read_start, read_exchange, NULL, rdma_answer, true},
					  read_bw = {read_start, NULL, rdma_batch, rdma_answer, true},
					  bw = {bw_start, NULL, bw_batch, bw_answer, false};

	switch (p->test) {
	case PERF_LAT:
		return &lat;
	case PERF_WRITE_LAT:
		return p->wait ? &lat : &flag;
	case PERF_WRITE_BW:
		return &write_bw;
	case PERF_READ_LAT:
		return &read_lat;
	case PERF_READ_BW:
		return &read_bw;
	default:
		return &bw;
	}
}
