/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_wire.h - the software NIC's wire, when it is to behave like one: a
 * simulation of one direction of one connection, with the link layers at both
 * ends of it.  It runs in the sender.  No libc, no lock, no clock: the caller
 * serialises the calls on a wire and passes the time, in nanoseconds, which
 * never goes back.
 *
 * One frame carries one message.  It waits until the wire is free, takes
 * bytes / bandwidth to leave, and arrives `latency` later, with a CRC-32 behind
 * it; in between it may be lost, doubled, delayed so that later ones overtake
 * it, or damaged: then bits are flipped in a copy of it, and the CRC tells.
 * Acknowledgements go the other way under the same model, but take no bandwidth.
 *
 * Unreliable: a frame is delivered once at most; numbers that were seen are
 * dropped.  There are no acknowledgements.
 *
 * Reliable (both levels): each frame is delivered exactly once, in order, or
 * the wire is broken.  The receiver keeps what comes too early, and
 * acknowledges each frame that arrives with the number of those that were taken
 * by deliver() and a map of those that it keeps.  The sender sends again what
 * is not acknowledged RTO after it has left:
 *
 *   RTO = 2 latency + 20 us (+ 4 max(latency, 10 us) + 4 bytes / bandwidth, if frames are reordered)
 *
 * EMU_WIRE_RETRIES times; then the wire is broken.  A receiver that has all but
 * does not take it is asked each RTO + 1 ms whether it is still there: it may
 * be as slow as it likes.  When nothing arrives any more while frames wait, the
 * wire is broken, provided that emu_wire_run() is called when it asks for it, after at most
 *
 *   (EMU_WIRE_RETRIES + 1) (S + RTO + 1 ms),  S = bytes on the wire / bandwidth
 *
 * where the bytes on the wire are less than EMU_WIRE_BYTES and one frame.
 */
#ifndef EMU_WIRE_H
#define EMU_WIRE_H

#include "nic-emu/core/emu_crc.h"

#define EMU_WIRE_FRAMES	 64u	     /* on the wire at a time; an acknowledgement has a bit for each */
#define EMU_WIRE_BYTES	 (16u << 20) /* a frame that starts below may end above */
#define EMU_WIRE_RETRIES 7u
#define EMU_WIRE_HEAD	 64u	     /* bytes of a frame for the caller's header */
#define EMU_WIRE_PACKETS 1024u	     /* frames, doubles, acknowledgements under way; more are lost */
#define EMU_WIRE_SEEN	 1024u	     /* Unreliable: a frame that is later by more is dropped */
#define EMU_WIRE_CERTAIN 1000000000u /* a probability of 1 */
#define EMU_WIRE_NEVER	 (~0ull)

struct emu_link_model {
	uint64_t latency_ns;		      /* one way */
	uint64_t bandwidth;		      /* bytes in a second; 0: no limit */
	uint64_t loss, dup, reorder, corrupt; /* of EMU_WIRE_CERTAIN packets */
	uint64_t cut_ns;		      /* from then on nothing arrives; EMU_WIRE_NEVER */
	uint64_t seed;			      /* the caller adds what tells its wires apart */
};

struct emu_frame {
	uint32_t bytes; /* of payload */
	uint32_t refs;	/* the window, the receiver, each packet */
	bool counted;	/* in emu_wire.frames */
	/* What follows goes over the wire, and the CRC behind the payload. */
	uint64_t kind;
	uint64_t seq; /* an acknowledgement: frames taken */
	uint64_t map; /* and: bit i: frame seq + i is kept */
	uint8_t head[EMU_WIRE_HEAD];
	uint8_t data[];
};

struct emu_wire_host {
	void *(*alloc)(uint64_t bytes); /* aligned for any type; NULL: no memory */
	void (*free)(void *mem);
	/*
	 * The frame has arrived intact: take it.  false: not now, offer it again.
	 * Nothing that is called here calls the wire.
	 */
	bool (*deliver)(void *ctx, const struct emu_frame *f);
	/*
	 * Unreliable: a damaged frame has arrived; neither head nor data mean anything.
	 * NULL: these are dropped.
	 */
	bool (*damaged)(void *ctx, const struct emu_frame *f);
};

