/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_send.c - the engine's sending half: see emu_engine.h.
 *
 * The data of a message are put in one of four places:
 *   in place  all that it fills lies in an object that this process can map:
 *             the bytes go straight there, once.  So data for a shared segment
 *             land while its owner makes no call.
 *   cell      small, and the memory is private to its owner: in the cell.
 *   landing   larger: through the landing ring, in as many goes as it takes;
 *             the owner empties it.
 *   source    large, and the owner can read this process: the cell says where
 *             they are.  They are in use until the owner has copied them.
 *
 * Where the host reaches all of the peer's memory (reaches_all) everything goes in place.
 *
 * What is put in place does not wait for messages before it that are still on
 * their way to their place; an RDMA write, whose data are seen at once, and a
 * send behind such a write therefore go the way of what is before them.
 *
 * While it writes in place the engine's side has an odd `busy` word, set before
 * it looks at `down` and at the peer's TPT (sequentially consistent): an end
 * that sets `down`, or takes a region out of its TPT, and then sees `busy` even
 * or changed, knows that no byte comes there any more.  It changes with each piece
 * of a large message, before which both are looked at again.
 *
 * Own memory may go away at any time.  What is registered without
 * KA_R_DIRECT, and everything when a thread works that is not the consumer's,
 * is touched through the host, which notices.
 */
#include "nic-emu/core/emu_impl.h"

/* Add a segment of the peer's to the target; false: it may not be written. */
static bool add_target(struct emu_link *l, struct emu_target *t, struct ka_seg s)
{
	const struct ka_tpt_entry *e = &l->tx_peer;
	uint8_t *base;

	if (!ka_tpt_check_kept(l->peer_tpt, l->peer_idle, s.handle, s.addr, s.len, l->peer_tag, t->rights,
			       &l->tx_peer))
		return false;
	if (s.len == 0)
		return true;
	if (t->in_place) {
		base = l->host->map(l, e, &t->direct[t->used]);
		if (!base && l->host->reaches_all)
			return false;
		if (base)
			t->place[t->used] = base + (s.addr - e->start);
		else
			t->in_place = false;
	}
	t->seg[t->used++] = s;
	return true;
}

static const struct ka_seg *more_segs(struct emu_link *l, const struct emu_dir *d)
{
	uint32_t slot = l->tx_recv % KA_DEPTH;

	return l->host->more ? l->host->more(l, slot) : d->more[slot];
}

/* Read the posted receive once and check it; returns 0 or the receive's error status. */
static uint32_t receive_target(struct emu_link *l, const struct emu_dir *d, uint64_t total,
			       struct emu_target *t)
{
	const struct emu_post *p = &d->post[l->tx_recv % KA_DEPTH];
	const struct ka_seg *more = NULL;
	uint32_t i, nsegs = ka_load_relaxed(&p->nsegs), flags = ka_load_relaxed(&p->flags);
	uint64_t room = 0;

	if (nsegs > EMU_POST_SEGS)
		more = more_segs(l, d);
	if ((flags & EMU_POST_BAD) || nsegs > KA_MAX_SEGS || (nsegs > EMU_POST_SEGS && !more))
		return VIP_STATUS_FORMAT_ERROR;
	t->rights = KA_R_WRITE;
	for (i = 0; i < nsegs && room < total; i++) {
		const struct ka_seg *from = i < EMU_POST_SEGS ? &p->seg[i] : &more[i - EMU_POST_SEGS];
		struct ka_seg s = {.addr = ka_load_relaxed(&from->addr),
				   .handle = ka_load_relaxed(&from->handle),
				   .len = ka_load_relaxed(&from->len)};

		if (s.len && !add_target(l, t, s))
			return VIP_STATUS_PROTECTION_ERROR;
		room += s.len;
	}
	return room < total ? VIP_STATUS_LENGTH_ERROR : 0;
}

/* The same for an RDMA write. */
static uint32_t write_target(struct emu_link *l, const struct emu_dir *d, const struct emu_send *s,
			     struct emu_target *t)
{
	if (s->has_imm && (ka_load_relaxed(&d->post[l->tx_recv % KA_DEPTH].flags) & EMU_POST_BAD))
		return VIP_STATUS_FORMAT_ERROR;
	t->rights = KA_R_WRITE | KA_R_RDMA_WRITE;
	t->last_word_last = true;
	if (!(l->peer_rdma & KA_R_RDMA_WRITE) ||
	    !add_target(l, t, (struct ka_seg){s->target.addr, s->target.handle, (uint32_t)s->total}))
		return VIP_STATUS_RDMA_PROT_ERROR;
	return 0;
}

