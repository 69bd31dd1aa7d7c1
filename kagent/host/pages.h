/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pages.h - locking the calling process's own pages, where the kernel's calls
 * have to be helped along.  Whole pages; 0 or negative errno.
 */
#ifndef KA_HOST_PAGES_H
#define KA_HOST_PAGES_H

#include <stdint.h>

int pages_lock(uint64_t start, uint64_t length);

/* The pages that are there, and each other one when it comes: an object need not be made for its lock. */
int pages_lock_on_fault(uint64_t start, uint64_t length);

/* Where there is a hole, what lies behind it as well. */
void pages_unlock(uint64_t start, uint64_t length);

/* Make them present, without a lock. */
int pages_populate(uint64_t start, uint64_t length);

#endif
