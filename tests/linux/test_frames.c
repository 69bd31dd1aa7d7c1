/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_frames.c - what the kernel module has registered keeps its page frames, whatever the kernel does
 * to memory, and what a peer sends is what the process reads there, and a third one that shares it.
 */
#include "tests/linux/scene.h"
#include "tests/linux/subject.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHERS 0xEE /* what a child writes */
#define HOLES  (128ul << 20)

/* ---- what is done to memory ---- */

static void collapse(void **state)
{
	(void)state;
	for (struct subject *s = subject_next(NULL); s; s = subject_next(s)) {
		if (!(SUBJECT_SMALL & 1u << s->area.kind))
			continue;
		madvise(s->area.at, SUBJECT_BYTES, MADV_COLLAPSE);
		if (madvise(s->control.at, SUBJECT_BYTES, MADV_COLLAPSE))
			print_message("note: no collapse of a %s: %s\n", frames_name(s->area.kind),
				      strerror(errno));
	}
	subjects_moved("collapse", SUBJECT_SMALL);
	subjects_held("collapse");
	subjects_conclude();
}

static void swap_out(const char *what)
{
	for (struct subject *s = subject_next(NULL); s; s = subject_next(s)) {
		if (!(SUBJECT_SWAPS & 1u << s->area.kind))
			continue;
		madvise(s->area.at, SUBJECT_BYTES, MADV_PAGEOUT);
		madvise(s->control.at, SUBJECT_BYTES, MADV_PAGEOUT);
	}
	frames_pressure();
	subjects_moved(what, SUBJECT_SWAPS);
}

static bool no_swap(void)
{
	if (frames_can_swap())
		return false;
	print_message("void: swapping: there is no swap, or less than 128 MiB are free\n");
	return true;
}

static void swapping(void **state)
{
	(void)state;
	if (no_swap())
		skip();
	swap_out("swapping");
	subjects_held("swapping");
	subjects_conclude();
}

/* Pages that come from swap may still have their place there. */
static void swapped_before(void **state)
{
	(void)state;
	if (no_swap())
		skip();
	subjects_deregister();
	swap_out("swapping before it was registered");
	subjects_register();
	subjects_held("registering what was on swap");
	swap_out("swapping after that");
	subjects_held("swapping after that");
	subjects_conclude();
}

static void child(int from, int to)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(from, &c, 1) == 1) {
		for (struct subject *s = subject_next(NULL); s; s = subject_next(s))
			memset(s->area.at, OTHERS, SUBJECT_BYTES);
		vka_must(write(to, &c, 1) == 1);
	}
	_exit(0);
}

static pid_t start_child(int *fd)
{
	int pair[2];
	pid_t pid;

	vka_must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	pid = fork();
	vka_must(pid >= 0);
	if (pid == 0) {
		close(pair[0]);
		child(pair[1], pair[1]);
	}
	close(pair[1]);
	*fd = pair[0];
	return pid;
}

static bool only_others(const uint8_t *at)
{
	return at[0] == OTHERS && !memcmp(at, at + 1, SUBJECT_BYTES - 1);
}

/* The child writes: to copies, or to what both share.  Then the parent does, and the child goes. */
static void both_write(int fd, pid_t pid)
{
	int status;
	char c = 0;

	vka_must(write(fd, &c, 1) == 1);
	vka_must(read(fd, &c, 1) == 1);
	for (struct subject *s = subject_next(NULL); s; s = subject_next(s))
		assert_int_equal(only_others(s->area.at), frames_shared(s->area.kind));
	subjects_held("the child's write");
	for (struct subject *s = subject_next(NULL); s; s = subject_next(s)) {
		memset(s->area.at, 1, SUBJECT_BYTES);
		memset(s->control.at, 1, SUBJECT_BYTES);
	}
	subjects_moved("the parent's write", SUBJECT_COPIED);
	subjects_held("the parent's write");
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	subjects_held("the child's end");
	subjects_conclude();
}

static void fork_and_write(void **state)
{
	pid_t pid;
	int fd;

	(void)state;
	pid = start_child(&fd);
	subjects_held("fork");
	both_write(fd, pid);
}

/* What parent and child have in common when it is registered must not stay in common. */
static void forked_before(void **state)
{
	pid_t pid;
	int fd;

	(void)state;
	subjects_deregister();
	pid = start_child(&fd);
	subjects_register();
	subjects_held("fork before it was registered");
	both_write(fd, pid);
}

static void *holes;

static int set_up_in_holes(void **state)
{
	holes = frames_fragment(HOLES);
	return subjects_setup(state);
}

static int tear_down_in_holes(void **state)
{
	munmap(holes, HOLES);
	return subjects_teardown(state);
}

static void compaction(void **state)
{
	size_t n = frames_compact(holes, HOLES);

	(void)state;
	subjects_shown("compaction", "small pages around it", n, HOLES / FRAMES_PAGE / 2);
	subjects_held("compaction");
	subjects_conclude();
}

/* The kernel takes a frame for bad, and brings what is there to another one. */
static void soft_offline(void **state)
{
	size_t page;

	(void)state;
	for (struct subject *s = subject_next(NULL); s; s = subject_next(s))
		for (page = 5; page < FRAMES_PAGES; page += 250) {
			madvise(s->area.at + page * FRAMES_PAGE, FRAMES_PAGE, MADV_SOFT_OFFLINE);
			madvise(s->control.at + page * FRAMES_PAGE, FRAMES_PAGE, MADV_SOFT_OFFLINE);
		}
	subjects_moved("frames taken away", SUBJECT_ALL);
	subjects_held("frames taken away");
	subjects_conclude();
}

static void move_to(uint8_t *at, int node)
{
	int nodes[FRAMES_PAGES], status[FRAMES_PAGES];
	void *page[FRAMES_PAGES];
	size_t i;

	for (i = 0; i < FRAMES_PAGES; i++) {
		page[i] = at + i * FRAMES_PAGE;
		nodes[i] = node;
	}
	syscall(SYS_move_pages, 0, FRAMES_PAGES, page, nodes, status, MPOL_MF_MOVE);
}

static void nodes(void **state)
{
	unsigned long mask[2] = {1, 2};
	int node;

	(void)state;
	if (access("/sys/devices/system/node/node1", F_OK)) {
		print_message("void: migration: there is one memory node\n");
		skip();
	}
	for (node = 1; node >= 0; node--) {
		for (struct subject *s = subject_next(NULL); s; s = subject_next(s)) {
			move_to(s->area.at, node);
			move_to(s->control.at, node);
			if (node) /* from now on it is known where they are */
				frames_look(getpid(), s->control.at, s->control_frame);
		}
		subjects_held("move_pages");
	}
	subjects_moved("move_pages", SUBJECT_ALL);
	syscall(SYS_migrate_pages, getpid(), 3, &mask[0], &mask[1]);
	subjects_moved("migrate_pages", SUBJECT_ALL);
	subjects_held("migrate_pages");
	subjects_conclude();
}

static int once(void **state)
{
	(void)state;
	frames_huge_pages(true);
	return 0;
}

static int at_last(void **state)
{
	(void)state;
	frames_huge_pages(false);
	return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, subjects_setup, subjects_teardown)
	const struct CMUnitTest tests[] = {
		TEST(collapse),
		TEST(swapping),
		TEST(swapped_before),
		TEST(fork_and_write),
		TEST(forked_before),
		cmocka_unit_test_setup_teardown(compaction, set_up_in_holes, tear_down_in_holes),
		TEST(soft_offline),
		TEST(nodes),
	};

	return cmocka_run_group_tests(tests, once, at_last);
}
