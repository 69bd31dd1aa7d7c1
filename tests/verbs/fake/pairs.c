/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pairs.c - the fake's queue pairs and memory windows.  What is posted is done
 * before the call returns, unless the other side has no receive for it, or the device is
 * held: then it waits in its queue.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

#define DEPTH  256u
#define SGES   4
#define INLINE 256u
#define CODES  16

/* A work request, with what was inline. */
struct wr {
	struct ibv_send_wr wr;
	struct ibv_sge sge[SGES];
	uint8_t data[INLINE];
	bool begun;
};

struct qp {
	struct ibv_qp qp;
	struct qp *next;
	uint32_t dest;
	uint32_t most;	     /* requests in its queue, which takes them until they are known to have ended */
	int all;	     /* all sends are signalled */
	uint32_t head, tail; /* requests that have ended, that were posted; of the former known are: */
	uint32_t taken;
	struct wr w[DEPTH];
};

static struct qp *qps; /* the newest first */
static uint32_t last_num = 99;
static bool held;
static unsigned int posted[CODES];

static struct qp *pair(uint32_t qp_num)
{
	struct qp *q = qps;

	while (q && q->qp.qp_num != qp_num)
		q = q->next;
	return q;
}

uint32_t fake_qp_num(const struct ibv_context *ctx)
{
	uint32_t num = 0;
	struct qp *q;

	fake_lock();
	for (q = qps; q && !num; q = q->next)
		num = !ctx || q->qp.context == ctx ? q->qp.qp_num : 0;
	fake_unlock();
	return num;
}

bool fake_pair(uint32_t qp_num, struct ibv_srq **srq, struct ibv_cq **cq)
{
	const struct qp *q = pair(qp_num);

	if (!q || (q->qp.state != IBV_QPS_RTR && q->qp.state != IBV_QPS_RTS))
		return false;
	*srq = q->qp.srq;
	*cq = q->qp.recv_cq;
	return true;
}

void fake_taken(uint32_t qp_num, uint32_t ended)
{
	struct qp *q = pair(qp_num);

	if (q)
		q->taken = ended;
}

/* ---- memory windows ---- */

struct mw {
	struct ibv_mw mw;
	struct mw *next;
	const struct ibv_mr *mr; /* NULL: not bound */
	uint32_t rkey;		 /* the device's; the user writes down his own in mw.rkey */
	uint32_t qp_num;
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

/* A key is good for one queue pair and its other end. */
static struct mw *window(uint32_t rkey, uint32_t qp_num)
{
	struct mw *m = mws;

	while (m && !(m->mr && m->rkey == rkey && m->qp_num == qp_num))
		m = m->next;
	return m;
}

unsigned int fake_bound(const struct ibv_mr *mr)
{
	const struct mw *m;
	unsigned int n = 0;

	for (m = mws; m; m = m->next)
		n += m->mr == mr;
	return n;
}

static enum ibv_wc_status bind_mw(const struct qp *q, const struct ibv_send_wr *wr)
{
	struct mw *m = mws;
	const struct ibv_mw_bind_info *info = &wr->bind_mw.bind_info;

	while (m && &m->mw != wr->bind_mw.mw)
		m = m->next;
	if (!m || m->mr) /* it may have been freed since */
		return IBV_WC_MW_BIND_ERR;
	if (!fake_key_ok(info->mr->lkey, info->addr, (uint32_t)info->length))
		fake_bug("a window of memory that is not registered");
	m->mr = info->mr;
	m->qp_num = q->qp.qp_num;
	m->rkey = wr->bind_mw.rkey;
	m->addr = info->addr;
	m->length = info->length;
	return IBV_WC_SUCCESS;
}

static bool invalidate(uint32_t rkey, uint32_t qp_num)
{
	struct mw *m = window(rkey, qp_num);

	if (m)
		m->mr = NULL;
	return m;
}

static const void *window_at(uint32_t qp_num, uint32_t rkey, uint64_t addr, uint32_t length)
{
	const struct mw *m = window(rkey, qp_num);

	if (!m || addr < m->addr || length > m->length || addr - m->addr > m->length - length)
		return NULL;
	return (const void *)(uintptr_t)addr;
}

static enum ibv_wc_status read_window(const struct qp *q, const struct ibv_send_wr *wr)
{
	uint64_t at = wr->wr.rdma.remote_addr;
	int i;

