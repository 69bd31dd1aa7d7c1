/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_peer.c - connections, peer to peer.
 *
 * Both listen at the own address.  The one with the lower address asks the other
 * until that has requested, too, or the time is over; of two with equal
 * addresses both ask, and the one with the lower nonce is accepted.  So there is
 * one connection, whoever is first.
 *
 * What happens to a request is done in the thread of calls, which finds its VI by
 * the cookie and holds vi->lock then, as VipDisconnect does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nic-verbs/verbs_cm.h"

/* As memcmp; host, then discriminator. */
static int compare(const struct nic_addr *a, const struct nic_addr *b)
{
	uint32_t la = (uint32_t)a->host_len + a->disc_len, lb = (uint32_t)b->host_len + b->disc_len;
	int c = memcmp(a->bytes, b->bytes, la < lb ? la : lb);

	return c ? c : (la > lb) - (la < lb);
}

/* ---- under cm->lock ---- */

static void queue_work(struct verbs_cm *cm, struct verbs_peering *p)
{
	if (p->queued)
		return;
	p->queued = true;
	p->next_work = NULL;
	if (cm->work_first)
		cm->work_last->next_work = p;
	else
		cm->work_first = p;
	cm->work_last = p;
	pthread_cond_signal(&cm->work);
}

static void unqueue_work(struct verbs_cm *cm, struct verbs_peering *p)
{
	struct verbs_peering **at = &cm->work_first, *last = NULL;

	while (*at) {
		if (*at == p) {
			*at = p->next_work;
			continue;
		}
		last = *at;
		at = &(*at)->next_work;
	}
	cm->work_last = last;
	p->queued = false;
}

/* How it ends, unless that is known. */
static void end(struct verbs_cm *cm, struct verbs_peering *p, int err, const struct ka_vi_attr *peer)
{
	if (p->done)
		return;
	p->done = true;
	p->err = err;
	if (peer)
		p->peer = *peer;
	queue_work(cm, p);
}

void cm_peer_tried(struct verbs_cm *cm, struct verbs_peering *p)
{
	end(cm, p, p->try.err, &p->try.attr);
}

void cm_peer_changed(struct verbs_cm *cm, struct verbs_peering *p)
{
	queue_work(cm, p);
}

/* Does the request fit the peering, which wants one? */
static bool fits(const struct verbs_peering *p, const struct verbs_call *call)
{
	if (p->done || p->came || !cm_addr_equal(&p->local, &call->local) ||
	    !cm_addr_equal(&p->remote, &call->remote))
		return false;
	return !p->connects || call->hello.nonce < p->try.hello.nonce;
}

static void take(struct verbs_cm *cm, struct verbs_peering *p, struct verbs_call *call)
{
	int err = verbs_mismatch(&p->attr, &call->hello.attr);

	if (p->connects) /* the other one's request is as good */
		cm_try_drop(cm, &p->try);
	if (err) {
		end(cm, p, err, &call->hello.attr);
		cm_refuse(cm, call, VERBS_DIFFERS, &p->attr);
		return;
	}
	call->given = call->claimed = true;
	call->peering = p;
	p->came = call;
	p->accepting = false;
	queue_work(cm, p);
}

void cm_peer_came(struct verbs_cm *cm, struct verbs_call *call)
{
	struct verbs_peering *p = cm->peerings;

	while (p && !fits(p, call))
		p = p->next;
	if (p)
		take(cm, p, call);
}

/* The oldest request that is held for it. */
static void take_held(struct verbs_cm *cm, struct verbs_peering *p)
{
	struct verbs_call *call = cm->came;

	while (call && (call->given || call->hello.kind != VERBS_PEER || !fits(p, call)))
		call = call->next;
	if (call)
		take(cm, p, call);
}

static void start_try(struct verbs_cm *cm, struct verbs_peering *p)
{
	p->try.done = false;
	p->try.k = p->try.round = p->try.nobody = 0;
	p->try.stored = false;
	cm_try_start(cm, &p->try);
}

