/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * run.h - executing steps in a child process.
 */
#ifndef LMM_MODEL_RUN_H
#define LMM_MODEL_RUN_H

#include "model.h"

/*
 * run_child - run @work(@show) in a child process.
 * @show: it may print; if not, what it prints is lost.
 * Returns 0 when it ended well; else shared->why says why not.
 */
int run_child(void (*work)(bool show), bool show);

#endif
