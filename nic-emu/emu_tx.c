/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_tx.c - the send queue: starts descriptors in order, completes them in
 * order, and answers the RDMA reads that the peer has asked for.
 *
 * What cannot be finished at once (the peer's end is not set up, the landing
 * ring is full, a fence waits for reads) stays with the NIC: the progress
 * thread, and every poll of the queue, go on with it.
 */
#include "nic-emu/core/emu_small.h"
#include "nic-emu/emu.h"

#include <stdlib.h>

#include "vipl/choices.h"

#define EMU_ALL UINT64_MAX /* messages: all that were sent so far, when they have arrived */

static struct emu_sent_desc *sent_desc(struct emu_vi *e, uint64_t n)
{
	return &e->sent[n % KA_DEPTH];
}

static void try_to_end(struct emu_vi *e)
{
	if (!e->ending || emu_is_engines(e) || !emu_link_idle(e) || (emu_reception(e) && emu_reads_out(e)))
		return;
	if (e->ending_at == EMU_ALL)
		e->ending_at = emu_reception(e) ? e->l.tx_next : e->l.tx_held;
	if (emu_reaped(&e->l) >= e->ending_at) {
		emu_set_down(&e->l, e->ending);
		e->ending = 0;
		emu_alarm_peer(e);
	}
}

/*
 * The message behind the first @good ones went wrong.  At Reliable Reception
 * the sends before it are not in error: the connection ends once the peer has
 * them.  So are those at other levels whose data it takes from this end's memory.
 */
static void end_connection(struct emu_vi *e, uint32_t cause, uint64_t good)
{
	if (e->broken)
		return;
	e->broken = true;
	e->ending = cause;
	e->ending_at = emu_reception(e) || good == EMU_ALL ? good : e->l.tx_held;
	emu_kick_peer(e);
	try_to_end(e);
}

/* An error of the own descriptor: nothing was sent. */
void emu_local_error(struct emu_vi *e, struct emu_sent_desc *d, uint32_t status)
{
	d->status = VIP_STATUS_DONE | d->op | status;
	if (emu_reliable(e))
		end_connection(e, KA_DOWN_ERROR, EMU_ALL);
}

/* The remote descriptor is missing or bad, or the remote memory protected: @good messages went before. */
static void remote_error(struct emu_vi *e, struct emu_sent_desc *d, uint32_t cause, uint32_t status,
			 uint64_t good)
{
	bool read = d->op == VIP_STATUS_OP_RDMA_READ;

	d->status = VIP_STATUS_DONE | d->op | (emu_reception(e) || read ? status : 0);
	if (emu_reliable(e)) {
		e->refused = true;
		end_connection(e, cause, good);
	} else if (cause == KA_DOWN_RECVQ_EMPTY) {
		/* dropped; the receiver is told once until it has looked */
		if (e->doorbell >= 0) /* the kernel says so in its memory */
			emu_kick_peer(e);
		else if (!__atomic_exchange_n(&e->l.region->to[1 - e->l.side].tx.dropped, 1,
					      __ATOMIC_SEQ_CST))
			emu_kick_peer(e);
	} else {
		emu_notice(e, e->peer_recv_word);
		emu_kick_peer(e);
	}
}

/* The source of a message went away while it was under way: what is left of it went as zeros. */
static void source_gone(struct emu_vi *e)
{
	e->streams_bad = true;
	if (e->streams)
		emu_local_error(e, e->streams, VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_PARTIAL_ERROR);
}

void emu_tell_peer(struct emu_vi *e, bool consumer)
{
	if (consumer)
		emu_notice(e, e->peer_recv_word);
	else
		emu_kick_peer(e);
}

/* ---- what is large, and the engine's thread ---- */

/* Is a message of @bytes to be left to it?  It is given the VI, if there is no more to wait for. */
static bool for_engine(struct emu_vi *e, uint64_t bytes)
{
	if (bytes <= e->inline_max || e->engine == EMU_RUNS)
		return false;
	if (e->engine == EMU_INLINE && emu_can_send(&e->l))
		emu_engine_give(e);
	return true;
}

static enum emu_sent engine_start(struct emu_vi *e, const struct emu_send *s)
{
	return e->doorbell >= 0 ? emu_kernel_send(e, s) : emu_send_start(&e->l, s);
}

static enum emu_sent send_start(struct emu_vi *e, const struct emu_send *s)
{
	enum emu_sent sent;

