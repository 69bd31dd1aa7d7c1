/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_cq.c - what goes to the device and what comes back: buffers, work
 * requests, completions.
 *
 * A send is signalled when it has a slot, which is free only with its
 * completion, every few times; and every eighth that is inline, so that there
 * is room for more.  A completion stands for all requests before it.
 */
#include "nic-verbs/verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define BATCH	    16 /* completions, and buffers that are posted again, at a time */
#define SIGNAL_EACH 8u
#define FEW_SLOTS   (VERBS_SLOTS / 2) /* when so few are left, each one's end is told */

/* ---- buffers; vn->lock held ---- */

/* What the device does not take now is kept for another time. */
static void post_spare(struct verbs_nic *vn)
{
	struct ibv_recv_wr wr[BATCH], *bad = NULL;
	struct ibv_sge sge[BATCH];
	uint32_t n = 0;

	while (vn->spare && n < BATCH) {
		struct verbs_recv *r = vn->spare;

		vn->spare = r->next;
		sge[n] = (struct ibv_sge){(uintptr_t)r->frame, VERBS_BUFFER, vn->buffers_mr->lkey};
		wr[n] = (struct ibv_recv_wr){
			.wr_id = (uint64_t)(r - vn->recv), .sg_list = &sge[n], .num_sge = 1};
		if (n)
			wr[n - 1].next = &wr[n];
		n++;
	}
	vn->nspare -= n;
	if (n == 0)
		return;
	if (!ibv_post_srq_recv(vn->srq, wr, &bad)) {
		vn->refused = false;
		return;
	}
	if (!vn->refused)
		vip_log(VIP_LOG_WARN, "%s: receive buffers cannot be posted", vn->nic->device);
	vn->refused = true;
	for (; bad; bad = bad->next, vn->nspare++) {
		struct verbs_recv *r = &vn->recv[bad->wr_id];

		r->next = vn->spare;
		vn->spare = r;
	}
}

static void spare(struct verbs_nic *vn, struct verbs_recv *r)
{
	r->next = vn->spare;
	vn->spare = r;
	if (++vn->nspare >= BATCH)
		post_spare(vn);
}

static void put_slot(struct verbs_nic *vn, struct verbs_slot *s)
{
	s->next = vn->free_slots;
	vn->free_slots = s;
	ka_store_relaxed(&vn->nfree, vn->nfree + 1);
}

void verbs_recv_free(struct verbs_nic *vn, struct verbs_recv *first)
{
	vip_lock(&vn->lock);
	while (first) {
		struct verbs_recv *r = first;

		first = r->next;
		spare(vn, r);
	}
	vip_unlock(&vn->lock);
}

struct verbs_slot *verbs_slot_get(struct verbs_nic *vn, uint32_t leave)
{
	struct verbs_slot *s;

	vip_lock(&vn->lock);
	s = vn->nfree > leave ? vn->free_slots : NULL;
	if (s) {
		vn->free_slots = s->next;
		ka_store_relaxed(&vn->nfree, vn->nfree - 1);
	}
	vip_unlock(&vn->lock);
	return s;
}

void verbs_slot_put(struct verbs_nic *vn, struct verbs_slot *s)
{
	vip_lock(&vn->lock);
	put_slot(vn, s);
	vip_unlock(&vn->lock);
}

/* ---- the ends that there are ---- */

static struct verbs_end **bucket_of(struct verbs_nic *vn, uint32_t qp_num)
{
	return &vn->ends[qp_num % VERBS_BUCKETS];
}

void verbs_cq_enter(struct verbs_end *e)
{
	struct verbs_nic *vn = e->vn;
	struct verbs_end **bucket;

	e->qp_num = e->qp->qp_num;
	e->posted = e->ended = e->tells_of = 0;
	e->down = e->transport = e->ready = e->severed = 0;
	e->in_first = e->in_last = NULL;
	e->last_words.type = 0;
	e->told_down = false;
	vip_lock(&vn->lock);
	e->round = ++vn->round;
	bucket = bucket_of(vn, e->qp_num);
	e->next = *bucket;
	*bucket = e;
	vip_unlock(&vn->lock);
}

