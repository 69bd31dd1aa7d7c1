/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm_core.h - the core's benchmark: what its parts share.
 *
 * lmm_core.c      options and results
 * lmm_core_lmm.c  the Locked Memory Manager
 * lmm_core_tpt.c  the Translation and Protection Table
 */
#ifndef BENCH_LMM_CORE_H
#define BENCH_LMM_CORE_H

#include <stdint.h>
#include <stdlib.h>

#include "kagent/core/tpt.h"

#ifdef LMM_MERGE
#define PROGRAM "lmm_core_merge"
#define VARIANT ", merging"
#else
#define PROGRAM "lmm_core"
#define VARIANT ""
#endif

#define BATCHES 100u /* of each kind in a round */

extern uint32_t rounds;

__attribute__((noreturn)) void die(const char *what);
uint64_t now_ns(void);
/* The same numbers each time. */
uint32_t random_below(uint32_t n);

/* Times for a call, in ns. */
struct samples {
	double *ns;
	uint32_t n;
};

/* Room for rounds * BATCHES. */
struct samples samples_new(void);
/* Also the end of them. */
double samples_median(struct samples *s);

/* @baseline, @target (of the ratio): 0: there is none. */
void add_row(const char *name, const char *unit, double ours, double baseline, double target);

void measure_lmm_memory(void);
void measure_lmm_times(void);
void measure_tpt(void);

#endif
