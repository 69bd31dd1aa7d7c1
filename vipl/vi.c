/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vi.c - VIs: creation, attributes, destruction, and the way out of Connected.
 *
 * The state changes only with vi->lock and both queue locks held, so whoever
 * holds one of them sees a state that stays.
 */
#include "vipl/caller.h"
#include "vipl/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long a request that shall end is given before it is told again. */
#define CANCEL_NS 10000000

/* Everything about the attributes that does not need the agent; 0 or what is wrong. */
static VIP_RETURN check_attr(struct vip_nic *nic, const VIP_VI_ATTRIBUTES *a, struct ka_vi_attr *out)
{
	uint32_t level = a->ReliabilityLevel;

	memset(out, 0, sizeof(*out));
	if (level == 0 || (level & (level - 1)) || !(level & nic->attr.ReliabilityLevelSupport))
		return vip_fail(VIP_INVALID_RELIABILITY_LEVEL,
				"reliability level 0x%x: exactly one of the bits 0x%x is wanted", level,
				nic->attr.ReliabilityLevelSupport);
	if (a->MaxTransferSize == 0 || a->MaxTransferSize > nic->attr.MaxTransferSize)
		return vip_fail(VIP_INVALID_MTU, "MaxTransferSize %lu: 1 to %lu bytes are possible",
				a->MaxTransferSize, nic->attr.MaxTransferSize);
	if (a->EnableRdmaRead && !(nic->attr.RDMAReadSupport & level))
		return vip_fail(VIP_INVALID_RDMAREAD, "RDMA read is not supported at level 0x%x", level);
	out->tag = vip_tag_of(nic, a->Ptag);
	if (!out->tag)
		return vip_fail(VIP_INVALID_PTAG, "not a protection tag of this NIC handle");
	out->level = level;
	out->max_transfer = a->MaxTransferSize;
	out->qos = (uintptr_t)a->QoS;
	out->rdma = (a->EnableRdmaWrite ? KA_R_RDMA_WRITE : 0) | (a->EnableRdmaRead ? KA_R_RDMA_READ : 0);
	return VIP_SUCCESS;
}

static void both_locks(struct vip_vi *vi)
{
	vip_lock(&vi->q[VIP_SQ].lock);
	vip_lock(&vi->q[VIP_RQ].lock);
}

static void both_unlocks(struct vip_vi *vi)
{
	vip_unlock(&vi->q[VIP_RQ].lock);
	vip_unlock(&vi->q[VIP_SQ].lock);
}

void vip_vi_state(struct vip_vi *vi, VIP_VI_STATE state)
{
	both_locks(vi);
	vi->state = state;
	both_unlocks(vi);
}

/* A send queue that is attached has its CQ's word; a receive queue has its own, which leads there. */
static int get_words(struct vip_nic *nic, struct vip_vi *vi, struct vip_cq *send_cq)
{
	int err;

	ka_store_relaxed(&vi->q[VIP_SQ].cq, NULL);
	ka_store_relaxed(&vi->q[VIP_RQ].cq, NULL);
	err = vip_word_get(nic, &vi->q[VIP_RQ].word);
	if (err)
		return err;
	if (send_cq)
		vi->q[VIP_SQ].word = send_cq->word;
	else
		err = vip_word_get(nic, &vi->q[VIP_SQ].word);
	if (err)
		vip_word_put(nic, vi->q[VIP_RQ].word);
	else
		ka_store_release(&nic->by_word[vi->q[VIP_RQ].word], vi);
	return err;
}

static void put_words(struct vip_vi *vi, const struct vip_cq *send_cq)
{
	struct vip_nic *nic = vi->nic;

	ka_store_release(&nic->by_word[vi->q[VIP_RQ].word], NULL);
	vip_word_put(nic, vi->q[VIP_RQ].word);
	if (!send_cq)
		vip_word_put(nic, vi->q[VIP_SQ].word);
}

static struct vip_vi *vi_new(struct vip_nic *nic)
{
	bool fresh;
	struct vip_vi *vi = vip_obj_new(VIP_T_VI, sizeof(*vi), &fresh);

