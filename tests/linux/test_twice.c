/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_twice.c - linux_twice SCHEME TRIAL [kept]: the same memory is registered twice and deregistered once
 * (kept: not at all), then frames are in demand; what is still registered must have its frames, and what
 * comes must be read there.  The schemes: ka0, the kernel module, and naive ones (naive/naive.h), which fail.
 *
 * Exit status: 0 nothing is lost; 3 pages are; 77 nothing was shown, with the reason; else it could not be
 * tried.
 */
#include "tests/linux/frames.h"
#include "tests/linux/naive/naive.h"
#include "tests/linux/scene.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES ((uint32_t)FRAMES_HUGE)
#define LOST  3
#define VOID  77

_Static_assert(NAIVE_PAGES == FRAMES_PAGES, "a region is an area");

/* ---- how memory is locked, and what comes ---- */

struct scheme {
	const char *name;
	/* A registration of BYTES at @at; its handle, by which it ends. */
	uint32_t (*lock)(uint8_t *at);
	void (*unlock)(uint8_t *at, uint32_t handle);
	void (*comes)(uint8_t *at, uint32_t handle, uint32_t seed);
};

static uint32_t ka0_lock(uint8_t *at)
{
	return vka_reg(&scene.v, at, BYTES, scene.v.tag, SCENE_RDMA);
}

static void ka0_unlock(uint8_t *at, uint32_t handle)
{
	vka_must(vka_dereg(&scene.v, at, handle) == 0);
}

static void ka0_comes(uint8_t *at, uint32_t handle, uint32_t seed)
{
	vka_must(scene_comes_to((struct ka_seg){(uintptr_t)at, handle, BYTES}, BYTES, seed) == EMU_SENT);
}

static uint32_t naive_lock(uint8_t *at, unsigned long how)
{
	int fd = open(NAIVE_PATH, O_RDWR | O_CLOEXEC);

	vka_must(fd >= 0);
	vka_must(ioctl(fd, how, at) == 0);
	return (uint32_t)fd;
}

static void naive_unlock(uint8_t *at, uint32_t handle)
{
	(void)at;
	close((int)handle);
}

static void naive_comes(uint8_t *at, uint32_t handle, uint32_t seed)
{
	uint8_t *what = malloc(BYTES);
	int lost;

	(void)at;
	vka_must(what);
	scene_make(what, BYTES, seed);
	lost = ioctl((int)handle, NAIVE_COMES, what);
	vka_must(lost >= 0);
	printf("%d of %lu pages came to frames that are another's\n", lost, FRAMES_PAGES);
	free(what);
}

static uint32_t flag_lock(uint8_t *at)
{
	return naive_lock(at, NAIVE_FLAG);
}

static uint32_t reference_lock(uint8_t *at)
{
	return naive_lock(at, NAIVE_REFERENCE);
}

static uint32_t mlock_lock(uint8_t *at)
{
	vka_must(mlock(at, BYTES) == 0);
	return naive_lock(at, NAIVE_NOTHING);
}

static void mlock_unlock(uint8_t *at, uint32_t handle)
{
	vka_must(munlock(at, BYTES) == 0);
	naive_unlock(at, handle);
}

static const struct scheme schemes[] = {
	{"ka0", ka0_lock, ka0_unlock, ka0_comes},
	{"flag", flag_lock, naive_unlock, naive_comes},
	{"mlock", mlock_lock, mlock_unlock, naive_comes},
	{"reference", reference_lock, naive_unlock, naive_comes},
};

/* ---- frames are in demand ---- */

struct memory {
	struct frames_area area, control;
};

static void swap_out(const struct memory *m)
{
	madvise(m->area.at, BYTES, MADV_PAGEOUT);
	madvise(m->control.at, BYTES, MADV_PAGEOUT);
	frames_pressure();
}

/* The child has what there is; who writes gets a copy. */
static void fork_and_write(const struct memory *m)
{
	pid_t pid = fork();

	vka_must(pid >= 0);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	memset(m->area.at, 1, BYTES);
	memset(m->control.at, 1, BYTES);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static const struct trial {
	const char *name;
	void (*run)(const struct memory *m);
} trials[] = {{"swap", swap_out}, {"fork", fork_and_write}};

/* ---- the test ---- */

static int twice(const struct scheme *scheme, const struct trial *trial, bool kept)
{
	uint64_t was[FRAMES_PAGES], now[FRAMES_PAGES], control[FRAMES_PAGES];
	uint32_t first, second;
	struct memory m;
	size_t n;
	bool same;

	vka_must(frames_make(&m.area, FRAMES_PRIVATE) && frames_make(&m.control, FRAMES_PRIVATE));
	scene_make(m.area.at, BYTES, 1);
	scene_make(m.control.at, BYTES, 1);
	first = scheme->lock(m.area.at);
	second = scheme->lock(m.area.at);
	frames_look(getpid(), m.area.at, was);
	vka_must(frames_there(was));
	frames_look(getpid(), m.control.at, control);
	if (!kept)
		scheme->unlock(m.area.at, first);
	trial->run(&m);
	frames_read(m.control.at);
	frames_look(getpid(), m.control.at, now);
	if (!frames_moved(control, now)) {
		printf("void: no frame of the memory beside it changed\n");
		return VOID;
	}
	frames_read(m.area.at);
	frames_look(getpid(), m.area.at, now);
	n = frames_moved(was, now);
	scheme->comes(m.area.at, second, 2);
	same = scene_is(m.area.at, BYTES, 2);
	printf("%s, %s: %zu of %lu frames changed; what came is %sread\n", scheme->name, trial->name, n,
	       FRAMES_PAGES, same ? "" : "not ");
	return n || !same ? LOST : 0;
}

int main(int argc, char **argv)
{
	const struct scheme *scheme = schemes;
	const struct trial *trial = trials;
	bool kept = argc == 4 && !strcmp(argv[3], "kept");
	void *nothing = NULL;
	int rc;

	for (; argc > 1 && scheme < schemes + 4 && strcmp(argv[1], scheme->name); scheme++)
		;
	for (; argc > 2 && trial < trials + 2 && strcmp(argv[2], trial->name); trial++)
		;
	if (argc < 3 || argc > 3 + kept || scheme == schemes + 4 || trial == trials + 2) {
		fprintf(stderr, "usage: %s ka0|flag|mlock|reference swap|fork [kept]\n", argv[0]);
		return 1;
	}
	if (trial->run == swap_out && !frames_can_swap()) {
		printf("void: there is no swap, or less than 128 MiB are free\n");
		return VOID;
	}
	frames_huge_pages(true);
	if (scheme == schemes)
		scene_setup(&nothing);
	rc = twice(scheme, trial, kept);
	if (scheme == schemes)
		scene_teardown(&nothing);
	frames_huge_pages(false);
	return rc;
}
