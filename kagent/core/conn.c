/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * conn.c - waits and requests: which client meets which server, and when it is
 * over.  conn.h says what is kept true.
 */
#include "kagent/core/conn.h"

uint64_t conn_after(uint64_t now, uint32_t ms)
{
	return ms == KA_INFINITE ? KA_NEVER : now + ms;
}

static bool addr_ok(const struct ka_addr *a)
{
	return a->host_len <= sizeof(a->bytes) - KA_MAX_DISC && a->disc_len <= KA_MAX_DISC;
}

static int bad_addr(struct ka_rep *rep, const struct ka_addr *a)
{
	return ka_fail(rep, -EINVAL,
		       "an address of %u + %u bytes: host addresses have %u, discriminators at most %u",
		       a->host_len, a->disc_len, KA_NIC_ADDR_LEN, KA_MAX_DISC);
}

static int too_many(struct ka_rep *rep)
{
	return ka_fail(rep, -ENOSPC, "the process has %u waits and requests pending, the limit; let some end",
		       KA_MAX_WAITS);
}

static void drop_wait(struct ka_core *core, struct ka_wait *w)
{
	struct ka_wait **link = &core->waits;

	while (*link != w)
		link = &(*link)->next;
	*link = w->next;
	w->nic->proc->npending--;
	ka_host_free(w);
}

static void drop_request(struct ka_core *core, struct ka_request *r)
{
	struct ka_request **link = &core->requests;

	while (*link != r)
		link = &(*link)->next;
	*link = r->next;
	ka_host_free(r);
}

/* The client's side of @r is over: its VI no longer waits for it. */
static void leave_request(struct ka_request *r)
{
	r->vi->nic->proc->npending--;
	r->vi->request = NULL;
	if (r->vi->state == KA_VI_PENDING)
		r->vi->state = KA_VI_IDLE;
	r->vi = NULL;
	r->deadline = KA_NEVER;
}

/*
 * The client gives @r up.  A server that got it will name it once more, and
 * must then hear that it came too late; but a server which never does so
 * makes us remember no more than KA_MAX_WAITS of them.
 */
static void abandon_request(struct ka_core *core, struct ka_request *r)
{
	struct ka_request *o, *oldest = NULL;
	uint32_t n = 0;

	leave_request(r);
	if (r->to == NULL) {
		drop_request(core, r);
		return;
	}
	for (o = core->requests; o != NULL; o = o->next) {
		if (o->vi != NULL || o->to != r->to)
			continue;
		if (oldest == NULL)
			oldest = o;
		n++;
	}
	if (n > KA_MAX_WAITS)
		drop_request(core, oldest);
}

/* End @r with @err, a negative errno, and tell its client. */
static void fail_request(struct ka_core *core, struct ka_request *r, int err)
{
	struct ka_nic *nic = r->vi->nic;
	struct ka_event ev = {
		.type = KA_EV_CONN, .err = err, .cookie = r->cookie, .nic = nic->id, .info.vi = r->vi->id};

	core->stat[KA_STAT_connections_refused] += err == -ECONNREFUSED || err == -ENOENT;
	abandon_request(core, r);
	ka_emit(nic, &ev, NULL);
}

static struct ka_event wait_event(const struct ka_wait *w, const struct ka_request *r)
{
	struct ka_event ev = {.type = KA_EV_WAIT, .cookie = w->cookie, .nic = w->nic->id};

	if (r == NULL) {
		ev.err = -ETIMEDOUT;
		return ev;
	}
	ev.conn = r->id;
	ev.info.peer_pid = r->vi->nic->proc->pid;
	ev.info.peer = r->vi->attr;
	ev.remote = r->local;
	return ev;
}

int conn_wait(struct ka_core *core, struct ka_nic *nic, const struct ka_req *req, uint64_t now,
	      struct ka_answer *ans)
{
	struct ka_wait w = {.nic = nic, .cookie = req->u.wait.cookie, .local = req->u.wait.local};
	struct ka_wait **link = &core->waits;
	struct ka_rep *rep = &ans->rep;
	struct ka_request *r = core->requests;

	if (!addr_ok(&w.local))
		return bad_addr(rep, &w.local);
	while (r != NULL && (r->to != NULL || !addr_here(&r->remote) || !addr_equal(&r->remote, &w.local) ||
			     !ka_may_meet(core, r->vi->nic->proc, nic->proc)))
		r = r->next;
	if (r != NULL)
		r->to = nic;
	if (r != NULL || req->u.wait.timeout_ms == 0) {
		ans->event = wait_event(&w, r);
		ans->has_event = true;
		return 0;
	}
	if (nic->proc->npending == KA_MAX_WAITS)
		return too_many(rep);
	while (*link != NULL)
		link = &(*link)->next;
	*link = ka_host_alloc(sizeof(w));
	if (*link == NULL)
		return ka_fail(rep, -ENOMEM, "the agent has no memory for a wait");
	w.deadline = conn_after(now, req->u.wait.timeout_ms);
	conn_arm(core, w.deadline);
	**link = w;
	nic->proc->npending++;
	return 0;
}

