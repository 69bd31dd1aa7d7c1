/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_tx.c - the send queue: starts descriptors in order, as frames, completes
 * them in order, and answers the RDMA reads that the peer has asked for.
 *
 * A message is copied into frames; then its source is free again, and at
 * Unreliable and Reliable Delivery its descriptor complete.  What finds no room at
 * the device waits: every poll of the queue goes on with it, and the progress thread.
 */
#include "nic-verbs/verbs.h"

#include <stdlib.h>
#include <string.h>

#include "vipl/choices.h"

#define ALL UINT64_MAX

/* ---- how it ends ---- */

/* Is anything of this end's under way that only the peer can complete? */
static bool under_way(const struct verbs_end *e)
{
	if (verbs_reads_out(e))
		return true;
	return verbs_reception(e) ? ka_load_acquire(&e->acked) < e->next_seq
				  : e->pulls_ended != e->pulls_begun;
}

/*
 * The descriptors before the one in error are not in error: the connection ends once the peer has answered
 * them.  If it cannot any more, that is the end, too.
 */
static void try_to_end(struct verbs_end *e)
{
	if (!e->ending || under_way(e))
		return;
	verbs_set_down(e, e->ending, 0, 0);
	e->ending = NIC_UP;
}

static void local_error(struct verbs_end *e, struct verbs_sent *d, uint32_t status)
{
	d->status = VIP_STATUS_DONE | d->op | status;
	if (!verbs_reliable(e) || e->broken)
		return;
	e->broken = true;
	e->ending = NIC_ERROR;
	try_to_end(e);
}

/* ---- the source of a message ---- */

static int source_check(struct verbs_end *e, const struct ka_seg *s, uint32_t rights)
{
	return vip_mem_check(e->vi->nic, s->handle, s->addr, s->len, e->vi->attr.tag, rights, &e->tx_kept);
}

static bool source_ok(struct verbs_end *e, const struct verbs_out *o)
{
	uint32_t i;

	for (i = 0; i < o->nsegs; i++) {
		if (o->seg[i].len && source_check(e, &o->seg[i], o->rights) < 0)
			return false;
	}
	return true;
}

/* The next @n bytes; false: they have gone. */
static bool gather(struct verbs_end *e, struct verbs_out *o, uint8_t *to, uint32_t n)
{
	bool careful = e->vi->q[VIP_SQ].careful;

	while (n) {
		const struct ka_seg *s = &o->seg[o->i];
		uint32_t part = n < s->len - o->off ? n : s->len - o->off;
		const uint8_t *from = (const uint8_t *)(uintptr_t)s->addr + o->off; /* NOLINT */
		int how;

		if (part) {
			how = source_check(e, s, o->rights);
			if (how < 0)
				return false;
			if (how == 0 && !careful)
				memcpy(to, from, part);
			else if (!vip_mem_get(e->vi->nic, s->handle, to, from, part, careful))
				return false;
		}
		to += part;
		n -= part;
		o->off += part;
		if (o->off == s->len) {
			o->i++;
			o->off = 0;
		}
	}
	return true;
}

/* ---- frames ---- */

static void head_of(struct verbs_frame *f, const struct verbs_out *o, uint32_t n)
{
	*f = o->head;
	f->at = o->at;
	f->flags |= (o->at == 0 ? VERBS_F_FIRST : 0) | (o->at + n == o->head.total ? VERBS_F_LAST : 0);
}

/* The next @n bytes, @head of it a header. */
static enum verbs_went send_small(struct verbs_end *e, struct verbs_out *o, uint32_t head, uint32_t n,
				  const uint32_t *bare)
{
	union {
		struct verbs_frame head;
		uint8_t room[VERBS_INLINE];
	} f;

	if (!gather(e, o, f.room + head, n))
		return WENT_WRONG;
	if (head)
		head_of(&f.head, o, n);
	o->at += n;
	return verbs_inline_send(e, &f, head + n, false, bare) ? WENT_NOT : WENT;
}

