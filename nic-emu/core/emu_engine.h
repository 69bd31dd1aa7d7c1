/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_engine.h - the software NIC's DMA engine.  The sender's half takes a
 * send or an RDMA operation, checks both sides against the TPTs, moves the
 * bytes and tells the peer in a cell (emu_send.c); the receiver's half takes
 * the cells out (emu_recv.c).  No libc, no system call, no lock: the caller
 * serialises the calls on one link's tx half, and those on its rx half.
 */
#ifndef EMU_ENGINE_H
#define EMU_ENGINE_H

#include "nic-emu/core/emu_ring.h"
#include "nic-emu/core/emu_stream.h"

struct emu_link;

#define EMU_PIECE \
	(64u << 10) /* bytes that are copied at most before one looks who waits for the end of that */

/* A copy by the host, of which either end may not be there. */
enum emu_way {
	EMU_TO_WINDOW,	 /* from own memory to a place that map() has told */
	EMU_FROM_WINDOW, /* the other way */
	EMU_FROM_PEER	 /* from an address in the peer's process */
};

struct emu_copy {
	void *to;
	uint64_t from;
	uint64_t n;
	const struct ka_seg *own; /* the own segment, which may have gone; NULL: see to it no further */
	enum emu_way way;
};

enum emu_copied { EMU_COPIED, EMU_OWN_GONE, EMU_PEER_GONE };

/* What the engine needs of the process (or kernel) it runs in. */
struct emu_host {
	/*
	 * The own address space's view of an entry's first byte, or NULL: it cannot be
	 * mapped here.  @direct: it cannot shrink, and may be touched; else copy() does that.
	 */
	void *(*map)(struct emu_link *link, const struct ka_tpt_entry *e, bool *direct);
	/*
	 * Copy between @to / @from and bytes [off, off + n) of own memory that may
	 * have gone (no KA_R_DIRECT, or @careful): false: it has.
	 */
	bool (*get)(struct emu_link *link, const struct ka_seg *s, uint64_t off, void *to, uint64_t n);
	bool (*put)(struct emu_link *link, const struct ka_seg *s, uint64_t off, const void *from, uint64_t n,
		    bool careful);
	enum emu_copied (*copy)(struct emu_link *link, const struct emu_copy *c);
	/* Return when *revoking is 0: the TPT says what has gone. */
	void (*settle)(void);
	/* The segments of the peer's receive in @slot from EMU_POST_SEGS on, or NULL: it has never written
	 * there. Without the hook: they lie in the region. */
	const struct ka_seg *(*more)(struct emu_link *link, uint32_t slot);
	/*
	 * map() tells a place for all that the peer has registered: what cannot be mapped is not there.
	 * So the sender's half puts everything in place, and needs no landing ring.
	 */
	bool reaches_all;
};

/* What the receiver has read of a message's cell, once. */
struct emu_msg {
	uint32_t op; /* enum emu_op; 0: none is being taken */
	uint32_t status;
	uint32_t length;
	uint32_t imm;
	struct ka_seg target; /* of an RDMA operation, in own memory */
};

/* Where a message goes, as the sender saw it: segments of the peer, copied once. */
struct emu_target {
	struct ka_seg seg[KA_MAX_SEGS];
	void *place[KA_MAX_SEGS]; /* the host's view, when all are in place, ... */
	bool direct[KA_MAX_SEGS]; /* ... which may be touched */
	uint32_t used;		  /* segments that the message fills, wholly or partly */
	uint32_t rights;
	bool in_place;
	bool last_word_last;
};

/* One end of a connection, in the end's private memory. */
struct emu_link {
	struct emu_region *region;
	const struct ka_tpt_entry *own_tpt;
	const struct ka_tpt_entry *peer_tpt;
	const struct emu_host *host;
	const uint32_t *revoking;      /* own memory goes away right now; not the peer's to write */
	const uint32_t *peer_revoking; /* the peer's does: it looks for itself */
	const uint64_t *own_idle;      /* ka_idle(): not the peer's to write; and ... */
	const uint64_t *peer_idle;     /* ... as the peer says */
	const uint32_t *peer_keeps;    /* and how often: struct ka_cache */
	const bool *tx_careful;	       /* whoever works on this half touches own memory with care */
	const bool *rx_careful;
	uint32_t side; /* own: 0 or 1 */
	uint32_t own_tag;
	uint32_t peer_tag;
	uint32_t own_rdma;     /* KA_R_RDMA_*: what the own VI allows the peer, ... */
	uint32_t peer_rdma;    /* ... and the peer's VI this end */
	uint32_t level;	       /* VIP_SERVICE_* */
	uint64_t max_transfer; /* bytes */
	uint64_t small_most;   /* what is no larger may go the short way (emu_small.h) */
	uint64_t cell_most;    /* what is no larger goes in the cell */
	uint64_t pull_least;   /* what is no smaller is left for the peer to pull, if it can */
	bool pulls;	       /* this end can read the peer's memory: either half may find out */

