/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * line.h - one line of the trace, as text or as a JSON object: it is built in
 * the caller's stack and written with one call, so that lines stay whole when
 * threads and processes share the file.
 *
 * No lock, no memory, no stdio: a thread may be anywhere, and a program may fork
 * at any time.
 */
#ifndef TRACE_LINE_H
#define TRACE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_BYTES 4096 /* a pipe takes as much in one piece, too */

struct line {
	bool json;
	bool cut;
	bool first; /* nothing stands in this group yet */
	size_t used;
	char text[LINE_BYTES];
};

/* The time, the thread, the function; its arguments follow. */
void line_begin(struct line *l, const char *call);
/* The arguments end: @code, by name if there is one; what the call gave back follows. */
void line_result(struct line *l, int code, const char *name);
/* The end, and out with it. */
void line_end(struct line *l, uint64_t ns);

/* name=value.  @name NULL: a member of a list. */
void put_number(struct line *l, const char *name, uint64_t value);
void put_word(struct line *l, const char *name, const char *word);	       /* of ours: as it is */
void put_string(struct line *l, const char *name, const char *text, bool cut); /* quoted, escaped */
void put_bytes(struct line *l, const char *name, const uint8_t *p, size_t n, bool cut); /* in hexadecimal */
void put_hex(struct line *l, const char *name, uint64_t value);
void put_pointer(struct line *l, const char *name, const void *p);

/* A group of them: {...}, or a list: [...]. */
void put_open(struct line *l, const char *name, char bracket);
void put_close(struct line *l, char bracket);

#endif
