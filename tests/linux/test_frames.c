/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_frames.c - what the kernel module has registered keeps its page frames, whatever the kernel does
 * to memory, and what a peer sends is what the process reads there, and a third one that shares it.
 *
 * Beside each registered area lies another of its kind, the control, to which the same is done.  When none
 * of its frames changes nothing has been shown, and the test is skipped with a line that says so.
 */
#include "tests/linux/frames.h"
#include "tests/linux/scene.h"

#include <errno.h>
#include <fcntl.h>
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

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

#define BYTES  ((uint32_t)FRAMES_HUGE)
#define OTHERS 0xEE /* what a child writes */
#define HOLES  (256ul << 20)

/* Kinds of memory, a bit for each. */
#define SHARED_SMALL (1u << FRAMES_SYSV | 1u << FRAMES_MEMFD | 1u << FRAMES_TMPFS)
#define SMALL	     (1u << FRAMES_PRIVATE | SHARED_SMALL)
#define SWAPPABLE    (SMALL | 1u << FRAMES_TRANSPARENT)
#define COPIED	     (1u << FRAMES_PRIVATE | 1u << FRAMES_TRANSPARENT | 1u << FRAMES_HUGE_PRIVATE)
#define ALL	     ((1u << FRAMES_KINDS) - 1)

struct subject {
	struct frames_area area, control;
	uint32_t handle;
	uint64_t frame[FRAMES_PAGES];	      /* when it was registered */
	uint64_t control_frame[FRAMES_PAGES]; /* when that was looked at last */
};

static struct {
	struct subject s[FRAMES_KINDS];
	pid_t witness;
	int to_witness;
	uint32_t seed; /* of what came last */
	bool nothing_shown;
} t;

/* The next one that is there, from @s on; NULL: there is none. */
static struct subject *there(struct subject *s)
{
	for (; s < t.s + FRAMES_KINDS; s++)
		if (s->area.at)
			return s;
	return NULL;
}

/* ---- the third process ---- */

struct question {
	enum frames_kind kind;
	uint32_t seed;
};
struct answer {
	uint8_t *at;
	bool same;
};

static void witness(int fd)
{
	uint8_t *at[FRAMES_KINDS] = {0};
	struct question q;
	struct answer a;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (struct subject *s = there(t.s); s; s = there(s + 1)) {
		if (frames_shared(s->area.kind))
			at[s->area.kind] = frames_attach(&s->area);
		frames_free(&s->area);
		frames_free(&s->control);
	}
	while (read(fd, &q, sizeof(q)) == sizeof(q)) {
		vka_must(at[q.kind]);
		a = (struct answer){at[q.kind], scene_is(at[q.kind], BYTES, q.seed)};
		vka_must(write(fd, &a, sizeof(a)) == sizeof(a));
	}
	_exit(0);
}

static void start_witness(void)
{
	int fd[2];

	vka_must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == 0);
	t.witness = fork();
	vka_must(t.witness >= 0);
	if (t.witness == 0) {
		close(fd[0]);
		witness(fd[1]);
	}
	close(fd[1]);
	t.to_witness = fd[0];
}

/* ---- looking ---- */

static void same_frames(const char *after, const struct subject *s, pid_t pid, const uint8_t *at)
{
	uint64_t now[FRAMES_PAGES];
	size_t n;

	frames_look(pid, at, now);
	n = frames_moved(s->frame, now);
	if (n)
		fail_msg("%s: %s: %zu of %lu frames changed%s", after, frames_name(s->area.kind), n,
			 FRAMES_PAGES, pid == getpid() ? "" : " for another process");
}

/* What has come is what this process reads, and the one that shares the memory. */
static void arrived(const char *after, const struct subject *s)
{
	struct question q = {s->area.kind, t.seed};
	struct answer a;

	if (!scene_is(s->area.at, BYTES, t.seed))
		fail_msg("%s: %s: what came is not what is read", after, frames_name(s->area.kind));
	if (!frames_shared(s->area.kind))
		return;
	vka_must(write(t.to_witness, &q, sizeof(q)) == sizeof(q));
	vka_must(read(t.to_witness, &a, sizeof(a)) == sizeof(a));
	if (!a.same)
		fail_msg("%s: %s: the third process reads something else", after, frames_name(s->area.kind));
	same_frames(after, s, t.witness, a.at);
}

