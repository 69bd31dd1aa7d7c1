/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * frames.h - memory of many kinds, the page frames behind it, and what makes a kernel change them.
 * For root alone, who is shown frames, and for a machine with nothing else to do.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

#define FRAMES_PAGE  4096ul
#define FRAMES_HUGE  (2ul << 20)
#define FRAMES_PAGES (FRAMES_HUGE / FRAMES_PAGE)

enum frames_kind {
	FRAMES_PRIVATE,	    /* small pages */
	FRAMES_TRANSPARENT, /* private, a huge page that the kernel has given */
	FRAMES_SYSV,
	FRAMES_MEMFD,
	FRAMES_TMPFS,
	FRAMES_HUGE_PRIVATE, /* a huge page that was asked for */
	FRAMES_HUGE_SYSV,
	FRAMES_KINDS
};

/* FRAMES_HUGE bytes of memory, on a bound of as many. */
struct frames_area {
	enum frames_kind kind;
	uint8_t *at; /* NULL: there is none of this kind here */
	int object;  /* shared: shmid or descriptor */
};

const char *frames_name(enum frames_kind kind);
bool frames_shared(enum frames_kind kind);
bool frames_huge(enum frames_kind kind); /* not transparently so */

/*
 * While they are wanted huge pages are there for those who ask, half of the free memory, and nobody else
 * is given any.
 */
void frames_huge_pages(bool wanted);

/* Made, but not touched; errno says why not. */
bool frames_make(struct frames_area *a, enum frames_kind kind);
void frames_free(struct frames_area *a);
/* The same shared memory once more, for another process; NULL with errno. */
uint8_t *frames_attach(const struct frames_area *a);

/* The frames of an area, as @pid has it at @at; 0: none there now.  Read all of it before, if it is to be
 * there. */
void frames_read(const uint8_t *at);
void frames_look(pid_t pid, const uint8_t *at, uint64_t frame[FRAMES_PAGES]);
/* Are all there? */
bool frames_there(const uint64_t frame[FRAMES_PAGES]);
/* How many are others than @was. */
size_t frames_moved(const uint64_t was[FRAMES_PAGES], const uint64_t now[FRAMES_PAGES]);

/* Is there any swap? */
bool frames_can_swap(void);
/* Pages are short: other memory is wanted until 64 MiB of what was there are on swap. */
void frames_pressure(void);
/* Half of @bytes of memory is taken, every other page: the end gives it back. */
void *frames_fragment(size_t bytes);
/* How many of those pages have been moved by compaction. */
size_t frames_compact(void *fragments, size_t bytes);

#endif
