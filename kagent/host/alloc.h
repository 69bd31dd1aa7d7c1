/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * alloc.h - memory for the core in a process.
 */
#ifndef KA_HOST_ALLOC_H
#define KA_HOST_ALLOC_H

#include <stddef.h>

/*
 * alloc_zeroed - @bytes of zeroed memory, for free(); NULL: there is none.
 * Large pieces are put on huge pages where the kernel has some: among very
 * many LMAs a search would miss the TLB at each step.
 */
void *alloc_zeroed(size_t bytes);

#endif
