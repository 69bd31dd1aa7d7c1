/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* verbs_cm.c - see verbs_cm.h: opening and closing, the two threads, events. */
#include "nic-verbs/verbs_cm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* ---- calls ---- */

struct verbs_call *cm_call(struct verbs_cm *cm, enum verbs_role role)
{
	struct verbs_call *call = calloc(1, sizeof(*call));

	if (!call) {
		vip_why("no memory for a connection");
		return NULL;
	}
	call->role = role;
	call->number = ++cm->last_number;
	call->responder_resources = call->initiator_depth = cm_reads(cm->vn);
	if (rdma_create_id(cm->channel, &call->id, call, RDMA_PS_TCP)) {
		vip_why("librdmacm makes no id: %s", strerror(errno));
		free(call);
		return NULL;
	}
	return call;
}

void cm_destroy(struct verbs_call *call)
{
	rdma_destroy_id(call->id);
	free(call);
}

void cm_bury(struct verbs_cm *cm, struct verbs_call *call)
{
	call->role = CALL_OVER;
	call->next = cm->graves;
	cm->graves = call;
	cm_kick(cm);
}

void cm_lost(struct verbs_cm *cm, struct verbs_call *call)
{
	call->lost = true;
	pthread_cond_broadcast(&cm->changed);
	if (call->role != CALL_LINK || call->told)
		return;
	call->told = true;
	call->next_lost = NULL;
	if (cm->lost_first)
		cm->lost_last->next_lost = call;
	else
		cm->lost_first = call;
	cm->lost_last = call;
	pthread_cond_signal(&cm->work);
}

bool cm_ours(const struct verbs_cm *cm, const struct rdma_cm_id *id)
{
	return id->verbs &&
	       strcmp(ibv_get_device_name(id->verbs->device), ibv_get_device_name(cm->vn->ctx->device)) == 0;
}

uint8_t cm_reads(const struct verbs_nic *vn)
{
	int n = vn->dev.max_qp_rd_atom < vn->dev.max_qp_init_rd_atom ? vn->dev.max_qp_rd_atom
								     : vn->dev.max_qp_init_rd_atom;

	return (uint8_t)(n < 0 ? 0 : n > (int)VERBS_READS ? (int)VERBS_READS : n);
}

/* ---- addresses and times ---- */

static bool is_v4(const uint8_t host[NIC_MAX_HOST])
{
	static const uint8_t mapped[12] = {[10] = 0xff, 0xff};

	return memcmp(host, mapped, sizeof(mapped)) == 0;
}

socklen_t cm_sockaddr(const uint8_t host[NIC_MAX_HOST], uint16_t port, struct sockaddr_storage *to)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	memset(to, 0, sizeof(*to));
	if (is_v4(host)) {
		memcpy(&v4.sin_addr, host + 12, sizeof(v4.sin_addr));
		memcpy(to, &v4, sizeof(v4));
		return sizeof(v4);
	}
	memcpy(&v6.sin6_addr, host, sizeof(v6.sin6_addr));
	memcpy(to, &v6, sizeof(v6));
	return sizeof(v6);
}

bool cm_host(const struct sockaddr *sa, uint8_t host[NIC_MAX_HOST])
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memset(host, 0, NIC_MAX_HOST);
	if (!sa)
		return false;
	if (sa->sa_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		host[10] = host[11] = 0xff;
		memcpy(host + 12, &v4.sin_addr, sizeof(v4.sin_addr));
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(&v6, sa, sizeof(v6));
	memcpy(host, &v6.sin6_addr, sizeof(v6.sin6_addr));
	return true;
}

uint64_t cm_after(uint32_t ms)
{
	return ms == KA_INFINITE ? CM_NEVER : vip_now_ms() + ms;
}

/* For the conditions, whose clock is the one of vip_now_ms(). */
void cm_deadline(struct timespec *at, uint64_t ms)
{
	at->tv_sec = (time_t)(ms / 1000);
	at->tv_nsec = (long)(ms % 1000) * 1000000;
}

/* ---- the thread of events ---- */

void cm_kick(struct verbs_cm *cm)
{
	uint64_t one = 1;

	if (write(cm->kick, &one, sizeof(one)) < 0) {
		/* it is full: the thread looks in any case */
	}
}

