/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wait.h - waiting for a queue or a completion queue: poll for a moment, then
 * sleep on its wake word.
 *
 * No wake-up is lost: the sleeper is counted before it arms the word, and looks
 * once more after; whoever completes something does so under the object's
 * lock, sees the count, and wakes.  A peer that completes something publishes
 * it before it looks at the word.  A peer could take a wake-up away, so a
 * sleeper looks again every KA_WAKE_SLICE_MS.
 *
 * Every wait ends with the peer, for what is posted is flushed then and
 * completes, and with the agent, for the same reason.
 */
#ifndef VIPL_WAIT_H
#define VIPL_WAIT_H

#include "vipl/internal.h"

struct vip_waiter {
	const struct vip_obj *obj; /* with this handle; a stale one ends the wait */
	const void *handle;
	struct vip_nic **nic; /* the rest is the object's own, read and written under @lock */
	struct vip_lock *lock;
	uint32_t *sleepers;
	const uint32_t *word;
	/* Take what is there.  VIP_NOT_DONE: nothing is; VIP_INVALID_PARAMETER: the object has gone. */
	VIP_RETURN (*look)(struct vip_waiter *w);
};

/* Until look() says something else than VIP_NOT_DONE, or VIP_TIMEOUT.  No lock held. */
VIP_RETURN vip_wait(struct vip_waiter *w, VIP_ULONG timeout);

#endif
