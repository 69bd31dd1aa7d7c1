/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_try.c - a request of ours: one candidate port after the other is asked,
 * round after round, until somebody answers or the time is over.
 *
 * Nobody waits: that is so when a whole round of candidates said it, and the
 * grace is over.  A host that says nothing may be slow: only the timeout ends that.
 *
 * Or what it said was lost, or the request: the kernel repeats that after six
 * seconds.  So a candidate that says nothing is asked once more, by another id
 * with the same queue pair, and those before it wait on.  The kernel over there
 * keeps one request of a queue pair: while it has that, it refuses any other as
 * stale, without asking anybody.  So at most one of them is there, and none is
 * taken back that may be the one.
 */
#include <errno.h>
#include <string.h>

#include "nic-verbs/verbs_cm.h"

#define RESOLVE_MS   2000  /* for an address or a route: what the kernel takes for one look */
#define ROUND_MS     2u	   /* between rounds: from here, */
#define ROUND_MAX    20u   /* doubled, up to here */
#define UNREACHED_MS 100u  /* after a host could not be reached */
#define ANSWER_MS    500u  /* what is not answered so soon may be lost: from here, */
#define ANSWER_MAX   4000u /* doubled, up to here */
#define ORPHANED     4u	   /* refusals without a word from one candidate, before the next is asked */

/* From the InfiniBand connection manager's own reasons. */
#define REASON_NO_LISTENER 8
#define REASON_STALE	   10
#define REASON_CONSUMER	   28

/* All but @keep. */
static void drop_others(struct verbs_cm *cm, struct verbs_try *t, struct verbs_call *keep)
{
	if (t->call && t->call != keep)
		cm_bury(cm, t->call);
	while (t->nmore) {
		if (t->more[--t->nmore] != keep)
			cm_bury(cm, t->more[t->nmore]);
	}
	t->call = keep;
}

static void drop_call(struct verbs_cm *cm, struct verbs_try *t)
{
	drop_others(cm, t, NULL);
	t->repeat = CM_NEVER;
}

/* This one says nothing any more; there are others. */
static void drop_one(struct verbs_cm *cm, struct verbs_try *t, struct verbs_call *call)
{
	struct verbs_call *last = t->more[--t->nmore];
	uint32_t i;

	if (t->call == call)
		t->call = last;
	for (i = 0; i < t->nmore; i++) {
		if (t->more[i] == call)
			t->more[i] = last;
	}
	cm_bury(cm, call);
}

void cm_try_end(struct verbs_cm *cm, struct verbs_try *t, int err)
{
	if (t->done)
		return;
	t->done = true;
	t->err = err;
	if (err)
		drop_call(cm, t);
	pthread_cond_broadcast(&cm->changed);
	if (t->peering)
		cm_peer_tried(cm, t->peering);
}

void cm_try_drop(struct verbs_cm *cm, struct verbs_try *t)
{
	struct verbs_try **at;

	drop_call(cm, t);
	for (at = &cm->tries; *at && *at != t; at = &(*at)->next)
		;
	if (*at)
		*at = t->next;
}

/* The call is over; go on @ms later. */
static void go_on(struct verbs_cm *cm, struct verbs_try *t, uint32_t ms)
{
	drop_call(cm, t);
	t->again = vip_now_ms() + ms;
	cm_kick(cm);
}

/* This candidate is not the one. */
static void next_candidate(struct verbs_cm *cm, struct verbs_try *t, bool nobody)
{
	uint32_t ms = 0;

	t->nobody += nobody;
	t->stored = false;
	t->orphaned = 0;
	if (++t->k == VERBS_PORTS) {
		if (t->nobody == VERBS_PORTS && vip_now_ms() >= t->grace) {
			cm_try_end(cm, t, -ENOENT);
			return;
		}
		ms = t->round < 4 ? ROUND_MS << t->round : ROUND_MAX;
		t->round++;
		t->k = t->nobody = 0;
	}
	go_on(cm, t, ms);
}

