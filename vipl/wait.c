/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* wait.c - see wait.h. */
#include "vipl/wait.h"

/* A wait polls this long before it sleeps. */
#define SPIN_NS 20000u

#define NEVER (~0ull)

/* ms until @end, rounded up; 0: it is over. */
static uint32_t left(uint64_t end)
{
	uint64_t now, ms;

	if (end == NEVER)
		return KA_WAKE_SLICE_MS;
	now = vip_now_ns();
	ms = now < end ? (end - now + 999999u) / 1000000u : 0;
	return ms < KA_WAKE_SLICE_MS ? (uint32_t)ms : KA_WAKE_SLICE_MS;
}

/* As long as nic->sleepers counts us the wake words stay mapped. */
static struct vip_nic *enter(const struct vip_waiter *w, uint32_t *word)
{
	struct vip_nic *nic = NULL;

	vip_lock(w->lock);
	if (vip_obj_is(w->obj, w->handle)) {
		nic = *w->nic;
		*word = *w->word;
		__atomic_add_fetch(&nic->sleepers, 1, __ATOMIC_SEQ_CST);
		ka_store_relaxed(w->sleepers, *w->sleepers + 1); /* a CQ's is looked at without its lock */
	}
	vip_unlock(w->lock);
	return nic;
}

static void leave(const struct vip_waiter *w, struct vip_nic *nic)
{
	vip_lock(w->lock);
	ka_store_relaxed(w->sleepers, *w->sleepers - 1);
	vip_unlock(w->lock);
	__atomic_sub_fetch(&nic->sleepers, 1, __ATOMIC_SEQ_CST);
}

static VIP_RETURN asleep(struct vip_waiter *w, uint64_t end)
{
	struct vip_nic *nic;
	uint32_t word, ms;
	VIP_RETURN r;

	nic = enter(w, &word);
	if (!nic)
		return VIP_INVALID_PARAMETER;
	for (;;) {
		uint32_t armed = vip_word_arm(nic, word);

		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		ms = left(end); /* before the look: what comes until the end is found */
		r = w->look(w);
		if (r != VIP_NOT_DONE || !ms)
			break;
		vip_word_sleep(nic, word, armed, ms);
	}
	leave(w, nic);
	return r;
}

VIP_RETURN vip_wait(struct vip_waiter *w, VIP_ULONG timeout)
{
	uint64_t now = vip_now_ns(), end = NEVER, spin_until = now + SPIN_NS;
	uint32_t ms = vip_timeout(timeout);
	VIP_RETURN r;

	if (ms != KA_INFINITE)
		end = now + (uint64_t)ms * 1000000u;
	if (spin_until > end)
		spin_until = end;
	do {
		r = w->look(w);
	} while (r == VIP_NOT_DONE && vip_now_ns() < spin_until);
	if (r == VIP_NOT_DONE && ms)
		r = asleep(w, end);
	return r == VIP_NOT_DONE ? VIP_TIMEOUT : r;
}
