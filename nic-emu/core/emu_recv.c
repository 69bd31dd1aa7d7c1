/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_recv.c - the engine's receiving half: see emu_engine.h.
 */
#include "nic-emu/core/emu_impl.h"

void emu_post_recv(struct emu_link *l, const struct ka_seg *seg, uint32_t nsegs, bool bad)
{
	struct emu_dir *d = &l->region->to[l->side];
	struct emu_post *p = &d->post[l->rx_posted % KA_DEPTH];
	struct ka_seg *more = d->more[l->rx_posted % KA_DEPTH];
	uint32_t i;

	ka_store_relaxed(&p->nsegs, (uint16_t)nsegs);
	ka_store_relaxed(&p->flags, (uint16_t)(bad ? EMU_POST_BAD : 0));
	for (i = 0; i < nsegs; i++) {
		struct ka_seg *to = i < EMU_POST_SEGS ? &p->seg[i] : &more[i - EMU_POST_SEGS];

		ka_store_relaxed(&to->addr, seg[i].addr);
		ka_store_relaxed(&to->handle, seg[i].handle);
		ka_store_relaxed(&to->len, seg[i].len);
	}
	ka_store_release(&p->seq, emu_seq(l->rx_posted));
	l->rx_posted++;
	prefetch_own(&d->post[(l->rx_posted + EMU_AHEAD) % KA_DEPTH]);
}

/* One piece into one own segment, from byte @off on; @rights: what the segment must allow. */
static bool put_piece(struct emu_link *l, bool careful, struct ka_tpt_entry *kept, const struct ka_seg *s,
		      uint32_t rights, uint64_t off, const uint8_t *from, uint64_t n)
{
	bool direct = !careful, write = rights & KA_R_RDMA_WRITE;
	uint64_t last;

	if (!own_ok(l, kept, s, rights, &direct))
		return false;
	last = write && off + n == s->len ? min64(n, ka_last_word(s->addr, s->len)) : 0;
	if (direct) {
		uint8_t *to = (uint8_t *)own(s->addr) + off;

		MEMCPY(to, from, n - last);
		ka_put_last(to + n - last, from + n - last, last);
		return true;
	}
	return (n == last || l->host->put(l, s, off, from, n - last, careful)) &&
	       (last == 0 || l->host->put(l, s, off + n - last, from + n - last, last, careful));
}

bool emu_scatter(struct emu_link *l, bool careful, struct ka_tpt_entry *kept, const struct ka_seg *seg,
		 uint32_t nsegs, uint64_t at, const uint8_t *from, uint64_t n)
{
	uint32_t i;

	for (i = 0; i < nsegs && n; i++) {
		uint64_t part;

		if (at >= seg[i].len) {
			at -= seg[i].len;
			continue;
		}
		part = min64(n, seg[i].len - at);
		if (!put_piece(l, careful, kept, &seg[i], KA_R_WRITE, at, from, part))
			return false;
		from += part;
		n -= part;
		at = 0;
	}
	return n == 0;
}

/* A piece of the current message, to where it belongs.  All is checked again: the owner may have deregistered
 * it. */
static bool put(struct emu_link *l, const struct ka_seg *seg, uint32_t nsegs, const uint8_t *from, uint64_t n)
{
	if (l->rx_msg.op == EMU_OP_WRITE || l->rx_msg.op == EMU_OP_WRITE_IMM)
		return (l->own_rdma & KA_R_RDMA_WRITE) &&
		       put_piece(l, *l->rx_careful, &l->rx_own, &l->rx_msg.target,
				 KA_R_WRITE | KA_R_RDMA_WRITE, l->rx_got, from, n);
	return emu_scatter(l, *l->rx_careful, &l->rx_own, seg, nsegs, l->rx_got, from, n);
}

/* Take what is there of the current message, and what comes meanwhile; true when it is whole. */
static bool take_landed(struct emu_link *l, const struct ka_seg *seg, uint32_t nsegs, bool *moved)
{
	struct emu_dir *d = &l->region->to[l->side];
	uint64_t length = l->rx_msg.length;

	while (l->rx_got < length) {
		uint64_t there = ka_load_acquire(&d->tx.land_head) - l->land_tail,
			 at = l->land_tail % EMU_LAND, part = min64(there, length - l->rx_got);

		if (there == 0 || there > EMU_LAND) /* the peer made it up */
			return false;
		part = min64(min64(part, EMU_LAND - at), EMU_LAND_PIECE);
		if (l->rx_ok && !put(l, seg, nsegs, d->land + at, part))
			l->rx_ok = false;
		l->rx_got += part;
		l->land_tail += part;
		if (l->rx_got == length)
			l->land_tail = emu_land_align(l->land_tail);
		ka_store_release(&d->rx.land_tail, l->land_tail);
		*moved = true;
	}
	return true;
}

