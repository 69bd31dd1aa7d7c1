/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_many.c - many connected VIs, of which few are busy: what is idle costs
 * nothing, nothing is lost when any of them becomes busy, none waits for the
 * others when their completion queue is too small, and nothing is left of those
 * that go.
 */
#include "tests/vipl/many.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

static struct many many; /* of this process */
static uint32_t seed = 1;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % n;
}

static uint32_t how_many(void)
{
	return under_valgrind() ? 40 : UNDER_TSAN ? 200 : MANY;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- any of them becomes busy ---- */

static uint32_t messages(void)
{
	return under_valgrind() ? 400 : UNDER_TSAN ? 3000 : 10000;
}

/* The next entry, by Done or, now and then, by Wait. */
static uint32_t entry(VIP_CQ_HANDLE cq, int want, bool by_wait)
{
	uint64_t end = now_ns() + 20000000000u;
	VIP_VI_HANDLE vi = NULL;
	VIP_BOOLEAN recv = 2;
	VIP_RETURN r;

	if (by_wait)
		r = VipCQWait(cq, 20000, &vi, &recv);
	else
		while ((r = VipCQDone(cq, &vi, &recv)) == VIP_NOT_DONE && now_ns() < end)
			sched_yield();
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(recv, want);
	return many_index(&many, vi);
}

static void busy_server(struct end *e)
{
	uint32_t k;

	for (k = 0; k < messages(); k++)
		many_received(&many, entry(e->rcq, 1, rnd(2)));
}

/* One after the other at random; one many times; some in turn; and pauses, in which the other end sleeps. */
static uint32_t pick(uint32_t k)
{
	static uint32_t one;

	if (k % 256 == 0)
		one = rnd(many.n);
	switch (k / 64 % 4) {
	case 0:
		return rnd(many.n);
	case 1:
		return one;
	case 2:
		return (one + rnd(3)) % many.n;
	default:
		if (rnd(16) == 0)
			usleep(rnd(300));
		return (one + rnd(30)) % many.n;
	}
}

static void busy_client(struct end *e)
{
	VIP_BOOLEAN recv;
	VIP_VI_HANDLE vi;
	uint32_t k = 0;

	while (k < messages()) {
		uint32_t i = pick(k);

		if (many_may_send(&many, i)) {
			many_send(&many, i);
			k++;
		} else {
			sched_yield();
		}
		while (VipCQDone(e->scq, &vi, &recv) == VIP_SUCCESS) {
			CHECK_EQ(recv, 0);
			many_sent(&many, many_index(&many, vi));
		}
		if (many.nsending > 20)
			many_sent(&many, entry(e->scq, 0, rnd(2)));
	}
	while (many.nsending)
		many_sent(&many, entry(e->scq, 0, rnd(2)));
}

static void busy(struct end *e)
{
	VIP_BOOLEAN recv;
	VIP_VI_HANDLE vi;

	seed = (uint32_t)getpid();
	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, 16, &e->rcq), VIP_SUCCESS);
	CHECK_EQ(VipCreateCQ(e->nic, 1024, &e->scq), VIP_SUCCESS);
	many_open(&many, e, how_many());
	many_connect(&many);
	if (e->server)
		busy_server(e);
	else
		busy_client(e);
	end_sync(e);
	CHECK_EQ(VipCQDone(e->rcq, &vi, &recv), VIP_NOT_DONE);
	CHECK_EQ(VipCQDone(e->scq, &vi, &recv), VIP_NOT_DONE);
	end_sync(e);
	end_close(e);
}

static void test_busy(void **state)
{
	(void)state;
	run_pair(busy, busy, VIP_SERVICE_RELIABLE_DELIVERY, 120);
	run_pair(busy, busy, VIP_SERVICE_RELIABLE_RECEPTION, 120);
}

/* ---- what is idle ---- */

static uint32_t maps_of(const char *name)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	uint32_t n = 0;

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, name) != NULL;
	fclose(f);
	return n;
}

/* ns of a VipCQDone that finds nothing: the best of some goes. */
static uint64_t empty_done(VIP_CQ_HANDLE cq)
{
	uint64_t best = ~0ull;
	VIP_BOOLEAN recv;
	VIP_VI_HANDLE vi;
	int go, i;

	for (go = 0; go < 50; go++) {
		uint64_t start = now_ns();

		for (i = 0; i < 20; i++)
			CHECK_EQ(VipCQDone(cq, &vi, &recv), VIP_NOT_DONE);
		if (now_ns() - start < best)
			best = now_ns() - start;
	}
	return best / 20;
}

