/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lock.h - the lock of a work queue or completion queue.  Every call of a small
 * message takes it once, and it is hardly ever held by somebody else: one atomic
 * exchange to take it and a store to release it, where a mutex of the C library
 * takes two atomic operations and five times as many instructions.
 */
#ifndef VIPL_LOCK_H
#define VIPL_LOCK_H

#include <stdbool.h>

#include "kagent/ka_types.h"
#include "vipl/inside.h"

struct vip_lock {
	uint32_t held;
};

/* Somebody has it: spin for a moment, then let others run, his thread among them. */
VIP_INSIDE void vip_lock_wait(struct vip_lock *l);

/* A full barrier (on x86-64 any exchange is): vip_queues_quiet() looks who has it after a change. */
static inline bool vip_trylock(struct vip_lock *l)
{
	return !__atomic_exchange_n(&l->held, 1, __ATOMIC_SEQ_CST);
}

static inline void vip_lock(struct vip_lock *l)
{
	if (__builtin_expect(!vip_trylock(l), 0))
		vip_lock_wait(l);
}

static inline void vip_unlock(struct vip_lock *l)
{
	ka_store_release(&l->held, 0);
}

#endif
