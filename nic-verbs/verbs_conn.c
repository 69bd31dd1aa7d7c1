/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_conn.c - a VI's connection: how it is made, by a client and a server, and
 * let go.
 *
 * A server's VI is Connected when the client has answered its acceptance: a client
 * that gave up a moment before gets no connection, and neither does the server.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "nic-verbs/verbs_cm.h"
#include "vipl/choices.h"

int verbs_vi_new(struct vip_vi *vi)
{
	struct verbs_end *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->vi = vi;
	e->vn = verbs_nic(vi->nic);
	vi->priv = e;
	return 0;
}

void verbs_vi_free(struct vip_vi *vi)
{
	struct verbs_end *e = vi->priv;

	verbs_cm_leave(e);
	free(e->read);
	free(e);
	vi->priv = NULL;
}

/* The call is the VI's: what happens to it from here on is the connection's. */
static void link_call(struct verbs_end *e, struct verbs_call *call)
{
	struct verbs_cm *cm = e->vn->cm;
	bool lost;

	pthread_mutex_lock(&cm->lock);
	if (call->role == CALL_CAME)
		cm_came_drop(cm, call);
	lost = call->lost;
	call->role = CALL_LINK;
	call->vi = e->vi;
	e->call = call;
	e->number = call->number;
	if (lost)
		cm_lost(cm, call);
	pthread_mutex_unlock(&cm->lock);
}

static void begin(struct verbs_end *e, const struct ka_vi_attr *peer)
{
	struct vip_vi *vi = e->vi;

	vip_lock(&vi->q[VIP_SQ].lock);
	vip_lock(&vi->q[VIP_RQ].lock);
	e->peer = *peer;
	vi->link = e;
	verbs_begin(e);
	vip_unlock(&vi->q[VIP_RQ].lock);
	vip_unlock(&vi->q[VIP_SQ].lock);
}

void verbs_cm_leave(struct verbs_end *e)
{
	struct verbs_cm *cm = e->vn->cm;
	struct verbs_call *call = e->call, **at;

	verbs_qp_drop(e);
	if (!call)
		return;
	pthread_mutex_lock(&cm->lock);
	for (at = &cm->lost_first; call->told && *at; at = &(*at)->next_lost) {
		if (*at == call) {
			*at = call->next_lost;
			break;
		}
	}
	for (cm->lost_last = cm->lost_first; cm->lost_last && cm->lost_last->next_lost;)
		cm->lost_last = cm->lost_last->next_lost;
	call->role = CALL_OVER;
	call->vi = NULL;
	e->call = NULL;
	e->number = 0;
	pthread_mutex_unlock(&cm->lock);
	cm_destroy(call);
}

/* ---- the server ---- */

static int stopped(const struct verbs_cm *cm)
{
	if (cm->broken) {
		vip_why("%s has failed or was removed: close the NIC handle", cm->vn->nic->device);
		return -ESHUTDOWN;
	}
	if (!ka_load_relaxed(&cm->vn->nic->dead))
		return -ETIMEDOUT;
	vip_why("the kernel agent is gone: close the NIC handle and open it again");
	return -ECONNRESET;
}

/* Wait in the place's queue; cm->lock held. */
static int wait_in(struct verbs_cm *cm, struct verbs_place *place, uint64_t deadline, struct verbs_call **got)
{
	struct verbs_waiter w = {NULL, NULL}, **at;
	struct timespec end;
	int err = 0;

	for (at = &place->waiters; *at; at = &(*at)->next)
		;
	*at = &w;
	cm_deadline(&end, deadline);
	while (!w.got && !cm->stopped && err != ETIMEDOUT) {
		if (deadline == CM_NEVER)
			pthread_cond_wait(&cm->changed, &cm->lock);
		else
			err = pthread_cond_timedwait(&cm->changed, &cm->lock, &end);
	}
	*got = w.got;
	if (w.got)
		return 0;
	for (at = &place->waiters; *at != &w; at = &(*at)->next)
		;
	*at = w.next;
	return cm->stopped ? stopped(cm) : -ETIMEDOUT;
}

static int conn_wait(struct verbs_cm *cm, const struct nic_addr *local, uint32_t timeout,
		     struct verbs_call **got)
{
	struct verbs_place *place;
	int err = 0;

	if (cm->stopped)
		return stopped(cm);
	if (cm->waits == KA_MAX_WAITS) {
		vip_why("the NIC handle has %u waits pending, the limit; let some end", KA_MAX_WAITS);
		return -ENOSPC;
	}
	place = cm_place_get(cm, local);
	if (!place) {
		vip_why("no memory for a wait");
		return -ENOMEM;
	}
	*got = cm_held(cm, local);
	if (!*got)
		err = timeout ? cm_place_check(cm, place) : -ETIMEDOUT;
	cm->waits++;
	if (!*got && !err)
		err = wait_in(cm, place, cm_after(timeout), got);
	cm->waits--;
	cm_place_put(cm, place);
	return err;
}