	for (i = 0; i < wr->num_sge; i++) {
		const struct ibv_sge *sge = &wr->sg_list[i];
		const void *from = fake_is_peers(q->qp.qp_num)
					   ? fake_window_at(wr->wr.rdma.rkey, at, sge->length)
					   : window_at(q->dest, wr->wr.rdma.rkey, at, sge->length);

		if (!from)
			return IBV_WC_REM_ACCESS_ERR;
		memcpy((void *)(uintptr_t)sge->addr, from, sge->length);
		at += sge->length;
	}
	return IBV_WC_SUCCESS;
}

unsigned int fake_posted(enum ibv_wr_opcode code)
{
	unsigned int n;

	fake_lock();
	n = posted[code];
	fake_unlock();
	return n;
}

/* ---- what a queue pair does ---- */

static struct qp *other_end(const struct qp *q)
{
	struct qp *o = pair(q->dest);

	return o && o->dest == q->qp.qp_num && (o->qp.state == IBV_QPS_RTR || o->qp.state == IBV_QPS_RTS)
		       ? o
		       : NULL;
}

/* False: it must wait. */
static bool deliver(const struct qp *q, struct qp *o, const struct ibv_send_wr *wr,
		    enum ibv_wc_status *status)
{
	const __be32 *imm = wr->opcode == IBV_WR_SEND_WITH_IMM ? &wr->imm_data : NULL;

	if (fake_is_peers(q->qp.qp_num)) {
		fake_hear(wr->sg_list, wr->num_sge, imm);
		return true;
	}
	if (fake_is_peers(o->qp.qp_num))
		return true; /* the test speaks for this end */
	if (!fake_receive(o->qp.srq, o->qp.recv_cq, o->qp.qp_num, wr->sg_list, wr->num_sge, imm, status))
		return false;
	if (*status != IBV_WC_SUCCESS)
		o->qp.state = IBV_QPS_ERR;
	return true;
}

static bool execute(struct qp *q, const struct ibv_send_wr *wr, enum ibv_wc_status *status)
{
	struct qp *o = other_end(q);

	*status = IBV_WC_RETRY_EXC_ERR;
	if (!o)
		return true;
	*status = IBV_WC_SUCCESS;
	switch (wr->opcode) {
	case IBV_WR_SEND_WITH_INV:
		if (!fake_is_peers(q->qp.qp_num) && !invalidate(wr->invalidate_rkey, o->qp.qp_num)) {
			*status = IBV_WC_REM_ACCESS_ERR;
			return true;
		}
		return deliver(q, o, wr, status);
	case IBV_WR_SEND:
	case IBV_WR_SEND_WITH_IMM:
		return deliver(q, o, wr, status);
	case IBV_WR_RDMA_WRITE:
		*status = wr->num_sge ? IBV_WC_REM_ACCESS_ERR : IBV_WC_SUCCESS;
		break;
	case IBV_WR_RDMA_READ:
		*status = read_window(q, wr);
		break;
	case IBV_WR_BIND_MW:
		*status = bind_mw(q, wr);
		break;
	case IBV_WR_LOCAL_INV:
		*status = invalidate(wr->invalidate_rkey, q->qp.qp_num) ? IBV_WC_SUCCESS : IBV_WC_MW_BIND_ERR;
		break;
	default:
		*status = IBV_WC_LOC_QP_OP_ERR;
	}
	return true;
}

static void end_wr(struct qp *q, enum ibv_wc_status status)
{
	static const enum ibv_wc_opcode codes[] = {
		[IBV_WR_SEND] = IBV_WC_SEND,	       [IBV_WR_SEND_WITH_IMM] = IBV_WC_SEND,
		[IBV_WR_SEND_WITH_INV] = IBV_WC_SEND,  [IBV_WR_RDMA_WRITE] = IBV_WC_RDMA_WRITE,
		[IBV_WR_RDMA_READ] = IBV_WC_RDMA_READ, [IBV_WR_BIND_MW] = IBV_WC_BIND_MW,
		[IBV_WR_LOCAL_INV] = IBV_WC_LOCAL_INV,
	};
	const struct ibv_send_wr *wr = &q->w[q->head % DEPTH].wr;
	struct ibv_wc wc = {
		.wr_id = wr->wr_id, .qp_num = q->qp.qp_num, .opcode = codes[wr->opcode], .status = status};

	if (status != IBV_WC_SUCCESS)
		q->qp.state = IBV_QPS_ERR;
	if (status != IBV_WC_SUCCESS || q->all || (wr->send_flags & IBV_SEND_SIGNALED))
		fake_complete(q->qp.send_cq, &wc, true, q->head);
	q->head++;
}

/* As far as it goes. */
static void run(struct qp *q)
{
	while (q->head != q->tail) {
		struct wr *w = &q->w[q->head % DEPTH];
		enum ibv_wc_status status = IBV_WC_SUCCESS;

		if (q->qp.state == IBV_QPS_ERR) {
			end_wr(q, IBV_WC_WR_FLUSH_ERR);
			continue;
		}
		if (held)
			return;
		if (!w->begun)
			status = fake_send_status();
		w->begun = true;
		if (status == IBV_WC_SUCCESS && !execute(q, &w->wr, &status))
			return;
		end_wr(q, status);
	}
}

void fake_go_on(const struct ibv_srq *srq)
{
	struct qp *q;
	const struct qp *o;

	for (q = qps; q; q = q->next) {
		o = q->head != q->tail ? other_end(q) : NULL;
		if (o && o->qp.srq == srq)
			run(q);
	}
}

void fake_hold(bool hold)
{
	struct qp *q;

	fake_lock();
	held = hold;
	for (q = qps; q && !hold; q = q->next)
		run(q);
	fake_unlock();
}

/* ---- the calls ---- */

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct qp *q;

