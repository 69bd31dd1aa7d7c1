/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * real-mlock.h - included first in every file of a build with sanitizers: these
 * replace mlock and munlock by functions that do nothing, and what this
 * project is about would not be tested.
 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int real_mlock(const void *address, size_t bytes)
{
	return (int)syscall(SYS_mlock, address, bytes);
}

static inline int real_munlock(const void *address, size_t bytes)
{
	return (int)syscall(SYS_munlock, address, bytes);
}

#define mlock	real_mlock
#define munlock real_munlock
