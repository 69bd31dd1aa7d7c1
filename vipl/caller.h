/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * caller.h - who calls the consumer's handlers: of asynchronous errors
 * (async.c) and of notifications (notify.c).
 *
 * A caller makes one call at a time, in a thread of its own that blocks all
 * signals and is there only while there is something to call for, and a moment
 * longer.  No lock is held during a call: a handler may block, and may call
 * anything, also what ends its own caller.  Callers do not wait for each
 * other.
 *
 * A caller lives until both its owner and its thread have let it go, so it
 * never looks into an owner that has become another object meanwhile.
 */
#ifndef VIPL_CALLER_H
#define VIPL_CALLER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct vip_caller {
	pthread_mutex_t lock; /* innermost but one: waits_lock (caller.c) */
	pthread_cond_t change;
	/*
	 * Take one thing, counting `todo` down, and make its call; lock held, and
	 * released meanwhile.  May set `ended`.
	 */
	void (*turn)(struct vip_caller *c);
	/* Give it back with what it still holds. */
	void (*destroy)(struct vip_caller *c);
	uint32_t todo;		  /* things to call for */
	uint32_t refs;		  /* owner, thread, and who waits for a turn's end */
	uint64_t turns;		  /* so far */
	bool busy;		  /* in a turn */
	bool running;		  /* the thread is there */
	bool ended;		  /* no turn begins any more */
	struct vip_caller *waits; /* its thread waits for the end of that one's turn; under waits_lock */
	struct vip_caller *next;  /* in a list of those to end */
};

void vip_caller_init(struct vip_caller *c, void (*turn)(struct vip_caller *),
		     void (*destroy)(struct vip_caller *));

/* There is one thing more, already put in its place; lock held.  False: no thread can be had; take it back.
 */
bool vip_caller_add(struct vip_caller *c);

/*
 * Return when the turn that is under way is over; lock held, and released.  At
 * once where that would be waiting for oneself: in that turn's own handler, or
 * in one whose end that handler waits for.
 */
void vip_caller_settle(struct vip_caller *c);

/* Each in the list (linked by next): no turn begins any more; settle; let go.  No lock held. */
void vip_callers_end(struct vip_caller *list);

/* In the child after a fork: no caller has a thread, but the one that forked. */
void vip_callers_forked(void);

#endif
