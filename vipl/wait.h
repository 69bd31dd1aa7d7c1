/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wait.h - waiting for a queue or a completion queue: poll for a moment, then
 * sleep on its wake word; look again at least every KA_WAKE_SLICE_MS, for a
 * peer could take a wake-up away.
 */
#ifndef VIPL_WAIT_H
#define VIPL_WAIT_H

#include "vipl/internal.h"

#include <time.h>

struct vip_wait {
	uint64_t spin_until; /* ns */
	uint64_t end;	     /* ns; ~0 never */
};

static inline uint64_t vip_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline void vip_wait_begin(struct vip_wait *w, VIP_ULONG timeout, uint32_t spin_ns)
{
	uint64_t now = vip_now_ns();
	uint32_t ms = vip_timeout(timeout);

	w->end = ms == KA_INFINITE ? ~0ull : now + (uint64_t)ms * 1000000u;
	w->spin_until = now + spin_ns < w->end ? now + spin_ns : w->end;
}

static inline bool vip_wait_spin(const struct vip_wait *w)
{
	return vip_now_ns() < w->spin_until;
}

static inline bool vip_wait_over(const struct vip_wait *w)
{
	return w->end != ~0ull && vip_now_ns() >= w->end;
}

/* How long to sleep now, ms, rounded up. */
static inline uint32_t vip_wait_left(const struct vip_wait *w)
{
	uint64_t now = vip_now_ns(), left;

	if (w->end == ~0ull)
		return KA_WAKE_SLICE_MS;
	left = now < w->end ? (w->end - now + 999999u) / 1000000u : 0;
	return left < KA_WAKE_SLICE_MS ? (uint32_t)left : KA_WAKE_SLICE_MS;
}

/*
 * Between enter and leave the NIC handle's wake words stay mapped, and whoever
 * completes something under @lock sees that somebody sleeps.  enter is false
 * when the object has no longer the handle.
 */
static inline bool vip_wait_enter(struct vip_nic *nic, const struct vip_obj *obj, const void *handle,
				  pthread_mutex_t *lock, uint32_t *sleepers)
{
	bool alive;

	pthread_mutex_lock(lock);
	alive = vip_obj_is(obj, handle);
	if (alive) {
		__atomic_add_fetch(&nic->sleepers, 1, __ATOMIC_SEQ_CST);
		++*sleepers;
	}
	pthread_mutex_unlock(lock);
	return alive;
}

static inline void vip_wait_leave(struct vip_nic *nic, pthread_mutex_t *lock, uint32_t *sleepers)
{
	pthread_mutex_lock(lock);
	--*sleepers;
	pthread_mutex_unlock(lock);
	__atomic_sub_fetch(&nic->sleepers, 1, __ATOMIC_SEQ_CST);
}

#endif
