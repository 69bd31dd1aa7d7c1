/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pages.c - see pages.h.
 */
#include "kagent/host/pages.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

static void *at(uint64_t addr)
{
	return (void *)(uintptr_t)addr; /* NOLINT(performance-no-int-to-ptr) */
}

int pages_lock(uint64_t start, uint64_t length)
{
	return mlock(at(start), length) == 0 ? 0 : -errno;
}

int pages_lock_on_fault(uint64_t start, uint64_t length)
{
	if (mlock2(at(start), length, MLOCK_ONFAULT) == 0)
		return 0;
	/* A filter of system calls, or valgrind, may not know it. */
	return errno == ENOSYS || errno == EINVAL ? pages_lock(start, length) : -errno;
}

void pages_unlock(uint64_t start, uint64_t length)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = start + length;

	if (munlock(at(start), length) == 0)
		return;
	/* It stops at the first hole. */
	for (; start < end; start += page)
		munlock(at(start), page);
}

int pages_populate(uint64_t start, uint64_t length)
{
	if (madvise(at(start), length, MADV_POPULATE_WRITE) == 0)
		return 0;
	/* Pages that may not be written are there to be read alone. */
	if (errno == EINVAL && madvise(at(start), length, MADV_POPULATE_READ) == 0)
		return 0;
	return -errno;
}
