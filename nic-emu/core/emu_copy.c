/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_copy.c - what the host copies for the engine: to and from mappings of the
 * peer's memory that may shrink, and from the peer's process.
 *
 * An address of another process may be another's by now.  So memory is never
 * written by one, only read; and what was read counts only if the peer's TPT,
 * and the connection, are afterwards what they were: a region with KA_R_DIRECT
 * is taken out of the TPT before its addresses are used again, and a sender
 * that takes its source back ends the connection first.
 */
#include "nic-emu/core/emu_impl.h"

/* One call copies so much at most: whoever takes memory away waits for it. */
#define MOST (256u << 10)

enum emu_sent emu_fill(struct emu_link *l, uint8_t *to, uint64_t n)
{
	while (n) {
		const struct ka_seg *s = &l->tx_seg[l->tx_at];
		uint64_t part = min64(n, MOST);
		struct emu_copy c = {.to = to, .way = EMU_TO_WINDOW};

		if (l->tx_flat) {
			c.from = (uintptr_t)l->tx_flat + l->tx_off;
		} else {
			part = min64(part, s->len - l->tx_off);
			c.from = s->addr + l->tx_off;
			c.own = l->tx_direct ? NULL : s;
		}
		c.n = part;
		switch (l->host->copy(l, &c)) {
		case EMU_COPIED:
			break;
		case EMU_OWN_GONE:
			return EMU_SOURCE_GONE;
		case EMU_PEER_GONE:
			return EMU_BAD_TARGET;
		}
		to += part;
		n -= part;
		l->tx_off += part;
		if (!l->tx_flat && l->tx_off == s->len) {
			l->tx_at++;
			l->tx_off = 0;
		}
	}
	return EMU_SENT;
}

enum emu_sent emu_fill_last(struct emu_link *l, uint8_t *to, const uint8_t *word, uint64_t n)
{
	const struct emu_copy c = {.to = to, .from = (uintptr_t)word, .n = n, .way = EMU_TO_WINDOW};

	return n == 0 || l->host->copy(l, &c) == EMU_COPIED ? EMU_SENT : EMU_BAD_TARGET;
}

/*
 * Is all of the source still registered, and the connection up?  Asked before
 * and after; @keeps: of each segment, how often its region was deregistered and
 * kept.  With the registration cache it may be registered again by then.
 */
static enum emu_pulled source_look(const struct emu_link *l, const struct emu_pull *p,
				   uint32_t keeps[EMU_HELD_SEGS], bool after)
{
	struct ka_tpt_entry e;
	uint32_t i;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (emu_down(l) || ka_load_acquire(l->peer_revoking))
		return EMU_PULL_LATER;
	for (i = 0; i < p->nfrom; i++) {
		uint32_t n = ka_load_acquire(&l->peer_keeps[p->from[i].handle % KA_TPT_ENTRIES]);

		if (after && n != keeps[i])
			return EMU_NO_SOURCE;
		keeps[i] = n;
		if (!ka_tpt_check(l->peer_tpt, l->peer_idle, p->from[i].handle, p->from[i].addr,
				  p->from[i].len, l->peer_tag, p->from_rights, &e))
			return EMU_NO_SOURCE;
	}
	return EMU_PULLED;
}

static enum emu_pulled pull_piece(struct emu_link *l, const struct emu_pull *p, uint64_t from, void *to,
				  uint64_t n, const struct ka_seg *own_seg)
{
	struct emu_copy c = {.to = to, .from = from + p->shift, .n = n, .own = own_seg, .way = p->way};
	bool direct = !p->careful;

	if (own_seg && !own_ok(l, p->kept, own_seg, p->to_rights, &direct))
		return EMU_NO_TARGET;
	if (direct)
		c.own = NULL;
	switch (l->host->copy(l, &c)) {
	case EMU_COPIED:
		break;
	case EMU_OWN_GONE:
		return EMU_NO_TARGET;
	case EMU_PEER_GONE:
		return emu_down(l) ? EMU_PULL_LATER : EMU_NO_SOURCE;
	}
	return EMU_PULLED;
}

/* Where the copy stands: segment, and byte in it. */
struct at {
	const struct ka_seg *seg, *end;
	uint64_t off;
};

/* Bytes that follow without a gap; 0: there are no more. */
static uint64_t ahead(struct at *a)
{
	while (a->seg < a->end && a->off == a->seg->len) {
		a->seg++;
		a->off = 0;
	}
	return a->seg < a->end ? a->seg->len - a->off : 0;
}