/* Has its next frame no header? */
static bool is_bare(const struct verbs_out *o)
{
	return o->at ||
	       (o->head.type == VERBS_SEND && !(o->head.flags & VERBS_F_IMM) && o->head.total <= VERBS_FRAME);
}

static uint32_t bare_word(bool part, uint64_t seq)
{
	return (part ? VERBS_BARE_PART : 0) | ((uint32_t)seq & VERBS_BARE_SEQ);
}

/* The next part of the message. */
static enum verbs_went send_part(struct verbs_end *e, struct verbs_out *o)
{
	uint32_t word = bare_word(o->at, o->head.seq), *bare = is_bare(o) ? &word : NULL;
	uint32_t head = bare ? 0 : sizeof(o->head), left = o->head.total - o->at;
	uint32_t n = left < VERBS_FRAME ? left : VERBS_FRAME;
	struct verbs_slot *s;

	if (!verbs_room(e, VERBS_SENDS))
		return WENT_NOT;
	if (head + n <= e->inline_most && head + n <= VERBS_INLINE)
		return send_small(e, o, head, n, bare);
	s = verbs_slot_get(e->vn, VERBS_BOUNCE);
	if (!s)
		return WENT_NOT;
	if (!gather(e, o, (uint8_t *)s->frame + head, n)) {
		verbs_slot_put(e->vn, s);
		return WENT_WRONG;
	}
	if (head)
		head_of(s->frame, o, n);
	o->at += n;
	return verbs_slot_send(e, s, head + n, false, bare) ? WENT_NOT : WENT;
}

/* As much of the message as there is room for; true: nothing of it is left. */
static bool send_parts(struct verbs_end *e)
{
	struct verbs_out *o = &e->out;

	while (!o->lost && o->at < o->head.total) {
		struct verbs_out before = *o;

		switch (send_part(e, o)) {
		case WENT:
			break;
		case WENT_NOT:
			*o = before;
			return false;
		case WENT_WRONG:
			o->lost = true;
			break;
		}
	}
	if (o->lost) {
		struct verbs_frame f = o->head;

		f.at = o->at;
		f.flags |= VERBS_F_LAST | VERBS_F_ERROR;
		f.error = VIP_STATUS_PARTIAL_ERROR;
		if (!verbs_tell(e, &f, VERBS_SENDS, false))
			return false;
		if (o->d)
			local_error(e, o->d, VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_PARTIAL_ERROR);
	}
	o->open = false;
	return true;
}

/* Begin with the message in e->out. */
static enum verbs_went send_first(struct verbs_end *e)
{
	struct verbs_out *o = &e->out;
	enum verbs_went went;

	o->open = o->lost = false;
	o->at = o->i = o->off = 0;
	if (!source_ok(e, o))
		return WENT_WRONG;
	if (verbs_pull_may(e)) {
		went = verbs_pull_send(e);
		if (went != WENT_WRONG)
			return went;
	}
	if (verbs_pull_unread(e))
		return WENT_NOT;
	went = send_part(e, o);
	o->open = went == WENT && o->at < o->head.total;
	return went;
}

/* ---- RDMA read ---- */

static bool scatter_ok(struct verbs_end *e, const struct vip_request *r)
{
	uint32_t i;

	for (i = 0; i < r->nsegs; i++) {
		if (r->seg[i].len && source_check(e, &r->seg[i], KA_R_WRITE) < 0)
			return false;
	}
	return true;
}

