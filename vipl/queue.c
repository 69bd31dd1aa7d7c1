/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * queue.c - a VI's work queues as the consumer sees them: descriptors begin,
 * complete and are dequeued in the order they were posted.
 *
 * A completion is written into the descriptor with Status last (release), and
 * only while the memory that holds it is still registered.
 */
#include "vipl/choices.h"
#include "vipl/internal.h"
#include "vipl/wait.h"

#include <errno.h>
#include <sys/mman.h>

_Thread_local bool vip_foreign __attribute__((tls_model("initial-exec")));

void *vip_pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void vip_pages_free(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}

int vip_queue_init(struct vip_queue *q, uint32_t depth)
{
	if (!q->e || q->depth != depth) {
		vip_pages_free(q->e, (q->mask + 1ul) * sizeof(*q->e));
		for (q->mask = 1; q->mask < depth; q->mask *= 2)
			;
		q->e = vip_pages(q->mask-- * sizeof(*q->e));
		q->depth = depth;
	}
	q->head = q->done = q->tail = 0;
	q->kept.handle = 0;
	q->owed = 0;
	q->streak = 0;
	q->errors = 0;
	return q->e ? 0 : -ENOMEM;
}

void vip_wake_queue(struct vip_vi *vi, int queue)
{
	vip_word_wake(vi->nic->words.wake, vi->q[queue].word);
}

/* What a small message comes through: once for each queue, with the queue's number in place of a variable. */
#define SHORT static inline __attribute__((always_inline))
/* And what it hardly ever comes to. */
#define RARE static __attribute__((noinline, cold))

/* May the descriptor's first @bytes be written?  Returns as vip_mem_check(). */
SHORT int desc_check_bytes(struct vip_vi *vi, int queue, const VIP_DESCRIPTOR *d, uint32_t mem, size_t bytes)
{
	struct vip_queue *q = &vi->q[queue];
	int how = vip_mem_check(vi->nic, mem, (uintptr_t)d, bytes, vi->attr.tag, KA_R_WRITE, &q->kept);

	return how == 0 && q->careful ? 1 : how;
}

/* The control segment is what the NIC writes; the NIC itself looks at the others. */
static __attribute__((noinline)) int desc_check(struct vip_vi *vi, int queue, const VIP_DESCRIPTOR *d,
						uint32_t mem)
{
	return desc_check_bytes(vi, queue, d, mem, sizeof(d->CS));
}

static bool misaligned(const VIP_DESCRIPTOR *d)
{
	return (uintptr_t)d & (VIP_DESCRIPTOR_ALIGNMENT - 1);
}

/* By the kernel, which may copy byte by byte: the one with DONE comes last, for a consumer may poll it. */
RARE bool desc_complete_careful(struct vip_vi *vi, int queue, const struct vip_wqe *e,
				const struct nic_wc *wc)
{
	bool imm = queue == VIP_RQ && (wc->status & VIP_STATUS_IMMEDIATE), foreign = vi->q[queue].careful;
	VIP_CONTROL_SEGMENT *cs = &e->desc->CS;
	uint8_t *to = (uint8_t *)&cs->Status;
	const uint8_t *from = (const uint8_t *)&wc->status;

	_Static_assert(VIP_STATUS_DONE == 1 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
		       "DONE is in byte 0");
	return vip_mem_put(vi->nic, e->mem, &cs->Length, &wc->length, sizeof(cs->Length), foreign) &&
	       (!imm || vip_mem_put(vi->nic, e->mem, &cs->ImmediateData, &wc->imm, sizeof(cs->ImmediateData),
				    foreign)) &&
	       vip_mem_put(vi->nic, e->mem, to + 1, from + 1, sizeof(cs->Status) - 1, foreign) &&
	       vip_mem_put(vi->nic, e->mem, to, from, 1, foreign);
}

static void desc_tell(VIP_DESCRIPTOR *d, int queue, const struct nic_wc *wc)
{
	d->CS.Length = wc->length;
	if (queue == VIP_RQ && (wc->status & VIP_STATUS_IMMEDIATE))
		d->CS.ImmediateData = wc->imm;
	ka_store_release(&d->CS.Status, wc->status);
}

