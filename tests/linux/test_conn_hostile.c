/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_conn_hostile.c - connections of ka0 whose peer writes nonsense, dies, or takes
 * its memory away under way; and ends that do not obey.
 */
#include "tests/linux/scene.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "vipl.h"

#define RUN_MS 3000u

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Anything: what it says is one of the things that can be said. */
static void anything(unsigned int *seed, uint32_t *counts)
{
	struct ka_seg s[8];
	uint32_t n = (uint32_t)rand_r(seed) % 8, i, op = (uint32_t)rand_r(seed) % 8;
	struct vipka_send v = {.seg = (uintptr_t)s, .nsegs = n, .op = op < 5 ? EMU_OP_SEND : EMU_OP_WRITE};
	int r;

	for (i = 0; i < n; i++)
		s[i] = scene_seg((uint32_t)rand_r(seed) % (SCENE_BUF / 2), (uint32_t)rand_r(seed) % 20000);
	v.target = (struct vipka_seg){(uintptr_t)scene.buf + (uint32_t)rand_r(seed) % SCENE_BUF, scene.theirs,
				      0};
	if (op == 5) {
		v.op = EMU_OP_READ;
		v.nsegs = 0;
		v.error = VIP_STATUS_RDMA_PROT_ERROR;
	}
	r = vka_send(&scene.c, &v);
	assert_true(r >= 0 && r <= EMU_IS_DOWN && r != EMU_STREAMING && r != EMU_SENT_HELD);
	counts[r]++;
	ka_store_relaxed(&scene.both->sent, v.next);
	if (v.op == EMU_OP_SEND && (r == EMU_SENT || r == EMU_BAD_RECEIVE))
		ka_store_relaxed(&scene.both->recv, scene.both->recv + 1);
}

static void garbage(void **state)
{
	struct scene_cmd cmd = {.op = SCENE_GARBAGE};
	uint64_t end = now_ms() + 2 * RUN_MS;
	uint32_t counts[EMU_IS_DOWN + 1] = {0}, i;
	unsigned int seed = 7;

	(void)state;
	scene_tell(&cmd);
	while (now_ms() < end)
		anything(&seed, counts);
	for (i = 0; i <= EMU_IS_DOWN; i++)
		print_message("outcome %u: %u times\n", i, counts[i]);
	assert_true(counts[EMU_SENT] && counts[EMU_BAD_RECEIVE] && counts[EMU_BAD_TARGET]);
	scene_whole();
}

static void killed(void **state)
{
	struct ka_seg s = scene_seg(0, 4u << 20);
	uint64_t end = now_ms() + 20000;
	struct vipka_event ev;
	struct ka_event e;
	uint32_t n = 0;
	int r;

	(void)state;
	do {
		r = scene_write(&s, 1, scene_peer_seg(11, 0), NULL);
		if (++n == 20)
			kill(scene.peer, SIGKILL);
		assert_true(now_ms() < end);
	} while (r == EMU_SENT || r == EMU_BAD_TARGET);
	assert_int_equal(r, EMU_IS_DOWN);
	assert_true(vka_event(&scene.v, &ev, 20000));
	memcpy(&e, ev.event, sizeof(e));
	assert_int_equal(e.type, KA_EV_LOST);
	assert_int_equal(e.down, KA_DOWN_DEAD);
	assert_int_equal(vka_disconnect(&scene.v, &scene.c), 0);
	assert_int_equal(scene_write(&s, 1, scene_peer_seg(11, 0), NULL), EMU_IS_DOWN);
}

/* Who is killed while it sends leaves nothing behind that holds others up. */
static void sender_killed(void **state)
{
	struct scene_cmd set = {.op = SCENE_SET, .imm = scene.v.tag};
	pid_t sender;
	uint32_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		sender = fork();
		assert_true(sender >= 0);
		if (sender == 0) {
			struct vka v = vka_open();
			struct vka_conn a = vka_vi(&v, VIP_SERVICE_RELIABLE_DELIVERY, SCENE_RDMA),
					b = vka_vi(&v, VIP_SERVICE_RELIABLE_DELIVERY, SCENE_RDMA);
			struct ka_seg s = {(uintptr_t)scene.buf, 0, SCENE_BUF / 2};
			struct vipka_send w = {.seg = (uintptr_t)&s, .nsegs = 1, .op = EMU_OP_WRITE};

			s.handle = vka_reg(&v, scene.buf, SCENE_BUF, v.tag, SCENE_RDMA);
			w.target = (struct vipka_seg){s.addr + SCENE_BUF / 2, s.handle, 0};
			vka_loop(&v, &a, &b, 99);
			for (;;)
				vka_must(vka_send(&a, &w) == EMU_SENT);
		}
		nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
		assert_int_equal(kill(sender, SIGKILL), 0);
		assert_int_equal(waitpid(sender, NULL, 0), sender);
	}
	set.seg[0] = scene_peer_seg(0, 1);
	assert_int_equal(scene_tell(&set).value, 0);
	scene_whole();
}

/* ---- memory that is taken away ---- */

static uint32_t stop;

static void *write_there(void *arg)
{
	struct ka_seg s = scene_seg(0, 40000), d = *(struct ka_seg *)arg;
	uint32_t handle, *done = calloc(2, sizeof(*done));
	struct vipka_read r = {.seg = (uintptr_t)&s, .nsegs = 1, .target = {.len = 4}};
	uint32_t at = 60000;

	while (!ka_load_relaxed(&stop)) {
		/* the handle that the peer has now, where it says it */
		s = scene_seg(at, 4);
		r.target.addr = (uintptr_t)scene.buf;
		r.target.handle = scene.theirs;
		if (vka_read(&scene.c, &r) != EMU_SENT)
			break;
		memcpy(&handle, scene.buf + at, 4);
		d.handle = handle;
		s = scene_seg(0, 40000);
		done[scene_write(&s, 1, d, NULL) == EMU_SENT]++;
	}
	return done;
}

