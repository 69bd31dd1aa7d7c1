/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mem.h - registered memory, between those who keep it: mem.c (registration),
 * gone.c (memory that has gone) and regcache.c (what is kept for later).
 */
#ifndef VIPL_MEM_H
#define VIPL_MEM_H

#include "vipl/internal.h"

/*
 * It makes lock, question and obedience one step: between the agent's answer
 * to one thread and its munlock, no other thread can register a page that is
 * about to be unlocked.  It is process-wide, as locked pages are.
 */
extern pthread_mutex_t vip_mem_lock;

static inline struct vip_region *vip_region_of(const struct vip_nic *nic, uint32_t handle)
{
	return &nic->region[(handle & 0xffff) % KA_TPT_ENTRIES];
}

/* Ask the agent, and unlock what its answer tells; vip_mem_lock held. */
int vip_mem_ask(struct ka_agent *agent, struct ka_req *req, struct ka_rep *rep);

/* Deregister: the agent forgets the region, and so do we; vip_mem_lock held.  0 or negative errno. */
int vip_mem_leave(struct vip_nic *nic, uint64_t start, VIP_MEM_HANDLE mem);

/* Counts losses that are in the TPT. */
uint32_t vip_gone_losses(void);

/* ---- gone.c; vip_mem_lock held ---- */

/* [start, end) is being registered: it may go away before the agent has it in the TPT. */
void vip_gone_begin(uint64_t start, uint64_t end);
/* It is; true: it has gone meanwhile. */
bool vip_gone_end(void);
/* How @r, of memory of this enum lmm_kind, must be looked at from now on. */
void vip_gone_see(const struct ka_tpt_entry *e, bool watched, struct vip_region *r);
/* The same where the agent sees to that: it may only shrink. */
void vip_gone_see_pinned(const struct ka_tpt_entry *e, struct vip_region *r);
/*
 * What was registered where the new area lies may have gone without a word; the
 * new lock would make it look as if it were there.  Tell the agent before.
 */
void vip_gone_lose_old(const struct vip_region *fresh);
void vip_gone_forked(void);

#endif
