/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_rx.c - frames that arrived: messages for receives, RDMA writes, requests
 * for RDMA reads, the answers to this end's own, and what became of its sends.
 *
 * They are taken in order, so who sees a reception sees all that was written
 * before it.  Nothing in a frame is trusted.
 */
#include "nic-verbs/verbs.h"

#include <string.h>

#include "kagent/ka_last_word.h"

void verbs_rdma_error(struct verbs_end *e, int queue, VIP_ERROR_CODE code)
{
	/* who is told of it by this error gets no CONN_LOST besides */
	e->vi->q[queue].errors += verbs_reliable(e);
	vip_async(e->vi->nic, e->vi, code, VIP_RESOURCE_VI, NULL);
}

/* What is in place: at Reliable Reception, and when it was read from the peer. */
static void tell_done(struct verbs_end *e)
{
	const struct verbs_frame f = {.type = VERBS_DONE, .seq = e->expected};

	if ((!verbs_reception(e) && !e->tells) || e->told == e->expected || e->severed ||
	    ka_load_acquire(&e->down))
		return;
	/* after a large message it is known soon that the device has nothing to do: see verbs_chain() */
	if (!verbs_tell(e, &f, VERBS_WRS - 8, e->tells)) {
		verbs_todo(e);
		return;
	}
	e->told = e->expected;
	e->tells = false;
}

/* The connection ends by this end's doing; at Reliable Reception the peer's message in hand gets @told. */
static void give_up(struct verbs_end *e, enum nic_down cause, uint32_t told)
{
	e->gave_up = true;
	tell_done(e);
	verbs_set_down(e, cause, told, told ? e->expected + 1 : 0);
}

/* A frame that no end of ours would have sent. */
static void nonsense(struct verbs_end *e, const char *what)
{
	vip_log(VIP_LOG_WARN, "%s: a peer does not keep to the protocol (%s): its connection ends",
		e->vn->nic->device, what);
	ka_store_release(&e->transport, 1);
	give_up(e, NIC_ERROR, 0);
}

/* ---- own memory ---- */

static int target_check(struct verbs_end *e, const struct ka_seg *s, uint32_t rights)
{
	return vip_mem_check(e->vi->nic, s->handle, s->addr, s->len, e->vi->attr.tag, rights, &e->rx_kept);
}

/* @n bytes into the segment, from byte @off on; the aligned word that ends an RDMA write is written last. */
static bool put_piece(struct verbs_end *e, const struct ka_seg *s, uint32_t rights, uint32_t off,
		      const uint8_t *from, uint32_t n)
{
	bool careful = e->vi->q[VIP_RQ].careful;
	uint8_t *to = (uint8_t *)(uintptr_t)s->addr + off; /* NOLINT */
	uint32_t last = 0;
	int how;

	if (n == 0)
		return true;
	how = target_check(e, s, rights);
	if (how < 0)
		return false;
	if ((rights & KA_R_RDMA_WRITE) && off + n == s->len)
		last = (uint32_t)ka_last_word(s->addr, s->len);
	if (last > n)
		last = n;
	n -= last;
	if (how == 0 && !careful) {
		memcpy(to, from, n);
		ka_put_last(to + n, from + n, last);
		return true;
	}
	return (n == 0 || vip_mem_put(e->vi->nic, s->handle, to, from, n, careful)) &&
	       (last == 0 || vip_mem_put(e->vi->nic, s->handle, to + n, from + n, last, careful));
}

/* Bytes from number @at of a message on, to where they belong in these segments. */
static bool scatter(struct verbs_end *e, const struct ka_seg *seg, uint32_t nsegs, uint32_t at,
		    const uint8_t *from, uint32_t n)
{
	uint32_t i, part;

	for (i = 0; i < nsegs && n; i++) {
		if (at >= seg[i].len) {
			at -= seg[i].len;
			continue;
		}
		part = n < seg[i].len - at ? n : seg[i].len - at;
		if (!put_piece(e, &seg[i], KA_R_WRITE, at, from, part))
			return false;
		from += part;
		n -= part;
		at = 0;
	}
	return n == 0;
}

/* ---- messages ---- */

/* Why the receive cannot have the message; or 0. */
static uint32_t receive_bad(struct verbs_end *e, const struct verbs_in *in)
{
	const struct vip_request *r = &in->request;
	uint64_t room = 0;
	uint32_t i;

	if (r->error)
		return VIP_STATUS_FORMAT_ERROR;
	for (i = 0; i < r->nsegs && room < in->total; i++) {
		if (r->seg[i].len && target_check(e, &r->seg[i], KA_R_WRITE) < 0)
			return VIP_STATUS_PROTECTION_ERROR;
		room += r->seg[i].len;
	}
	return room < in->total ? VIP_STATUS_LENGTH_ERROR : 0;
}