static void link_event(struct verbs_cm *cm, struct verbs_call *call, const struct rdma_cm_event *ev)
{
	switch (ev->event) {
	case RDMA_CM_EVENT_ESTABLISHED:
		call->up = true;
		pthread_cond_broadcast(&cm->changed);
		break;
	case RDMA_CM_EVENT_REJECTED:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_DISCONNECTED:
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
		cm_lost(cm, call);
		break;
	default:
		return;
	}
	if (call->role == CALL_CAME && call->peering) {
		cm_peer_changed(cm, call->peering);
	} else if (call->role == CALL_CAME && call->lost && !call->given) {
		cm_came_drop(cm, call); /* nobody has heard of it */
		cm_bury(cm, call);
	}
}

/* cm->lock held. */
static void event(struct verbs_cm *cm, const struct rdma_cm_event *ev)
{
	struct verbs_call *call = ev->id->context;

	if (ev->event == RDMA_CM_EVENT_CONNECT_REQUEST) {
		cm_came(cm, ev);
		return;
	}
	vip_log(VIP_LOG_DEBUG, "%s: %s, status %d", cm->vn->nic->device, rdma_event_str(ev->event),
		ev->status);
	if (!call) /* for which there was no memory */
		return;
	if (ev->event == RDMA_CM_EVENT_DEVICE_REMOVAL && cm_ours(cm, ev->id) && !cm->broken) {
		cm->removed = true;
		pthread_cond_signal(&cm->work);
	}
	switch (call->role) {
	case CALL_TRY:
		cm_try_event(cm, call, ev);
		break;
	case CALL_CAME:
	case CALL_LINK:
		link_event(cm, call, ev);
		break;
	case CALL_LISTEN: /* a device that goes takes the ids with it: nobody can come any more */
	case CALL_OVER:
		break;
	}
}

static void take_events(struct verbs_cm *cm)
{
	struct rdma_cm_event *ev;

	while (rdma_get_cm_event(cm->channel, &ev) == 0) {
		pthread_mutex_lock(&cm->lock);
		event(cm, ev);
		pthread_mutex_unlock(&cm->lock);
		rdma_ack_cm_event(ev);
	}
}

static void bury_all(struct verbs_cm *cm)
{
	struct verbs_call *call, *next;

	pthread_mutex_lock(&cm->lock);
	call = cm->graves;
	cm->graves = NULL;
	pthread_mutex_unlock(&cm->lock);
	for (; call; call = next) {
		next = call->next;
		cm_destroy(call);
	}
}

static void *events_thread(void *arg)
{
	struct verbs_cm *cm = arg;
	struct pollfd fds[2] = {{.fd = cm->channel->fd, .events = POLLIN},
				{.fd = cm->kick, .events = POLLIN}};
	uint64_t now, due, kicks;
	bool quit;

	vip_foreign = true;
	do {
		bury_all(cm);
		now = vip_now_ms();
		pthread_mutex_lock(&cm->lock);
		due = cm_listen_tick(cm, now);
		due = cm_min(due, cm_try_tick(cm, now));
		due = cm_min(due, cm_peer_tick(cm, now));
		quit = cm->quit;
		if (cm->graves)
			due = now;
		pthread_mutex_unlock(&cm->lock);
		if (quit)
			break;
		now = vip_now_ms();
		poll(fds, 2, due == CM_NEVER ? -1 : due <= now ? 0 : (int)cm_min(due - now, 60000));
		if ((fds[1].revents & POLLIN) && read(cm->kick, &kicks, sizeof(kicks)) < 0) {
			/* somebody else's kick was taken with it */
		}
		take_events(cm);
	} while (!quit);
	return NULL;
}

/* ---- the thread of calls ---- */

/* The connection number @number of the VI, if that still has it, is lost. */
static void tell_lost(struct verbs_cm *cm, struct vip_vi *vi, uint64_t number)
{
	struct verbs_end *e;

	pthread_mutex_lock(&vi->lock);
	e = verbs_end_of(cm->vn, vi);
	if (e && e->number == number)
		verbs_gone(e);
	pthread_mutex_unlock(&vi->lock);
}

