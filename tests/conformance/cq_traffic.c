/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cq_traffic.c - completion queues under traffic and with threads; see cq.h. */
#include "cq.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "connecting.h"

/* ---- 64: two processes; each 16 messages are acknowledged, and 32 receives are posted ---- */

#define BATCH	16
#define ROUNDS	1000000u
#define LAST	0x1a57 /* immediate data of the last batch */
#define LEAST_S 20

/* Poll for an entry, which is to name this queue, and look at once. */
static VIP_DESCRIPTOR *first_done(VIP_CQ_HANDLE cq, VIP_VI_HANDLE vi, bool recv)
{
	VIP_DESCRIPTOR *d = NULL;
	VIP_VI_HANDLE of;
	VIP_BOOLEAN is_recv;
	unsigned int turn = 0;
	VIP_RETURN code;

	while ((code = VipCQDone(cq, &of, &is_recv)) == VIP_NOT_DONE) {
		if (++turn % 256 == 0)
			sched_yield(); /* the other side may have no processor */
	}
	EXPECT(code, VIP_SUCCESS);
	code = recv ? VipRecvDone(of, &d) : VipSendDone(of, &d);
	if (code != VIP_SUCCESS || of != vi || is_recv != recv) {
		EXPECT(code, VIP_SUCCESS);
		assert_ptr_equal(of, vi);
		assert_int_equal(is_recv, recv);
	}
	return d;
}

static void first_done_server(struct run *r)
{
	uint32_t n = 0;
	bool last;
	int i;

	do {
		last = false;
		for (i = 0; i < BATCH; i++, n++) {
			VIP_DESCRIPTOR *d = first_done(r->rcq, r->vi, true);

			if (d != desc(r, (int)(n % (2 * BATCH))))
				fail_msg("receive %u is not the next one", n);
			last = d->CS.ImmediateData == LAST;
			EXPECT(VipPostRecv(r->vi, d, r->mem), VIP_SUCCESS);
		}
		tell(r, n);
	} while (!last);
}

static void first_done_client(struct run *r)
{
	const uint64_t end = now_ms() + 1000u * (uint64_t)(r->seconds > LEAST_S ? r->seconds : LEAST_S);
	uint32_t n = 0;
	bool last = false;
	int i;

	while (!last) {
		last = n + BATCH >= share(r, ROUNDS) || now_ms() >= end;
		for (i = 0; i < BATCH; i++) {
			VIP_DESCRIPTOR *d = fill(r, i, data(r), 8, r->mem);

			d->CS.Control |= VIP_CONTROL_IMMEDIATE;
			d->CS.ImmediateData = last ? LAST : 0;
			EXPECT(VipPostSend(r->vi, d, r->mem), VIP_SUCCESS);
		}
		for (i = 0; i < BATCH; i++)
			assert_ptr_equal(first_done(r->scq, r->vi, false), desc(r, i));
		n += BATCH;
		if (n > BATCH)
			assert_int_equal(hear(r), n - BATCH);
	}
	assert_int_equal(hear(r), n);
	note("%u messages", n);
}

void check_first_done(struct run *r)
{
	int i;

	run_nic(r);
	r->scq = new_cq(r, 4 * BATCH);
	r->rcq = new_cq(r, 4 * BATCH);
	run_vi(r);
	for (i = 0; i < 2 * BATCH && r->side == 0; i++)
		post_recv(r, i, data(r), 8);
	run_connect(r);
	if (r->side == 0)
		first_done_server(r);
	else
		first_done_client(r);
	meet(r);
	run_close(r);
}

/* ---- traffic of two pairs ---- */

#define DEPTH 8 /* descriptors of each queue that may be posted */

void traffic_start(struct run *r, struct traffic *t, VIP_CQ_HANDLE cq)
{
	VIP_VI_HANDLE vi[2];
	int i;

	*t = (struct traffic){.cq = cq, .random = 12345};
	for (i = 0; i < 2; i++) {
		pair_here(r, cq, cq, vi);
		t->pair[i].a = vi[0];
		t->pair[i].b = vi[1];
	}
}

