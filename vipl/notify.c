/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * notify.c - VipSendNotify, VipRecvNotify, VipCQNotify: a handler is called for
 * a completion.
 *
 * A queue's registrations are served in their order by its caller (caller.h),
 * which waits for a completion as a thread in VipRecvWait or VipCQWait does,
 * takes it, and calls the handler of the first registration for it.  So what
 * Done takes no handler sees, and the other way round.
 *
 * A registration is cancelled by taking the handle of the VI or completion queue
 * away, which ends the wait, and then the caller.
 */
#include "vipl/caller.h"
#include "vipl/internal.h"

#include <stdlib.h>

struct registration {
	struct registration *next;
	void *context;
	VIP_VI_CALLBACK vi_handler; /* one of the two */
	VIP_CQ_CALLBACK cq_handler;
};

/* The registrations of a queue; the list under its caller's lock, the rest does not change. */
struct vip_notifier {
	struct vip_caller c;
	struct vip_vi *vi; /* or NULL: */
	struct vip_cq *cq;
	void *handle, *nic_handle;
	int queue; /* of the VI */
	struct registration *first, **last;
};

_Static_assert(offsetof(struct vip_notifier, c) == 0, "found by their caller");

static struct registration *take(struct vip_notifier *n)
{
	struct registration *reg = n->first;

	n->first = reg->next;
	if (!n->first)
		n->last = &n->first;
	n->c.todo--;
	return reg;
}

static void serve(struct vip_caller *c)
{
	struct vip_notifier *n = (struct vip_notifier *)c;
	VIP_DESCRIPTOR *desc = NULL;
	struct registration *reg;
	VIP_BOOLEAN recv = VIP_FALSE;
	VIP_VI_HANDLE vi = n->handle;
	VIP_RETURN r;

	pthread_mutex_unlock(&c->lock);
	vip_foreign = true; /* but the handler is the consumer's */
	if (n->vi)
		r = vip_queue_next(n->vi, n->handle, n->queue, &desc);
	else
		r = vip_cq_next(n->cq, n->handle, &vi, &recv);
	vip_foreign = false;
	pthread_mutex_lock(&c->lock);
	if (r == VIP_INVALID_PARAMETER) {
		c->ended = true;
		return;
	}
	reg = take(n);
	pthread_mutex_unlock(&c->lock);
	if (n->vi)
		reg->vi_handler(reg->context, n->nic_handle, vi, desc);
	else
		reg->cq_handler(reg->context, n->nic_handle, vi, recv);
	free(reg);
	pthread_mutex_lock(&c->lock);
}

static void notifier_free(struct vip_caller *c)
{
	struct vip_notifier *n = (struct vip_notifier *)c;

	while (n->first)
		free(take(n));
	free(n);
}

/* The owner's lock held: @at is his, and made with the first registration. */
static struct vip_notifier *get(struct vip_notifier **at, const struct vip_notifier *wanted)
{
	struct vip_notifier *n = *at;

	if (!n) {
		n = malloc(sizeof(*n));
		if (!n)
			return NULL;
		*n = *wanted;
		vip_caller_init(&n->c, serve, notifier_free);
		n->last = &n->first;
		*at = n;
	}
	return n;
}

/* The owner's lock held.  VIP_NOT_DONE: there are too many. */
static VIP_RETURN add(struct vip_notifier **at, const struct vip_notifier *wanted,
		      const struct registration *given)
{
	struct registration *reg = malloc(sizeof(*reg));
	struct vip_notifier *n = reg ? get(at, wanted) : NULL;
	VIP_RETURN r = VIP_ERROR_RESOURCE;

	if (n) {
		pthread_mutex_lock(&n->c.lock);
		if (n->c.todo >= VIP_MAX_NOTIFY) {
			r = VIP_NOT_DONE;
		} else if (vip_caller_add(&n->c)) {
			*reg = *given;
			*n->last = reg;
			n->last = &reg->next;
			r = VIP_SUCCESS;
		}
		pthread_mutex_unlock(&n->c.lock);
	}
	if (r != VIP_SUCCESS)
		free(reg);
	return r;
}

static VIP_RETURN result(VIP_RETURN r, const char *call)
{
	switch (r) {
	case VIP_INVALID_PARAMETER:
		return vip_fail_at(VIP_LOG_INFO, call, r, "no handler, or not a handle of the type wanted");
	case VIP_NOT_DONE:
		return vip_fail_at(VIP_LOG_WARN, call, VIP_ERROR_RESOURCE,
				   "%u registrations wait for this queue, its maximum", VIP_MAX_NOTIFY);
	case VIP_ERROR_RESOURCE:
		return vip_fail_at(VIP_LOG_WARN, call, r, "no memory, or no thread, for a notification");
	default:
		return r;
	}
}

static VIP_RETURN notify(VIP_VI_HANDLE h, int queue, void *context, VIP_VI_CALLBACK handler, const char *call)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);
	struct registration reg = {.context = context, .vi_handler = handler};
	VIP_RETURN r = VIP_INVALID_PARAMETER;
	bool attached = false;

	if (!vi || !handler)
		return result(r, call);
	vip_lock(&vi->q[queue].lock);
	if (vip_obj_is(vi, h)) {
		struct vip_notifier wanted = {
			.vi = vi, .handle = h, .nic_handle = vip_obj_handle(vi->nic), .queue = queue};

		attached = vi->q[queue].cq;
		if (!attached)
			r = add(&vi->q[queue].notifier, &wanted, &reg);
	}
	vip_unlock(&vi->q[queue].lock);
	if (attached)
		return vip_fail_at(VIP_LOG_WARN, call, VIP_ERROR_RESOURCE,
				   "the queue is attached to a completion queue: use VipCQNotify");
	return result(r, call);
}

VIP_EXPORT VIP_RETURN VipSendNotify(VIP_VI_HANDLE h, VIP_PVOID context, VIP_VI_CALLBACK handler)
{
	return notify(h, VIP_SQ, context, handler, __func__);
}

VIP_EXPORT VIP_RETURN VipRecvNotify(VIP_VI_HANDLE h, VIP_PVOID context, VIP_VI_CALLBACK handler)
{
	return notify(h, VIP_RQ, context, handler, __func__);
}

VIP_EXPORT VIP_RETURN VipCQNotify(VIP_CQ_HANDLE h, VIP_PVOID context, VIP_CQ_CALLBACK handler)
{
	struct vip_cq *cq = vip_obj_find(h, VIP_T_CQ);
	struct registration reg = {.context = context, .cq_handler = handler};
	VIP_RETURN r = VIP_INVALID_PARAMETER;

	if (!cq || !handler)
		return result(r, __func__);
	vip_lock(&cq->lock);
	if (vip_obj_is(cq, h)) {
		struct vip_notifier wanted = {.cq = cq, .handle = h, .nic_handle = vip_obj_handle(cq->nic)};

		r = add(&cq->notifier, &wanted, &reg);
	}
	vip_unlock(&cq->lock);
	return result(r, __func__);
}

void vip_notify_end(struct vip_notifier **at, struct vip_caller **ending)
{
	struct vip_notifier *n = *at;

	*at = NULL;
	if (n) {
		n->c.next = *ending;
		*ending = &n->c;
	}
}
