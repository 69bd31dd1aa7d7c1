/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * async.c - the asynchronous errors of a NIC handle: those that cannot be put
 * into a descriptor.  They are delivered in their order by a caller (caller.h),
 * so that a handler may call anything, VipCloseNic included.
 */
#include "vipl/caller.h"
#include "vipl/internal.h"

#include <stdlib.h>

/* Asynchronous errors that wait for a slow handler; those that come once for each VI are always kept. */
#define MAX_ASYNC 1024u

/* The default handler: one line a second for each kind of error (docs/spec-choices.md K-24). */
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

struct error {
	struct error *next;
	VIP_ERROR_DESCRIPTOR desc;
};

/* Under its caller's lock. */
struct vip_errors {
	struct vip_caller c;
	VIP_ERROR_HANDLER handler;
	void *context;
	struct error *first, **last;
	uint32_t lost; /* errors that found it full */
};

static void deliver(struct vip_caller *c)
{
	struct vip_errors *es = (struct vip_errors *)c;
	VIP_ERROR_HANDLER handler = es->handler;
	void *context = es->context;
	struct error *e = es->first;
	uint32_t lost = es->lost;

	es->first = e->next;
	if (!es->first)
		es->last = &es->first;
	es->lost = 0;
	c->todo--;
	pthread_mutex_unlock(&c->lock);
	if (lost)
		vip_log(VIP_LOG_WARN, "%u asynchronous errors were left out: the handler is slow", lost);
	if (handler)
		handler(context, &e->desc);
	else
		log_error(&e->desc);
	free(e);
	pthread_mutex_lock(&c->lock);
}

static void errors_free(struct vip_caller *c)
{
	struct vip_errors *es = (struct vip_errors *)c;
	struct error *e;

	while ((e = es->first)) {
		es->first = e->next;
		free(e);
	}
	free(es);
}

_Static_assert(offsetof(struct vip_errors, c) == 0, "found by their caller");

/* Lock held; false: it is not delivered. */
static bool append(struct vip_errors *es, struct error *e)
{
	VIP_ERROR_CODE code = e->desc.ErrorCode;

	if (es->c.todo >= MAX_ASYNC && code != VIP_ERROR_CATASTROPHIC && code != VIP_ERROR_CONN_LOST) {
		es->lost++;
		return false;
	}
	if (!vip_caller_add(&es->c)) {
		vip_log(VIP_LOG_ERROR, "no thread to report asynchronous error %d", (int)code);
		return false;
	}
	*es->last = e;
	es->last = &e->next;
	return true;
}

void vip_async_desc(struct vip_nic *nic, struct vip_vi *vi, VIP_ERROR_CODE code, VIP_RESOURCE_CODE res,
		    VIP_DESCRIPTOR *desc, uint32_t op)
{
	struct error *e = calloc(1, sizeof(*e));
	struct vip_errors *es;
	bool kept = false;

	if (!e) {
		vip_log(VIP_LOG_ERROR, "no memory to report asynchronous error %d", (int)code);
		return;
	}
	e->desc = (VIP_ERROR_DESCRIPTOR){.NicHandle = vip_obj_handle(nic),
					 .ViHandle = vi ? vip_obj_handle(vi) : NULL,
					 .DescriptorPtr = desc,
					 .OpCode = op,
					 .ResourceCode = res,
					 .ErrorCode = code};
	pthread_mutex_lock(&nic->errors_lock);
	es = nic->errors;
	if (es) {
		pthread_mutex_lock(&es->c.lock);
		kept = append(es, e);
		pthread_mutex_unlock(&es->c.lock);
	}
	pthread_mutex_unlock(&nic->errors_lock);
	if (!kept)
		free(e);
}

void vip_async(struct vip_nic *nic, struct vip_vi *vi, VIP_ERROR_CODE code, VIP_RESOURCE_CODE res,
	       VIP_DESCRIPTOR *desc)
{
	uint32_t op = VIP_CONTROL_OP_SENDRECV;

	if (code == VIP_ERROR_RDMAW_PROT || code == VIP_ERROR_RDMAW_DATA || code == VIP_ERROR_RDMAW_ABORT)
		op = VIP_CONTROL_OP_RDMAWRITE;
	else if (code == VIP_ERROR_RDMAR_PROT)
		op = VIP_CONTROL_OP_RDMAREAD;
	vip_async_desc(nic, vi, code, res, desc, op);
}

bool vip_async_open(struct vip_nic *nic)
{
	struct vip_errors *es = calloc(1, sizeof(*es));

	if (!es)
		return false;
	vip_caller_init(&es->c, deliver, errors_free);
	es->last = &es->first;
	pthread_mutex_lock(&nic->errors_lock);
	nic->errors = es;
	pthread_mutex_unlock(&nic->errors_lock);
	return true;
}

struct vip_caller *vip_async_close(struct vip_nic *nic)
{
	struct vip_errors *es;

	pthread_mutex_lock(&nic->errors_lock);
	es = nic->errors;
	nic->errors = NULL;
	pthread_mutex_unlock(&nic->errors_lock);
	return &es->c;
}

VIP_EXPORT VIP_RETURN VipErrorCallback(VIP_NIC_HANDLE h, VIP_PVOID context, VIP_ERROR_HANDLER handler)
{
	struct vip_nic *nic = vip_nic_find(h);
	struct vip_errors *es;

	if (!nic)
		return vip_bad("not a NIC handle");
	pthread_mutex_lock(&nic->errors_lock);
	es = vip_obj_is(nic, h) ? nic->errors : NULL;
	if (es)
		pthread_mutex_lock(&es->c.lock);
	pthread_mutex_unlock(&nic->errors_lock);
	if (!es)
		return vip_bad("not a NIC handle");
	es->handler = handler;
	es->context = context;
	vip_caller_settle(&es->c); /* the old one may just be starting */
	return VIP_SUCCESS;
}