	if (!vi)
		return NULL;
	if (fresh) {
		pthread_mutex_init(&vi->lock, NULL);
		pthread_cond_init(&vi->requested, NULL);
		pthread_cond_init(&vi->peer.ended, NULL);
		vi->q[VIP_SQ].vi = vi->q[VIP_RQ].vi = vi;
	}
	if (vip_queue_init(&vi->q[VIP_SQ], (uint32_t)nic->attr.MaxDescriptorsPerQueue) ||
	    vip_queue_init(&vi->q[VIP_RQ], (uint32_t)nic->attr.MaxDescriptorsPerQueue)) {
		vip_obj_free(vi);
		return NULL;
	}
	return vi;
}

/* Under the locks: who has found the object through a stale handle may be looking. */
static void begin(struct vip_vi *vi, uint32_t id, const struct ka_vi_attr *attr, VIP_PROTECTION_HANDLE ptag)
{
	pthread_mutex_lock(&vi->lock);
	both_locks(vi);
	ka_store_relaxed(&vi->id, id);
	vi->attr = *attr;
	vi->ptag = ptag;
	vi->state = VIP_STATE_IDLE;
	both_unlocks(vi);
	pthread_mutex_unlock(&vi->lock);
}

VIP_EXPORT VIP_RETURN VipCreateVi(VIP_NIC_HANDLE nh, VIP_VI_ATTRIBUTES *attr, VIP_CQ_HANDLE scq,
				  VIP_CQ_HANDLE rcq, VIP_VI_HANDLE *out)
{
	struct vip_nic *nic = vip_nic_find(nh);
	struct ka_req req = {.op = KA_OP_VI_CREATE};
	struct ka_rep rep;
	struct vip_cq *cq[2];
	struct vip_vi *vi;
	VIP_RETURN r;
	int i, err;

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!attr || !out)
		return vip_bad("no attributes, or no place for the handle");
	pthread_mutex_lock(&nic->lock);
	cq[VIP_SQ] = vip_obj_find(scq, VIP_T_CQ);
	cq[VIP_RQ] = vip_obj_find(rcq, VIP_T_CQ);
	if (!vip_obj_is(nic, nh)) {
		r = vip_bad("not a NIC handle");
		goto unlock;
	}
	if ((scq && (!cq[VIP_SQ] || cq[VIP_SQ]->nic != nic)) ||
	    (rcq && (!cq[VIP_RQ] || cq[VIP_RQ]->nic != nic))) {
		r = vip_bad("not a completion queue of this NIC handle");
		goto unlock;
	}
	r = check_attr(nic, attr, &req.u.vi.attr);
	if (r != VIP_SUCCESS)
		goto unlock;
	r = VIP_ERROR_RESOURCE;
	vi = vi_new(nic);
	if (!vi) {
		vip_fail(r, "no memory for a VI");
		goto unlock;
	}
	ka_store_relaxed(&vi->nic, nic);
	if (nic->ops->vi_new(vi)) {
		vip_fail(r, "no memory for a VI");
		goto free_vi;
	}
	if (get_words(nic, vi, cq[VIP_SQ])) {
		vip_fail(r, "no memory for a VI");
		goto free_priv;
	}
	req.u.vi.attr.wake_send = vi->q[VIP_SQ].word;
	req.u.vi.attr.wake_recv = vi->q[VIP_RQ].word;
	err = vip_call(nic, &req, &rep, NULL);
	if (err) {
		r = vip_fail(vip_return(err), NULL);
		put_words(vi, cq[VIP_SQ]);
		goto free_priv;
	}
	begin(vi, rep.u.vi.vi, &req.u.vi.attr, attr->Ptag);
	*out = vip_obj_publish(vi);
	for (i = 0; i < 2; i++) {
		if (cq[i])
			vip_cq_attach(cq[i], vi, i);
	}
	r = VIP_SUCCESS;
	goto unlock;

free_priv:
	nic->ops->vi_free(vi);
free_vi:
	vip_obj_free(vi);
unlock:
	pthread_mutex_unlock(&nic->lock);
	return r;
}

/*
 * Leave Connected: no byte moves for the connection any more, then take what
 * has completed, then flush the rest.  vi->lock held.
 */
static void leave_connected(struct vip_vi *vi, VIP_VI_STATE state)
{
	const struct nic_ops *ops = vi->nic->ops;

	ops->sever(vi);
	both_locks(vi);
	vi->q[VIP_SQ].careful = vi->q[VIP_RQ].careful = true; /* whose thread this is, nobody knows */
	ops->poll(vi, VIP_RQ); /* first what may answer the other queue's reads */
	ops->poll(vi, VIP_SQ);
	ops->detach(vi);
	vi->state = state;
	vip_flush(vi, VIP_SQ);
	vip_flush(vi, VIP_RQ);
	both_unlocks(vi);
}