	if (s->total <= e->inline_max)
		return engine_start(e, s);
	emu_engine_copies(e);
	sent = emu_send_start(&e->l, s);
	emu_engine_copied(e, sent != EMU_NOT_READY);
	return sent;
}

/* ---- RDMA read ---- */

static bool may_ask(struct emu_vi *e)
{
	if (e->reads_asked - ka_load_acquire(&e->reads_answered) == EMU_READS)
		return false;
	if (!e->read)
		e->read = calloc(EMU_READS, sizeof(*e->read));
	return e->read;
}

/* The own segments are to be written by the peer's answer. */
static bool scatter_ok(struct emu_vi *e, const struct vip_request *r)
{
	struct vip_vi *vi = e->vi;
	uint32_t i;

	for (i = 0; i < r->nsegs; i++) {
		if (r->seg[i].len && vip_mem_check(vi->nic, r->seg[i].handle, r->seg[i].addr, r->seg[i].len,
						   vi->attr.tag, KA_R_WRITE, &e->l.tx_own) < 0)
			return false;
	}
	return true;
}

/* Ask the peer; with @error only tell it of what was refused.  False: try again later. */
static bool ask(struct emu_vi *e, struct emu_sent_desc *d, const struct vip_request *r, uint32_t error)
{
	const struct emu_send s = {.op = EMU_OP_READ, .total = r->total, .target = r->target, .error = error};

	if (e->wire)
		return emu_link_send(e, d, &s) == EMU_SENT_UNREAPED;
	if (engine_start(e, &s) != EMU_SENT_UNREAPED)
		return false;
	emu_tell_peer(e, false);
	return true;
}

/* The peer does not let it be read, and shall know; false: try again later. */
static bool read_refused(struct emu_vi *e, struct emu_sent_desc *d, const struct vip_request *r)
{
	if (!ask(e, d, r, VIP_STATUS_RDMA_PROT_ERROR))
		return false;
	remote_error(e, d, KA_DOWN_ERROR, VIP_STATUS_RDMA_PROT_ERROR, e->l.tx_next - 1);
	return true;
}

/* The kernel reads at once, or not yet. */
static bool read_by_kernel(struct emu_vi *e, struct emu_sent_desc *d, const struct vip_request *r)
{
	switch (emu_kernel_read(e, r)) {
	case EMU_SENT:
		d->status = VIP_STATUS_DONE | VIP_STATUS_OP_RDMA_READ;
		return true;
	case EMU_BAD_SOURCE:
		emu_local_error(e, d, VIP_STATUS_PROTECTION_ERROR);
		return true;
	case EMU_BAD_TARGET:
		return read_refused(e, d, r);
	default:
		return false;
	}
}

/* Where is what is to be read?  As emu_read_check(); by way of the model of a link it is the peer who
 * decides. */
static int read_check(struct emu_vi *e, const struct ka_seg *target, struct emu_place *place)
{
	return e->wire ? 0 : emu_read_check(&e->l, target, place);
}

/* As emu_read_here(); the descriptor is told what is final. */
static enum emu_sent read_here(struct emu_vi *e, struct emu_sent_desc *d, const struct vip_request *r,
			       const struct emu_place *place)
{
	bool alone = r->total > e->inline_max;
	enum emu_sent done;

	if (alone)
		emu_engine_copies(e);
	done = emu_read_here(&e->l, &r->target, place, r->seg, r->nsegs);
	if (alone)
		emu_engine_copied(e, done != EMU_NOT_READY);
	if (done == EMU_SENT)
		d->status = VIP_STATUS_DONE | VIP_STATUS_OP_RDMA_READ;
	else if (done == EMU_BAD_SOURCE)
		emu_local_error(e, d, VIP_STATUS_PROTECTION_ERROR);
	return done;
}