/* Tell the consumer; false: the descriptor's memory has gone. */
static bool desc_complete(struct vip_vi *vi, int queue, const struct vip_wqe *e, const struct nic_wc *wc)
{
	switch (desc_check(vi, queue, e->desc, e->mem)) {
	case 0:
		desc_tell(e->desc, queue, wc);
		return true;
	case 1:
		return desc_complete_careful(vi, queue, e, wc);
	default:
		return false;
	}
}

/* VIP_CONTROL_OP_* of the descriptor with this status. */
static uint32_t status_op(uint32_t status)
{
	switch (status & VIP_STATUS_OP_MASK) {
	case VIP_STATUS_OP_RDMA_WRITE:
		return VIP_CONTROL_OP_RDMAWRITE;
	case VIP_STATUS_OP_RDMA_READ:
		return VIP_CONTROL_OP_RDMAREAD;
	default:
		return VIP_CONTROL_OP_SENDRECV;
	}
}

/* The operation that a descriptor asks for, 0 when it cannot be read. */
static uint32_t desc_op(struct vip_vi *vi, int queue, const VIP_DESCRIPTOR *d, uint32_t mem)
{
	VIP_UINT16 control = 0;

	switch (desc_check(vi, queue, d, mem)) {
	case 0:
		control = d->CS.Control;
		break;
	case 1:
		if (!vip_mem_get(vi->nic, mem, &control, &d->CS.Control, sizeof(control),
				 vi->q[queue].careful))
			control = 0;
		break;
	default:
		break;
	}
	return control & VIP_CONTROL_OP_MASK;
}

/* What tells the consumer whose fault it is that a connection breaks. */
static const uint32_t own_fault[] = {
	[VIP_SQ] = VIP_STATUS_FORMAT_ERROR | VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_LENGTH_ERROR,
	[VIP_RQ] = VIP_STATUS_FORMAT_ERROR | VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_LENGTH_ERROR |
		   VIP_STATUS_RDMA_PROT_ERROR,
};

/* The next descriptor has been told. */
SHORT void completed(struct vip_vi *vi, int queue, uint32_t status)
{
	struct vip_queue *q = &vi->q[queue];

	vip_wqe(q, q->done)->status = status;
	if (status & own_fault[queue])
		q->errors++;
	ka_store_relaxed(&q->done, q->done + 1);
	if (q->cq)
		vip_cq_push(q);
	else if (q->sleepers)
		vip_wake_queue(vi, queue);
}

void vip_complete(struct vip_vi *vi, int queue, const struct nic_wc *wc)
{
	const struct vip_queue *q = &vi->q[queue];
	const struct vip_wqe *e = vip_wqe(q, q->done);
	uint32_t status = wc->status;

	if (!desc_complete(vi, queue, e, wc)) {
		status |= VIP_STATUS_PROTECTION_ERROR;
		vip_async_desc(vi->nic, vi, VIP_ERROR_COMP_PROT, VIP_RESOURCE_VI, e->desc, status_op(status));
	}
	completed(vi, queue, status);
}

void vip_complete_seen(struct vip_vi *vi, int queue, const struct nic_wc *wc)
{
	const struct vip_queue *q = &vi->q[queue];

	desc_tell(vip_wqe(q, q->done)->desc, queue, wc);
	completed(vi, queue, wc->status);
}

static void quiet_vi(void *obj, void *arg)
{
	struct vip_vi *vi = obj;
	int i;

	if (ka_load_relaxed(&vi->nic) != arg)
		return;
	for (i = VIP_SQ; i <= VIP_RQ; i++) {
		if (__atomic_load_n(&vi->q[i].lock.held, __ATOMIC_SEQ_CST)) {
			vip_lock(&vi->q[i].lock);
			vip_unlock(&vi->q[i].lock);
		}
	}
}

void vip_queues_quiet(struct vip_nic *nic)
{
	vip_obj_each(VIP_T_VI, quiet_vi, nic);
}

