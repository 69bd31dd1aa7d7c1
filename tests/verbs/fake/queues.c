/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * queues.c - the fake's completion queues, receive queues and queue pairs.  What
 * is posted is done before the call returns.  All is under one lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"

#define ENTRIES 16384u

struct cq {
	struct ibv_cq cq;
	bool armed;
	uint32_t head, tail;
	struct ibv_wc wc[ENTRIES];
};

struct recv {
	uint64_t id;
	void *at;
	uint32_t bytes;
};

struct srq {
	struct ibv_srq srq;
	uint32_t head, tail;
	struct recv r[ENTRIES];
};

struct qp {
	struct ibv_qp qp;
	struct qp *next;
	uint32_t dest;
	int all; /* all sends are signalled */
};

static struct qp *qps; /* the newest first */
static uint32_t last_num = 99;

uint32_t fake_qp_num(const struct ibv_context *ctx)
{
	uint32_t num = 0;
	struct qp *q;

	fake_lock();
	for (q = qps; q && !num; q = q->next)
		num = q->qp.context == ctx ? q->qp.qp_num : 0;
	fake_unlock();
	return num;
}

/* ---- completions ---- */

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *ctx)
{
	struct ibv_comp_channel *c;
	int fds[2];

	if (fake_call(__func__))
		return NULL;
	c = calloc(1, sizeof(*c));
	if (pipe2(fds, O_CLOEXEC))
		abort();
	c->context = ctx;
	c->fd = fds[0];
	c->refcnt = fds[1];
	fake_fd(c->fd, true);
	fake_count(FAKE_CHANNEL, 1);
	return c;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *c)
{
	fake_fd(c->fd, false);
	close(c->fd);
	close(c->refcnt);
	free(c);
	fake_count(FAKE_CHANNEL, -1);
	return 0;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *ctx, int cqe, void *context,
			     struct ibv_comp_channel *channel, int vector)
{
	struct cq *c;

	(void)vector;
	if (fake_call(__func__))
		return NULL;
	c = calloc(1, sizeof(*c));
	c->cq = (struct ibv_cq){.context = ctx, .channel = channel, .cq_context = context, .cqe = cqe};
	fake_count(FAKE_CQ, 1);
	return &c->cq;
}

int ibv_destroy_cq(struct ibv_cq *cq)
{
	free(cq);
	fake_count(FAKE_CQ, -1);
	return 0;
}

int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **context)
{
	if (read(channel->fd, cq, sizeof(*cq)) != sizeof(*cq))
		return -1;
	*context = (*cq)->cq_context;
	fake_count(FAKE_EVENT, 1);
	return 0;
}

void ibv_ack_cq_events(struct ibv_cq *cq, unsigned int n)
{
	(void)cq;
	fake_count(FAKE_EVENT, -(int)n);
}

static int req_notify(struct ibv_cq *cq, int solicited)
{
	(void)solicited;
	fake_lock();
	((struct cq *)cq)->armed = true;
	fake_unlock();
	return 0;
}

static void complete(struct ibv_cq *to, const struct ibv_wc *wc)
{
	struct cq *c = (struct cq *)to;

	if (c->tail - c->head == ENTRIES)
		abort();
	c->wc[c->tail++ % ENTRIES] = *wc;
	if (c->armed && to->channel && write(to->channel->refcnt, &to, sizeof(to)) != sizeof(to))
		abort();
	c->armed = false;
}

static int poll_cq(struct ibv_cq *cq, int n, struct ibv_wc *wc)
{
	struct cq *c = (struct cq *)cq;
	int got = 0;

	fake_lock();
	while (got < n && c->head != c->tail)
		wc[got++] = c->wc[c->head++ % ENTRIES];
	fake_unlock();
	return got;
}

/* ---- receives ---- */

struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
	struct srq *s;

	(void)attr;
	if (fake_call(__func__))
		return NULL;
	s = calloc(1, sizeof(*s));
	s->srq.context = pd->context;
	fake_count(FAKE_SRQ, 1);
	return &s->srq;
}

int ibv_destroy_srq(struct ibv_srq *srq)
{
	free(srq);
	fake_count(FAKE_SRQ, -1);
	return 0;
}

