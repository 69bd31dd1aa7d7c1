/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_engine.c - see emu_engine.h.
 *
 * A send ends in one of three places:
 *   in place  every receive segment that it fills lies in an object that this
 *             process can map: the bytes go straight there, once.  So data for
 *             a shared segment lands while its owner makes no call.
 *   cell      small, and the memory is private to its owner: in the completion.
 *   landing   larger: through the landing ring, in as many goes as it takes;
 *             the owner empties it.
 *
 * While it writes in place the engine's side has an odd `busy` word, set before
 * it looks at `down` and at the peer's TPT (sequentially consistent): an end
 * that sets `down`, or takes a region out of its TPT, and then sees `busy` even
 * or changed, knows that no byte comes there any more.
 *
 * Own memory may go away at any time.  What is registered without
 * KA_R_DIRECT, and everything when a thread works that is not the consumer's,
 * is touched through the host, which notices.
 */
#include "nic-emu/core/emu_engine.h"

#include "include/vipl.h"

#define MEMCPY(d, s, n) __builtin_memcpy((d), (s), (n))

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Own memory by its address: checked against the own TPT before. */
static void *own(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

/* @direct: cleared when the segment must be touched with care. */
static bool own_ok(const struct emu_link *l, const struct emu_seg *s, uint32_t rights, bool *direct)
{
	struct ka_tpt_entry e;

	if (s->len == 0)
		return true;
	if (ka_load_acquire(l->revoking))
		l->host->settle();
	if (!ka_tpt_check(l->own_tpt, s->handle, s->addr, s->len, l->own_tag, rights, &e))
		return false;
	if (!(e.rights & KA_R_DIRECT))
		*direct = false;
	return true;
}

/* The receive as the sender saw it: its segments, copied once. */
struct target {
	struct emu_seg seg[EMU_MAX_SEGS];
	void *place[EMU_MAX_SEGS]; /* this process's view, when all are in place */
	uint32_t used;		   /* segments that the message fills, wholly or partly */
	bool in_place;
};

/* Read the posted receive once and check it; returns 0 or the receive's error status. */
static uint32_t read_target(struct emu_link *l, const struct emu_dir *d, uint64_t n, uint64_t total,
			    struct target *t)
{
	const struct emu_post *p = &d->post[n % EMU_DEPTH];
	const struct emu_seg *more = d->more[n % EMU_DEPTH];
	uint32_t i, nsegs = ka_load_relaxed(&p->nsegs), flags = ka_load_relaxed(&p->flags);
	uint64_t room = 0;

	if ((flags & EMU_POST_BAD) || nsegs > EMU_MAX_SEGS)
		return VIP_STATUS_FORMAT_ERROR;
	t->used = 0;
	t->in_place = !ka_load_acquire(l->peer_revoking);
	for (i = 0; i < nsegs && room < total; i++) {
		const struct emu_seg *from = i < EMU_POST_SEGS ? &p->seg[i] : &more[i - EMU_POST_SEGS];
		struct emu_seg *s = &t->seg[t->used];
		struct ka_tpt_entry e;

		s->addr = ka_load_relaxed(&from->addr);
		s->handle = ka_load_relaxed(&from->handle);
		s->len = ka_load_relaxed(&from->len);
		if (s->len == 0)
			continue;
		if (!ka_tpt_check(l->peer_tpt, s->handle, s->addr, s->len, l->peer_tag, KA_R_WRITE, &e))
			return VIP_STATUS_PROTECTION_ERROR;
		if (t->in_place) {
			uint8_t *base = e.object == 0 ? NULL : l->host->map(l, &e);

			if (base)
				t->place[t->used] = base + (s->addr - e.start);
			else
				t->in_place = false;
		}
		room += s->len;
		t->used++;
	}
	return room < total ? VIP_STATUS_LENGTH_ERROR : 0;
}

/* Gather to a flat place: up to @n bytes from where the tx half stands; false: they have gone. */
static bool gather(struct emu_link *l, uint8_t *to, uint64_t n)
{
	while (n) {
		const struct emu_seg *s = &l->tx_seg[l->tx_at];
		uint64_t part = min64(n, s->len - l->tx_off);

		if (l->tx_direct)
			MEMCPY(to, (uint8_t *)own(s->addr) + l->tx_off, part);
		else if (!l->host->get(l, s, l->tx_off, to, part))
			return false;
		to += part;
		n -= part;
		l->tx_off += (uint32_t)part;
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
		if (!own_ok(l, &l->tx_seg[i], 0, &l->tx_direct))
			return false;
	}
	return true;
}

static enum emu_sent finish(struct emu_link *l, uint64_t total)
{
	struct ka_conn_side *me = &l->region->ctl.side[l->side];

	ka_store_relaxed(&me->bytes, me->bytes + total);
	ka_store_relaxed(&me->msgs, me->msgs + 1);
	return EMU_SENT;
}

/* Has nothing of the target been taken out of the peer's TPT? */
static bool target_ok(const struct emu_link *l, const struct target *t)
{
	struct ka_tpt_entry e;
	uint32_t i;

	for (i = 0; i < t->used; i++) {
		if (!ka_tpt_check(l->peer_tpt, t->seg[i].handle, t->seg[i].addr, t->seg[i].len, l->peer_tag,
				  KA_R_WRITE, &e))
			return false;
	}
	return true;
}

static enum emu_sent put_in_place(struct emu_link *l, const struct target *t, uint64_t total)
{
	struct ka_conn_side *me = &l->region->ctl.side[l->side];
	enum emu_sent r = EMU_SENT;
	uint64_t left = total;
	uint32_t i;

	if (t->used == 0)
		return EMU_SENT;
	__atomic_store_n(&me->busy, me->busy + 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&l->region->ctl.down, __ATOMIC_SEQ_CST))
		r = EMU_IS_DOWN;
	else if (!target_ok(l, t))
		r = EMU_BAD_RECEIVE;
	for (i = 0; i < t->used && r == EMU_SENT; i++) {
		uint64_t part = min64(left, t->seg[i].len);

		if (!gather(l, t->place[i], part))
			r = EMU_SOURCE_GONE;
		left -= part;
	}
	ka_store_release(&me->busy, me->busy + 1);
	return r;
}

