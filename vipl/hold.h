/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hold.h - how well this process can hold memory, and the calls that do it:
 * mlock, and io_uring's registered buffers, which pin page frames for an
 * unprivileged process.
 *
 * mlock does not stack: which pages may be unlocked is for the agent's locked
 * memory areas to say.  Pins stack: each region has its own.
 *
 * Functions return 0 or negative errno.  All but vip_hold_open() want vip_mem_lock
 * (mem.h).
 */
#ifndef VIPL_HOLD_H
#define VIPL_HOLD_H

#include <stdbool.h>

#include "lmm.h"
#include "vipl_ext.h"

/*
 * vip_hold_open - find out, once for a process, which level holds, and whether
 * VIPL_LOCK_LEVEL asks for another: vip_why() on failure.  -EINVAL: it is no
 * level; -ENOTSUP: the level cannot be had.
 */
int vip_hold_open(void);
void vip_hold_forked(void);

/* The level, and whether a region may have less when the kernel refuses more. */
enum lmm_level vip_hold_level(void);
bool vip_hold_strict(void);
void vip_hold_tell(struct vipx_hold *hold);

/* Whole pages.  lock at LMM_MAPPED: make them present. */
int vip_hold_lock(uint64_t start, uint64_t length);
/* A whole attachment, of which the areas are locked: what is not there is locked when it comes. */
int vip_hold_segment(uint64_t start, uint64_t length);
void vip_hold_unlock(uint64_t start, uint64_t length);

/*
 * vip_hold_pin - @slot: out, for vip_hold_unpin(); 0 is none.
 * -ENOSPC: all pins are in use; -EFAULT: memory that cannot be pinned, or
 * what the kernel said.
 */
int vip_hold_pin(uint64_t start, uint64_t length, uint16_t *slot);
void vip_hold_unpin(uint16_t slot);

#endif