/* It is nobody's any more. */
static void drop(struct verbs_cm *cm, struct verbs_peering *p)
{
	struct verbs_peering **at;

	for (at = &cm->peerings; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	if (p->queued)
		unqueue_work(cm, p);
	if (p->connects)
		cm_try_drop(cm, &p->try);
	if (p->came)
		cm_refuse(cm, p->came, VERBS_NOBODY, NULL);
	cm_place_put(cm, p->place);
	free(p);
}

uint64_t cm_peer_tick(struct verbs_cm *cm, uint64_t now)
{
	uint64_t due = CM_NEVER;
	struct verbs_peering *p;

	for (p = cm->peerings; p; p = p->next) {
		if (cm->broken && !p->came)
			end(cm, p, -ESHUTDOWN, NULL);
		if (p->done || (p->came && !p->accepting))
			continue;
		if (p->came && p->until <= now)
			queue_work(cm, p);
		else if (!p->came && p->deadline <= now)
			end(cm, p, -ETIMEDOUT, NULL);
		else
			due = cm_min(due, p->came ? p->until : p->deadline);
	}
	return due;
}

/* ---- under vi->lock ---- */

/* The outcome is told, vi->lock is let go. */
static void tell(struct vip_vi *vi, struct verbs_peering *p, int err)
{
	struct verbs_end *e = vi->priv;
	struct verbs_cm *cm = e->vn->cm;
	struct ka_vi_attr peer = p->peer;

	pthread_mutex_lock(&cm->lock);
	e->peering = NULL;
	drop(cm, p);
	pthread_mutex_unlock(&cm->lock);
	if (err)
		verbs_qp_drop(e);
	vip_peer_end(vi, err, &peer);
}

/* The peer whose request came has gone: another one is waited for.  vi->lock is let go. */
static void once_more(struct vip_vi *vi, struct verbs_peering *p)
{
	struct verbs_end *e = vi->priv;
	struct verbs_cm *cm = e->vn->cm;
	int err;

	verbs_qp_drop(e);
	err = p->connects ? verbs_qp_make(e) : 0;
	if (err) {
		tell(vi, p, err);
		return;
	}
	pthread_mutex_lock(&cm->lock);
	cm_came_drop(cm, p->came);
	cm_bury(cm, p->came);
	p->came = NULL;
	if (p->connects) {
		p->try.qp_num = e->qp->qp_num;
		start_try(cm, p);
	}
	take_held(cm, p);
	cm_kick(cm);
	pthread_mutex_unlock(&cm->lock);
	pthread_mutex_unlock(&vi->lock);
}

static void start_accept(struct vip_vi *vi, struct verbs_peering *p)
{
	struct verbs_cm *cm = verbs_nic(vi->nic)->cm;
	int err = verbs_accept(vi, p->came);

	if (err == -ETIMEDOUT) {
		once_more(vi, p);
		return;
	}
	if (err) {
		tell(vi, p, err);
		return;
	}
	pthread_mutex_lock(&cm->lock);
	p->accepting = true;
	p->until = vip_now_ms() + CM_ANSWER_MS;
	if (p->came->up || p->came->lost)
		queue_work(cm, p);
	cm_kick(cm);
	pthread_mutex_unlock(&cm->lock);
	pthread_mutex_unlock(&vi->lock);
}

static void end_accept(struct vip_vi *vi, struct verbs_peering *p, bool up)
{
	struct verbs_call *call = p->came;

	if (!up) {
		once_more(vi, p);
		return;
	}
	p->peer = call->hello.attr;
	verbs_accepted(vi, call);
	p->came = NULL;
	tell(vi, p, 0);
}

/* The request of ours was answered, or has failed. */
static void end_try(struct vip_vi *vi, struct verbs_peering *p)
{
	int err = p->err;

	if (!err) {
		err = verbs_complete(vi, p->try.call, &p->peer);
		if (!err)
			p->try.call = NULL;
	}
	tell(vi, p, err);
}

void cm_peer_work(struct verbs_cm *cm, uint64_t cookie)
{
	struct vip_vi *vi = vip_peer_take(cookie);
	struct verbs_peering *p;
	enum { NOTHING, ACCEPT, UP, GONE, TRIED } what = NOTHING;

	if (!vi)
		return;
	pthread_mutex_lock(&cm->lock);
	p = ((struct verbs_end *)vi->priv)->peering;
	if (p && p->cookie == cookie) {
		if (p->came && !p->accepting)
			what = ACCEPT;
		else if (p->came && (p->came->lost || p->until <= vip_now_ms()))
			what = GONE;
		else if (p->came && p->came->up)
			what = UP;
		else if (p->done)
			what = TRIED;
	}
	pthread_mutex_unlock(&cm->lock);
	if (what == ACCEPT)
		start_accept(vi, p);
	else if (what == UP || what == GONE)
		end_accept(vi, p, what == UP);
	else if (what == TRIED)
		end_try(vi, p);
	else
		pthread_mutex_unlock(&vi->lock);
}

void cm_peer_cancel(struct vip_vi *vi)
{
	struct verbs_end *e = vi->priv;
	struct verbs_cm *cm = e->vn->cm;

	if (!e->peering)
		return;
	pthread_mutex_lock(&cm->lock);
	drop(cm, e->peering);
	e->peering = NULL;
	pthread_mutex_unlock(&cm->lock);
	verbs_qp_drop(e);
}

static struct verbs_peering *peering(struct verbs_end *e, uint64_t cookie, const struct nic_addr *local,
				     const struct nic_addr *remote, uint32_t timeout, int *err)
{
	struct verbs_peering *p;

	*err = cm_local_check(e->vn, local->bytes);
	if (*err)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p) {
		vip_why("no memory for a request");
		*err = -ENOMEM;
		return NULL;
	}
	p->cookie = cookie;
	p->local = *local;
	p->remote = *remote;
	p->attr = e->vi->attr;
	p->deadline = cm_after(timeout);
	p->connects = compare(local, remote) <= 0;
	if (p->connects)
		*err = verbs_qp_make(e);
	if (!*err && p->connects)
		*err = cm_try_init(e, &p->try, VERBS_PEER, local, remote);
	if (*err) {
		verbs_qp_drop(e);
		free(p);
		return NULL;
	}
	p->try.peering = p;
	p->try.deadline = p->deadline;
	p->try.grace = CM_NEVER;
	return p;
}

int verbs_conn_peer(struct vip_vi *vi, uint64_t cookie, const struct nic_addr *local,
		    const struct nic_addr *remote, uint32_t timeout)
{
	struct verbs_end *e = vi->priv;
	struct verbs_cm *cm = e->vn->cm;
	struct verbs_peering *p, **at;
	int err;

	p = peering(e, cookie, local, remote, timeout, &err);
	if (!p)
		return err;
	pthread_mutex_lock(&cm->lock);
	p->place = cm_place_get(cm, local);
	if (!p->place) {
		pthread_mutex_unlock(&cm->lock);
		verbs_qp_drop(e);
		free(p);
		vip_why("no memory for a request");
		return -ENOMEM;
	}
	for (at = &cm->peerings; *at; at = &(*at)->next)
		;
	*at = p;
	e->peering = p;
	if (p->connects)
		start_try(cm, p);
	take_held(cm, p);
	cm_kick(cm);
	pthread_mutex_unlock(&cm->lock);
	return 0;
}