/* Until the thread inside VipConnectRequest puts the VI to Idle; vi->lock held. */
static void cancel_request(struct vip_vi *vi)
{
	vi->cancel = true;
	while (vi->state == VIP_STATE_CONNECT_PENDING) {
		struct timespec again;

		/* again and again: it may not have asked the agent yet */
		vi->nic->ops->disconnect(vi);
		clock_gettime(CLOCK_REALTIME, &again);
		again.tv_nsec += CANCEL_NS;
		if (again.tv_nsec >= 1000000000) {
			again.tv_nsec -= 1000000000;
			again.tv_sec++;
		}
		pthread_cond_timedwait(&vi->requested, &vi->lock, &again);
	}
}

void vip_vi_end(struct vip_vi *vi, VIP_VI_STATE state)
{
	bool peer = vi->peer.pending;

	if (state == VIP_STATE_IDLE)
		vip_peer_drop(vi);
	else if (peer)
		vip_peer_fail(vi, -ECONNRESET);
	switch (vi->state) {
	case VIP_STATE_CONNECTED:
		leave_connected(vi, state);
		break;
	case VIP_STATE_CONNECT_PENDING:
		if (peer)
			vi->nic->ops->disconnect(vi);
		else
			cancel_request(vi);
		__attribute__((fallthrough));
	case VIP_STATE_IDLE:
	case VIP_STATE_ERROR:
		both_locks(vi);
		vi->state = state;
		vip_flush(vi, VIP_SQ);
		vip_flush(vi, VIP_RQ);
		both_unlocks(vi);
		break;
	}
}

void vip_vi_check(struct vip_vi *vi)
{
	enum nic_down down = NIC_UP;

	pthread_mutex_lock(&vi->lock);
	if (vi->state == VIP_STATE_CONNECTED)
		down = vi->nic->ops->down(vi);
	if (down != NIC_UP) {
		leave_connected(vi, VIP_STATE_ERROR);
		/* who has the error in a descriptor gets no CONN_LOST besides */
		if (down == NIC_ERROR && !vi->q[VIP_SQ].errors && !vi->q[VIP_RQ].errors)
			down = NIC_LOST;
		if (down == NIC_LOST)
			vip_async(vi->nic, vi, VIP_ERROR_CONN_LOST, VIP_RESOURCE_VI, NULL);
		else if (down == NIC_RECVQ_EMPTY)
			vip_async(vi->nic, vi, VIP_ERROR_RECVQ_EMPTY, VIP_RESOURCE_VI, NULL);
	}
	pthread_mutex_unlock(&vi->lock);
}

/*
 * No handle any more, nobody to notify, off its CQs, back to the free ones;
 * vi->lock held, and released.
 */
static void vi_free(struct vip_vi *vi, struct vip_caller **ending)
{
	void *handle = vip_obj_handle(vi);
	const struct vip_cq *send_cq = vi->q[VIP_SQ].cq;
	int i;

	vip_peer_drop(vi);
	both_locks(vi);
	vip_obj_retire(vi);
	vip_notify_end(&vi->q[VIP_SQ].notifier, ending);
	vip_notify_end(&vi->q[VIP_RQ].notifier, ending);
	both_unlocks(vi);
	pthread_mutex_unlock(&vi->lock);
	for (i = 0; i < 2; i++) {
		vip_wake_queue(vi, i);
		if (vi->q[i].cq)
			vip_cq_detach(vi, i, handle);
	}
	put_words(vi, send_cq);
	vi->nic->ops->vi_free(vi);
	vip_obj_free(vi);
}

void vip_vi_teardown(struct vip_vi *vi, struct vip_caller **ending)
{
	pthread_mutex_lock(&vi->lock);
	vip_vi_end(vi, VIP_STATE_IDLE);
	vi_free(vi, ending);
}

