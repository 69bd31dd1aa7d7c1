/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cq.c - completion queues: one entry for each completion of an attached work
 * queue, flushed ones included.
 *
 * The NIC reports a completion to the work queue only when somebody polls it,
 * so an empty CQ polls those of its queues that may have one (cq_poll.c); one
 * that is never empty does so now and then, or what comes by itself, such as
 * completions of sends, would hide the others.  The descriptor is always complete
 * before its entry is there.  When a CQ is full no entry is lost: the work queue
 * keeps a count of what it is owed, and gets its entries as places become free, in
 * turn with the others (docs/spec-choices.md K-12).
 *
 * Entries are put in under cq->lock, and taken out under attach_lock.
 */
#include "vipl/caller.h"
#include "vipl/cq_list.h"
#include "vipl/internal.h"
#include "vipl/wait.h"

#include <errno.h>
#include <stdlib.h>

#define LOOK_EVERY 16u /* entries that are taken, at most, before its queues are polled again */

/* The place of entry @n. */
static struct vip_cq_entry *place(const struct vip_cq *cq, uint64_t n)
{
	return &cq->e[n & cq->mask];
}

/* cq->lock held */
static bool put(struct vip_cq *cq, const struct vip_queue *q)
{
	uint64_t tail = cq->tail;

	if (tail - ka_load_acquire(&cq->head) >= cq->size)
		return false;
	*place(cq, tail) = (struct vip_cq_entry){vip_obj_handle(q->vi), q == &q->vi->q[VIP_RQ]};
	ka_store_release(&cq->tail, tail + 1);
	return true;
}

void vip_cq_push(struct vip_queue *q)
{
	struct vip_cq *cq = q->cq;

	vip_lock(&cq->lock);
	if (cq->owed || !put(cq, q)) {
		if (!cq->owed)
			vip_log(VIP_LOG_INFO,
				"a completion queue of %u entries is full: entries wait on their VIs",
				cq->size);
		if (q->owed++ == 0)
			vip_list_add(cq, VIP_OWING, q);
		ka_store_relaxed(&cq->owed, cq->owed + 1);
	}
	if (cq->sleepers)
		vip_word_wake(cq->nic->words.wake, cq->word);
	vip_unlock(&cq->lock);
}

/* lock held: give the work queues what they are owed, one after the other an entry. */
static void refill(struct vip_cq *cq)
{
	while (cq->owed && put(cq, cq->list[VIP_OWING].first)) {
		struct vip_queue *q = vip_list_take(cq, VIP_OWING);

		ka_store_relaxed(&cq->owed, cq->owed - 1);
		if (--q->owed)
			vip_list_add(cq, VIP_OWING, q);
	}
}

void vip_cq_attach(struct vip_cq *cq, struct vip_vi *vi, int queue)
{
	struct vip_queue *q = &vi->q[queue];

	ka_store_relaxed(&q->cq, cq);
	vip_lock(&cq->attach_lock);
	q->cq_next = cq->attached;
	cq->attached = q;
	cq->nattached++;
	vip_cq_watch(cq, q);
	vip_unlock(&cq->attach_lock);
}

/* The VI goes: nobody may find an entry that names it. */
void vip_cq_detach(struct vip_vi *vi, int queue, const void *handle)
{
	struct vip_queue *q = &vi->q[queue], **p;
	struct vip_cq *cq = q->cq;
	uint64_t i, to;

	vip_lock(&cq->attach_lock);
	for (p = &cq->attached; *p != q; p = &(*p)->cq_next)
		;
	*p = q->cq_next;
	cq->nattached--;
	vip_cq_unwatch(cq, q);
	vip_lock(&cq->lock);
	for (i = to = cq->head; i < cq->tail; i++) {
		struct vip_cq_entry e = *place(cq, i);

		if (e.vi != handle || e.recv != (queue == VIP_RQ))
			*place(cq, to++) = e;
	}
	ka_store_relaxed(&cq->tail, to);
	ka_store_relaxed(&cq->owed, cq->owed - q->owed);
	q->owed = 0;
	vip_list_remove(cq, VIP_OWING, q);
	vip_list_remove(cq, VIP_CHORES, q);
	refill(cq);
	vip_unlock(&cq->lock);
	vip_unlock(&cq->attach_lock);
	ka_store_relaxed(&q->cq, NULL);
}

/* attach_lock held; false: there is none. */
static bool pop(struct vip_cq *cq, VIP_VI_HANDLE *vi, VIP_BOOLEAN *recv)
{
	const struct vip_cq_entry *e;
	uint64_t head = cq->head;

	if (ka_load_relaxed(&cq->owed)) {
		vip_lock(&cq->lock);
		refill(cq);
		vip_unlock(&cq->lock);
	}
	if (head == ka_load_acquire(&cq->tail))
		return false;
	e = place(cq, head);
	*vi = e->vi;
	*recv = e->recv ? VIP_TRUE : VIP_FALSE;
	ka_store_release(&cq->head, head + 1);
	return true;
}

