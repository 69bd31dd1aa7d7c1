/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_small.h - the common message in few instructions: one segment that may be
 * touched without care, through the cell, into one segment of private memory.
 * emu_send.c and emu_recv.c do the same to it, but are ready for everything.
 *
 * Each function does the whole of it, or returns false and has done nothing.
 */
#ifndef EMU_SMALL_H
#define EMU_SMALL_H

#include "nic-emu/core/emu_impl.h"

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

static inline bool own_direct(const struct emu_link *l, struct ka_tpt_entry *kept, const struct emu_seg *s,
			      uint32_t rights)
{
	bool direct = true;

	return own_ok(l, kept, s, rights, &direct) && direct;
}

/* A send of @s; @imm_flag: VIP_STATUS_IMMEDIATE or 0. */
static inline bool emu_send_small(struct emu_link *l, const struct emu_seg *s, uint32_t imm_flag,
				  uint32_t imm)
{
	struct emu_dir *d = &l->region->to[1 - l->side];
	const struct emu_post *p = &d->post[l->tx_recv % EMU_DEPTH];
	const struct emu_seg none = {0};
	struct emu_seg to;

	if (s->len > EMU_CELL_DATA || l->tx_next >= l->tx_room || emu_down(l) ||
	    ka_load_acquire(&p->seq) != emu_seq(l->tx_recv) || ka_load_relaxed(&p->nsegs) != 1 ||
	    ka_load_relaxed(&p->flags) != 0)
		return false;
	to = (struct emu_seg){ka_load_relaxed(&p->seg[0].addr), ka_load_relaxed(&p->seg[0].handle),
			      ka_load_relaxed(&p->seg[0].len)};
	if (s->len > to.len ||
	    !ka_tpt_check_kept(l->peer_tpt, to.handle, to.addr, to.len, l->peer_tag, KA_R_WRITE,
			       &l->tx_peer) ||
	    l->tx_peer.object || !own_direct(l, &l->tx_own, s, 0))
		return false;
	copy_small(d->cell[l->tx_next % EMU_DEPTH].data, (const uint8_t *)own(s->addr), s->len);
	emu_publish(l, EMU_OP_SEND, imm_flag | EMU_IN_CELL, s->len, imm, &none);
	l->tx_recv++;
	l->tx_any = l->tx_next;
	emu_count(l, s->len);
	return true;
}

/* The next message, into @s. */
static inline bool emu_recv_small(struct emu_link *l, const struct emu_seg *s, struct emu_recv *got)
{
	struct emu_dir *d = &l->region->to[l->side];
	const struct emu_cell *c = &d->cell[l->rx_next % EMU_DEPTH];
	uint32_t status, length;

	if (l->rx_msg.op || !emu_arrived(l) || ka_load_relaxed(&c->op) != EMU_OP_SEND)
		return false;
	status = ka_load_relaxed(&c->status);
	length = ka_load_relaxed(&c->length);
	if ((status & ~VIP_STATUS_IMMEDIATE) != EMU_IN_CELL || length > EMU_CELL_DATA ||
	    length > l->max_transfer || length > s->len || !own_direct(l, &l->rx_own, s, KA_R_WRITE))
		return false;
	got->status = status & VIP_STATUS_IMMEDIATE;
	got->length = length;
	got->imm = ka_load_relaxed(&c->imm);
	copy_small(own(s->addr), c->data, length);
	emu_taken(l);
	return true;
}

#endif
