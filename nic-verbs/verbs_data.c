/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* verbs_data.c - a connection's data path: how it begins, is polled, and ends. */
#include "nic-verbs/verbs.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long VipDisconnect waits until the device has delivered what was sent: a peer that is there has it
 * sooner. */
#define SEVER_MS 2000u
#define SPINS	 200 /* looks before it sleeps between them */
#define NAP_US	 100u

void verbs_begin(struct verbs_end *e)
{
	e->next_desc = e->vi->q[VIP_SQ].done;
	e->next_seq = 0;
	e->out.open = false;
	e->tx_kept.handle = e->rx_kept.handle = 0;
	e->reads_asked = e->reads_answered = 0;
	e->wants = e->wants_answered = 0;
	e->broken = e->failed = e->gave_up = false;
	e->ending = NIC_UP;
	e->unfinished = 0;
	e->beat = 0;
	e->expected = e->told = e->acked = e->failed_at = 0;
	e->in.open = false;
	ka_store_relaxed(&e->pull.open, false);
	ka_store_relaxed(&e->pull.busy, false);
	e->pulls_begun = e->pulls_ended = 0;
	e->bind_waits = 0;
	ka_store_relaxed(&e->held, NULL);
	e->tells = false;
	e->vi->link = e;
}

void verbs_ready(struct vip_vi *vi)
{
	struct verbs_end *e = vi->priv;

	ka_store_release(&e->ready, 1);
	verbs_todo(e); /* what has come before, and its end */
	verbs_kick(e->vn);
}

/* ---- polling ---- */

static void poll_send(struct verbs_end *e)
{
	struct vip_vi *vi = e->vi;

	/* the answers come with what the peer sends */
	if (verbs_has_come(e)) {
		if (vip_queue_try(&vi->q[VIP_RQ])) {
			verbs_drain(e);
			vip_queue_leave(&vi->q[VIP_RQ]);
		} else { /* whoever holds it may have looked before */
			verbs_todo(e);
			verbs_kick(e->vn);
		}
	}
	verbs_pump(e);
}

static void poll_recv(struct verbs_end *e)
{
	struct vip_vi *vi = e->vi;
	bool more = verbs_has_come(e) && verbs_drain(e);

	/* who polls for an answer is there to finish the question, too */
	if (!more && !ka_load_relaxed(&e->unfinished))
		return;
	if (vip_queue_try(&vi->q[VIP_SQ])) {
		verbs_pump(e);
		vip_queue_leave(&vi->q[VIP_SQ]);
	} else if (more) { /* whoever holds it may have looked before */
		verbs_todo(e);
		verbs_kick(e->vn);
	}
}

void verbs_poll(struct vip_vi *vi, int queue)
{
	struct verbs_end *e = vi->link;

	if (!vi->q[queue].careful)
		verbs_polled(e);
	verbs_poll_try(e->vn, e);
	if (queue == VIP_SQ)
		poll_send(e);
	else
		poll_recv(e);
}

void verbs_look(struct vip_nic *nic)
{
	struct verbs_nic *vn = verbs_nic(nic);

	if (!vip_foreign)
		verbs_called(vn);
	verbs_poll_try(vn, NULL);
}

enum nic_down verbs_down(struct vip_vi *vi)
{
	const struct verbs_end *e = vi->link;

	if (ka_load_relaxed(&vi->nic->dead))
		return e ? NIC_DEAD : NIC_UP;
	return e ? (enum nic_down)ka_load_acquire(&e->down) : NIC_UP;
}

void verbs_post_recv(struct vip_vi *vi, uint64_t n, bool plain)
{
	(void)vi; /* it is read when its message comes */
	(void)n;
	(void)plain;
}

/* ---- the end ---- */

/* VERBS_DOWN, if it has not gone out yet; what came before it was told before. */
static void tell_down(struct verbs_end *e)
{
	struct verbs_frame f;

	vip_lock(&e->wire);
	f = e->last_words;
	e->last_words.type = 0;
	vip_unlock(&e->wire);
	if (f.type && !ka_load_relaxed(&e->severed) && !verbs_tell(e, &f, VERBS_WRS, true)) {
		vip_lock(&e->wire);
		e->last_words = f;
		vip_unlock(&e->wire);
	}
}