static void quiet_link(void *obj, void *arg)
{
	struct vip_vi *vi = obj;

	if (ka_load_relaxed(&vi->nic) != arg)
		return;
	/* nor any thread of ours, which has looked before */
	vip_lock(&vi->q[VIP_SQ].lock);
	vip_lock(&vi->q[VIP_RQ].lock);
	if (vi->link)
		vi->nic->ops->link_quiet(vi);
	vip_unlock(&vi->q[VIP_RQ].lock);
	vip_unlock(&vi->q[VIP_SQ].lock);
}

void vip_links_quiet(struct vip_nic *nic)
{
	vip_obj_each(VIP_T_VI, quiet_link, nic);
	if (nic->ops->thread_quiet)
		nic->ops->thread_quiet(nic);
}

void vip_flush(struct vip_vi *vi, int queue)
{
	struct vip_queue *q = &vi->q[queue];

	q->careful = true; /* whose thread this is, nobody knows */
	while (q->done < q->tail) {
		const struct vip_wqe *e = vip_wqe(q, q->done);
		struct nic_wc wc = {.status = VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR};

		wc.status |= queue == VIP_RQ ? VIP_STATUS_OP_RECEIVE
					     : vip_op_status(desc_op(vi, queue, e->desc, e->mem));
		vip_complete(vi, queue, &wc);
	}
	q->careful = false;
}

/* A descriptor is missing from its queue: a reliable connection cannot go on.  No lock held. */
RARE void break_reliable(struct vip_vi *vi, VIP_VI_HANDLE h)
{
	pthread_mutex_lock(&vi->lock);
	if (vip_obj_is(vi, h) && vi->state == VIP_STATE_CONNECTED && vi->attr.level != VIP_SERVICE_UNRELIABLE)
		vip_vi_end(vi, VIP_STATE_ERROR);
	pthread_mutex_unlock(&vi->lock);
}

/*
 * One descriptor too many: it takes no place.  Queue lock held, and released.
 */
RARE VIP_RETURN overrun(struct vip_vi *vi, VIP_VI_HANDLE h, int queue, VIP_DESCRIPTOR *d, uint32_t mem,
			const char *call)
{
	struct vip_queue *q = &vi->q[queue];

	if (vip_choices()->overrun_code) {
		vip_unlock(&q->lock);
		return vip_fail_at(VIP_LOG_WARN, call, VIP_ERROR_RESOURCE,
				   "the queue holds %u descriptors, its maximum: dequeue some first",
				   q->depth);
	}
	vip_async_desc(vi->nic, vi, VIP_ERROR_VI_OVERRUN, VIP_RESOURCE_VI, d,
		       misaligned(d) ? 0 : desc_op(vi, queue, d, mem));
	vip_unlock(&q->lock);
	break_reliable(vi, h);
	return VIP_SUCCESS;
}

/* Put it into the queue; queue lock held.  False: its place is bad.  @plain: see nic.h. */
SHORT bool enqueue(struct vip_vi *vi, int queue, VIP_DESCRIPTOR *d, uint32_t mem, bool *plain)
{
	const VIP_UINT32 none = 0;
	struct vip_queue *q = &vi->q[queue];
	int how = desc_check_bytes(vi, queue, d, mem, sizeof(d->CS) + sizeof(d->DS[0]));

	*plain = how == 0;
	if (how < 0)
		how = desc_check(vi, queue, d, mem);
	if (misaligned(d) || how < 0 ||
	    (how == 1 && !vip_mem_put(vi->nic, mem, &d->CS.Status, &none, sizeof(none), false)))
		return false;
	if (how == 0)
		d->CS.Status = none;
	*vip_wqe(q, q->tail) = (struct vip_wqe){.desc = d, .mem = mem};
	ka_store_relaxed(&q->tail, q->tail + 1);
	return true;
}