static bool start_read(struct verbs_end *e, uint64_t n, struct verbs_sent *d)
{
	const struct vip_request *r = &e->request;
	struct verbs_frame f = {.type = VERBS_READ,
				.flags = VERBS_F_FIRST | VERBS_F_LAST,
				.seq = e->reads_asked,
				.addr = r->target.addr,
				.handle = r->target.handle,
				.total = (uint32_t)r->total};
	struct verbs_read *read;

	if (e->reads_asked - ka_load_acquire(&e->reads_answered) >= VERBS_READS)
		return false;
	if (!e->read)
		e->read = calloc(VERBS_READS, sizeof(*e->read));
	if (!e->read)
		return false;
	if (!scatter_ok(e, r)) {
		local_error(e, d, VIP_STATUS_PROTECTION_ERROR);
		return true;
	}
	/* the answer may come before this returns */
	read = &e->read[e->reads_asked % VERBS_READS];
	read->desc = n;
	read->nsegs = r->nsegs;
	read->total = (uint32_t)r->total;
	memcpy(read->seg, r->seg, r->nsegs * sizeof(r->seg[0]));
	d->seq = ALL;
	ka_store_relaxed(&d->status, 0);
	ka_store_release(&e->reads_asked, e->reads_asked + 1);
	if (verbs_tell(e, &f, VERBS_SENDS, false))
		return true;
	ka_store_release(&e->reads_asked, e->reads_asked - 1);
	return false;
}

/* The peer may not have that, or asks for too much. */
static bool refuse(struct verbs_end *e)
{
	struct verbs_frame f = e->out.head;

	f.flags = VERBS_F_FIRST | VERBS_F_LAST | VERBS_F_ERROR;
	f.error = VIP_STATUS_RDMA_PROT_ERROR;
	f.total = 0;
	if (!verbs_tell(e, &f, VERBS_SENDS, false))
		return false;
	verbs_rdma_error(e, VIP_SQ, VIP_ERROR_RDMAR_PROT);
	e->broken = true;
	e->ending = NIC_ERROR;
	return true;
}

/* Answer the oldest read of the peer's, of which there is one; false: not yet. */
static bool answer(struct verbs_end *e)
{
	uint64_t n = e->wants_answered;
	enum verbs_went went = WENT_WRONG;

	e->answer = e->wanted[n % VERBS_WANTS];
	e->out.d = NULL;
	e->out.seg = &e->answer;
	e->out.nsegs = 1;
	e->out.rights = KA_R_RDMA_READ;
	e->out.head = (struct verbs_frame){.type = VERBS_ANSWER, .seq = n, .total = e->answer.len};
	/* its place is free before the answer is seen: who has that may ask for the next */
	ka_store_release(&e->wants_answered, n + 1);
	if ((e->vi->attr.rdma & KA_R_RDMA_READ) && e->answer.len <= e->vi->attr.max_transfer)
		went = source_check(e, &e->answer, KA_R_RDMA_READ) < 0 ? WENT_WRONG : send_first(e);
	if (went == WENT_WRONG)
		went = refuse(e) ? WENT : WENT_NOT;
	if (went == WENT)
		return true;
	ka_store_release(&e->wants_answered, n);
	return false;
}

/* ---- the queue ---- */

static struct verbs_sent *sent_of(struct verbs_end *e, uint64_t n)
{
	return &e->sent[n % KA_DEPTH];
}

/* A send or an RDMA write; false when it must wait. */
static bool start_send(struct verbs_end *e, struct verbs_sent *d)
{
	const struct vip_request *r = &e->request;
	bool write = r->op == VIP_CONTROL_OP_RDMAWRITE;
	uint64_t seq = e->next_seq;

	e->out.d = d;
	e->out.seg = r->seg;
	e->out.nsegs = r->nsegs;
	e->out.rights = 0;
	e->out.head = (struct verbs_frame){.type = write ? VERBS_WRITE : VERBS_SEND,
					   .flags = r->control & VIP_CONTROL_IMMEDIATE ? VERBS_F_IMM : 0,
					   .seq = seq,
					   .imm = r->imm,
					   .total = (uint32_t)r->total};
	if (write) {
		e->out.head.addr = r->target.addr;
		e->out.head.handle = r->target.handle;
	}
	d->seq = seq;
	d->status = verbs_reception(e) ? 0 : VIP_STATUS_DONE | d->op;
	/* the peer may answer before this returns */
	ka_store_release(&e->next_seq, seq + 1);
	switch (send_first(e)) {
	case WENT:
		return true;
	case WENT_WRONG:
		ka_store_release(&e->next_seq, seq);
		local_error(e, d, VIP_STATUS_PROTECTION_ERROR);
		return true;
	case WENT_NOT:
		break;
	}
	ka_store_release(&e->next_seq, seq);
	return false;
}