/* Gather to a flat place: up to @n bytes from where the tx half stands; false: they have gone. */
static bool gather(struct emu_link *l, uint8_t *to, uint64_t n)
{
	if (l->tx_flat) {
		emu_stream(l->tx_past, to, l->tx_flat + l->tx_off, n);
		l->tx_off += n;
		return true;
	}
	while (n) {
		const struct ka_seg *s = &l->tx_seg[l->tx_at];
		uint64_t part = min64(n, s->len - l->tx_off);

		if (l->tx_direct)
			emu_stream(l->tx_past, to, own(s->addr) + l->tx_off, part);
		else if (!l->host->get(l, s, l->tx_off, to, part))
			return false;
		to += part;
		n -= part;
		l->tx_off += part;
		if (l->tx_off == s->len) {
			l->tx_at++;
			l->tx_off = 0;
		}
	}
	return true;
}

/* Is what is left of the message still registered, and how may it be touched? */
static bool source_ok(struct emu_link *l)
{
	uint32_t i;

	l->tx_direct = !*l->tx_careful;
	for (i = l->tx_at; i < l->tx_nsegs; i++) {
		if (!own_ok(l, &l->tx_own, &l->tx_seg[i], l->tx_rights, &l->tx_direct))
			return false;
	}
	return true;
}

/* Has nothing of the target been taken out of the peer's TPT? */
static bool target_ok(struct emu_link *l, const struct emu_target *t)
{
	uint32_t i;

	for (i = 0; i < t->used; i++) {
		if (!ka_tpt_check_kept(l->peer_tpt, l->peer_idle, t->seg[i].handle, t->seg[i].addr,
				       t->seg[i].len, l->peer_tag, t->rights, &l->tx_peer))
			return false;
	}
	return true;
}

