/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stage.h - the measured operation, the same for every contender: one sender
 * and N receivers, each a process, that share a page of memory beside what
 * they measure.
 *
 * An operation, each step of which begins when all have ended the one before:
 *
 *   move     each receiver says that it is ready, and calls receive().  When all
 *            have said so the sender lets 100 us pass, so that all wait; then it
 *            takes the time and sends.  Each receiver takes the time when its
 *            receive() has returned ("arrived"), or when it has summed all bytes
 *            as well ("read").  The latest of them counts.
 *   check    unless "read": each receiver sums all bytes.  All sums are compared
 *            with the sender's.
 *   release  what is to be done before the sender may send again.
 *
 * Between steps everybody sleeps (futex) until it is his turn.
 *
 * The processor time of an operation ("work") is what all processes spend in
 * send(), receive(), release() and sent().  For that nobody waits for the others:
 * the sender starts when it has woken the receivers, as processes do that come
 * to such a call at the same time.
 */
#ifndef BENCH_MULTICAST_STAGE_H
#define BENCH_MULTICAST_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STAGE_RECEIVERS 8
#define STAGE_MOST	(4u << 20) /* bytes of an operation */
#define STAGE_STALL_MS	10000	   /* of silence: somebody has died */

enum stage_mode { STAGE_ARRIVED, STAGE_READ, STAGE_WORK };

/* A process's part of the page; one writer, the process. */
struct stage_place {
	_Alignas(64) uint64_t end; /* CLOCK_MONOTONIC, ns: its part in "move" has ended */
	uint64_t work;		   /* processor time, ns */
	uint64_t sum;
	pid_t pid; /* written last: it is there */
};

struct stage_page {
	_Alignas(64) uint32_t step; /* the sender's; futex of the receivers */
	uint32_t bytes;
	uint32_t mode;
	uint32_t quit;
	uint32_t receivers;
	_Alignas(64) uint32_t told;   /* receivers that have ended the step; futex of the sender */
	_Alignas(64) uint32_t failed; /* somebody gives up; the first says why */
	char why[200];
	uint32_t note[STAGE_RECEIVERS]; /* the contender's own, set before the process is there */
	struct stage_place place[1 + STAGE_RECEIVERS]; /* the sender's is the first */
};

/* Functions return 0, or -1 after stage_fault(). */
struct contender {
	const char *name;
	/* Sender: where the data are taken from, at least STAGE_MOST bytes. */
	uint8_t *source;
	int (*send)(struct contender *c, uint32_t bytes);
	/* All receivers have released the data; may be NULL. */
	int (*sent)(struct contender *c);
	/* Bytes that were moved so far, as the contender counts them; NULL: it does not count. */
	int (*moved)(struct contender *c, uint64_t *bytes);
	/* Receiver: returns when all data are there, and where they are. */
	int (*receive)(struct contender *c, uint32_t bytes, const uint8_t **data);
	/* May be NULL. */
	int (*release)(struct contender *c);
};

/* The page: a file of STAGE_FILE bytes, all 0 at first. */
#define STAGE_FILE 65536
struct stage_page *stage_map(const char *path);

/*
 * Process @at (0: the sender) stays on one processor, they take turns; with a
 * real-time priority, if that is allowed.  Threads that a library starts
 * afterwards have both, too.
 */
void stage_take_processor(unsigned int at);

/* Process @at (0: the sender) is there; returns when all of 1 + @receivers are. */
int stage_enter(struct stage_page *page, unsigned int at, unsigned int receivers);

/* The sender, first of all: call the coordinator at @socket as @name; returns a descriptor or -1. */
int stage_call(struct stage_page *page, const char *socket, const char *name);

/*
 * The sender: orders of the coordinator, until that hangs up; then, or after a
 * failure, stage_end() closes the call.  @about: version and settings.
 */
int stage_lead(struct stage_page *page, struct contender *c, int call, const char *about);
void stage_end(struct stage_page *page, int call);

/* A receiver, until the sender ends. */
int stage_follow(struct stage_page *page, unsigned int at, struct contender *c);

/* All stop waiting, and the coordinator is told, if nobody has failed before.  Returns -1. */
int stage_fault(struct stage_page *page, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sleep while *@word is @value; false: for STAGE_STALL_MS, or somebody has failed. */
bool stage_sleep(struct stage_page *page, uint32_t *word, uint32_t value);
void stage_wake(uint32_t *word);

#endif