static bool start_read(struct emu_vi *e, uint64_t n, const struct vip_request *r)
{
	struct emu_sent_desc *d = sent_desc(e, n);
	struct emu_place place;
	struct emu_read *read;
	int how;

	if (e->doorbell >= 0)
		return read_by_kernel(e, d, r);
	if (emu_down(&e->l) || !ka_load_acquire(&e->l.region->ctl.side[1 - e->l.side].ready) || !may_ask(e))
		return false;
	if (!scatter_ok(e, r)) {
		emu_local_error(e, d, VIP_STATUS_PROTECTION_ERROR);
		return true;
	}
	if (!ka_load_acquire(&e->probed))
		emu_probe(e);
	how = read_check(e, &r->target, &place);
	if (how < 0)
		return read_refused(e, d, r);
	if (how > 0) {
		enum emu_sent done;

		if (for_engine(e, r->total))
			return false;
		done = read_here(e, d, r, &place);
		if (done != EMU_NOT_READY)
			return done == EMU_SENT || done == EMU_BAD_SOURCE; /* else the next look tells */
	}
	if (!e->wire && !emu_can_send(&e->l))
		return false;
	/* the answer may come before this returns */
	read = &e->read[e->reads_asked % EMU_READS];
	read->n = n;
	read->nsegs = r->nsegs;
	__builtin_memcpy(read->seg, r->seg, r->nsegs * sizeof(r->seg[0]));
	d->reap = EMU_NO_REAP;
	ka_store_relaxed(&d->status, 0);
	ka_store_release(&e->reads_asked, e->reads_asked + 1);
	if (ask(e, d, r, 0))
		return true;
	ka_store_release(&e->reads_asked, e->reads_asked - 1);
	return false;
}

static enum emu_sent send_answer(struct emu_vi *e, const struct emu_send *s)
{
	return e->wire ? emu_link_send(e, NULL, s) : send_start(e, s);
}

void emu_answered(struct emu_vi *e, enum emu_sent sent)
{
	e->streaming = sent == EMU_STREAMING;
	e->streams = NULL;
	e->streams_bad = false;
	emu_notice(e, e->peer_send_word);
	emu_kick_peer(e);
}

/* The peer may not have that, or asks for too much. */
static bool refuse(struct emu_vi *e)
{
	const struct emu_send s = {.op = EMU_OP_REPLY, .error = VIP_STATUS_RDMA_PROT_ERROR};
	uint64_t good = e->l.tx_next;

	if (send_answer(e, &s) != EMU_SENT_UNREAPED)
		return false;
	emu_rdma_error(e, VIP_SQ, VIP_ERROR_RDMAR_PROT);
	end_connection(e, KA_DOWN_ERROR, good);
	return true;
}

/* Answer the oldest read of the peer's, of which there is one; false: not yet. */
static bool answer(struct emu_vi *e)
{
	struct vip_vi *vi = e->vi;
	enum emu_sent sent = EMU_BAD_SOURCE;
	struct emu_send reply = {.op = EMU_OP_REPLY, .nsegs = 1};
	struct ka_seg s;

	s = e->wanted[e->wants_answered % EMU_READS];
	if (for_engine(e, s.len))
		return false;
	/* its place is free before the answer is seen: who has that may ask for the next */
	ka_store_release(&e->wants_answered, e->wants_answered + 1);
	reply.seg = &s;
	reply.total = s.len;
	if ((e->l.own_rdma & KA_R_RDMA_READ) && s.len <= e->l.max_transfer &&
	    vip_mem_check(vi->nic, s.handle, s.addr, s.len, vi->attr.tag, KA_R_RDMA_READ, &e->l.tx_own) >= 0)
		sent = send_answer(e, &reply);
	if (sent == EMU_BAD_SOURCE ? !refuse(e) : sent != EMU_SENT_UNREAPED && sent != EMU_STREAMING) {
		e->wanted[(e->wants_answered - 1) % EMU_READS] = s;
		ka_store_release(&e->wants_answered, e->wants_answered - 1);
		return false;
	}
	if (!e->wire)
		emu_answered(e, sent);
	return true;
}

/* ---- the queue ---- */