/* Start descriptor @n; false when it must wait. */
static bool start(struct verbs_end *e, uint64_t n)
{
	struct verbs_sent *d = sent_of(e, n);
	struct vip_request *r = &e->request;

	vip_read_request(e->vi, VIP_SQ, n, r);
	d->op = vip_op_status(r->op);
	d->length = (uint32_t)r->total;
	if (!r->error && r->total > e->vi->attr.max_transfer)
		r->error = VIP_STATUS_LENGTH_ERROR;
	if (!r->error && (r->control & VIP_CONTROL_QFENCE) && verbs_reads_out(e))
		return false;
	if (r->error) {
		local_error(e, d, r->error);
		return true;
	}
	return r->op == VIP_CONTROL_OP_RDMAREAD ? start_read(e, n, d) : start_send(e, d);
}

/* How the connection has ended, for the first descriptor that it cuts short. */
static uint32_t cut_short(struct verbs_end *e)
{
	e->failed = true; /* whatever is heard of those behind it */
	return ka_load_acquire(&e->transport) ? VIP_STATUS_TRANSPORT_ERROR : VIP_STATUS_DESC_FLUSHED_ERROR;
}

/* The status of a descriptor that was started; 0: not yet. */
static uint32_t settled(struct verbs_end *e, uint64_t n)
{
	struct verbs_sent *d = sent_of(e, n);
	uint32_t status = ka_load_acquire(&d->status), done = VIP_STATUS_DONE | d->op;

	if (e->failed && !(status & VIP_STATUS_ERROR_MASK)) /* what is wrong with it by itself stays so */
		return done | VIP_STATUS_DESC_FLUSHED_ERROR;
	if (e->out.open && e->out.d == d)
		return e->severed ? done | cut_short(e) : 0;
	if (status)
		return status;
	if (d->seq != ALL && ka_load_acquire(&e->acked) > d->seq) {
		if (verbs_pull_settle(e, d))
			return done;
		local_error(e, d, VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_PARTIAL_ERROR);
		return d->status;
	}
	if (d->seq != ALL && ka_load_acquire(&e->failed_at) == d->seq + 1) {
		e->failed = true;
		return done | e->failed_how;
	}
	return e->severed ? done | cut_short(e) : 0;
}

/* Start what can be started. */
static void start_all(struct verbs_end *e)
{
	const struct vip_queue *q = &e->vi->q[VIP_SQ];

	if (e->next_desc < q->done)
		e->next_desc = q->done; /* flushed by a post before the connection */
	while (!ka_load_acquire(&e->down) && (!e->out.open || send_parts(e))) {
		if (verbs_wanted(e)) {
			if (answer(e))
				continue;
			break; /* messages that follow would keep it waiting */
		}
		if (e->out.open || e->next_desc == q->tail || e->broken || !start(e, e->next_desc))
			break;
		e->next_desc++;
	}
}

/* At Reliable Reception the first send that is not in place tells of a lost connection, started or not. */
static void cut_waiting(struct verbs_end *e)
{
	const struct vip_queue *q = &e->vi->q[VIP_SQ];
	struct nic_wc wc = {0};

	if (!e->severed || !verbs_reception(e) || e->failed || !ka_load_acquire(&e->transport) ||
	    q->done != e->next_desc || q->done == q->tail)
		return;
	vip_read_request(e->vi, VIP_SQ, q->done, &e->request);
	wc.status = VIP_STATUS_DONE | vip_op_status(e->request.op) | cut_short(e);
	e->next_desc++;
	vip_complete(e->vi, VIP_SQ, &wc);
}

