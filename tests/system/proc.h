/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * proc.h - what the system tests share: a room of its own for each test (an
 * agent's directory, nothing else), programs that run in it with their output
 * caught and a time limit, and a look at what is left when they have gone.
 *
 * Functions fail the running cmocka test; they return only on success unless
 * they say otherwise.
 */
#ifndef TESTS_SYSTEM_PROC_H
#define TESTS_SYSTEM_PROC_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <sys/types.h>
#include <cmocka.h>

#define NOBODY 65534 /* uid and gid of a user without rights */

/* Sanitizers and slow machines: limits on time are wider there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER 4
#else
#define SLOWER 1
#endif

struct room {
	char base[64]; /* a fresh directory in /tmp */
	char dir[80];  /* VIPL_AGENT_DIR: does not exist yet */
};

/* Setup and teardown of a cmocka test; *state is a struct room. */
int room_setup(void **state);
int room_teardown(void **state);

/* Skip the running test, with the reason, unless user NOBODY can run programs of the build. */
void need_nobody(void);

/* Once, before the tests: System V segments and names in /dev/shm of others must not disturb. */
void room_isolate(void);

/*
 * Nothing of the room is left, or soon nothing is: no process that runs with
 * its VIPL_AGENT_DIR, no directory, no new segment, no new name in /dev/shm.
 */
void room_assert_empty(const struct room *r);

/* Pid of the room's process called @comm, -1 when there is none. */
pid_t room_find(const struct room *r, const char *comm);

/* Pids of the room's processes called @comm (NULL: of all), at most @max; returns how many. */
int room_pids(const struct room *r, const char *comm, pid_t *pids, int max);

/* Kill the room's agent, which must run. */
void room_kill_agent(const struct room *r);

/* Wait until two VIs in the room are connected. */
void room_await_connection(const struct room *r);

struct proc {
	pid_t pid;
	int out, err; /* anonymous files that hold the output */
	int status;   /* of waitpid, once it has ended */
	bool ended;
};

struct proc_opts {
	uid_t uid;	 /* 0: stay */
	bool plain;	 /* root without capabilities: mode bits and limits count */
	size_t memlock;	 /* RLIMIT_MEMLOCK, 0: as it is */
	const char *env; /* one NAME=VALUE more, or NULL */
};

/* argv[0] without a slash is a program of the build. */
void proc_start(struct proc *p, const struct room *r, const struct proc_opts *o, const char *const argv[]);

/* true when it has ended within @ms. */
bool proc_ended(struct proc *p, int ms);

/* Ended within @ms or the test fails; returns the exit code, 128 + signal if killed. */
int proc_wait(struct proc *p, int ms);

/* Wait until the standard output contains @text. */
void proc_await(struct proc *p, const char *text, int ms);

/* The output so far; to be freed. */
char *proc_out(const struct proc *p);
char *proc_err(const struct proc *p);

/* Kill if need be, reap, close. */
void proc_drop(struct proc *p);

/* It ended with code 1 and exactly one line on standard error, which contains @cause. */
void proc_assert_refusal(struct proc *p, int ms, const char *cause);

int64_t now_ms(void);
void sleep_ms(int ms);

#endif
