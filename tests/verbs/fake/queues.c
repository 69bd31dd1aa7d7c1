/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* queues.c - the fake's completion queues and shared receive queues.  All is under one lock. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"

struct entry {
	struct ibv_wc wc;
	bool is_send;
	uint32_t wr; /* of the queue pair */
};

struct cq {
	struct ibv_cq cq;
	bool armed;
	uint32_t head, tail;
	uint32_t entries;
	struct entry e[];
};

struct recv {
	uint64_t id;
	void *at;
	uint32_t bytes, lkey;
};

struct srq {
	struct ibv_srq srq;
	uint32_t most;
	uint32_t head, tail;
	struct recv r[];
};

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
	c = calloc(1, sizeof(*c) + (size_t)cqe * sizeof(c->e[0]));
	c->entries = (uint32_t)cqe;
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
	if (fake_call("ibv_req_notify_cq"))
		return errno;
	fake_lock();
	((struct cq *)cq)->armed = true;
	fake_unlock();
	return 0;
}

void fake_complete(struct ibv_cq *to, const struct ibv_wc *wc, bool is_send, uint32_t wr)
{
	struct cq *c = (struct cq *)to;

	if (c->tail - c->head == c->entries)
		fake_bug("a completion queue overflows");
	c->e[c->tail++ % c->entries] = (struct entry){*wc, is_send, wr};
	if (c->armed && to->channel && write(to->channel->refcnt, &to, sizeof(to)) != sizeof(to))
		abort();
	c->armed = false;
}

/* A look at an empty queue does not count as a call: how many there are is chance. */
static int poll_cq(struct ibv_cq *cq, int n, struct ibv_wc *wc)
{
	struct cq *c = (struct cq *)cq;
	int got = 0;

	fake_lock();
	if (c->head != c->tail && fake_call("ibv_poll_cq"))
		got = -1;
	while (got >= 0 && got < n && c->head != c->tail) {
		const struct entry *e = &c->e[c->head++ % c->entries];

		wc[got++] = e->wc;
		if (e->is_send)
			fake_taken(e->wc.qp_num, e->wr + 1);
	}
	fake_unlock();
	return got;
}

/* ---- receives ---- */

struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
	struct srq *s;

	if (fake_call(__func__))
		return NULL;
	s = calloc(1, sizeof(*s) + attr->attr.max_wr * sizeof(s->r[0]));
	s->srq.context = pd->context;
	s->most = attr->attr.max_wr;
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

	for (; wr; wr = wr->next) {
		struct recv r = {wr->wr_id, (void *)(uintptr_t)wr->sg_list[0].addr, wr->sg_list[0].length,
				 wr->sg_list[0].lkey};

		*bad = wr;
		if (fake_call("ibv_post_srq_recv"))
			return errno;
		fake_lock();
		if (s->tail - s->head == s->most)
			fake_bug("a receive too many is posted");
		if (!fake_key_ok(r.lkey, (uintptr_t)r.at, r.bytes))
			fake_bug("a receive that is not registered");
		s->r[s->tail++ % s->most] = r;
		fake_go_on(srq);
		fake_unlock();
	}
	return 0;
}

unsigned int fake_untaken(uint32_t qp_num)
{
	struct ibv_srq *srq;
	struct ibv_cq *cq;
	unsigned int n = 0;

	fake_lock();
	if (fake_pair(qp_num, &srq, &cq))
		n = ((struct cq *)cq)->tail - ((struct cq *)cq)->head;
	fake_unlock();
	return n;
}

unsigned int fake_receives(uint32_t qp_num)
{
	struct ibv_srq *srq;
	struct ibv_cq *cq;
	unsigned int n = 0;

	fake_lock();
	if (fake_pair(qp_num, &srq, &cq))
		n = ((struct srq *)srq)->tail - ((struct srq *)srq)->head;
	fake_unlock();
	return n;
}

bool fake_receive(struct ibv_srq *srq, struct ibv_cq *cq, uint32_t qp_num, const struct ibv_sge *sge, int n,
		  const __be32 *imm, enum ibv_wc_status *status)
{
	struct srq *s = (struct srq *)srq;
	const struct recv *r = &s->r[s->head % s->most];
	struct ibv_wc wc = {.opcode = IBV_WC_RECV, .qp_num = qp_num};
	int i;

	if (s->head == s->tail)
		return false;
	s->head++;
	wc.wr_id = r->id;
	wc.status = fake_recv_status();
	if (imm) {
		wc.wc_flags = IBV_WC_WITH_IMM;
		wc.imm_data = *imm;
	}
	for (i = 0; i < n && wc.status == IBV_WC_SUCCESS; i++) {
		if (sge[i].length > r->bytes - wc.byte_len) {
			wc.status = IBV_WC_LOC_LEN_ERR;
			break;
		}
		memcpy((char *)r->at + wc.byte_len, (void *)(uintptr_t)sge[i].addr, sge[i].length);
		wc.byte_len += sge[i].length;
	}
	*status = wc.status == IBV_WC_SUCCESS ? IBV_WC_SUCCESS : IBV_WC_REM_OP_ERR;
	fake_complete(cq, &wc, false, 0);
	return true;
}

void fake_data_ops(struct ibv_context *ctx)
{
	ctx->ops.poll_cq = poll_cq;
	ctx->ops.req_notify_cq = req_notify;
	ctx->ops.post_srq_recv = post_srq_recv;
	fake_pair_ops(ctx);
}