struct emu_wire_stats {
	uint64_t launched;   /* packets: frames, acknowledgements, questions */
	uint64_t duplicated; /* came into being on the wire */
	uint64_t delayed;
	uint64_t lost;	    /* by chance, by the cut, or for want of room */
	uint64_t damaged;   /* arrived, and failed the CRC */
	uint64_t arrived;   /* intact: launched + duplicated = lost + damaged + arrived + under way */
	uint64_t discarded; /* frames that had arrived before */
	uint64_t delivered;
	uint64_t resent;
};

struct emu_wire {
	struct emu_link_model model;
	const struct emu_wire_host *host;
	void *ctx;
	bool reliable;
	bool broken;  /* reliable: retries are exhausted; nothing moves any more */
	bool stalled; /* the receiver said: not now */
	uint64_t sent;
	uint64_t taken;	 /* reliable: frames 0 .. taken - 1 were taken by deliver(), as the sender knows */
	uint32_t frames; /* in memory, damaged copies among them ... */
	uint64_t frame_bytes; /* ... and their payload */
	struct emu_wire_stats stats;

	/* the wire */
	uint64_t cut_at;
	uint64_t free_at; /* it has finished with what was sent */
	uint64_t random;
	uint64_t order; /* numbers the packets: what arrives at the same time stays in order */
	uint32_t packets;
	struct emu_packet {
		uint64_t at, order;
		struct emu_frame *f;
	} packet[EMU_WIRE_PACKETS]; /* a heap: the next to arrive is first */

	/* the sender's link layer; reliable only */
	uint64_t timer; /* no deadline is before */
	struct emu_unacked {
		struct emu_frame *f;
		uint64_t deadline;
		uint32_t tries;
		bool kept; /* the receiver has it */
	} window[EMU_WIRE_FRAMES];

	/* the receiver's */
	uint64_t next;	   /* the frame to deliver; unreliable: the first number not seen */
	uint64_t kept_map; /* bit i: frame next + i is kept */
	struct emu_frame *kept[EMU_WIRE_FRAMES];
	struct emu_frame *offered; /* unreliable: it was not taken yet ... */
	bool offered_bad;	   /* ... and is damaged */
	uint64_t seen[EMU_WIRE_SEEN / 64];

	struct emu_crc crc;
};

/* emu_wire_init - @level: VIP_SERVICE_*; @now: the cut counts from here. */
void emu_wire_init(struct emu_wire *w, const struct emu_link_model *model, uint32_t level,
		   const struct emu_wire_host *host, void *ctx, uint64_t now);

/* emu_wire_end - free all frames; init again before anything else. */
void emu_wire_end(struct emu_wire *w);

/* emu_wire_full - is the sender to wait, until a run makes room? */
static inline bool emu_wire_full(const struct emu_wire *w)
{
	return w->frames >= EMU_WIRE_FRAMES || w->frame_bytes >= EMU_WIRE_BYTES;
}

/*
 * emu_wire_new - a frame for the caller to fill: head (zeroed) and data; NULL: no memory.
 * Then it is sent or dropped.
 */
struct emu_frame *emu_wire_new(struct emu_wire *w, uint32_t bytes);
void emu_wire_drop(struct emu_wire *w, struct emu_frame *f);

/* emu_wire_send - frame number w->sent; only when the wire was not full before emu_wire_new(). */
void emu_wire_send(struct emu_wire *w, struct emu_frame *f, uint64_t now);

/* emu_wire_run - do all that is due; returns when to call again, or EMU_WIRE_NEVER. */
uint64_t emu_wire_run(struct emu_wire *w, uint64_t now);

#endif
