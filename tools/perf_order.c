/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_order.c - an order: the client gives it, both ends do their part, and
 * all queues are empty again.
 */
#include "tools/perf.h"

struct ready {
	uint64_t send, receive;
	uint32_t handle, pad;
};

static int sample(struct perf_link *l, const struct perf_order *o, const struct perf_transfer *t,
		  uint64_t *ns)
{
	uint64_t start = tool_now_ns();

	for (uint64_t i = 0; i < o->batch && t->exchange; i++) {
		if (t->exchange(l, o))
			return -1;
	}
	if (t->batch && t->batch(l, o))
		return -1;
	*ns = l->plan.pause_us ? l->wake_ns : tool_now_ns() - start;
	return 0;
}

int perf_begin(struct perf_link *l, struct perf_order *o)
{
	struct ready ready;

	perf_shape(l, o->bytes);
	if (perf_transfer_of(&l->plan)->start(l, o))
		return -1;
	o->receive = (uintptr_t)(l->data + l->half);
	o->handle = l->data_handle;
	if (perf_tell(l, o, sizeof(*o)) || perf_hear(l, &ready, sizeof(ready), PERF_STALL_MS))
		return -1;
	l->peer.send = ready.send;
	l->peer.receive = ready.receive;
	l->peer.handle = ready.handle;
	return 0;
}

int perf_ask(struct perf_link *l, struct perf_order *o, uint64_t *ns)
{
	const struct perf_transfer *t = perf_transfer_of(&l->plan);

	if (perf_begin(l, o))
		return -1;
	for (uint64_t i = 0; i < o->lead && t->exchange; i++) {
		if (t->exchange(l, o))
			return -1;
	}
	for (uint64_t i = 0; i < o->count / o->batch; i++) {
		if (sample(l, o, t, &ns[i]))
			return -1;
	}
	return (t->close && perf_rdma_close(l)) || perf_drain(l) ? -1 : 0;
}

int perf_end(struct perf_link *l)
{
	struct perf_order o = {.what = PERF_END};

	return perf_tell(l, &o, sizeof(o)) || perf_hear(l, &o, sizeof(o), PERF_STALL_MS) ? -1 : 0;
}

static bool order_ok(const struct perf_link *l, const struct perf_order *o)
{
	const struct perf_plan *p = &l->plan;
	bool to_memory = p->test >= PERF_WRITE_LAT && p->test <= PERF_READ_BW;

	return (o->what == PERF_RUN || o->what == PERF_CHECK) && o->bytes <= p->max_bytes &&
	       (!to_memory || o->bytes > 0) && (p->segs == 1 || o->bytes >= p->segs) &&
	       o->lead <= PERF_MAX_COUNT && o->count <= PERF_MAX_COUNT && o->batch > 0 &&
	       o->count % o->batch == 0 && o->window > 0 && o->window <= p->window;
}

int perf_answer(struct perf_link *l)
{
	const struct perf_transfer *t = perf_transfer_of(&l->plan);
	struct ready ready = {.send = (uintptr_t)l->data,
			      .receive = (uintptr_t)(l->data + l->half),
			      .handle = l->data_handle};
	struct perf_order o;

	for (;;) {
		if (perf_hear(l, &o, sizeof(o), VIP_INFINITE))
			return -1;
		if (o.what == PERF_END)
			return perf_tell(l, &o, sizeof(o));
		if (!order_ok(l, &o))
			return vnic_fault(&l->n, "the client gave an order that is none");
		perf_shape(l, o.bytes);
		l->peer.receive = o.receive;
		l->peer.handle = o.handle;
		if (t->start(l, &o) || perf_tell(l, &ready, sizeof(ready)) || t->answer(l, &o) ||
		    perf_drain(l))
			return -1;
	}
}
