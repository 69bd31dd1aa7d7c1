/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_data.c - posting and completing: descriptors in, completions out, by way
 * of the engine, which runs here in whoever posts or polls ("inline").
 *
 * A send that cannot be finished at once (the peer's end is not set up, or the
 * landing ring is full) stays with the NIC: the progress thread, and every
 * poll of the queue, go on with it.
 */
#include "nic-emu/emu.h"

#include <string.h>
#include <sys/shm.h>

/* Descriptors are the consumer's memory: each field is read once. */
struct request {
	struct emu_seg seg[EMU_MAX_SEGS];
	uint32_t nsegs;
	uint64_t total;
	uint16_t control;
	uint32_t imm;
	uint32_t error; /* VIP_STATUS_FORMAT_ERROR, or 0 */
};

static void read_request(struct vip_vi *vi, const struct vip_wqe *w, struct request *r)
{
	const VIP_DESCRIPTOR *d = w->desc;
	uint32_t i;

	r->nsegs = ka_load_relaxed(&d->CS.SegCount);
	r->control = ka_load_relaxed(&d->CS.Control);
	r->imm = ka_load_relaxed(&d->CS.ImmediateData);
	r->total = 0;
	r->error = 0;
	if (r->nsegs > EMU_MAX_SEGS ||
	    (r->nsegs > 2 && vi->nic->ops->mem_check(vi->nic, w->mem, (uintptr_t)d,
						     sizeof(d->CS) + r->nsegs * sizeof(d->DS[0]),
						     vi->attr.tag, KA_R_WRITE))) {
		r->nsegs = 0;
		r->error = VIP_STATUS_FORMAT_ERROR;
		return;
	}
	for (i = 0; i < r->nsegs; i++) {
		const VIP_DATA_SEGMENT *s = &((const VIP_DATA_SEGMENT *)(d + 1) - 2)[i];

		r->seg[i].addr = ka_load_relaxed(&s->Data.AddressBits);
		r->seg[i].handle = ka_load_relaxed(&s->Handle);
		r->seg[i].len = ka_load_relaxed(&s->Length);
		r->total += r->seg[i].len;
	}
}

/* ---- the window on the peer's memory: a mapping of the shared object ---- */

static void *map_object(struct emu_link *l, const struct ka_tpt_entry *t)
{
	struct emu_vi *e = (struct emu_vi *)l; /* its first member */
	struct emu_map *free_map = &e->map[0], *m;
	struct shmid_ds ds;
	void *p;

	if (t->object_kind != KA_OBJ_SYSV)
		return NULL;
	for (m = e->map; m < e->map + EMU_MAPS; m++) {
		if (m->base && m->object == t->object)
			goto found;
		if (!m->base || (free_map->base && m->used < free_map->used))
			free_map = m;
	}
	m = free_map;
	p = shmat((int)t->object, NULL, 0);
	if (p == (void *)-1) /* NOLINT(performance-no-int-to-ptr) */
		return NULL; /* not ours to write, or gone: the owner copies */
	if (shmctl((int)t->object, IPC_STAT, &ds)) {
		shmdt(p);
		return NULL;
	}
	if (m->base)
		shmdt(m->base);
	*m = (struct emu_map){.object = t->object, .base = p, .size = ds.shm_segsz};
found:
	m->used = ++e->map_clock;
	/* the mapping ends on a page, as the entry's bounds were checked against the owner's */
	if (t->offset > m->size || t->length > ((m->size + 4095) & ~4095ull) - t->offset)
		return NULL;
	return m->base + t->offset;
}

_Static_assert(offsetof(struct emu_vi, l) == 0, "map_object finds the VI by its link");

const struct emu_host emu_process_host = {.map = map_object};

void emu_unmap_all(struct emu_vi *e)
{
	struct emu_map *m;

	for (m = e->map; m < e->map + EMU_MAPS; m++) {
		if (m->base)
			shmdt(m->base);
		*m = (struct emu_map){0};
	}
}

/* ---- telling the peer ---- */

/* After something was published for the peer: wake who sleeps for it. */
static void notice(struct emu_vi *e, uint32_t word)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	emu_wake_word(e->peer_wake, word);
}

void emu_alarm_peer(struct emu_vi *e)
{
	notice(e, e->peer_recv_word);
	notice(e, e->peer_send_word);
	emu_kick(e->peer_wake);
}

/* ---- sending ---- */

static bool reliable(const struct emu_vi *e)
{
	return e->l.level != VIP_SERVICE_UNRELIABLE;
}

static bool reception(const struct emu_vi *e)
{
	return e->l.level == VIP_SERVICE_RELIABLE_RECEPTION;
}

