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

#include "vipl/watch.h"

/* Descriptors are the consumer's memory: each field is read once. */
struct request {
	struct emu_seg seg[EMU_MAX_SEGS];
	uint32_t nsegs;
	uint64_t total;
	uint16_t control;
	uint32_t imm;
	uint32_t error; /* VIP_STATUS_*_ERROR, or 0 */
};

/* Copy bytes [off, off + n) of the descriptor; false: it is not registered memory any more. */
static bool fetch(struct vip_vi *vi, int queue, const struct vip_wqe *w, void *to, size_t off, size_t n)
{
	const uint8_t *from = (const uint8_t *)w->desc + off;
	int how = vi->nic->ops->mem_check(vi->nic, w->mem, (uintptr_t)w->desc, off + n, vi->attr.tag,
					  KA_R_WRITE);

	if (how < 0)
		return false;
	if (how == 1 || vi->q[queue].careful)
		return vip_mem_get(vi->nic, w->mem, to, from, n, vi->q[queue].careful);
	memcpy(to, from, n);
	return true;
}

static void read_request(struct vip_vi *vi, int queue, const struct vip_wqe *w, struct request *r)
{
	VIP_DATA_SEGMENT s[EMU_MAX_SEGS];
	VIP_CONTROL_SEGMENT cs;
	uint32_t i;

	r->nsegs = r->control = 0;
	r->imm = 0;
	r->total = 0;
	r->error = VIP_STATUS_PROTECTION_ERROR;
	/* the consumer may have deregistered the descriptor, and unmapped it, since it was posted */
	if (!fetch(vi, queue, w, &cs, 0, sizeof(cs)))
		return;
	r->control = cs.Control;
	r->imm = cs.ImmediateData;
	r->error = VIP_STATUS_FORMAT_ERROR;
	if (cs.SegCount > EMU_MAX_SEGS || !fetch(vi, queue, w, s, sizeof(cs), cs.SegCount * sizeof(s[0])))
		return;
	r->error = 0;
	r->nsegs = cs.SegCount;
	for (i = 0; i < r->nsegs; i++) {
		r->seg[i] = (struct emu_seg){s[i].Data.AddressBits, s[i].Handle, s[i].Length};
		r->total += s[i].Length;
	}
}

/* ---- the window on the peer's memory: a mapping of the shared object ---- */

static void *map_object(struct emu_link *l, const struct ka_tpt_entry *t)
{
	struct emu_vi *e = (struct emu_vi *)l; /* its first member */
	uint64_t this_message = l->tx_next + 1;
	struct emu_map *free_map = &e->map[0], *m;
	struct shmid_ds ds;
	void *p;

	/* in another IPC namespace than the agent's the same number is another segment */
	if (t->kind != LMM_SYSV || !ka_agent_same_ipc(e->vi->nic->agent))
		return NULL;
	for (m = e->map; m < e->map + EMU_MAPS; m++) {
		if (m->base && m->object == t->object)
			goto found;
		if (!m->base || (free_map->base && m->used < free_map->used))
			free_map = m;
	}
	m = free_map;
	if (m->base && m->used == this_message)
		return NULL; /* all are in use by this very message */
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
	m->used = this_message;
	/* the mapping ends on a page, as the entry's bounds were checked against the owner's */
	if (t->offset > m->size || t->length > ((m->size + 4095) & ~4095ull) - t->offset)
		return NULL;
	return m->base + t->offset;
}

_Static_assert(offsetof(struct emu_vi, l) == 0, "map_object finds the VI by its link");

static bool get(struct emu_link *l, const struct emu_seg *s, uint64_t off, void *to, uint64_t n)
{
	const struct emu_vi *e = (const struct emu_vi *)l;
	const void *from = (const void *)(uintptr_t)(s->addr + off); /* NOLINT */

	return vip_mem_get(e->vi->nic, s->handle, to, from, n, *l->tx_careful);
}

static bool put(struct emu_link *l, const struct emu_seg *s, uint64_t off, const void *from, uint64_t n)
{
	const struct emu_vi *e = (const struct emu_vi *)l;
	void *to = (void *)(uintptr_t)(s->addr + off); /* NOLINT */

	return vip_mem_put(e->vi->nic, s->handle, to, from, n, *l->rx_careful);
}

