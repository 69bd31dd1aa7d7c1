/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * subject.h - registered memory of each kind that test_frames.c puts through something, and what is seen of
 * it by this process, by a peer that sends to it (scene.h) and, where it is shared, by a third one.
 *
 * Beside each registered area lies another of its kind, the control, to which the same is done.  When none
 * of its frames changes nothing has been shown, and the test is skipped with a line that says so.
 */
#ifndef SUBJECT_H
#define SUBJECT_H

#include "tests/linux/frames.h"

#define SUBJECT_BYTES ((uint32_t)FRAMES_HUGE)

/* Kinds of memory, a bit for each. */
#define SUBJECT_SMALL  (1u << FRAMES_PRIVATE | 1u << FRAMES_SYSV | 1u << FRAMES_MEMFD | 1u << FRAMES_TMPFS)
#define SUBJECT_SWAPS  (SUBJECT_SMALL | 1u << FRAMES_TRANSPARENT)
#define SUBJECT_COPIED (1u << FRAMES_PRIVATE | 1u << FRAMES_TRANSPARENT | 1u << FRAMES_HUGE_PRIVATE)
#define SUBJECT_ALL    ((1u << FRAMES_KINDS) - 1)

struct subject {
	struct frames_area area, control;
	uint32_t handle;
	uint64_t frame[FRAMES_PAGES];	      /* when it was registered */
	uint64_t control_frame[FRAMES_PAGES]; /* when that was looked at last */
};

/* The one after @s, or the first; NULL: there are no more. */
struct subject *subject_next(struct subject *s);

/* For cmocka: all of them, registered. */
int subjects_setup(void **state);
int subjects_teardown(void **state);
void subjects_register(void);
void subjects_deregister(void);

/* They have the frames that they had when they were registered, and what comes is read there by all. */
void subjects_held(const char *after);
/* The controls of @kinds must have got other frames, or the proof is void; what was seen is printed. */
void subjects_moved(const char *after, uint32_t kinds);
/* The same, of @n of @all pages that are no control. */
void subjects_shown(const char *after, const char *what, size_t n, size_t all);
/* The end of a test: it is skipped if the proof is void. */
void subjects_conclude(void);

#endif