/* Descriptor @n was put there; queue lock held.  True: the connection may have ended. */
SHORT bool begin(struct vip_vi *vi, int queue, uint64_t n, bool plain)
{
	switch (vi->state) {
	case VIP_STATE_CONNECTED:
		if (queue == VIP_RQ) {
			vi->nic->ops->post_recv(vi, n, plain);
			break;
		}
		return vi->nic->ops->post_send(vi, n, plain) && vi->nic->ops->down(vi) != NIC_UP;
	case VIP_STATE_IDLE:
	case VIP_STATE_CONNECT_PENDING:
		if (queue == VIP_RQ)
			break; /* it waits for the connection */
		__attribute__((fallthrough));
	case VIP_STATE_ERROR:
		vip_flush(vi, queue);
		break;
	}
	return false;
}

SHORT VIP_RETURN post(VIP_VI_HANDLE h, int queue, VIP_DESCRIPTOR *d, VIP_MEM_HANDLE mem, const char *call)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);
	struct vip_queue *q;
	bool down = false, queued, plain;

	if (!vi)
		return vip_fail_at(VIP_LOG_INFO, call, VIP_INVALID_PARAMETER, "not a VI handle");
	if (!d)
		return vip_fail_at(VIP_LOG_INFO, call, VIP_INVALID_PARAMETER, "no descriptor");
	q = &vi->q[queue];
	vip_lock(&q->lock);
	if (!vip_obj_is(vi, h)) {
		vip_unlock(&q->lock);
		return vip_fail_at(VIP_LOG_INFO, call, VIP_INVALID_PARAMETER, "not a VI handle");
	}
	if (q->tail - q->head >= q->depth)
		return overrun(vi, h, queue, d, mem, call);
	queued = enqueue(vi, queue, d, mem, &plain);
	if (queued)
		down = begin(vi, queue, q->tail - 1, plain);
	else /* docs/spec-choices.md K-4: the call succeeds, the error is asynchronous */
		vip_async(vi->nic, vi, VIP_ERROR_POST_DESC, VIP_RESOURCE_DESCRIPTOR, d);
	vip_unlock(&q->lock);
	if (down)
		vip_vi_check(vi);
	if (!queued)
		break_reliable(vi, h);
	return VIP_SUCCESS;
}

/* The head of the queue, once.  @down: the connection has gone. */
SHORT VIP_RETURN take(struct vip_vi *vi, VIP_VI_HANDLE h, int queue, VIP_DESCRIPTOR **out, bool *down)
{
	struct vip_queue *q = &vi->q[queue];
	VIP_RETURN r = VIP_NOT_DONE;
	const struct vip_wqe *e;

	vip_queue_enter(q);
	if (!vip_obj_is(vi, h)) {
		r = VIP_INVALID_PARAMETER;
	} else {
		if (q->head == q->done && q->done < q->tail && vi->link)
			vi->nic->ops->poll(vi, queue);
		if (q->head < q->done) {
			e = vip_wqe(q, q->head++);
			*out = e->desc;
			r = e->status & VIP_STATUS_ERROR_MASK ? VIP_DESCRIPTOR_ERROR : VIP_SUCCESS;
		} else if (q->head == q->tail) {
			r = VIP_DESCRIPTOR_ERROR;
		} else {
			*down = vi->nic->ops->down(vi) != NIC_UP;
		}
	}
	vip_queue_leave(q);
	return r;
}

/* The head of the queue; VIP_NOT_DONE is said without a cause, for it is no failure. */
SHORT VIP_RETURN done(struct vip_vi *vi, VIP_VI_HANDLE h, int queue, VIP_DESCRIPTOR **out)
{
	bool down = false;
	VIP_RETURN r;

	*out = NULL;
	r = take(vi, h, queue, out, &down);
	if (!down)
		return r;
	vip_vi_check(vi); /* flushes what is posted */
	return take(vi, h, queue, out, &down);
}

SHORT VIP_RETURN done_call(VIP_VI_HANDLE h, int queue, VIP_DESCRIPTOR **out, const char *call)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);
	VIP_RETURN r;

	if (!out)
		return vip_fail_at(VIP_LOG_INFO, call, VIP_INVALID_PARAMETER, "no place for the descriptor");
	if (!vi)
		return vip_fail_at(VIP_LOG_INFO, call, VIP_INVALID_PARAMETER, "not a VI handle");
	r = done(vi, h, queue, out);
	if (r == VIP_INVALID_PARAMETER)
		return vip_fail_at(VIP_LOG_INFO, call, r, "not a VI handle");
	return r;
}