static void *calls_thread(void *arg)
{
	struct verbs_cm *cm = arg;
	struct verbs_peering *p;
	struct verbs_call *call;
	struct vip_vi *vi;
	uint64_t number;

	vip_foreign = true;
	pthread_mutex_lock(&cm->lock);
	while (!cm->quit) {
		call = cm->lost_first;
		p = cm->work_first;
		if (cm->removed) {
			cm->removed = false;
			pthread_mutex_unlock(&cm->lock);
			verbs_break_all(cm->vn, "the device was removed");
		} else if (call) {
			cm->lost_first = call->next_lost;
			call->told = false;
			vi = call->vi;
			number = call->number;
			pthread_mutex_unlock(&cm->lock);
			tell_lost(cm, vi, number);
		} else if (p) {
			cm->work_first = p->next_work;
			p->queued = false;
			number = p->cookie;
			pthread_mutex_unlock(&cm->lock);
			cm_peer_work(cm, number);
		} else {
			pthread_cond_wait(&cm->work, &cm->lock);
			continue;
		}
		pthread_mutex_lock(&cm->lock);
	}
	pthread_mutex_unlock(&cm->lock);
	return NULL;
}

/* ---- open and close ---- */

static void init_cond(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

static void init_locks(struct verbs_cm *cm)
{
	pthread_mutex_init(&cm->lock, NULL);
	init_cond(&cm->changed);
	init_cond(&cm->work);
}

static void destroy_locks(struct verbs_cm *cm)
{
	pthread_cond_destroy(&cm->work);
	pthread_cond_destroy(&cm->changed);
	pthread_mutex_destroy(&cm->lock);
}

static void stop_thread(struct verbs_cm *cm, pthread_t thread)
{
	pthread_mutex_lock(&cm->lock);
	cm->quit = true;
	pthread_cond_broadcast(&cm->work);
	pthread_mutex_unlock(&cm->lock);
	cm_kick(cm);
	pthread_join(thread, NULL);
}

static int start_threads(struct verbs_cm *cm)
{
	sigset_t signals, old;
	int err;

	sigfillset(&signals);
	pthread_sigmask(SIG_SETMASK, &signals, &old);
	err = -pthread_create(&cm->events, NULL, events_thread, cm);
	if (!err) {
		err = -pthread_create(&cm->calls, NULL, calls_thread, cm);
		if (err)
			stop_thread(cm, cm->events);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		vip_why("cannot start a thread: %s", strerror(-err));
	return err;
}

int verbs_cm_open(struct verbs_nic *vn)
{
	struct verbs_cm *cm = calloc(1, sizeof(*cm));
	int err;

	if (!cm) {
		vip_why("no memory for a NIC handle");
		return -ENOMEM;
	}
	cm->vn = vn;
	cm->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cm->channel = rdma_create_event_channel();
	if (cm->kick < 0 || !cm->channel || fcntl(cm->channel->fd, F_SETFL, O_NONBLOCK)) {
		err = -errno;
		vip_why("the RDMA connection manager is not there: %s (is the kernel module rdma_ucm loaded, "
			"and may "
			"/dev/infiniband/rdma_cm be opened?)",
			strerror(-err));
		goto close;
	}
	init_locks(cm);
	vn->cm = cm;
	err = start_threads(cm);
	if (!err)
		return 0;
	vn->cm = NULL;
	destroy_locks(cm);
close:
	if (cm->channel)
		rdma_destroy_event_channel(cm->channel);
	if (cm->kick >= 0)
		close(cm->kick);
	free(cm);
	return err;
}

void verbs_cm_wake(struct verbs_nic *vn)
{
	struct verbs_cm *cm = vn->cm;

	pthread_mutex_lock(&cm->lock);
	cm->stopped = true;
	pthread_cond_broadcast(&cm->changed);
	pthread_mutex_unlock(&cm->lock);
}

void verbs_cm_break(struct verbs_nic *vn)
{
	pthread_mutex_lock(&vn->cm->lock);
	vn->cm->broken = true;
	pthread_mutex_unlock(&vn->cm->lock);
	verbs_cm_wake(vn);
	cm_kick(vn->cm);
}

void verbs_cm_close(struct verbs_nic *vn)
{
	struct verbs_cm *cm = vn->cm;

	stop_thread(cm, cm->events);
	stop_thread(cm, cm->calls);
	pthread_mutex_lock(&cm->lock);
	cm_listen_close(cm);
	pthread_mutex_unlock(&cm->lock);
	bury_all(cm);
	rdma_destroy_event_channel(cm->channel);
	close(cm->kick);
	destroy_locks(cm);
	free(cm);
	vn->cm = NULL;
}

/* While the child had the channel open, the kernel would not end the parent's connections with the parent. */
void verbs_cm_forked(struct verbs_nic *vn)
{
	if (vn->cm) {
		close(vn->cm->channel->fd);
		close(vn->cm->kick);
	}
}