static void unreachable(struct verbs_cm *cm, struct verbs_try *t, struct verbs_call *call, const char *what,
			int err)
{
	vip_log(VIP_LOG_DEBUG, "%s: %s: %s", cm->vn->nic->device, what, strerror(err < 0 ? -err : err));
	if (t->nmore)
		drop_one(cm, t, call);
	else
		go_on(cm, t, UNREACHED_MS);
}

static void start_call(struct verbs_cm *cm, struct verbs_try *t, struct verbs_call *call)
{
	const uint8_t *disc = t->hello.remote;
	struct sockaddr_storage src, dst;

	call->try = t;
	cm_sockaddr(t->src, 0, &src);
	cm_sockaddr(t->dst, verbs_port_of(disc, t->hello.remote_len, t->k), &dst);
	if (rdma_resolve_addr(call->id, (struct sockaddr *)&src, (struct sockaddr *)&dst, RESOLVE_MS))
		unreachable(cm, t, call, "rdma_resolve_addr", errno);
}

/* The candidate is asked. */
static void first(struct verbs_cm *cm, struct verbs_try *t)
{
	t->again = t->repeat = CM_NEVER;
	t->patience = ANSWER_MS;
	t->call = cm_call(cm, CALL_TRY);
	if (t->call)
		start_call(cm, t, t->call);
	else
		cm_try_end(cm, t, -ENOMEM);
}

/* It has not answered yet. */
static void once_more(struct verbs_cm *cm, struct verbs_try *t)
{
	struct verbs_call *call = t->nmore < VERBS_MORE ? cm_call(cm, CALL_TRY) : NULL;

	vip_log(VIP_LOG_DEBUG, "%s: no answer for %u ms", cm->vn->nic->device, t->patience);
	t->patience = (uint32_t)cm_min(2 * t->patience, ANSWER_MAX);
	t->repeat = vip_now_ms() + t->patience;
	if (!call)
		return;
	t->more[t->nmore++] = call;
	start_call(cm, t, call);
}

static void ask(struct verbs_cm *cm, struct verbs_try *t, struct verbs_call *call)
{
	uint8_t bytes[VERBS_HELLO_BYTES];
	struct verbs_hello h = t->hello;
	struct rdma_conn_param param = {
		.private_data = bytes,
		.private_data_len = sizeof(bytes),
		.responder_resources = call->responder_resources,
		.initiator_depth = call->initiator_depth,
		.flow_control = 1,
		.retry_count = 7,
		.rnr_retry_count = 7,
		.srq = 1,
		.qp_num = t->qp_num,
	};

	t->preface = verbs_hello_long(&h) && !t->stored;
	if (t->preface)
		h.kind = VERBS_PREFACE;
	verbs_hello_encode(&h, bytes);
	if (rdma_connect(call->id, &param))
		unreachable(cm, t, call, "rdma_connect", errno);
	else if (call == t->call)
		t->repeat = vip_now_ms() + t->patience;
}

/*
 * It was refused without a word of ours.  If nobody listens there the next time, a
 * process of ours has ended that had the request; else the listener is none of ours.
 */
static void orphaned(struct verbs_cm *cm, struct verbs_try *t)
{
	if (t->orphaned == ORPHANED)
		next_candidate(cm, t, true);
	else
		go_on(cm, t, ROUND_MS << t->orphaned++);
}

