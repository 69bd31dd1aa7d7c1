/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_progress.c - the progress thread of a NIC handle.
 *
 * It does what no call of the consumer is there to do: it goes on with sends
 * that could not be finished when they were posted, empties the landing ring
 * for an owner who makes no call, and sees a connection end.  It sleeps until it
 * is kicked (by this process or by a peer).  While a send is unfinished it leaves
 * it to a consumer who polls, for it would only take the processor from him;
 * when nobody has polled for a moment, or the consumer goes to sleep, it polls
 * itself, and then tells the peer that it wants room, wakes the peer's progress
 * thread and sleeps.
 *
 * Of the VIs it looks at those for which it was kicked, and at those that have
 * something left (`left` of the NIC handle: the bit is cleared before the look,
 * and set by whoever leaves something); at all of them once a second.
 */
#include "nic-emu/emu.h"

#include <sched.h>
#include <signal.h>
#include <string.h>

#include "vipl/watch.h"

/* Rounds of polling before the progress thread sleeps, and how long it does while work is left. */
#define ROUNDS	      200
#define BUSY_SLEEP_MS 10u
#define MS	      1000000ull /* ns */
#define LOOK_MS	      1u	 /* how long a consumer may not have polled before its work is taken over */
#define ALL_MS	      1000u	 /* how often all VIs are looked at */

struct turn {
	struct vip_nic *nic;
	bool takeover; /* do not leave unfinished sends to a consumer who polls */
	bool busy;     /* work is left that will not come by itself */
	bool polled;   /* work is left to a consumer who polls */
	bool last;     /* about to sleep: ask the peers for what is missing */
	uint64_t due;  /* when a model of a link wants to run, ns */
};

void emu_leave(struct emu_vi *e)
{
	struct emu_nic *en = emu_nic(e->vi->nic);
	uint32_t word = e->vi->q[VIP_RQ].word;
	uint64_t *left = &en->left[word / 64], bit = 1ull << word % 64;

	if (!(ka_load_relaxed(left) & bit))
		__atomic_fetch_or(left, bit, __ATOMIC_SEQ_CST);
	if (ka_load_relaxed(&e->unreaped))
		ka_store_release(&en->unreaped, 1);
}

void emu_call_progress(struct emu_vi *e)
{
	struct emu_nic *en = emu_nic(e->vi->nic);

	emu_leave(e);
	if (!__atomic_exchange_n(&en->work, 1, __ATOMIC_SEQ_CST))
		emu_kick(en->wake);
}

void emu_take_over(struct emu_nic *en)
{
	__atomic_store_n(&en->takeover, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&en->work, __ATOMIC_SEQ_CST) || __atomic_load_n(&en->unreaped, __ATOMIC_SEQ_CST))
		emu_kick(en->wake);
}

void emu_asleep(struct vip_nic *nic)
{
	emu_take_over(emu_nic(nic));
}

/* The receive queue's half; true when the send queue has something to do. */
static bool turn_recv(struct vip_vi *vi, struct turn *t, bool *dropped, bool *down)
{
	struct emu_vi *e;
	bool reads = false;

	vip_queue_enter(&vi->q[VIP_RQ]);
	e = vi->link;
	if (e) {
		uint32_t *flag = &e->l.region->to[e->l.side].tx.dropped;

		reads = emu_drain(e);
		emu_tell_of_room(e);
		if (e->draining) {
			t->busy = true;
			emu_leave(e);
		}
		*dropped = ka_load_relaxed(flag) && __atomic_exchange_n(flag, 0, __ATOMIC_SEQ_CST);
		*down = emu_vi_down(vi) != NIC_UP;
	}
	vip_queue_leave(&vi->q[VIP_RQ]);
	return reads;
}

static void turn_send(struct vip_vi *vi, struct turn *t, bool reads)
{
	struct emu_vi *e;

	vip_queue_enter(&vi->q[VIP_SQ]);
	e = vi->link;
	if (e) {
		uint32_t *want = &e->l.region->to[1 - e->l.side].tx.want_room;
		bool left = ka_load_relaxed(&e->unfinished);

		if (left && !reads && !t->takeover && !e->wire && e->polls != e->polls_seen) {
			t->polled = true;
			emu_leave(e);
		} else {
			/* what the kernel sends says by itself whether it wants room */
			if (!emu_is_engines(e) && e->doorbell < 0)
				ka_store_relaxed(want, 0);
			left = emu_pump(e);
			if (left && t->last && e->doorbell < 0)
				__atomic_store_n(want, 1, __ATOMIC_SEQ_CST);
			if (left && t->last)
				emu_kick_peer(e);
			t->busy |= left;
			if (left && e->wire_next < t->due)
				t->due = e->wire_next;
		}
		/* the consumer sleeps until the peer has reaped: the peer's consumer may be asleep, too */
		if (t->takeover && ka_load_relaxed(&e->unreaped))
			emu_kick_peer(e);
		e->polls_seen = e->polls;
	}
	vip_queue_leave(&vi->q[VIP_SQ]);
}