	/* tx half */
	uint64_t tx_next; /* number of the next message */
	uint64_t tx_recv; /* the peer's receive that is taken next */
	uint64_t tx_room; /* messages below this number have a cell */
	/* messages up to here were not put in place, RDMA writes and all, and must not be overtaken */
	uint64_t tx_write, tx_any;
	uint64_t tx_held; /* and up to here they are in use until the peer has reaped them */
	uint64_t land_head;
	uint64_t land_seen;   /* of the peer's land_tail: to look again takes the line away from him */
	uint64_t stream_left; /* bytes of the current message still to go through the landing ring */
	struct ka_seg tx_seg[KA_MAX_SEGS];   /* its source */
	const uint8_t *tx_flat;		     /* or this, which stays as it is */
	uint32_t tx_nsegs, tx_at;	     /* where it stands: segment, and ... */
	uint32_t tx_rights;		     /* what the source must allow */
	uint64_t tx_off;		     /* ... byte in it */
	bool tx_direct;			     /* all of it may be touched without care */
	bool source_gone;		     /* it went away while the message was under way */
	struct emu_target tx_to;	     /* too large for a stack in the kernel */
	struct emu_far far;		     /* how far away the peer is: */
	bool tx_past;			     /* store past the caches */
	struct ka_tpt_entry tx_own, tx_peer; /* what was checked last (ka_tpt_check_kept) */

	/* rx half */
	uint64_t rx_posted; /* receives put into the ring */
	uint64_t rx_next;   /* message to take next */
	uint64_t land_tail;
	uint32_t rx_streak; /* messages found without looking in vain */
	uint64_t rx_got;    /* bytes of the current message already taken from the landing ring */
	bool rx_ok;	    /* they are where they belong */
	bool rx_pulled;	    /* messages were reaped whose sources the peer waits to use again */
	struct emu_msg rx_msg;
	struct ka_tpt_entry rx_own; /* as tx_own */
};

struct emu_send {
	enum emu_op op;		  /* EMU_OP_WRITE also with immediate data */
	const struct ka_seg *seg; /* own memory, read once */
	const uint8_t *flat;	  /* or memory of the NIC's, which stays until the message is sent */
	uint32_t nsegs;
	uint64_t total; /* bytes: the sum */
	uint32_t imm;
	bool has_imm;
	struct ka_seg target; /* RDMA: in the peer's memory; its len is not used */
	uint32_t error;	      /* EMU_OP_REPLY, EMU_OP_READ: VIP_STATUS_*_ERROR instead of data */
};

enum emu_sent {
	EMU_SENT,	   /* in place, or on its way: the source is free again */
	EMU_SENT_UNREAPED, /* as EMU_SENT, but it counts as received only once the peer reaps it */
	EMU_SENT_HELD,	/* on its way, but the peer takes the data from the source, which is in use until then
			 */
	EMU_STREAMING,	/* started; emu_send_more goes on */
	EMU_NOT_READY,	/* the peer has not set up its end yet, or has no room; try again */
	EMU_NO_RECEIVE, /* no receive is posted */
	EMU_BAD_RECEIVE, /* the receive was consumed in error */
	EMU_BAD_TARGET,	 /* the peer's memory may not be reached like that; it is told */
	EMU_BAD_SOURCE,	 /* protection error in the own segments */
	EMU_SOURCE_GONE, /* they went away under way; the peer is told */
	EMU_IS_DOWN	 /* the connection has ended */
};

/*
 * emu_send_start - one message.  Returns what became of it; on EMU_SENT,
 * EMU_SENT_UNREAPED, EMU_SENT_HELD, EMU_STREAMING, EMU_BAD_* and EMU_SOURCE_GONE its owner
 * may have something to see (tx_next tells).
 */