int verbs_conn_wait(struct vip_nic *nic, const struct nic_addr *local, uint32_t timeout,
		    struct nic_request *req)
{
	struct verbs_cm *cm = verbs_nic(nic)->cm;
	struct verbs_call *call = NULL;
	int err = cm_local_check(verbs_nic(nic), local->bytes);

	if (err)
		return err;
	pthread_mutex_lock(&cm->lock);
	err = conn_wait(cm, local, timeout, &call);
	if (!err) {
		req->id = call->number;
		req->remote = call->remote;
		req->attr = call->hello.attr;
	}
	pthread_mutex_unlock(&cm->lock);
	return err;
}

static int differs(int err, const struct ka_vi_attr *own, const struct ka_vi_attr *peer)
{
	if (err == -EBADR)
		vip_why("reliability level %u, and the client has %u; both VIs need the same", own->level,
			peer->level);
	else if (err == -EMSGSIZE)
		vip_why("MaxTransferSize %llu, and the client has %llu; both VIs need the same",
			(unsigned long long)own->max_transfer, (unsigned long long)peer->max_transfer);
	else if (err)
		vip_why("QoS %llu, and the client has %llu; both VIs need the same",
			(unsigned long long)own->qos, (unsigned long long)peer->qos);
	return err;
}

static int client_gone(void)
{
	vip_why("the client has gone or has given its request up");
	return -ETIMEDOUT;
}

static int accept_call(struct verbs_end *e, struct verbs_call *call)
{
	const struct verbs_answer answer = {.kind = VERBS_ACCEPTED, .attr = e->vi->attr};
	uint8_t bytes[VERBS_ANSWER_BYTES];
	struct rdma_conn_param param = {
		.private_data = bytes,
		.private_data_len = sizeof(bytes),
		.responder_resources = call->responder_resources,
		.initiator_depth = call->initiator_depth,
		.flow_control = 1,
		.rnr_retry_count = 7,
		.srq = 1,
		.qp_num = e->qp->qp_num,
	};

	verbs_answer_encode(&answer, bytes);
	return rdma_accept(call->id, &param) ? client_gone() : 0;
}

/* Until the client has answered. */
static int await_up(struct verbs_cm *cm, struct verbs_call *call)
{
	struct timespec end;
	int err = 0;

	cm_deadline(&end, vip_now_ms() + CM_ANSWER_MS);
	pthread_mutex_lock(&cm->lock);
	while (!call->up && !call->lost && !cm->stopped && err != ETIMEDOUT)
		err = pthread_cond_timedwait(&cm->changed, &cm->lock, &end);
	err = call->up ? 0 : client_gone();
	pthread_mutex_unlock(&cm->lock);
	return err;
}

int verbs_accept(struct vip_vi *vi, struct verbs_call *call)
{
	struct verbs_end *e = vi->priv;
	int err = verbs_qp_make(e);

	if (!err)
		err = verbs_qp_up(e, call);
	if (err == -ENOTCONN)
		err = client_gone();
	if (!err)
		err = accept_call(e, call);
	if (err)
		verbs_qp_drop(e);
	return err;
}

void verbs_accepted(struct vip_vi *vi, struct verbs_call *call)
{
	link_call(vi->priv, call);
	begin(vi->priv, &call->hello.attr);
}

/*
 * No other thread accepts or rejects this request: its handle is looked at again under
 * the locks of the API layer, but two VIs have two of those.
 */
static struct verbs_call *claim(struct verbs_cm *cm, uint64_t number)
{
	struct verbs_call *call;

	pthread_mutex_lock(&cm->lock);
	call = cm_given(cm, number);
	if (call && call->claimed)
		call = NULL;
	if (call)
		call->claimed = true;
	pthread_mutex_unlock(&cm->lock);
	if (!call)
		vip_why("the connection request is being answered, or it has been");
	return call;
}

int verbs_conn_accept(struct vip_vi *vi, uint64_t id)
{
	struct verbs_cm *cm = verbs_nic(vi->nic)->cm;
	struct verbs_call *call = claim(cm, id);
	int err;

	if (!call)
		return -ENOENT;
	err = differs(verbs_mismatch(&vi->attr, &call->hello.attr), &vi->attr, &call->hello.attr);
	if (!err)
		err = verbs_accept(vi, call);
	if (!err) {
		err = await_up(cm, call);
		if (err)
			verbs_qp_drop(vi->priv);
	}
	if (!err) {
		verbs_accepted(vi, call);
		return 0;
	}
	pthread_mutex_lock(&cm->lock);
	call->claimed = false;
	if (err == -ETIMEDOUT) {
		cm_came_drop(cm, call);
		cm_bury(cm, call);
	}
	pthread_mutex_unlock(&cm->lock);
	return err;
}

int verbs_conn_reject(struct vip_nic *nic, uint64_t id)
{
	struct verbs_cm *cm = verbs_nic(nic)->cm;
	struct verbs_call *call = claim(cm, id);

	if (!call)
		return -ENOENT;
	pthread_mutex_lock(&cm->lock);
	cm_refuse(cm, call, VERBS_REJECTED, NULL);
	pthread_mutex_unlock(&cm->lock);
	return 0;
}

