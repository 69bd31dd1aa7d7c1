/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * client.c - connections: who may connect, requests, answers, events, and the
 * end of a client.
 *
 * A client has ended when its socket is closed or its process has died,
 * whichever comes first: a forked child may keep the socket open.
 */
#include "kagent/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kagent/daemon/decode.h"

#define REQUESTS_A_TURN 16	     /* of one client, so that all get theirs */
#define SEND_BYTES	(512 * 1024) /* room for a few of the largest answers */
#define MAX_FDS		3	     /* in an answer or event */

static struct ev_loop *loop;
static struct ev_io listener;
static struct ev_timer deadline;
static struct ev_prepare turn_end;
static struct ka_core core;
static struct client *clients;
static unsigned int nclients;
static struct ka_answer answer;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/*
 * Events that may wait for a client to read what it has: all of many requests
 * may end at once, and its event thread be a moment late.
 */
#define MAX_LATE 16384

/* Bytes that may wait on an event socket before KA_EV_LOST is left out. */
#define LOST_QUEUE 32768

static void doom(struct client *c, const char *why)
{
	if (c->doomed)
		return;
	c->doomed = true;
	log_line("client %d goes: %s", (int)c->pid, why);
}

/* Send one message with @nfds descriptors: 0 or negative errno. */
static int send_msg(int fd, struct iovec *iov, size_t niov, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control = {.buf = {0}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = niov};
	struct cmsghdr *cm;

	if (nfds > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ? 0 : -errno;
}

/* A client that cannot be told something is of no use any more. */
static void doom_unless_sent(struct client *c, int err)
{
	if (err != 0)
		doom(c, err == -EAGAIN ? "it does not read" : strerror(-err));
}

static int send_event(struct client *c, const struct ka_event *event, const int *fds, size_t nfds)
{
	struct ka_event copy = *event;
	struct iovec iov = {&copy, sizeof(copy)};

	return send_msg(c->event_fd, &iov, 1, fds, nfds);
}

/* The first of the late events is sent, or shall not be. */
static void drop_late(struct client *c)
{
	struct late *l = c->late;

	c->late = l->next;
	if (c->late == NULL)
		c->late_end = &c->late;
	c->nlate--;
	while (l->nfds > 0)
		close(l->fds[--l->nfds]);
	free(l);
}

static int keep_late(struct client *c, const struct ka_event *event, const int *fds, size_t nfds)
{
	struct late *l = c->nlate < MAX_LATE ? calloc(1, sizeof(*l)) : NULL;

	if (l == NULL)
		return -EAGAIN;
	l->event = *event;
	*c->late_end = l;
	c->late_end = &l->next;
	c->nlate++;
	for (; l->nfds < nfds; l->nfds++) {
		l->fds[l->nfds] = fcntl(fds[l->nfds], F_DUPFD_CLOEXEC, 0);
		if (l->fds[l->nfds] < 0)
			return -errno;
	}
	ev_io_start(loop, &c->room);
	return 0;
}

static void has_room(struct ev_loop *l, struct ev_io *w, int events)
{
	struct client *c = w->data;
	int err = 0;

	(void)events;
	while (c->late != NULL && err == 0) {
		err = send_event(c, &c->late->event, c->late->fds, c->late->nfds);
		if (err == 0)
			drop_late(c);
	}
	if (c->late == NULL)
		ev_io_stop(l, w);
	if (err != -EAGAIN)
		doom_unless_sent(c, err);
}

static size_t give_fds(const struct ka_give *give, int *fds)
{
	size_t n = 0;

	if (give->region != NULL)
		fds[n++] = region_fd(give->region);
	if (give->nic != NULL) {
		fds[n++] = nicmem_tpt_fd(give->nic);
		fds[n++] = nicmem_wake_fd(give->nic);
	}
	return n;
}

void ka_host_event(void *proc, const struct ka_event *event, const struct ka_give *give)
{
	struct client *c = proc;
	int fds[MAX_FDS], queued = 0, err = -EAGAIN;
	size_t nfds;

	if (c->doomed)
		return;
	/*
	 * That a connection is lost stands in its control page, and the client's
	 * progress thread was woken to look: the event can be left out when many
	 * end at once.  The others wait for room.
	 */
	if (event->type == KA_EV_LOST &&
	    (c->late != NULL || ioctl(c->event_fd, SIOCOUTQ, &queued) != 0 || queued > LOST_QUEUE))
		return;
	nfds = give_fds(give, fds);
	if (c->late == NULL)
		err = send_event(c, event, fds, nfds);
	if (err == -EAGAIN)
		err = keep_late(c, event, fds, nfds);
	doom_unless_sent(c, err);
}

static void send_answer(struct client *c, const int *fds, size_t nfds)
{
	struct iovec iov[3] = {
		{&answer.rep, sizeof(answer.rep)},
		{answer.ranges, answer.rep.nranges * sizeof(answer.ranges[0])},
		{answer.recs, answer.rep.nrecs * sizeof(answer.recs[0])},
	};

	answer.rep.nfds = (uint32_t)nfds;
	if (answer.rep.err != 0)
		log_line("client %d: error %d: %s", (int)c->pid, answer.rep.err, answer.rep.text);
	doom_unless_sent(c, send_msg(c->io.fd, iov, 3, fds, nfds));
}

/* Refuse the client with @err and let it go. */
static void refuse(struct client *c, int err, const char *text)
{
	ka_fail(&answer.rep, err, "%s", text);
	send_answer(c, NULL, 0);
	doom(c, text);
}

static void read_comm(pid_t pid, char comm[16])
{
	char path[32];
	FILE *f;

	comm[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	if (fgets(comm, 16, f) != NULL)
		comm[strcspn(comm, "\n")] = '\0';
	fclose(f);
}

/* The first request. */
static void hello(struct client *c, const struct ka_req *req)
{
	int pair[2], size = SEND_BYTES;
	struct stat st;
	char comm[16];

	ka_core_request(&core, NULL, req, now_ms() + 1, &answer);
	if (answer.rep.err != 0) {
		send_answer(c, NULL, 0);
		doom(c, answer.rep.text);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		refuse(c, -errno, "the agent has no file descriptors left; raise its limit (ulimit -n)");
		return;
	}
	c->event_fd = pair[0];
	ev_io_init(&c->room, has_room, pair[0], EV_WRITE);
	c->room.data = c;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	maps_open(&c->maps, c->pid); /* refused: the first registration says so */
	read_comm(c->pid, comm);
	c->proc = ka_core_enter(&core, c, (uint32_t)c->pid, comm);
	if (c->proc == NULL) {
		refuse(c, -ENOMEM, "the agent has no memory for another process");
	} else {
		log_line("client %d (%s) comes", (int)c->pid, comm);
		answer.rep.u.hello.ipc_ns = stat("/proc/self/ns/ipc", &st) == 0 ? st.st_ino : 0;
		send_answer(c, &pair[1], 1);
	}
	close(pair[1]);
}

static void serve(struct client *c, const struct ka_req *req)
{
	int fds[MAX_FDS];

	/* now_ms() is rounded down: a time-out counts from its end */
	ka_core_request(&core, c->proc, req, now_ms() + 1, &answer);
	send_answer(c, fds, answer.has_event ? 0 : give_fds(&answer.give, fds));
	if (answer.has_event)
		ka_host_event(c, &answer.event, &answer.give);
	if (answer.give.region != NULL)
		region_forget_fd(answer.give.region);
}

static void take_message(struct client *c, const struct ka_req *req, size_t bytes)
{
	switch (message_decode(req, bytes, c->proc != NULL, c->refused, &answer.rep)) {
	case MESSAGE_BAD:
		send_answer(c, NULL, 0);
		doom(c, answer.rep.text);
		break;
	case MESSAGE_HELLO:
		hello(c, req);
		break;
	case MESSAGE_REQUEST:
		serve(c, req);
		break;
	}
}

static void close_received(struct msghdr *msg)
{
	struct cmsghdr *cm;
	size_t n;
	int fd;

	for (cm = CMSG_FIRSTHDR(msg); cm != NULL; cm = CMSG_NXTHDR(msg, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (n = 0; CMSG_LEN((n + 1) * sizeof(fd)) <= cm->cmsg_len; n++) {
			memcpy(&fd, CMSG_DATA(cm) + n * sizeof(fd), sizeof(fd));
			close(fd);
		}
	}
}

/* Read one request; false: there is none. */
static bool receive(struct client *c)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct ka_req req;
	struct iovec iov = {&req, sizeof(req)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	/* MSG_TRUNC: n is the message's own length, also when it is cut */
	ssize_t n = recvmsg(c->io.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			doom(c, strerror(errno));
		return false;
	}
	close_received(&msg);
	if (n == 0)
		doom(c, "it has closed its socket");
	else
		take_message(c, &req, (size_t)n);
	return !c->doomed;
}

static void readable(struct ev_loop *l, struct ev_io *w, int events)
{
	struct client *c = w->data;
	int n;

	(void)l;
	(void)events;
	for (n = 0; n < REQUESTS_A_TURN && !c->doomed; n++)
		if (!receive(c))
			break;
}

static void process_ended(struct ev_loop *l, struct ev_io *w, int events)
{
	(void)l;
	(void)events;
	doom(w->data, "its process has ended");
}

static void release(struct client *c)
{
	struct client **link = &clients;

	ev_io_stop(loop, &c->io);
	if (c->exit.fd >= 0)
		ev_io_stop(loop, &c->exit);
	if (c->proc != NULL)
		ka_core_exit(&core, c->proc);
	close(c->io.fd);
	if (c->exit.fd >= 0)
		close(c->exit.fd);
	if (c->event_fd >= 0) {
		ev_io_stop(loop, &c->room);
		close(c->event_fd);
	}
	while (c->late != NULL)
		drop_late(c);
	maps_close(&c->maps);
	while (*link != c)
		link = &(*link)->next;
	*link = c->next;
	free(c);
	ev_io_start(loop, &listener);
	agent_clients_changed(--nclients);
}

/* Release the doomed; doing so may doom others, whose turn comes again from the start. */
static void release_doomed(void)
{
	struct client *c = clients;

	while (c != NULL) {
		if (c->doomed) {
			release(c);
			c = clients;
		} else {
			c = c->next;
		}
	}
}

/* Before the loop sleeps: end what is over, and set the timer for what comes next. */
static void end_turn(struct ev_loop *l, struct ev_prepare *w, int events)
{
	uint64_t now = now_ms(), at;

	(void)w;
	(void)events;
	ka_core_tick(&core, now);
	release_doomed();
	ev_timer_stop(l, &deadline);
	at = ka_core_deadline(&core);
	if (at == KA_NEVER)
		return;
	ev_now_update(l);
	ev_timer_set(&deadline, at > now ? (double)(at - now) / 1000 : 0, 0);
	ev_timer_start(l, &deadline);
}

/* The work is done by end_turn(). */
static void time_is_up(struct ev_loop *l, struct ev_timer *w, int events)
{
	(void)l;
	(void)w;
	(void)events;
}

static void add_client(int fd)
{
	struct ucred cred = {.uid = (uid_t)-1};
	socklen_t len = sizeof(cred);
	struct client *c = calloc(1, sizeof(*c));
	int size = SEND_BYTES, pidfd = -1;

	if (c == NULL) {
		close(fd);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || cred.uid != geteuid())
		c->refused = -EPERM;
	else if (nclients >= MAX_CONNECTIONS)
		c->refused = -ENOSPC;
	else
		pidfd = (int)syscall(SYS_pidfd_open, cred.pid, 0);
	if (c->refused == 0 && pidfd < 0)
		c->refused = -ESRCH;
	c->pid = cred.pid;
	c->event_fd = -1;
	c->late_end = &c->late;
	c->maps.fd = c->maps.mount_fd = -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	ev_io_init(&c->io, readable, fd, EV_READ);
	c->io.data = c;
	ev_io_start(loop, &c->io);
	ev_io_init(&c->exit, process_ended, pidfd, EV_READ);
	c->exit.data = c;
	if (pidfd >= 0)
		ev_io_start(loop, &c->exit);
	c->next = clients;
	clients = c;
	agent_clients_changed(++nclients);
}

bool clients_accept(void)
{
	int fd = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return false;
	add_client(fd);
	return true;
}

static void incoming(struct ev_loop *l, struct ev_io *w, int events)
{
	(void)w;
	(void)events;
	/* Out of descriptors: until a client has gone, the loop would only spin here. */
	if (!clients_accept() && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
		ev_io_stop(l, &listener);
}

void clients_init(struct ev_loop *l, int listen_fd)
{
	loop = l;
	ka_core_init(&core, (uint64_t)sysconf(_SC_PAGESIZE), (uint32_t)getpid());
	ev_io_init(&listener, incoming, listen_fd, EV_READ);
	ev_io_start(l, &listener);
	ev_timer_init(&deadline, time_is_up, 0, 0);
	ev_prepare_init(&turn_end, end_turn);
	ev_prepare_start(l, &turn_end);
}

void clients_leave(void)
{
	while (clients != NULL)
		release(clients);
}