enum emu_sent emu_send_start(struct emu_link *l, const struct emu_send *s);

/*
 * emu_fetch - copy what @s would send to @to (total bytes), for a frame of the
 * link's model.  No message is being sent.  EMU_SENT, EMU_BAD_SOURCE or
 * EMU_SOURCE_GONE.
 */
enum emu_sent emu_fetch(struct emu_link *l, const struct emu_send *s, uint8_t *to);

/* emu_send_more - move on with a streaming message; EMU_STREAMING or EMU_SENT_UNREAPED. */
enum emu_sent emu_send_more(struct emu_link *l);

/* Can a message be sent now?  The peer has set up its end, and there is a cell. */
bool emu_can_send(struct emu_link *l);

/* Where the bytes of an RDMA read are, here. */
struct emu_place {
	const uint8_t *at; /* NULL: in the peer's process */
	bool direct;	   /* as map() has told */
};

/*
 * emu_read_check - may this end read @target (len: bytes) of the peer?
 * Returns 0: by asking the peer; 1: at @place; or -1: it may not.
 */
int emu_read_check(struct emu_link *l, const struct ka_seg *target, struct emu_place *place);

/*
 * emu_read_here - read what emu_read_check() has found at @place into own segments.
 * EMU_SENT; EMU_BAD_SOURCE: they may not be written; EMU_BAD_TARGET: it was deregistered meanwhile;
 * EMU_NOT_READY: it is not there, the peer has to be asked; EMU_IS_DOWN.
 */
enum emu_sent emu_read_here(struct emu_link *l, const struct ka_seg *target, const struct emu_place *place,
			    const struct ka_seg *seg, uint32_t nsegs);

/* Scatter @n bytes that are bytes [at, at + n) of a message into own segments, which are checked; @kept:
 * tx_own or rx_own, whichever half this is. */
bool emu_scatter(struct emu_link *l, bool careful, struct ka_tpt_entry *kept, const struct ka_seg *seg,
		 uint32_t nsegs, uint64_t at, const uint8_t *from, uint64_t n);

/* emu_post_recv - publish receive number rx_posted; @bad: its format is wrong. */
void emu_post_recv(struct emu_link *l, const struct ka_seg *seg, uint32_t nsegs, bool bad);

/*
 * emu_recv_look - the message that is to be taken next: @l->rx_msg has it;
 * false: there is none.  Its op may be no enum emu_op, for it is the peer's.
 */
bool emu_recv_look(struct emu_link *l);

/* Does the message take a receive? */
static inline bool emu_takes_receive(const struct emu_msg *m)
{
	return m->op == EMU_OP_SEND || m->op == EMU_OP_WRITE_IMM;
}

struct emu_recv {
	uint32_t status; /* VIP_STATUS_* without DONE and operation */
	uint32_t length; /* bytes */
	uint32_t imm;
};

/*
 * emu_recv_take - take the message that emu_recv_look() has shown; @seg: where
 * its data go, for EMU_OP_SEND and EMU_OP_REPLY.
 * Returns true when it is complete and its data are in place; false when data
 * are still under way.  @moved: landing bytes were taken, a sender may wait for
 * the room.
 */
bool emu_recv_take(struct emu_link *l, const struct ka_seg *seg, uint32_t nsegs, struct emu_recv *r,
		   bool *moved);

/* How many messages of this end has the peer reaped? */
static inline uint64_t emu_reaped(const struct emu_link *l)
{
	return ka_load_acquire(&l->region->to[1 - l->side].rx.reaped);
}

/* The first message that the peer could not take, + 1, and why; 0: none. */
static inline uint64_t emu_failed(const struct emu_link *l, uint32_t *error)
{
	uint64_t n = ka_load_acquire(&l->region->to[1 - l->side].rx.failed);

	*error = ka_load_relaxed(&l->region->to[1 - l->side].rx.error);
	return n;
}

/* Did the peer not find the source of the message any more up to which it has reaped @reap? */
static inline bool emu_lost(const struct emu_link *l, uint64_t reap)
{
	return reap && reap <= l->tx_held &&
	       ka_load_relaxed(&l->region->to[1 - l->side].lost[(reap - 1) % KA_DEPTH]) == reap;
}

/* Does the peer still need the source of a message that was sent? */
static inline bool emu_holds(const struct emu_link *l)
{
	return l->tx_held && emu_reaped(l) < l->tx_held;
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
