/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * limit.h - the limits of the calling process on locked memory and on file descriptors, for the
 * texts of errors.
 */
#ifndef KA_HOST_LIMIT_H
#define KA_HOST_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * limit_exceeded - would locking @bytes more pass RLIMIT_MEMLOCK?  Ask when
 * the failed attempt is undone.
 * @text: out when it would, @n bytes of room: the limit, what is in use, the
 * remedy.
 */
bool limit_exceeded(uint64_t bytes, char *text, size_t n);

/* limit_kib - RLIMIT_MEMLOCK in KiB; UINT64_MAX: there is none. */
uint64_t limit_kib(void);

/*
 * limit_files - by errno @err, why there is no descriptor for @what, into @why: the limit that is reached,
 * its value, the remedy.  Returns -@err.
 */
int limit_files(char *why, size_t n, int err, const char *what);

#endif