VIP_EXPORT VIP_RETURN VipDestroyVi(VIP_VI_HANDLE h)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);
	struct vip_nic *nic = vi ? ka_load_relaxed(&vi->nic) : NULL;
	struct ka_req req = {.op = KA_OP_VI_DESTROY};
	struct vip_caller *ending = NULL;
	struct ka_rep rep;
	VIP_RETURN r;

	if (!vi)
		return vip_bad("not a VI handle");
	pthread_mutex_lock(&nic->lock);
	pthread_mutex_lock(&vi->lock);
	if (!vip_obj_is(vi, h)) {
		r = vip_bad("not a VI handle");
	} else if (vi->state != VIP_STATE_IDLE) {
		r = vip_fail(VIP_INVALID_STATE, "the VI is not idle: VipDisconnect first");
	} else if (vi->q[VIP_SQ].head != vi->q[VIP_SQ].tail || vi->q[VIP_RQ].head != vi->q[VIP_RQ].tail) {
		r = vip_fail(VIP_ERROR_RESOURCE, "descriptors are still queued: take them out first");
	} else {
		req.u.vi.vi = vi->id;
		vip_call(nic, &req, &rep, NULL); /* an agent that has gone has no VI either */
		vi_free(vi, &ending);
		pthread_mutex_unlock(&nic->lock);
		vip_callers_end(ending);
		return VIP_SUCCESS;
	}
	pthread_mutex_unlock(&vi->lock);
	pthread_mutex_unlock(&nic->lock);
	return r;
}

VIP_EXPORT VIP_RETURN VipSetViAttributes(VIP_VI_HANDLE h, VIP_VI_ATTRIBUTES *attr)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);
	struct ka_req req = {.op = KA_OP_VI_SET};
	struct vip_nic *nic = vi ? ka_load_relaxed(&vi->nic) : NULL;
	struct ka_rep rep;
	VIP_RETURN r;
	int err;

	if (!vi)
		return vip_bad("not a VI handle");
	if (!attr)
		return vip_bad("no attributes");
	pthread_mutex_lock(&nic->lock);
	pthread_mutex_lock(&vi->lock);
	if (!vip_obj_is(vi, h)) {
		r = vip_bad("not a VI handle");
		goto unlock;
	}
	if (vi->state != VIP_STATE_IDLE) {
		r = vip_fail(VIP_INVALID_STATE, "the VI is not idle");
		goto unlock;
	}
	r = check_attr(nic, attr, &req.u.vi.attr);
	if (r != VIP_SUCCESS)
		goto unlock;
	req.u.vi.vi = vi->id;
	req.u.vi.attr.wake_send = vi->q[VIP_SQ].word;
	req.u.vi.attr.wake_recv = vi->q[VIP_RQ].word;
	err = vip_call(nic, &req, &rep, NULL);
	if (err) {
		r = vip_fail(vip_return(err), NULL);
		goto unlock;
	}
	both_locks(vi);
	vi->attr = req.u.vi.attr;
	vi->ptag = attr->Ptag;
	both_unlocks(vi);
unlock:
	pthread_mutex_unlock(&vi->lock);
	pthread_mutex_unlock(&nic->lock);
	return r;
}

VIP_EXPORT VIP_RETURN VipQueryVi(VIP_VI_HANDLE h, VIP_VI_STATE *state, VIP_VI_ATTRIBUTES *attr,
				 VIP_BOOLEAN *send_empty, VIP_BOOLEAN *recv_empty)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);

	if (!vi)
		return vip_bad("not a VI handle");
	if (!state || !attr || !send_empty || !recv_empty)
		return vip_bad("no place for an answer");
	vip_vi_check(vi);
	pthread_mutex_lock(&vi->lock);
	both_locks(vi);
	if (!vip_obj_is(vi, h)) {
		both_unlocks(vi);
		pthread_mutex_unlock(&vi->lock);
		return vip_bad("not a VI handle");
	}
	*state = vi->state;
	*attr = (VIP_VI_ATTRIBUTES){
		.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)vi->attr.level,
		.MaxTransferSize = vi->attr.max_transfer,
		.QoS = (VIP_QOS)(uintptr_t)vi->attr.qos, /* NOLINT(performance-no-int-to-ptr) */
		.Ptag = vi->ptag,
		.EnableRdmaWrite = !!(vi->attr.rdma & KA_R_RDMA_WRITE),
		.EnableRdmaRead = !!(vi->attr.rdma & KA_R_RDMA_READ),
	};
	*send_empty = vi->q[VIP_SQ].head == vi->q[VIP_SQ].tail;
	*recv_empty = vi->q[VIP_RQ].head == vi->q[VIP_RQ].tail;
	both_unlocks(vi);
	pthread_mutex_unlock(&vi->lock);
	return VIP_SUCCESS;
}
