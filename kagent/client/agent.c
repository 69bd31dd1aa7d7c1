/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * agent.c - the process's connections to kernel agents: one to the process that
 * is an agent, one to the kernel module.
 *
 * A connection serves all NIC handles that the process has there.  Requests go
 * one at a time under call_lock, each answered before the next; events are read
 * by one thread.  When the agent dies the connection is dead for good: a later
 * ka_agent_get makes a new one.
 *
 * Lock order: get_lock, then call_lock.
 */
#include "kagent/client/transport.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kagent/host/limit.h"

struct ka_agent {
	const struct ka_transport *by;
	struct ka_line line;
	int quit; /* eventfd that ends the event thread: */
	int put;  /* the last holder has let go; else the agent is dead */
	unsigned int refs;
	int dead;
	pthread_mutex_t call_lock;
	pthread_t thread;
	const struct ka_agent_ops *ops;
};

static pthread_mutex_t get_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ka_agent *current[2]; /* the process, the module */

/* The one place that tells them apart. */
static const struct ka_transport *transport(const struct ka_agent_at *at, struct ka_agent ***place)
{
	*place = &current[at->device != NULL];
	return at->device ? &ka_device : &ka_socket;
}

bool ka_agent_pins(const struct ka_agent *agent)
{
	return agent->by == &ka_device;
}

int ka_no_agent(char *why, size_t n, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, n, fmt, ap);
	va_end(ap);
	return err;
}

void ka_close_fds(int fds[KA_MAX_FDS])
{
	int i;

	for (i = 0; i < KA_MAX_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

bool ka_agent_same_ipc(const struct ka_agent *agent)
{
	return agent->line.same_ipc;
}

bool ka_agent_is_dead(const struct ka_agent *agent)
{
	return ka_load_relaxed(&agent->dead);
}

static void end_thread(struct ka_agent *a)
{
	uint64_t one = 1;

	while (write(a->quit, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

int ka_agent_call(struct ka_agent *agent, const struct ka_req *req, struct ka_rep *rep, int fds[KA_MAX_FDS],
		  void *tail, size_t tail_bytes)
{
	int mine[KA_MAX_FDS] = {-1, -1, -1}, err = -ECONNRESET;

	pthread_mutex_lock(&agent->call_lock);
	if (!ka_agent_is_dead(agent)) {
		err = agent->by->call(agent->line.call_fd, req, rep, mine, tail, tail_bytes);
		if (err) {
			/* out of step for good: the event thread tells everybody */
			ka_store_relaxed(&agent->dead, 1);
			end_thread(agent);
		}
	}
	pthread_mutex_unlock(&agent->call_lock);
	if (err) {
		memset(rep, 0, sizeof(*rep));
		rep->err = -ECONNRESET;
		snprintf(rep->text, sizeof(rep->text),
			 "the kernel agent is gone: close the NIC handle and open it again");
	}
	if (!fds || rep->err) {
		ka_close_fds(mine);
	}
	if (fds)
		memcpy(fds, mine, sizeof(mine));
	return rep->err;
}

static void *event_thread(void *arg)
{
	struct ka_agent *a = arg;
	struct pollfd p[2] = {{.fd = a->line.event_fd, .events = POLLIN}, {.fd = a->quit, .events = POLLIN}};
	struct ka_event ev;
	int fds[KA_MAX_FDS], err = 0;

	while (!err || err == -EAGAIN) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents && ka_load_acquire(&a->put))
			return NULL;
		if (p[1].revents)
			break;
		err = a->by->event(a->line.event_fd, &ev, fds);
		if (!err)
			a->ops->event(a, &ev, fds);
	}
	ka_store_relaxed(&a->dead, 1);
	/* wakes a caller that waits for an answer */
	if (a->by->cut)
		a->by->cut(a->line.call_fd);
	a->ops->dead(a);
	return NULL;
}

static void close_line(const struct ka_line *line)
{
	close(line->call_fd);
	if (line->event_fd != line->call_fd)
		close(line->event_fd);
}

static int connect_new(const struct ka_transport *by, const struct ka_agent_at *at,
		       const struct ka_agent_ops *ops, struct ka_agent **out, char *why, size_t n)
{
	struct ka_agent *a = calloc(1, sizeof(*a));
	sigset_t all, old;
	int err;

	if (!a) {
		snprintf(why, n, "out of memory");
		return -ENOMEM;
	}
	a->by = by;
	a->ops = ops;
	pthread_mutex_init(&a->call_lock, NULL);
	err = by->hello(at, &a->line, why, n);
	if (err)
		goto free_agent;
	a->quit = eventfd(0, EFD_CLOEXEC);
	if (a->quit < 0) {
		err = limit_files(why, n, errno, "the agent's events");
		goto close_line;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&a->thread, NULL, event_thread, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		snprintf(why, n, "cannot start a thread: %s", strerror(-err));
		goto close_quit;
	}
	*out = a;
	return 0;

close_quit:
	close(a->quit);
close_line:
	close_line(&a->line);
free_agent:
	free(a);
	return err;
}

int ka_agent_get(const struct ka_agent_at *at, const struct ka_agent_ops *ops, struct ka_agent **agent,
		 char *why, size_t n)
{
	const struct ka_transport *by;
	struct ka_agent **mine;
	int err = 0;

	pthread_mutex_lock(&get_lock);
	by = transport(at, &mine);
	if (*mine && ka_agent_is_dead(*mine))
		*mine = NULL; /* its holders still put it */
	if (!*mine)
		err = connect_new(by, at, ops, mine, why, n);
	if (!err) {
		(*mine)->refs++;
		*agent = *mine;
	}
	pthread_mutex_unlock(&get_lock);
	return err;
}

void ka_agent_put(struct ka_agent *a)
{
	bool last;
	int i;

	pthread_mutex_lock(&get_lock);
	last = --a->refs == 0;
	for (i = 0; i < 2; i++) {
		if (last && current[i] == a)
			current[i] = NULL;
	}
	pthread_mutex_unlock(&get_lock);
	if (!last)
		return;
	ka_store_release(&a->put, 1);
	end_thread(a);
	if (pthread_equal(a->thread, pthread_self()))
		pthread_detach(a->thread);
	else
		pthread_join(a->thread, NULL);
	close_line(&a->line);
	close(a->quit);
	pthread_mutex_destroy(&a->call_lock);
	free(a);
}

void ka_agent_forked(void)
{
	int i;

	pthread_mutex_init(&get_lock, NULL);
	for (i = 0; i < 2; i++) {
		if (current[i]) {
			close_line(&current[i]->line);
			close(current[i]->quit);
		}
		current[i] = NULL;
	}
}