bool emu_recv_look(struct emu_link *l)
{
	const struct emu_cell *c = &l->region->to[l->side].cell[l->rx_next % KA_DEPTH];
	struct emu_msg *m = &l->rx_msg;

	if (m->op)
		return true;
	if (!emu_arrived(l))
		return false;
	m->op = ka_load_relaxed(&c->op);
	if (m->op == 0)
		m->op = ~0u;
	m->status = ka_load_relaxed(&c->status);
	m->length = ka_load_relaxed(&c->length);
	m->imm = ka_load_relaxed(&c->imm);
	m->target = (struct ka_seg){ka_load_relaxed(&c->addr), ka_load_relaxed(&c->handle), m->length};
	l->rx_got = 0;
	l->rx_ok = true;
	return true;
}

/* What became of it, for those who wait for that: a send or RDMA write that was good when it was sent. */
static void reap(struct emu_link *l, uint32_t error)
{
	struct emu_dir *d = &l->region->to[l->side];
	uint32_t told =
		l->rx_msg.op == EMU_OP_SEND ? VIP_STATUS_REMOTE_DESC_ERROR : VIP_STATUS_RDMA_PROT_ERROR;

	if (error && !ka_load_relaxed(&d->rx.failed)) {
		ka_store_relaxed(&d->rx.error, told);
		ka_store_release(&d->rx.failed, l->rx_next + 1);
	}
	l->rx_msg.op = 0;
	emu_taken(l);
	ka_store_relaxed(&d->far.taken, l->rx_next);
}

bool emu_recv_take(struct emu_link *l, const struct ka_seg *seg, uint32_t nsegs, struct emu_recv *r,
		   bool *moved)
{
	struct emu_dir *d = &l->region->to[l->side];
	const struct emu_cell *c = &d->cell[l->rx_next % KA_DEPTH];
	const struct emu_msg *m = &l->rx_msg;
	uint32_t where = m->status & EMU_WHERE, error = m->status & VIP_STATUS_ERROR_MASK, late, i;
	bool data = m->op != EMU_OP_READ, remote = m->op == EMU_OP_WRITE || m->op == EMU_OP_WRITE_IMM;
	uint64_t room = 0;

	r->imm = m->imm;
	r->length = m->length;
	r->status = m->status & VIP_STATUS_IMMEDIATE;
	for (i = 0; i < nsegs; i++)
		room += seg[i].len;
	if (error && where != EMU_IN_LAND) {
		r->status |= error;
	} else if (m->length > l->max_transfer || (where == EMU_IN_CELL && m->length > EMU_CELL_DATA)) {
		/* a length that the engine would never have written */
		r->status |= VIP_STATUS_TRANSPORT_ERROR;
	} else if (data) {
		/* the owner may have changed or deregistered the descriptor since the engine looked */
		if (m->length > room && !remote)
			l->rx_ok = false;
		if (where == EMU_IN_CELL) {
			l->rx_ok = l->rx_ok && put(l, seg, nsegs, c->data, m->length);
		} else if (where == EMU_IN_LAND) {
			if (!take_landed(l, seg, nsegs, moved))
				return false;
			/* the sender may have seen an error on the way */
			r->status |= ka_load_relaxed(&c->status) & VIP_STATUS_ERROR_MASK;
		} else if (where == EMU_IN_SENDER) {
			if (!emu_take_held(l, seg, nsegs, &late))
				return false;
			r->status |= late;
		}
		if (!l->rx_ok)
			r->status |= remote ? VIP_STATUS_RDMA_PROT_ERROR : VIP_STATUS_PROTECTION_ERROR;
	}
	if (r->status & VIP_STATUS_ERROR_MASK)
		r->length = 0;
	/* what the sender did not know yet */
	reap(l, !error && !l->rx_ok);
	return true;
}
