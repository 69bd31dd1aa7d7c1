/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_copy.c - what the host copies for the engine, because a mapping may
 * shrink under it: to and from a place in the peer's memory.
 */
#include "nic-emu/core/emu_impl.h"

/* One call copies so much at most: whoever takes memory away waits for it. */
#define MOST (256u << 10)

enum emu_sent emu_fill(struct emu_link *l, uint8_t *to, uint64_t n)
{
	while (n) {
		const struct emu_seg *s = &l->tx_seg[l->tx_at];
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

/* @n bytes of the window to an own segment, from its byte @off on. */
static enum emu_sent fetch(struct emu_link *l, uint64_t from, const struct emu_seg *own_seg, uint64_t off,
			   uint64_t n)
{
	bool direct = !*l->tx_careful;

	if (!own_ok(l, own_seg, KA_R_WRITE, &direct))
		return EMU_BAD_SOURCE;
	while (n) {
		struct emu_copy c = {.to = (uint8_t *)own(own_seg->addr) + off,
				     .from = from,
				     .n = min64(n, MOST),
				     .own = direct ? NULL : own_seg,
				     .way = EMU_FROM_WINDOW};

		switch (l->host->copy(l, &c)) {
		case EMU_COPIED:
			break;
		case EMU_OWN_GONE:
			return EMU_BAD_SOURCE;
		case EMU_PEER_GONE:
			return EMU_NOT_READY;
		}
		from += c.n;
		off += c.n;
		n -= c.n;
	}
	return EMU_SENT;
}

enum emu_sent emu_read_window(struct emu_link *l, const uint8_t *place, uint64_t n, const struct emu_seg *seg,
			      uint32_t nsegs)
{
	enum emu_sent r = EMU_SENT;
	uint32_t i;

	for (i = 0; i < nsegs && n && r == EMU_SENT; i++) {
		uint64_t part = min64(n, seg[i].len);

		if (part)
			r = fetch(l, (uintptr_t)place, &seg[i], 0, part);
		place += part;
		n -= part;
	}
	return n && r == EMU_SENT ? EMU_BAD_SOURCE : r;
}
