/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps.h - what a process has mapped at an area: the `resolve` of a host of the
 * Locked Memory Manager, for the calling process or for another one that it may
 * look into.
 */
#ifndef KA_HOST_MAPS_H
#define KA_HOST_MAPS_H

#include <stdbool.h>
#include <sys/types.h>

#include "lmm.h"

enum { MAPS_MOUNTS = 8 }; /* file systems remembered */

struct maps {
	bool self;    /* the calling process */
	bool text;    /* use the text of /proc/PID/maps even where the kernel answers questions */
	int fd;	      /* /proc/PID/maps; of the program that ran when it was opened.  -1: closed */
	int mount_fd; /* /proc/PID/mountinfo, -1: not needed yet */
	char dir[24]; /* /proc/PID */
	struct {
		uint32_t dev;
		uint32_t fs; /* enum mount_fs, 0: the place is free */
	} mounts[MAPS_MOUNTS];
	uint32_t next_mount; /* place to be given up next */
};

/*
 * maps_open - look into process @pid; 0: the calling process.
 * Returns 0 or negative errno; -EACCES: this process may not (ptrace(2)).
 * After either, maps_close() may be called.
 */
int maps_open(struct maps *m, pid_t pid);
void maps_close(struct maps *m);

/*
 * maps_resolve - `resolve` of struct lmm_host, in lmm.h.  -ESRCH also when the
 * process executes another program than at maps_open().
 * Who looks into another process then makes sure that it still lives: only so
 * long does its number name it.
 */
int maps_resolve(struct maps *m, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max,
		 char *text);

#endif
