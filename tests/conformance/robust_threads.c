/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* robust_threads.c - checks 196 and 197: many threads, and no lock of the consumer's. */
#include "robust.h"

#include <sched.h>
#include <string.h>

/* ---- 196: a VI for each thread ---- */

#define THREADS	 16
#define ROUNDS	 1000
#define MOST	 20000 /* bytes of a message */
#define ITS_ROOM 65536 /* bytes of data that a thread has */

struct each {
	struct run *r;
	int n; /* 0 to THREADS - 1: even ones begin */
	VIP_VI_HANDLE vi;
	pthread_t thread;
};

static VIP_DESCRIPTOR *its_recv(struct each *e)
{
	VIP_DESCRIPTOR *d = fill(e->r, e->n * 2, data(e->r) + (size_t)e->n * ITS_ROOM, MOST, e->r->mem);

	EXPECT(VipPostRecv(e->vi, d, e->r->mem), VIP_SUCCESS);
	return d;
}

/* One message of round @i: its length and bytes follow from the pair and the round. */
static void its_send(struct each *e, int i)
{
	uint8_t *from = data(e->r) + (size_t)e->n * ITS_ROOM + ITS_ROOM / 2;
	uint32_t len = (uint32_t)(i * 7919 + e->n * 131) % MOST + 1;
	VIP_DESCRIPTOR *d, *s = fill(e->r, e->n * 2 + 1, from, len, e->r->mem);

	pattern(from, len, (unsigned int)(i * THREADS + e->n));
	EXPECT(VipPostSend(e->vi, s, e->r->mem), VIP_SUCCESS);
	EXPECT(VipSendWait(e->vi, LONG_MS, &d), VIP_SUCCESS);
	assert_ptr_equal(d, s);
}

static void its_await(struct each *e, int i)
{
	int other = e->n ^ 1;
	VIP_DESCRIPTOR *d;

	EXPECT(VipRecvWait(e->vi, LONG_MS, &d), VIP_SUCCESS);
	assert_ptr_equal(d, desc(e->r, e->n * 2));
	assert_int_equal(d->CS.Length, (uint32_t)(i * 7919 + other * 131) % MOST + 1);
	assert_int_equal(differs(data(e->r) + (size_t)e->n * ITS_ROOM, d->CS.Length,
				 (unsigned int)(i * THREADS + other)),
			 -1);
}

static void *run_each(void *arg)
{
	struct each *e = arg;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		if (e->n % 2 == 0) {
			its_send(e, i);
			its_await(e, i);
			its_recv(e);
		} else {
			its_await(e, i);
			its_recv(e);
			its_send(e, i);
		}
	}
	return NULL;
}

void check_thread_each(struct run *r)
{
	static struct each e[THREADS];
	int i;

	run_nic(r);
	for (i = 0; i < THREADS; i++) {
		e[i] = (struct each){.r = r, .n = i, .vi = another_vi(r)};
		its_recv(&e[i]);
		if (i % 2)
			connect_here(r, r->nic, e[i - 1].vi, e[i].vi);
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&e[i].thread, NULL, run_each, &e[i]), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(e[i].thread, NULL), 0);
	for (i = 0; i < THREADS; i++)
		drop_vi(e[i].vi);
	run_close(r);
}

/* ---- 197: several threads for one VI ---- */

#define TEAM	 4
#define SENDS	 16
#define RECVS	 32
#define MESSAGES 50000

static struct {
	struct run *r;
	VIP_VI_HANDLE to;
	uint32_t next;		 /* message to send */
	uint32_t sent, received; /* how many */
	int credit;		 /* receives posted that no send counts on */
	uint8_t posted[SENDS];	 /* 1: with the provider */
	uint8_t seen[MESSAGES];
	bool over;
} team;

