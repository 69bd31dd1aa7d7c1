/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * text.c - a printf of four conversions, for error texts.
 *
 * Invariant: never writes past the buffer, and always ends it with NUL.
 */
#include "kagent/core/text.h"

#ifdef __KERNEL__
#include <linux/stdarg.h>
#else
#include <stdarg.h>
#endif

struct out {
	char *pos;
	char *end; /* the place of the last NUL */
};

static void put(struct out *o, char c)
{
	if (o->pos < o->end)
		*o->pos++ = c;
}

static void put_number(struct out *o, uint64_t value, unsigned int base)
{
	char digits[20];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	while (n > 0)
		put(o, digits[--n]);
}

void ka_text(char *buf, size_t size, const char *fmt, ...)
{
	struct out o = {buf, buf + size - 1};
	const char *s;
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt != '\0'; fmt++) {
		if (*fmt != '%') {
			put(&o, *fmt);
			continue;
		}
		fmt++;
		if (*fmt == 's') {
			for (s = va_arg(ap, const char *); *s != '\0'; s++)
				put(&o, *s);
		} else if (*fmt == 'u') {
			put_number(&o, va_arg(ap, unsigned int), 10);
		} else {
			fmt += 2; /* %llu, %llx */
			put_number(&o, va_arg(ap, unsigned long long), *fmt == 'x' ? 16 : 10);
		}
	}
	va_end(ap);
	*o.pos = '\0';
}
