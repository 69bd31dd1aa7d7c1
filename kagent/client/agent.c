/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * agent.c - the process's connection to the kernel agent.
 *
 * One connection serves all NIC handles of the process.  Requests go one at a
 * time under call_lock, each answered before the next; events come on a second
 * socket, read by one thread.  When the agent dies the connection is dead for
 * good: a later ka_agent_get makes a new one.
 *
 * Lock order: get_lock, then call_lock.
 */
#include "kagent/client/agent.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define HELLO_TRIES 20

/* The agent answers at once; one that does not in this time is stuck, and as good as dead. */
#define ANSWER_S 10

struct ka_agent {
	int sock;
	int event_sock;
	int quit; /* eventfd that ends the event thread */
	unsigned int refs;
	int dead;
	bool same_ipc;
	pthread_mutex_t call_lock;
	pthread_t thread;
	const struct ka_agent_ops *ops;
};

static pthread_mutex_t get_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ka_agent *current;

static void close_fds(int fds[KA_MAX_FDS])
{
	int i;

	for (i = 0; i < KA_MAX_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* Room for control data is rounded up: what is more than expected is closed. */
static void keep_fds(int fds[KA_MAX_FDS], const unsigned char *data, size_t n)
{
	size_t i;
	int fd;

	for (i = 0; i < n; i++) {
		memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
		if (i < KA_MAX_FDS)
			fds[i] = fd;
		else
			close(fd);
	}
}

/* One message with its descriptors; returns its length, 0 at the end, negative errno. */
static ssize_t receive(int sock, struct iovec *iov, size_t niov, int fds[KA_MAX_FDS])
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(KA_MAX_FDS * sizeof(int))];
	} ctl;
	struct msghdr msg = {
		.msg_iov = iov, .msg_iovlen = niov, .msg_control = &ctl, .msg_controllen = sizeof(ctl)};
	struct cmsghdr *c;
	ssize_t n;
	int i;

	for (i = 0; i < KA_MAX_FDS; i++)
		fds[i] = -1;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			keep_fds(fds, CMSG_DATA(c), (c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	}
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		close_fds(fds);
		return -EMSGSIZE;
	}
	return n;
}

static int exchange(int sock, const struct ka_req *req, struct ka_rep *rep, int fds[KA_MAX_FDS], void *tail,
		    size_t tail_bytes)
{
	struct iovec iov[2] = {{rep, sizeof(*rep)}, {tail, tail_bytes}};
	ssize_t n;

	do
		n = send(sock, req, sizeof(*req), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*req))
		return -ECONNRESET;
	n = receive(sock, iov, tail ? 2 : 1, fds);
	if (n < (ssize_t)sizeof(*rep)) {
		close_fds(fds);
		return -ECONNRESET;
	}
	n -= (ssize_t)sizeof(*rep);
	rep->text[KA_TEXT - 1] = 0;
	if (rep->err > 0 || (size_t)n < rep->nranges * sizeof(struct ka_range) + rep->nrecs * KA_REC_BYTES) {
		close_fds(fds);
		return -EPROTO;
	}
	return 0;
}

bool ka_agent_same_ipc(const struct ka_agent *agent)
{
	return agent->same_ipc;
}

bool ka_agent_is_dead(const struct ka_agent *agent)
{
	return ka_load_relaxed(&agent->dead);
}

int ka_agent_call(struct ka_agent *agent, const struct ka_req *req, struct ka_rep *rep, int fds[KA_MAX_FDS],
		  void *tail, size_t tail_bytes)
{
	int mine[KA_MAX_FDS] = {-1, -1, -1}, err = -ECONNRESET;

	pthread_mutex_lock(&agent->call_lock);
	if (!ka_agent_is_dead(agent)) {
		err = exchange(agent->sock, req, rep, mine, tail, tail_bytes);
		if (err) {
			/* out of step for good: the event thread tells everybody */
			ka_store_relaxed(&agent->dead, 1);
			shutdown(agent->event_sock, SHUT_RDWR);
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
		close_fds(mine);
	}
	if (fds)
		memcpy(fds, mine, sizeof(mine));
	return rep->err;
}

static void *event_thread(void *arg)
{
	struct ka_agent *a = arg;
	struct pollfd p[2] = {{.fd = a->event_sock, .events = POLLIN}, {.fd = a->quit, .events = POLLIN}};
	struct ka_event ev;
	struct iovec iov = {&ev, sizeof(ev)};
	int fds[KA_MAX_FDS];

	for (;;) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents)
			return NULL;
		if (receive(a->event_sock, &iov, 1, fds) != (ssize_t)sizeof(ev)) {
			close_fds(fds);
			break;
		}
		a->ops->event(&ev, fds);
	}
	ka_store_relaxed(&a->dead, 1);
	/* wakes a caller that waits for an answer */
	shutdown(a->sock, SHUT_RDWR);
	a->ops->dead(a);
	return NULL;
}

/*
 * The answer to HELLO, which may be of another version: longer, or shorter, but
 * with the version where it always was.
 */