static uint64_t request_deadline(const struct ka_request *r)
{
	return r->to == NULL && r->grace < r->deadline ? r->grace : r->deadline;
}

/* Give @r, just made, to the oldest wait for its address, if there is one. */
static bool deliver(struct ka_core *core, struct ka_request *r)
{
	struct ka_wait *w = core->waits;
	struct ka_event ev;

	if (!addr_here(&r->remote))
		return false;
	while (w != NULL &&
	       (!addr_equal(&r->remote, &w->local) || !ka_may_meet(core, r->vi->nic->proc, w->nic->proc)))
		w = w->next;
	if (w == NULL)
		return false;
	r->to = w->nic;
	ev = wait_event(w, r);
	drop_wait(core, w);
	ka_emit(r->to, &ev, NULL);
	return true;
}

int conn_check(const struct ka_req *req, const struct ka_vi *vi, struct ka_rep *rep)
{
	if (!addr_ok(&req->u.request.local))
		return bad_addr(rep, &req->u.request.local);
	if (!addr_ok(&req->u.request.remote))
		return bad_addr(rep, &req->u.request.remote);
	if (vi == NULL)
		return ka_fail(rep, -EINVAL, "the NIC handle has no VI %u", req->u.request.vi);
	if (req->u.request.timeout_ms == 0)
		return ka_fail(rep, -EINVAL, "a connection request needs a timeout above 0 ms");
	if (vi->state != KA_VI_IDLE)
		return ka_fail(rep, -EISCONN, "VI %u is not idle; disconnect it first", vi->id);
	return 0;
}

int conn_request(struct ka_core *core, struct ka_nic *nic, const struct ka_req *req, uint64_t now,
		 struct ka_answer *ans)
{
	struct ka_vi *vi = ka_find_vi(nic, req->u.request.vi);
	uint32_t timeout = req->u.request.timeout_ms, grace = req->u.request.grace_ms;
	struct ka_request *r, **link = &core->requests;

	if (conn_check(req, vi, &ans->rep) != 0)
		return ans->rep.err;
	if (nic->proc->npending == KA_MAX_WAITS)
		return too_many(&ans->rep);
	r = ka_host_alloc(sizeof(*r));
	if (r == NULL)
		return ka_fail(&ans->rep, -ENOMEM, "the agent has no memory for a request");
	r->id = ++core->last_conn;
	r->vi = vi;
	r->cookie = req->u.request.cookie;
	r->local = req->u.request.local;
	r->remote = req->u.request.remote;
	r->deadline = conn_after(now, timeout);
	/* Another host does not say that nobody waits: only the timeout ends that. */
	r->grace = addr_here(&r->remote) ? conn_after(now, grace < timeout ? grace : timeout) : KA_NEVER;
	if (!deliver(core, r) && r->grace == now) {
		ka_host_free(r);
		core->stat[KA_STAT_connections_refused]++;
		ans->event = (struct ka_event){.type = KA_EV_CONN,
					       .err = -ENOENT,
					       .cookie = req->u.request.cookie,
					       .nic = nic->id,
					       .info.vi = vi->id};
		ans->has_event = true;
		return 0;
	}
	while (*link != NULL)
		link = &(*link)->next;
	*link = r;
	conn_arm(core, request_deadline(r));
	vi->request = r;
	vi->state = KA_VI_PENDING;
	nic->proc->npending++;
	return 0;
}

/* The request @id that was delivered to @nic, or NULL. */
static struct ka_request *find_request(struct ka_core *core, const struct ka_nic *nic, uint64_t id)
{
	struct ka_request *r = core->requests;

	while (r != NULL && (r->id != id || r->to == NULL || r->to != nic))
		r = r->next;
	return r;
}

static int no_request(struct ka_rep *rep, uint64_t id)
{
	return ka_fail(rep, -ENOENT,
		       "no wait of the NIC handle got a connection request %llu that still stands",
		       (unsigned long long)id);
}

/* RDMA rights need not match. */
int conn_mismatch(const struct ka_vi_attr *a, const struct ka_vi_attr *b)
{
	if (a->level != b->level)
		return -EBADR;
	if (a->max_transfer != b->max_transfer)
		return -EMSGSIZE;
	return a->qos != b->qos ? -ENOPROTOOPT : 0;
}

static int check_match(const struct ka_vi_attr *own, const struct ka_vi_attr *peer, struct ka_rep *rep)
{
	int err = conn_mismatch(own, peer);

	if (err == -EBADR)
		ka_fail(rep, err, "reliability level %u, and the client has %u; both VIs need the same",
			own->level, peer->level);
	else if (err == -EMSGSIZE)
		ka_fail(rep, err, "MaxTransferSize %llu, and the client has %llu; both VIs need the same",
			(unsigned long long)own->max_transfer, (unsigned long long)peer->max_transfer);
	else if (err != 0)
		ka_fail(rep, err, "QoS %llu, and the client has %llu; both VIs need the same",
			(unsigned long long)own->qos, (unsigned long long)peer->qos);
	return err;
}

