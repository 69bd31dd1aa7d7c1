/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_qp.c - queue pairs, and what those of a NIC handle share: completion
 * queues, the shared receive queue, the buffers of frames.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "nic-verbs/verbs_cm.h"

#define SEND_CQ_ENTRIES 8192u
#define SEGMENTS	4u

/*
 * A peer that is dead is known after (RETRIES + 1) times the timeout, 4.096 us *
 * 2^TIMEOUT; one that is merely slow has that long to answer.  Soft-RoCE takes 7
 * retries for any number of them.
 */
#define TIMEOUT	  17
#define RETRIES	  6
#define RNR_EVER  7
#define RNR_TIMER 8 /* 0.16 ms: how soon to ask again, when the peer has no buffer */

#define BUFFER_BYTES ((size_t)(VERBS_RECVS + VERBS_SLOTS) * VERBS_BUFFER)

/* ---- of a NIC handle ---- */

static int buffers_open(struct verbs_nic *vn)
{
	char why[200];
	uint8_t *at;
	uint32_t i;
	int err;

	vn->buffers = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vn->buffers == MAP_FAILED) {
		vn->buffers = NULL;
		vip_why("no memory for the NIC handle's %zu KiB of buffers", BUFFER_BYTES >> 10);
		return -ENOMEM;
	}
	vn->buffers_mr = ibv_reg_mr(vn->pd, vn->buffers, BUFFER_BYTES, IBV_ACCESS_LOCAL_WRITE);
	if (!vn->buffers_mr) {
		err = errno;
		vip_why("device '%s' cannot be used: %s", vn->nic->device,
			verbs_why_memory(why, sizeof(why), BUFFER_BYTES, err));
		return -err;
	}
	at = vn->buffers;
	for (i = 0; i < VERBS_RECVS; i++, at += VERBS_BUFFER)
		vn->recv[i].frame = (struct verbs_frame *)at;
	for (i = 0; i < VERBS_SLOTS; i++, at += VERBS_BUFFER) {
		vn->slot[i].frame = (struct verbs_frame *)at;
		vn->slot[i].next = vn->free_slots;
		vn->free_slots = &vn->slot[i];
		vn->nfree++;
	}
	return 0;
}

/*
 * One more completion queue for sends, unless there are all that may be; armed for the progress thread, which
 * may be asleep.  0 or negative errno.
 */
static int send_cq_add(struct verbs_nic *vn)
{
	struct ibv_cq *cq = ibv_create_cq(vn->ctx, (int)(vn->cq_pairs * VERBS_WRS), NULL, vn->channel, 0);

	if (!cq)
		return errno ? -errno : -ENOMEM;
	ibv_req_notify_cq(cq, 0);
	vip_lock(&vn->lock);
	if (vn->send_cqs < VERBS_CQS) {
		vn->send_cq[vn->send_cqs] = (struct verbs_send_cq){.cq = cq};
		ka_store_release(&vn->send_cqs, vn->send_cqs + 1);
		cq = NULL;
	}
	vip_unlock(&vn->lock);
	if (cq)
		ibv_destroy_cq(cq);
	return 0;
}

static int queues_open(struct verbs_nic *vn)
{
	uint32_t most = (uint32_t)vn->dev.max_cqe;
	struct ibv_srq_init_attr srq = {.attr = {.max_wr = VERBS_RECVS, .max_sge = 1}};

	vn->cq_pairs = (most < SEND_CQ_ENTRIES ? most : SEND_CQ_ENTRIES) / VERBS_WRS;
	if (vn->cq_pairs == 0) {
		vip_why("%s has completion queues of at most %u entries: %u are needed for each connection",
			vn->nic->device, most, VERBS_WRS);
		return -EOPNOTSUPP;
	}
	vn->channel = ibv_create_comp_channel(vn->ctx);
	if (vn->channel && !fcntl(vn->channel->fd, F_SETFL, O_NONBLOCK) && !send_cq_add(vn))
		vn->recv_cq = ibv_create_cq(vn->ctx, (int)VERBS_RECVS + 1, NULL, vn->channel, 0);
	if (vn->recv_cq)
		vn->srq = ibv_create_srq(vn->pd, &srq);
	if (vn->srq)
		return 0;
	vip_why("%s has no completion queues, or no shared receive queue of %u, for another NIC handle: %s",
		vn->nic->device, VERBS_RECVS, strerror(errno));
	return errno ? -errno : -ENOMEM;
}

static int post_all(struct verbs_nic *vn)
{
	struct ibv_recv_wr wr, *bad;
	struct ibv_sge sge;
	uint32_t i;
	int err;

	for (i = 0; i < VERBS_RECVS; i++) {
		sge = (struct ibv_sge){(uintptr_t)vn->recv[i].frame, VERBS_BUFFER, vn->buffers_mr->lkey};
		wr = (struct ibv_recv_wr){.wr_id = i, .sg_list = &sge, .num_sge = 1};
		err = ibv_post_srq_recv(vn->srq, &wr, &bad);
		if (err) {
			vip_why("%s takes no receives: %s", vn->nic->device, strerror(err));
			return -err;
		}
	}
	return 0;
}

int verbs_qp_open(struct verbs_nic *vn)
{
	int err = buffers_open(vn);

	if (!err)
		err = queues_open(vn);
	if (!err)
		err = post_all(vn);
	if (err)
		verbs_qp_close(vn);
	return err;
}