const struct emu_host emu_process_host = {
	.map = map_object, .get = get, .put = put, .settle = vip_watch_wait};

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

/* Polls for a reception that nobody reaps before the receiver's progress thread is asked to. */
#define VAIN_POLLS 2000u

/* ---- sending ---- */

static bool reliable(const struct emu_vi *e)
{
	return e->l.level != VIP_SERVICE_UNRELIABLE;
}

static bool reception(const struct emu_vi *e)
{
	return e->l.level == VIP_SERVICE_RELIABLE_RECEPTION;
}

static void try_to_end(struct emu_vi *e)
{
	if (e->ending && emu_reaped(&e->l) >= e->ending_at) {
		emu_set_down(&e->l, e->ending);
		e->ending = 0;
		emu_alarm_peer(e);
	}
}

/*
 * Receive number @next could not be served.  At Reliable Reception the sends
 * before it are not in error: the connection ends once the peer has them.
 */
static void end_connection(struct emu_vi *e, uint32_t cause, uint64_t next)
{
	e->broken = true;
	e->ending = cause;
	e->ending_at = reception(e) ? next : 0;
	emu_kick(e->peer_wake);
	try_to_end(e);
}

/* An error of the own descriptor: nothing was sent. */
static void local_error(struct emu_vi *e, uint64_t n, uint32_t status)
{
	e->status[n % EMU_DEPTH] = VIP_STATUS_DONE | VIP_STATUS_OP_SEND | status;
	if (reliable(e))
		end_connection(e, KA_DOWN_ERROR, e->l.tx_next);
}

/* The remote descriptor is missing or bad. */
static void remote_error(struct emu_vi *e, uint64_t n, uint32_t cause, uint64_t receive)
{
	e->status[n % EMU_DEPTH] =
		VIP_STATUS_DONE | VIP_STATUS_OP_SEND | (reception(e) ? VIP_STATUS_REMOTE_DESC_ERROR : 0);
	if (reliable(e)) {
		end_connection(e, cause, receive);
	} else if (cause == KA_DOWN_RECVQ_EMPTY) {
		/* dropped; the receiver is told once until it has looked */
		if (!__atomic_exchange_n(&e->l.region->to[1 - e->l.side].tx.dropped, 1, __ATOMIC_SEQ_CST))
			emu_kick(e->peer_wake);
	} else {
		notice(e, e->peer_recv_word);
	}
}

/* The source of send @n went away while it was under way: what is left of it went as zeros. */
static void source_gone(struct emu_vi *e, uint64_t n)
{
	e->status_bad = true;
	local_error(e, n, VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_PARTIAL_ERROR);
}

