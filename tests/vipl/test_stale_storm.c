/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_stale_storm.c - a thread replaces memory all the time, while another
 * passes it through the registration cache and a peer sends into it.  Whenever
 * the memory was the same from its registration to the message's end, the
 * message is in it, and it is held.
 */
#include "tests/vipl/memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#define BYTES	 (32u * PAGE)
#define STORM_MS 1500u

static bool watched, locked_level;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct {
	uint8_t *p;
	uint32_t turn; /* odd: the memory is being replaced */
	uint32_t stop;
} storm;

static void *replace_often(void *arg)
{
	unsigned int seed = 1;

	(void)arg;
	while (!__atomic_load_n(&storm.stop, __ATOMIC_SEQ_CST)) {
		__atomic_add_fetch(&storm.turn, 1, __ATOMIC_SEQ_CST);
		CHECK(mmap(storm.p, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			   -1, 0) == storm.p);
		__atomic_add_fetch(&storm.turn, 1, __ATOMIC_SEQ_CST);
		usleep((unsigned int)rand_r(&seed) % 3000);
	}
	return NULL;
}

/* A region through the cache, and a message into it; true: its memory was the same all the time. */
static bool storm_once(struct end *e, unsigned int seed)
{
	uint32_t turn = __atomic_load_n(&storm.turn, __ATOMIC_SEQ_CST);
	VIP_MEM_ATTRIBUTES attr = {.Ptag = e->tag};
	VIP_MEM_HANDLE mem;
	VIP_DESCRIPTOR *d;
	bool same, there;
	VIP_RETURN r;

	if (VipRegisterMem(e->nic, storm.p, BYTES, &attr, &mem) != VIP_SUCCESS) {
		CHECK(turn % 2 || turn != __atomic_load_n(&storm.turn, __ATOMIC_SEQ_CST));
		return false;
	}
	there = !locked_level || pages_held(storm.p, BYTES);
	d = end_fill(e, 0, storm.p, BYTES, mem);
	CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
	end_tell(e, seed);
	CHECK(end_recv(e, &r) == d);
	there = there && r == VIP_SUCCESS && diff_pattern(storm.p, BYTES, seed) == -1;
	same = turn % 2 == 0 && turn == __atomic_load_n(&storm.turn, __ATOMIC_SEQ_CST);
	CHECK(!same || there);
	CHECK_EQ(VipDeregisterMem(e->nic, storm.p, mem), VIP_SUCCESS);
	return same;
}

static void storm_server(struct end *e)
{
	uint64_t end = now_ms() + STORM_MS;
	struct vipx_rec rec;
	unsigned int n = 0, same = 0, seed = 2;
	struct vipx_hold hold;
	pthread_t thread;

	end_open(e);
	CHECK_EQ(VipxHold(e->nic, &hold), VIP_SUCCESS);
	watched = hold.watched;
	locked_level = hold.level >= VIPX_LOCKED;
	end_connect(e);
	CHECK_EQ(VipxRegCache(e->nic, 64, 8u << 20), VIP_SUCCESS);
	storm.p = map_aligned(BYTES, PAGE);
	CHECK_EQ(pthread_create(&thread, NULL, replace_often, NULL), 0);
	while (now_ms() < end) {
		same += storm_once(e, ++n);
		usleep((unsigned int)rand_r(&seed) % 500); /* and it is in the cache */
	}
	__atomic_store_n(&storm.stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	end_tell(e, 0);
	rec = nic_row(e->nic, 0);
	CHECK(same > 0);
	CHECK_EQ(rec.u.nic.hits > 0, watched);
	CHECK_EQ(rec.u.nic.invalidations > 0, watched);
	end_sync(e);
	end_close(e);
}

static void storm_client(struct end *e)
{
	unsigned int seed;
	VIP_RETURN r;

	end_open(e);
	end_connect(e);
	while ((seed = (unsigned int)end_hear(e)) != 0) {
		fill_pattern(end_data(e), BYTES, seed);
		end_post_send(e, 0, end_data(e), BYTES);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_sync(e);
	end_close(e);
}

static void storm_at(const char *level, const char *watch)
{
	setenv("VIPL_LOCK_LEVEL", level, 1);
	setenv("VIPL_WATCH", watch, 1);
	/* what went away is not warned of, and ends no connection */
	setenv("VIPL_LOG", "error", 1);
	if (level_works(level))
		run_pair(storm_server, storm_client, VIP_SERVICE_UNRELIABLE, 100);
}

static void test_mapped(void **state)
{
	(void)state;
	storm_at("mapped", "1");
}

static void test_locked(void **state)
{
	(void)state;
	storm_at("locked", "1");
}

static void test_pinned(void **state)
{
	(void)state;
	storm_at("pinned", "1");
}

static void test_not_watched(void **state)
{
	(void)state;
	storm_at("locked", "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_pinned),
		cmocka_unit_test(test_not_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
