/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * async.c - the asynchronous errors of a NIC handle: those that cannot be put
 * into a descriptor.
 *
 * Errors of one handle are delivered one at a time by a thread that exists
 * only while there are some; no lock is held meanwhile, so that a handler may
 * call anything, VipCloseNic included.
 */
#include "vipl/internal.h"

#include <signal.h>
#include <stdlib.h>

/* Asynchronous errors that wait for a slow handler; those that come once for each VI are always kept. */
#define MAX_ASYNC 1024u

/* The default handler: one line a second for each kind of error (VIPL-FACTS K-24). */
static void log_error(const VIP_ERROR_DESCRIPTOR *d)
{
	static uint64_t next[VIP_ERROR_CATASTROPHIC + 1];
	static uint32_t held[VIP_ERROR_CATASTROPHIC + 1];
	uint64_t now = vip_now_ms();
	uint32_t more;
	static const char *const names[] = {"POST_DESC",  "CONN_LOST",	    "RECVQ_EMPTY", "VI_OVERRUN",
					    "RDMAW_PROT", "RDMAW_DATA",	    "RDMAW_ABORT", "RDMAR_PROT",
					    "COMP_PROT",  "RDMA_TRANSPORT", "CATASTROPHIC"};

	if (now < ka_load_relaxed(&next[d->ErrorCode])) {
		__atomic_add_fetch(&held[d->ErrorCode], 1, __ATOMIC_RELAXED);
		return;
	}
	ka_store_relaxed(&next[d->ErrorCode], now + 1000);
	more = __atomic_exchange_n(&held[d->ErrorCode], 0, __ATOMIC_RELAXED);
	vip_log(VIP_LOG_WARN, "asynchronous error VIP_ERROR_%s (VI %p)", names[d->ErrorCode], d->ViHandle);
	if (more)
		vip_log(VIP_LOG_WARN, "... and %u like it since the last such line", more);
}

static void *deliver(void *arg)
{
	struct vip_nic *nic = arg;
	struct vip_async_error *e;

	pthread_mutex_lock(&nic->async.lock);
	while ((e = nic->async.first) && !nic->async.closed) {
		VIP_ERROR_HANDLER handler = nic->async.handler;
		void *context = nic->async.context;

		nic->async.first = e->next;
		if (!nic->async.first)
			nic->async.last = &nic->async.first;
		nic->async.waiting--;
		if (nic->async.lost)
			vip_log(VIP_LOG_WARN, "%u asynchronous errors were left out: the handler is slow",
				nic->async.lost);
		nic->async.lost = 0;
		pthread_mutex_unlock(&nic->async.lock);
		if (handler)
			handler(context, &e->desc);
		else
			log_error(&e->desc);
		free(e);
		pthread_mutex_lock(&nic->async.lock);
	}
	nic->async.running = false;
	pthread_cond_broadcast(&nic->async.idle);
	pthread_mutex_unlock(&nic->async.lock);
	return NULL;
}

void vip_async(struct vip_nic *nic, struct vip_vi *vi, VIP_ERROR_CODE code, VIP_RESOURCE_CODE res,
	       VIP_DESCRIPTOR *desc)
{
	struct vip_async_error *e = calloc(1, sizeof(*e));
	sigset_t all, old;
	pthread_attr_t attr;

	if (!e) {
		vip_log(VIP_LOG_ERROR, "no memory to report asynchronous error %d", (int)code);
		return;
	}
	e->desc = (VIP_ERROR_DESCRIPTOR){.NicHandle = vip_obj_handle(nic),
					 .ViHandle = vi ? vip_obj_handle(vi) : NULL,
					 .DescriptorPtr = desc,
					 .ResourceCode = res,
					 .ErrorCode = code};
	pthread_mutex_lock(&nic->async.lock);
	if (nic->async.closed) {
		free(e);
	} else if (nic->async.waiting >= MAX_ASYNC && code != VIP_ERROR_CATASTROPHIC &&
		   code != VIP_ERROR_CONN_LOST) {
		nic->async.lost++;
		free(e);
	} else {
		nic->async.waiting++;
		*nic->async.last = e;
		nic->async.last = &e->next;
		if (!nic->async.running) {
			pthread_attr_init(&attr);
			pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
			sigfillset(&all);
			pthread_sigmask(SIG_SETMASK, &all, &old);
			nic->async.running = pthread_create(&nic->async.thread, &attr, deliver, nic) == 0;
			pthread_sigmask(SIG_SETMASK, &old, NULL);
			pthread_attr_destroy(&attr);
			if (!nic->async.running)
				vip_log(VIP_LOG_ERROR, "no thread to report asynchronous error %d",
					(int)code);
		}
	}
	pthread_mutex_unlock(&nic->async.lock);
}

void vip_async_open(struct vip_nic *nic)
{
	nic->async.first = NULL;
	nic->async.last = &nic->async.first;
	nic->async.handler = NULL;
	nic->async.waiting = nic->async.lost = 0;
	nic->async.closed = false;
}

/* No handler runs when this returns, unless it is the handler that closes. */
void vip_async_close(struct vip_nic *nic)
{
	struct vip_async_error *e;

	pthread_mutex_lock(&nic->async.lock);
	nic->async.closed = true;
	while (nic->async.running && !pthread_equal(nic->async.thread, pthread_self()))
		pthread_cond_wait(&nic->async.idle, &nic->async.lock);
	while ((e = nic->async.first)) {
		nic->async.first = e->next;
		free(e);
	}
	pthread_mutex_unlock(&nic->async.lock);
}

VIP_EXPORT VIP_RETURN VipErrorCallback(VIP_NIC_HANDLE h, VIP_PVOID context, VIP_ERROR_HANDLER handler)
{
	struct vip_nic *nic = vip_nic_find(h);

	if (!nic)
		return vip_bad("not a NIC handle");
	pthread_mutex_lock(&nic->async.lock);
	nic->async.handler = handler;
	nic->async.context = context;
	pthread_mutex_unlock(&nic->async.lock);
	return VIP_SUCCESS;
}
