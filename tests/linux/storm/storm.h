/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* storm.h - what the storms have in common: their clock, and how they are called. */
#ifndef STORM_H
#define STORM_H

#include <stdint.h>

struct storm_options {
	uint64_t count; /* -n, of what @what names */
	uint64_t seed;	/* -s */
	double seconds; /* -t: no longer than that */
};

/* Seconds of a clock that only goes on. */
double storm_now(void);
/* Read them over the defaults that are there; ends the process with status 2 and a usage, if need be. */
void storm_read_options(int argc, char **argv, const char *what, struct storm_options *o);

#endif
