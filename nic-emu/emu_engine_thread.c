/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_engine_thread.c - VIPL_EMU_ENGINE=thread: a thread of the NIC handle copies
 * large messages, so that whoever posts one goes on at once.
 *
 * A VI whose send queue comes to a large message is given to this thread:
 * e->engine says so, under the queue's lock, and everybody else leaves to it
 * what is not sent yet (emu_pump).  The thread takes the VIs in turn.  It goes
 * on with the queue as a poll does, but what is large it copies without the
 * lock, one message, or what the landing ring has room for, in a turn.  It keeps
 * a VI as long as a large message waits for its turn or for room.
 *
 * Nobody waits for a whole copy.  Who takes the connection down has set `down`,
 * which ends the copy after a piece (EMU_PIECE); then emu_engine_leave() waits
 * until the thread is not at the VI.  Who deregisters memory waits for the piece
 * that is being copied (emu_engine_quiet); before each the thread looks
 * whether its memory is still registered.
 *
 * Lock order: a queue's lock, then this thread's.
 */
#include "nic-emu/emu.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "vipl/env.h"

/* What is larger is copied by the thread: to copy this takes a post as long as to wake the thread, some 5 us.
 */
#define INLINE_MAX (64u << 10)

/* Rounds in which nothing moved before the thread sleeps, and how long it does when nobody wakes it. */
#define ROUNDS	 200u
#define SLEEP_NS 10000000u

struct emu_engine {
	struct emu_nic *en;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t given;	     /* there is a VI, or an end */
	pthread_cond_t changed;	     /* for who waits: `at` or `pieces` */
	struct emu_vi *first, *last; /* who waits for a turn, linked by engine_next */
	struct emu_vi *at;	     /* whose turn it is */
	uint64_t pieces;	     /* odd while one of the consumer's memory is being copied */
	uint32_t count;		     /* VIs in the list */
	uint32_t waiting;
	bool fresh;   /* one was given since the last round began */
	bool stalled; /* it sleeps until a peer has made room */
	bool quit;
};

/* Of the thread itself. */
static _Thread_local struct emu_engine *here __attribute__((tls_model("initial-exec")));

/* ---- the list; g->lock held ---- */

static void append(struct emu_engine *g, struct emu_vi *e)
{
	e->engine_next = NULL;
	if (g->first)
		g->last->engine_next = e;
	else
		g->first = e;
	g->last = e;
	g->count++;
}

static struct emu_vi *take_first(struct emu_engine *g)
{
	struct emu_vi *e = g->first;

	g->first = e->engine_next;
	g->count--;
	return e;
}

static void remove_vi(struct emu_engine *g, const struct emu_vi *e)
{
	struct emu_vi **p, *before = NULL;

	for (p = &g->first; *p && *p != e; p = &before->engine_next)
		before = *p;
	if (!*p)
		return;
	*p = e->engine_next;
	if (g->last == e)
		g->last = before;
	g->count--;
}

/* ---- a VI is given and left ---- */

void emu_engine_give(struct emu_vi *e)
{
	struct emu_engine *g = emu_nic(e->vi->nic)->engine;
	bool stalled;

	e->engine = EMU_WAITS;
	pthread_mutex_lock(&g->lock);
	append(g, e);
	g->fresh = true;
	stalled = g->stalled;
	pthread_cond_signal(&g->given);
	pthread_mutex_unlock(&g->lock);
	if (stalled)
		emu_kick(g->en->wake);
}

void emu_engine_begin(struct emu_vi *e)
{
	bool thread = emu_nic(e->vi->nic)->engine && !e->wire;

	e->engine = EMU_INLINE;
	e->inline_max = thread ? INLINE_MAX : UINT64_MAX;
}

/* Wait for something to change; g->lock held. */
static void wait_change(struct emu_engine *g)
{
	g->waiting++;
	pthread_cond_wait(&g->changed, &g->lock);
	g->waiting--;
}

void emu_engine_leave(struct emu_vi *e)
{
	struct emu_engine *g = emu_nic(e->vi->nic)->engine;

	if (!g)
		return;
	/* who was about to give it has done so, and nobody does after this */
	vip_lock(&e->vi->q[VIP_SQ].lock);
	e->inline_max = UINT64_MAX;
	vip_unlock(&e->vi->q[VIP_SQ].lock);
	pthread_mutex_lock(&g->lock);
	while (g->at == e)
		wait_change(g);
	remove_vi(g, e);
	pthread_mutex_unlock(&g->lock);
}

/* ---- copying without the queue's lock ---- */

void emu_engine_copies(struct emu_vi *e)
{
	static const bool careful = true;

	e->engine = EMU_COPIES;
	e->l.tx_careful = &careful; /* the queue's own is for who has its lock */
	vip_queue_leave(&e->vi->q[VIP_SQ]);
}

void emu_engine_copied(struct emu_vi *e, bool moved)
{
	vip_queue_enter(&e->vi->q[VIP_SQ]);
	e->l.tx_careful = &e->vi->q[VIP_SQ].careful;
	e->engine = moved ? EMU_HAD_TURN : EMU_RUNS;
}

bool emu_engine_touch(const struct vip_nic *nic, uint32_t handle)
{
	struct ka_tpt_entry t;

	if (!here)
		return true;
	pthread_mutex_lock(&here->lock);
	here->pieces++;
	pthread_mutex_unlock(&here->lock);
	return ka_tpt_check(nic->tpt, nic->idle, handle, 0, 0, KA_TAG_DEFAULT, 0, &t);
}

