/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * transport.h - how requests and events travel: to a process (socket.c) or to
 * the kernel module's device (device.c).
 */
#ifndef KA_CLIENT_TRANSPORT_H
#define KA_CLIENT_TRANSPORT_H

#include "kagent/client/agent.h"

/* What a connection to an agent is. */
struct ka_line {
	int call_fd;
	int event_fd; /* readable when there is an event; may be the same */
	bool same_ipc;
};

struct ka_transport {
	/* Meet the agent and say HELLO; @why as ka_agent_get(). */
	int (*hello)(const struct ka_agent_at *at, struct ka_line *line, char *why, size_t n);
	/* One request, one answer; an error: they are out of step for good. */
	int (*call)(int fd, const struct ka_req *req, struct ka_rep *rep, int fds[KA_MAX_FDS], void *tail,
		    size_t tail_bytes);
	/* The next event: 0; -EAGAIN: none just now; another error: there will be no more. */
	int (*event)(int fd, struct ka_event *ev, int fds[KA_MAX_FDS]);
	/* Whoever waits in call or for an event waits no more; NULL: nobody waits. */
	void (*cut)(int fd);
};

extern const struct ka_transport ka_socket, ka_device;

/* The cause into @why, @n bytes of room; returns @err. */
__attribute__((format(printf, 4, 5))) int ka_no_agent(char *why, size_t n, int err, const char *fmt, ...);

/* Close those that there are. */
void ka_close_fds(int fds[KA_MAX_FDS]);

#endif