static void turn_vi(void *obj, void *arg)
{
	struct vip_vi *vi = obj;
	struct turn *t = arg;
	bool dropped = false, down = false, reads;

	if (ka_load_relaxed(&vi->nic) != t->nic)
		return;
	reads = turn_recv(vi, t, &dropped, &down);
	turn_send(vi, t, reads);
	if (dropped)
		vip_async(vi->nic, vi, VIP_ERROR_RECVQ_EMPTY, VIP_RESOURCE_VI, NULL);
	if (down)
		vip_vi_check(vi);
}

static void take_left(struct emu_nic *en, uint64_t todo[KA_WAKE_GROUPS])
{
	uint32_t g;

	for (g = 0; g < KA_WAKE_GROUPS; g++) {
		if (ka_load_relaxed(&en->left[g]))
			todo[g] |= __atomic_exchange_n(&en->left[g], 0, __ATOMIC_SEQ_CST);
	}
}

static void take_calls(struct emu_nic *en, uint64_t todo[KA_WAKE_GROUPS])
{
	uint64_t all[KA_WAKE_GROUPS], bits;
	uint32_t g = 0, i;

	memset(all, 0xff, sizeof(all));
	for (i = 0; i < KA_WAKE_GROUPS; i++) {
		bits = ka_wake_take(en->wake, KA_WAKE_CALLS, KA_WAKE_PROGRESS, all, &g);
		if (!bits)
			break;
		todo[g] |= bits;
	}
}

/* Those that have asked, and those that have something left. */
static void turn_some(struct emu_nic *en, struct turn *t)
{
	uint64_t todo[KA_WAKE_GROUPS] = {0};
	uint32_t g;

	take_calls(en, todo);
	take_left(en, todo);
	for (g = 0; g < KA_WAKE_GROUPS; g++) {
		while (todo[g]) {
			struct vip_vi *vi = ka_load_acquire(
				&t->nic->by_word[g * 64 + (uint32_t)__builtin_ctzll(todo[g])]);

			todo[g] &= todo[g] - 1;
			if (vi)
				turn_vi(vi, t);
		}
	}
}

/* How long until @due, ns; @most. */
static uint64_t until(uint64_t due, uint64_t most)
{
	uint64_t now = vip_now_ns();

	return due <= now ? 0 : due - now < most ? due - now : most;
}

void *emu_progress(void *arg)
{
	struct vip_nic *nic = arg;
	struct emu_nic *en = emu_nic(nic);
	uint32_t *word = &en->wake[KA_WAKE_PROGRESS].word;
	uint64_t all_at = 0;
	int round = 0;

	vip_foreign = true;
	while (!ka_load_acquire(&en->quit)) {
		uint32_t before = __atomic_load_n(word, __ATOMIC_SEQ_CST);
		struct turn t = {.nic = nic, .last = round == ROUNDS, .due = UINT64_MAX};

		ka_store_release(&en->work, 0);
		ka_store_release(&en->unreaped, 0);
		t.takeover = __atomic_exchange_n(&en->takeover, 0, __ATOMIC_SEQ_CST) || round;
		if (vip_now_ns() >= all_at) {
			vip_watch_mend(&en->wake[KA_WAKE_REVOKING].word);
			vip_obj_each(VIP_T_VI, turn_vi, &t);
			all_at = vip_now_ns() + ALL_MS * MS;
		}
		turn_some(en, &t);
		if (t.busy || t.polled)
			ka_store_release(&en->work, 1);
		if (__atomic_load_n(&en->takeover, __ATOMIC_SEQ_CST) &&
		    (ka_load_relaxed(&en->work) || ka_load_relaxed(&en->unreaped))) {
			round = 0; /* somebody went to sleep meanwhile */
		} else if (t.polled && !t.busy) {
			round = 0;
			vip_futex_sleep(word, before, LOOK_MS * MS);
		} else if (!t.busy) {
			round = 0;
			vip_futex_sleep(word, before, until(all_at, ALL_MS * MS));
		} else if (t.last) {
			round = 0;
			vip_futex_sleep(word, before, until(t.due, BUSY_SLEEP_MS * MS));
		} else {
			round++;
			sched_yield();
		}
	}
	return NULL;
}