static uint64_t cpu_ns(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000u +
	       (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000u;
}

static void idle(struct end *e)
{
	uint64_t nobody, all, before;

	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, 16, &e->scq), VIP_SUCCESS); /* nothing is attached yet */
	nobody = empty_done(e->scq);
	CHECK_EQ(VipCreateCQ(e->nic, 16, &e->rcq), VIP_SUCCESS);
	many_open(&many, e, how_many());
	many_connect(&many);
	CHECK_EQ(maps_of("vipl-wake"), 2); /* the own one, and the peer's once */
	CHECK_EQ(maps_of("vipl-tpt"), 2);
	before = cpu_ns();
	sleep(2);
	if (!under_valgrind() && !UNDER_TSAN)
		CHECK((cpu_ns() - before) / 1000000 < 200);
	all = empty_done(e->rcq);
	printf("VipCQDone, nothing there: %llu ns without a VI, %llu ns with %u\n",
	       (unsigned long long)nobody, (unsigned long long)all, many.n);
	CHECK(all < 5 * nobody + 500);
	end_sync(e);
	end_close(e);
}

static void test_idle(void **state)
{
	(void)state;
	run_pair(idle, idle, VIP_SERVICE_RELIABLE_DELIVERY, 60);
}

/* ---- a completion queue that is too small ---- */

#define SMALL 4u
#define CROWD 64u
#define FOUND                                                                                                \
	16u /* entries taken before the CQ finds who else has some (the progress thread may have been there) \
	     */

static void crowd(struct end *e)
{
	uint32_t i, k, turn = 0;

	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, SMALL, &e->rcq), VIP_SUCCESS);
	many_open(&many, e, CROWD);
	many_connect(&many);
	if (!e->server) {
		for (i = 0; i < CROWD; i++) {
			for (k = 0; k < MANY_RECVS; k++) {
				many_send(&many, i);
				many_sent(&many, i);
			}
		}
	}
	end_sync(e);
	for (k = 0; e->server && k < CROWD * MANY_RECVS; k++) {
		many_received(&many, entry(e->rcq, 1, false));
		if (k + 1 < SMALL + FOUND + (turn + 1) * CROWD)
			continue;
		/* those that were there first, and as many turns: nobody waits for another's second */
		turn++;
		for (i = 0; i < CROWD; i++)
			CHECK(many.got[i] >= turn);
	}
	end_sync(e);
	end_close(e);
}

static void test_crowd(void **state)
{
	(void)state;
	run_pair(crowd, crowd, VIP_SERVICE_RELIABLE_DELIVERY, 30);
}

/* ---- VIs that go while there is news of them ---- */

static void go(struct end *e)
{
	VIP_BOOLEAN recv;
	VIP_VI_HANDLE vi;
	uint32_t round, i;

	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, 1024, &e->rcq), VIP_SUCCESS);
	for (round = 0; round < 4; round++) {
		many_open(&many, e, CROWD);
		many_connect(&many);
		for (i = 0; !e->server && i < CROWD; i++)
			many_send(&many, i);
		end_sync(e);
		/* every other time they are taken first, and there is news of those that come next */
		for (i = 0; e->server && round % 2 && i < CROWD; i++)
			many_received(&many, entry(e->rcq, 1, i % 2));
		end_sync(e);
		for (i = 0; !e->server && round % 2 && i < CROWD; i++) {
			many_sent(&many, i);
			many_send(&many, i);
		}
		end_sync(e);
		if (e->server)
			many_end(&many);
		end_sync(e);
		if (!e->server)
			many_end(&many);
		CHECK_EQ(VipCQDone(e->rcq, &vi, &recv), VIP_NOT_DONE);
	}
	end_sync(e);
	end_close(e);
}

static void test_go(void **state)
{
	(void)state;
	run_pair(go, go, VIP_SERVICE_RELIABLE_DELIVERY, 60);
	run_pair(go, go, VIP_SERVICE_RELIABLE_RECEPTION, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_busy), cmocka_unit_test(test_idle),
					   cmocka_unit_test(test_crowd), cmocka_unit_test(test_go)};

	many.shared = many_share();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
