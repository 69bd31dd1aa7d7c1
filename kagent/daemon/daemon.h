/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * daemon.h - the user-process host of the agent's core: what its files share.
 *
 * Invariants: one thread, one libev loop, no blocking call on a client's
 * behalf.  A client that misbehaves or does not read is marked doomed and
 * released at the end of the loop's turn, never in the middle of a request.
 */
#ifndef KA_DAEMON_H
#define KA_DAEMON_H

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>

#include "kagent/core/core.h"
#include "kagent/host/maps.h"

/* A connection; KA_MAX_CLIENTS processes with a NIC, and some that only say hello. */
#define MAX_CONNECTIONS (KA_MAX_CLIENTS + 64)

/* An event that the client's socket had no room for, with its descriptors. */
struct late {
	struct late *next;
	struct ka_event event;
	int fds[3];
	size_t nfds;
};

struct client {
	struct client *next;
	struct ev_io io;   /* requests */
	struct ev_io exit; /* pidfd: the process has ended */
	struct ev_io room; /* there is room for events again */
	struct late *late, **late_end;
	unsigned int nlate;
	struct ka_proc *proc; /* NULL before HELLO */
	struct maps maps;     /* open from HELLO on, if the process lets us look */
	pid_t pid;
	int event_fd; /* our end of the event socket, -1 before HELLO */
	int refused;  /* negative errno to answer HELLO with, or 0 */
	bool doomed;
};

/* main.c: how many clients there are has changed. */
void agent_clients_changed(unsigned int clients);

/* client.c */
void clients_init(struct ev_loop *loop, int listen_fd);
/* clients_accept - take a waiting connection; false: there was none. */
bool clients_accept(void);
/* clients_leave - drop all clients. */
void clients_leave(void);

/* hostmem.c: descriptors of what the core made, to be sent to clients. */
int nicmem_tpt_fd(const struct ka_nicmem *mem);
int nicmem_wake_fd(const struct ka_nicmem *mem);
int region_fd(const struct ka_region *region);
/* region_forget_fd - both ends have it, the agent needs it no longer. */
void region_forget_fd(struct ka_region *region);

/* log.c: a line with the time to VIPL_AGENT_LOG's file, if it is set. */
int log_open(void);
__attribute__((format(printf, 1, 2))) void log_line(const char *fmt, ...);

#endif
