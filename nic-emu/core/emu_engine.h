/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_engine.h - the software NIC's DMA engine: takes a send and the peer's
 * next posted receive, checks both sides against the TPTs, moves the bytes and
 * writes the peer's completion; and the receiver's half, which takes
 * completions out.  No libc, no system call, no lock: the caller serialises
 * the calls on one link's tx half, and those on its rx half.
 */
#ifndef EMU_ENGINE_H
#define EMU_ENGINE_H

#include "nic-emu/core/emu_ring.h"

struct emu_link;

/* What the engine needs of the process (or kernel) it runs in. */
struct emu_host {
	/* The own address space's view of a byte of an object, or NULL: it cannot be mapped here. */
	void *(*map)(struct emu_link *link, const struct ka_tpt_entry *e);
	/*
	 * Copy between @to / @from and bytes [off, off + n) of own memory that may
	 * have gone (no KA_R_DIRECT, or *careful): false: it has.
	 */
	bool (*get)(struct emu_link *link, const struct emu_seg *s, uint64_t off, void *to, uint64_t n);
	bool (*put)(struct emu_link *link, const struct emu_seg *s, uint64_t off, const void *from,
		    uint64_t n);
	/* Return when *revoking is 0: the TPT says what has gone. */
	void (*settle)(void);
};

/* One end of a connection, in the end's private memory. */
struct emu_link {
	struct emu_region *region;
	const struct ka_tpt_entry *own_tpt;
	const struct ka_tpt_entry *peer_tpt;
	const struct emu_host *host;
	const uint32_t *revoking;      /* own memory goes away right now; not the peer's to write */
	const uint32_t *peer_revoking; /* the peer's does: it looks for itself */
	const bool *tx_careful;	       /* whoever works on this half touches own memory with care */
	const bool *rx_careful;
	uint32_t side; /* own: 0 or 1 */
	uint32_t own_tag;
	uint32_t peer_tag;
	uint32_t level;	       /* VIP_SERVICE_* */
	uint64_t max_transfer; /* bytes */

	/* tx half */
	uint64_t tx_next; /* the peer's receive that the next send takes */
	uint64_t land_head;
	uint64_t stream_left; /* bytes of the current message still to go through the landing ring */
	struct emu_seg tx_seg[EMU_MAX_SEGS]; /* its source */
	uint32_t tx_nsegs, tx_at;	     /* where it stands: segment, and ... */
	uint32_t tx_off;		     /* ... byte in it */
	bool tx_direct;			     /* all of it may be touched without care */
	bool source_gone;		     /* it went away while the message was under way */

	/* rx half */
	uint64_t rx_posted; /* receives put into the ring */
	uint64_t rx_next;   /* completion to take next */
	uint64_t land_tail;
	uint64_t rx_got; /* bytes of the current message already taken from the landing ring */
};

struct emu_send {
	const struct emu_seg *seg; /* own memory, read once */
	uint32_t nsegs;
	uint64_t total; /* bytes: the sum */
	uint32_t imm;
	bool has_imm;
};

enum emu_sent {
	EMU_SENT,	   /* in place, or on its way: the source is free again */
	EMU_SENT_UNREAPED, /* as EMU_SENT, but it counts as received only once the peer reaps it */
	EMU_STREAMING,	   /* started; emu_send_more goes on */
	EMU_NOT_READY,	   /* the peer has not set up its end yet; try again */
	EMU_NO_RECEIVE,	   /* no receive is posted */
	EMU_BAD_RECEIVE,   /* the receive was consumed in error */
	EMU_BAD_SOURCE,	   /* protection error in the own segments */
	EMU_SOURCE_GONE,   /* they went away under way; the receive was consumed in error */
	EMU_IS_DOWN	   /* the connection has ended */
};

/*
 * emu_send_start - one send against the peer's next receive.
 * On EMU_SENT*, EMU_STREAMING, EMU_BAD_RECEIVE and EMU_SOURCE_GONE one receive of the peer is
 * used up and its owner must be told.
 */
enum emu_sent emu_send_start(struct emu_link *l, const struct emu_send *s);

/* emu_send_more - move on with a streaming send; EMU_STREAMING or EMU_SENT_UNREAPED. */
enum emu_sent emu_send_more(struct emu_link *l);

/* emu_post_recv - publish receive number rx_posted; @bad: its format is wrong. */
void emu_post_recv(struct emu_link *l, const struct emu_seg *seg, uint32_t nsegs, bool bad);

/* Is completion number rx_next there? */
static inline bool emu_recv_ready(const struct emu_link *l)
{
	const struct emu_cell *c = &l->region->to[l->side].cell[l->rx_next % EMU_DEPTH];

	return ka_load_acquire(&c->seq) == emu_seq(l->rx_next);
}

struct emu_recv {
	uint32_t status; /* VIP_STATUS_* */
	uint32_t length; /* bytes */
	uint32_t imm;
};

/*
 * emu_recv_take - take completion number rx_next, which is ready; @seg is the
 * receive's own list of segments.
 * Returns true when it is complete and its data are in place; false when data
 * are still under way.  @moved: landing bytes were taken, a sender may wait for
 * the room.
 */
bool emu_recv_take(struct emu_link *l, const struct emu_seg *seg, uint32_t nsegs, struct emu_recv *r,
		   bool *moved);

/* How many sends of this end has the peer reaped? */
static inline uint64_t emu_reaped(const struct emu_link *l)
{
	return ka_load_acquire(&l->region->to[1 - l->side].rx.reaped);
}

/* End the connection: the first cause wins. */
static inline void emu_set_down(struct emu_link *l, uint32_t cause)
{
	uint32_t none = 0;

	__atomic_compare_exchange_n(&l->region->ctl.down, &none, cause | l->side << 8, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline uint32_t emu_down(const struct emu_link *l)
{
	return ka_load_acquire(&l->region->ctl.down);
}

#endif