static int post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct srq *s = (struct srq *)srq;

	if (fake_call("ibv_post_srq_recv")) {
		*bad = wr;
		return errno;
	}
	fake_lock();
	for (; wr; wr = wr->next) {
		if (s->tail - s->head == ENTRIES)
			abort();
		s->r[s->tail++ % ENTRIES] = (struct recv){wr->wr_id, (void *)(uintptr_t)wr->sg_list[0].addr,
							  wr->sg_list[0].length};
	}
	fake_unlock();
	return 0;
}

/* ---- memory windows ---- */

struct mw {
	struct ibv_mw mw;
	struct mw *next;
	bool bound;
	uint64_t addr, length;
};

static struct mw *mws;

static struct ibv_mw *alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type)
{
	static uint32_t key = 0x10000000;
	struct mw *m;

	if (fake_call("ibv_alloc_mw"))
		return NULL;
	m = calloc(1, sizeof(*m));
	m->mw = (struct ibv_mw){.context = pd->context, .pd = pd, .type = type};
	fake_lock();
	m->mw.rkey = key += 256;
	m->next = mws;
	mws = m;
	fake_unlock();
	fake_count(FAKE_MW, 1);
	return &m->mw;
}

static int dealloc_mw(struct ibv_mw *mw)
{
	struct mw **at;

	fake_lock();
	for (at = &mws; *at != (struct mw *)mw; at = &(*at)->next)
		;
	*at = (*at)->next;
	fake_unlock();
	free(mw);
	fake_count(FAKE_MW, -1);
	return 0;
}

static struct mw *window(uint32_t rkey)
{
	struct mw *m = mws;

	while (m && !(m->bound && m->mw.rkey == rkey))
		m = m->next;
	return m;
}

static enum ibv_wc_status bind_mw(const struct ibv_send_wr *wr)
{
	struct mw *m = (struct mw *)wr->bind_mw.mw;

	if (m->bound)
		return IBV_WC_MW_BIND_ERR;
	m->bound = true;
	m->mw.rkey = wr->bind_mw.rkey;
	m->addr = wr->bind_mw.bind_info.addr;
	m->length = wr->bind_mw.bind_info.length;
	return IBV_WC_SUCCESS;
}

static enum ibv_wc_status invalidate(uint32_t rkey)
{
	struct mw *m = window(rkey);

	if (!m)
		return IBV_WC_MW_BIND_ERR;
	m->bound = false;
	return IBV_WC_SUCCESS;
}

static enum ibv_wc_status read_window(const struct ibv_send_wr *wr)
{
	const struct mw *m = window(wr->wr.rdma.rkey);
	uint64_t at = wr->wr.rdma.remote_addr;
	int i;

	for (i = 0; i < wr->num_sge; i++) {
		const struct ibv_sge *sge = &wr->sg_list[i];

		if (!m || at < m->addr || sge->length > m->addr + m->length - at)
			return IBV_WC_REM_ACCESS_ERR;
		memcpy((void *)(uintptr_t)sge->addr, (const void *)(uintptr_t)at, sge->length);
		at += sge->length;
	}
	return IBV_WC_SUCCESS;
}

/* ---- queue pairs ---- */

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct qp *q;

	if (fake_call(__func__))
		return NULL;
	q = calloc(1, sizeof(*q));
	q->qp = (struct ibv_qp){.context = pd->context,
				.pd = pd,
				.send_cq = attr->send_cq,
				.recv_cq = attr->recv_cq,
				.srq = attr->srq,
				.qp_type = attr->qp_type};
	q->all = attr->sq_sig_all;
	fake_lock();
	q->qp.qp_num = ++last_num;
	q->next = qps;
	qps = q;
	fake_unlock();
	fake_count(FAKE_QP, 1);
	return &q->qp;
}

int ibv_destroy_qp(struct ibv_qp *qp)
{
	struct qp **at;

	fake_lock();
	for (at = &qps; *at != (struct qp *)qp; at = &(*at)->next)
		;
	*at = (*at)->next;
	fake_unlock();
	free(qp);
	fake_count(FAKE_QP, -1);
	return 0;
}

int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask)
{
	if (fake_call(__func__))
		return errno;
	fake_lock();
	if (mask & IBV_QP_STATE)
		qp->state = attr->qp_state;
	if (mask & IBV_QP_DEST_QPN)
		((struct qp *)qp)->dest = attr->dest_qp_num;
	fake_unlock();
	return 0;
}

