/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_listen.c - who may be asked for here, and the requests that come.
 *
 * A place is an address that somebody waits at.  It is listened for at the first
 * of its discriminator's ports that no other process has, some time longer than
 * somebody waits: a request that finds the place without anybody is held for a
 * moment, so that a server who comes back for the next client finds it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nic-verbs/verbs_cm.h"

#define BACKLOG	   256	 /* requests that the kernel keeps for us */
#define HOLD_MS	   20u	 /* how long a request is held that nobody waits for */
#define LINGER_MS  2000u /* how long a place outlives its users */
#define AGAIN_MS   50u	 /* when to look again for a port, while all candidates are taken */
#define PREFACE_MS 3000u /* how long a preface is kept */
#define MAX_CAME   1024u /* requests held and given; more are told that nobody waits */
#define MAX_IDLE   1024u /* places without users */

bool cm_addr_equal(const struct nic_addr *a, const struct nic_addr *b)
{
	return a->host_len == b->host_len && a->disc_len == b->disc_len &&
	       memcmp(a->bytes, b->bytes, (size_t)a->host_len + a->disc_len) == 0;
}

/* ---- ports ---- */

static void port_put(struct verbs_cm *cm, struct verbs_port *port)
{
	struct verbs_port **at;

	if (--port->places)
		return;
	for (at = &cm->ports; *at != port; at = &(*at)->next)
		;
	*at = port->next;
	cm_bury(cm, port->call);
	free(port);
}

/* Listen at (@host, @number): 0; -EADDRINUSE: somebody else does; else the host is not this one. */
static int port_listen(struct verbs_cm *cm, struct verbs_port *port)
{
	struct sockaddr_storage sa;
	int err = 0;

	port->call = cm_call(cm, CALL_LISTEN);
	if (!port->call)
		return -ENOMEM;
	port->call->port = port;
	cm_sockaddr(port->host, port->number, &sa);
	if (rdma_bind_addr(port->call->id, (struct sockaddr *)&sa))
		err = -errno;
	else if (!cm_ours(cm, port->call->id))
		err = -EADDRNOTAVAIL;
	else if (rdma_listen(port->call->id, BACKLOG))
		err = -errno;
	if (err)
		cm_bury(cm, port->call);
	return err;
}

/* The port of this number; @err: why there is none. */
static struct verbs_port *port_get(struct verbs_cm *cm, const uint8_t *host, uint16_t number, int *err)
{
	struct verbs_port *port = cm->ports;

	while (port && (port->number != number || memcmp(port->host, host, sizeof(port->host)) != 0))
		port = port->next;
	if (!port) {
		port = calloc(1, sizeof(*port));
		if (!port) {
			*err = -ENOMEM;
			return NULL;
		}
		memcpy(port->host, host, sizeof(port->host));
		port->number = number;
		*err = port_listen(cm, port);
		if (*err) {
			free(port);
			return NULL;
		}
		port->next = cm->ports;
		cm->ports = port;
	}
	port->places++;
	return port;
}

/* ---- places ---- */

static void place_listen(struct verbs_cm *cm, struct verbs_place *p)
{
	const uint8_t *disc = p->addr.bytes + p->addr.host_len;
	uint32_t k;
	int err = -EADDRINUSE, before = p->err;

	for (k = 0; k < VERBS_PORTS && err == -EADDRINUSE; k++) {
		err = 0;
		p->port = port_get(cm, p->addr.bytes, verbs_port_of(disc, p->addr.disc_len, k), &err);
	}
	p->err = err;
	p->until = err == -EADDRINUSE ? vip_now_ms() + AGAIN_MS : CM_NEVER;
	if (err == -EADDRINUSE && err != before)
		vip_log(VIP_LOG_WARN,
			"%s: a wait is not heard of: all %u ports that its discriminator may have are taken "
			"by "
			"other processes of this host; tried again until one ends",
			cm->vn->nic->device, VERBS_PORTS);
	else if (err && err != before)
		vip_log(VIP_LOG_WARN, "%s: no port can be listened at: %s", cm->vn->nic->device,
			strerror(-err));
	if (p->port && p->until == CM_NEVER)
		cm_kick(cm);
}

static struct verbs_place *place_find(struct verbs_cm *cm, const struct nic_addr *addr)
{
	struct verbs_place *p = cm->places;

	while (p && !cm_addr_equal(&p->addr, addr))
		p = p->next;
	return p;
}

static void place_drop(struct verbs_cm *cm, struct verbs_place **at)
{
	struct verbs_place *p = *at;

	*at = p->next;
	if (p->port)
		port_put(cm, p->port);
	free(p);
}