static void deregistered(void **state)
{
	struct scene_cmd churn = {.op = SCENE_CHURN, .imm = RUN_MS, .seg = {scene_peer_seg(1000001, 40000)}};
	pthread_t thread;
	void *done;

	(void)state;
	stop = 0;
	scene_pattern(0, 40000, 1);
	assert_int_equal(pthread_create(&thread, NULL, write_there, &churn.seg[0]), 0);
	assert_int_equal(scene_tell(&churn).value, 0);
	ka_store_relaxed(&stop, 1);
	pthread_join(thread, &done);
	print_message("%u writes went, %u were refused\n", ((uint32_t *)done)[1], ((uint32_t *)done)[0]);
	assert_true(((uint32_t *)done)[1] && ((uint32_t *)done)[0]);
	free(done);
	assert_true(scene_only(1000001, 40000, 0x5A));
	assert_true(scene_only(1000001 - 100, 100, 0));
	assert_true(scene_only(1000001 + 40000, 100, 0));
	scene_whole();
}

/* The own memory is: whatever was sent, it was what lay there. */
static void *send_mine(void *arg)
{
	struct ka_seg s = *(struct ka_seg *)arg;
	uint32_t *done = calloc(2, sizeof(*done));
	int r;

	while (!ka_load_relaxed(&stop)) {
		s.handle = ka_load_relaxed(&((struct ka_seg *)arg)->handle);
		r = scene_write(&s, 1, scene_peer_seg(0, 0), NULL);
		if (r != EMU_SENT && r != EMU_BAD_SOURCE && r != EMU_SOURCE_GONE)
			break;
		done[r == EMU_SENT]++;
	}
	return done;
}

static void source_deregistered(void **state)
{
	struct ka_seg s = scene_seg(1000003, 100000);
	uint64_t end = now_ms() + RUN_MS;
	pthread_t thread;
	void *done;

	(void)state;
	stop = 0;
	memset(scene.buf + 1000003, 0x11, 100000);
	assert_int_equal(pthread_create(&thread, NULL, send_mine, &s), 0);
	while (now_ms() < end) {
		uint32_t h = vka_reg(&scene.v, scene.buf + 1000003, 100000, scene.v.tag, 0);

		ka_store_relaxed(&s.handle, h);
		nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
		vka_must(vka_dereg(&scene.v, scene.buf + 1000003, h) == 0);
		memset(scene.buf + 1000003, 0x22, 100000); /* nobody sends that */
		memset(scene.buf + 1000003, 0x11, 100000);
	}
	ka_store_relaxed(&stop, 1);
	pthread_join(thread, &done);
	print_message("%u writes went, %u were refused\n", ((uint32_t *)done)[1], ((uint32_t *)done)[0]);
	assert_true(((uint32_t *)done)[1] && ((uint32_t *)done)[0]);
	free(done);
	assert_true(scene_only(0, 100000, 0x11));
	scene_whole();
}

/* ---- who does not obey ---- */

/* The control page says that the connection is up; the agent has ended it. */
static void not_down(void **state)
{
	struct scene_cmd cmd = {.op = SCENE_DISCONNECT};
	struct ka_seg s = scene_seg(0, 8);
	struct vipka_read r = {.seg = (uintptr_t)&s, .nsegs = 1};

	(void)state;
	r.target = (struct vipka_seg){(uintptr_t)scene.buf, scene.theirs, 8};
	scene_pattern(0, 8, 1);
	assert_int_equal(scene_write(&s, 1, scene_peer_seg(0, 0), NULL), EMU_SENT);
	scene_tell(&cmd);
	scene.c.l.region->ctl.down = 0;
	assert_int_equal(scene_write(&s, 1, scene_peer_seg(8, 0), NULL), EMU_IS_DOWN);
	assert_int_equal(vka_read(&scene.c, &r), EMU_IS_DOWN);
	assert_true(scene_only(8, 8, 0));
	assert_true(scene_has(0, 8, 1));
}

static void *ring(void *arg)
{
	uint64_t *last = arg, n = 0, i;
	struct ka_seg s = scene_seg(0, 100);

	for (i = 0; i < 200; i++) {
		struct vipka_send v = {.seg = (uintptr_t)&s, .nsegs = 1, .op = EMU_OP_SEND};

		if (vka_send(&scene.c, &v) != EMU_SENT || v.next <= n)
			return NULL;
		n = v.next;
	}
	*last = n;
	return last;
}

/* Threads that ring without a lock of theirs take turns. */
static void two_threads(void **state)
{
	struct ka_seg d = scene_peer_seg(0, 100);
	uint64_t last[2];
	pthread_t thread[2];
	uint32_t i;

	(void)state;
	for (i = 0; i < 400; i++)
		scene_post(&d, 1);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, ring, &last[i]), 0);
	for (i = 0; i < 2; i++) {
		void *done;

		pthread_join(thread[i], &done);
		assert_non_null(done);
	}
	assert_true(last[0] == 400 || last[1] == 400);
	for (i = 0; i < 400; i++)
		assert_int_equal(scene_take().recv.length, 100);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)
	const struct CMUnitTest tests[] = {TEST(garbage),
					   TEST(killed),
					   TEST(sender_killed),
					   TEST(deregistered),
					   TEST(source_deregistered),
					   TEST(not_down),
					   TEST(two_threads)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
