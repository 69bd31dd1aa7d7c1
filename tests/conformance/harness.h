/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * harness.h - what runs the checks, for its own files; checks include suite.h.
 *
 * The parent process never opens the device: a provider need not survive a
 * fork.  What it must know of the device a child finds out.
 */
#ifndef CONFORMANCE_HARNESS_H
#define CONFORMANCE_HARNESS_H

#include <sys/types.h>

#include "suite.h"

/* How a process of a check ends, other than well or by a failed assertion. */
#define EXIT_SKIPPED 77
#define EXIT_ALONE   76 /* the other side went away first: its end tells more */

struct options {
	const char *device;
	const char *only; /* NULL: all */
	enum rank up_to;
	int seconds;  /* for SLOW checks */
	int slowdown; /* how often longer everything may take */
	bool strict, json, list, markdown;
	bool serve;	  /* side 0 for another host (apart.h) */
	const char *with; /* side 0 is on this host; NULL: here */
	const char *port; /* of TCP, for both */
};

enum outcome { PASSED, FAILED, SKIPPED };

struct result {
	const struct check *check;
	VIP_RELIABILITY_LEVEL level; /* 0: the check is not run at each level */
	enum outcome outcome;
	double seconds;
	char reason[6000]; /* of a failure or a skip: lines, each ended */
	char note[256];	   /* may be empty */
};

/* Written by the processes of a check, read by the parent when they have ended. */
struct board {
	char doing[2][256];
	char skip[512];
	char note[256];
	VIP_NIC_ATTRIBUTES attr; /* by probe(): LocalNicAddress is not for others, but ... */
	uint8_t address[64];	 /* ... here */
};
extern struct board *board;
extern int board_side;	   /* which of the two this process is */
extern int suite_slowdown; /* options.slowdown, for the helpers' patience */

/* help.c: all of it, or false: the other end has gone, or errno. */
bool send_all(int fd, const void *from, size_t n);
bool recv_all(int fd, void *to, size_t n);

const char *rank_name(enum rank rank);
const char *level_name(VIP_RELIABILITY_LEVEL level); /* "U", "RD", "RR"; 0: "-" */

/* Once, first of all.  Returns 0, or -1 with errno. */
int harness_start(const struct options *o);

/* Ask the device for board->attr, in a child.  False: why in @reason. */
bool probe(const struct options *o, char *reason, size_t n);

/* Run @res->check at @res->level (0: the highest of board->attr), and fill in the rest. */
void run_check(const struct options *o, struct result *res);

/* report.c */
void list_checks(const struct options *o);
void report_line(const struct result *res);
void report_summary(const struct options *o, const struct result *res, size_t n);
int report_json(const struct options *o, const struct result *res, size_t n);

/* main.c: every group, ended by NULL; does @only (--only) name @number? */
extern const struct check *const groups[];
bool is_chosen(const struct options *o, const struct check *c);

#endif
