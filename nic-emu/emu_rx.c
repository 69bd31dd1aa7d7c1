/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_rx.c - what the peer sends: messages for receives, RDMA writes, requests
 * for RDMA reads, and the answers to this end's own.
 *
 * Each is taken in the order in which it was sent, so that who sees a
 * reception sees all that was written before it.
 */
#include "nic-emu/core/emu_small.h"
#include "nic-emu/emu.h"

#define CELLS_ASK \
	(KA_DEPTH / 8) /* how many messages are taken before one looks whether a sender wants cells */

/* ... and how many bytes of the landing ring, as the bit that changes then. */
#define LAND_ASK (EMU_LAND / 4)

/* The connection ends by this end's doing, if it is one that ends by errors, or the peer keeps to no rules.
 */
static void give_up(struct emu_vi *e)
{
	e->gave_up = true;
	if (!emu_down(&e->l)) {
		emu_set_down(&e->l, KA_DOWN_ERROR);
		emu_alarm_peer(e);
	}
}

void emu_rdma_error(struct emu_vi *e, int queue, VIP_ERROR_CODE code)
{
	/* who is told of it by this error gets no CONN_LOST besides */
	e->vi->q[queue].errors += emu_reliable(e);
	vip_async(e->vi->nic, e->vi, code, VIP_RESOURCE_VI, NULL);
}

/* A message for a receive of many segments; none when its descriptor has gone. */
static bool take_long_receive(struct emu_vi *e, struct emu_recv *got, bool *moved)
{
	struct vip_request r;

	vip_read_request(e->vi, VIP_RQ, e->vi->q[VIP_RQ].done, &r);
	return emu_recv_take(&e->l, r.seg, r.nsegs, got, moved);
}

/* A message for the next receive; false: data are still under way. */
static bool take_receive(struct emu_vi *e, bool *moved)
{
	struct vip_queue *q = &e->vi->q[VIP_RQ];
	uint32_t op = e->l.rx_msg.op == EMU_OP_SEND ? VIP_STATUS_OP_RECEIVE : VIP_STATUS_OP_REMOTE_RDMA_WRITE;
	const struct emu_posted *kept = &e->posted[q->done % KA_DEPTH];
	struct emu_recv got;
	struct nic_wc wc;

	if (op != VIP_STATUS_OP_RECEIVE) {
		if (!emu_recv_take(&e->l, NULL, 0, &got, moved))
			return false;
	} else if (kept->nsegs <= EMU_POST_SEGS) {
		if (!emu_recv_take(&e->l, kept->seg, kept->nsegs, &got, moved))
			return false;
	} else if (!take_long_receive(e, &got, moved)) {
		return false;
	}
	wc = (struct nic_wc){
		.status = VIP_STATUS_DONE | op | got.status, .length = got.length, .imm = got.imm};
	vip_complete(e->vi, VIP_RQ, &wc);
	/* a transport error is a peer that does not keep to the rules: nothing of it can be trusted */
	if ((wc.status & VIP_STATUS_ERROR_MASK && emu_reliable(e)) || wc.status & VIP_STATUS_TRANSPORT_ERROR)
		give_up(e);
	return true;
}

/* An RDMA write that takes no receive. */
static bool take_write(struct emu_vi *e, bool *moved)
{
	struct emu_recv got;

	if (!emu_recv_take(&e->l, NULL, 0, &got, moved))
		return false;
	if (!(got.status & VIP_STATUS_ERROR_MASK))
		return true;
	emu_rdma_error(e, VIP_RQ,
		       got.status & VIP_STATUS_RDMA_PROT_ERROR	 ? VIP_ERROR_RDMAW_PROT
		       : got.status & VIP_STATUS_TRANSPORT_ERROR ? VIP_ERROR_RDMAW_DATA
								 : VIP_ERROR_RDMAW_ABORT);
	if (emu_reliable(e) || got.status & VIP_STATUS_TRANSPORT_ERROR)
		give_up(e);
	return true;
}

/* The peer asks for a read, or was told by its own engine that it may not have it; false: it asks for too
 * many. */
