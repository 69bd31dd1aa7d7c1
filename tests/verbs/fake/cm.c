/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cm.c - the fake librdmacm: all that a call leads to has happened when it returns, as events in the
 * channels of both sides.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rdma/rdma_cma.h>

#include "fake.h"

#define REQUEST_BYTES 56 /* of private data of a request; it comes filled up to that */
#define NO_LISTENER   8
#define CONSUMER      28

struct event {
	struct rdma_cm_event ev;
	struct event *next;
	uint8_t data[256];
};

struct channel {
	struct rdma_event_channel c;
	int write_fd;
	struct event *first;
};

struct id {
	struct rdma_cm_id id;
	struct id *next;
	struct id *other;
	bool listens, came, up;
	uint32_t taken; /* events, not acknowledged */
	uint32_t qp_num, other_qp_num;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t acked = PTHREAD_COND_INITIALIZER;
static struct id *ids;
static struct ibv_context context; /* librdmacm's own, of the one device */

/* ---- events ---- */

struct rdma_event_channel *rdma_create_event_channel(void)
{
	struct channel *c;
	int fds[2];

	if (fake_call(__func__))
		return NULL;
	c = calloc(1, sizeof(*c));
	if (pipe2(fds, O_CLOEXEC))
		abort();
	c->c.fd = fds[0];
	c->write_fd = fds[1];
	fake_fd(c->c.fd, true);
	fake_count(FAKE_CM_CHANNEL, 1);
	return &c->c;
}

void rdma_destroy_event_channel(struct rdma_event_channel *channel)
{
	struct channel *c = (struct channel *)channel;

	fake_reached(__func__);
	fake_fd(c->c.fd, false);
	close(c->c.fd);
	close(c->write_fd);
	free(c);
	fake_count(FAKE_CM_CHANNEL, -1);
}

/* lock held. */
static void tell(struct id *to, struct id *listener, enum rdma_cm_event_type type, int status,
		 const struct rdma_conn_param *param, uint8_t at_least)
{
	struct channel *c = (struct channel *)to->id.channel;
	struct event *e = calloc(1, sizeof(*e)), **at;

	e->ev = (struct rdma_cm_event){.id = &to->id, .event = type, .status = status};
	if (listener)
		e->ev.listen_id = &listener->id;
	if (param) {
		e->ev.param.conn = *param;
		if (param->private_data_len)
			memcpy(e->data, param->private_data, param->private_data_len);
		e->ev.param.conn.private_data = e->data;
		if (e->ev.param.conn.private_data_len < at_least)
			e->ev.param.conn.private_data_len = at_least;
	}
	for (at = &c->first; *at; at = &(*at)->next)
		;
	*at = e;
	if (write(c->write_fd, "", 1) != 1)
		abort();
}

int rdma_get_cm_event(struct rdma_event_channel *channel, struct rdma_cm_event **ev)
{
	struct channel *c = (struct channel *)channel;
	struct event *e;
	char byte;

	do {
		if (read(c->c.fd, &byte, 1) != 1)
			return -1;
		pthread_mutex_lock(&lock);
		e = c->first;
		if (e) { /* else its id was destroyed */
			c->first = e->next;
			((struct id *)(e->ev.listen_id ? e->ev.listen_id : e->ev.id))->taken++;
		}
		pthread_mutex_unlock(&lock);
	} while (!e);
	fake_count(FAKE_CM_EVENT, 1);
	*ev = &e->ev;
	return 0;
}

int rdma_ack_cm_event(struct rdma_cm_event *ev)
{
	pthread_mutex_lock(&lock);
	((struct id *)(ev->listen_id ? ev->listen_id : ev->id))->taken--;
	pthread_cond_broadcast(&acked);
	pthread_mutex_unlock(&lock);
	free(ev);
	fake_count(FAKE_CM_EVENT, -1);
	return 0;
}

const char *rdma_event_str(enum rdma_cm_event_type type)
{
	(void)type;
	return "a CM event";
}

/* ---- ids ---- */

static struct id *new_id(struct rdma_event_channel *channel, void *ctx)
{
	struct id *id = calloc(1, sizeof(*id));

