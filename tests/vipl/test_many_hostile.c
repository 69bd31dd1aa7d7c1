/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_many_hostile.c - a peer that writes what it likes where wake-ups and news
 * are told hangs nobody: every word of the memory in which both ends tell each
 * other is cleared, set, or made up, again and again, while messages go to and
 * fro.
 */
#include "tests/vipl/many.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#define VIS    16u
#define ROUNDS 12u
/*
 * Of the 4096 lines the last says that memory is being taken out of the tables,
 * and what is behind tells what a registration cache keeps: who writes there
 * makes sends fail.
 */
#define WORDS_BYTES (4095u * 64u)

static struct many many;
static int quit;

struct words {
	uint64_t *at;
	size_t n;
};

static uint32_t find_words(struct words table[4])
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long start;
	char line[512];
	uint32_t n = 0;

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, "vipl-wake") || n == 4 || sscanf(line, "%lx-", &start) != 1)
			continue;
		table[n].at = (uint64_t *)start; /* NOLINT(performance-no-int-to-ptr) */
		table[n++].n = WORDS_BYTES / sizeof(uint64_t);
	}
	fclose(f);
	return n;
}

static enum { ZEROS, ONES, NOISE, WAYS } way;

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return way == ZEROS ? 0 : way == ONES ? ~0ull : *x;
}

static void *scribble(void *arg)
{
	struct words table[4];
	uint32_t n = find_words(table), i;
	uint64_t x = 88172645463325252u;
	size_t w;

	(void)arg;
	CHECK_EQ(n, 2);
	while (!__atomic_load_n(&quit, __ATOMIC_SEQ_CST)) {
		for (i = 0; i < n; i++) {
			for (w = 0; w < table[i].n; w++)
				__atomic_store_n(&table[i].at[w], next(&x), __ATOMIC_RELAXED);
		}
		usleep(way == NOISE ? 5000 : 100);
	}
	return NULL;
}

static uint32_t entry(VIP_CQ_HANDLE cq, int want, bool by_wait)
{
	time_t end = time(NULL) + 10;
	VIP_VI_HANDLE vi = NULL;
	VIP_BOOLEAN recv = 2;
	VIP_RETURN r;

	if (by_wait)
		r = VipCQWait(cq, 10000, &vi, &recv);
	else
		while ((r = VipCQDone(cq, &vi, &recv)) == VIP_NOT_DONE && time(NULL) < end)
			sched_yield();
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(recv, want);
	return many_index(&many, vi);
}

static void answer(struct end *e, uint32_t round, uint32_t i)
{
	many_send(&many, i);
	many_sent(&many, entry(e->scq, 0, round / 2 % 2));
}

static void talk(struct end *e)
{
	pthread_t thread;
	uint32_t round, i;

	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, 64, &e->rcq), VIP_SUCCESS);
	CHECK_EQ(VipCreateCQ(e->nic, 64, &e->scq), VIP_SUCCESS);
	many_open(&many, e, VIS);
	many_connect(&many);
	if (!e->server)
		CHECK_EQ(pthread_create(&thread, NULL, scribble, NULL), 0);
	for (round = 0; round < ROUNDS; round++) {
		i = round / 6 % 2 ? round * 7 % VIS : 0; /* the same, or others */
		if (e->server) {
			CHECK_EQ(entry(e->rcq, 1, round % 2), i);
			many_received(&many, i);
			usleep(1000);
			answer(e, round, i);
		} else {
			answer(e, round, i);
			CHECK_EQ(entry(e->rcq, 1, round % 2), i);
			many_received(&many, i);
		}
	}
	if (!e->server) {
		__atomic_store_n(&quit, 1, __ATOMIC_SEQ_CST);
		pthread_join(thread, NULL);
	}
	end_sync(e);
	many_end(&many);
	end_sync(e);
	end_close(e);
}

static void test_hostile(void **state)
{
	(void)state;
	for (way = ZEROS; way < WAYS; way++) {
		run_pair(talk, talk, VIP_SERVICE_RELIABLE_DELIVERY, 60);
		run_pair(talk, talk, VIP_SERVICE_RELIABLE_RECEPTION, 60);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile)};

	many.shared = many_share();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
