/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * alloc.c - see alloc.h.
 */
#include "kagent/host/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE (2u << 20)

void *alloc_zeroed(size_t bytes)
{
	void *mem;

	if (bytes < HUGE_PAGE / 2)
		return calloc(1, bytes);
	if (posix_memalign(&mem, HUGE_PAGE, bytes) != 0)
		return NULL;
	madvise(mem, bytes, MADV_HUGEPAGE);
	return memset(mem, 0, bytes);
}
