/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * watch.h - learning that registered memory goes away: munmap, mmap over it,
 * mremap, shmdt, brk.
 *
 * userfaultfd tells, without privilege: whoever takes the memory away waits in
 * the kernel until our thread has read the event.  Before it reads, the thread
 * counts up `revoking`; after the TPT says so too, it counts down.  So whoever
 * sees the unmapping call return, and finds `revoking` 0, finds the TPT right.
 *
 * Invariant: the watching thread unmaps no memory itself (no malloc, no free)
 * and waits for no lock whose holder might, for it could wait for itself.
 * Nobody does who holds nics_lock (here) or an agent's call_lock.
 */
#ifndef VIPL_WATCH_H
#define VIPL_WATCH_H

#include <stdbool.h>

#include "kagent/ka_types.h"
#include "vipl/inside.h"
#include "vipl_ext.h"

struct ka_agent;

/* Start watching, at the first NIC handle; without userfaultfd nothing is watched. */
void vip_watch_open(void);
/* At the last one's end. */
void vip_watch_close(void);
void vip_watch_forked(void);
void vip_watch_tell(struct vipx_hold *hold);

/* Whole pages; false: their loss will not be noticed. */
bool vip_watch_add(uint64_t start, uint64_t length);
void vip_watch_remove(uint64_t start, uint64_t length);

/* What counts while something is being revoked, in this process's own memory. */
extern VIP_INSIDE uint32_t vip_revoking;
/* Wait until it is 0; one load, as a rule. */
VIP_INSIDE void vip_watch_wait(void);

static inline void vip_watch_settle(void)
{
	if (ka_load_acquire(&vip_revoking))
		vip_watch_wait();
}

/*
 * A NIC handle whose memory may go away: @agent is told, and @word, which the
 * NIC's peers can see, is not 0 as long as vip_revoking is.  After _remove
 * neither is used any more.  False: there are too many.
 */
bool vip_watch_nic_add(struct ka_agent *agent, uint32_t *word);
void vip_watch_nic_remove(const uint32_t *word);
/* A peer can set the word, too, and would stop the others: back to what it should be. */
void vip_watch_mend(uint32_t *word);

#endif