/* Requests up to number @n, exclusive, are complete. */
static void end_until(struct verbs_end *e, uint32_t n)
{
	uint32_t i = e->ended;

	for (; i != n; i++) {
		struct verbs_wr *w = &e->wr[i % VERBS_WRS];

		if (w->slot)
			put_slot(e->vn, w->slot);
		w->slot = NULL;
	}
	ka_store_release(&e->ended, n);
}

void verbs_cq_leave(struct verbs_end *e)
{
	struct verbs_nic *vn = e->vn;
	struct verbs_end **at;
	struct verbs_recv *r;

	vip_lock(&vn->lock);
	for (at = bucket_of(vn, e->qp_num); *at && *at != e; at = &(*at)->next)
		;
	if (*at) {
		*at = e->next;
		end_until(e, e->posted);
		while ((r = e->in_first)) {
			ka_store_relaxed(&e->in_first, r->next);
			spare(vn, r);
		}
		while ((r = e->held)) {
			ka_store_relaxed(&e->held, r->next);
			spare(vn, r);
		}
	}
	vip_unlock(&vn->lock);
}

static struct verbs_end *end_of(struct verbs_nic *vn, uint32_t qp_num)
{
	struct verbs_end *e = *bucket_of(vn, qp_num);

	while (e && e->qp_num != qp_num)
		e = e->next;
	return e;
}

struct verbs_recv *verbs_arrived(struct verbs_end *e)
{
	struct verbs_recv *first;

	if (!ka_load_relaxed(&e->in_first))
		return NULL;
	vip_lock(&e->vn->lock);
	first = e->in_first;
	ka_store_relaxed(&e->in_first, NULL);
	e->in_last = NULL;
	vip_unlock(&e->vn->lock);
	return first;
}

/* ---- completions; vn->lock held ---- */