/* Start descriptor @n; false when it must wait. */
static bool start(struct emu_vi *e, uint64_t n)
{
	static const uint32_t known = VIP_CONTROL_OP_MASK | VIP_CONTROL_IMMEDIATE | VIP_CONTROL_QFENCE;
	struct vip_vi *vi = e->vi;
	uint64_t receive = e->l.tx_next;
	enum emu_sent sent;
	struct request r;

	read_request(vi, VIP_SQ, &vi->q[VIP_SQ].e[n % vi->q[VIP_SQ].depth], &r);
	/* RDMA is not built yet: an operation that this NIC does not know */
	if (!r.error &&
	    ((r.control & ~known) || (r.control & VIP_CONTROL_OP_MASK) != VIP_CONTROL_OP_SENDRECV))
		r.error = VIP_STATUS_FORMAT_ERROR;
	if (r.error) {
		local_error(e, n, r.error);
		return true;
	}
	e->length[n % EMU_DEPTH] = (uint32_t)r.total;
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
		e->status_bad = false;
		/* a reception is reliable once the data are in their final place */
		e->status[n % EMU_DEPTH] = reception(e) ? 0 : VIP_STATUS_DONE | VIP_STATUS_OP_SEND;
		e->reap[n % EMU_DEPTH] = receive + 1;
		if (e->l.source_gone)
			source_gone(e, n);
		notice(e, e->peer_recv_word);
		return true;
	case EMU_SENT:
		e->status[n % EMU_DEPTH] = VIP_STATUS_DONE | VIP_STATUS_OP_SEND;
		notice(e, e->peer_recv_word);
		return true;
	case EMU_NO_RECEIVE:
		remote_error(e, n, KA_DOWN_RECVQ_EMPTY, receive);
		return true;
	case EMU_BAD_RECEIVE:
		remote_error(e, n, KA_DOWN_ERROR, receive);
		return true;
	case EMU_BAD_SOURCE:
		local_error(e, n, VIP_STATUS_PROTECTION_ERROR);
		return true;
	case EMU_SOURCE_GONE:
		local_error(e, n, VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_PARTIAL_ERROR);
		notice(e, e->peer_recv_word);
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

	if (e->started < q->done)
		e->started = q->done; /* flushed by a post between attaching and connecting */
	for (;;) {
		if (e->streaming) {
			uint64_t before = e->l.stream_left;

			e->streaming = emu_send_more(&e->l) == EMU_STREAMING;
			if (e->l.stream_left != before)
				notice(e, e->peer_recv_word);
			if (e->l.source_gone && !e->status_bad)
				source_gone(e, e->started - 1);
			if (e->streaming)
				break;
		}
		if (e->started == q->tail || e->broken || !start(e, e->started))
			break;
		e->started++;
	}
	try_to_end(e);
	down = emu_down(&e->l);
	while (q->done < e->started) {
		uint32_t i = q->done % EMU_DEPTH;
		struct nic_wc wc = {.status = e->status[i]};

		if (e->streaming && q->done == e->started - 1 && !down)
			break;
		if (!wc.status && emu_reaped(&e->l) >= e->reap[i])
			wc.status = VIP_STATUS_DONE | VIP_STATUS_OP_SEND;
		if (e->streaming && q->done == e->started - 1 && !e->status_bad)
			wc.status = VIP_STATUS_DONE | VIP_STATUS_OP_SEND | VIP_STATUS_TRANSPORT_ERROR;
		if (!wc.status) {
			if (!down)
				break;
			/* the other end is gone, and did not say that it has the data */
			wc.status = VIP_STATUS_DONE | VIP_STATUS_OP_SEND | VIP_STATUS_TRANSPORT_ERROR;
		}
		if (!(wc.status & VIP_STATUS_ERROR_MASK))
			wc.length = e->length[i];
		vip_complete(e->vi, VIP_SQ, &wc);
	}
	ka_store_relaxed(&e->unfinished, e->streaming || e->ending || (e->started < q->tail && !e->broken));
	ka_store_relaxed(&e->unreaped, q->done < e->started);
	if (e->unreaped)
		ka_store_release(&emu_nic(e->vi->nic)->unreaped, 1);
	return e->unfinished;
}

void emu_do_post_send(struct vip_vi *vi, uint64_t n)
{
	struct emu_vi *e = vi->link;

	(void)n;
	e->polls++; /* he who posts is expected to poll: the progress thread gives him a moment */
	if (emu_pump(e))
		emu_call_progress(emu_nic(vi->nic));
}

/* ---- receiving ---- */

void emu_do_post_recv(struct vip_vi *vi, uint64_t n)
{
	struct emu_vi *e = vi->link;
	struct request r;

	read_request(vi, VIP_RQ, &vi->q[VIP_RQ].e[n % vi->q[VIP_RQ].depth], &r);
	/* the immediate bit is ignored, for one pool may serve both queues; an operation is not */
	if ((r.control & VIP_CONTROL_OP_MASK) != VIP_CONTROL_OP_SENDRECV)
		r.error = VIP_STATUS_FORMAT_ERROR;
	emu_post_recv(&e->l, r.seg, r.nsegs, r.error != 0);
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

		read_request(vi, VIP_RQ, w, &r); /* no segments when the descriptor has gone */
		e->draining = !emu_recv_take(&e->l, r.seg, r.nsegs, &got, &moved);
		if (e->draining)
			break;
		wc = (struct nic_wc){.status = got.status, .length = got.length, .imm = got.imm};
		vip_complete(vi, VIP_RQ, &wc);
		reaped = true;
		/* a transport error is a peer that does not keep to the rules: nothing of it can be trusted
		 */
		if (((wc.status & VIP_STATUS_ERROR_MASK && reliable(e)) ||
		     wc.status & VIP_STATUS_TRANSPORT_ERROR) &&
		    !emu_down(&e->l)) {
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
		/* who polls long for a reception makes the receiver's progress thread look */
		if (e->unreaped && ++e->vain % VAIN_POLLS == 0)
			emu_kick(e->peer_wake);
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
