/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* consumer_cq.c - what consumers do with completion queues. */
#include "consumer.h"

#include <sched.h>

/* The next entry of @cq, for up to LONG_MS. */
static VIP_VI_HANDLE next_entry(VIP_CQ_HANDLE cq, VIP_BOOLEAN *recv)
{
	VIP_VI_HANDLE vi = NULL;

	EXPECT(VipCQWait(cq, LONG_MS, &vi, recv), VIP_SUCCESS);
	return vi;
}

static VIP_VI_HANDLE vi_on(struct run *r, VIP_CQ_HANDLE scq, VIP_CQ_HANDLE rcq)
{
	VIP_VI_ATTRIBUTES attr = run_attr(r);
	VIP_VI_HANDLE vi = NULL;

	EXPECT(VipCreateVi(r->nic, &attr, scq, rcq, &vi), VIP_SUCCESS);
	return vi;
}

/* L-17: GROWN connections one after the other, each brings the CQ more entries while the others talk */
#define GROWN  8
#define FLIGHT 4

static struct {
	struct run *r;
	VIP_VI_HANDLE from[GROWN];
	int connected, sent[GROWN], received[GROWN];
	bool over;
} grown;

static void post_for(int i, int k)
{
	VIP_DESCRIPTOR *d = desc(grown.r, i * FLIGHT + k);

	d->CS.Length = 64;
	d->CS.SegCount = 1;
	EXPECT(VipPostRecv(grown.from[i], d, grown.r->mem), VIP_SUCCESS);
}

/* The other ends: each sends while fewer than FLIGHT of its messages are under way. */
static void *send_on_all(void *arg)
{
	VIP_VI_HANDLE *to = arg;
	VIP_DESCRIPTOR *d;
	int i;

	while (!__atomic_load_n(&grown.over, __ATOMIC_ACQUIRE)) {
		for (i = 0; i < __atomic_load_n(&grown.connected, __ATOMIC_ACQUIRE); i++) {
			if (grown.sent[i] - __atomic_load_n(&grown.received[i], __ATOMIC_ACQUIRE) >= FLIGHT)
				continue;
			d = fill(grown.r, GROWN * FLIGHT + i, data(grown.r) + 100000, 8, grown.r->mem);
			EXPECT(VipPostSend(to[i], d, grown.r->mem), VIP_SUCCESS);
			next_sent(to[i], NULL);
			grown.sent[i]++;
		}
	}
	return NULL;
}

/* Take one entry, its descriptor, and post that again. */
static void serve_one(struct run *r)
{
	VIP_BOOLEAN recv;
	VIP_VI_HANDLE vi = next_entry(r->rcq, &recv);
	VIP_DESCRIPTOR *d;
	long n;
	int i;

	assert_true(recv);
	for (i = 0; i < GROWN && grown.from[i] != vi; i++)
		;
	assert_in_range(i, 0, GROWN - 1);
	EXPECT(VipRecvDone(vi, &d), VIP_SUCCESS);
	n = ((uint8_t *)d - r->block) / 4096;
	assert_int_equal(n, i * FLIGHT + grown.received[i] % FLIGHT); /* none lost, none twice, in order */
	post_for(i, grown.received[i] % FLIGHT);
	__atomic_store_n(&grown.received[i], grown.received[i] + 1, __ATOMIC_RELEASE);
}