static void lost(struct verbs_end *e, const struct ibv_wc *wc)
{
	uint32_t up = NIC_UP;

	if (ka_load_relaxed(&e->pull.busy)) {
		ka_store_release(&e->pull.failed, 1); /* not all of it was read */
		/* then it is the peer's memory that has gone: the receive that was to have it tells */
		if (wc->status == IBV_WC_REM_ACCESS_ERR)
			return;
	}
	if (ka_load_acquire(&e->down))
		return;
	ka_store_release(&e->transport, 1);
	if (__atomic_compare_exchange_n(&e->down, &up, NIC_LOST, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		vip_log(VIP_LOG_INFO, "%s: a connection has failed: %s", e->vn->nic->device,
			ibv_wc_status_str(wc->status));
	verbs_todo(e);
	verbs_kick(e->vn);
}

static void sent(struct verbs_nic *vn, const struct ibv_wc *wc)
{
	struct verbs_end *e = end_of(vn, wc->qp_num);
	uint32_t n = (uint32_t)wc->wr_id;

	/* an error completes what was not signalled, too: then one looks too often */
	if (wc->status == IBV_WC_SUCCESS)
		__atomic_fetch_sub(&vn->signalled, 1, __ATOMIC_RELAXED);
	if (!e || e->round != wc->wr_id >> 32 || n - e->ended >= VERBS_WRS)
		return;
	/* who sees that it has ended sees how */
	if (wc->status != IBV_WC_SUCCESS)
		lost(e, wc);
	end_until(e, n + 1);
	if (ka_load_relaxed(&e->pull.busy) && verbs_ended(e, ka_load_relaxed(&e->pull.last))) {
		verbs_todo(e);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		vip_wake_queue(e->vi, VIP_RQ);
		vip_wake_queue(e->vi, VIP_SQ);
	}
}

static void poll_sent(struct verbs_nic *vn)
{
	struct ibv_wc wc[BATCH];
	uint32_t q;
	int n, i;

	for (q = 0; q < vn->send_cqs; q++) {
		do {
			n = ibv_poll_cq(vn->send_cq[q].cq, BATCH, wc);
			for (i = 0; i < n; i++)
				sent(vn, &wc[i]);
		} while (n == BATCH);
	}
}

/* A frame, for its end; NULL: a buffer that comes back without one. */
static struct verbs_end *arrived(struct verbs_nic *vn, const struct ibv_wc *wc)
{
	struct verbs_recv *r = &vn->recv[wc->wr_id % VERBS_RECVS];
	struct verbs_end *e = end_of(vn, wc->qp_num);

	if (e && wc->status != IBV_WC_SUCCESS) {
		lost(e, wc);
		e = NULL;
	}
	if (!e) {
		spare(vn, r);
		return NULL;
	}
	r->bytes = wc->byte_len;
	r->is_bare = wc->wc_flags & IBV_WC_WITH_IMM;
	r->bare = r->is_bare ? ntohl(wc->imm_data) : 0;
	r->next = NULL;
	if (e->in_last)
		e->in_last->next = r;
	else
		ka_store_relaxed(&e->in_first, r);
	e->in_last = r;
	return e;
}

static void for_another(struct verbs_end *e)
{
	struct verbs_nic *vn = e->vn;

	verbs_todo(e);
	if (__atomic_load_n(&vn->dozes, __ATOMIC_SEQ_CST) == VERBS_LONGER) {
		ka_store_relaxed(&vn->dozes, VERBS_MOMENT); /* once */
		verbs_kick(vn);
	}
	vip_wake_queue(e->vi, VIP_RQ);
	vip_wake_queue(e->vi, VIP_SQ);
}

/* @self: whose caller looks by himself. */
static void poll_arrived(struct verbs_nic *vn, const struct verbs_end *self)
{
	struct verbs_end *e[BATCH];
	struct ibv_wc wc[BATCH];
	int n, i, others;

	do {
		n = ibv_poll_cq(vn->recv_cq, BATCH, wc);
		for (i = others = 0; i < n; i++) {
			e[others] = arrived(vn, &wc[i]);
			others += e[others] && e[others] != self;
		}
		/* whoever goes to sleep looks after he has said so */
		if (others)
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
		for (i = 0; i < others; i++)
			for_another(e[i]);
	} while (n == BATCH);
}

void verbs_poll_device(struct verbs_nic *vn)
{
	vip_lock(&vn->lock);
	poll_arrived(vn, NULL);
	poll_sent(vn);
	if (vn->spare)
		post_spare(vn);
	vip_unlock(&vn->lock);
}

void verbs_poll_try(struct verbs_nic *vn, const struct verbs_end *self)
{
	if (!vip_trylock(&vn->lock))
		return;
	poll_arrived(vn, self);
	if (ka_load_relaxed(&vn->signalled))
		poll_sent(vn);
	vip_unlock(&vn->lock);
}

/* ---- work requests ---- */

bool verbs_room(const struct verbs_end *e, uint32_t most)
{
	return ka_load_relaxed(&e->posted) - ka_load_acquire(&e->ended) < most;
}

/* e->wire held; there is room. */
static int post(struct verbs_end *e, struct ibv_send_wr *wr, struct verbs_slot *slot, bool signal)
{
	struct verbs_nic *vn = e->vn;
	uint32_t n = e->posted;
	struct ibv_send_wr *bad;
	int err;

	if (n % SIGNAL_EACH == SIGNAL_EACH - 1 || (slot && ka_load_relaxed(&vn->nfree) < FEW_SLOTS))
		signal = true;
	wr->wr_id = (uint64_t)e->round << 32 | n;
	if (signal) {
		wr->send_flags |= IBV_SEND_SIGNALED;
		__atomic_fetch_add(&vn->signalled, 1, __ATOMIC_RELAXED);
	}
	e->wr[n % VERBS_WRS].slot = slot;
	ka_store_release(&e->posted, n + 1);
	err = ibv_post_send(e->qp, wr, &bad);
	if (!err) {
		e->tells_of = signal ? n + 1 : e->tells_of;
		return 0;
	}
	ka_store_release(&e->posted, n);
	e->wr[n % VERBS_WRS].slot = NULL;
	if (signal)
		__atomic_fetch_sub(&vn->signalled, 1, __ATOMIC_RELAXED);
	return -err;
}

/*
 * Of a chain the device took only a part: it may be at that for some time, and what that leads to is not
 * known before the queue pair is gone.
 */
static void break_off(struct verbs_end *e)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};

	vip_log(VIP_LOG_WARN, "%s: the device takes no work requests: a connection ends", e->vn->nic->device);
	ibv_modify_qp(e->qp, &attr, IBV_QP_STATE);
	ka_store_release(&e->pull.failed, 1);
	if (!ka_load_acquire(&e->down))
		ka_store_release(&e->transport, 1);
	verbs_peer_down(e, NIC_LOST);
}