static uint32_t write_bad(struct verbs_end *e, const struct verbs_in *in)
{
	if (in->takes && in->request.error)
		return VIP_STATUS_FORMAT_ERROR;
	if (!(e->vi->attr.rdma & KA_R_RDMA_WRITE) ||
	    target_check(e, &in->target, KA_R_WRITE | KA_R_RDMA_WRITE) < 0)
		return VIP_STATUS_RDMA_PROT_ERROR;
	return 0;
}

/* The message is over: the receive is told, if it takes one, and the peer of what went wrong. */
static void tell(struct verbs_end *e, uint32_t bad)
{
	const struct verbs_in *in = &e->in;
	bool write = in->type == VERBS_WRITE,
	     ends = bad && (verbs_reliable(e) || (bad & VIP_STATUS_TRANSPORT_ERROR));
	struct nic_wc wc = {
		.status = VIP_STATUS_DONE |
			  (write ? VIP_STATUS_OP_REMOTE_RDMA_WRITE : VIP_STATUS_OP_RECEIVE) |
			  (in->flags & VERBS_F_IMM ? VIP_STATUS_IMMEDIATE : 0) | bad,
		.length = bad ? 0 : in->total,
		.imm = in->imm,
	};

	if (in->takes)
		vip_complete(e->vi, VIP_RQ, &wc);
	else if (bad)
		verbs_rdma_error(e, VIP_RQ,
				 bad & VIP_STATUS_RDMA_PROT_ERROR   ? VIP_ERROR_RDMAW_PROT
				 : bad & VIP_STATUS_TRANSPORT_ERROR ? VIP_ERROR_RDMAW_DATA
								    : VIP_ERROR_RDMAW_ABORT);
	if (ends)
		give_up(e, NIC_ERROR,
			write && !(bad & VIP_STATUS_FORMAT_ERROR) ? VIP_STATUS_RDMA_PROT_ERROR
								  : VIP_STATUS_REMOTE_DESC_ERROR);
}

/* The first frame of a message. */
static void begin_message(struct verbs_end *e, const struct verbs_frame *f)
{
	const struct vip_queue *q = &e->vi->q[VIP_RQ];
	struct verbs_in *in = &e->in;
	uint32_t bad;

	in->open = true;
	in->skip = false;
	in->type = f->type;
	in->flags = f->flags;
	in->takes = f->type == VERBS_SEND || (f->flags & VERBS_F_IMM);
	in->imm = f->imm;
	in->total = f->total;
	in->got = 0;
	in->bad = 0;
	in->target = (struct ka_seg){f->addr, f->handle, f->total};
	if (in->takes && q->done == q->tail) {
		in->skip = true;
		if (verbs_reliable(e))
			give_up(e, NIC_RECVQ_EMPTY, VIP_STATUS_REMOTE_DESC_ERROR);
		else
			vip_async(e->vi->nic, e->vi, VIP_ERROR_RECVQ_EMPTY, VIP_RESOURCE_VI, NULL);
		return;
	}
	if (in->takes)
		vip_read_request(e->vi, VIP_RQ, q->done, &in->request);
	if (in->total > e->vi->attr.max_transfer)
		bad = VIP_STATUS_TRANSPORT_ERROR;
	else
		bad = f->type == VERBS_WRITE ? write_bad(e, in) : receive_bad(e, in);
	if (bad) {
		in->skip = true;
		tell(e, bad);
	}
}

bool verbs_put(struct verbs_end *e, const uint8_t *from, uint32_t n)
{
	struct verbs_in *in = &e->in;

	if (in->type == VERBS_WRITE)
		return (e->vi->attr.rdma & KA_R_RDMA_WRITE) &&
		       put_piece(e, &in->target, KA_R_WRITE | KA_R_RDMA_WRITE, in->got, from, n);
	return scatter(e, in->request.seg, in->request.nsegs, in->got, from, n);
}

bool verbs_place_ok(struct verbs_end *e)
{
	struct verbs_in *in = &e->in;

	return !(in->type == VERBS_WRITE ? write_bad(e, in) : receive_bad(e, in));
}

void verbs_put_end(struct verbs_end *e, uint32_t bad)
{
	e->in.open = false;
	e->tells = true;
	tell(e, bad);
	if (!e->gave_up)
		e->expected++;
}

