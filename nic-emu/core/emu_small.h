/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_small.h - the common message in few instructions: one segment that may be
 * touched without care, through the cell or at once through the landing ring,
 * into one segment of private memory.
 * emu_send.c and emu_recv.c do the same to it, but are ready for everything.
 *
 * Each function does the whole of it, or returns false and has done nothing.
 */
#ifndef EMU_SMALL_H
#define EMU_SMALL_H

#include "nic-emu/core/emu_impl.h"

/* What is larger is copied out of the landing ring while it is still copied in. */
#define EMU_SMALL 4096u

/* Room for @n bytes in one piece at the ring's head? */
static inline bool land_room(struct emu_link *l, uint32_t n)
{
	uint64_t tail;

	if (l->land_head % EMU_LAND + n > EMU_LAND)
		return false;
	if (l->land_head + n - l->land_seen <= EMU_LAND)
		return true;
	tail = ka_load_acquire(&l->region->to[1 - l->side].rx.land_tail);
	if (l->land_head - tail > EMU_LAND) /* made up */
		return false;
	l->land_seen = tail;
	return l->land_head + n - tail <= EMU_LAND;
}

/* A call of memcpy costs more than a few bytes. */
static inline void copy_small(uint8_t *to, const uint8_t *from, uint32_t n)
{
	if (n > 16) {
		MEMCPY(to, from, n);
	} else if (n >= 8) {
		uint64_t first, last;

		MEMCPY(&first, from, 8);
		MEMCPY(&last, from + n - 8, 8);
		MEMCPY(to, &first, 8);
		MEMCPY(to + n - 8, &last, 8);
	} else {
		while (n--)
			to[n] = from[n];
	}
}

static inline bool own_direct(const struct emu_link *l, struct ka_tpt_entry *kept, const struct ka_seg *s,
			      uint32_t rights)
{
	bool direct = true;

	return own_ok(l, kept, s, rights, &direct) && direct;
}

/* A send of @s; @imm_flag: VIP_STATUS_IMMEDIATE or 0. */
static inline bool emu_send_small(struct emu_link *l, const struct ka_seg *s, uint32_t imm_flag, uint32_t imm)
{
	struct emu_dir *d = &l->region->to[1 - l->side];
	const struct emu_post *p = &d->post[l->tx_recv % KA_DEPTH];
	bool cell = s->len <= EMU_CELL_DATA;
	const struct ka_seg none = {0};
	struct ka_seg to;

	/* the receiver looks there all the time */
	prefetch_own(&d->cell[l->tx_next % KA_DEPTH]);
	if (cell && s->len > 64 - offsetof(struct emu_cell, data))
		prefetch_own((const uint8_t *)&d->cell[l->tx_next % KA_DEPTH] + 64);
	if (s->len > l->small_most || l->tx_next >= l->tx_room || emu_down(l) ||
	    ka_load_acquire(&p->seq) != emu_seq(l->tx_recv) || ka_load_relaxed(&p->nsegs) != 1 ||
	    ka_load_relaxed(&p->flags) != 0)
		return false;
	to = (struct ka_seg){ka_load_relaxed(&p->seg[0].addr), ka_load_relaxed(&p->seg[0].handle),
			     ka_load_relaxed(&p->seg[0].len)};
	if (s->len > to.len ||
	    !ka_tpt_check_kept(l->peer_tpt, l->peer_idle, to.handle, to.addr, to.len, l->peer_tag, KA_R_WRITE,
			       &l->tx_peer) ||
	    l->tx_peer.object || !own_direct(l, &l->tx_own, s, 0) || (!cell && !land_room(l, s->len)))
		return false;
	if (cell) {
		copy_small(d->cell[l->tx_next % KA_DEPTH].data, (const uint8_t *)own(s->addr), s->len);
	} else {
		MEMCPY(d->land + l->land_head % EMU_LAND, own(s->addr), s->len);
		l->land_head = emu_land_align(l->land_head + s->len);
		ka_store_release(&d->tx.land_head, l->land_head);
	}
	emu_publish(l, EMU_OP_SEND, imm_flag | (cell ? EMU_IN_CELL : EMU_IN_LAND | EMU_LANDED), s->len, imm,
		    &none);
	l->tx_recv++;
	l->tx_any = l->tx_next;
	emu_count(l, s->len);
	return true;
}

/* The next message, into @s. */
static inline bool emu_recv_small(struct emu_link *l, const struct ka_seg *s, struct emu_recv *got)
{
	struct emu_dir *d = &l->region->to[l->side];
	const struct emu_cell *c = &d->cell[l->rx_next % KA_DEPTH];
	uint32_t status, length, where;

	if (l->rx_msg.op || !emu_arrived(l) || ka_load_relaxed(&c->op) != EMU_OP_SEND)
		return false;
	status = ka_load_relaxed(&c->status);
	length = ka_load_relaxed(&c->length);
	where = status & ~VIP_STATUS_IMMEDIATE;
	if (where != EMU_IN_CELL && where != (EMU_IN_LAND | EMU_LANDED))
		return false;
	if (length > (where == EMU_IN_CELL ? EMU_CELL_DATA : EMU_SMALL) || length > l->max_transfer ||
	    length > s->len || !own_direct(l, &l->rx_own, s, KA_R_WRITE))
		return false;
	if (where != EMU_IN_CELL && l->land_tail % EMU_LAND + length > EMU_LAND)
		return false;
	got->status = status & VIP_STATUS_IMMEDIATE;
	got->length = length;
	got->imm = ka_load_relaxed(&c->imm);
	if (where == EMU_IN_CELL) {
		copy_small(own(s->addr), c->data, length);
	} else {
		MEMCPY(own(s->addr), d->land + l->land_tail % EMU_LAND, length);
		l->land_tail = emu_land_align(l->land_tail + length);
		ka_store_release(&d->rx.land_tail, l->land_tail);
	}
	emu_taken(l);
	return true;
}

#endif