/* A message, and an RDMA write. */
static void come(const char *after, const struct subject *s)
{
	struct ka_seg here = {(uintptr_t)s->area.at, s->handle, BYTES};
	struct emu_recv got;
	bool moved;

	emu_post_recv(&scene.c.l, &here, 1, false);
	assert_int_equal(scene_comes(BYTES, ++t.seed), EMU_SENT);
	assert_true(emu_recv_look(&scene.c.l));
	assert_true(emu_recv_take(&scene.c.l, &here, 1, &got, &moved));
	assert_int_equal(got.status, 0);
	assert_int_equal(got.length, BYTES);
	arrived(after, s);
	assert_int_equal(scene_comes_to(here, BYTES, ++t.seed), EMU_SENT);
	arrived(after, s);
}

/* Registered memory has its frames, and they are where data come. */
static void held(const char *after)
{
	for (struct subject *s = there(t.s); s; s = there(s + 1)) {
		frames_read(s->area.at);
		same_frames(after, s, getpid(), s->area.at);
		come(after, s);
		same_frames(after, s, getpid(), s->area.at);
	}
}

/* The controls of @kinds must have got other frames, or the proof is void. */
static void controls_moved(const char *after, uint32_t kinds)
{
	uint64_t now[FRAMES_PAGES];
	size_t n;

	for (struct subject *s = there(t.s); s; s = there(s + 1)) {
		if (!(kinds & 1u << s->area.kind))
			continue;
		frames_read(s->control.at);
		frames_look(getpid(), s->control.at, now);
		n = frames_moved(s->control_frame, now);
		memcpy(s->control_frame, now, sizeof(now));
		print_message("%s %s, %s: %zu of %lu frames beside it changed\n",
			      n ? "seen:" : "void:", after, frames_name(s->area.kind), n, FRAMES_PAGES);
		t.nothing_shown |= n == 0;
	}
}

static void conclude(void)
{
	if (t.nothing_shown)
		skip();
}

/* ---- registering ---- */

static void register_all(void)
{
	for (struct subject *s = there(t.s); s; s = there(s + 1)) {
		s->handle = vka_reg(&scene.v, s->area.at, BYTES, scene.v.tag, SCENE_RDMA);
		frames_read(s->area.at);
		frames_look(getpid(), s->area.at, s->frame);
		frames_look(getpid(), s->control.at, s->control_frame);
	}
}

static void deregister_all(void)
{
	for (struct subject *s = there(t.s); s; s = there(s + 1))
		assert_int_equal(vka_dereg(&scene.v, s->area.at, s->handle), 0);
}

static int set_up(void **state)
{
	enum frames_kind kind;
	size_t i;

	t.nothing_shown = false;
	scene_setup(state);
	for (kind = 0; kind < FRAMES_KINDS; kind++) {
		struct subject *s = &t.s[kind];

		if (frames_make(&s->area, kind) && frames_make(&s->control, kind))
			continue;
		print_message("note: no %s to be had: %s\n", frames_name(kind), strerror(errno));
		frames_free(&s->area);
	}
	start_witness();
	/* By turns, so that they lie beside each other. */
	for (i = 0; i < BYTES; i += FRAMES_PAGE)
		for (struct subject *s = there(t.s); s; s = there(s + 1))
			s->area.at[i] = s->control.at[i] = (uint8_t)(i / FRAMES_PAGE);
	register_all();
	return 0;
}

static int tear_down(void **state)
{
	for (struct subject *s = there(t.s); s; s = there(s + 1)) {
		frames_free(&s->area);
		frames_free(&s->control);
	}
	close(t.to_witness);
	waitpid(t.witness, NULL, 0);
	return scene_teardown(state);
}

/* ---- what is done to memory ---- */

static void collapse(void **state)
{
	(void)state;
	for (struct subject *s = there(t.s); s; s = there(s + 1)) {
		if (!(SMALL & 1u << s->area.kind))
			continue;
		madvise(s->area.at, BYTES, MADV_COLLAPSE);
		if (madvise(s->control.at, BYTES, MADV_COLLAPSE))
			print_message("note: no collapse of a %s: %s\n", frames_name(s->area.kind),
				      strerror(errno));
	}
	controls_moved("collapse", SMALL);
	held("collapse");
	conclude();
}