static struct qp *other_end(const struct qp *q)
{
	struct qp *o = qps;

	while (o && !(o->qp.qp_num == q->dest && o->dest == q->qp.qp_num &&
		      (o->qp.state == IBV_QPS_RTR || o->qp.state == IBV_QPS_RTS)))
		o = o->next;
	return o;
}

/* Puts it into the other end's next receive. */
static enum ibv_wc_status deliver(struct qp *o, const struct ibv_send_wr *wr)
{
	struct srq *s = (struct srq *)o->qp.srq;
	struct recv *r = &s->r[s->head % ENTRIES];
	struct ibv_wc wc = {.opcode = IBV_WC_RECV, .qp_num = o->qp.qp_num};
	int i;

	if (s->head++ == s->tail)
		abort(); /* one would have to wait */
	for (i = 0; i < wr->num_sge; i++) {
		const struct ibv_sge *sge = &wr->sg_list[i];

		if (sge->length > r->bytes - wc.byte_len)
			return IBV_WC_REM_INV_REQ_ERR;
		memcpy((char *)r->at + wc.byte_len, (void *)(uintptr_t)sge->addr, sge->length);
		wc.byte_len += sge->length;
	}
	wc.wr_id = r->id;
	complete(o->qp.recv_cq, &wc);
	return IBV_WC_SUCCESS;
}

static enum ibv_wc_status execute(struct qp *q, const struct ibv_send_wr *wr)
{
	struct qp *o = other_end(q);

	if (q->qp.state == IBV_QPS_ERR)
		return IBV_WC_WR_FLUSH_ERR;
	if (!o)
		return IBV_WC_RETRY_EXC_ERR;
	switch (wr->opcode) {
	case IBV_WR_SEND:
		return deliver(o, wr);
	case IBV_WR_SEND_WITH_INV:
		return invalidate(wr->invalidate_rkey) == IBV_WC_SUCCESS ? deliver(o, wr)
									 : IBV_WC_REM_ACCESS_ERR;
	case IBV_WR_RDMA_WRITE:
		return wr->num_sge ? IBV_WC_REM_ACCESS_ERR : IBV_WC_SUCCESS;
	case IBV_WR_RDMA_READ:
		return read_window(wr);
	case IBV_WR_BIND_MW:
		return bind_mw(wr);
	case IBV_WR_LOCAL_INV:
		return invalidate(wr->invalidate_rkey);
	default:
		return IBV_WC_LOC_QP_OP_ERR;
	}
}

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct qp *q = (struct qp *)qp;

	for (; wr; wr = wr->next) {
		static const enum ibv_wc_opcode codes[] = {
			[IBV_WR_SEND] = IBV_WC_SEND,
			[IBV_WR_SEND_WITH_INV] = IBV_WC_SEND,
			[IBV_WR_RDMA_WRITE] = IBV_WC_RDMA_WRITE,
			[IBV_WR_RDMA_READ] = IBV_WC_RDMA_READ,
			[IBV_WR_BIND_MW] = IBV_WC_BIND_MW,
			[IBV_WR_LOCAL_INV] = IBV_WC_LOCAL_INV,
		};
		struct ibv_wc wc = {.wr_id = wr->wr_id, .qp_num = qp->qp_num, .opcode = codes[wr->opcode]};

		*bad = wr;
		if (fake_call("ibv_post_send"))
			return errno;
		if (qp->state != IBV_QPS_RTS && qp->state != IBV_QPS_ERR)
			return EINVAL;
		fake_lock();
		wc.status = execute(q, wr);
		if (wc.status != IBV_WC_SUCCESS)
			qp->state = IBV_QPS_ERR;
		if (wc.status != IBV_WC_SUCCESS || q->all || (wr->send_flags & IBV_SEND_SIGNALED))
			complete(qp->send_cq, &wc);
		fake_unlock();
	}
	return 0;
}

void fake_data_ops(struct ibv_context *ctx)
{
	ctx->ops.poll_cq = poll_cq;
	ctx->ops.req_notify_cq = req_notify;
	ctx->ops.post_srq_recv = post_srq_recv;
	ctx->ops.post_send = post_send;
	ctx->ops.alloc_mw = alloc_mw;
	ctx->ops.dealloc_mw = dealloc_mw;
}