	if (fake_call(__func__))
		return NULL;
	if (attr->cap.max_inline_data > INLINE || attr->cap.max_send_wr > DEPTH ||
	    attr->cap.max_send_sge > SGES) {
		errno = EINVAL;
		return NULL;
	}
	if (fake.no_inline && attr->cap.max_inline_data) {
		errno = EINVAL;
		return NULL;
	}
	q = calloc(1, sizeof(*q));
	q->qp = (struct ibv_qp){.context = pd->context,
				.pd = pd,
				.send_cq = attr->send_cq,
				.recv_cq = attr->recv_cq,
				.srq = attr->srq,
				.qp_type = attr->qp_type};
	q->all = attr->sq_sig_all;
	q->most = attr->cap.max_send_wr;
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
	struct mw *m;

	fake_lock();
	for (at = &qps; *at != (struct qp *)qp; at = &(*at)->next)
		;
	*at = (*at)->next;
	for (m = mws; m; m = m->next) { /* soft-RoCE waits for such a window, in vain */
		if (m->mr && m->qp_num == qp->qp_num)
			fake_bug("a queue pair is destroyed, and a window is bound to it");
	}
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
	run((struct qp *)qp);
	fake_unlock();
	return 0;
}

static bool is_local(const struct wr *w)
{
	return w->wr.opcode == IBV_WR_BIND_MW || w->wr.opcode == IBV_WR_LOCAL_INV;
}

/* What is not complete does the device again, with all behind it, when a packet is lost. */
static void no_repeat(const struct qp *q, const char *what)
{
	uint32_t i;

	for (i = q->head; fake.soft_roce && i != q->tail; i++) {
		if (!is_local(&q->w[i % DEPTH]))
			fake_bug(what);
	}
}

/* It is in the queue; with fake_lock held. */
static void enqueue(struct qp *q, const struct ibv_send_wr *wr)
{
	struct wr *w = &q->w[q->tail % DEPTH];
	uint32_t used = 0;
	int i;

	if (q->tail - q->taken == q->most)
		fake_bug("a send queue overflows");
	posted[wr->opcode % CODES]++;
	if (wr->opcode == IBV_WR_BIND_MW)
		no_repeat(q, "a window is bound behind a request that is not complete");
	if (wr->opcode == IBV_WR_LOCAL_INV)
		no_repeat(q, "a window is invalidated behind a request that is not complete");
	w->wr = *wr;
	w->wr.sg_list = w->sge;
	w->begun = false;
	for (i = 0; i < wr->num_sge; i++) {
		const struct ibv_sge *sge = &wr->sg_list[i];

		w->sge[i] = *sge;
		if (!(wr->send_flags & IBV_SEND_INLINE)) {
			if (!fake_key_ok(sge->lkey, sge->addr, sge->length))
				fake_bug("a work request with memory that is not registered");
			continue;
		}
		if (sge->length > INLINE - used)
			fake_bug("more is inline than may be");
		memcpy(w->data + used, (const void *)(uintptr_t)sge->addr, sge->length);
		w->sge[i].addr = (uintptr_t)(w->data + used);
		used += sge->length;
	}
	q->tail++;
}

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct qp *q = (struct qp *)qp;

	for (; wr; wr = wr->next) {
		*bad = wr;
		if (fake_call("ibv_post_send"))
			return errno;
		fake_lock();
		if (qp->state != IBV_QPS_RTS && qp->state != IBV_QPS_ERR) {
			fake_unlock();
			return EINVAL;
		}
		enqueue(q, wr);
		run(q);
		fake_unlock();
	}
	return 0;
}

void fake_pair_ops(struct ibv_context *ctx)
{
	ctx->ops.post_send = post_send;
	ctx->ops.alloc_mw = alloc_mw;
	ctx->ops.dealloc_mw = dealloc_mw;
}
