/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * frames.h - the cases of test_frames.c: frames that a hostile peer says, and what must come of it.
 *
 *   frames_say.c       what they are made of
 *   frames_nonsense.c  what no end of ours would say
 *   frames_bare.c      the same, without a header
 *   frames_rules.c     what breaks a rule of VIPL; what is right, or does no harm
 */
#ifndef FRAMES_H
#define FRAMES_H

#include "hostile.h"

#define U      1u
#define RD     2u
#define RR     4u
#define ANY    (U | RD | RR)
#define WHOLE  (VERBS_F_FIRST | VERBS_F_LAST)
#define NOBODY UINT32_MAX /* no receive was taken */
#define RKEY   0x1234u

struct hostile {
	const char *name; /* NULL: the end of the table */
	void (*say)(void);
	unsigned int levels, variants;
	bool no_rdma, ends;
	int code;		/* the asynchronous error; -1: none */
	uint32_t recv;		/* what the first receive comes back with; NOBODY */
	uint32_t reason, error; /* VERBS_DOWN; at Reliable Reception, of the first message */
};

#define NONSENSE 0, true, VIP_ERROR_CONN_LOST, NOBODY, VERBS_ERROR, 0
#define HARMLESS 0, false, -1, NOBODY, 0, 0
#define TAKEN	 0, false, -1, 0, 0, 0

extern const struct hostile frames_nonsense[], frames_bare[], frames_rules[];

extern struct victim victim;
extern unsigned int variant; /* of the case that runs */
extern bool eager; /* the consumer takes each frame, if he is faster than the progress thread; and ... */
extern VIP_DESCRIPTOR *came; /* ... the first receive that came back, or NULL */
extern uint8_t source[2 * AREA];

uint64_t at_of(enum area a);
struct verbs_frame rdma(uint8_t type, uint64_t addr, uint32_t handle, uint32_t total);
void say_send(uint32_t flags, uint64_t seq, uint32_t total, uint32_t at, uint32_t n);
/* With @n bytes behind it. */
void say_head(struct verbs_frame f, uint32_t n);
/* @n bytes without a header. */
void say_bare(uint32_t word, uint32_t n);
/* A message that is to be read from these windows. */
void say_windows(struct verbs_frame f, uint32_t bytes, const struct verbs_window *w);
/* The victim sends a message, and one is under way. */
void victim_sends(void);
void victim_reads(uint32_t bytes);

#endif