int verbs_chain(struct verbs_end *e, struct ibv_send_wr *wr, uint32_t n, uint32_t *last)
{
	struct verbs_nic *vn = e->vn;
	struct ibv_send_wr *bad;
	uint32_t i, first, took = n;
	int err;

	vip_lock(&e->wire);
	first = e->posted;
	if (wr->opcode == IBV_WR_BIND_MW && vn->binds_again && ka_load_acquire(&e->ended) != first) {
		vip_unlock(&e->wire);
		return -EBUSY;
	}
	for (i = 0; i < n; i++) {
		wr[i].wr_id = (uint64_t)e->round << 32 | (uint32_t)(first + i);
		wr[i].next = i + 1 < n ? &wr[i + 1] : NULL;
		e->wr[(first + i) % VERBS_WRS].slot = NULL;
	}
	wr[n - 1].send_flags |= IBV_SEND_SIGNALED;
	__atomic_fetch_add(&vn->signalled, 1, __ATOMIC_RELAXED);
	ka_store_relaxed(last, first + n - 1);
	ka_store_release(&e->posted, first + n);
	err = ibv_post_send(e->qp, wr, &bad);
	e->tells_of = first + n;
	if (err) {
		took = (uint32_t)(bad - wr);
		__atomic_fetch_sub(&vn->signalled, 1, __ATOMIC_RELAXED);
		ka_store_relaxed(last, first + took - 1);
		ka_store_release(&e->posted, first + took);
	}
	vip_unlock(&e->wire);
	if (took == 0)
		return -err;
	if (err)
		break_off(e);
	return 0;
}

static void make_send(struct ibv_send_wr *wr, struct ibv_sge *sge, const uint32_t *bare)
{
	*wr = (struct ibv_send_wr){.opcode = IBV_WR_SEND, .sg_list = sge, .num_sge = sge->length ? 1 : 0};
	if (bare) {
		wr->opcode = IBV_WR_SEND_WITH_IMM;
		wr->imm_data = htonl(*bare);
	}
}

int verbs_slot_send(struct verbs_end *e, struct verbs_slot *s, uint32_t bytes, bool signal,
		    const uint32_t *bare)
{
	struct ibv_sge sge = {(uintptr_t)s->frame, bytes, e->vn->buffers_mr->lkey};
	struct ibv_send_wr wr;
	int err;

	make_send(&wr, &sge, bare);
	vip_lock(&e->wire);
	err = post(e, &wr, s, signal);
	vip_unlock(&e->wire);
	if (err)
		verbs_slot_put(e->vn, s);
	return err;
}

int verbs_inline_send(struct verbs_end *e, const void *frame, uint32_t bytes, bool signal,
		      const uint32_t *bare)
{
	struct ibv_sge sge = {(uintptr_t)frame, bytes, 0};
	struct ibv_send_wr wr;
	int err;

	make_send(&wr, &sge, bare);
	wr.send_flags = IBV_SEND_INLINE;
	vip_lock(&e->wire);
	err = post(e, &wr, NULL, signal);
	vip_unlock(&e->wire);
	return err;
}

bool verbs_tell(struct verbs_end *e, const struct verbs_frame *head, uint32_t most, bool signal)
{
	struct verbs_slot *s;

	if (!verbs_room(e, most))
		return false;
	if (e->inline_most >= sizeof(*head))
		return verbs_inline_send(e, head, sizeof(*head), signal, NULL) == 0;
	s = verbs_slot_get(e->vn, VERBS_BOUNCE);
	if (!s)
		return false;
	memcpy(s->frame, head, sizeof(*head));
	return verbs_slot_send(e, s, sizeof(*head), signal, NULL) == 0;
}

bool verbs_ask(struct verbs_end *e)
{
	struct ibv_send_wr wr = {.opcode = IBV_WR_RDMA_WRITE};
	bool asked;

	vip_lock(&e->wire);
	/* what is still at the device, and has a completion, will tell as well */
	asked = (e->tells_of == e->posted && !verbs_room(e, 1)) ||
		(verbs_room(e, VERBS_SENDS) && post(e, &wr, NULL, true) == 0);
	if (asked)
		e->asked = e->posted - 1;
	vip_unlock(&e->wire);
	return asked;
}
