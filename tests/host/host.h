/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * host.h - what the tests of kagent/host share: memory of every kind, and a
 * look at it by both ways that the kernel offers, which must agree.
 */
#ifndef TESTS_HOST_H
#define TESTS_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/types.h>

#include <cmocka.h>

#include "lmm.h"

#define PAGE ((size_t)4096)
#define HUGE ((size_t)2 << 20)
#define RW   (PROT_READ | PROT_WRITE)

/* skip_because - skip the test, and say why. */
#define skip_because(...)                   \
	do {                                \
		print_message("SKIP: ");    \
		print_message(__VA_ARGS__); \
		print_message("\n");        \
		skip();                     \
	} while (0)

static inline uint64_t at(const void *p)
{
	return (uintptr_t)p;
}

/*
 * look - resolve @bytes at @p in process @pid (0: this one), in both ways.
 * Fails the test unless they agree.  Returns what maps_resolve() does; the runs
 * are in `runs`, the text in `text`.
 */
int look(pid_t pid, const void *p, size_t bytes);
extern struct lmm_run runs[LMM_MAX_RUNS];
extern char text[LMM_TEXT];

/* look_one - look() at memory of this process that is one run; the run. */
struct lmm_run look_one(const void *p, size_t bytes);

/* refused - look() must refuse it, with @word and the address @where in the text. */
void refused(pid_t pid, const void *p, size_t bytes, int err, const char *word, const void *where);

/* map - mmap() or fail the test. */
void *map(size_t bytes, int prot, int flags, int fd);

/* memfd_of, file_in - a descriptor of @bytes: a new memfd with @flags, a new file in @dir without a name. */
int memfd_of(size_t bytes, unsigned int flags);
int file_in(const char *dir, size_t bytes);

/* room - @bytes at an address that nothing else touches: PROT_NONE. */
char *room(size_t bytes);

/* need_huge - skip the test unless there are @n huge pages; undone by huge_teardown(). */
void need_huge(unsigned int n);
int huge_teardown(void **state);

#endif