/* Descriptor of the @n-th post on queue @q of pair @i: of its VI a, or of the other side's queue. */
static int slot(int i, int q, unsigned int n, bool other)
{
	return ((other ? 2 : 0) + i) * 2 * DEPTH + q * DEPTH + (int)(n % DEPTH);
}

static void post(struct run *r, struct traffic *t, int i, int q)
{
	const unsigned int n = t->pair[i].q[q].posted++;
	VIP_VI_HANDLE from = q ? t->pair[i].b : t->pair[i].a, to = q ? t->pair[i].a : t->pair[i].b;
	const int send = slot(i, q, n, q), recv = slot(i, q, n, !q);
	VIP_DESCRIPTOR *d;

	EXPECT(VipPostRecv(to, fill(r, recv, data(r) + 64 * recv, 64, r->mem), r->mem), VIP_SUCCESS);
	d = fill(r, send, data(r) + 64 * send, 64, r->mem);
	d->CS.Control |= VIP_CONTROL_IMMEDIATE;
	d->CS.ImmediateData = n;
	EXPECT(VipPostSend(from, d, r->mem), VIP_SUCCESS);
}

/* The entry is for pair @i's queue @q: its descriptor is the oldest, and the other side's as well. */
static void take(struct run *r, struct traffic *t, int i, int q)
{
	const unsigned int n = t->pair[i].q[q].taken++;
	VIP_DESCRIPTOR *d = NULL, *recv;

	EXPECT(q ? VipRecvDone(t->pair[i].a, &d) : VipSendDone(t->pair[i].a, &d), VIP_SUCCESS);
	assert_ptr_equal(d, desc(r, slot(i, q, n, false)));
	recv = q ? d : next_recv(t->pair[i].b, NULL);
	assert_ptr_equal(recv, desc(r, slot(i, q, n, !q)));
	assert_int_equal(recv->CS.ImmediateData, n);
	if (q)
		next_sent(t->pair[i].b, NULL);
}

/* One entry, if there is one now. */
static bool take_any(struct run *r, struct traffic *t, VIP_ULONG timeout)
{
	VIP_VI_HANDLE of;
	VIP_BOOLEAN recv;
	VIP_RETURN code = timeout ? VipCQWait(t->cq, timeout, &of, &recv) : VipCQDone(t->cq, &of, &recv);
	int i;

	if (code == VIP_NOT_DONE)
		return false;
	EXPECT(code, VIP_SUCCESS);
	i = of == t->pair[1].a;
	assert_ptr_equal(of, t->pair[i].a);
	assert_true(recv == VIP_TRUE || recv == VIP_FALSE);
	t->entries++;
	if (t->pair[i].q[recv].taken == t->pair[i].q[recv].posted)
		fail_msg("more entries than descriptors of the %s queue of VI %d", recv ? "receive" : "send",
			 i);
	take(r, t, i, recv);
	return true;
}

void traffic_step(struct run *r, struct traffic *t)
{
	const uint32_t x = random32(&t->random);
	const int i = x & 1, q = x >> 1 & 1;

	/* posting is likelier, so that the queues fill up now and then */
	if ((x >> 8) % 5 < 3 && t->pair[i].q[q].posted - t->pair[i].q[q].taken < DEPTH)
		post(r, t, i, q);
	else
		take_any(r, t, 0);
}

void traffic_end(struct run *r, struct traffic *t)
{
	unsigned long posted = 0;
	int i, q;

	for (i = 0; i < 2; i++) {
		for (q = 0; q < 2; q++)
			posted += t->pair[i].q[q].posted;
	}
	while (t->entries < posted)
		take_any(r, t, LONG_MS);
	pause_ms(20);
	expect_no_entry(t->cq);
	for (i = 0; i < 2; i++) {
		drop_vi(t->pair[i].a);
		drop_vi(t->pair[i].b);
	}
}