int conn_no_link(struct ka_rep *rep, int err)
{
	return ka_fail(rep, err,
		       "the agent could not make a connection (error %u): it lacks memory or file "
		       "descriptors",
		       (unsigned int)-err);
}

int conn_accept(struct ka_core *core, struct ka_nic *nic, const struct ka_req *req, struct ka_answer *ans)
{
	struct ka_request *r = find_request(core, nic, req->u.accept.conn);
	struct ka_vi *vi = ka_find_vi(nic, req->u.accept.vi), *client;
	struct ka_event ev = {.type = KA_EV_CONN};
	struct ka_rep *rep = &ans->rep;
	struct ka_give give;
	int err;

	if (r == NULL)
		return no_request(rep, req->u.accept.conn);
	if (vi == NULL)
		return ka_fail(rep, -EINVAL, "the NIC handle has no VI %u", req->u.accept.vi);
	if (r->vi == NULL) {
		drop_request(core, r);
		return ka_fail(rep, -ETIMEDOUT, "the client has gone or has given its request up");
	}
	if (vi->state != KA_VI_IDLE)
		return ka_fail(rep, -EISCONN,
			       "VI %u is not idle; disconnect it first, or accept with another", vi->id);
	client = r->vi;
	if (check_match(&vi->attr, &client->attr, rep) != 0)
		return rep->err;
	err = link_make(vi, client);
	if (err != 0)
		return conn_no_link(rep, err);

	ev.cookie = r->cookie;
	ev.nic = client->nic->id;
	ev.info = link_info(client);
	leave_request(r);
	drop_request(core, r);
	give = (struct ka_give){&vi->link->region, &nic->mem};
	ka_emit(client->nic, &ev, &give);
	rep->u.conn = link_info(vi);
	ans->give = (struct ka_give){&vi->link->region, &client->nic->mem};
	return 0;
}

int conn_reject(struct ka_core *core, struct ka_nic *nic, uint64_t id, struct ka_rep *rep)
{
	struct ka_request *r = find_request(core, nic, id);

	if (r == NULL)
		return no_request(rep, id);
	r->to = NULL;
	if (r->vi != NULL)
		fail_request(core, r, -ECONNREFUSED);
	else
		drop_request(core, r);
	return 0;
}

/* End whatever request or connection @vi has. */
static void end_vi(struct ka_core *core, struct ka_vi *vi, uint32_t cause)
{
	if (vi->peer != NULL)
		peer_fail(core, vi->peer, -ECANCELED);
	else if (vi->request != NULL)
		fail_request(core, vi->request, -ECANCELED);
	else if (vi->link != NULL)
		link_break(vi, cause);
}

int conn_disconnect(struct ka_core *core, struct ka_nic *nic, uint32_t id, struct ka_rep *rep)
{
	struct ka_vi *vi = ka_find_vi(nic, id);

	if (vi == NULL)
		return ka_fail(rep, -EINVAL, "the NIC handle has no VI %u", id);
	end_vi(core, vi, KA_DOWN_DISCONNECT);
	vi->state = KA_VI_IDLE;
	rep->u.vi.vi = id;
	return 0;
}

/* End @w without a request, and say so. */
static void expire_wait(struct ka_core *core, struct ka_wait *w)
{
	struct ka_event ev = wait_event(w, NULL);
	struct ka_nic *nic = w->nic;

	drop_wait(core, w);
	ka_emit(nic, &ev, NULL);
}

void conn_close(struct ka_core *core, struct ka_nic *nic, uint32_t cause)
{
	struct ka_wait *w, *next_wait;
	struct ka_request *r, *next;
	uint32_t i;

	for (w = core->waits; w != NULL; w = next_wait) {
		next_wait = w->next;
		if (w->nic == nic)
			expire_wait(core, w);
	}
	/* First those that it got, then those that it made: the first pass takes no other out. */
	for (r = core->requests; r != NULL; r = next) {
		next = r->next;
		if (r->to != nic)
			continue;
		r->to = NULL;
		if (r->vi != NULL)
			fail_request(core, r, -ECONNREFUSED);
		else
			drop_request(core, r);
	}
	for (i = 0; i < KA_MAX_VIS; i++)
		if (nic->vis[i] != NULL)
			end_vi(core, nic->vis[i], cause);
}

uint64_t ka_core_deadline(const struct ka_core *core)
{
	return core->alarm;
}

void ka_core_tick(struct ka_core *core, uint64_t now)
{
	struct ka_wait *w, *next_wait;
	struct ka_request *r, *next;

	if (now < core->alarm)
		return;
	core->alarm = KA_NEVER;
	for (w = core->waits; w != NULL; w = next_wait) {
		next_wait = w->next;
		if (w->deadline <= now)
			expire_wait(core, w);
		else
			conn_arm(core, w->deadline);
	}
	for (r = core->requests; r != NULL; r = next) {
		next = r->next;
		if (r->to == NULL && r->grace <= now)
			fail_request(core, r, -ENOENT);
		else if (r->deadline <= now)
			fail_request(core, r, -ETIMEDOUT);
		else
			conn_arm(core, request_deadline(r));
	}
	peer_tick(core, now);
}
