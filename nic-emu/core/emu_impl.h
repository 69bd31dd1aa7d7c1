/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_impl.h - what both halves of the engine need.
 */
#ifndef EMU_IMPL_H
#define EMU_IMPL_H

#include "include/vipl.h"
#include "kagent/ka_last_word.h"
#include "nic-emu/core/emu_engine.h"

#define MEMCPY(d, s, n) __builtin_memcpy((d), (s), (n))

/* How many ring entries before its use a cache line is fetched from the other processor. */
#define EMU_AHEAD 4u

/* Fetch a line that is going to be written: for oneself alone.  The builtin fetches it shared, unless the
 * compiler is told of a newer processor; older ones take the instruction for none. */
static inline void prefetch_own(const void *line)
{
#ifdef __x86_64__
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
	__builtin_prefetch(line, 1);
#endif
}

static inline uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Own memory by its address: checked against the own TPT before. */
static inline void *own(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

/* @direct: cleared when the segment must be touched with care.  The range of 0 bytes is not looked at. */
static inline bool own_ok(const struct emu_link *l, struct ka_tpt_entry *kept, const struct ka_seg *s,
			  uint32_t rights, bool *direct)
{
	if (ka_load_acquire(l->revoking))
		l->host->settle();
	if (!ka_tpt_check_kept(l->own_tpt, l->own_idle, s->handle, s->addr, s->len, l->own_tag, rights, kept))
		return false;
	if (!(kept->rights & KA_R_DIRECT))
		*direct = false;
	return true;
}

/* For show: what this end has sent. */
static inline void emu_count(struct emu_link *l, uint64_t bytes)
{
	struct ka_conn_side *me = &l->region->ctl.side[l->side];

	ka_store_relaxed(&me->bytes, me->bytes + bytes);
	ka_store_relaxed(&me->msgs, me->msgs + 1);
}

/* Message tx_next is whole: the peer may see it. */
static inline void emu_publish(struct emu_link *l, enum emu_op op, uint32_t status, uint32_t length,
			       uint32_t imm, const struct ka_seg *target)
{
	struct emu_dir *d = &l->region->to[1 - l->side];
	struct emu_cell *c = &d->cell[l->tx_next % KA_DEPTH];

	ka_store_relaxed(&c->status, status);
	ka_store_relaxed(&c->length, length);
	ka_store_relaxed(&c->imm, imm);
	ka_store_relaxed(&c->addr, target->addr);
	ka_store_relaxed(&c->handle, target->handle);
	ka_store_relaxed(&c->op, (uint32_t)op);
	ka_store_release(&c->seq, emu_seq(l->tx_next));
	l->tx_next++;
	c = &d->cell[(l->tx_next + EMU_AHEAD) % KA_DEPTH];
	prefetch_own(c);
	prefetch_own((const uint8_t *)c + 64);
	__builtin_prefetch(&d->post[(l->tx_recv + EMU_AHEAD) % KA_DEPTH]);
}

/* Is there a message to take?  The streak tells whether they come faster than they are taken. */
static inline bool emu_arrived(struct emu_link *l)
{
	const struct emu_cell *c = &l->region->to[l->side].cell[l->rx_next % KA_DEPTH];
	bool there;

	/* so that both lines of a message of 64 bytes come at the same time */
	__builtin_prefetch((const uint8_t *)c + 64);
	there = ka_load_acquire(&c->seq) == emu_seq(l->rx_next);

	if (!there)
		l->rx_streak = 0;
	return there;
}

/* The same, for one of which a part may be taken already. */
static inline bool emu_more(struct emu_link *l)
{
	return l->rx_msg.op || emu_arrived(l);
}

/* Message rx_next is done with. */
static inline void emu_taken(struct emu_link *l)
{
	struct emu_dir *d = &l->region->to[l->side];

	l->rx_next++;
	ka_store_release(&d->rx.reaped, l->rx_next);
	/* a cell that the sender has not yet written would only be taken away from him */
	if (l->rx_streak++ > EMU_AHEAD)
		__builtin_prefetch(&d->cell[(l->rx_next + EMU_AHEAD) % KA_DEPTH]);
}

/* emu_copy.c: gather @n bytes to a window that may shrink: EMU_SENT, EMU_SOURCE_GONE or EMU_BAD_TARGET. */
enum emu_sent emu_fill(struct emu_link *l, uint8_t *to, uint64_t n);
/* The same for the last word of a message, which was gathered before: at once, if the host can do that. */
enum emu_sent emu_fill_last(struct emu_link *l, uint8_t *to, const uint8_t *word, uint64_t n);

/* emu_copy.c: bytes from the peer's memory to own segments. */
struct emu_pull {
	const struct ka_seg *from; /* as long as all of @to that is used */
	const struct ka_seg *to;
	uint32_t nfrom, nto; /* no more than EMU_HELD_SEGS; any number */
	uint32_t from_rights, to_rights;
	struct ka_tpt_entry *kept; /* tx_own or rx_own */
	uint64_t total;
	uint64_t shift; /* EMU_FROM_WINDOW: where the first byte is here, less its address there */
	enum emu_way way;
	bool careful;
	bool last_word_last;
};

enum emu_pulled {
	EMU_PULLED,
	EMU_NO_SOURCE, /* the peer's memory is not there, or not registered any more */
	EMU_NO_TARGET, /* own memory is not there */
	EMU_PULL_LATER /* memory of the peer's is just going; or the connection is down */
};

enum emu_pulled emu_pull(struct emu_link *l, const struct emu_pull *p);

/*
 * emu_copy.c: take the message in the sender's memory that is being taken, to
 * own segments or to the target of an RDMA write.  True: that is done, @error
 * is 0 or VIP_STATUS_*_ERROR.
 */
bool emu_take_held(struct emu_link *l, const struct ka_seg *seg, uint32_t nsegs, uint32_t *error);

/* Is a message that lies in the sender's memory being taken?  Then it was put off (EMU_PULL_LATER). */
static inline bool emu_put_off(const struct emu_link *l)
{
	return l->rx_msg.op && (l->rx_msg.status & EMU_WHERE) == EMU_IN_SENDER;
}

#endif
