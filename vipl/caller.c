/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* caller.c - see caller.h. */
#include "vipl/caller.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

/* How long a thread stays that has nothing to do: the consumer may register again. */
#define PARK_MS 20

static pthread_mutex_t waits_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct vip_caller *self; /* whose thread this is */

void vip_caller_init(struct vip_caller *c, void (*turn)(struct vip_caller *),
		     void (*destroy)(struct vip_caller *))
{
	pthread_condattr_t attr;

	*c = (struct vip_caller){.turn = turn, .destroy = destroy, .refs = 1};
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->change, &attr);
	pthread_condattr_destroy(&attr);
}

/* Lock held, and released. */
static void let_go(struct vip_caller *c)
{
	bool last = --c->refs == 0;

	pthread_mutex_unlock(&c->lock);
	if (!last)
		return;
	pthread_cond_destroy(&c->change);
	pthread_mutex_destroy(&c->lock);
	c->destroy(c);
}

/* Lock held; false: nothing came. */
static bool park(struct vip_caller *c)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += PARK_MS * 1000000L;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (!c->todo && !c->ended && err != ETIMEDOUT)
		err = pthread_cond_timedwait(&c->change, &c->lock, &until);
	return c->todo;
}

static void *run(void *arg)
{
	struct vip_caller *c = self = arg;

	pthread_mutex_lock(&c->lock);
	while (!c->ended && (c->todo || park(c)) && !c->ended) {
		c->busy = true;
		c->turn(c);
		c->busy = false;
		c->turns++;
		pthread_cond_broadcast(&c->change);
	}
	c->running = false;
	self = NULL;
	let_go(c);
	return NULL;
}

static bool start(struct vip_caller *c)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	c->running = pthread_create(&thread, &attr, run, c) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (c->running)
		c->refs++;
	return c->running;
}

bool vip_caller_add(struct vip_caller *c)
{
	if (!c->running && !start(c))
		return false;
	if (!c->todo++)
		pthread_cond_broadcast(&c->change);
	return true;
}

void vip_caller_settle(struct vip_caller *c)
{
	const struct vip_caller *p;
	uint64_t turn = c->turns;

	pthread_mutex_lock(&waits_lock);
	for (p = c; p && p != self; p = p->waits)
		;
	if (!p && self)
		self->waits = c;
	pthread_mutex_unlock(&waits_lock);
	c->refs++;
	while (!p && c->busy && c->turns == turn)
		pthread_cond_wait(&c->change, &c->lock);
	if (!p && self) {
		pthread_mutex_lock(&waits_lock);
		self->waits = NULL;
		pthread_mutex_unlock(&waits_lock);
	}
	let_go(c);
}

void vip_callers_end(struct vip_caller *list)
{
	while (list) {
		struct vip_caller *c = list;

		list = c->next;
		pthread_mutex_lock(&c->lock);
		c->ended = true;
		c->refs--; /* the owner's; settle has its own */
		pthread_cond_broadcast(&c->change);
		vip_caller_settle(c);
	}
}

void vip_callers_forked(void)
{
	pthread_mutex_init(&waits_lock, NULL);
	if (!self)
		return;
	/* the child goes on in a handler: when that returns its thread ends */
	pthread_mutex_init(&self->lock, NULL);
	pthread_cond_init(&self->change, NULL);
	self->ended = true;
	self->waits = NULL;
}
