/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stress.h - messages that can be told from each other and from rubbish, and
 * two processes that send each other as many of them as they can.
 */
#ifndef CONFORMANCE_STRESS_H
#define CONFORMANCE_STRESS_H

#include "suite.h"

/* How every message begins. */
struct head {
	uint64_t sum; /* of all that follows */
	uint64_t seq;
	uint32_t len; /* of the whole message */
	uint32_t credit;
	uint32_t line;
	uint32_t spare;
};

/* Fill the message's bytes behind its head, and its sum. */
void seal(struct head *h);
/* Fails the check when @len bytes at @at are not such a message. */
void verify(const void *at, uint32_t len);

/* Which of the last WINDOW numbers have come. */
#define WINDOW 65536u

struct seen {
	uint64_t next;
	uint64_t bits[WINDOW / 64];
};

/* False: @seq has come before.  What is older than the window passes. */
bool first_time(struct seen *s, uint64_t seq);

/*
 * TWO: both sides send on @vis VIs for @ms.  Reliable levels: with credits;
 * exactly once, in order.  Unreliable: without; what comes is right, and comes
 * once.  Fails the check otherwise.
 */
#define MAX_LINES 8

struct stress {
	int vis; /* at most MAX_LINES */
	uint64_t ms;
	bool may_break; /* a connection may break, a message may come damaged if its status says so */
	/* what was seen */
	uint64_t sent, received;
	int broken;
};

void stress(struct run *r, struct stress *s);
/* Give its VIs back, and the block with them; the other side may hear of lost connections. */
void stress_close(struct run *r, struct stress *s);

#endif