static void complete(struct emu_dir *d, uint64_t n, uint32_t status, uint64_t length, uint32_t imm)
{
	struct emu_cell *c = &d->cell[n % EMU_DEPTH];

	ka_store_relaxed(&c->status, status);
	ka_store_relaxed(&c->length, (uint32_t)length);
	ka_store_relaxed(&c->imm, imm);
	ka_store_release(&c->seq, emu_seq(n));
}

/* The rest goes as zeros, so that the stream stays in step, and the receive is in error. */
static void lose_source(struct emu_link *l)
{
	struct emu_cell *c = &l->region->to[1 - l->side].cell[(l->tx_next - 1) % EMU_DEPTH];

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
		part = min64(part, EMU_LAND / 8);
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

enum emu_sent emu_send_start(struct emu_link *l, const struct emu_send *s)
{
	struct emu_dir *d = &l->region->to[1 - l->side];
	uint64_t n = l->tx_next;
	struct target t;
	enum emu_sent r;
	uint32_t i, bad, status;

	l->tx_nsegs = 0;
	for (i = 0; i < s->nsegs; i++) {
		if (s->seg[i].len)
			l->tx_seg[l->tx_nsegs++] = s->seg[i];
	}
	l->tx_at = l->tx_off = 0;
	l->source_gone = false;
	if (!source_ok(l))
		return EMU_BAD_SOURCE;
	if (emu_down(l))
		return EMU_IS_DOWN;
	if (!ka_load_acquire(&l->region->ctl.side[1 - l->side].ready))
		return EMU_NOT_READY;
	if (ka_load_acquire(&d->post[n % EMU_DEPTH].seq) != emu_seq(n))
		return EMU_NO_RECEIVE;

	status = VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE | (s->has_imm ? VIP_STATUS_IMMEDIATE : 0);
	bad = read_target(l, d, n, s->total, &t);
	l->tx_next++;
	if (bad) {
		complete(d, n, status | bad, 0, s->imm);
		return EMU_BAD_RECEIVE;
	}
	if (t.in_place) { /* also: nothing to move */
		r = put_in_place(l, &t, s->total);
		if (r == EMU_IS_DOWN)
			return r;
		if (r != EMU_SENT) {
			bad = r == EMU_BAD_RECEIVE ? VIP_STATUS_PROTECTION_ERROR : VIP_STATUS_PARTIAL_ERROR;
			complete(d, n, status | bad, 0, s->imm);
			return r;
		}
		complete(d, n, status | EMU_IN_PLACE, s->total, s->imm);
		return finish(l, s->total);
	}
	if (s->total <= EMU_CELL_DATA) {
		if (!gather(l, d->cell[n % EMU_DEPTH].data, s->total)) {
			l->tx_next--; /* nobody has seen anything */
			return EMU_BAD_SOURCE;
		}
		complete(d, n, status | EMU_IN_CELL, s->total, s->imm);
		finish(l, s->total);
		return EMU_SENT_UNREAPED;
	}
	l->stream_left = s->total;
	complete(d, n, status | EMU_IN_LAND, s->total, s->imm);
	finish(l, s->total);
	return emu_send_more(l);
}

void emu_post_recv(struct emu_link *l, const struct emu_seg *seg, uint32_t nsegs, bool bad)
{
	struct emu_dir *d = &l->region->to[l->side];
	struct emu_post *p = &d->post[l->rx_posted % EMU_DEPTH];
	struct emu_seg *more = d->more[l->rx_posted % EMU_DEPTH];
	uint32_t i;

	ka_store_relaxed(&p->nsegs, (uint16_t)nsegs);
	ka_store_relaxed(&p->flags, (uint16_t)(bad ? EMU_POST_BAD : 0));
	for (i = 0; i < nsegs; i++) {
		struct emu_seg *to = i < EMU_POST_SEGS ? &p->seg[i] : &more[i - EMU_POST_SEGS];

		ka_store_relaxed(&to->addr, seg[i].addr);
		ka_store_relaxed(&to->handle, seg[i].handle);
		ka_store_relaxed(&to->len, seg[i].len);
	}
	ka_store_release(&p->seq, emu_seq(l->rx_posted));
	l->rx_posted++;
}

/*
 * Scatter @n bytes that are bytes [at, at + n) of the message into the own
 * segments, which are checked again here: the owner may have deregistered them
 * since.
 */
static bool scatter(struct emu_link *l, const struct emu_seg *seg, uint32_t nsegs, uint64_t at,
		    const uint8_t *from, uint64_t n)
{
	uint32_t i;

	for (i = 0; i < nsegs && n; i++) {
		bool direct = !*l->rx_careful;
		uint64_t part;

		if (at >= seg[i].len) {
			at -= seg[i].len;
			continue;
		}
		part = min64(n, seg[i].len - at);
		if (!own_ok(l, &seg[i], KA_R_WRITE, &direct))
			return false;
		if (direct)
			MEMCPY((uint8_t *)own(seg[i].addr) + at, from, part);
		else if (!l->host->put(l, &seg[i], at, from, part))
			return false;
		from += part;
		n -= part;
		at = 0;
	}
	return n == 0;
}

/* Take what is there of the current message; true when it is whole. */
static bool take_landed(struct emu_link *l, const struct emu_seg *seg, uint32_t nsegs, uint64_t length,
			bool *ok, bool *moved)
{
	struct emu_dir *d = &l->region->to[l->side];
	uint64_t there = ka_load_acquire(&d->tx.land_head) - l->land_tail, n;

	if (there > EMU_LAND) /* the peer made it up */
		there = 0;
	n = min64(there, length - l->rx_got);
	while (n) {
		uint64_t at = l->land_tail % EMU_LAND, part = min64(n, EMU_LAND - at);

		part = min64(part, EMU_LAND / 8);
		if (*ok && !scatter(l, seg, nsegs, l->rx_got, d->land + at, part))
			*ok = false;
		l->rx_got += part;
		l->land_tail += part;
		n -= part;
		if (l->rx_got == length)
			l->land_tail = emu_land_align(l->land_tail);
		ka_store_release(&d->rx.land_tail, l->land_tail);
		*moved = true;
	}
	return l->rx_got == length;
}

bool emu_recv_take(struct emu_link *l, const struct emu_seg *seg, uint32_t nsegs, struct emu_recv *r,
		   bool *moved)
{
	struct emu_dir *d = &l->region->to[l->side];
	const struct emu_cell *c = &d->cell[l->rx_next % EMU_DEPTH];
	uint32_t status = ka_load_relaxed(&c->status), length = ka_load_relaxed(&c->length), i;
	uint64_t room = 0;
	bool ok = true;

	r->imm = ka_load_relaxed(&c->imm);
	r->length = length;
	r->status = VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE | (status & VIP_STATUS_IMMEDIATE);
	for (i = 0; i < nsegs; i++)
		room += seg[i].len;
	if (status & VIP_STATUS_ERROR_MASK && (status & EMU_WHERE) != EMU_IN_LAND) {
		r->status |= status & VIP_STATUS_ERROR_MASK;
	} else if (length > l->max_transfer ||
		   ((status & EMU_WHERE) == EMU_IN_CELL && length > EMU_CELL_DATA)) {
		/* a length that the engine would never have written */
		r->status |= VIP_STATUS_TRANSPORT_ERROR;
	} else {
		/* the owner may have changed or deregistered the descriptor since the engine looked */
		ok = length <= room;
		if ((status & EMU_WHERE) == EMU_IN_CELL) {
			ok = ok && scatter(l, seg, nsegs, 0, c->data, length);
		} else if ((status & EMU_WHERE) == EMU_IN_LAND) {
			if (!take_landed(l, seg, nsegs, length, &ok, moved))
				return false;
			/* the sender may have seen an error on the way */
			r->status |= ka_load_relaxed(&c->status) & VIP_STATUS_ERROR_MASK;
		}
		if (!ok)
			r->status |= VIP_STATUS_PROTECTION_ERROR;
	}
	if (r->status & VIP_STATUS_ERROR_MASK)
		r->length = 0;
	l->rx_got = 0;
	l->rx_next++;
	ka_store_release(&d->rx.reaped, l->rx_next);
	return true;
}