bool emu_started(struct emu_vi *e, struct emu_sent_desc *d, enum emu_sent sent, uint64_t good)
{
	bool takes = d->op == VIP_STATUS_OP_SEND || e->l.tx_next != good;

	switch (sent) {
	case EMU_STREAMING:
	case EMU_SENT_UNREAPED:
		e->streaming = sent == EMU_STREAMING;
		e->streams = d;
		e->streams_bad = false;
		/* a reception is reliable once the data are in their final place */
		d->reap = e->l.tx_next;
		ka_store_relaxed(&d->status, emu_reception(e) ? 0 : VIP_STATUS_DONE | d->op);
		if (e->l.source_gone)
			source_gone(e);
		if (takes)
			emu_tell_peer(e, true);
		if (d->op != VIP_STATUS_OP_SEND)
			emu_tell_peer(e, false);
		return true;
	case EMU_SENT_HELD:
		d->reap = e->l.tx_next;
		ka_store_relaxed(&d->status, 0);
		if (takes)
			emu_tell_peer(e, true);
		if (d->op != VIP_STATUS_OP_SEND)
			emu_tell_peer(e, false);
		return true;
	case EMU_SENT:
		if (e->wire && emu_reception(e) && d != &e->unseen)
			d->reap = 0; /* but the acknowledgement has to come back */
		else
			d->status = VIP_STATUS_DONE | d->op;
		if (takes)
			emu_tell_peer(e, true);
		return true;
	case EMU_NO_RECEIVE:
		remote_error(e, d, KA_DOWN_RECVQ_EMPTY, VIP_STATUS_REMOTE_DESC_ERROR, good);
		return true;
	case EMU_BAD_RECEIVE:
		remote_error(e, d, KA_DOWN_ERROR, VIP_STATUS_REMOTE_DESC_ERROR, good);
		return true;
	case EMU_BAD_TARGET:
		remote_error(e, d, KA_DOWN_ERROR,
			     d->op == VIP_STATUS_OP_SEND ? VIP_STATUS_REMOTE_DESC_ERROR
							 : VIP_STATUS_RDMA_PROT_ERROR,
			     good);
		return true;
	case EMU_BAD_SOURCE:
		emu_local_error(e, d, VIP_STATUS_PROTECTION_ERROR);
		return true;
	case EMU_SOURCE_GONE:
		emu_local_error(e, d, VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_PARTIAL_ERROR);
		emu_tell_peer(e, true);
		emu_tell_peer(e, false);
		return true;
	case EMU_NOT_READY:
	case EMU_IS_DOWN:
		return false;
	}
	return false;
}

/* A send or an RDMA write; false when it must wait. */
static bool start_send(struct emu_vi *e, struct emu_sent_desc *d, const struct vip_request *r)
{
	const struct emu_send s = {.op = r->op == VIP_CONTROL_OP_RDMAWRITE ? EMU_OP_WRITE : EMU_OP_SEND,
				   .seg = r->seg,
				   .nsegs = r->nsegs,
				   .total = r->total,
				   .imm = r->imm,
				   .has_imm = r->control & VIP_CONTROL_IMMEDIATE,
				   .target = r->target};
	uint64_t good = e->l.tx_next;

	if (e->wire)
		return emu_link_send(e, d, &s) != EMU_NOT_READY;
	if (for_engine(e, r->total))
		return false;
	return emu_started(e, d, send_start(e, &s), good);
}

/* Start descriptor @n; false when it must wait. */
static bool start(struct emu_vi *e, uint64_t n)
{
	struct emu_sent_desc *d = sent_desc(e, n);
	struct vip_request r;

	vip_read_request(e->vi, VIP_SQ, n, &r);
	d->op = vip_op_status(r.op);
	d->length = (uint32_t)r.total;
	if (!r.error && r.total > e->l.max_transfer)
		r.error = VIP_STATUS_LENGTH_ERROR;
	if (!r.error && (r.control & VIP_CONTROL_QFENCE) && emu_reads_out(e))
		return false;
	if (r.error) {
		emu_local_error(e, d, r.error);
		return true;
	}
	if (r.op == VIP_CONTROL_OP_RDMAREAD)
		return start_read(e, n, &r);
	return start_send(e, d, &r);
}

/* Go on with the message that is being sent; true when it is on its way. */
static bool stream(struct emu_vi *e)
{
	uint64_t before = e->l.stream_left;
	bool engines = e->engine == EMU_RUNS, whole;

	if (e->engine == EMU_HAD_TURN)
		return false;
	if (engines)
		emu_engine_copies(e);
	whole = emu_send_more(&e->l) != EMU_STREAMING;
	if (engines)
		emu_engine_copied(e, e->l.stream_left != before);
	e->streaming = !whole;
	if (e->l.stream_left != before) {
		emu_tell_peer(e, true);
		if (!e->streams || e->streams->op != VIP_STATUS_OP_SEND)
			emu_tell_peer(e, false);
	}
	if (e->l.source_gone && !e->streams_bad)
		source_gone(e);
	return !e->streaming;
}

