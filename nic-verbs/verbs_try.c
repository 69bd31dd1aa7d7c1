/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_try.c - a request of ours: one candidate port after the other is asked,
 * round after round, until somebody answers or the time is over.
 *
 * Nobody waits: that is so when a whole round of candidates said it, and the
 * grace is over.  A host that says nothing may be slow: only the timeout ends that.
 */
#include <errno.h>
#include <string.h>

#include "nic-verbs/verbs_cm.h"

#define RESOLVE_MS   2000 /* for an address or a route: what the kernel takes for one look */
#define ROUND_MS     2u	  /* between rounds: from here, */
#define ROUND_MAX    20u  /* doubled, up to here */
#define UNREACHED_MS 100u /* after a host could not be reached */
#define ORPHANED     4u	  /* refusals without a word from one candidate, before the next is asked */

/* From the InfiniBand connection manager's own reasons. */
#define REASON_NO_LISTENER 8
#define REASON_CONSUMER	   28

static void drop_call(struct verbs_cm *cm, struct verbs_try *t)
{
	if (t->call)
		cm_bury(cm, t->call);
	t->call = NULL;
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

static void unreachable(struct verbs_cm *cm, struct verbs_try *t, const char *what, int err)
{
	vip_log(VIP_LOG_DEBUG, "%s: %s: %s", cm->vn->nic->device, what, strerror(err < 0 ? -err : err));
	go_on(cm, t, UNREACHED_MS);
}

static void start_call(struct verbs_cm *cm, struct verbs_try *t)
{
	const uint8_t *disc = t->hello.remote;
	struct sockaddr_storage src, dst;

	t->again = CM_NEVER;
	t->call = cm_call(cm, CALL_TRY);
	if (!t->call) {
		cm_try_end(cm, t, -ENOMEM);
		return;
	}
	t->call->try = t;
	cm_sockaddr(t->src, 0, &src);
	cm_sockaddr(t->dst, verbs_port_of(disc, t->hello.remote_len, t->k), &dst);
	if (rdma_resolve_addr(t->call->id, (struct sockaddr *)&src, (struct sockaddr *)&dst, RESOLVE_MS))
		unreachable(cm, t, "rdma_resolve_addr", errno);
}

static void ask(struct verbs_cm *cm, struct verbs_try *t)
{
	uint8_t bytes[VERBS_HELLO_BYTES];
	struct verbs_hello h = t->hello;
	struct rdma_conn_param param = {
		.private_data = bytes,
		.private_data_len = sizeof(bytes),
		.responder_resources = t->call->responder_resources,
		.initiator_depth = t->call->initiator_depth,
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
	if (rdma_connect(t->call->id, &param))
		unreachable(cm, t, "rdma_connect", errno);
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

	if (t->done) { /* it was answered, and nobody has looked yet */
		if (ev->event != RDMA_CM_EVENT_CONNECT_RESPONSE)
			cm_lost(cm, call);
		return;
	}
	switch (ev->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		if (!cm_ours(cm, call->id))
			unreachable(cm, t, "the route leads through another device", EHOSTUNREACH);
		else if (rdma_resolve_route(call->id, RESOLVE_MS))
			unreachable(cm, t, "rdma_resolve_route", errno);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		ask(cm, t);
		break;
	case RDMA_CM_EVENT_CONNECT_RESPONSE:
		answered(cm, t, &ev->param.conn);
		break;
	case RDMA_CM_EVENT_REJECTED:
		refused(cm, t, ev);
		break;
	default:
		unreachable(cm, t, rdma_event_str(ev->event), ev->status);
		break;
	}
}

void cm_try_start(struct verbs_cm *cm, struct verbs_try *t)
{
	t->again = 0;
	t->next = cm->tries;
	cm->tries = t;
	start_call(cm, t);
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
			start_call(cm, t);
		if (!t->done)
			due = cm_min(due, cm_min(t->deadline, t->again));
	}
	return due;
}