static int greet(int sock, struct ka_rep *rep, int fds[KA_MAX_FDS])
{
	struct ka_req req = {.op = KA_OP_HELLO, .u.hello = {KA_MAGIC, KA_VERSION}};
	char longer[4096];
	struct iovec iov[2] = {{rep, sizeof(*rep)}, {longer, sizeof(longer)}};
	ssize_t n;

	memset(rep, 0, sizeof(*rep));
	do
		n = send(sock, &req, sizeof(req), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(req))
		return -ECONNRESET;
	n = receive(sock, iov, 2, fds);
	if (n < (ssize_t)(offsetof(struct ka_rep, u) + sizeof(rep->u.hello.version))) {
		close_fds(fds);
		return -ECONNRESET;
	}
	rep->text[KA_TEXT - 1] = 0;
	if (n != (ssize_t)sizeof(*rep) && rep->err == 0)
		rep->err = -EPROTO;
	return 0;
}

static int hello(struct ka_agent *a, const struct ka_agent_at *at, char *why, size_t n)
{
	struct ka_rep rep;
	struct stat st;
	struct timeval limit = {.tv_sec = ANSWER_S};
	bool started;
	int fds[KA_MAX_FDS], i, err = -ECONNRESET;

	/* An agent that was just leaving takes the connection with it: try again. */
	for (i = 0; i < HELLO_TRIES && err == -ECONNRESET; i++) {
		struct ucred cred = {.uid = (uid_t)-1};
		socklen_t len = sizeof(cred);

		a->sock = ka_agent_connect(at, &started, why, n);
		if (a->sock < 0)
			return a->sock;
		setsockopt(a->sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		if (getsockopt(a->sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) || cred.uid != geteuid()) {
			snprintf(why, n, "the agent that listens there belongs to uid %u, not to uid %u",
				 cred.uid, geteuid());
			close(a->sock);
			return -EPERM;
		}
		err = greet(a->sock, &rep, fds);
		if (err)
			close(a->sock);
		if (err && started) {
			ka_agent_clean_up(at->dir);
			break;
		}
	}
	if (err) {
		snprintf(why, n,
			 "the kernel agent ended as soon as it was started: can its program run? (VIPL_AGENT "
			 "names "
			 "it, VIPL_AGENT_LOG a file for what it says)");
		return -ECHILD;
	}
	if (rep.err || fds[0] < 0) {
		if (rep.err == -EPROTO)
			snprintf(why, n,
				 "the kernel agent that runs speaks version %u, this library speaks version "
				 "%u: end "
				 "the programs that use the other version",
				 rep.u.hello.version, KA_VERSION);
		else
			snprintf(why, n, "the kernel agent refused: %s", rep.text);
		close(a->sock);
		close_fds(fds);
		return rep.err ? rep.err : -EPROTO;
	}
	a->event_sock = fds[0];
	a->same_ipc =
		rep.u.hello.ipc_ns && stat("/proc/self/ns/ipc", &st) == 0 && st.st_ino == rep.u.hello.ipc_ns;
	return 0;
}

static int connect_new(const struct ka_agent_at *at, const struct ka_agent_ops *ops, struct ka_agent **out,
		       char *why, size_t n)
{
	struct ka_agent *a = calloc(1, sizeof(*a));
	sigset_t all, old;
	int err;

	if (!a) {
		snprintf(why, n, "out of memory");
		return -ENOMEM;
	}
	a->ops = ops;
	pthread_mutex_init(&a->call_lock, NULL);
	err = hello(a, at, why, n);
	if (err)
		goto free_agent;
	a->quit = eventfd(0, EFD_CLOEXEC);
	if (a->quit < 0) {
		err = -errno;
		snprintf(why, n, "eventfd: %s", strerror(errno));
		goto close_socks;
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
close_socks:
	close(a->sock);
	close(a->event_sock);
free_agent:
	free(a);
	return err;
}

int ka_agent_get(const struct ka_agent_at *at, const struct ka_agent_ops *ops, struct ka_agent **agent,
		 char *why, size_t n)
{
	int err = 0;

	pthread_mutex_lock(&get_lock);
	if (current && ka_agent_is_dead(current))
		current = NULL; /* its holders still put it */
	if (!current)
		err = connect_new(at, ops, &current, why, n);
	if (!err) {
		current->refs++;
		*agent = current;
	}
	pthread_mutex_unlock(&get_lock);
	return err;
}

void ka_agent_put(struct ka_agent *a)
{
	uint64_t one = 1;
	bool last;

	pthread_mutex_lock(&get_lock);
	last = --a->refs == 0;
	if (last && current == a)
		current = NULL;
	pthread_mutex_unlock(&get_lock);
	if (!last)
		return;
	if (write(a->quit, &one, sizeof(one)) < 0)
		shutdown(a->event_sock, SHUT_RDWR);
	if (pthread_equal(a->thread, pthread_self()))
		pthread_detach(a->thread);
	else
		pthread_join(a->thread, NULL);
	close(a->sock);
	close(a->event_sock);
	close(a->quit);
	pthread_mutex_destroy(&a->call_lock);
	free(a);
}

void ka_agent_forked(void)
{
	struct ka_agent *a = current;

	pthread_mutex_init(&get_lock, NULL);
	current = NULL;
	if (a) {
		close(a->sock);
		close(a->event_sock);
		close(a->quit);
	}
}