/* It is not in the frame, but to be read. */
static void take_windows(struct verbs_end *e, const struct verbs_frame *f, const uint8_t *data, uint32_t n)
{
	const uint8_t whole = VERBS_F_FIRST | VERBS_F_LAST;

	if ((f->flags & whole) != whole || f->at || !verbs_reliable(e) || !verbs_pull_begin(e, data, n))
		nonsense(e, "windows that are no message");
	else
		verbs_pull_go_on(e);
}

/* Is this what comes next of a message that has @total bytes, and @got so far? */
static bool in_sequence(const struct verbs_frame *f, uint32_t n, uint32_t total, uint32_t got)
{
	bool last = f->flags & VERBS_F_LAST;

	if (f->total != total || f->at != got || n > total - got)
		return false;
	return f->flags & VERBS_F_ERROR ? last && n == 0 : last == (got + n == total);
}

static void take_message(struct verbs_end *e, const struct verbs_frame *f, const uint8_t *data, uint32_t n)
{
	struct verbs_in *in = &e->in;

	if (!(f->flags & VERBS_F_FIRST) != in->open || f->seq != e->expected) {
		nonsense(e, "a message out of sequence");
		return;
	}
	if (!in->open) {
		begin_message(e, f);
		if (e->gave_up)
			return;
		if (f->flags & VERBS_F_PULL) {
			take_windows(e, f, data, n);
			return;
		}
	}
	if (f->type != in->type || !in_sequence(f, n, in->total, in->got)) {
		nonsense(e, "a part of a message out of sequence");
		return;
	}
	/* it may have been deregistered since the message began */
	if (!in->skip && !in->bad && !verbs_put(e, data, n))
		in->bad = in->type == VERBS_WRITE ? VIP_STATUS_RDMA_PROT_ERROR : VIP_STATUS_PROTECTION_ERROR;
	in->got += n;
	if (!(f->flags & VERBS_F_LAST))
		return;
	in->open = false;
	if (f->flags & VERBS_F_ERROR)
		in->bad |= VIP_STATUS_PARTIAL_ERROR;
	if (!in->skip)
		tell(e, in->bad);
	if (!e->gave_up)
		e->expected++;
}

/* ---- RDMA reads ---- */

/* The peer asks for one. */
static bool take_want(struct verbs_end *e, const struct verbs_frame *f)
{
	if (!verbs_reliable(e) || f->seq != e->wants ||
	    e->wants - ka_load_acquire(&e->wants_answered) >= VERBS_READS) {
		nonsense(e, "a read too many");
		return false;
	}
	e->wanted[e->wants % VERBS_WANTS] = (struct ka_seg){f->addr, f->handle, f->total};
	ka_store_release(&e->wants, e->wants + 1);
	return true;
}

/* The answer to the oldest read of this end, or a part of it. */
static bool take_answer(struct verbs_end *e, const struct verbs_frame *f, const uint8_t *data, uint32_t n)
{
	struct verbs_in *in = &e->in;
	const struct verbs_read *read;
	struct verbs_sent *d;

	if (!verbs_reads_out(e) || f->seq != e->reads_answered || !(f->flags & VERBS_F_FIRST) != in->open) {
		nonsense(e, "an answer to no read");
		return false;
	}
	read = &e->read[e->reads_answered % VERBS_READS];
	d = &e->sent[read->desc % KA_DEPTH];
	if (!in->open) {
		in->open = true;
		in->type = VERBS_ANSWER;
		in->got = in->bad = 0;
		in->total = f->flags & VERBS_F_ERROR ? f->total : read->total;
	}
	if (in->type != VERBS_ANSWER || !in_sequence(f, n, in->total, in->got)) {
		nonsense(e, "an answer out of sequence");
		return false;
	}
	if (!in->bad && !scatter(e, read->seg, read->nsegs, in->got, data, n))
		in->bad = VIP_STATUS_PROTECTION_ERROR;
	in->got += n;
	if (!(f->flags & VERBS_F_LAST))
		return false;
	in->open = false;
	if (f->flags & VERBS_F_ERROR)
		in->bad |= f->error == VIP_STATUS_PARTIAL_ERROR ? VIP_STATUS_PARTIAL_ERROR
								: VIP_STATUS_RDMA_PROT_ERROR;
	ka_store_release(&d->status, VIP_STATUS_DONE | VIP_STATUS_OP_RDMA_READ | in->bad);
	ka_store_release(&e->reads_answered, e->reads_answered + 1);
	if (in->bad)
		give_up(e, NIC_ERROR, 0);
	return true;
}

/* ---- the others ---- */

static void take_done(struct verbs_end *e, const struct verbs_frame *f)
{
	if (f->seq < e->acked || f->seq > ka_load_acquire(&e->next_seq))
		nonsense(e, "more messages than were sent");
	else
		ka_store_release(&e->acked, f->seq);
}

