/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm_self.h - a Locked Memory Manager for the calling process (liblmm): areas
 * are locked with mlock, and what they are is read from the process's own
 * mappings.
 *
 * mlock does not stack and is the process's, so a process has one such
 * manager, and uses it or VIPL, not both for the same pages.
 *
 * A child of fork inherits no locks.  The manager that it has a copy of is its
 * parent's: lmm_lock_area() there fails with -ESRCH, and lmm_self_close() frees
 * the copy and unlocks nothing.  The child opens one of its own, before that or
 * after.  The parent's areas stay as they are.
 */
#ifndef LMM_SELF_H
#define LMM_SELF_H

#include "lmm.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * lmm_self_open - the manager of the calling process.
 * @level: how areas are to be held; lmm_lock_area() is to be called with the same.
 *   LMM_LOCKED   mlock, within RLIMIT_MEMLOCK: areas of private memory by
 *                themselves, of a memory object by its whole attachment;
 *   LMM_MAPPED   the pages are made present, once.
 * @m: out.  Released with lmm_self_close().
 * Returns 0; -EBUSY: it is open already; -EINVAL: another level; -ENOMEM; or
 * why /proc/self/maps cannot be opened.
 * Used by one thread at a time, as every manager.
 */
int lmm_self_open(enum lmm_level level, struct lmm **m);

/* lmm_self_close - release all areas, unlock them, and free the manager. NULL is allowed. */
void lmm_self_close(struct lmm *m);

/*
 * lmm_self_why - what was not locked in this thread's last lmm_lock_area(), and
 * why: one line without newline, with the limit, its value, what of it is in use,
 * and the remedy.  It knows more than that function's text, which holds when this
 * is empty.  Not empty although the function succeeded: the area is locked, but
 * not the whole attachment around it.
 * Never NULL; valid until the thread's next lmm_lock_area().
 */
const char *lmm_self_why(void);

#ifdef __cplusplus
}
#endif

#endif
