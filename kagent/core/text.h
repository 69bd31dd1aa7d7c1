/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * text.h - error texts without libc.
 */
#ifndef KA_CORE_TEXT_H
#define KA_CORE_TEXT_H

#include "kagent/ka_proto.h"

/*
 * ka_text - write a line into @buf of @size bytes, always ended by NUL, cut
 * when too long.  Knows %s, %u, %llu and %llx.
 */
__attribute__((format(printf, 3, 4))) void ka_text(char *buf, size_t size, const char *fmt, ...);

/* ka_fail - put @err and its cause into @rep; the value is @err. */
#define ka_fail(rep, error, ...)                                        \
	({                                                              \
		ka_text((rep)->text, sizeof((rep)->text), __VA_ARGS__); \
		(rep)->err = (error);                                   \
	})

#endif