/* Of the places without users no more than MAX_IDLE; those that are older come later in the list. */
static void place_limit(struct verbs_cm *cm)
{
	struct verbs_place **at = &cm->places;
	uint32_t n = 0;

	while (*at) {
		if ((*at)->users || ++n < MAX_IDLE)
			at = &(*at)->next;
		else
			place_drop(cm, at);
	}
}

struct verbs_place *cm_place_get(struct verbs_cm *cm, const struct nic_addr *addr)
{
	struct verbs_place *p = place_find(cm, addr);

	if (!p) {
		place_limit(cm);
		p = calloc(1, sizeof(*p));
		if (!p)
			return NULL;
		p->addr = *addr;
		p->next = cm->places;
		cm->places = p;
	}
	p->users++;
	if (p->port)
		p->until = CM_NEVER;
	else
		place_listen(cm, p);
	return p;
}

int cm_place_check(const struct verbs_cm *cm, const struct verbs_place *p)
{
	if (p->port || p->err == -EADDRINUSE)
		return 0;
	if (p->err == -EADDRNOTAVAIL) {
		vip_why("the local address is none of %s's any more", cm->vn->nic->device);
		return -EINVAL;
	}
	vip_why("%s cannot be listened at: %s", cm->vn->nic->device, strerror(-p->err));
	return p->err;
}

void cm_place_put(struct verbs_cm *cm, struct verbs_place *p)
{
	if (--p->users)
		return;
	p->until = vip_now_ms() + LINGER_MS;
	cm_kick(cm);
}

/* ---- requests ---- */

void cm_came_drop(struct verbs_cm *cm, struct verbs_call *call)
{
	struct verbs_call **at;

	for (at = &cm->came; *at != call; at = &(*at)->next)
		;
	*at = call->next;
	cm->ncame--;
}

static void refuse(struct verbs_cm *cm, struct verbs_call *call, enum verbs_refusal reason,
		   const struct ka_vi_attr *attr)
{
	struct verbs_answer answer = {.kind = VERBS_REFUSED, .reason = reason};
	uint8_t bytes[VERBS_ANSWER_BYTES];

	if (attr)
		answer.attr = *attr;
	verbs_answer_encode(&answer, bytes);
	if (rdma_reject(call->id, bytes, sizeof(bytes))) {
		/* it has gone, and needs no answer */
	}
	cm_bury(cm, call);
}

void cm_refuse(struct verbs_cm *cm, struct verbs_call *call, enum verbs_refusal reason,
	       const struct ka_vi_attr *attr)
{
	cm_came_drop(cm, call);
	refuse(cm, call, reason, attr);
}

struct verbs_call *cm_held(struct verbs_cm *cm, const struct nic_addr *addr)
{
	struct verbs_call *call = cm->came;

	while (call &&
	       (call->given || call->hello.kind != VERBS_CLIENT || !cm_addr_equal(&call->local, addr)))
		call = call->next;
	if (call)
		call->given = true;
	return call;
}

struct verbs_call *cm_given(struct verbs_cm *cm, uint64_t number)
{
	struct verbs_call *call = cm->came;

	while (call && (call->number != number || !call->given || call->hello.kind != VERBS_CLIENT))
		call = call->next;
	return call;
}

static struct nic_addr address(const uint8_t host[NIC_MAX_HOST], const uint8_t *disc, uint8_t len)
{
	struct nic_addr a = {.host_len = NIC_MAX_HOST, .disc_len = len};

	memcpy(a.bytes, host, NIC_MAX_HOST);
	memcpy(a.bytes + NIC_MAX_HOST, disc, len);
	return a;
}

/* Place of the preface (@host, @nonce), or one for it when @make. */
static struct verbs_preface *preface(struct verbs_cm *cm, const uint8_t *host, uint32_t nonce, bool make)
{
	struct verbs_preface *p, *oldest = &cm->preface[0];
	uint64_t now = vip_now_ms();

	for (p = cm->preface; p < cm->preface + CM_PREFACES; p++) {
		if (p->until > now && p->nonce == nonce && memcmp(p->host, host, sizeof(p->host)) == 0)
			return p;
		if (p->until < oldest->until)
			oldest = p;
	}
	return make ? oldest : NULL;
}

static void store_preface(struct verbs_cm *cm, const uint8_t *host, const struct verbs_hello *h)
{
	struct verbs_preface *p = preface(cm, host, h->nonce, true);

	p->until = vip_now_ms() + PREFACE_MS;
	p->nonce = h->nonce;
	memcpy(p->host, host, sizeof(p->host));
	p->len = h->own_len;
	memcpy(p->disc, h->own, sizeof(p->disc));
}

static void hand_over(struct verbs_cm *cm, struct verbs_place *place, struct verbs_call *call)
{
	struct verbs_waiter *w = place->waiters;

	place->waiters = w->next;
	w->got = call;
	call->given = true;
	pthread_cond_broadcast(&cm->changed);
}

