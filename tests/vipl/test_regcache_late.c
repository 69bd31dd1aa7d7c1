/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_regcache_late.c - VipDeregisterMem into the registration cache, while
 * another thread receives there: no byte is written after it has returned.
 * A signal stops that thread in the middle of a copy, as the scheduler may.
 */
#include "tests/vipl/engine.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/time.h>

#include <cmocka.h>

#define ROUNDS	 15u
#define BYTES	 (250u << 10) /* of a message: all of it fits into the landing ring */
#define IN_CACHE 0xee
#define OFTEN_US 10
#define STOP_US	 5000

static uint8_t *memory;
static uint32_t arrived, stopped, received; /* messages */

static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

/* Of the receiving thread: a part of the message is there. */
static void alarmed(int sig)
{
	int before = errno;

	(void)sig;
	if (load(&stopped) > load(&received) || memory[0] == IN_CACHE || memory[BYTES - 1] != IN_CACHE)
		return;
	__atomic_store_n(&stopped, load(&received) + 1, __ATOMIC_SEQ_CST);
	usleep(STOP_US);
	errno = before;
}

static void block_alarm(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	CHECK_EQ(pthread_sigmask(how, &set, NULL), 0);
}

/* Receive in a thread of its own, also what fails for want of its memory. */
static void *receive(void *arg)
{
	struct end *e = arg;
	const struct itimerval often = {{0, OFTEN_US}, {0, OFTEN_US}}, never = {0};
	VIP_DESCRIPTOR *d;
	uint32_t i;

	block_alarm(SIG_UNBLOCK);
	for (i = 0; i < as_many_as(ROUNDS); i++) {
		while (load(&arrived) == i)
			usleep(100);
		CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
		while (VipRecvDone(e->vi, &d) == VIP_NOT_DONE)
			;
		CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
		__atomic_store_n(&received, i + 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Deregister when the receiving thread has been stopped, and fill the memory anew; is it written to? */
static bool written_late(struct end *e, VIP_MEM_HANDLE mem, uint32_t round)
{
	size_t i;

	while (load(&stopped) == round && load(&received) == round)
		usleep(20);
	CHECK_EQ(VipDeregisterMem(e->nic, memory, mem), VIP_SUCCESS);
	memset(memory, IN_CACHE, BYTES);
	while (load(&received) == round)
		usleep(20);
	for (i = 0; i < BYTES && memory[i] == IN_CACHE; i++)
		;
	return i < BYTES;
}

static void deregistering(struct end *e)
{
	pthread_t thread;
	uint32_t i, late = 0;

	CHECK(signal(SIGALRM, alarmed) != SIG_ERR);
	block_alarm(SIG_BLOCK);
	end_open(e);
	CHECK_EQ(VipxRegCache(e->nic, 8, 64u << 20), VIP_SUCCESS);
	memory = map_aligned(BYTES, PAGE);
	end_connect(e);
	arrived = stopped = received = 0;
	CHECK_EQ(pthread_create(&thread, NULL, receive, e), 0);
	for (i = 0; i < as_many_as(ROUNDS); i++) {
		struct place place = {.p = memory};

		CHECK_EQ(VipRegisterMem(e->nic, memory, BYTES, NULL, &place.mem), VIP_SUCCESS);
		memset(memory, IN_CACHE, BYTES);
		post_place(e, 1, (int)(i % 32), place, BYTES);
		end_sync(e);
		end_sync(e); /* it is on its way */
		__atomic_store_n(&arrived, i + 1, __ATOMIC_SEQ_CST);
		late += written_late(e, place.mem, i);
	}
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(nic_row(e->nic, 0).u.nic.hits, as_many_as(ROUNDS) - 1);
	CHECK_EQ(late, 0);
	end_sync(e);
	end_close(e);
}

static void sending(struct end *e)
{
	struct place place;
	VIP_RETURN r;
	uint32_t i;

	end_open(e);
	place = make_place(e, 0);
	memset(place.p, 0x11, BYTES);
	end_connect(e);
	for (i = 0; i < as_many_as(ROUNDS); i++) {
		end_sync(e);
		post_place(e, 0, NDESC - 1, place, BYTES);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		end_sync(e);
	}
	end_sync(e);
	end_close(e);
}

static void test_late(void **state)
{
	(void)state;
	if (UNDER_TSAN || under_valgrind()) {
		print_message("SKIP: the run time of %s chooses when a signal comes: never in the middle of "
			      "a copy\n",
			      UNDER_TSAN ? "ThreadSanitizer" : "valgrind");
		skip();
	}
	run_pair(deregistering, sending, VIP_SERVICE_UNRELIABLE, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late),
	};

	setenv("VIPL_LOG", "none", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