static void swap_out(const char *what)
{
	for (struct subject *s = there(t.s); s; s = there(s + 1)) {
		if (!(SWAPPABLE & 1u << s->area.kind))
			continue;
		madvise(s->area.at, BYTES, MADV_PAGEOUT);
		madvise(s->control.at, BYTES, MADV_PAGEOUT);
	}
	frames_pressure();
	controls_moved(what, SWAPPABLE);
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
	held("swapping");
	conclude();
}

/* Pages that come from swap may still have their place there. */
static void swapped_before(void **state)
{
	(void)state;
	if (no_swap())
		skip();
	deregister_all();
	swap_out("swapping before it was registered");
	register_all();
	held("registering what was on swap");
	swap_out("swapping after that");
	held("swapping after that");
	conclude();
}

static void child(int from, int to)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(from, &c, 1) == 1) {
		for (struct subject *s = there(t.s); s; s = there(s + 1))
			memset(s->area.at, OTHERS, BYTES);
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
	return at[0] == OTHERS && !memcmp(at, at + 1, BYTES - 1);
}

/* The child writes: to copies, or to what both share.  Then the parent does, and the child goes. */
static void both_write(int fd, pid_t pid)
{
	int status;
	char c = 0;

	vka_must(write(fd, &c, 1) == 1);
	vka_must(read(fd, &c, 1) == 1);
	for (struct subject *s = there(t.s); s; s = there(s + 1))
		assert_int_equal(only_others(s->area.at), frames_shared(s->area.kind));
	held("the child's write");
	for (struct subject *s = there(t.s); s; s = there(s + 1)) {
		memset(s->area.at, 1, BYTES);
		memset(s->control.at, 1, BYTES);
	}
	controls_moved("the parent's write", COPIED);
	held("the parent's write");
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	held("the child's end");
	conclude();
}

static void fork_and_write(void **state)
{
	pid_t pid;
	int fd;

	(void)state;
	pid = start_child(&fd);
	held("fork");
	both_write(fd, pid);
}

/* What parent and child have in common when it is registered must not stay in common. */
static void forked_before(void **state)
{
	pid_t pid;
	int fd;

	(void)state;
	deregister_all();
	pid = start_child(&fd);
	register_all();
	held("fork before it was registered");
	both_write(fd, pid);
}

static void *holes;

static int set_up_in_holes(void **state)
{
	holes = frames_fragment(HOLES);
	return set_up(state);
}

static int tear_down_in_holes(void **state)
{
	munmap(holes, HOLES);
	return tear_down(state);
}

static void compaction(void **state)
{
	size_t n = frames_compact(holes, HOLES);

	(void)state;
	print_message("%s compaction: %zu of %lu frames around it changed\n", n ? "seen:" : "void:", n,
		      HOLES / FRAMES_PAGE / 2);
	t.nothing_shown = n == 0;
	held("compaction");
	conclude();
}

/* The kernel takes a frame for bad, and brings what is there to another one. */
static void soft_offline(void **state)
{
	size_t page;

	(void)state;
	for (struct subject *s = there(t.s); s; s = there(s + 1))
		for (page = 5; page < FRAMES_PAGES; page += 250) {
			madvise(s->area.at + page * FRAMES_PAGE, FRAMES_PAGE, MADV_SOFT_OFFLINE);
			madvise(s->control.at + page * FRAMES_PAGE, FRAMES_PAGE, MADV_SOFT_OFFLINE);
		}
	controls_moved("frames taken away", ALL);
	held("frames taken away");
	conclude();
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
		for (struct subject *s = there(t.s); s; s = there(s + 1)) {
			move_to(s->area.at, node);
			move_to(s->control.at, node);
			if (node) /* from now on it is known where they are */
				frames_look(getpid(), s->control.at, s->control_frame);
		}
		held("move_pages");
	}
	controls_moved("move_pages", ALL);
	syscall(SYS_migrate_pages, getpid(), 3, &mask[0], &mask[1]);
	controls_moved("migrate_pages", ALL);
	held("migrate_pages");
	conclude();
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
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
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