static VIP_RETURN done(struct vip_cq *cq, VIP_CQ_HANDLE h, VIP_VI_HANDLE *vi, VIP_BOOLEAN *recv)
{
	VIP_RETURN r = VIP_SUCCESS;

	vip_lock(&cq->attach_lock);
	if (!vip_obj_is(cq, h)) {
		r = VIP_INVALID_PARAMETER;
	} else if (cq->head % LOOK_EVERY == 0 || !pop(cq, vi, recv)) {
		vip_cq_poll(cq);
		r = pop(cq, vi, recv) ? VIP_SUCCESS : VIP_NOT_DONE;
	}
	vip_unlock(&cq->attach_lock);
	return r;
}

/* Room for @n entries: a power of two, so that it need not be divided by. */
static struct vip_cq_entry *room(uint64_t n, uint64_t *mask)
{
	uint64_t places = 1;

	while (places < n)
		places *= 2;
	*mask = places - 1;
	return calloc(places, sizeof(struct vip_cq_entry));
}

VIP_EXPORT VIP_RETURN VipCreateCQ(VIP_NIC_HANDLE nh, VIP_ULONG entries, VIP_CQ_HANDLE *out)
{
	struct vip_nic *nic = vip_nic_find(nh);
	struct vip_cq *cq = NULL;
	VIP_RETURN r;
	bool fresh;
	int err;

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!out)
		return vip_bad("no place for the handle");
	pthread_mutex_lock(&nic->lock);
	if (!vip_obj_is(nic, nh)) {
		r = vip_bad("not a NIC handle");
		goto unlock;
	}
	if (entries == 0 || entries > nic->attr.MaxCQEntries) {
		r = vip_fail(VIP_INVALID_PARAMETER,
			     "%lu entries: a completion queue has 1 to %lu (MaxCQEntries)", entries,
			     nic->attr.MaxCQEntries);
		goto unlock;
	}
	if (nic->ncq >= nic->attr.MaxCQ) {
		r = vip_fail(VIP_ERROR_RESOURCE,
			     "the NIC handle has %u completion queues, its maximum (MaxCQ)", nic->ncq);
		goto unlock;
	}
	cq = vip_obj_new(VIP_T_CQ, sizeof(*cq), &fresh);
	if (!cq) {
		r = vip_fail(VIP_ERROR_RESOURCE, "no memory for a completion queue");
		goto unlock;
	}
	ka_store_relaxed(&cq->nic, nic);
	cq->size = (uint32_t)entries;
	ka_store_relaxed(&cq->head, 0);
	ka_store_relaxed(&cq->tail, 0);
	cq->all_at = 0;
	cq->e = room(entries, &cq->mask);
	err = cq->e ? vip_word_get(nic, &cq->word) : -ENOMEM;
	if (err) {
		free(cq->e);
		vip_obj_free(cq);
		r = vip_fail(VIP_ERROR_RESOURCE, "no memory for %lu completion queue entries", entries);
		goto unlock;
	}
	nic->ncq++;
	*out = vip_obj_publish(cq);
	r = VIP_SUCCESS;
unlock:
	pthread_mutex_unlock(&nic->lock);
	return r;
}

/* nic->lock held; no VI is attached. */
void vip_cq_teardown(struct vip_cq *cq, struct vip_caller **ending)
{
	struct vip_nic *nic = cq->nic;

	vip_lock(&cq->attach_lock);
	vip_lock(&cq->lock);
	vip_obj_retire(cq);
	free(cq->e);
	cq->e = NULL;
	ka_store_relaxed(&cq->head, 0);
	ka_store_relaxed(&cq->tail, 0);
	vip_notify_end(&cq->notifier, ending);
	vip_word_wake(nic->words.wake, cq->word);
	vip_unlock(&cq->lock);
	vip_unlock(&cq->attach_lock);
	vip_word_put(nic, cq->word);
	nic->ncq--;
	vip_obj_free(cq);
}

VIP_EXPORT VIP_RETURN VipResizeCQ(VIP_CQ_HANDLE h, VIP_ULONG entries)
{
	struct vip_cq *cq = vip_obj_find(h, VIP_T_CQ);
	struct vip_cq_entry *e, *old;
	VIP_ULONG max, queued;
	uint64_t i, mask;
	VIP_RETURN r;

	if (!cq)
		return vip_bad("not a completion queue handle");
	max = ka_load_relaxed(&cq->nic)->attr.MaxCQEntries;
	if (entries == 0 || entries > max)
		return vip_fail(VIP_INVALID_PARAMETER,
				"%lu entries: a completion queue has 1 to %lu (MaxCQEntries)", entries, max);
	e = room(entries, &mask);
	if (!e)
		return vip_fail(VIP_ERROR_RESOURCE, "no memory for %lu completion queue entries", entries);
	old = e; /* what is to be freed */
	vip_lock(&cq->attach_lock);
	vip_lock(&cq->lock);
	queued = cq->tail - cq->head + cq->owed;
	if (!vip_obj_is(cq, h)) {
		r = VIP_INVALID_PARAMETER;
	} else if (entries < queued) {
		r = VIP_ERROR_RESOURCE;
	} else {
		for (i = cq->head; i < cq->tail; i++)
			e[i & mask] = *place(cq, i);
		old = cq->e;
		cq->e = e;
		cq->mask = mask;
		cq->size = (uint32_t)entries;
		refill(cq);
		r = VIP_SUCCESS;
	}
	vip_unlock(&cq->lock);
	vip_unlock(&cq->attach_lock);
	free(old);
	if (r == VIP_INVALID_PARAMETER)
		return vip_bad("not a completion queue handle");
	if (r == VIP_ERROR_RESOURCE)
		return vip_fail(r, "%lu entries wait in the queue, more than %lu: take some out first",
				queued, entries);
	return r;
}