void check_cq_grown(struct run *r)
{
	static VIP_VI_HANDLE to[GROWN];
	pthread_t thread;
	int i, k;

	run_nic(r);
	EXPECT(VipCreateCQ(r->nic, FLIGHT, &r->rcq), VIP_SUCCESS);
	grown.r = r;
	assert_int_equal(pthread_create(&thread, NULL, send_on_all, to), 0);
	for (i = 0; i < GROWN; i++) {
		doing("connection no. %d", i);
		grown.from[i] = vi_on(r, NULL, r->rcq);
		to[i] = another_vi(r);
		for (k = 0; k < FLIGHT; k++) {
			fill(r, i * FLIGHT + k, data(r) + (size_t)(i * FLIGHT + k) * 64, 64, r->mem);
			post_for(i, k);
		}
		connect_here(r, r->nic, grown.from[i], to[i]);
		EXPECT(VipResizeCQ(r->rcq, (VIP_ULONG)(i + 1) * FLIGHT), VIP_SUCCESS);
		__atomic_store_n(&grown.connected, i + 1, __ATOMIC_RELEASE);
		for (k = 0; k < 500; k++)
			serve_one(r);
	}
	__atomic_store_n(&grown.over, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (i = 0; i < GROWN; i++) {
		doing("what was under way on connection no. %d", i);
		while (grown.received[i] < grown.sent[i])
			serve_one(r);
	}
	assert_int_equal(VipCQDone(r->rcq, &to[0], &(VIP_BOOLEAN){0}), VIP_NOT_DONE);
}

/* L-18 */
void check_stale_entries(struct run *r)
{
	VIP_VI_HANDLE old, other, vi, seen[100];
	VIP_BOOLEAN recv;
	int i, j;

	run_nic(r);
	EXPECT(VipCreateCQ(r->nic, 16, &r->rcq), VIP_SUCCESS);
	run_vi(r);
	old = r->vi;
	other = run_pair_here(r);
	for (i = 0; i < 3; i++) {
		post_recv(r, i, data(r), 100);
		EXPECT(VipPostSend(other, fill(r, 10, data(r) + 1000, 10, r->mem), r->mem), VIP_SUCCESS);
		next_recv(r->vi, NULL); /* and nobody takes the entry out */
		next_sent(other, NULL);
	}
	drop_vi(old);
	drop_vi(other);
	doing("entries of a VI that was destroyed");
	EXPECT(VipCQDone(r->rcq, &vi, &recv), VIP_NOT_DONE);
	doing("the handles of 100 VIs, each destroyed before the next is created");
	for (i = 0; i < 100; i++) {
		seen[i] = vi_on(r, NULL, r->rcq);
		EXPECT(VipDestroyVi(seen[i]), VIP_SUCCESS);
		assert_ptr_not_equal(seen[i], old);
		for (j = 0; j < i; j++)
			assert_ptr_not_equal(seen[i], seen[j]);
	}
}

/* L-20: a CQ of 2 entries for both queues, with 16 descriptors on each */
void check_small_cq(struct run *r)
{
	int i, sends = 0, recvs = 0;
	VIP_VI_HANDLE other, vi;
	VIP_DESCRIPTOR *d;
	VIP_BOOLEAN recv;

	if (!choice(r, "K-12"))
		skip_check("K-12: a CQ that overflows may lose entries");
	run_nic(r);
	EXPECT(VipCreateCQ(r->nic, 2, &r->rcq), VIP_SUCCESS);
	r->scq = r->rcq;
	run_vi(r);
	other = run_pair_here(r);
	for (i = 0; i < 16; i++) {
		post_recv(r, i, data(r), 100);
		EXPECT(VipPostRecv(other, fill(r, 16 + i, data(r) + 1000, 100, r->mem), r->mem), VIP_SUCCESS);
	}
	for (i = 0; i < 16; i++) {
		post_send(r, 32 + i, data(r) + 2000, 10);
		EXPECT(VipPostSend(other, fill(r, 48, data(r) + 3000, 10, r->mem), r->mem), VIP_SUCCESS);
		EXPECT(VipSendWait(other, LONG_MS, &d), VIP_SUCCESS);
		EXPECT(VipRecvWait(other, LONG_MS, &d), VIP_SUCCESS);
	}
	for (i = 0; i < 32; i++) {
		doing("entry no. %d of 32, of a CQ of 2", i);
		vi = next_entry(r->rcq, &recv);
		assert_ptr_equal(vi, r->vi);
		EXPECT(recv ? VipRecvDone(vi, &d) : VipSendDone(vi, &d), VIP_SUCCESS);
		assert_ptr_equal(d, recv ? desc(r, recvs++) : desc(r, 32 + sends++));
	}
	EXPECT(VipCQDone(r->rcq, &vi, &recv), VIP_NOT_DONE);
	drop_vi(other);
}

/* L-23 */
void check_mixed_queues(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;
	VIP_BOOLEAN recv;
	int i;

	run_nic(r);
	EXPECT(VipCreateCQ(r->nic, 16, &r->rcq), VIP_SUCCESS);
	run_vi(r);
	other = run_pair_here(r);
	for (i = 0; i < 100; i++) {
		EXPECT(VipPostRecv(other, fill(r, 0, data(r), 100, r->mem), r->mem), VIP_SUCCESS);
		post_send(r, 1, data(r) + 1000, 10);
		EXPECT(VipSendWait(r->vi, LONG_MS, &d), VIP_SUCCESS);
		assert_ptr_equal(d, desc(r, 1));
		next_recv(other, NULL);
		post_recv(r, 2, data(r), 100);
		EXPECT(VipPostSend(other, fill(r, 3, data(r) + 1000, 10, r->mem), r->mem), VIP_SUCCESS);
		assert_ptr_equal(next_entry(r->rcq, &recv), r->vi);
		assert_true(recv);
		EXPECT(VipRecvDone(r->vi, &d), VIP_SUCCESS);
		assert_ptr_equal(d, desc(r, 2));
		next_sent(other, NULL);
	}
	EXPECT(VipCQDone(r->rcq, &other, &recv), VIP_NOT_DONE);
}

/* L-27 */
#define ENTRIES 20000
#define AHEAD	16

static void *send_entries(void *arg)
{
	struct run *r = arg;
	VIP_VI_HANDLE other = grown.from[0];
	int i;

	for (i = 0; i < ENTRIES; i++) {
		while (i - __atomic_load_n(&grown.received[0], __ATOMIC_ACQUIRE) >= AHEAD)
			sched_yield();
		EXPECT(VipPostSend(other, fill(r, AHEAD, data(r) + 10000, 8, r->mem), r->mem), VIP_SUCCESS);
		next_sent(other, NULL);
	}
	return NULL;
}

void check_done_after_entry(struct run *r)
{
	VIP_BOOLEAN recv;
	VIP_DESCRIPTOR *d;
	pthread_t thread;
	VIP_VI_HANDLE vi;
	VIP_RETURN code;
	int i;

	run_nic(r);
	EXPECT(VipCreateCQ(r->nic, AHEAD, &r->rcq), VIP_SUCCESS);
	run_vi(r);
	grown.from[0] = run_pair_here(r);
	for (i = 0; i < AHEAD; i++)
		post_recv(r, i, data(r) + i * 64, 64);
	assert_int_equal(pthread_create(&thread, NULL, send_entries, r), 0);
	for (i = 0; i < ENTRIES; i++) {
		if (i % 1000 == 0)
			doing("entry no. %d", i);
		while ((code = VipCQDone(r->rcq, &vi, &recv)) == VIP_NOT_DONE)
			sched_yield();
		EXPECT(code, VIP_SUCCESS);
		EXPECT(VipRecvDone(vi, &d), VIP_SUCCESS); /* the first time */
		assert_ptr_equal(d, desc(r, i % AHEAD));
		d->CS.Length = 64;
		EXPECT(VipPostRecv(vi, d, r->mem), VIP_SUCCESS);
		__atomic_store_n(&grown.received[0], i + 1, __ATOMIC_RELEASE);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
}
