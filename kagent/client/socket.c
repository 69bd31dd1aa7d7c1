/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * socket.c - the agent as a process: requests on one SOCK_SEQPACKET socket,
 * events on a second one, which comes with the answer to HELLO.
 */
#include "kagent/client/transport.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define HELLO_TRIES 20

/* The agent answers at once; one that does not in this time is stuck, and as good as dead. */
#define ANSWER_S 10

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
		ka_close_fds(fds);
		return -EMSGSIZE;
	}
	return n;
}

static int call(int sock, const struct ka_req *req, struct ka_rep *rep, int fds[KA_MAX_FDS], void *tail,
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
		ka_close_fds(fds);
		return -ECONNRESET;
	}
	n -= (ssize_t)sizeof(*rep);
	rep->text[KA_TEXT - 1] = 0;
	if (rep->err > 0 || (size_t)n < rep->nranges * sizeof(struct ka_range) + rep->nrecs * KA_REC_BYTES) {
		ka_close_fds(fds);
		return -EPROTO;
	}
	return 0;
}

static int next_event(int sock, struct ka_event *ev, int fds[KA_MAX_FDS])
{
	struct iovec iov = {ev, sizeof(*ev)};

	if (receive(sock, &iov, 1, fds) == (ssize_t)sizeof(*ev))
		return 0;
	ka_close_fds(fds);
	return -ECONNRESET;
}

/* Whoever waits there for an answer or an event waits no more. */
static void cut(int sock)
{
	shutdown(sock, SHUT_RDWR);
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
		ka_close_fds(fds);
		return -ECONNRESET;
	}
	rep->text[KA_TEXT - 1] = 0;
	if (n != (ssize_t)sizeof(*rep) && rep->err == 0)
		rep->err = -EPROTO;
	return 0;
}

static int hello(const struct ka_agent_at *at, struct ka_line *line, char *why, size_t n)
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

		line->call_fd = ka_agent_connect(at, &started, why, n);
		if (line->call_fd < 0)
			return line->call_fd;
		setsockopt(line->call_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		if (getsockopt(line->call_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
		    cred.uid != geteuid()) {
			snprintf(why, n, "the agent that listens there belongs to uid %u, not to uid %u",
				 cred.uid, geteuid());
			close(line->call_fd);
			return -EPERM;
		}
		err = greet(line->call_fd, &rep, fds);
		if (err)
			close(line->call_fd);
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
		close(line->call_fd);
		ka_close_fds(fds);
		return rep.err ? rep.err : -EPROTO;
	}
	line->event_fd = fds[0];
	line->same_ipc =
		rep.u.hello.ipc_ns && stat("/proc/self/ns/ipc", &st) == 0 && st.st_ino == rep.u.hello.ipc_ns;
	return 0;
}

const struct ka_transport ka_socket = {.hello = hello, .call = call, .event = next_event, .cut = cut};
