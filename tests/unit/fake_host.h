/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fake_host.h - a host of the agent's core for unit tests: memory that can
 * run out on demand and is counted, an address space that is made up, and
 * events that are kept for the test to look at.
 *
 * The made-up address space, the same for each process:
 *   from PRIVATE_AT     private memory, writable
 *   from READ_ONLY_AT   private memory, not writable
 *   from SEG_AT(n)      an attachment of System V segment n (1 ..), SEG_BYTES long
 *   from SHMEM_AT(n)    one of memfd n, from its page 2 on
 *   from FILE_AT(n)     one of file n, which may be truncated
 *   from MIXED_AT       one after the other, by pages: 4 private, 4 of segment
 *                       101, 2 private read-only, 2 private, 4 of memfd 102,
 *                       4 of file 103, 4 of segment 104, 8 private; then nothing
 *   from MANY_AT        MANY_PAGES pages, each of a memfd of its own
 *   anything else       nothing
 * Each of the first two is 1 << 36 bytes long.  n goes up to SEGS.
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
#define SHMEM_AT(n)  (SEG_AT(n) + (1ull << 32))
#define FILE_AT(n)   (SEG_AT(n) + (2ull << 32))
#define MIXED_AT     (4ull << 36)
#define MANY_AT	     (5ull << 36)
#define MANY_PAGES   (LMM_MAX_RUNS + 1ull)
#define SHMEM_DEV    7u
#define FILE_DEV     8u

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