void emu_engine_touched(void)
{
	if (!here)
		return;
	pthread_mutex_lock(&here->lock);
	here->pieces++;
	if (here->waiting)
		pthread_cond_broadcast(&here->changed);
	pthread_mutex_unlock(&here->lock);
}

void emu_engine_quiet(struct emu_nic *en)
{
	struct emu_engine *g = en->engine;
	uint64_t before;

	if (!g)
		return;
	pthread_mutex_lock(&g->lock);
	before = g->pieces;
	while ((before & 1) && g->pieces == before)
		wait_change(g);
	pthread_mutex_unlock(&g->lock);
}

/* ---- the thread ---- */

/* The turn of a VI; @last: about to sleep.  Returns whether it is to come again; @moved: something was done.
 */
static bool turn(struct emu_engine *g, struct emu_vi *e, bool last, bool *moved)
{
	struct vip_queue *q = &e->vi->q[VIP_SQ];
	bool left, down, again;
	uint32_t *want;

	vip_queue_enter(q);
	want = &e->l.region->to[1 - e->l.side].tx.want_room;
	if (ka_load_relaxed(want) != last)
		__atomic_store_n(want, last, __ATOMIC_SEQ_CST); /* before the look at what room there is */
	e->engine = EMU_RUNS;
	left = emu_pump(e);
	down = emu_down(&e->l);
	again = left && !down && (e->engine == EMU_HAD_TURN || e->streaming);
	if (e->engine == EMU_HAD_TURN || !again)
		*moved = true;
	else if (last)
		emu_kick_peer(e);
	e->engine = again ? EMU_WAITS : EMU_INLINE;
	if (again)
		ka_store_relaxed(&e->unfinished, 0);
	if (!again && (left || e->unreaped))
		vip_unfinished(e->vi);
	if (!again && left)
		emu_call_progress(e);
	if (e->unreaped && emu_has_sleeper(q))
		emu_take_over(g->en);
	if (down)
		emu_kick_for(g->en->wake, e->vi->q[VIP_RQ].word); /* the progress thread sees to that */
	vip_queue_leave(q);
	return again;
}

/* Each VI in the list has a turn; g->lock held.  True: something moved. */
static bool one_round(struct emu_engine *g, bool last)
{
	bool moved = false, again;
	uint32_t n;

	g->fresh = false;
	for (n = g->count; n && g->first; n--) {
		struct emu_vi *e = g->at = take_first(g);

		pthread_mutex_unlock(&g->lock);
		again = turn(g, e, last, &moved);
		pthread_mutex_lock(&g->lock);
		g->at = NULL;
		if (again)
			append(g, e);
		if (g->waiting)
			pthread_cond_broadcast(&g->changed);
	}
	return moved;
}

static void *engine(void *arg)
{
	struct emu_engine *g = here = arg;
	uint32_t round = 0;

	vip_foreign = true;
	pthread_mutex_lock(&g->lock);
	while (!g->quit) {
		uint32_t *kicks = &g->en->wake[KA_WAKE_PROGRESS].word;
		uint32_t before = __atomic_load_n(kicks, __ATOMIC_SEQ_CST);
		bool last = round == ROUNDS;

		if (!g->first) {
			round = 0;
			pthread_cond_wait(&g->given, &g->lock);
		} else if (one_round(g, last)) {
			round = 0;
		} else if (!last) {
			round++;
			pthread_mutex_unlock(&g->lock);
			sched_yield();
			pthread_mutex_lock(&g->lock);
		} else {
			round = 0;
			g->stalled = !g->fresh;
			pthread_mutex_unlock(&g->lock);
			if (g->stalled)
				vip_futex_sleep(kicks, before, SLEEP_NS);
			pthread_mutex_lock(&g->lock);
			g->stalled = false;
		}
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

int emu_engine_open(struct vip_nic *nic)
{
	int choice = vip_env_choice(VIP_ENV_EMU_ENGINE), err;
	struct emu_nic *en = emu_nic(nic);
	struct emu_engine *g;
	char why[200];

	nic->beside = choice == 1;
	if (choice < 0) {
		vip_why("%s", vip_env_why(VIP_ENV_EMU_ENGINE, why, sizeof(why)));
		return -EINVAL;
	}
	if (choice == 0)
		return 0;
	g = calloc(1, sizeof(*g));
	if (!g) {
		vip_why("no memory for the engine's thread");
		return -ENOMEM;
	}
	g->en = en;
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->given, NULL);
	pthread_cond_init(&g->changed, NULL);
	err = -pthread_create(&g->thread, NULL, engine, g);
	if (err) {
		vip_why("cannot start the engine's thread: %s", strerror(-err));
		free(g);
		return err;
	}
	en->engine = g;
	return 0;
}

void emu_engine_close(struct emu_nic *en)
{
	struct emu_engine *g = en->engine;

	if (!g)
		return;
	pthread_mutex_lock(&g->lock);
	g->quit = true;
	pthread_cond_signal(&g->given);
	pthread_mutex_unlock(&g->lock);
	pthread_join(g->thread, NULL);
	pthread_mutex_destroy(&g->lock);
	pthread_cond_destroy(&g->given);
	pthread_cond_destroy(&g->changed);
	free(g);
	en->engine = NULL;
}
