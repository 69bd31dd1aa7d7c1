/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer.c - peers: two requests that name the same two addresses, each the other
 * one's way round, become a connection.
 *
 * The agent serves one request after the other, so of two that cross one is
 * the first, waits in the list, and is found there by the other.
 */
#include "kagent/core/conn.h"

static uint32_t mix(const struct ka_addr *a)
{
	uint32_t i, h = 2166136261u;

	for (i = 0; i < (uint32_t)a->host_len + a->disc_len; i++)
		h = (h ^ a->bytes[i]) * 16777619u;
	return h ^ h >> 15;
}

/* The same for both peers. */
static struct ka_peer **bucket(struct ka_core *core, const struct ka_addr *a, const struct ka_addr *b)
{
	return &core->peers[(mix(a) + mix(b)) % KA_PEER_BUCKETS];
}

static void drop_peer(struct ka_core *core, struct ka_peer *p)
{
	struct ka_peer **link = bucket(core, &p->local, &p->remote);

	while (*link != p)
		link = &(*link)->next;
	*link = p->next;
	p->vi->peer = NULL;
	if (p->vi->state == KA_VI_PENDING)
		p->vi->state = KA_VI_IDLE;
	ka_host_free(p);
}

/* How the request of @vi has ended; @other: the peer that it met, or NULL. */
static struct ka_event peer_event(const struct ka_vi *vi, uint64_t cookie, int err, const struct ka_vi *other)
{
	struct ka_event ev = {.type = KA_EV_CONN, .err = err, .cookie = cookie, .nic = vi->nic->id};

	if (err == 0) {
		ev.info = link_info(vi);
	} else {
		ev.info.vi = vi->id;
		if (other != NULL)
			ev.info.peer = other->attr;
	}
	return ev;
}

void peer_fail(struct ka_core *core, struct ka_peer *p, int err)
{
	struct ka_event ev = peer_event(p->vi, p->cookie, err, NULL);
	struct ka_nic *nic = p->vi->nic;

	drop_peer(core, p);
	ka_emit(nic, &ev, NULL);
}

/* The oldest request that @req matches; NULL: none. */
static struct ka_peer *find(struct ka_core *core, const struct ka_proc *proc, const struct ka_addr *local,
			    const struct ka_addr *remote)
{
	struct ka_peer *p = *bucket(core, local, remote);

	if (!addr_here(local) || !addr_here(remote))
		return NULL;
	while (p != NULL && (!addr_equal(&p->local, remote) || !addr_equal(&p->remote, local) ||
			     !ka_may_meet(core, p->vi->nic->proc, proc)))
		p = p->next;
	return p;
}

static int hold(struct ka_core *core, struct ka_vi *vi, const struct ka_req *req, uint64_t now,
		struct ka_rep *rep)
{
	struct ka_peer **link = bucket(core, &req->u.request.local, &req->u.request.remote);
	struct ka_peer *p = ka_host_alloc(sizeof(*p));

	if (p == NULL)
		return ka_fail(rep, -ENOMEM, "the agent has no memory for a request");
	*p = (struct ka_peer){.vi = vi,
			      .cookie = req->u.request.cookie,
			      .deadline = conn_after(now, req->u.request.timeout_ms),
			      .local = req->u.request.local,
			      .remote = req->u.request.remote};
	while (*link != NULL)
		link = &(*link)->next;
	*link = p;
	conn_arm(core, p->deadline);
	vi->peer = p;
	vi->state = KA_VI_PENDING;
	return 0;
}

/* @vi, which is idle, meets @p: connect them, or tell both why not. */
static int meet(struct ka_core *core, struct ka_vi *vi, uint64_t cookie, struct ka_peer *p,
		struct ka_answer *ans)
{
	struct ka_vi *first = p->vi;
	int err = conn_mismatch(&vi->attr, &first->attr), failed;
	struct ka_give give = {NULL, NULL};
	struct ka_event ev;

	if (err == 0) {
		failed = link_make(first, vi);
		if (failed != 0)
			return conn_no_link(&ans->rep, failed);
		give = (struct ka_give){&vi->link->region, &vi->nic->mem};
		ans->give = (struct ka_give){&vi->link->region, &first->nic->mem};
	} else {
		core->stat[KA_STAT_connections_refused]++;
	}
	ev = peer_event(first, p->cookie, err, vi);
	drop_peer(core, p);
	ka_emit(first->nic, &ev, &give);
	ans->event = peer_event(vi, cookie, err, first);
	ans->has_event = true;
	return 0;
}

int peer_request(struct ka_core *core, struct ka_nic *nic, const struct ka_req *req, uint64_t now,
		 struct ka_answer *ans)
{
	struct ka_vi *vi = ka_find_vi(nic, req->u.request.vi);
	struct ka_peer *p;

	if (conn_check(req, vi, &ans->rep) != 0)
		return ans->rep.err;
	p = find(core, nic->proc, &req->u.request.local, &req->u.request.remote);
	if (p == NULL)
		return hold(core, vi, req, now, &ans->rep);
	return meet(core, vi, req->u.request.cookie, p, ans);
}

void peer_tick(struct ka_core *core, uint64_t now)
{
	struct ka_peer *p, *next;
	uint32_t i;

	for (i = 0; i < KA_PEER_BUCKETS; i++) {
		for (p = core->peers[i]; p != NULL; p = next) {
			next = p->next;
			if (p->deadline <= now)
				peer_fail(core, p, -ETIMEDOUT);
			else
				conn_arm(core, p->deadline);
		}
	}
}