static bool take_want(struct emu_vi *e, bool *moved)
{
	struct ka_seg target = e->l.rx_msg.target;
	struct emu_recv got;

	if (e->wants - ka_load_acquire(&e->wants_answered) >= EMU_READS || !emu_reliable(e))
		return false;
	emu_recv_take(&e->l, NULL, 0, &got, moved);
	if (got.status & VIP_STATUS_ERROR_MASK) {
		emu_rdma_error(e, VIP_RQ, VIP_ERROR_RDMAR_PROT);
		give_up(e);
		return true;
	}
	e->wanted[e->wants % EMU_READS] = target;
	ka_store_release(&e->wants, e->wants + 1);
	return true;
}

/* The answer to the oldest read of this end. */
static bool take_answer(struct emu_vi *e, bool *moved)
{
	struct emu_read *read = &e->read[e->reads_answered % EMU_READS];
	struct emu_sent_desc *d = &e->sent[read->n % KA_DEPTH];
	struct emu_recv got;

	if (!emu_recv_take(&e->l, read->seg, read->nsegs, &got, moved))
		return false;
	/* fewer bytes than were asked for */
	if (!(got.status & VIP_STATUS_ERROR_MASK) && got.length != d->length)
		got.status |= VIP_STATUS_TRANSPORT_ERROR;
	ka_store_release(&d->status, VIP_STATUS_DONE | VIP_STATUS_OP_RDMA_READ | got.status);
	ka_store_release(&e->reads_answered, e->reads_answered + 1);
	if (got.status & VIP_STATUS_ERROR_MASK)
		give_up(e);
	return true;
}

void emu_tell_of_room(struct emu_vi *e)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (ka_load_relaxed(&e->l.region->to[e->l.side].tx.want_room))
		emu_kick_peer(e);
}

bool emu_take_small(struct emu_vi *e)
{
	const struct vip_queue *q = &e->vi->q[VIP_RQ];
	const struct emu_posted *kept = &e->posted[q->done % KA_DEPTH];
	uint64_t landed = e->l.land_tail;
	struct emu_recv got;
	struct nic_wc wc;

	if (q->careful || e->gave_up || q->done == q->tail || kept->nsegs != 1 ||
	    !emu_recv_small(&e->l, kept->seg, &got))
		return false;
	wc = (struct nic_wc){VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE | got.status, got.length, got.imm};
	vip_complete(e->vi, VIP_RQ, &wc);
	/* when it sleeps for want of either it has also woken the progress thread, which looks each time */
	if (e->l.rx_next % CELLS_ASK == 0 || (landed ^ e->l.land_tail) & LAND_ASK)
		emu_tell_of_room(e);
	if (emu_reception(e))
		emu_notice(e, e->peer_send_word);
	return true;
}

bool emu_drain(struct emu_vi *e)
{
	struct vip_queue *q = &e->vi->q[VIP_RQ];
	bool moved = false, reaped = false, reads = false, known = true, whole = true;
	uint32_t n = 0;

	while (known && whole && !e->gave_up && n < KA_DEPTH && emu_recv_look(&e->l)) {
		uint32_t op = e->l.rx_msg.op;

		n++; /* a peer may send as fast as this end takes */

		if (op == EMU_OP_WRITE) {
			whole = take_write(e, &moved);
		} else if (emu_takes_receive(&e->l.rx_msg) && q->done < q->tail) {
			whole = take_receive(e, &moved);
		} else if (op == EMU_OP_READ) {
			known = take_want(e, &moved);
			reads = true;
		} else if (op == EMU_OP_REPLY && emu_reads_out(e)) {
			whole = take_answer(e, &moved);
			reads |= whole;
		} else {
			known = false; /* what no engine would send */
		}
		reaped |= known && whole;
	}
	if (!known)
		give_up(e);
	e->draining = !whole || n == KA_DEPTH;
	/* nobody tells when what was put off can be had; the progress thread comes again by itself */
	if (n == KA_DEPTH || (!whole && !q->careful && emu_put_off(&e->l)))
		emu_call_progress(e);
	if (moved || (reaped && e->l.rx_next % CELLS_ASK < n))
		emu_tell_of_room(e);
	if (reaped && (emu_reception(e) || e->l.rx_pulled)) {
		e->l.rx_pulled = false;
		emu_notice(e, e->peer_send_word);
	}
	if (reaped && !ka_load_acquire(&e->probed))
		emu_probe(e);
	return reads;
}
