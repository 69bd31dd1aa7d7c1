/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_frame.h - what two ends of a VI connection tell each other over their
 * reliable queue pair: frames, each one IBV_WR_SEND into a buffer of the
 * receiver's shared receive queue.
 *
 * The queue pair delivers frames exactly once and in order, or breaks.  What
 * VIPL's levels demand beyond that is made here: the receiving side takes the
 * posted receive, checks lengths, handles, tags and rights by its own TPT, puts
 * the bytes in place and answers; so a message that finds no receive, or one
 * that is too small, breaks no queue pair.
 *
 * What makes up most of what is sent has no header, that it may be one packet of
 * the network and not two: a send without immediate data, in one frame, and all
 * frames of a message but the first.  Their data begin with byte 0, and the
 * immediate data of the work request (IBV_WR_SEND_WITH_IMM) says which of the
 * two, and the low bits of the message's number.
 *
 * A message (a send, an RDMA write, the answer to an RDMA read) is one frame or
 * several in sequence, each with a part of the data (eager); or, when it is
 * large and the level reliable, one frame that names memory windows, from which
 * the receiver reads it by RDMA straight to its place (VERBS_F_PULL).  A window
 * is of type 2: bound to this queue pair, to these bytes, for this transfer; with the
 * answer it goes.
 *
 * Both ends have the same byte order, that of x86-64 and arm64: little-endian.
 */
#ifndef VERBS_FRAME_H
#define VERBS_FRAME_H

#include <stdint.h>

#define VERBS_PROTOCOL 2u		   /* changes with anything here, or in verbs_hello.h */
#define VERBS_FRAME    (16u << 10)	   /* bytes of data in a frame, at most */
#define VERBS_BUFFER   (VERBS_FRAME + 64u) /* bytes of a receive buffer: with a header */
#define VERBS_WINDOWS  4u		   /* segments that a pulled message may have */

enum verbs_type {
	VERBS_SEND = 1,
	VERBS_WRITE,  /* RDMA write */
	VERBS_READ,   /* asks for an RDMA read: addr, handle, total; seq is its number among reads */
	VERBS_ANSWER, /* to the read number seq; with an error: VIP_STATUS_RDMA_PROT_ERROR, no data */
	VERBS_DONE,   /* messages below seq are in place: Reliable Reception, and what was pulled */
	VERBS_DOWN, /* the connection ends: reason, and at Reliable Reception which message failed, and how */
};

#define VERBS_F_FIRST 0x01u
#define VERBS_F_LAST  0x02u
#define VERBS_F_IMM   0x04u /* imm is there; a write takes a receive */
#define VERBS_F_PULL  0x08u /* no data: windows follow the header */
#define VERBS_F_ERROR 0x10u /* the rest of the message will not come: `error` */

#define VERBS_F_ALL 0x1fu

/* Why a connection goes down, as who ends it tells. */
enum verbs_reason {
	VERBS_DISCONNECT = 1, /* VipDisconnect, or the VI is destroyed */
	VERBS_EMPTY,	      /* a message found no receive here */
	VERBS_ERROR,	      /* a descriptor here is in error */
};

struct verbs_frame {
	uint8_t type;
	uint8_t flags;
	uint16_t reason; /* VERBS_DOWN */
	uint32_t error;	 /* VIP_STATUS_*_ERROR, or 0 */
	uint64_t seq;	 /* of the message: sends and RDMA writes of a connection count from 0 */
	uint64_t addr;	 /* RDMA: in the receiver's memory */
	uint32_t handle;
	uint32_t imm;
	uint32_t total; /* bytes of the whole message */
	uint32_t at;	/* the first byte of this frame's part */
};
_Static_assert(sizeof(struct verbs_frame) == 40, "the header");

/* The data behind it. */
static inline uint8_t *verbs_frame_data(const struct verbs_frame *f)
{
	return (uint8_t *)(f + 1);
}

/* The immediate data of a frame without a header, in network order: a send, whole; or the next part of the
 * message whose first part came before, with that one's number. */
#define VERBS_BARE_PART 0x80000000u
#define VERBS_BARE_SEQ	0x7fffffffu

/* VERBS_F_PULL: 1 to VERBS_WINDOWS of them, as `total` demands. */
struct verbs_window {
	uint64_t addr;
	uint32_t rkey;
	uint32_t len;
};

#endif