static void set_down(struct verbs_end *e, enum nic_down cause, const struct verbs_frame *last_words)
{
	uint32_t up = NIC_UP;

	if (!__atomic_compare_exchange_n(&e->down, &up, cause, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	if (last_words) {
		vip_lock(&e->wire);
		e->last_words = *last_words;
		e->told_down = true;
		vip_unlock(&e->wire);
		tell_down(e);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* whoever goes to sleep looks after he has said so */
	vip_wake_queue(e->vi, VIP_RQ);
	vip_wake_queue(e->vi, VIP_SQ);
	verbs_todo(e);
	verbs_kick(e->vn);
}

void verbs_set_down(struct verbs_end *e, enum nic_down cause, uint32_t error, uint64_t seq)
{
	const struct verbs_frame f = {
		.type = VERBS_DOWN,
		.reason = cause == NIC_RECVQ_EMPTY ? VERBS_EMPTY : VERBS_ERROR,
		.error = verbs_reception(e) ? error : 0,
		.seq = verbs_reception(e) ? seq : 0,
	};

	set_down(e, cause, &f);
}

void verbs_peer_down(struct verbs_end *e, enum nic_down cause)
{
	set_down(e, cause, NULL);
}

void verbs_gone(struct verbs_end *e)
{
	struct vip_queue *q = &e->vi->q[VIP_RQ];

	verbs_poll_device(e->vn);
	vip_queue_enter(q);
	if (ka_load_acquire(&e->ready))
		verbs_drain(e);
	if (!ka_load_acquire(&e->down))
		ka_store_release(&e->transport, 1);
	verbs_peer_down(e, NIC_LOST);
	vip_queue_leave(q);
}

static void both_locks(struct vip_vi *vi)
{
	vip_lock(&vi->q[VIP_SQ].lock);
	vip_lock(&vi->q[VIP_RQ].lock);
	vi->q[VIP_SQ].careful = vi->q[VIP_RQ].careful = true; /* whose thread this is, nobody knows */
}

static void both_unlocks(struct vip_vi *vi)
{
	vip_queue_leave(&vi->q[VIP_RQ]);
	vip_queue_leave(&vi->q[VIP_SQ]);
}

/* Until the peer's device has all that was sent, the last words among it: they stand for sends that were
 * complete. */
static void deliver(struct verbs_end *e)
{
	uint64_t end = vip_now_ms() + SEVER_MS;
	int i = 0;

	for (;;) {
		verbs_poll_device(e->vn);
		tell_down(e);
		if (ka_load_acquire(&e->ended) == ka_load_acquire(&e->posted) &&
		    !ka_load_relaxed(&e->last_words.type))
			return;
		if (vip_now_ms() >= end)
			break;
		if (i++ < SPINS)
			sched_yield();
		else
			usleep(NAP_US);
	}
	vip_log(VIP_LOG_WARN, "%s: a peer was not told within %u ms that its connection has ended",
		e->vn->nic->device, SEVER_MS);
}

void verbs_sever(struct vip_vi *vi)
{
	const struct verbs_frame f = {.type = VERBS_DOWN, .reason = VERBS_DISCONNECT};
	struct verbs_end *e = vi->link;

	verbs_poll_device(e->vn);
	both_locks(vi);
	verbs_drain(e); /* what is in place is told as such */
	set_down(e, NIC_LOST, &f);
	both_unlocks(vi);
	if (e->told_down && !ka_load_acquire(&e->transport))
		deliver(e);
	both_locks(vi);
	verbs_drain(e); /* what has come meanwhile */
	ka_store_release(&e->severed, 1);
	both_unlocks(vi);
	verbs_cm_leave(e);
}

void verbs_detach(struct vip_vi *vi)
{
	struct verbs_end *e = vi->link;

	verbs_pull_end(e);
	free(e->read);
	e->read = NULL;
	vi->link = NULL;
}
