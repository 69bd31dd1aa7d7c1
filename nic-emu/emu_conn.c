/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_conn.c - connections of the software NIC.  The agent matches requests
 * with waits and makes the shared region; both ends map it, put their posted
 * receives into it and say that they are ready.
 *
 * The agent answers a wait or a request later, with an event that carries the
 * caller's cookie; `pending` finds the thread that sleeps for it.  For a peer's
 * request nobody sleeps here: the event thread sets the connection up.
 */
#include "nic-emu/emu.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kagent/host/limit.h"
#include "vipl/choices.h"
#include "vipl/watch.h"

/* An end waits this long at most for the other one's engine to finish a write. */
#define QUIET_MS 200u

struct pending {
	struct pending *next;
	struct ka_agent *agent;
	uint64_t cookie;
	bool done;
	struct ka_event ev;
	int fds[KA_MAX_FDS];
};

static pthread_mutex_t pending_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pending_cond = PTHREAD_COND_INITIALIZER;
static struct pending *pending_list;

static void close_all(const int fds[KA_MAX_FDS])
{
	int i;

	for (i = 0; i < KA_MAX_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

static void pending_begin(struct pending *p, const struct vip_nic *nic)
{
	*p = (struct pending){.agent = nic->agent, .cookie = vip_obj_cookie(nic), .fds = {-1, -1, -1}};
	pthread_mutex_lock(&pending_lock);
	p->next = pending_list;
	pending_list = p;
	pthread_mutex_unlock(&pending_lock);
}

/* @wait: for the event; else it was never asked for.  Returns the event's err. */
static int pending_end(struct pending *p, bool wait)
{
	struct pending **at;

	pthread_mutex_lock(&pending_lock);
	while (wait && !p->done) {
		/* asked, and the agent died before it was in the list's sight */
		if (ka_agent_is_dead(p->agent)) {
			p->ev.err = -ECONNRESET;
			break;
		}
		pthread_cond_wait(&pending_cond, &pending_lock);
	}
	for (at = &pending_list; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	pthread_mutex_unlock(&pending_lock);
	if (p->ev.err == -ECONNRESET)
		vip_why("the kernel agent is gone: close the NIC handle and open it again");
	return p->ev.err;
}

/* ---- the two ends ---- */

/* By descriptor.  Most VIs use few of their pages. */
struct rings {
	struct emu_sent_desc sent[KA_DEPTH];
	struct emu_posted posted[KA_DEPTH];
};

/* What points to memory of malloc's is in such memory itself, where a leak checker looks for pointers. */
int emu_vi_new(struct vip_vi *vi)
{
	struct emu_vi *e = calloc(1, sizeof(*e));
	struct rings *rings = vip_pages(sizeof(*rings));

	if (!e || !rings) {
		free(e);
		vip_pages_free(rings, sizeof(*rings));
		return -ENOMEM;
	}
	e->vi = vi;
	e->doorbell = -1;
	e->sent = rings->sent;
	e->posted = rings->posted;
	vi->priv = e;
	return 0;
}

void emu_vi_free(struct vip_vi *vi)
{
	struct emu_vi *e = vi->priv;

	free(e->read);
	vip_pages_free(e->sent, sizeof(struct rings)); /* they begin with these */
	free(e);
	vi->priv = NULL;
}

/* What the agent gave of a connection. */
struct given {
	struct emu_region *region;
	struct emu_peer *peer;
	int doorbell; /* -1: there is none */
};

static void give_back(struct emu_nic *en, struct given *g)
{
	if (g->region)
		munmap(g->region, sizeof(*g->region));
	if (g->peer)
		emu_peer_put(en, g->peer);
	if (g->doorbell >= 0)
		close(g->doorbell);
}

/* The kernel tells of a connection that it had no descriptor for. */
static int not_given(int err)
{
	char why[200];

	limit_files(why, sizeof(why), -err, "the connection");
	vip_why("%s", why);
	return err;
}

/* Map it; closes the descriptors that are not kept. */
static int take_given(struct emu_nic *en, uint32_t side, const int fds[KA_MAX_FDS], struct given *g)
{
	int err = 0, rest[KA_MAX_FDS];
	struct emu_region *region = NULL;
	const struct ka_conn_ctl *ctl;

	memcpy(rest, fds, sizeof(rest));
	*g = (struct given){.doorbell = -1};
	if (en->kernel && fds[0] < 0)
		return not_given(fds[0]);
	if (side <= 1)
		region = en->kernel ? emu_kernel_map(fds[0], side)
				    : emu_map_shared(fds[0], sizeof(*region), PROT_READ | PROT_WRITE);
	g->region = region;
	if (!region)
		err = side > 1 ? -EPROTO : -errno;
	else
		err = emu_peer_get(en, fds[1], fds[2], &g->peer);
	if (en->kernel) {
		g->doorbell = fds[0];
		rest[0] = -1;
	}
	close_all(rest);
	if (err || !region) {
		vip_why("cannot map the connection: %s", strerror(-err));
		give_back(en, g);
		return err;
	}
	ctl = &region->ctl;
	if (ka_load_acquire(&ctl->magic) == KA_CONN_MAGIC && ctl->version == KA_VERSION &&
	    ctl->size == KA_CONN_BYTES)
		return 0;
	vip_why("the agent made a connection of another layout");
	give_back(en, g);
	return -EPROTO;
}

/* Set up the link by what the agent gave; closes the descriptors. */
static int attach(struct vip_vi *vi, const struct ka_conn_info *info, const int fds[KA_MAX_FDS])
{
	struct emu_vi *e = vi->priv;
	struct emu_nic *en = emu_nic(vi->nic);
	struct given g;
	int err = take_given(en, info->side, fds, &g);

	if (err)
		return err;
	vip_lock(&vi->q[VIP_SQ].lock);
	vip_lock(&vi->q[VIP_RQ].lock);
	memset(&e->l, 0, sizeof(e->l));
	e->l.region = g.region;
	e->l.own_tpt = vi->nic->tpt;
	e->doorbell = g.doorbell;
	e->peer = g.peer;
	e->peer_wake = emu_peer_wake(g.peer);
	e->l.peer_tpt = emu_peer_tpt(g.peer);
	e->l.host = &emu_process_host;
	e->l.revoking = &vip_revoking;
	e->l.peer_revoking = &e->peer_wake[KA_WAKE_REVOKING].word;
	e->l.own_idle = vi->nic->idle;
	e->l.peer_idle = ka_cache_of(e->peer_wake)->idle;
	e->l.peer_keeps = ka_cache_of(e->peer_wake)->keeps;
	e->l.tx_careful = &vi->q[VIP_SQ].careful;
	e->l.rx_careful = &vi->q[VIP_RQ].careful;
	e->l.side = info->side;
	e->l.own_tag = vi->attr.tag;
	e->l.peer_tag = info->peer.tag;
	e->l.level = vi->attr.level;
	e->l.max_transfer = vi->attr.max_transfer;
	e->l.own_rdma = vi->attr.rdma;
	e->l.peer_rdma = info->peer.rdma;
	e->peer_pid = info->peer_pid;
	e->peer_send_word = info->peer.wake_send % KA_WAKE_WORDS;
	e->peer_recv_word = info->peer.wake_recv % KA_WAKE_WORDS;
	e->started = vi->q[VIP_SQ].tail;
	e->streaming = e->broken = e->refused = e->failed = e->draining = e->gave_up = false;
	e->unfinished = e->unreaped = e->ending = e->severed = 0;
	e->reads_asked = e->reads_answered = e->wants = e->wants_answered = 0;
	emu_window_begin(e);
	err = emu_link_begin(e);
	emu_engine_begin(e);
	if (!err)
		vi->link = e;
	else
		e->doorbell = -1;
	vip_unlock(&vi->q[VIP_RQ].lock);
	vip_unlock(&vi->q[VIP_SQ].lock);
	if (err)
		give_back(en, &g);
	return err;
}

static void hang_up(struct emu_vi *e)
{
	int fd = e->doorbell;

	/* a child that is forked between the two has one descriptor too many, not one too few */
	e->doorbell = -1;
	if (fd >= 0)
		close(fd);
}

/* ---- events ---- */

struct vi_search {
	const struct ka_agent *agent;
	const struct ka_event *ev;
	struct vip_vi *vi;
};

/* Who is found by mistake, because it is just being made, is looked at in vain. */
static void match_vi(void *obj, void *arg)
{
	struct vip_vi *vi = obj;
	const struct vip_nic *nic = ka_load_relaxed(&vi->nic);
	struct vi_search *s = arg;

	if (ka_load_relaxed(&nic->id) == s->ev->nic && ka_load_relaxed(&vi->id) == s->ev->info.vi &&
	    ka_load_relaxed(&nic->agent) == s->agent && !ka_load_relaxed(&nic->dead))
		s->vi = vi;
}

/* The kernel changes wake words and wakes nobody. */
static void wake_sleepers(struct vip_vi *vi)
{
	struct ka_wake *wake = vi->nic->words.wake;
	int i;

	pthread_mutex_lock(&vi->lock);
	for (i = 0; vi->state == VIP_STATE_CONNECTED && i < 2; i++) {
		uint32_t word = vi->q[i].word, leads = ka_load_relaxed(&wake[word].leads) % KA_WAKE_WORDS;

		vip_futex_wake(&wake[word].word);
		vip_futex_wake(&wake[leads].word); /* none leads to 0, the progress thread's */
	}
	pthread_mutex_unlock(&vi->lock);
}

/* @vi is locked. */
static void peer_ended(struct vip_vi *vi, const struct ka_event *ev, const int fds[KA_MAX_FDS])
{
	int err = ev->err;

	if (err) {
		close_all(fds);
	} else {
		err = attach(vi, &ev->info, fds);
		if (err) {
			vip_fail(vip_return(err), NULL);
			emu_disconnect(vi);
		}
	}
	vip_peer_end(vi, err, &ev->info.peer);
}

void emu_event(struct ka_agent *agent, const struct ka_event *ev, const int fds[KA_MAX_FDS])
{
	struct vi_search s = {agent, ev, NULL};
	struct pending *p;
	struct vip_vi *vi;

	if (ev->type == KA_EV_LOST) {
		close_all(fds);
		vip_obj_each(VIP_T_VI, match_vi, &s);
		if (s.vi && ka_agent_pins(agent))
			wake_sleepers(s.vi);
		if (s.vi)
			vip_vi_check(s.vi);
		return;
	}
	if (ev->type == KA_EV_CONN && (vi = vip_peer_take(ev->cookie))) {
		peer_ended(vi, ev, fds);
		return;
	}
	pthread_mutex_lock(&pending_lock);
	for (p = pending_list; p && p->cookie != ev->cookie; p = p->next)
		;
	if (p && !p->done) {
		p->done = true;
		p->ev = *ev;
		memcpy(p->fds, fds, sizeof(p->fds));
		pthread_cond_broadcast(&pending_cond);
	} else {
		close_all(fds);
	}
	pthread_mutex_unlock(&pending_lock);
}

void emu_agent_dead(struct ka_agent *agent)
{
	pthread_mutex_lock(&pending_lock);
	pthread_cond_broadcast(&pending_cond);
	pthread_mutex_unlock(&pending_lock);
	(void)agent;
}

/* The parent's: it is of no use to a child. */
static void close_doorbell(void *obj, void *arg)
{
	const struct vip_vi *vi = obj;

	(void)arg;
	if (vi->nic->ops == &nic_emu_ops && vi->priv)
		hang_up(vi->priv);
}

void emu_forked(void)
{
	pthread_mutex_init(&pending_lock, NULL);
	pthread_cond_init(&pending_cond, NULL);
	pending_list = NULL;
	vip_obj_each(VIP_T_VI, close_doorbell, NULL);
}

/* As the agent has it.  What is longer than its addresses is refused by vip_get_addr() before. */
static struct ka_addr to_agent(const struct nic_addr *a)
{
	struct ka_addr to = {.host_len = a->host_len, .disc_len = a->disc_len};

	memcpy(to.bytes, a->bytes, (size_t)a->host_len + a->disc_len);
	return to;
}

int emu_conn_wait(struct vip_nic *nic, const struct nic_addr *local, uint32_t timeout,
		  struct nic_request *out)
{
	struct ka_req req = {.op = KA_OP_CONN_WAIT,
			     .u.wait = {.timeout_ms = timeout, .local = to_agent(local)}};
	struct pending p;
	struct ka_rep rep;
	int err;

	pending_begin(&p, nic);
	req.u.wait.cookie = p.cookie;
	err = vip_call(nic, &req, &rep, NULL);
	if (err) {
		pending_end(&p, false);
		return err;
	}
	err = pending_end(&p, true);
	if (err)
		return err;
	out->id = p.ev.conn;
	out->attr = p.ev.info.peer;
	out->remote.host_len = p.ev.remote.host_len;
	out->remote.disc_len = p.ev.remote.disc_len;
	if (p.ev.remote.host_len > KA_NIC_ADDR_LEN || p.ev.remote.disc_len > KA_MAX_DISC)
		return -EPROTO;
	memcpy(out->remote.bytes, p.ev.remote.bytes, (size_t)out->remote.host_len + out->remote.disc_len);
	return 0;
}

int emu_conn_accept(struct vip_vi *vi, uint64_t id)
{
	struct ka_req req = {.op = KA_OP_CONN_ACCEPT, .u.accept = {.conn = id, .vi = vi->id}};
	int fds[KA_MAX_FDS], err;
	struct ka_rep rep;

	err = vip_call(vi->nic, &req, &rep, fds);
	if (err)
		return err;
	err = attach(vi, &rep.u.conn, fds);
	if (err)
		emu_disconnect(vi);
	return err;
}

int emu_conn_reject(struct vip_nic *nic, uint64_t id)
{
	struct ka_req req = {.op = KA_OP_CONN_REJECT, .u.accept.conn = id};
	struct ka_rep rep;

	return vip_call(nic, &req, &rep, NULL);
}

int emu_conn_request(struct vip_vi *vi, const struct nic_addr *local, const struct nic_addr *remote,
		     uint32_t timeout, struct ka_vi_attr *attr)
{
	struct ka_req req = {.op = KA_OP_CONN_REQUEST,
			     .u.request = {.vi = vi->id,
					   .timeout_ms = timeout,
					   .grace_ms = vip_choices()->grace_ms,
					   .local = to_agent(local),
					   .remote = to_agent(remote)}};
	struct pending p;
	struct ka_rep rep;
	int err;

	pending_begin(&p, vi->nic);
	req.u.request.cookie = p.cookie;
	err = vip_call(vi->nic, &req, &rep, NULL);
	if (err) {
		pending_end(&p, false);
		return err;
	}
	err = pending_end(&p, true);
	if (err) {
		if (err == -ECANCELED)
			vip_why("the request was ended by VipDisconnect");
		return err;
	}
	err = attach(vi, &p.ev.info, p.fds);
	if (err)
		emu_disconnect(vi);
	*attr = p.ev.info.peer;
	return err;
}

int emu_conn_peer(struct vip_vi *vi, uint64_t cookie, const struct nic_addr *local,
		  const struct nic_addr *remote, uint32_t timeout)
{
	struct ka_req req = {.op = KA_OP_CONN_PEER,
			     .u.request = {.cookie = cookie,
					   .vi = vi->id,
					   .timeout_ms = timeout,
					   .local = to_agent(local),
					   .remote = to_agent(remote)}};
	struct ka_rep rep;

	return vip_call(vi->nic, &req, &rep, NULL);
}

void emu_ready(struct vip_vi *vi)
{
	struct emu_vi *e = vi->priv;

	if (ka_load_acquire(&e->l.region->ctl.side[1 - e->l.side].ready))
		emu_probe(e);
	ka_store_release(&e->l.region->ctl.side[e->l.side].ready,
			 KA_READY | (vi->nic->words.barrier ? KA_READY_BARRIER : 0));
	emu_kick_peer(e); /* it may have sends that waited for this */
	/* it may have gone before it could kick us */
	emu_kick_for(emu_nic(vi->nic)->wake, vi->q[VIP_RQ].word);
}

void emu_quiet(const struct emu_vi *e)
{
	const uint32_t *busy = &e->l.region->ctl.side[1 - e->l.side].busy;
	uint32_t before = __atomic_load_n(busy, __ATOMIC_SEQ_CST);
	uint64_t end;

	if (!(before & 1))
		return;
	end = vip_now_ms() + QUIET_MS;
	while (__atomic_load_n(busy, __ATOMIC_SEQ_CST) == before && vip_now_ms() < end)
		sched_yield();
	if (ka_load_acquire(busy) == before)
		vip_log(VIP_LOG_WARN, "a peer did not finish a write within %u ms: it is stopped, or it died",
			QUIET_MS);
}

void emu_sever(struct vip_vi *vi)
{
	struct emu_vi *e = vi->link;

	emu_set_down(&e->l, KA_DOWN_DISCONNECT);
	emu_alarm_peer(e);
	emu_quiet(e);
	emu_engine_leave(e);
	ka_store_release(&e->severed, 1);
}

void emu_detach(struct vip_vi *vi)
{
	struct emu_vi *e = vi->link;

	emu_link_end(e);
	emu_unmap_all(e);
	hang_up(e);
	munmap(e->l.region, sizeof(*e->l.region));
	emu_peer_put(emu_nic(vi->nic), e->peer);
	e->l.region = NULL;
	vi->link = NULL;
}

void emu_disconnect(struct vip_vi *vi)
{
	struct ka_req req = {.op = KA_OP_DISCONNECT, .u.vi.vi = vi->id};
	struct ka_rep rep;

	vip_call(vi->nic, &req, &rep, NULL);
}