struct queue_wait {
	struct vip_waiter w;
	struct vip_vi *vi;
	int queue;
	VIP_DESCRIPTOR **out;
};

_Static_assert(offsetof(struct queue_wait, w) == 0, "look() finds the rest by it");

static VIP_RETURN look(struct vip_waiter *w)
{
	struct queue_wait *qw = (struct queue_wait *)w;

	return done(qw->vi, (VIP_VI_HANDLE)w->handle, qw->queue, qw->out);
}

/* To whom an empty queue means that more may come. */
static VIP_RETURN look_for_next(struct vip_waiter *w)
{
	VIP_RETURN r = look(w);

	return r == VIP_DESCRIPTOR_ERROR && !*((struct queue_wait *)w)->out ? VIP_NOT_DONE : r;
}

static VIP_RETURN queue_wait(struct vip_vi *vi, VIP_VI_HANDLE h, int queue, VIP_ULONG timeout,
			     VIP_DESCRIPTOR **out, VIP_RETURN (*how)(struct vip_waiter *))
{
	struct queue_wait qw = {.w = {.obj = &vi->obj,
				      .handle = h,
				      .nic = &vi->nic,
				      .lock = &vi->q[queue].lock,
				      .sleepers = &vi->q[queue].sleepers,
				      .word = &vi->q[queue].word,
				      .look = how},
				.vi = vi,
				.queue = queue,
				.out = out};

	return vip_wait(&qw.w, timeout);
}

VIP_RETURN vip_queue_next(struct vip_vi *vi, VIP_VI_HANDLE h, int queue, VIP_DESCRIPTOR **out)
{
	return queue_wait(vi, h, queue, VIP_INFINITE, out, look_for_next);
}

static VIP_RETURN wait_call(VIP_VI_HANDLE h, int queue, VIP_ULONG timeout, VIP_DESCRIPTOR **out,
			    const char *call)
{
	struct vip_vi *vi = vip_obj_find(h, VIP_T_VI);
	VIP_RETURN r;

	if (!out || !vi)
		return done_call(h, queue, out, call);
	*out = NULL;
	if (ka_load_relaxed(&vi->q[queue].cq))
		return vip_fail_at(VIP_LOG_WARN, call, VIP_ERROR_RESOURCE,
				   "the queue is attached to a completion queue: wait there (VipCQWait)");
	r = queue_wait(vi, h, queue, timeout, out, look);
	if (r == VIP_INVALID_PARAMETER)
		return vip_fail_at(VIP_LOG_INFO, call, r, "not a VI handle");
	return r;
}

VIP_EXPORT VIP_RETURN VipPostSend(VIP_VI_HANDLE h, VIP_DESCRIPTOR *d, VIP_MEM_HANDLE mem)
{
	return post(h, VIP_SQ, d, mem, __func__);
}

VIP_EXPORT VIP_RETURN VipPostRecv(VIP_VI_HANDLE h, VIP_DESCRIPTOR *d, VIP_MEM_HANDLE mem)
{
	return post(h, VIP_RQ, d, mem, __func__);
}

VIP_EXPORT VIP_RETURN VipSendDone(VIP_VI_HANDLE h, VIP_DESCRIPTOR **d)
{
	return done_call(h, VIP_SQ, d, __func__);
}

VIP_EXPORT VIP_RETURN VipRecvDone(VIP_VI_HANDLE h, VIP_DESCRIPTOR **d)
{
	return done_call(h, VIP_RQ, d, __func__);
}

VIP_EXPORT VIP_RETURN VipSendWait(VIP_VI_HANDLE h, VIP_ULONG timeout, VIP_DESCRIPTOR **d)
{
	return wait_call(h, VIP_SQ, timeout, d, __func__);
}

VIP_EXPORT VIP_RETURN VipRecvWait(VIP_VI_HANDLE h, VIP_ULONG timeout, VIP_DESCRIPTOR **d)
{
	return wait_call(h, VIP_RQ, timeout, d, __func__);
}
