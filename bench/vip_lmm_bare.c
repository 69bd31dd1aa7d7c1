/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_lmm_bare.c - what a registration cannot do without, alone: the kernel's
 * lock, the kernel's pin as the library takes it (vipl/hold.c), and a request
 * to the sleeping agent with its answer, of the size and over the kind of
 * socket that registrations use.  The request is one that the agent does not
 * know: it looks, finds nothing to do, and says so.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/vip_lmm.h"
#include "kagent/ka_proto.h"
#include "tools/common.h"

#define PINS	   16384u /* as many as the library has room for */
#define OP_UNKNOWN 0xffffu

int bare_fault(struct bare *b, int err, const char *fmt, ...)
{
	va_list args;

	b->no_room = err == ENOMEM || err == EAGAIN || err == EPERM;
	va_start(args, fmt);
	vsnprintf(b->fault, sizeof(b->fault), fmt, args);
	va_end(args);
	return -1;
}

/* One request and its answer, read as the library reads it.  @fd: what came with it, or -1. */
static int trip(struct bare *b, const struct ka_req *req, struct ka_rep *rep, int *fd)
{
	static char ranges[KA_MAX_RANGES * sizeof(struct ka_range)];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(3 * sizeof(int))];
	} ctl;
	struct iovec iov[2] = {{rep, sizeof(*rep)}, {ranges, sizeof(ranges)}};
	struct msghdr msg = {
		.msg_iov = iov, .msg_iovlen = 2, .msg_control = &ctl, .msg_controllen = sizeof(ctl)};
	struct cmsghdr *c;

	*fd = -1;
	if (send(b->sock, req, sizeof(*req), MSG_NOSIGNAL) != (ssize_t)sizeof(*req) ||
	    recvmsg(b->sock, &msg, MSG_CMSG_CLOEXEC) < (ssize_t)sizeof(*rep))
		return bare_fault(b, 0, "the agent does not answer: %s", strerror(errno));
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return 0;
}

static int greet(struct bare *b, int *pid)
{
	struct ka_req req = {.op = KA_OP_HELLO, .u.hello = {KA_MAGIC, KA_VERSION}};
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char dir[sizeof(sa.sun_path) - 16];
	struct ka_rep rep = {0};

	if (!VipxAgentRuns(dir, sizeof(dir)))
		return bare_fault(b, 0, "no agent listens in %s", dir);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/agent.sock", dir);
	b->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (b->sock < 0 || connect(b->sock, (const struct sockaddr *)&sa, sizeof(sa)))
		return bare_fault(b, 0, "connecting to %s: %s", sa.sun_path, strerror(errno));
	if (trip(b, &req, &rep, &b->events))
		return -1;
	if (rep.err)
		return bare_fault(b, 0, "the agent refused: %.*s", (int)sizeof(rep.text), rep.text);
	*pid = (int)rep.u.hello.pid;
	return 0;
}

int bare_open(struct bare *b, bool pins, int *agent)
{
	int err;

	*b = (struct bare){.sock = -1, .events = -1};
	if (greet(b, agent))
		return -1;
	if (!pins)
		return 0;
	err = io_uring_queue_init(1, &b->ring, 0);
	if (err)
		return bare_fault(b, -err, "io_uring: %s", strerror(-err));
	b->rings = true;
	err = io_uring_register_buffers_sparse(&b->ring, PINS);
	return err ? bare_fault(b, -err, "io_uring's table of buffers: %s", strerror(-err)) : 0;
}

void bare_close(struct bare *b)
{
	if (b->rings)
		io_uring_queue_exit(&b->ring);
	if (b->sock >= 0)
		close(b->sock);
	if (b->events >= 0)
		close(b->events);
}

/* Length 0: unpin. */
static int pin(struct bare *b, void *area, uint64_t bytes)
{
	struct iovec iov = {area, bytes};
	__u64 tag = 0;
	int n = io_uring_register_buffers_update_tag(&b->ring, 1, &iov, &tag, 1);

	return n < 0 ? bare_fault(b, -n, "pinning %llu bytes: %s", (unsigned long long)bytes, strerror(-n))
		     : 0;
}

static int lock(struct bare *b, enum vipx_level level, void *area, uint64_t bytes)
{
	if (level == VIPX_MAPPED ? madvise(area, bytes, MADV_POPULATE_WRITE) : mlock(area, bytes))
		return bare_fault(b, errno, "locking %llu bytes: %s", (unsigned long long)bytes,
				  strerror(errno));
	return 0;
}

static int unlock(struct bare *b, enum vipx_level level, void *area, uint64_t bytes)
{
	if (level != VIPX_MAPPED && munlock(area, bytes))
		return bare_fault(b, 0, "munlock: %s", strerror(errno));
	return 0;
}

static int ask(struct bare *b)
{
	const struct ka_req req = {.op = OP_UNKNOWN};
	struct ka_rep rep = {0};
	int fd, err = trip(b, &req, &rep, &fd);

	if (!err && rep.err >= 0)
		return bare_fault(b, 0, "the agent knows request %u, which shall be an unknown one",
				  OP_UNKNOWN);
	return err;
}

int bare_once(struct bare *b, enum vipx_level level, void *area, uint64_t bytes, bool held,
	      uint64_t ns[WHATS])
{
	bool pins = level == VIPX_PINNED, pinned = false;
	uint64_t t[7];
	int err;

	t[0] = tool_now_ns();
	if (lock(b, level, area, bytes))
		return -1;
	t[1] = tool_now_ns();
	err = pins ? pin(b, area, bytes) : 0;
	pinned = pins && !err;
	t[2] = tool_now_ns();
	if (!err)
		err = ask(b);
	t[3] = tool_now_ns();
	if (!err)
		err = ask(b);
	t[4] = tool_now_ns();
	if (!held && unlock(b, level, area, bytes))
		err = -1;
	t[5] = tool_now_ns();
	if (pinned && pin(b, NULL, 0))
		err = -1;
	t[6] = tool_now_ns();

	ns[LOCK] = t[1] - t[0];
	ns[PIN] = t[2] - t[1];
	ns[TRIP] = t[3] - t[2];
	ns[BARE_REGISTER] = t[3] - t[0];
	ns[UNLOCK] = t[5] - t[4];
	ns[UNPIN] = t[6] - t[5];
	ns[BARE_DEREGISTER] = t[6] - t[3];
	return err;
}
