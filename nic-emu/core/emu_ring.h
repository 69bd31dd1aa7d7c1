/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_ring.h - what lies in a connection's shared region behind the control
 * page: for each direction the receiver's posted receives, a cell for each
 * message of the sender's engine, and a landing ring for data that the sender
 * cannot put in its final place itself.
 *
 * Messages are counted apart from receives: an RDMA write takes no receive
 * unless it carries immediate data.  One that the sender's engine has put in
 * its final place wholly by itself is no message at all: it has no cell.
 *
 * One writer for every field:
 *   post, more          the receiver's owner, when it posts
 *   cell, land, tx line the sender's engine
 *   rx line             the receiver's owner, when it reaps
 *
 * Ordering.  Entry n of a ring lies at n % KA_DEPTH and is valid when its seq
 * is n + 1 (mod 2^32), stored with release after everything else of the entry
 * and loaded with acquire before it: who sees the seq sees the entry.  A slot
 * is used again only KA_DEPTH entries later: the receiver posts receive
 * n + KA_DEPTH after receive n is complete, and the sender writes cell
 * n + KA_DEPTH after cell n was reaped.  In the landing ring land_head (sender) and land_tail
 * (receiver) count bytes; data lies before land_head's release, and room is
 * free after land_tail's.
 *
 * Nothing here is believed: each side copies what it reads once, checks it, and
 * keeps its own counters in its own memory.
 */
#ifndef EMU_RING_H
#define EMU_RING_H

#include "kagent/ka_shm.h"

#define EMU_POST_SEGS 3u   /* of these in the post entry itself */
#define EMU_CELL      256u /* bytes of a completion cell */
#define EMU_CELL_DATA 224u /* of these, payload */
/* The landing ring: larger than what a processor keeps for itself, for then the other one finds it in the
 * cache that they share, if they do. */
#define EMU_LAND (512u << 10)
/* So much is told of at a time, so that the receiver copies it while the next is written. */
#define EMU_LAND_PIECE	 (8u << 10)
#define EMU_LAND_CAREFUL (32u << 10) /* and where each piece takes system calls */
#define EMU_LAND_ALIGN	 64u
#define EMU_HELD_SEGS	 14u /* segments of a message that stays in the sender's memory: a cell names them */

#define EMU_POST_BAD 1u /* the receive descriptor's format is wrong */

struct emu_post {
	uint32_t seq;
	uint16_t nsegs;
	uint16_t flags;
	uint64_t pad;
	struct ka_seg seg[EMU_POST_SEGS];
};

_Static_assert(sizeof(struct emu_post) == 64, "a posted receive is one cache line");

/* What a message is. */
enum emu_op {
	EMU_OP_SEND = 1,
	EMU_OP_WRITE,	  /* RDMA write */
	EMU_OP_WRITE_IMM, /* and it takes a receive */
	EMU_OP_READ,	  /* asks for an RDMA read; with an error: one was refused by the asker's engine */
	EMU_OP_REPLY	  /* the data of the oldest read that was asked for */
};

/* How the data of a message come to their place; high bits of emu_cell.status. */
#define EMU_IN_PLACE 0x00000000u /* the engine has put them there */
#define EMU_IN_CELL  0x40000000u /* they lie in the cell */
#define EMU_IN_LAND  0x80000000u /* they come through the landing ring */
#define EMU_LANDED   0x20000000u /* with EMU_IN_LAND: all of them are there already */
/* In the sender's memory, from which the receiver copies them: the cell names the segments. */
#define EMU_IN_SENDER 0xC0000000u
#define EMU_WHERE     0xC0000000u

struct emu_cell {
	uint32_t seq;
	uint32_t status; /* VIP_STATUS_IMMEDIATE, VIP_STATUS_*_ERROR | EMU_IN_* */
	uint32_t length; /* bytes of the message */
	uint32_t imm;
	uint64_t addr;	 /* RDMA: in the receiver's memory ... */
	uint32_t handle; /* ... through this handle */
	uint32_t op;	 /* enum emu_op */
	uint8_t data[EMU_CELL_DATA];
};

_Static_assert(sizeof(struct emu_cell) == EMU_CELL, "a message and its payload");
_Static_assert(EMU_HELD_SEGS * sizeof(struct ka_seg) == EMU_CELL_DATA, "as many segments as fit");

#define EMU_LINES 4096u /* bytes, with the lines below: a page */

struct emu_dir {
	struct {		    /* tx line */
		uint64_t land_head; /* bytes put into the landing ring */
		uint32_t want_room; /* the sender sleeps until land_tail moves */
		uint32_t dropped;   /* a message found no receive, and it was not told yet */
		uint64_t nonce_at;  /* whoever can read the sender's memory finds the number ... */
		uint64_t nonce;	    /* ... there; both are set before the sender is ready */
		uint8_t pad[32];
	} tx;
	struct {		    /* rx line */
		uint64_t land_tail; /* bytes taken out of it */
		uint64_t reaped;    /* messages whose data are in their final place */
		uint64_t failed;    /* number + 1 of the first message that the receiver could not take ... */
		uint32_t error;	    /* ... and why: VIP_STATUS_REMOTE_DESC_ERROR or ..RDMA_PROT_ERROR */
		uint32_t pulls;	    /* the receiver can read the sender's memory */
		uint8_t pad[32];
	} rx;
	struct {		/* a line that the receiver changes with each message, and ... */
		uint64_t taken; /* ... the sender has not read since, when it looks how far away that is */
		uint8_t pad[56];
	} far;
	uint8_t lines_end[EMU_LINES - 192]; /* what follows can be kept from the peer */
	struct emu_post post[KA_DEPTH];
	struct emu_cell cell[KA_DEPTH];
	struct ka_seg more[KA_DEPTH][256]; /* segments from EMU_POST_SEGS on */
	uint64_t lost[KA_DEPTH]; /* by the receiver: number + 1 of a message whose source was not there any
				     more */
	uint8_t land[EMU_LAND];
};

struct emu_region {
	union {
		struct ka_conn_ctl ctl;
		uint8_t page[KA_CONN_CTL_BYTES];
	};
	struct emu_dir to[2]; /* to[s]: traffic that side s receives */
};

_Static_assert(sizeof(struct emu_region) <= KA_CONN_BYTES, "the agent makes regions of that size");
_Static_assert(offsetof(struct emu_region, to) == KA_CONN_CTL_BYTES,
	       "the NIC's part follows the control page");

static inline uint32_t emu_seq(uint64_t n)
{
	return (uint32_t)(n + 1);
}

/* Round a count of landing bytes up to where the next message starts. */
static inline uint64_t emu_land_align(uint64_t n)
{
	return (n + EMU_LAND_ALIGN - 1) & ~(uint64_t)(EMU_LAND_ALIGN - 1);
}

#endif