static void take_down(struct verbs_end *e, const struct verbs_frame *f)
{
	if (f->seq && f->seq > e->acked && f->seq <= ka_load_acquire(&e->next_seq)) {
		ka_store_release(&e->acked, f->seq - 1);
		e->failed_how = f->error == VIP_STATUS_RDMA_PROT_ERROR ? VIP_STATUS_RDMA_PROT_ERROR
								       : VIP_STATUS_REMOTE_DESC_ERROR;
		ka_store_release(&e->failed_at, f->seq);
	}
	e->gave_up = true;
	verbs_peer_down(e, f->reason == VERBS_ERROR ? NIC_ERROR : NIC_LOST);
}

/* True: the send queue has something to do. */
static bool take(struct verbs_end *e, const struct verbs_frame *f, const uint8_t *data, uint32_t n)
{
	if (f->flags & ~VERBS_F_ALL) {
		nonsense(e, "unknown flags");
		return false;
	}
	switch (f->type) {
	case VERBS_SEND:
	case VERBS_WRITE:
		take_message(e, f, data, n);
		return false;
	case VERBS_READ:
		return take_want(e, f);
	case VERBS_ANSWER:
		return take_answer(e, f, data, n);
	case VERBS_DONE:
		take_done(e, f);
		return true;
	case VERBS_DOWN:
		take_down(e, f);
		return true;
	default:
		nonsense(e, "an unknown kind of frame");
		return false;
	}
}

/* ---- frames without a header ---- */

/* A send for a receive of the common kind: what take_message() does with it, in short. */
static bool take_plain(struct verbs_end *e, const uint8_t *data, uint32_t n)
{
	const struct vip_queue *q = &e->vi->q[VIP_RQ];
	struct nic_wc wc = {.status = VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE, .length = n};
	struct vip_plain p;

	if (q->done == q->tail || n > e->vi->attr.max_transfer || !vip_read_plain_recv(e->vi, q->done, &p) ||
	    n > p.seg.len || n == 0 || target_check(e, &p.seg, KA_R_WRITE) != 0)
		return false;
	memcpy((void *)(uintptr_t)p.seg.addr, data, n); /* NOLINT(performance-no-int-to-ptr) */
	vip_complete_seen(e->vi, VIP_RQ, &wc);
	e->expected++;
	return true;
}

/* True: the send queue has something to do. */
static bool take_bare(struct verbs_end *e, const struct verbs_recv *r)
{
	const struct verbs_in *in = &e->in;
	const uint8_t *data = (const uint8_t *)r->frame;
	bool part = r->bare & VERBS_BARE_PART, answer = part && in->type == VERBS_ANSWER;
	uint64_t seq = answer ? e->reads_answered : e->expected;
	struct verbs_frame f;

	if (part != in->open || (((uint32_t)seq ^ r->bare) & VERBS_BARE_SEQ)) {
		nonsense(e, "a frame out of sequence");
		return false;
	}
	if (!part && take_plain(e, data, r->bytes))
		return false;
	f = (struct verbs_frame){
		.type = VERBS_SEND, .flags = VERBS_F_FIRST | VERBS_F_LAST, .seq = seq, .total = r->bytes};
	if (part) {
		f.type = (uint8_t)in->type;
		f.flags = in->got + r->bytes == in->total ? VERBS_F_LAST : 0;
		f.total = in->total;
		f.at = in->got;
	}
	return take(e, &f, data, r->bytes);
}

static struct verbs_recv *next(struct verbs_end *e)
{
	struct verbs_recv *r = e->held;

	if (!r)
		r = verbs_arrived(e);
	ka_store_relaxed(&e->held, r ? r->next : NULL);
	return r;
}

bool verbs_drain(struct verbs_end *e)
{
	struct verbs_recv *r, *taken = NULL;
	bool more = false;

	/* what is severed is being taken down without this lock, its frames and its slots among it */
	if (!ka_load_acquire(&e->ready) || e->severed)
		return false;
	if (e->pull.open)
		verbs_pull_go_on(e);
	while (!e->pull.open && (r = next(e))) {
		const struct verbs_frame *f = r->frame;

		r->next = taken;
		taken = r;
		if (r->is_bare) {
			if (!e->gave_up)
				more |= take_bare(e, r);
		} else if (r->bytes < sizeof(*f)) {
			if (!e->gave_up)
				nonsense(e, "half a header");
		} else if (!e->gave_up || f->type == VERBS_DONE) {
			more |= take(e, f, verbs_frame_data(f), r->bytes - (uint32_t)sizeof(*f));
		}
	}
	if (taken)
		verbs_recv_free(e->vn, taken);
	tell_done(e);
	return more;
}
