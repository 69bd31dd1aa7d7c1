/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * device.c - the agent in the kernel: requests are ioctls on its device, events
 * are read from it.
 */
#include "kagent/client/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kagent/host/limit.h"
#include "kagent/linux/vipka_ioctl.h"

_Static_assert(VIPKA_FDS == KA_MAX_FDS, "as many as an answer has");
_Static_assert(sizeof(((struct vipka_event *)NULL)->event) == sizeof(struct ka_event), "an event as it is");

/* No place for a descriptor: that is this process's limit, and the request was undone. */
static int no_descriptor(struct ka_rep *rep, int err)
{
	memset(rep, 0, sizeof(*rep));
	rep->err = limit_files(rep->text, sizeof(rep->text), err, "a NIC handle or connection");
	return 0;
}

static int call(int fd, const struct ka_req *req, struct ka_rep *rep, int fds[KA_MAX_FDS], void *tail,
		size_t tail_bytes)
{
	struct vipka_call c = {.req = (uintptr_t)req,
			       .rep = (uintptr_t)rep,
			       .tail = (uintptr_t)tail,
			       .tail_bytes = (uint32_t)tail_bytes,
			       .fd = {-1, -1, -1}};
	int r;

	memset(fds, 0xff, KA_MAX_FDS * sizeof(fds[0]));
	do
		r = ioctl(fd, VIPKA_CALL, &c);
	while (r && errno == EINTR);
	if (r)
		return errno == EMFILE || errno == ENFILE ? no_descriptor(rep, errno) : -errno;
	memcpy(fds, c.fd, sizeof(c.fd));
	rep->text[KA_TEXT - 1] = 0;
	return 0;
}

static int next_event(int fd, struct ka_event *ev, int fds[KA_MAX_FDS])
{
	struct vipka_event e;
	ssize_t n = read(fd, &e, sizeof(e));

	if (n == (ssize_t)sizeof(e)) {
		memcpy(ev, e.event, sizeof(*ev));
		memcpy(fds, e.fd, sizeof(e.fd));
		return 0;
	}
	memset(fds, 0xff, KA_MAX_FDS * sizeof(fds[0]));
	if (n >= 0)
		return -EPROTO;
	return errno == EINTR ? -EAGAIN : -errno;
}

static int forbidden(const char *path, int err, char *why, size_t n)
{
	struct stat st = {0};

	(void)stat(path, &st);
	return ka_no_agent(
		why, n, -err,
		"%s may not be opened by uid %u: its mode is %04o, its owner uid %u, its group gid %u; "
		"load the module with mode=0666, or give the device to a group with mode=0660 "
		"(docs/kernel-module.md, \"Users\")",
		path, geteuid(), st.st_mode & 07777, st.st_uid, st.st_gid);
}

/* Why the device cannot be opened. */
static int no_device(const char *path, int err, char *why, size_t n)
{
	switch (err) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return ka_no_agent(
			why, n, -err,
			"there is no %s: the kernel module is not loaded; 'modprobe vipka' loads it "
			"(docs/kernel-module.md tells how it is built)",
			path);
	case EACCES:
	case EPERM:
		return forbidden(path, err, why, n);
	default:
		return limit_files(why, n, err, path);
	}
}

static int hello(const struct ka_agent_at *at, struct ka_line *line, char *why, size_t n)
{
	struct ka_req req = {.op = KA_OP_HELLO, .u.hello = {KA_MAGIC, KA_VERSION}};
	int fds[KA_MAX_FDS], err, fd = open(at->device, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ka_rep rep;

	if (fd < 0)
		return no_device(at->device, errno, why, n);
	err = call(fd, &req, &rep, fds, NULL, 0);
	if (err) {
		ka_no_agent(why, n, err, "%s does not answer as the kernel module does: %s", at->device,
			    strerror(-err));
	} else if (rep.err == -EPROTO) {
		err = ka_no_agent(
			why, n, -EPROTO,
			"the kernel module that is loaded speaks version %u, this library speaks version "
			"%u: load the one that was built with the library (docs/kernel-module.md)",
			rep.u.hello.version, KA_VERSION);
	} else if (rep.err) {
		err = ka_no_agent(why, n, rep.err, "the kernel module refused: %s", rep.text);
	}
	if (err) {
		close(fd);
		return err;
	}
	ka_close_fds(fds);
	*line = (struct ka_line){.call_fd = fd, .event_fd = fd};
	return 0;
}

bool ka_agent_usable(const char *device, char *why, size_t n)
{
	const struct ka_agent_at at = {.device = device};
	struct ka_line line = {.call_fd = -1};
	int err = hello(&at, &line, why, n);

	if (line.call_fd >= 0)
		close(line.call_fd);
	return !err;
}

const struct ka_transport ka_device = {.hello = hello, .call = call, .event = next_event};