void verbs_pump(struct verbs_end *e)
{
	struct vip_queue *q = &e->vi->q[VIP_SQ];

	if (!ka_load_acquire(&e->ready))
		return;
	if (!e->severed)
		start_all(e);
	while (q->done < e->next_desc) {
		struct nic_wc wc = {.status = settled(e, q->done)};

		if (!wc.status)
			break;
		if (!(wc.status & VIP_STATUS_ERROR_MASK))
			wc.length = sent_of(e, q->done)->length;
		vip_complete(e->vi, VIP_SQ, &wc);
	}
	cut_waiting(e);
	if (!e->severed)
		try_to_end(e); /* who sees the error sees the state */
	ka_store_relaxed(&e->unfinished, q->done < q->tail || e->out.open || e->ending || verbs_wanted(e));
	if (e->unfinished)
		verbs_todo(e);
}

/* ---- posting ---- */

/* Is nothing before descriptor @n, nor in its way? */
static bool may_start(const struct verbs_end *e, uint64_t n)
{
	return e->vi->q[VIP_SQ].done == n && !e->out.open && !e->broken && !e->ending && !e->severed &&
	       ka_load_acquire(&e->ready) && !ka_load_acquire(&e->down) && !verbs_wanted(e) &&
	       verbs_room(e, VERBS_SENDS);
}

/* @n bytes of memory that may be read, as a whole message. */
static bool send_plain(struct verbs_end *e, const void *from, uint32_t n)
{
	const uint32_t bare = bare_word(false, e->next_seq);
	struct verbs_slot *s = NULL;
	int err;

	if (n > e->inline_most) {
		s = verbs_slot_get(e->vn, VERBS_BOUNCE);
		if (!s)
			return false;
		memcpy(s->frame, from, n);
	}
	/* the peer may answer before this returns */
	ka_store_release(&e->next_seq, e->next_seq + 1);
	err = s ? verbs_slot_send(e, s, n, false, &bare) : verbs_inline_send(e, from, n, false, &bare);
	if (err)
		ka_store_release(&e->next_seq, e->next_seq - 1);
	return !err;
}

/* Send descriptor @n, which was just posted and may be touched without care, if it is of the common kind and
 * nothing is before it. */
static bool start_plain(struct verbs_end *e, uint64_t n)
{
	struct vip_vi *vi = e->vi;
	struct nic_wc wc = {.status = VIP_STATUS_DONE | VIP_STATUS_OP_SEND};
	struct vip_plain p;

	if (verbs_reception(e) || !may_start(e, n) || !vip_read_plain(vip_wqe(&vi->q[VIP_SQ], n)->desc, &p) ||
	    p.imm_flag || (p.length != p.seg.len && !vip_choices()->any_length) ||
	    p.seg.len > vi->attr.max_transfer || p.seg.len > VERBS_FRAME ||
	    (p.seg.len && source_check(e, &p.seg, 0) != 0) ||
	    !send_plain(e, (const void *)(uintptr_t)p.seg.addr, p.seg.len)) /* NOLINT */
		return false;
	e->next_desc = n + 1;
	wc.length = p.seg.len;
	vip_complete_seen(vi, VIP_SQ, &wc);
	return true;
}

bool verbs_post_send(struct vip_vi *vi, uint64_t n, bool plain)
{
	struct verbs_end *e = vi->link;

	verbs_called(e->vn);
	if (!verbs_room(e, VERBS_SENDS) || ka_load_relaxed(&e->vn->nfree) <= VERBS_BOUNCE)
		verbs_poll_try(e->vn, NULL); /* who only posts is told of no completion by a poll */
	if (plain && start_plain(e, n))
		return false;
	verbs_pump(e);
	if (ka_load_relaxed(&e->unfinished))
		vip_unfinished(vi);
	return true;
}