/* ---- the client ---- */

int verbs_complete(struct vip_vi *vi, struct verbs_call *call, const struct ka_vi_attr *peer)
{
	struct verbs_end *e = vi->priv;
	int err = verbs_qp_up(e, call);

	if (!err && rdma_establish(call->id))
		err = -ENOTCONN;
	if (err == -ENOTCONN) {
		vip_why("the server accepted the request, and has gone");
		err = -ETIMEDOUT;
	}
	if (err)
		return err;
	link_call(e, call);
	begin(e, peer);
	return 0;
}

/* Where requests to @to come from: the consumer's own address, or one of the other family. */
static int source(struct verbs_nic *vn, const uint8_t *local, const uint8_t *to, uint8_t src[NIC_MAX_HOST])
{
	struct sockaddr_storage a, b;

	int err = cm_local_check(vn, local);

	if (err)
		return err;
	memcpy(src, local, NIC_MAX_HOST);
	if (cm_sockaddr(local, 0, &a) == cm_sockaddr(to, 0, &b) || cm_own_like(vn, to, src))
		return 0;
	vip_why("%s has no IPv%c address, as the remote one is", vn->nic->device,
		b.ss_family == AF_INET ? '4' : '6');
	return -EINVAL;
}

int cm_try_init(struct verbs_end *e, struct verbs_try *t, uint32_t kind, const struct nic_addr *local,
		const struct nic_addr *remote)
{
	int err;

	memset(t, 0, sizeof(*t));
	err = source(e->vn, local->bytes, remote->bytes, t->src);
	if (err)
		return err;
	memcpy(t->dst, remote->bytes, NIC_MAX_HOST);
	t->hello.kind = kind;
	t->hello.attr = e->vi->attr;
	t->hello.own_len = (uint8_t)local->disc_len;
	t->hello.remote_len = (uint8_t)remote->disc_len;
	memcpy(t->hello.own, local->bytes + local->host_len, local->disc_len);
	memcpy(t->hello.remote, remote->bytes + remote->host_len, remote->disc_len);
	if (getrandom(&t->hello.nonce, sizeof(t->hello.nonce), GRND_NONBLOCK) != sizeof(t->hello.nonce))
		t->hello.nonce = (uint32_t)vip_now_ns();
	t->qp_num = e->qp->qp_num;
	return 0;
}

static void try_why(const struct verbs_try *t, int err)
{
	if (err == -ECANCELED)
		vip_why("the request was ended by VipDisconnect");
	else if (err == -EPROTONOSUPPORT)
		vip_why("the server speaks version %u of the protocol, this library %u: install one version "
			"on both "
			"hosts",
			t->version, VERBS_PROTOCOL);
	else if (err == -EPROTO)
		vip_why("the server answered with nonsense");
	else if (err == -ENOMEM)
		vip_why("librdmacm makes no more ids: memory, or its limit in the kernel");
}

/* Until it has ended; then it is nobody's but the caller's. */
static int request(struct verbs_cm *cm, struct verbs_end *e, struct verbs_try *t)
{
	pthread_mutex_lock(&cm->lock);
	e->trying = t;
	cm_try_start(cm, t);
	while (!t->done && !cm->stopped)
		pthread_cond_wait(&cm->changed, &cm->lock);
	if (!t->done)
		cm_try_end(cm, t, stopped(cm));
	e->trying = NULL;
	pthread_mutex_unlock(&cm->lock);
	try_why(t, t->err);
	return t->err;
}

static void request_end(struct verbs_cm *cm, struct verbs_try *t, bool drop)
{
	pthread_mutex_lock(&cm->lock);
	if (!drop)
		t->call = NULL;
	cm_try_drop(cm, t);
	pthread_mutex_unlock(&cm->lock);
}

int verbs_conn_request(struct vip_vi *vi, const struct nic_addr *local, const struct nic_addr *remote,
		       uint32_t timeout, struct ka_vi_attr *attr)
{
	struct verbs_end *e = vi->priv;
	struct verbs_cm *cm = e->vn->cm;
	struct verbs_try t;
	int err = verbs_qp_make(e);

	if (!err)
		err = cm_try_init(e, &t, VERBS_CLIENT, local, remote);
	if (!err) {
		uint32_t grace = vip_choices()->grace_ms;

		t.deadline = cm_after(timeout);
		t.grace = cm_after(grace < timeout ? grace : timeout);
		err = request(cm, e, &t);
		if (!err)
			err = verbs_complete(vi, t.call, &t.attr);
		request_end(cm, &t, err != 0);
	}
	if (err)
		verbs_qp_drop(e);
	else
		*attr = t.attr;
	return err;
}

void verbs_disconnect(struct vip_vi *vi)
{
	struct verbs_end *e = vi->priv;
	struct verbs_cm *cm = e->vn->cm;

	pthread_mutex_lock(&cm->lock);
	if (e->trying)
		cm_try_end(cm, e->trying, -ECANCELED);
	pthread_mutex_unlock(&cm->lock);
	cm_peer_cancel(vi);
}
