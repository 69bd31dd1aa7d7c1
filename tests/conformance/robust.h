/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* robust.h - checks 191 to 200: check_robust.c lists them. */
#ifndef CONFORMANCE_ROBUST_H
#define CONFORMANCE_ROBUST_H

#include "connecting.h"

/* robust_handles.c */
void check_bad_handles(struct run *r);
void check_null_outs(struct run *r);

/* robust_blocking.c */
void check_for_ever(struct run *r);
void check_signals(struct run *r);

/* robust_layout.c */
void check_descriptor_layout(struct run *r);
void check_constants(struct run *r);

/* robust_threads.c */
void check_thread_each(struct run *r);
void check_threads_one(struct run *r);

#endif