static void refused(struct verbs_cm *cm, struct verbs_try *t, const struct rdma_cm_event *ev)
{
	struct verbs_answer a;
	int err;

	if (ev->status == REASON_NO_LISTENER && t->orphaned && !t->peering) {
		cm_try_end(cm, t, -ECONNREFUSED);
		return;
	}
	if (ev->status != REASON_CONSUMER) {
		next_candidate(cm, t, ev->status == REASON_NO_LISTENER);
		return;
	}
	err = verbs_answer_decode(ev->param.conn.private_data, ev->param.conn.private_data_len, &a);
	if (err == -EPROTONOSUPPORT && a.version && a.version != VERBS_PROTOCOL) {
		t->version = a.version;
		cm_try_end(cm, t, err);
		return;
	}
	if (err || a.kind != VERBS_REFUSED) {
		orphaned(cm, t);
		return;
	}
	switch (a.reason) {
	case VERBS_STORED:
		t->stored = true;
		go_on(cm, t, 0);
		break;
	case VERBS_UNKNOWN:
		t->stored = false;
		go_on(cm, t, ROUND_MS);
		break;
	case VERBS_REJECTED:
		cm_try_end(cm, t, -ECONNREFUSED);
		break;
	case VERBS_DIFFERS:
		t->attr = a.attr;
		err = verbs_mismatch(&t->hello.attr, &a.attr);
		cm_try_end(cm, t, err ? err : -EPROTO);
		break;
	default:
		next_candidate(cm, t, true);
		break;
	}
}

static void answered(struct verbs_cm *cm, struct verbs_try *t, const struct rdma_conn_param *conn)
{
	struct verbs_answer a;
	int err = verbs_answer_decode(conn->private_data, conn->private_data_len, &a);

	if (err || t->preface || a.kind != VERBS_ACCEPTED || verbs_mismatch(&t->hello.attr, &a.attr)) {
		t->version = a.version;
		cm_try_end(cm, t, err == -EPROTONOSUPPORT ? err : -EPROTO);
		return;
	}
	t->attr = a.attr;
	cm_try_end(cm, t, 0);
}

void cm_try_event(struct verbs_cm *cm, struct verbs_call *call, const struct rdma_cm_event *ev)
{
	struct verbs_try *t = call->try;
	bool refusal = ev->event == RDMA_CM_EVENT_REJECTED;

	if (t->done) { /* it was answered, and nobody has looked yet */
		if (ev->event != RDMA_CM_EVENT_CONNECT_RESPONSE)
			cm_lost(cm, call);
		return;
	}
	if (t->nmore && refusal && ev->status == REASON_STALE) {
		drop_one(cm, t, call); /* another one is there */
		return;
	}
	if (refusal || ev->event == RDMA_CM_EVENT_CONNECT_RESPONSE)
		drop_others(cm, t, call);
	switch (ev->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		if (!cm_ours(cm, call->id))
			unreachable(cm, t, call, "the route leads through another device", EHOSTUNREACH);
		else if (rdma_resolve_route(call->id, RESOLVE_MS))
			unreachable(cm, t, call, "rdma_resolve_route", errno);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		ask(cm, t, call);
		break;
	case RDMA_CM_EVENT_CONNECT_RESPONSE:
		answered(cm, t, &ev->param.conn);
		break;
	case RDMA_CM_EVENT_REJECTED:
		refused(cm, t, ev);
		break;
	default:
		unreachable(cm, t, call, rdma_event_str(ev->event), ev->status);
		break;
	}
}

void cm_try_start(struct verbs_cm *cm, struct verbs_try *t)
{
	t->again = 0;
	t->next = cm->tries;
	cm->tries = t;
	first(cm, t);
	cm_kick(cm);
}

uint64_t cm_try_tick(struct verbs_cm *cm, uint64_t now)
{
	uint64_t due = CM_NEVER;
	struct verbs_try *t;

	for (t = cm->tries; t; t = t->next) {
		if (!t->done && t->deadline <= now)
			cm_try_end(cm, t, -ETIMEDOUT);
		if (!t->done && t->again <= now)
			first(cm, t);
		if (!t->done && t->repeat <= now)
			once_more(cm, t);
		if (!t->done)
			due = cm_min(due, cm_min(t->deadline, cm_min(t->again, t->repeat)));
	}
	return due;
}