static void end_connection(struct emu_vi *e, uint32_t cause)
{
	emu_set_down(&e->l, cause);
	e->broken = true;
	emu_alarm_peer(e);
}

/* An error of the own descriptor: nothing was sent (VIPL-FACTS D.2). */
static void local_error(struct emu_vi *e, uint64_t n, uint32_t status)
{
	e->status[n % EMU_DEPTH] = VIP_STATUS_DONE | VIP_STATUS_OP_SEND | status;
	if (reliable(e))
		end_connection(e, KA_DOWN_ERROR);
}

/* The remote descriptor is missing or bad. */
static void remote_error(struct emu_vi *e, uint64_t n, uint32_t cause)
{
	e->status[n % EMU_DEPTH] =
		VIP_STATUS_DONE | VIP_STATUS_OP_SEND | (reception(e) ? VIP_STATUS_REMOTE_DESC_ERROR : 0);
	if (reliable(e)) {
		end_connection(e, cause);
	} else if (cause == KA_DOWN_RECVQ_EMPTY) {
		/* dropped; the receiver is told once until it has looked */
		if (!__atomic_exchange_n(&e->l.region->to[1 - e->l.side].tx.dropped, 1, __ATOMIC_SEQ_CST))
			emu_kick(e->peer_wake);
	} else {
		notice(e, e->peer_recv_word);
	}
}

/* Start descriptor @n; false when it must wait. */
static bool start(struct emu_vi *e, uint64_t n)
{
	static const uint32_t known = VIP_CONTROL_OP_MASK | VIP_CONTROL_IMMEDIATE | VIP_CONTROL_QFENCE;
	struct vip_vi *vi = e->vi;
	uint64_t receive = e->l.tx_next;
	enum emu_sent sent;
	struct request r;

	read_request(vi, &vi->q[VIP_SQ].e[n % vi->q[VIP_SQ].depth], &r);
	/* RDMA is not built yet: an operation that this NIC does not know */
	if (r.error || (r.control & ~known) || (r.control & VIP_CONTROL_OP_MASK) != VIP_CONTROL_OP_SENDRECV) {
		local_error(e, n, VIP_STATUS_FORMAT_ERROR);
		return true;
	}
	if (r.total > e->l.max_transfer) {
		local_error(e, n, VIP_STATUS_LENGTH_ERROR);
		return true;
	}
	sent = emu_send_start(&e->l, &(struct emu_send){.seg = r.seg,
							.nsegs = r.nsegs,
							.total = r.total,
							.imm = r.imm,
							.has_imm = r.control & VIP_CONTROL_IMMEDIATE});
	switch (sent) {
	case EMU_STREAMING:
	case EMU_SENT_UNREAPED:
		e->streaming = sent == EMU_STREAMING;
		/* a reception is reliable once the data are in their final place */
		e->status[n % EMU_DEPTH] = reception(e) ? 0 : VIP_STATUS_DONE | VIP_STATUS_OP_SEND;
		e->reap[n % EMU_DEPTH] = receive + 1;
		notice(e, e->peer_recv_word);
		return true;
	case EMU_SENT:
		e->status[n % EMU_DEPTH] = VIP_STATUS_DONE | VIP_STATUS_OP_SEND;
		notice(e, e->peer_recv_word);
		return true;
	case EMU_NO_RECEIVE:
		remote_error(e, n, KA_DOWN_RECVQ_EMPTY);
		return true;
	case EMU_BAD_RECEIVE:
		remote_error(e, n, KA_DOWN_ERROR);
		return true;
	case EMU_BAD_SOURCE:
		local_error(e, n, VIP_STATUS_PROTECTION_ERROR);
		return true;
	case EMU_NOT_READY:
	case EMU_IS_DOWN:
		return false;
	}
	return false;
}

/* Send queue: go on as far as it goes, and report what is complete; true while something is left to send. */
bool emu_pump(struct emu_vi *e)
{
	struct vip_queue *q = &e->vi->q[VIP_SQ];
	bool down;

	for (;;) {
		if (e->streaming) {
			uint64_t before = e->l.stream_left;

			e->streaming = emu_send_more(&e->l) == EMU_STREAMING;
			if (e->l.stream_left != before)
				notice(e, e->peer_recv_word);
			if (e->streaming)
				break;
		}
		if (e->started == q->tail || e->broken || !start(e, e->started))
			break;
		e->started++;
	}
	down = emu_down(&e->l);
	while (q->done < e->started) {
		uint32_t i = q->done % EMU_DEPTH;
		struct nic_wc wc = {.status = e->status[i]};

		if (e->streaming && q->done == e->started - 1 && !down)
			break;
		if (!wc.status && emu_reaped(&e->l) >= e->reap[i])
			wc.status = VIP_STATUS_DONE | VIP_STATUS_OP_SEND;
		if (e->streaming && q->done == e->started - 1)
			wc.status = VIP_STATUS_DONE | VIP_STATUS_OP_SEND | VIP_STATUS_TRANSPORT_ERROR;
		if (!wc.status) {
			if (!down)
				break;
			/* the other end is gone, and did not say that it has the data */
			wc.status = VIP_STATUS_DONE | VIP_STATUS_OP_SEND | VIP_STATUS_TRANSPORT_ERROR;
		}
		if (!(wc.status & VIP_STATUS_ERROR_MASK))
			wc.length = ka_load_relaxed(&q->e[i % q->depth].desc->CS.Length);
		vip_complete(e->vi, VIP_SQ, &wc);
	}
	ka_store_relaxed(&e->unfinished, e->streaming || (e->started < q->tail && !e->broken));
	return e->unfinished;
}