VIP_EXPORT VIP_RETURN VipDestroyCQ(VIP_CQ_HANDLE h)
{
	struct vip_cq *cq = vip_obj_find(h, VIP_T_CQ);
	struct vip_nic *nic = cq ? ka_load_relaxed(&cq->nic) : NULL;
	struct vip_caller *ending = NULL;
	VIP_RETURN r = VIP_SUCCESS;

	if (!cq)
		return vip_bad("not a completion queue handle");
	pthread_mutex_lock(&nic->lock);
	if (!vip_obj_is(cq, h))
		r = vip_bad("not a completion queue handle");
	else if (cq->nattached)
		r = vip_fail(VIP_ERROR_RESOURCE, "%u work queues are attached: destroy their VIs first",
			     cq->nattached);
	else
		vip_cq_teardown(cq, &ending);
	pthread_mutex_unlock(&nic->lock);
	vip_callers_end(ending);
	return r;
}

VIP_EXPORT VIP_RETURN VipCQDone(VIP_CQ_HANDLE h, VIP_VI_HANDLE *vi, VIP_BOOLEAN *recv)
{
	struct vip_cq *cq = vip_obj_find(h, VIP_T_CQ);
	VIP_RETURN r;

	if (!cq)
		return vip_bad("not a completion queue handle");
	if (!vi || !recv)
		return vip_bad("no place for the entry");
	r = done(cq, h, vi, recv);
	return r == VIP_INVALID_PARAMETER ? vip_bad("not a completion queue handle") : r;
}

struct cq_wait {
	struct vip_waiter w;
	struct vip_cq *cq;
	VIP_VI_HANDLE *vi;
	VIP_BOOLEAN *recv;
};

_Static_assert(offsetof(struct cq_wait, w) == 0, "look() finds the rest by it");

static VIP_RETURN look(struct vip_waiter *w)
{
	struct cq_wait *cw = (struct cq_wait *)w;

	return done(cw->cq, (VIP_CQ_HANDLE)w->handle, cw->vi, cw->recv);
}

/* Nothing comes any more when all was flushed that was posted as the agent died. */
static VIP_RETURN look_alive(struct vip_waiter *w)
{
	const struct vip_cq *cq = ((struct cq_wait *)w)->cq;
	bool dead = ka_load_acquire(&ka_load_relaxed(&cq->nic)->dead) == VIP_DEAD_FLUSHED;
	VIP_RETURN r = look(w);

	return r == VIP_NOT_DONE && dead ? VIP_ERROR_RESOURCE : r;
}

static VIP_RETURN cq_wait(struct vip_cq *cq, VIP_CQ_HANDLE h, VIP_ULONG timeout, VIP_VI_HANDLE *vi,
			  VIP_BOOLEAN *recv, VIP_RETURN (*how)(struct vip_waiter *))
{
	struct cq_wait cw = {.w = {.obj = &cq->obj,
				   .handle = h,
				   .nic = &cq->nic,
				   .lock = &cq->lock,
				   .sleepers = &cq->sleepers,
				   .word = &cq->word,
				   .look = how},
			     .cq = cq,
			     .vi = vi,
			     .recv = recv};

	return vip_wait(&cw.w, timeout);
}

VIP_RETURN vip_cq_next(struct vip_cq *cq, VIP_CQ_HANDLE h, VIP_VI_HANDLE *vi, VIP_BOOLEAN *recv)
{
	return cq_wait(cq, h, VIP_INFINITE, vi, recv, look);
}

VIP_EXPORT VIP_RETURN VipCQWait(VIP_CQ_HANDLE h, VIP_ULONG timeout, VIP_VI_HANDLE *vi, VIP_BOOLEAN *recv)
{
	struct vip_cq *cq = vip_obj_find(h, VIP_T_CQ);
	VIP_RETURN r;

	if (!cq)
		return vip_bad("not a completion queue handle");
	if (!vi || !recv)
		return vip_bad("no place for the entry");
	r = cq_wait(cq, h, timeout, vi, recv, look_alive);
	if (r == VIP_INVALID_PARAMETER)
		return vip_bad("not a completion queue handle");
	if (r == VIP_ERROR_RESOURCE)
		return vip_fail(r, "the kernel agent is gone: close the NIC handle and open it again");
	return r;
}