void verbs_qp_close(struct verbs_nic *vn)
{
	if (vn->srq)
		ibv_destroy_srq(vn->srq);
	if (vn->recv_cq)
		ibv_destroy_cq(vn->recv_cq);
	while (vn->send_cqs)
		ibv_destroy_cq(vn->send_cq[--vn->send_cqs].cq);
	if (vn->channel)
		ibv_destroy_comp_channel(vn->channel);
	if (vn->buffers_mr)
		ibv_dereg_mr(vn->buffers_mr);
	if (vn->buffers)
		munmap(vn->buffers, BUFFER_BYTES);
	vn->srq = NULL;
	vn->recv_cq = NULL;
	vn->channel = NULL;
	vn->buffers_mr = NULL;
	vn->buffers = NULL;
	vn->free_slots = NULL;
	vn->nfree = 0;
}

/* ---- of a connection ---- */

/* What is put inline is the device's choice: all of VERBS_INLINE, or nothing. */
static struct ibv_qp *create(struct verbs_nic *vn, struct ibv_cq *send_cq, uint32_t *inline_most)
{
	struct ibv_qp_init_attr attr = {
		.send_cq = send_cq,
		.recv_cq = vn->recv_cq,
		.srq = vn->srq,
		.cap = {.max_send_wr = VERBS_WRS, .max_send_sge = SEGMENTS, .max_inline_data = VERBS_INLINE},
		.qp_type = IBV_QPT_RC,
	};
	struct ibv_qp *qp = ibv_create_qp(vn->pd, &attr);

	if (!qp) {
		attr.cap.max_inline_data = 0;
		qp = ibv_create_qp(vn->pd, &attr);
	}
	*inline_most = attr.cap.max_inline_data;
	return qp;
}

/* Room for another queue pair, if there is any. */
static struct verbs_send_cq *free_place(struct verbs_nic *vn)
{
	struct verbs_send_cq *s = NULL;
	uint32_t i;

	vip_lock(&vn->lock);
	for (i = 0; !s && i < vn->send_cqs; i++) {
		if (vn->send_cq[i].pairs < vn->cq_pairs)
			s = &vn->send_cq[i];
	}
	if (s)
		s->pairs++;
	vip_unlock(&vn->lock);
	return s;
}

static void leave_place(struct verbs_nic *vn, struct verbs_send_cq *s)
{
	vip_lock(&vn->lock);
	s->pairs--;
	vip_unlock(&vn->lock);
}

/* The same, in a new completion queue if need be: 0 or negative errno with vip_why(). */
static int take_place(struct verbs_nic *vn, struct verbs_send_cq **s)
{
	int err;

	while (!(*s = free_place(vn))) {
		if (ka_load_acquire(&vn->send_cqs) == VERBS_CQS) {
			vip_why("%s: the completion queues of a NIC handle have room for %u connections: "
				"open another one",
				vn->nic->device, VERBS_CQS * vn->cq_pairs);
			return -ENOSPC;
		}
		err = send_cq_add(vn);
		if (err) {
			vip_why("%s has no completion queue for another connection: %s", vn->nic->device,
				strerror(-err));
			return err;
		}
	}
	return 0;
}

int verbs_qp_make(struct verbs_end *e)
{
	struct verbs_nic *vn = e->vn;
	int err;

	if (e->qp)
		return 0;
	if (ka_load_acquire(&vn->failed)) {
		vip_why("%s has failed: close the NIC handle, and open it anew", vn->nic->device);
		return -EIO;
	}
	err = take_place(vn, &e->send_cq);
	if (err)
		return err;
	e->qp = create(vn, e->send_cq->cq, &e->inline_most);
	if (!e->qp) {
		err = errno ? errno : ENOMEM;
		leave_place(vn, e->send_cq);
		vip_why("%s has no queue pair for another connection: %s", vn->nic->device, strerror(err));
		return -err;
	}
	verbs_cq_enter(e);
	return 0;
}

static int step(struct verbs_end *e, const struct verbs_call *call, enum ibv_qp_state state)
{
	struct ibv_qp_attr attr = {.qp_state = state};
	int mask, err;

	if (rdma_init_qp_attr(call->id, &attr, &mask))
		return -ENOTCONN;
	switch (state) {
	case IBV_QPS_INIT:
		attr.qp_access_flags =
			IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
		break;
	case IBV_QPS_RTR:
		/* bits of RoCE's that the kernel sets for InfiniBand, too, which knows none of them */
		if (e->vn->port.link_layer == IBV_LINK_LAYER_INFINIBAND)
			mask &= ~0xe00000;
		attr.min_rnr_timer = RNR_TIMER;
		attr.max_dest_rd_atomic = call->responder_resources;
		break;
	default:
		attr.timeout = TIMEOUT;
		attr.retry_cnt = RETRIES;
		attr.rnr_retry = RNR_EVER;
		attr.max_rd_atomic = call->initiator_depth;
		break;
	}
	err = ibv_modify_qp(e->qp, &attr, mask);
	if (err)
		vip_why("%s does not bring a queue pair to state %d: %s", e->vn->nic->device, (int)state,
			strerror(err));
	return -err;
}

int verbs_qp_up(struct verbs_end *e, const struct verbs_call *call)
{
	int err = step(e, call, IBV_QPS_INIT);

	if (!err)
		err = step(e, call, IBV_QPS_RTR);
	if (!err)
		err = step(e, call, IBV_QPS_RTS);
	return err;
}

void verbs_qp_drop(struct verbs_end *e)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};

	if (!e->qp)
		return;
	/* soft-RoCE waits 50 s, in vain, to destroy a queue pair that windows are bound to; and while the
	 * peer could still read, it would be told that it may not */
	ibv_modify_qp(e->qp, &attr, IBV_QP_STATE);
	verbs_pull_drop_windows(e);
	ibv_destroy_qp(e->qp);
	e->qp = NULL;
	verbs_cq_leave(e);
	verbs_poll_device(e->vn); /* some devices leave there what it has completed: that takes room */
	leave_place(e->vn, e->send_cq);
}
