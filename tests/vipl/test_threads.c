/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_threads.c - ThreadSafe: many threads on VIs of their own, and on one VI
 * and one completion queue; who looks does not wait for who waits.
 */
#include "tests/vipl/memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#define THREADS 16

static struct end *end;
static uint32_t messages;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint32_t get(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void run_threads(void *(*fn)(void *), pthread_t t[THREADS])
{
	uintptr_t i;

	for (i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, fn, (void *)i), 0); /* NOLINT */
}

static void join_threads(const pthread_t t[THREADS])
{
	int i;

	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

/* ---- one VI for each thread ---- */

static VIP_VI_HANDLE vis[THREADS];

/* Each thread's three descriptors and the data behind them lie apart. */
static VIP_DESCRIPTOR *fill(uintptr_t who, int i)
{
	uint8_t *data = end_data(end) + (who * 3 + (uintptr_t)i) * 4096;

	return end_fill(end, (int)who * 3 + i, data, 512, end->mem);
}

static void *own_vi(void *arg)
{
	uintptr_t who = (uintptr_t)arg;
	VIP_VI_HANDLE vi = vis[who];
	VIP_DESCRIPTOR *d, *post;
	uint32_t n;

	if (!end->server) {
		post = fill(who, 2);
		fill_pattern(post->DS[0].Local.Data.Address, 512, 0);
		CHECK_EQ(VipPostSend(vi, post, end->mem), VIP_SUCCESS);
	}
	for (n = 0; n < messages; n++) {
		CHECK_EQ(VipRecvWait(vi, 60000, &d), VIP_SUCCESS);
		CHECK(d == end_desc(end, (int)who * 3 + (int)(n & 1)));
		CHECK_EQ(diff_pattern(d->DS[0].Local.Data.Address, 512, n), -1);
		CHECK_EQ(VipPostRecv(vi, fill(who, (int)(n & 1)), end->mem), VIP_SUCCESS);
		if (!end->server || n) {
			CHECK_EQ(VipSendWait(vi, 60000, &d), VIP_SUCCESS);
			CHECK(d == end_desc(end, (int)who * 3 + 2));
		}
		if (!end->server && n + 1 == messages)
			break;
		post = fill(who, 2);
		fill_pattern(post->DS[0].Local.Data.Address, 512, end->server ? n : n + 1);
		CHECK_EQ(VipPostSend(vi, post, end->mem), VIP_SUCCESS);
	}
	return NULL;
}

static void own_end(struct end *e)
{
	pthread_t t[THREADS];
	uintptr_t i;
	int j;

	end = e;
	for (i = 0; i < THREADS; i++) {
		end_open(e);
		vis[i] = e->vi;
		for (j = 0; j < 2; j++)
			CHECK_EQ(VipPostRecv(e->vi, fill(i, j), e->mem), VIP_SUCCESS);
		end_connect(e);
	}
	run_threads(own_vi, t);
	join_threads(t);
	end_sync(e);
	end_close(e);
}

static void test_own_vi(void **state)
{
	int level;

	(void)state;
	messages = under_valgrind() ? 20 : UNDER_TSAN ? 200 : 1000;
	for (level = VIP_SERVICE_RELIABLE_DELIVERY; level <= VIP_SERVICE_RELIABLE_RECEPTION; level <<= 1)
		run_pair(own_end, own_end, level, 100);
}

/* ---- one VI for all ---- */

#define MESSAGES 50000u
#define WINDOW	 48u /* receives, and sends under way */

static uint8_t seen[MESSAGES];
static uint32_t received, reaped_sends, next_message, room_left, told;
static int attached;

/* The next completion, by this thread's way; NULL when @count has come to @all. */
static VIP_DESCRIPTOR *reap(uintptr_t who, int recv, const uint32_t *count, uint32_t all)
{
	VIP_CQ_HANDLE cq = recv ? end->rcq : end->scq;
	VIP_DESCRIPTOR *d = NULL;
	VIP_BOOLEAN which;
	VIP_VI_HANDLE vi;
	VIP_RETURN r;

	while (get(count) < all) {
		if (cq) {
			r = who & 1 ? VipCQDone(cq, &vi, &which) : VipCQWait(cq, 20, &vi, &which);
			if (r == VIP_SUCCESS) {
				CHECK(vi == end->vi);
				CHECK_EQ(which, recv);
				/* one completion for each entry; another thread may have taken the first */
				r = recv ? VipRecvDone(vi, &d) : VipSendDone(vi, &d);
				CHECK_EQ(r, VIP_SUCCESS);
			}
		} else if (who & 1) {
			r = recv ? VipRecvDone(end->vi, &d) : VipSendDone(end->vi, &d);
		} else {
			r = recv ? VipRecvWait(end->vi, 20, &d) : VipSendWait(end->vi, 20, &d);
		}
		if (r == VIP_SUCCESS)
			return d;
		CHECK(r == VIP_NOT_DONE || r == VIP_TIMEOUT || (r == VIP_DESCRIPTOR_ERROR && !d));
		if (r != VIP_TIMEOUT)
			usleep(20);
	}
	return NULL;
}

static void *receiver(void *arg)
{
	VIP_DESCRIPTOR *d;
	uint32_t n;

	while ((d = reap((uintptr_t)arg, 1, &received, messages))) {
		CHECK_EQ(d->CS.Status, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
		memcpy(&n, d->DS[0].Local.Data.Address, sizeof(n));
		CHECK(n < messages);
		CHECK_EQ(__atomic_exchange_n(&seen[n], 1, __ATOMIC_SEQ_CST), 0);
		CHECK_EQ(VipPostRecv(end->vi, d, end->mem), VIP_SUCCESS);
		__atomic_add_fetch(&received, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void all_server(struct end *e)
{
	pthread_t t[THREADS];
	uint32_t there;
	int i;

	end = e;
	end_nic(e);
	if (attached)
		CHECK_EQ(VipCreateCQ(e->nic, 16, &e->rcq), VIP_SUCCESS);
	end_open(e);
	for (i = 0; i < (int)WINDOW; i++)
		end_post_recv(e, i, end_data(e) + i * 64, 64);
	end_connect(e);
	run_threads(receiver, t);
	while (told < messages) {
		there = get(&received);
		if (there > told) {
			end_tell(e, there - told);
			told = there;
		}
		usleep(100);
	}
	join_threads(t);
	end_sync(e);
	end_close(e);
}

/* A descriptor belongs to who has reaped it; the first ones to their thread. */
static void *sender(void *arg)
{
	uintptr_t who = (uintptr_t)arg;
	uint32_t n, left, own = 0;
	VIP_DESCRIPTOR *d;

	for (;;) {
		if (own < 3) {
			int i = (int)who * 3 + (int)own++;

			d = end_fill(end, i, end_data(end) + i * 64, 64, end->mem);
		} else {
			d = reap(who, 0, &reaped_sends, messages);
			if (!d)
				return NULL;
			CHECK_EQ(d->CS.Status, VIP_STATUS_DONE | VIP_STATUS_OP_SEND);
			__atomic_add_fetch(&reaped_sends, 1, __ATOMIC_SEQ_CST);
		}
		for (left = get(&room_left);; left = get(&room_left)) {
			if (!left)
				usleep(50);
			else if (__atomic_compare_exchange_n(&room_left, &left, left - 1, 0, __ATOMIC_SEQ_CST,
							     __ATOMIC_SEQ_CST))
				break;
		}
		n = __atomic_fetch_add(&next_message, 1, __ATOMIC_SEQ_CST);
		if (n >= messages) {
			__atomic_add_fetch(&room_left, 1, __ATOMIC_SEQ_CST);
			own = 3;
			continue;
		}
		memcpy(d->DS[0].Local.Data.Address, &n, sizeof(n));
		CHECK_EQ(VipPostSend(end->vi, d, end->mem), VIP_SUCCESS);
	}
}

static void all_client(struct end *e)
{
	pthread_t t[THREADS];
	uint32_t heard = 0, n;

	end = e;
	end_nic(e);
	if (attached)
		CHECK_EQ(VipCreateCQ(e->nic, 16, &e->scq), VIP_SUCCESS);
	end_open(e);
	end_connect(e);
	room_left = WINDOW;
	run_threads(sender, t);
	while (heard < messages) {
		n = (uint32_t)end_hear(e);
		heard += n;
		__atomic_add_fetch(&room_left, n, __ATOMIC_SEQ_CST);
	}
	join_threads(t);
	CHECK_EQ(reaped_sends, messages);
	end_sync(e);
	end_close(e);
}

static void test_one_vi(void **state)
{
	int level;

	(void)state;
	messages = under_valgrind() ? 500 : UNDER_TSAN ? 5000 : MESSAGES;
	for (attached = 0; attached < 2; attached++) {
		for (level = VIP_SERVICE_RELIABLE_DELIVERY; level <= VIP_SERVICE_RELIABLE_RECEPTION;
		     level <<= 1)
			run_pair(all_server, all_client, level, 100);
	}
}

/* ---- Done beside Wait ---- */

static void *queue_sleeper(void *arg)
{
	VIP_DESCRIPTOR *d;

	(void)arg;
	CHECK_EQ(VipRecvWait(end->vi, VIP_INFINITE, &d), VIP_DESCRIPTOR_ERROR);
	CHECK(d == end_desc(end, 0));
	return NULL;
}

static void *cq_sleeper(void *arg)
{
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;

	(void)arg;
	CHECK_EQ(VipCQWait(end->scq, VIP_INFINITE, &vi, &recv), VIP_SUCCESS);
	return NULL;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void beside_server(struct end *e)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec often = {{0, 500000}, {0, 500000}};
	VIP_DESCRIPTOR *d;
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;
	pthread_t t[2];
	timer_t timer;
	double start, longest = 0, t0;
	int i;

	end = e;
	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, 16, &e->scq), VIP_SUCCESS);
	end_open(e);
	end_post_recv(e, 0, end_data(e), 64);
	end_connect(e);
	pthread_create(&t[0], NULL, queue_sleeper, NULL);
	pthread_create(&t[1], NULL, cq_sleeper, NULL);
	usleep(20000);
	/* signals all the time: they end no wait */
	signal(SIGUSR1, on_signal);
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	CHECK_EQ(timer_settime(timer, 0, &often, NULL), 0);
	start = now();
	for (i = 0; i < 20000 && now() - start < 5; i++) {
		t0 = now();
		CHECK_EQ(VipRecvDone(e->vi, &d), VIP_NOT_DONE);
		CHECK_EQ(VipCQDone(e->scq, &vi, &recv), VIP_NOT_DONE);
		if (now() - t0 > longest)
			longest = now() - t0;
	}
	CHECK_EQ(VipRecvWait(e->vi, 50, &d), VIP_TIMEOUT);
	CHECK_EQ(VipCQWait(e->scq, 50, &vi, &recv), VIP_TIMEOUT);
	timer_delete(timer);
	/* behind a thread in Wait it would be for ever; this much a busy machine may take */
	CHECK(longest < PATIENCE_MS / 1000 / 2);
	end_post_send(e, 1, end_data(e), 0);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	end_sync(e);
	end_close(e);
}

static void beside_client(struct end *e)
{
	end_open(e);
	end_connect(e);
	end_sync(e);
	end_close(e);
}

static void test_beside(void **state)
{
	(void)state;
	run_pair(beside_server, beside_client, VIP_SERVICE_UNRELIABLE, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_vi),
		cmocka_unit_test(test_one_vi),
		cmocka_unit_test(test_beside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
