/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * agent.h - the agent seam as the library sees it: one connection of the
 * process to its kernel agent, requests answered at once, events later.
 *
 * The functions here know nothing of VIPL.  An agent is a process, or a kernel
 * module; how requests travel to either is in transport.h.
 */
#ifndef KA_CLIENT_AGENT_H
#define KA_CLIENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>

#include "kagent/ka_proto.h"

#define KA_MAX_FDS 3

struct ka_agent;

struct ka_agent_ops {
	/* An event; the callee owns the descriptors.  Runs in the event thread. */
	void (*event)(struct ka_agent *agent, const struct ka_event *ev, const int fds[KA_MAX_FDS]);
	/* The agent died; runs in the event thread, once for each connection. */
	void (*dead)(struct ka_agent *agent);
};

/* Where to meet the agent, and what to start; NULL: where and what there is by default. */
struct ka_agent_at {
	const char *dir;     /* of its socket: VIPL_AGENT_DIR */
	const char *program; /* VIPL_AGENT */
	const char *device;  /* the kernel module's; NULL: a process, and the two above */
};

/*
 * ka_agent_get - the process's connection, made (and the agent started) when
 * there is none.  Counted: each get wants a put.
 * @why: on failure the cause, one line; @n bytes of room.
 * Returns 0 or negative errno: -EPROTO the agent speaks another version,
 * -EPERM it belongs to another user, -ECHILD it could not be started, -ENOENT,
 * -EACCES: there is no device, or not for this user; and what the system said otherwise.
 */
int ka_agent_get(const struct ka_agent_at *at, const struct ka_agent_ops *ops, struct ka_agent **agent,
		 char *why, size_t n);
void ka_agent_put(struct ka_agent *agent);

bool ka_agent_is_dead(const struct ka_agent *agent);

/* Does the agent itself hold what is registered, and see it go? */
bool ka_agent_pins(const struct ka_agent *agent);

/* Do shmids mean the same segments here and in the agent? */
bool ka_agent_same_ipc(const struct ka_agent *agent);

/*
 * ka_agent_call - one request, one answer.
 * @rep:  whole on return, whatever happened: rep->err is the result.
 * @fds:  room for KA_MAX_FDS descriptors, or NULL when none is expected; unused
 *        places are -1, and all are -1 on failure.
 * @tail: room for what follows the answer (ranges or records), @tail_bytes.
 * Returns rep->err; -ECONNRESET when the agent is gone.
 */
int ka_agent_call(struct ka_agent *agent, const struct ka_req *req, struct ka_rep *rep, int fds[KA_MAX_FDS],
		  void *tail, size_t tail_bytes);

/* In the child after a fork: forget the parent's connection. */
void ka_agent_forked(void);

/* device.c: can an agent be met at this device?  @why: if not, the cause, one line. */
bool ka_agent_usable(const char *device, char *why, size_t n);

/* start.c: a connected socket to the user's agent, started on demand (*@started tells). */
int ka_agent_connect(const struct ka_agent_at *at, bool *started, char *why, size_t n);
/* start.c: does an agent listen at @asked (NULL: the default)?  @dir: its directory, @n bytes of room. */
bool ka_agent_runs(const char *asked, char *dir, size_t n);
/* start.c: the agent that was started at @asked has ended at once: remove what it left. */
void ka_agent_clean_up(const char *asked);

#endif