/* What is under way when the connection ends: flushed, unless it is the transport that has failed. */
static uint32_t cut_short(struct emu_vi *e)
{
	bool failed = (emu_down(&e->l) & 0xff) == KA_DOWN_DEAD || (e->wire && e->wire->broken);

	e->failed = true; /* whatever is heard of those behind it */
	return failed ? VIP_STATUS_TRANSPORT_ERROR : VIP_STATUS_DESC_FLUSHED_ERROR;
}

/* The status of a descriptor that was started; 0: not yet. */
static uint32_t settled(struct emu_vi *e, uint64_t n)
{
	struct emu_sent_desc *d = sent_desc(e, n);
	uint32_t status = ka_load_acquire(&d->status), error;
	bool streams = e->streaming && e->streams == d;

	if (e->failed)
		return VIP_STATUS_DONE | d->op | VIP_STATUS_DESC_FLUSHED_ERROR;
	if (streams && !ka_load_acquire(&e->severed))
		return 0;
	if (streams && !e->streams_bad)
		return VIP_STATUS_DONE | d->op | cut_short(e);
	if (status)
		return status;
	if (d->reap != EMU_NO_REAP && emu_reaped(&e->l) >= d->reap &&
	    (!e->wire || e->wire->taken >= d->frame)) {
		if (emu_lost(&e->l, d->reap)) {
			emu_local_error(e, d, VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_PARTIAL_ERROR);
			return d->status;
		}
		if (d->reap && emu_reception(e) && emu_failed(&e->l, &error) == d->reap) {
			e->failed = true;
			end_connection(e, KA_DOWN_ERROR, 0);
			return VIP_STATUS_DONE | d->op |
			       (error == VIP_STATUS_RDMA_PROT_ERROR ? VIP_STATUS_RDMA_PROT_ERROR
								    : VIP_STATUS_REMOTE_DESC_ERROR);
		}
		return VIP_STATUS_DONE | d->op;
	}
	return ka_load_acquire(&e->severed) ? VIP_STATUS_DONE | d->op | cut_short(e) : 0;
}

bool emu_start_small(struct emu_vi *e, uint64_t n)
{
	struct vip_vi *vi = e->vi;
	struct nic_wc wc = {.status = VIP_STATUS_DONE | VIP_STATUS_OP_SEND};
	struct vip_plain p;

	if (vi->q[VIP_SQ].done != n || e->started != n || e->engine || e->streaming || e->broken ||
	    e->ending || e->wire || emu_reception(e) || emu_wanted(e) ||
	    !vip_read_plain(vip_wqe(&vi->q[VIP_SQ], n)->desc, &p) ||
	    (p.length != p.seg.len && !vip_choices()->any_length) || p.seg.len > e->l.max_transfer ||
	    !emu_send_small(&e->l, &p.seg, p.imm_flag, p.imm))
		return false;
	e->started = n + 1;
	wc.length = p.seg.len;
	vip_complete_seen(vi, VIP_SQ, &wc);
	emu_notice(e, e->peer_recv_word);
	return true;
}

/* Start what can be started. */
static void start_all(struct emu_vi *e)
{
	const struct vip_queue *q = &e->vi->q[VIP_SQ];

	if (e->started < q->done)
		e->started = q->done; /* flushed by a post between attaching and connecting */
	while ((!e->streaming || stream(e)) && !emu_down(&e->l)) {
		if (e->wire)
			emu_link_run(e);
		if (e->streaming)
			break; /* what has arrived is large */
		if (emu_wanted(e) && answer(e))
			continue;
		if (e->started == q->tail || e->broken || !start(e, e->started))
			break;
		e->started++;
	}
}

bool emu_pump(struct emu_vi *e)
{
	struct vip_queue *q = &e->vi->q[VIP_SQ];
	bool left;

	if (!emu_is_engines(e))
		start_all(e);
	while (q->done < e->started) {
		struct nic_wc wc = {.status = settled(e, q->done)};

		if (!wc.status)
			break;
		if (!(wc.status & VIP_STATUS_ERROR_MASK))
			wc.length = sent_desc(e, q->done)->length;
		vip_complete(e->vi, VIP_SQ, &wc);
	}
	try_to_end(e); /* who sees the error sees the state */
	left = e->streaming || e->ending || emu_wanted(e) || !emu_link_idle(e) ||
	       (e->started < q->tail && !e->broken);
	ka_store_relaxed(&e->unfinished, left && !emu_is_engines(e));
	ka_store_relaxed(&e->unreaped, q->done < e->started);
	if (e->unreaped | e->unfinished)
		emu_leave(e);
	return e->unfinished;
}