static bool set_busy(struct emu_link *l, uint32_t count)
{
	struct ka_conn_side *me = &l->region->ctl.side[l->side];

	__atomic_store_n(&me->busy, me->busy + count, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !__atomic_load_n(&l->region->ctl.down, __ATOMIC_SEQ_CST);
}

/* From here to busy_end() the peer waits before it takes anything away; false: the connection is down. */
static bool busy_begin(struct emu_link *l)
{
	return set_busy(l, 1);
}

/* The same anew: what the peer has waited for is done.  What may be touched is to be looked at again. */
static bool busy_again(struct emu_link *l)
{
	return set_busy(l, 2);
}

static void busy_end(struct emu_link *l)
{
	struct ka_conn_side *me = &l->region->ctl.side[l->side];

	ka_store_release(&me->busy, me->busy + 1);
}

static enum emu_sent put_piece(struct emu_link *l, uint8_t *to, uint64_t n, bool direct)
{
	if (!direct)
		return emu_fill(l, to, n);
	return gather(l, to, n) ? EMU_SENT : EMU_SOURCE_GONE;
}

/* Piece by piece: neither the peer nor this end waits longer than for one. */
static enum emu_sent put_segment(struct emu_link *l, const struct emu_target *t, uint32_t i, uint64_t n,
				 uint64_t *piece)
{
	uint8_t *to = t->place[i], word[8];
	uint64_t last = t->last_word_last ? ka_last_word(t->seg[i].addr, n) : 0, part;
	enum emu_sent r;

	for (n -= last; n; n -= part, to += part, *piece -= part) {
		if (*piece == 0) {
			*piece = EMU_PIECE;
			if (!busy_again(l))
				return EMU_IS_DOWN;
			if (!target_ok(l, t))
				return EMU_BAD_TARGET;
		}
		part = min64(n, *piece);
		r = put_piece(l, to, part, t->direct[i]);
		if (r != EMU_SENT)
			return r;
	}
	if (!gather(l, word, last))
		return EMU_SOURCE_GONE;
	if (!t->direct[i])
		return emu_fill_last(l, to, word, last);
	ka_put_last(to, word, last);
	return EMU_SENT;
}

static enum emu_sent put_in_place(struct emu_link *l, const struct emu_target *t, uint64_t total)
{
	uint64_t left = total, piece = EMU_PIECE;
	enum emu_sent r = EMU_SENT;
	uint32_t i;

	if (t->used == 0)
		return EMU_SENT;
	if (!busy_begin(l))
		r = EMU_IS_DOWN;
	else if (!target_ok(l, t))
		r = EMU_BAD_TARGET;
	for (i = 0; i < t->used && r == EMU_SENT; i++) {
		uint64_t part = min64(left, t->seg[i].len);

		r = put_segment(l, t, i, part, &piece);
		left -= part;
	}
	busy_end(l);
	return r;
}

/* Publish the next message. */
static void publish(struct emu_link *l, const struct emu_send *s, uint32_t status, uint64_t length)
{
	bool imm = s->op == EMU_OP_WRITE && s->has_imm;

	emu_publish(l, imm ? EMU_OP_WRITE_IMM : s->op, status | (s->has_imm ? VIP_STATUS_IMMEDIATE : 0),
		    (uint32_t)length, s->imm, &s->target);
}

/* The rest goes as zeros, so that the stream stays in step, and the receiver is told. */
static void lose_source(struct emu_link *l)
{
	struct emu_cell *c = &l->region->to[1 - l->side].cell[(l->tx_next - 1) % KA_DEPTH];

	l->source_gone = true;
	ka_store_relaxed(&c->status, ka_load_relaxed(&c->status) | VIP_STATUS_PARTIAL_ERROR);
}

enum emu_sent emu_send_more(struct emu_link *l)
{
	struct emu_dir *d = &l->region->to[1 - l->side];
	uint64_t tail = ka_load_acquire(&d->rx.land_tail), used = l->land_head - tail, n;

	if (!l->source_gone && !source_ok(l))
		lose_source(l);
	/* a tail that the peer made up gives no room rather than too much */
	n = used > EMU_LAND ? 0 : min64(EMU_LAND - used, l->stream_left);
	while (n) {
		uint64_t at = l->land_head % EMU_LAND, part = min64(n, EMU_LAND - at);

		/* in portions, so that the receiver copies one while we write the next */
		part = min64(part, l->tx_direct ? EMU_LAND_PIECE : EMU_LAND_CAREFUL);
		if (!l->source_gone && !gather(l, d->land + at, part))
			lose_source(l);
		if (l->source_gone)
			__builtin_memset(d->land + at, 0, part);
		l->land_head += part;
		l->stream_left -= part;
		n -= part;
		if (l->stream_left == 0)
			l->land_head = emu_land_align(l->land_head);
		ka_store_release(&d->tx.land_head, l->land_head);
	}
	return l->stream_left ? EMU_STREAMING : EMU_SENT_UNREAPED;
}

static void load_source(struct emu_link *l, const struct emu_send *s)
{
	uint32_t i;

	l->tx_flat = s->flat;
	l->tx_rights = s->op == EMU_OP_REPLY ? KA_R_RDMA_READ : 0;
	l->tx_nsegs = 0;
	for (i = 0; i < s->nsegs; i++) {
		if (s->seg[i].len)
			l->tx_seg[l->tx_nsegs++] = s->seg[i];
	}
	l->tx_at = 0;
	l->tx_off = 0;
	l->source_gone = false;
}

enum emu_sent emu_fetch(struct emu_link *l, const struct emu_send *s, uint8_t *to)
{
	load_source(l, s);
	if (!source_ok(l))
		return EMU_BAD_SOURCE;
	return gather(l, to, s->total) ? EMU_SENT : EMU_SOURCE_GONE;
}

/* Has the next message a cell, which the one KA_DEPTH before it no longer needs? */
static bool has_cell(struct emu_link *l)
{
	uint64_t reaped;

	if (l->tx_next < l->tx_room)
		return true;
	reaped = emu_reaped(l);
	if (reaped > l->tx_next) /* made up */
		return false;
	l->tx_room = reaped + KA_DEPTH;
	return l->tx_next < l->tx_room;
}

bool emu_can_send(struct emu_link *l)
{
	return ka_load_acquire(&l->region->ctl.side[1 - l->side].ready) && has_cell(l);
}

/* May this message be put in place, with what is on its way before it, or has failed? */
static bool may_overtake(const struct emu_link *l, bool write)
{
	uint64_t before = write ? l->tx_any : l->tx_write;

	return before == 0 || l->host->reaches_all ||
	       (emu_reaped(l) >= before && !ka_load_relaxed(&l->region->to[1 - l->side].rx.failed));
}

/* A message that is not in place, behind which nothing may be put there that must not overtake it. */
static void hand_on(struct emu_link *l, const struct emu_send *s, uint32_t where)
{
	publish(l, s, where, s->total);
	if (s->op == EMU_OP_SEND || (s->op == EMU_OP_WRITE && s->has_imm))
		l->tx_recv++;
	l->tx_any = l->tx_next;
	if (s->op == EMU_OP_WRITE)
		l->tx_write = l->tx_next;
	emu_count(l, s->total);
}

/* May the owner copy from the source?  Only if the TPT tells when it goes away. */
static bool may_hold(const struct emu_link *l, const struct emu_dir *d, const struct emu_send *s)
{
	struct ka_tpt_entry e;
	uint32_t i;

	if (s->op == EMU_OP_REPLY || l->tx_flat || l->tx_nsegs > EMU_HELD_SEGS ||
	    !ka_load_acquire(&d->rx.pulls))
		return false;
	for (i = 0; i < l->tx_nsegs; i++) {
		if (!ka_tpt_get(l->own_tpt, l->tx_seg[i].handle, &e) || !(e.rights & KA_R_DIRECT))
			return false;
	}
	return true;
}

/* Its owner shall copy from the source. */
static enum emu_sent hold(struct emu_link *l, struct emu_dir *d, const struct emu_send *s)
{
	uint8_t *to = d->cell[l->tx_next % KA_DEPTH].data;

	MEMCPY(to, l->tx_seg, l->tx_nsegs * sizeof(l->tx_seg[0]));
	hand_on(l, s, EMU_IN_SENDER);
	l->tx_held = l->tx_next;
	return EMU_SENT_HELD;
}

/* It goes by way of its owner. */
static enum emu_sent hand_over(struct emu_link *l, struct emu_dir *d, const struct emu_send *s)
{
	bool cell = s->total <= l->cell_most;

	if (s->total >= l->pull_least && may_hold(l, d, s))
		return hold(l, d, s);
	if (cell && !gather(l, d->cell[l->tx_next % KA_DEPTH].data, s->total))
		return EMU_BAD_SOURCE; /* nobody has seen anything */
	hand_on(l, s, cell ? EMU_IN_CELL : EMU_IN_LAND);
	if (cell)
		return EMU_SENT_UNREAPED;
	l->stream_left = s->total;
	return emu_send_more(l);
}

/* A send or an RDMA write. */
static enum emu_sent transfer(struct emu_link *l, struct emu_dir *d, const struct emu_send *s)
{
	bool write = s->op == EMU_OP_WRITE, takes = !write || s->has_imm;
	enum emu_sent r = EMU_SENT;
	struct emu_target *t = &l->tx_to;
	uint32_t bad;

	if (takes && ka_load_acquire(&d->post[l->tx_recv % KA_DEPTH].seq) != emu_seq(l->tx_recv))
		return EMU_NO_RECEIVE;
	t->used = 0;
	t->last_word_last = false;
	t->in_place = !ka_load_acquire(l->peer_revoking) && may_overtake(l, write);
	bad = write ? write_target(l, d, s, t) : receive_target(l, d, s->total, t);
	if (!bad && !t->in_place && s->total)
		return hand_over(l, d, s);
	if (!bad)
		r = put_in_place(l, t, s->total);
	if (r == EMU_IS_DOWN)
		return r;
	if (r == EMU_BAD_TARGET)
		bad = write ? VIP_STATUS_RDMA_PROT_ERROR : VIP_STATUS_PROTECTION_ERROR;
	else if (r == EMU_SOURCE_GONE)
		bad = VIP_STATUS_PARTIAL_ERROR;
	if (bad || takes)
		publish(l, s, bad | EMU_IN_PLACE, bad ? 0 : s->total);
	l->tx_recv += takes;
	if (r == EMU_SOURCE_GONE)
		return r;
	if (bad)
		return write && !(bad & VIP_STATUS_FORMAT_ERROR) ? EMU_BAD_TARGET : EMU_BAD_RECEIVE;
	emu_count(l, s->total);
	return EMU_SENT;
}

enum emu_sent emu_send_start(struct emu_link *l, const struct emu_send *s)
{
	struct emu_dir *d = &l->region->to[1 - l->side];

	load_source(l, s);
	if (!source_ok(l))
		return EMU_BAD_SOURCE;
	if (s->total >= EMU_STREAM_LEAST)
		l->tx_past = emu_is_far(&l->far, &d->far.taken);
	if (emu_down(l))
		return EMU_IS_DOWN;
	if (!emu_can_send(l))
		return EMU_NOT_READY;
	if (s->op == EMU_OP_SEND || s->op == EMU_OP_WRITE)
		return transfer(l, d, s);
	if (s->op == EMU_OP_REPLY && !s->error && s->total)
		return hand_over(l, d, s);
	publish(l, s, s->error | EMU_IN_PLACE, s->op == EMU_OP_READ ? s->total : 0);
	l->tx_any = l->tx_next;
	return EMU_SENT_UNREAPED;
}

int emu_read_check(struct emu_link *l, const struct ka_seg *target, struct emu_place *place)
{
	struct ka_tpt_entry e;
	const uint8_t *base = NULL;

	if (!(l->peer_rdma & KA_R_RDMA_READ) ||
	    !ka_tpt_check(l->peer_tpt, l->peer_idle, target->handle, target->addr, target->len, l->peer_tag,
			  KA_R_RDMA_READ, &e))
		return -1;
	if (target->len && !ka_load_acquire(l->peer_revoking) && may_overtake(l, true))
		base = l->host->map(l, &e, &place->direct);
	place->at = NULL;
	if (!base)
		return (e.rights & KA_R_DIRECT) && ka_load_relaxed(&l->pulls) && target->len &&
		       may_overtake(l, true);
	place->at = base + (target->addr - e.start);
	return 1;
}

/* Let the host copy: from a window that may shrink, or from the peer's process. */
static enum emu_sent read_by_host(struct emu_link *l, const struct ka_seg *target,
				  const struct emu_place *place, const struct ka_seg *seg, uint32_t nsegs)
{
	const struct emu_pull p = {.from = target,
				   .to = seg,
				   .nfrom = 1,
				   .nto = nsegs,
				   .from_rights = KA_R_RDMA_READ | (place->at ? 0 : KA_R_DIRECT),
				   .to_rights = KA_R_WRITE,
				   .kept = &l->tx_own,
				   .total = target->len,
				   .shift = place->at ? (uintptr_t)place->at - target->addr : 0,
				   .way = place->at ? EMU_FROM_WINDOW : EMU_FROM_PEER,
				   .careful = *l->tx_careful};

	switch (emu_pull(l, &p)) {
	case EMU_PULLED:
		break;
	case EMU_NO_TARGET:
		return EMU_BAD_SOURCE;
	case EMU_NO_SOURCE:
	case EMU_PULL_LATER:
		return emu_down(l) ? EMU_IS_DOWN : EMU_NOT_READY;
	}
	return EMU_SENT;
}

enum emu_sent emu_read_here(struct emu_link *l, const struct ka_seg *target, const struct emu_place *place,
			    const struct ka_seg *seg, uint32_t nsegs)
{
	enum emu_sent r = EMU_SENT;
	struct ka_tpt_entry e;
	bool host = !place->at || !place->direct, up;
	uint64_t at = 0, part;

	for (up = busy_begin(l);; up = busy_again(l)) {
		part = host ? target->len : min64(target->len - at, EMU_PIECE);
		if (!up)
			r = EMU_IS_DOWN;
		else if (!ka_tpt_check(l->peer_tpt, l->peer_idle, target->handle, target->addr, target->len,
				       l->peer_tag, KA_R_RDMA_READ, &e))
			r = EMU_BAD_TARGET;
		else if (host)
			r = read_by_host(l, target, place, seg, nsegs);
		else if (!emu_scatter(l, *l->tx_careful, &l->tx_own, seg, nsegs, at, place->at + at, part))
			r = EMU_BAD_SOURCE;
		at += part;
		if (r != EMU_SENT || at == target->len)
			break;
	}
	busy_end(l);
	return r;
}