/* 65 */
void check_interleaved(struct run *r)
{
	struct traffic t;
	int i;

	run_nic(r);
	traffic_start(r, &t, new_cq(r, 4 * DEPTH));
	for (i = 0; i < 50000; i++)
		traffic_step(r, &t);
	traffic_end(r, &t);
	note("%lu entries", t.entries);
	run_close(r);
}

/* ---- threads that wait ---- */

struct sleeper {
	pthread_t thread;
	VIP_CQ_HANDLE cq;
	VIP_VI_HANDLE of;
	VIP_BOOLEAN recv;
	VIP_RETURN code;
	uint64_t woken; /* us */
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;

	s->code = VipCQWait(s->cq, LONG_MS, &s->of, &s->recv);
	s->woken = now_us();
	return NULL;
}

static void sleeper_start(struct sleeper *s, VIP_CQ_HANDLE cq)
{
	s->cq = cq;
	assert_int_equal(pthread_create(&s->thread, NULL, sleeper_main, s), 0);
}

static void sleeper_end(struct sleeper *s, VIP_VI_HANDLE vi)
{
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	EXPECT(s->code, VIP_SUCCESS);
	assert_ptr_equal(s->of, vi);
	assert_int_equal(s->recv, VIP_TRUE);
}

static int by_size(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(const uint64_t *took, size_t n)
{
	uint64_t sorted[16];

	assert_true(n <= 16);
	memcpy(sorted, took, n * sizeof(took[0]));
	qsort(sorted, n, sizeof(sorted[0]), by_size);
	return sorted[n / 2];
}

/* 67 */
void check_wakes(struct run *r)
{
	enum { TIMES = 9, MOST = 45 };
	uint64_t took[TIMES], start;
	struct sleeper s;
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;
	int i;

	run_nic(r);
	r->rcq = new_cq(r, 4);
	other = run_pair_here(r);
	for (i = 0; i < TIMES || (i < MOST && median(took, TIMES) > 50000); i++) {
		doing("time %d", i);
		post_recv(r, 0, data(r), 64);
		sleeper_start(&s, r->rcq);
		pause_ms(30); /* it sleeps */
		start = now_us();
		EXPECT(VipPostSend(other, fill(r, 1, data(r) + 64, 64, r->mem), r->mem), VIP_SUCCESS);
		sleeper_end(&s, r->vi);
		took[i % TIMES] = s.woken - start;
		EXPECT(VipRecvDone(r->vi, &d), VIP_SUCCESS);
		next_sent(other, NULL);
	}
	note("%.3f ms in the median", (double)median(took, TIMES) / 1000);
	/* a machine may be busy for a moment, but not every time */
	assert_in_range(median(took, TIMES), 0, 50000);
	drop_vi(other);
	run_close(r);
}

/* 68 */
void check_many_waiters(struct run *r)
{
	enum { THREADS = 8 };
	struct sleeper s[THREADS];
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;
	int i;

	run_nic(r);
	if (!r->attr.ThreadSafe)
		skip_check("the provider is not ThreadSafe: one thread at a time may use a completion queue");
	r->rcq = new_cq(r, 2 * THREADS);
	other = run_pair_here(r);
	for (i = 0; i < THREADS; i++)
		post_recv(r, i, data(r), 64);
	for (i = 0; i < THREADS; i++)
		sleeper_start(&s[i], r->rcq);
	pause_ms(50);
	for (i = 0; i < THREADS; i++) {
		d = fill(r, THREADS + i, data(r) + 64, 64, r->mem);
		EXPECT(VipPostSend(other, d, r->mem), VIP_SUCCESS);
	}
	for (i = 0; i < THREADS; i++)
		sleeper_end(&s[i], r->vi);
	expect_no_entry(r->rcq);
	for (i = 0; i < THREADS; i++) {
		EXPECT(VipRecvDone(r->vi, &d), VIP_SUCCESS);
		assert_ptr_equal(d, desc(r, i));
	}
	drop_vi(other);
	run_close(r);
}
