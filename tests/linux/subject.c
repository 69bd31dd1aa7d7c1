/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* subject.c - see subject.h. */
#include "tests/linux/subject.h"
#include "tests/linux/scene.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	struct subject s[FRAMES_KINDS];
	pid_t witness;
	int to_witness;
	uint32_t seed; /* of what came last */
	bool nothing_shown;
} t;

struct subject *subject_next(struct subject *s)
{
	for (s = s ? s + 1 : t.s; s < t.s + FRAMES_KINDS; s++)
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
	for (struct subject *s = subject_next(NULL); s; s = subject_next(s)) {
		if (frames_shared(s->area.kind))
			at[s->area.kind] = frames_attach(&s->area);
		frames_free(&s->area);
		frames_free(&s->control);
	}
	while (read(fd, &q, sizeof(q)) == sizeof(q)) {
		vka_must(at[q.kind]);
		a = (struct answer){at[q.kind], scene_is(at[q.kind], SUBJECT_BYTES, q.seed)};
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

	if (!scene_is(s->area.at, SUBJECT_BYTES, t.seed))
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
	struct ka_seg here = {(uintptr_t)s->area.at, s->handle, SUBJECT_BYTES};
	struct emu_recv got;
	bool moved;

	emu_post_recv(&scene.c.l, &here, 1, false);
	assert_int_equal(scene_comes(SUBJECT_BYTES, ++t.seed), EMU_SENT);
	assert_true(emu_recv_look(&scene.c.l));
	assert_true(emu_recv_take(&scene.c.l, &here, 1, &got, &moved));
	assert_int_equal(got.status, 0);
	assert_int_equal(got.length, SUBJECT_BYTES);
	arrived(after, s);
	assert_int_equal(scene_comes_to(here, SUBJECT_BYTES, ++t.seed), EMU_SENT);
	arrived(after, s);
}

void subjects_held(const char *after)
{
	for (struct subject *s = subject_next(NULL); s; s = subject_next(s)) {
		frames_read(s->area.at);
		same_frames(after, s, getpid(), s->area.at);
		come(after, s);
		same_frames(after, s, getpid(), s->area.at);
	}
}

void subjects_shown(const char *after, const char *what, size_t n, size_t all)
{
	print_message("%s %s: %s: %zu of %zu frames changed\n", n ? "seen:" : "void:", after, what, n, all);
	t.nothing_shown |= n == 0;
}

void subjects_moved(const char *after, uint32_t kinds)
{
	uint64_t now[FRAMES_PAGES];
	char what[64];

	for (struct subject *s = subject_next(NULL); s; s = subject_next(s)) {
		if (!(kinds & 1u << s->area.kind))
			continue;
		frames_read(s->control.at);
		frames_look(getpid(), s->control.at, now);
		snprintf(what, sizeof(what), "%s beside it", frames_name(s->area.kind));
		subjects_shown(after, what, frames_moved(s->control_frame, now), FRAMES_PAGES);
		memcpy(s->control_frame, now, sizeof(now));
	}
}

void subjects_conclude(void)
{
	if (t.nothing_shown)
		skip();
}

/* ---- registering ---- */

void subjects_register(void)
{
	for (struct subject *s = subject_next(NULL); s; s = subject_next(s)) {
		s->handle = vka_reg(&scene.v, s->area.at, SUBJECT_BYTES, scene.v.tag, SCENE_RDMA);
		frames_read(s->area.at);
		frames_look(getpid(), s->area.at, s->frame);
		vka_must(frames_there(s->frame));
		frames_look(getpid(), s->control.at, s->control_frame);
	}
}

void subjects_deregister(void)
{
	for (struct subject *s = subject_next(NULL); s; s = subject_next(s))
		assert_int_equal(vka_dereg(&scene.v, s->area.at, s->handle), 0);
}

int subjects_setup(void **state)
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
	for (i = 0; i < SUBJECT_BYTES; i += FRAMES_PAGE)
		for (struct subject *s = subject_next(NULL); s; s = subject_next(s))
			s->area.at[i] = s->control.at[i] = (uint8_t)(i / FRAMES_PAGE);
	subjects_register();
	return 0;
}

int subjects_teardown(void **state)
{
	for (struct subject *s = subject_next(NULL); s; s = subject_next(s)) {
		frames_free(&s->area);
		frames_free(&s->control);
	}
	close(t.to_witness);
	waitpid(t.witness, NULL, 0);
	return scene_teardown(state);
}