/* The request is understood; it is in cm->came. */
static void match(struct verbs_cm *cm, struct verbs_call *call)
{
	struct verbs_place *place = place_find(cm, &call->local);

	if (!place)
		cm_refuse(cm, call, VERBS_NOT_ME, NULL);
	else if (cm->stopped || cm->ncame > MAX_CAME)
		cm_refuse(cm, call, VERBS_NOBODY, NULL);
	else if (call->hello.kind == VERBS_PEER)
		cm_peer_came(cm, call);
	else if (place->waiters)
		hand_over(cm, place, call);
}

static void came(struct verbs_cm *cm, struct verbs_call *call, const struct rdma_conn_param *conn)
{
	uint8_t local[NIC_MAX_HOST], remote[NIC_MAX_HOST];
	struct verbs_hello *h = &call->hello;
	struct verbs_preface *p = NULL;
	struct verbs_call **at;
	int err = verbs_hello_decode(conn->private_data, conn->private_data_len, h);

	if (err || !cm_host(rdma_get_local_addr(call->id), local) ||
	    !cm_host(rdma_get_peer_addr(call->id), remote)) {
		vip_log(VIP_LOG_INFO,
			"%s: a connection request that is none of VIPL's, or of another version",
			cm->vn->nic->device);
		refuse(cm, call, VERBS_VERSION, NULL);
		return;
	}
	if (h->kind == VERBS_PREFACE) {
		store_preface(cm, remote, h);
		refuse(cm, call, VERBS_STORED, NULL);
		return;
	}
	if (h->prefaced) {
		p = preface(cm, remote, h->nonce, false);
		if (!p || p->len != h->own_len) {
			refuse(cm, call, VERBS_UNKNOWN, NULL);
			return;
		}
		memcpy(h->own, p->disc, sizeof(h->own));
	}
	call->local = address(local, h->remote, h->remote_len);
	call->remote = address(remote, h->own, h->own_len);
	call->until = vip_now_ms() + HOLD_MS;
	for (at = &cm->came; *at; at = &(*at)->next)
		;
	*at = call;
	cm->ncame++;
	match(cm, call);
}

/* A large message would wait for ever to be read. */
static void refuse_unread(struct verbs_cm *cm, struct verbs_call *call, const struct rdma_conn_param *conn)
{
	vip_log(VIP_LOG_WARN,
		"%s: a connection request is refused: its device lets %u RDMA reads come and %u go, and 1 of "
		"each is needed",
		cm->vn->nic->device, conn->initiator_depth, conn->responder_resources);
	refuse(cm, call, VERBS_VERSION, NULL);
}

void cm_came(struct verbs_cm *cm, const struct rdma_cm_event *ev)
{
	uint8_t reads = cm_reads(cm->vn);
	struct verbs_call *call = calloc(1, sizeof(*call));

	if (!call) {
		/* its id stays, of no use, until the handle is closed; the other side's time runs out */
		ev->id->context = NULL;
		return;
	}
	call->role = CALL_CAME;
	call->number = ++cm->last_number;
	call->id = ev->id;
	call->id->context = call;
	call->responder_resources = (uint8_t)cm_min(reads, ev->param.conn.responder_resources);
	call->initiator_depth = (uint8_t)cm_min(reads, ev->param.conn.initiator_depth);
	if (!cm_ours(cm, call->id))
		refuse(cm, call, VERBS_NOT_ME, NULL);
	else if (!call->responder_resources || !call->initiator_depth)
		refuse_unread(cm, call, &ev->param.conn);
	else
		came(cm, call, &ev->param.conn);
}

/* ---- what is due, and the end ---- */

static uint64_t places_tick(struct verbs_cm *cm, uint64_t now)
{
	struct verbs_place **at = &cm->places, *p;
	uint64_t due = CM_NEVER;

	while ((p = *at)) {
		if (p->until <= now && !p->users) {
			place_drop(cm, at);
			continue;
		}
		if (p->until <= now && !p->port)
			place_listen(cm, p);
		due = cm_min(due, p->until);
		at = &p->next;
	}
	return due;
}

uint64_t cm_listen_tick(struct verbs_cm *cm, uint64_t now)
{
	uint64_t due = places_tick(cm, now);
	struct verbs_call *call, *next;

	for (call = cm->came; call; call = next) {
		next = call->next;
		if (call->given)
			continue;
		if (call->until <= now)
			cm_refuse(cm, call, VERBS_NOBODY, NULL);
		else
			due = cm_min(due, call->until);
	}
	return due;
}

void cm_listen_close(struct verbs_cm *cm)
{
	while (cm->came)
		cm_refuse(cm, cm->came, cm->came->given ? VERBS_REJECTED : VERBS_NOBODY, NULL);
	while (cm->places)
		place_drop(cm, &cm->places);
}
