/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fake_host.h - a host of the agent's core for unit tests: memory that can
 * run out on demand and is counted, an address space that is made up, and
 * events that are kept for the test to look at.
 *
 * The made-up address space, the same for each process:
 *   from PRIVATE_AT     private memory, writable
 *   from READ_ONLY_AT   private memory, not writable
 *   from SEG_AT(n)      an attachment of segment n (1 ..), SEG_BYTES long
 *   anything else       nothing
 * Each of the first two is 1 << 36 bytes long.
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include "kagent/core/core.h"

#define PAGE	     4096ull
#define PRIVATE_AT   (1ull << 36)
#define READ_ONLY_AT (2ull << 36)
#define SEG_AT(n)    ((3ull << 36) + (n) * (1ull << 24))
#define SEGS	     64ull
#define SEG_BYTES    (16 * PAGE)

/* One event, with what was given. */
struct fake_event {
	void *proc;
	struct ka_event event;
	struct ka_give give;
};

struct fake {
	long live;	      /* allocations, NIC memories and regions not yet released */
	long allow;	      /* allocations until they fail; negative: never */
	unsigned int wakes;   /* calls of ka_host_wake() */
	unsigned int nevents; /* events since fake_reset(), of which the last FAKE_EVENTS are kept */
	struct fake_event events[64];
};

#define FAKE_EVENTS 64u

extern struct fake fake;

/* fake_reset - no failure, no events; what lives goes on living. */
void fake_reset(void);

/* fake_last - the last event to @proc, NULL: there was none. */
const struct fake_event *fake_last(const void *proc);

/* fake_rand - the next number of a sequence that @state, not 0, starts. */
uint64_t fake_rand(uint64_t *state);

#endif
