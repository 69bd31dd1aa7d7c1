/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* send_stress.c - checks 138, 140 and 141: many messages between two processes. */
#include "send.h"
#include "stress.h"
#include "transfer.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

/*
 * ---- 138: rounds of BATCH messages; who looks at Status makes no call until it says DONE ----
 *
 * First nobody makes a call; the provider has to come by itself.  Then another
 * thread of the receiver takes the descriptors out, so that some processor
 * writes them while this one looks.
 */

#define BATCH 32
#define EACH  4096 /* bytes of a buffer */

struct taker {
	struct run *r;
	uint32_t want, taken; /* descriptors, since the beginning */
	bool quit;
};

static void *take(void *arg)
{
	struct taker *t = arg;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	while (!__atomic_load_n(&t->quit, __ATOMIC_ACQUIRE)) {
		if (t->taken == __atomic_load_n(&t->want, __ATOMIC_ACQUIRE)) {
			sched_yield();
			continue;
		}
		code = VipRecvDone(t->r->vi, &d);
		if (code == VIP_NOT_DONE)
			continue;
		EXPECT(code, VIP_SUCCESS);
		assert_ptr_equal(d, desc(t->r, (int)(t->taken % BATCH)));
		__atomic_store_n(&t->taken, t->taken + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void receive_polled(struct run *r, struct area *a, int i, uint32_t len, uint32_t value)
{
	VIP_DESCRIPTOR *d = desc(r, i);

	await_done(d);
	/* nothing of it may come later */
	assert_int_equal(d->CS.Length, len);
	assert_int_equal(d->CS.ImmediateData, value);
	EXPECT_PATTERN(a->at + i * EACH, len, value);
	EXPECT_STATUS(d, RECEIVED | VIP_STATUS_IMMEDIATE);
}

static void post_polled(struct run *r, struct area *a, int i, uint32_t len, uint32_t value)
{
	VIP_DESCRIPTOR *d;

	if (r->side == 0) {
		memset(a->at + i * EACH, 0, len);
		d = fill(r, i, a->at + i * EACH, EACH, a->mem);
		d->CS.ImmediateData = ~value;
		d->CS.Status = 0xbad0; /* not DONE */
		recv_on(r, r->vi, d);
	} else {
		pattern(data(r) + i * EACH, len, value);
		d = fill(r, i, data(r) + i * EACH, len, r->mem);
		d->CS.Control = VIP_CONTROL_IMMEDIATE;
		d->CS.ImmediateData = value;
		send_on(r, r->vi, d);
	}
}

/* After Status has said DONE, Done must say so, too. */
static void done_too(struct run *r, int i)
{
	VIP_DESCRIPTOR *d;

	if (r->side == 0)
		EXPECT(VipRecvDone(r->vi, &d), VIP_SUCCESS);
	else
		EXPECT(VipSendDone(r->vi, &d), VIP_SUCCESS);
	assert_ptr_equal(d, desc(r, i));
}

static void polled_round(struct run *r, struct area *a, struct taker *t, uint32_t *random, uint32_t value)
{
	uint32_t len[BATCH];
	int i;

	for (i = 0; i < BATCH; i++) {
		len[i] = 1 + random32(random) % (random32(random) & 1 ? EACH : 200);
		if (r->side == 0)
			post_polled(r, a, i, len[i], value + (uint32_t)i);
	}
	if (t)
		__atomic_store_n(&t->want, t->want + BATCH, __ATOMIC_RELEASE);
	meet(r);
	for (i = 0; r->side == 1 && i < BATCH; i++)
		post_polled(r, a, i, len[i], value + (uint32_t)i);
	for (i = 0; i < BATCH; i++) {
		doing("message %u, %u bytes into %s%s", value + (uint32_t)i, len[i], kind_of(a),
		      t ? "" : ", no call");
		if (r->side == 0)
			receive_polled(r, a, i, len[i], value + (uint32_t)i);
		else if (!t)
			await_done(desc(r, i));
		else
			EXPECT_SENT(r->vi, desc(r, i), SENT);
		if (!t)
			done_too(r, i);
	}
	while (t && r->side == 0 && __atomic_load_n(&t->taken, __ATOMIC_ACQUIRE) != t->want)
		sched_yield();
}

/* Returns how many messages there were; at least a round. */
static uint32_t polled(struct run *r, struct area *a, struct taker *t, uint64_t ms)
{
	uint32_t random = 138, value = 0;
	uint64_t end = now_ms() + ms;
	bool more = true;

	for (; more; value += BATCH) {
		polled_round(r, a, t, &random, value);
		more = r->side == 0 ? now_ms() < end : hear(r);
		if (r->side == 0)
			tell(r, more);
	}
	return value;
}

void stress_polled_status(struct run *r)
{
	struct taker taker = {.r = r};
	uint32_t count[2] = {0, 0};
	struct area a;
	pthread_t thread;
	int shared;

	run_vi(r);
	if (r->attr.MaxTransferSize < EACH)
		skip_check("MaxTransferSize is %lu, the check needs %d", r->attr.MaxTransferSize, EACH);
	run_connect(r);
	for (shared = 0; shared < 2; shared++) {
		make_area(r, &a, (size_t)BATCH * EACH, shared, open_to_all(r));
		polled(r, &a, NULL, 0);
		if (r->attr.ThreadSafe) {
			taker.quit = false;
			if (r->side == 0)
				assert_int_equal(pthread_create(&thread, NULL, take, &taker), 0);
			count[shared] = polled(r, &a, &taker, share(r, 3000));
			__atomic_store_n(&taker.quit, true, __ATOMIC_RELEASE);
			if (r->side == 0)
				pthread_join(thread, NULL);
		}
		meet(r);
		drop_area(r, &a);
	}
	note("%u messages into private memory, %u into a segment", count[0], count[1]);
}

/* ---- 140 ---- */

void stress_saturated(struct run *r)
{
	struct stress s = {.vis = MAX_LINES, .ms = (uint64_t)r->seconds * 1000};
	int code;

	run_nic(r);
	stress(r, &s);
	if (r->side == 0)
		note("%llu messages sent, %llu received", (unsigned long long)s.sent,
		     (unsigned long long)s.received);
	assert_int_not_equal(s.sent, 0);
	assert_int_not_equal(s.received, 0);
	for (code = 0; code < 11; code++) {
		/* an Unreliable VI may tell what it has dropped */
		if (code != VIP_ERROR_RECVQ_EMPTY || is_reliable(r))
			assert_int_equal(errors_of(r, (VIP_ERROR_CODE)code), 0);
	}
	meet(r); /* who ends breaks the connections of the other */
}

/* ---- 141 ---- */

#define FEW	8    /* receives */
#define UNHEARD 1000 /* messages before the receiver looks at all: some are lost, whoever is quicker */

static void slow_receiver(struct run *r)
{
	struct pollfd pfd = {.fd = r->sock, .events = POLLIN};
	uint64_t quiet, count = 0, sent;
	static struct seen seen;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	hear(r);
	quiet = now_ms();
	/* until the sender has said that it is done, and nothing has come for a while */
	while (poll(&pfd, 1, 0) == 0 || now_ms() - quiet < 300) {
		code = VipRecvDone(r->vi, &d);
		if (code == VIP_NOT_DONE) {
			pause_ms(1);
			continue;
		}
		EXPECT(code, VIP_SUCCESS);
		verify(d->DS[0].Local.Data.Address, d->CS.Length);
		assert_true(first_time(&seen, ((struct head *)d->DS[0].Local.Data.Address)->seq));
		pause_ms(1);
		EXPECT(VipPostRecv(r->vi,
				   fill(r, (int)(count++ % FEW), d->DS[0].Local.Data.Address, EACH, r->mem),
				   r->mem),
		       VIP_SUCCESS);
		quiet = now_ms();
	}
	assert_true(count >= FEW);
	sent = hear(r);
	assert_true(sent > count);
	note("%llu messages sent, %llu received", (unsigned long long)sent, (unsigned long long)count);
}

static void fast_sender(struct run *r)
{
	uint64_t end = now_ms() + 2000, seq = 0;
	struct head *h = (struct head *)data(r);
	uint32_t random = 141;

	for (; seq <= UNHEARD || now_ms() < end; seq++) {
		if (seq == UNHEARD)
			tell(r, seq);
		*h = (struct head){.seq = seq, .len = (uint32_t)sizeof(*h) + random32(&random) % 3000};
		seal(h);
		post_send(r, 0, h, h->len);
		EXPECT_SENT(r->vi, desc(r, 0), SENT);
	}
	tell(r, seq);
}

void stress_slow_receiver(struct run *r)
{
	int i, code;

	r->level = VIP_SERVICE_UNRELIABLE;
	run_vi(r);
	if (r->attr.MaxTransferSize < EACH)
		skip_check("MaxTransferSize is %lu, the check needs %d", r->attr.MaxTransferSize, EACH);
	for (i = 0; r->side == 0 && i < FEW; i++)
		post_recv(r, i, data(r) + i * EACH, EACH);
	run_connect(r);
	if (r->side == 0)
		slow_receiver(r);
	else
		fast_sender(r);
	assert_int_equal(state_of(r->vi), VIP_STATE_CONNECTED);
	for (code = 0; code < 11; code++) {
		if (r->side == 1 || code != VIP_ERROR_RECVQ_EMPTY)
			assert_int_equal(errors_of(r, (VIP_ERROR_CODE)code), 0);
	}
	meet(r);
}