void emu_do_post_send(struct vip_vi *vi, uint64_t n)
{
	(void)n;
	if (emu_pump(vi->link))
		emu_call_progress(emu_nic(vi->nic));
}

/* ---- receiving ---- */

void emu_do_post_recv(struct vip_vi *vi, uint64_t n)
{
	struct emu_vi *e = vi->link;
	struct request r;

	read_request(vi, &vi->q[VIP_RQ].e[n % vi->q[VIP_RQ].depth], &r);
	/* the immediate bit is tolerated (VIPL-FACTS L-3), an operation is not */
	if ((r.control & VIP_CONTROL_OP_MASK) != VIP_CONTROL_OP_SENDRECV)
		r.error = VIP_STATUS_FORMAT_ERROR;
	emu_post_recv(&e->l, r.seg, r.nsegs, r.error != 0);
}

/* Is the memory that holds the descriptor still there to be read? */
static bool readable(struct vip_vi *vi, const struct vip_wqe *w)
{
	return vi->nic->ops->mem_check(vi->nic, w->mem, (uintptr_t)w->desc, sizeof(*w->desc), vi->attr.tag,
				       KA_R_WRITE) == 0;
}

void emu_drain(struct emu_vi *e)
{
	struct vip_vi *vi = e->vi;
	struct vip_queue *q = &vi->q[VIP_RQ];
	bool moved = false, reaped = false;

	while (q->done < q->tail && emu_recv_ready(&e->l)) {
		const struct vip_wqe *w = &q->e[q->done % q->depth];
		struct emu_recv got;
		struct request r;
		struct nic_wc wc;

		if (readable(vi, w))
			read_request(vi, w, &r);
		else
			r.nsegs = 0;
		e->draining = !emu_recv_take(&e->l, r.seg, r.nsegs, &got, &moved);
		if (e->draining)
			break;
		wc = (struct nic_wc){.status = got.status, .length = got.length, .imm = got.imm};
		vip_complete(vi, VIP_RQ, &wc);
		reaped = true;
		if ((wc.status & VIP_STATUS_ERROR_MASK) && reliable(e) && !emu_down(&e->l)) {
			emu_set_down(&e->l, KA_DOWN_ERROR);
			emu_alarm_peer(e);
		}
	}
	if (moved) {
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (ka_load_relaxed(&e->l.region->to[e->l.side].tx.want_room))
			emu_kick(e->peer_wake);
	}
	if (reaped && reception(e))
		notice(e, e->peer_send_word);
}

void emu_poll(struct vip_vi *vi, int queue)
{
	struct emu_vi *e = vi->link;

	if (queue == VIP_SQ) {
		e->polls++;
		emu_pump(e);
		return;
	}
	emu_drain(e);
	/* who polls for an answer is there to finish the question, too */
	if (ka_load_relaxed(&e->unfinished) && pthread_mutex_trylock(&vi->q[VIP_SQ].lock) == 0) {
		e->polls++;
		emu_pump(e);
		pthread_mutex_unlock(&vi->q[VIP_SQ].lock);
	}
}

enum nic_down emu_vi_down(struct vip_vi *vi)
{
	const struct emu_vi *e = vi->link;
	uint32_t down = e ? emu_down(&e->l) : 0;

	if (ka_load_relaxed(&vi->nic->dead))
		return e ? NIC_DEAD : NIC_UP;
	if (!down)
		return NIC_UP;
	if (down >> 8 == e->l.side)
		return (down & 0xff) == KA_DOWN_RECVQ_EMPTY ? NIC_LOST : NIC_ERROR;
	switch (down & 0xff) {
	case KA_DOWN_RECVQ_EMPTY:
		return NIC_RECVQ_EMPTY;
	case KA_DOWN_ERROR:
		return NIC_ERROR;
	default:
		return NIC_LOST;
	}
}