	id->id.channel = channel;
	id->id.context = ctx;
	id->next = ids;
	ids = id;
	fake_count(FAKE_CM_ID, 1);
	return id;
}

int rdma_create_id(struct rdma_event_channel *channel, struct rdma_cm_id **id, void *ctx,
		   enum rdma_port_space ps)
{
	if (fake_call(__func__))
		return -1;
	pthread_mutex_lock(&lock);
	*id = &new_id(channel, ctx)->id;
	(*id)->ps = ps;
	pthread_mutex_unlock(&lock);
	return 0;
}

/* lock held; the other side learns that there is none any more. */
static void part(struct id *id)
{
	struct id *o = id->other;

	id->other = NULL;
	if (!o)
		return;
	o->other = NULL;
	tell(o, NULL, id->up ? RDMA_CM_EVENT_DISCONNECTED : RDMA_CM_EVENT_REJECTED, CONSUMER, NULL, 0);
	id->up = o->up = false;
}

int rdma_destroy_id(struct rdma_cm_id *cm_id)
{
	struct id *id = (struct id *)cm_id, **at;
	struct event **ev, *e;

	pthread_mutex_lock(&lock);
	part(id);
	for (ev = &((struct channel *)cm_id->channel)->first; *ev;) {
		e = *ev;
		if (e->ev.id != cm_id && e->ev.listen_id != cm_id) {
			ev = &e->next;
			continue;
		}
		*ev = e->next;
		free(e);
	}
	while (id->taken)
		pthread_cond_wait(&acked, &lock);
	for (at = &ids; *at != id; at = &(*at)->next)
		;
	*at = id->next;
	pthread_mutex_unlock(&lock);
	free(id);
	fake_count(FAKE_CM_ID, -1);
	return 0;
}

static uint16_t port_of(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET ? ((const struct sockaddr_in *)a)->sin_port
				       : ((const struct sockaddr_in6 *)a)->sin6_port;
}

uint16_t rdma_get_src_port(struct rdma_cm_id *id)
{
	return port_of(&id->route.addr.src_storage);
}

uint16_t rdma_get_dst_port(struct rdma_cm_id *id)
{
	return port_of(&id->route.addr.dst_storage);
}

static void set_addr(struct sockaddr_storage *to, const struct sockaddr *from)
{
	memcpy(to, from,
	       from->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
}

static void __attribute__((constructor)) init(void)
{
	context.device = fake_device();
}

static void set_device(struct rdma_cm_id *id)
{
	id->verbs = &context;
	id->port_num = 1;
}

/* lock held. */
static struct id *listener_at(uint16_t port)
{
	struct id *id = ids;

	while (id && !(id->listens && port_of(&id->id.route.addr.src_storage) == port))
		id = id->next;
	return id;
}

int rdma_set_option(struct rdma_cm_id *id, int level, int name, void *value, size_t n)
{
	(void)id;
	(void)level;
	(void)name;
	(void)value;
	(void)n;
	return fake_call(__func__) ? -1 : 0;
}

int rdma_bind_addr(struct rdma_cm_id *id, struct sockaddr *addr)
{
	bool used;

	if (fake_call(__func__))
		return -1;
	pthread_mutex_lock(&lock);
	set_addr(&id->route.addr.src_storage, addr);
	used = listener_at(port_of(&id->route.addr.src_storage));
	if (!used)
		set_device(id);
	pthread_mutex_unlock(&lock);
	if (used)
		errno = EADDRINUSE;
	return used ? -1 : 0;
}

int rdma_listen(struct rdma_cm_id *id, int backlog)
{
	(void)backlog;
	if (fake_call(__func__))
		return -1;
	pthread_mutex_lock(&lock);
	((struct id *)id)->listens = true;
	pthread_mutex_unlock(&lock);
	return 0;
}

/* ---- connecting ---- */

int rdma_resolve_addr(struct rdma_cm_id *id, struct sockaddr *src, struct sockaddr *dst, int ms)
{
	(void)ms;
	if (fake_call(__func__))
		return -1;
	pthread_mutex_lock(&lock);
	if (src)
		set_addr(&id->route.addr.src_storage, src);
	set_addr(&id->route.addr.dst_storage, dst);
	set_device(id);
	tell((struct id *)id, NULL, RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0);
	pthread_mutex_unlock(&lock);
	return 0;
}

int rdma_resolve_route(struct rdma_cm_id *id, int ms)
{
	(void)ms;
	if (fake_call(__func__))
		return -1;
	pthread_mutex_lock(&lock);
	tell((struct id *)id, NULL, RDMA_CM_EVENT_ROUTE_RESOLVED, 0, NULL, 0);
	pthread_mutex_unlock(&lock);
	return 0;
}

int rdma_connect(struct rdma_cm_id *id, struct rdma_conn_param *param)
{
	struct id *i = (struct id *)id, *l, *came;

	if (fake_call(__func__))
		return -1;
	pthread_mutex_lock(&lock);
	i->qp_num = param->qp_num;
	l = listener_at(port_of(&id->route.addr.dst_storage));
	if (!l) {
		tell(i, NULL, RDMA_CM_EVENT_REJECTED, NO_LISTENER, NULL, 0);
	} else {
		came = new_id(l->id.channel, l->id.context);
		came->id.ps = id->ps;
		came->id.route.addr.src_storage = id->route.addr.dst_storage;
		came->id.route.addr.dst_storage = id->route.addr.src_storage;
		set_device(&came->id);
		came->came = true;
		came->other = i;
		i->other = came;
		came->other_qp_num = param->qp_num;
		if (fake.requests_read_none)
			param->initiator_depth = 0;
		tell(came, l, RDMA_CM_EVENT_CONNECT_REQUEST, 0, param, REQUEST_BYTES);
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

void fake_cm_die(void)
{
	struct id *id;

	pthread_mutex_lock(&lock);
	for (id = ids; id; id = id->next) {
		id->listens = false;
		if (id->came && !id->up)
			part(id);
	}
	pthread_mutex_unlock(&lock);
}

void fake_cm_remove(void)
{
	struct id *id;

	pthread_mutex_lock(&lock);
	for (id = ids; id; id = id->next) {
		if (id->id.verbs)
			tell(id, NULL, RDMA_CM_EVENT_DEVICE_REMOVAL, 0, NULL, 0);
	}
	pthread_mutex_unlock(&lock);
}

static int gone(void)
{
	errno = ENOTCONN;
	return -1;
}

int rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *param)
{
	struct id *i = (struct id *)id, *o;

	if (fake_call(__func__))
		return -1;
	pthread_mutex_lock(&lock);
	o = i->other;
	if (o) {
		i->qp_num = o->other_qp_num = param->qp_num;
		tell(o, NULL, RDMA_CM_EVENT_CONNECT_RESPONSE, 0, param, 0);
	}
	pthread_mutex_unlock(&lock);
	return o ? 0 : gone();
}

int rdma_establish(struct rdma_cm_id *id)
{
	struct id *i = (struct id *)id, *o;

	if (fake_call(__func__))
		return -1;
	pthread_mutex_lock(&lock);
	o = i->other;
	if (o) {
		i->up = o->up = true;
		tell(o, NULL, RDMA_CM_EVENT_ESTABLISHED, 0, NULL, 0);
	}
	pthread_mutex_unlock(&lock);
	return o ? 0 : gone();
}

int rdma_reject(struct rdma_cm_id *id, const void *data, uint8_t n)
{
	struct rdma_conn_param param = {.private_data = data, .private_data_len = n};
	struct id *i = (struct id *)id, *o;

	if (fake_call(__func__))
		return -1;
	pthread_mutex_lock(&lock);
	o = i->other;
	if (o) {
		i->other = o->other = NULL;
		tell(o, NULL, RDMA_CM_EVENT_REJECTED, CONSUMER, &param, 0);
	}
	pthread_mutex_unlock(&lock);
	return o ? 0 : gone();
}

int rdma_disconnect(struct rdma_cm_id *id)
{
	struct id *i = (struct id *)id;
	bool up;

	if (fake_call(__func__))
		return -1;
	pthread_mutex_lock(&lock);
	up = i->up;
	if (up)
		tell(i, NULL, RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
	part(i);
	pthread_mutex_unlock(&lock);
	return up ? 0 : gone();
}

int rdma_init_qp_attr(struct rdma_cm_id *id, struct ibv_qp_attr *attr, int *mask)
{
	if (fake_call(__func__))
		return -1;
	pthread_mutex_lock(&lock);
	*mask = IBV_QP_STATE;
	if (attr->qp_state == IBV_QPS_RTR) {
		*mask |= IBV_QP_DEST_QPN;
		attr->dest_qp_num = ((struct id *)id)->other_qp_num;
	}
	pthread_mutex_unlock(&lock);
	return 0;
}