static enum emu_pulled put_last_word(struct emu_link *l, const struct emu_pull *p, const uint8_t *word,
				     uint64_t n)
{
	const struct ka_seg *s = p->to;
	bool direct = !p->careful;

	if (n == 0)
		return EMU_PULLED;
	if (!own_ok(l, p->kept, s, p->to_rights, &direct))
		return EMU_NO_TARGET;
	if (direct)
		ka_put_last((uint8_t *)own(s->addr) + s->len - n, word, n);
	else if (!l->host->put(l, s, s->len - n, word, n, p->careful))
		return EMU_NO_TARGET;
	return EMU_PULLED;
}

enum emu_pulled emu_pull(struct emu_link *l, const struct emu_pull *p)
{
	struct at from = {p->from, p->from + p->nfrom, 0}, to = {p->to, p->to + p->nto, 0};
	uint64_t last = p->last_word_last ? ka_last_word(p->to->addr, p->total) : 0, left = p->total, n, room;
	uint32_t keeps[EMU_HELD_SEGS];
	enum emu_pulled r = source_look(l, p, keeps, false);
	uint8_t word[8];

	while (left && r == EMU_PULLED) {
		n = min64(min64(ahead(&from), left), MOST);
		room = ahead(&to);
		if (n == 0 || room == 0)
			return n ? EMU_NO_TARGET : EMU_NO_SOURCE;
		n = min64(n, room);
		if (emu_down(l))
			return EMU_PULL_LATER; /* whoever ends the connection waits for one piece */
		if (left > last) {
			n = min64(n, left - last);
			r = pull_piece(l, p, from.seg->addr + from.off, (uint8_t *)own(to.seg->addr) + to.off,
				       n, to.seg);
		} else {
			r = pull_piece(l, p, from.seg->addr + from.off, word + last - left, n, NULL);
		}
		from.off += n;
		to.off += n;
		left -= n;
	}
	/* also where the target seems to be to blame: the source may have gone, and other memory be there */
	if (r == EMU_PULLED || r == EMU_NO_TARGET) {
		enum emu_pulled source = source_look(l, p, keeps, true);

		if (source != EMU_PULLED)
			r = source;
	}
	if (r == EMU_NO_SOURCE && emu_down(l))
		return EMU_PULL_LATER; /* the peer has ended: its connections go before its memory does */
	return r == EMU_PULLED ? put_last_word(l, p, word, last) : r;
}

/* The segments that a cell names, read once; how many, 0: it is none that an engine would write. */
static uint32_t held_segs(const struct emu_cell *c, uint64_t length, struct ka_seg *seg)
{
	uint64_t sum = 0;
	uint32_t n;

	for (n = 0; n < EMU_HELD_SEGS && sum < length; n++) {
		MEMCPY(&seg[n], c->data + n * sizeof(seg[n]), sizeof(seg[n]));
		sum += seg[n].len;
	}
	return sum == length ? n : 0;
}

bool emu_take_held(struct emu_link *l, const struct ka_seg *seg, uint32_t nsegs, uint32_t *error)
{
	struct emu_dir *d = &l->region->to[l->side];
	const struct emu_msg *m = &l->rx_msg;
	bool write = m->op == EMU_OP_WRITE || m->op == EMU_OP_WRITE_IMM;
	struct ka_seg from[EMU_HELD_SEGS];
	struct emu_pull p = {.from = from,
			     .to = write ? &m->target : seg,
			     .nto = write ? 1 : nsegs,
			     .from_rights = KA_R_DIRECT,
			     .to_rights = write ? KA_R_WRITE | KA_R_RDMA_WRITE : KA_R_WRITE,
			     .kept = &l->rx_own,
			     .total = m->length,
			     .way = EMU_FROM_PEER,
			     .careful = *l->rx_careful,
			     .last_word_last = write};

	p.nfrom = held_segs(&d->cell[l->rx_next % KA_DEPTH], m->length, from);
	if (!ka_load_relaxed(&l->pulls) || p.nfrom == 0) {
		*error = VIP_STATUS_TRANSPORT_ERROR;
		return true;
	}
	if (write && !(l->own_rdma & KA_R_RDMA_WRITE))
		l->rx_ok = false;
	*error = 0;
	switch (l->rx_ok ? emu_pull(l, &p) : EMU_PULLED) {
	case EMU_PULLED:
		break;
	case EMU_NO_SOURCE:
		*error = VIP_STATUS_PARTIAL_ERROR;
		ka_store_relaxed(&d->lost[l->rx_next % KA_DEPTH], l->rx_next + 1);
		break;
	case EMU_NO_TARGET:
		l->rx_ok = false;
		break;
	case EMU_PULL_LATER:
		return false;
	}
	l->rx_pulled = true;
	return true;
}