/* A send descriptor that nobody has, or -1. */
static int claim(void)
{
	uint8_t none;
	int i;

	for (i = 0; i < SENDS; i++) {
		none = 0;
		if (__atomic_compare_exchange_n(&team.posted[i], &none, 1, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
			return i;
	}
	return -1;
}

static bool take_credit(void)
{
	if (__atomic_sub_fetch(&team.credit, 1, __ATOMIC_SEQ_CST) >= 0)
		return true;
	__atomic_add_fetch(&team.credit, 1, __ATOMIC_SEQ_CST);
	return false;
}

static void send_one(void)
{
	struct run *r = team.r;
	uint32_t n, *at;
	int i;

	if (!take_credit())
		return;
	i = claim();
	n = i < 0 ? MESSAGES : __atomic_fetch_add(&team.next, 1, __ATOMIC_SEQ_CST);
	if (n >= MESSAGES) {
		if (i >= 0)
			__atomic_store_n(&team.posted[i], 0, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&team.credit, 1, __ATOMIC_SEQ_CST);
		return;
	}
	at = (uint32_t *)(data(r) + (size_t)i * 64);
	*at = n;
	EXPECT(VipPostSend(r->vi, fill(r, i, at, sizeof(*at), r->mem), r->mem), VIP_SUCCESS);
}

static void *run_sender(void *unused)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;
	long i;

	(void)unused;
	while (!__atomic_load_n(&team.over, __ATOMIC_SEQ_CST)) {
		send_one();
		code = VipSendDone(team.r->vi, &d);
		if (code == VIP_NOT_DONE || (code == VIP_DESCRIPTOR_ERROR && !d)) {
			sched_yield();
			continue;
		}
		EXPECT(code, VIP_SUCCESS);
		i = ((uint8_t *)d - team.r->block) / 4096;
		assert_in_range(i, 0, SENDS - 1);
		assert_ptr_equal(d, desc(team.r, (int)i));
		assert_int_equal(__atomic_exchange_n(&team.posted[i], 0, __ATOMIC_SEQ_CST), 1);
		__atomic_add_fetch(&team.sent, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void *run_receiver(void *unused)
{
	struct run *r = team.r;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;
	uint32_t n;

	(void)unused;
	while (!__atomic_load_n(&team.over, __ATOMIC_SEQ_CST)) {
		code = VipRecvDone(team.to, &d);
		if (code == VIP_NOT_DONE || (code == VIP_DESCRIPTOR_ERROR && !d)) {
			sched_yield();
			continue;
		}
		EXPECT(code, VIP_SUCCESS);
		assert_int_equal(d->CS.Length, sizeof(n));
		memcpy(&n, d->DS[0].Local.Data.Address, sizeof(n));
		assert_true(n < MESSAGES);
		assert_int_equal(__atomic_exchange_n(&team.seen[n], 1, __ATOMIC_SEQ_CST), 0);
		__atomic_add_fetch(&team.received, 1, __ATOMIC_SEQ_CST);
		EXPECT(VipPostRecv(team.to, d, r->mem), VIP_SUCCESS);
		__atomic_add_fetch(&team.credit, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

void check_threads_one(struct run *r)
{
	pthread_t thread[2 * TEAM];
	uint64_t end;
	int i;

	run_vi(r);
	if (!r->attr.ThreadSafe)
		skip_check("the device is not ThreadSafe");
	team.r = r;
	team.to = run_pair_here(r);
	for (i = 0; i < RECVS; i++) {
		VIP_DESCRIPTOR *d =
			fill(r, SENDS + i, data(r) + 65536 + (size_t)i * 64, sizeof(uint32_t), r->mem);

		EXPECT(VipPostRecv(team.to, d, r->mem), VIP_SUCCESS);
	}
	team.credit = RECVS;
	for (i = 0; i < 2 * TEAM; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, i % 2 ? run_sender : run_receiver, NULL),
				 0);
	end = now_ms() + (uint64_t)r->seconds * 1000 + patience_ms();
	while (now_ms() < end && (__atomic_load_n(&team.received, __ATOMIC_SEQ_CST) < MESSAGES ||
				  __atomic_load_n(&team.sent, __ATOMIC_SEQ_CST) < MESSAGES))
		pause_ms(1);
	__atomic_store_n(&team.over, true, __ATOMIC_SEQ_CST);
	for (i = 0; i < 2 * TEAM; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	doing("%u sends were taken out, %u receives", team.sent, team.received);
	assert_int_equal(team.sent, MESSAGES);
	assert_int_equal(team.received, MESSAGES);
	drop_vi(team.to);
	run_close(r);
}
