/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* send_queue.c - checks 131 to 137 and 139: what the work queues do, and those who wait for them. */
#include "connecting.h"
#include "send.h"
#include "transfer.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

/* ---- 131, 132: as many descriptors as the queues take, of 64 bytes, with 8 bytes of data each ---- */

#define MOST 30000 /* of them fit into the block */

static int depth(const struct run *r)
{
	if (r->attr.MaxDescriptorsPerQueue > MOST)
		skip_check("MaxDescriptorsPerQueue is %lu, the check has memory for %d",
			   r->attr.MaxDescriptorsPerQueue, MOST);
	return (int)r->attr.MaxDescriptorsPerQueue;
}

enum { SEND_A, RECV_A, SEND_B, RECV_B };

static uint64_t *word(struct run *r, int queue, int i)
{
	return (uint64_t *)(data(r) + (size_t)4 * (MOST + 1) * 64) + (size_t)queue * (MOST + 1) + i;
}

static VIP_DESCRIPTOR *small(struct run *r, int queue, int i)
{
	return (VIP_DESCRIPTOR *)data(r) + (size_t)queue * (MOST + 1) + i;
}

static VIP_DESCRIPTOR *fill_small(struct run *r, int queue, int i, uint64_t value)
{
	VIP_DESCRIPTOR *d = small(r, queue, i);

	*word(r, queue, i) = value;
	memset(d, 0, sizeof(*d));
	d->CS.SegCount = 1;
	d->CS.Length = 8;
	d->DS[0].Local = (VIP_DATA_SEGMENT){.Data.Address = word(r, queue, i), .Handle = r->mem, .Length = 8};
	return d;
}

void queue_full(struct run *r)
{
	VIP_VI_HANDLE b = run_pair_here(r), a = r->vi;
	int i, n = depth(r);

	for (i = 0; i < n; i++) {
		recv_on(r, a, fill_small(r, RECV_A, i, 0));
		recv_on(r, b, fill_small(r, RECV_B, i, 0));
	}
	doing("%d sends, none taken out", n);
	for (i = 0; i < n; i++)
		send_on(r, a, fill_small(r, SEND_A, i, 0xa00000u + (unsigned int)i));
	for (i = 0; i < n; i++)
		send_on(r, b, fill_small(r, SEND_B, i, 0xb00000u + (unsigned int)i));
	for (i = 0; i < n; i++) {
		doing("number %d of %d", i, n);
		EXPECT_RECV(b, small(r, RECV_B, i), RECEIVED);
		EXPECT_SENT(a, small(r, SEND_A, i), SENT);
		EXPECT_RECV(a, small(r, RECV_A, i), RECEIVED);
		EXPECT_SENT(b, small(r, SEND_B, i), SENT);
		assert_int_equal(*word(r, RECV_B, i), 0xa00000 + i);
		assert_int_equal(*word(r, RECV_A, i), 0xb00000 + i);
	}
}

/* A post beyond the limit gave @code: was the descriptor refused, by the code or by the error? */
static bool refused(struct run *r, VIP_RETURN code, int n)
{
	uint64_t end = now_ms() + 300;

	if (code == VIP_SUCCESS) {
		while (errors_of(r, VIP_ERROR_VI_OVERRUN) < n && now_ms() < end)
			pause_ms(1);
		return errors_of(r, VIP_ERROR_VI_OVERRUN) == n;
	}
	EXPECT(code, VIP_ERROR_RESOURCE);
	assert_int_equal(errors_of(r, VIP_ERROR_VI_OVERRUN), 0);
	return true;
}

/* The connection did not survive it: those that were there come back in order, complete or flushed. */
static bool broken(struct run *r, VIP_VI_HANDLE vi, int queue, int n)
{
	VIP_RETURN code;
	int i;

	if (state_of(vi) != VIP_STATE_ERROR)
		return false;
	assert_true(is_reliable(r));
	for (i = 0; i < n; i++) {
		doing("broken; number %d of %d", i, n);
		assert_ptr_equal(queue == RECV_B ? next_recv(vi, &code) : next_sent(vi, &code),
				 small(r, queue, i));
		if (code != VIP_SUCCESS)
			assert_int_equal(small(r, queue, i)->CS.Status & VIP_STATUS_ERROR_MASK,
					 VIP_STATUS_DESC_FLUSHED_ERROR);
	}
	return true;
}

static void overrun_recv(struct run *r, VIP_VI_HANDLE a, VIP_VI_HANDLE b, int n)
{
	int i;

	for (i = 0; i < n; i++)
		recv_on(r, b, fill_small(r, RECV_B, i, 0));
	doing("receive %d of %d", n + 1, n);
	assert_true(refused(r, VipPostRecv(b, fill_small(r, RECV_B, n, 0), r->mem), 1));
	if (broken(r, b, RECV_B, n))
		return;
	for (i = 0; i < n; i++)
		send_on(r, a, fill_small(r, SEND_A, i, (unsigned int)i));
	for (i = 0; i < n; i++) {
		doing("receives were too many; number %d of %d", i, n);
		EXPECT_RECV(b, small(r, RECV_B, i), RECEIVED);
		assert_int_equal(*word(r, RECV_B, i), i);
		EXPECT_SENT(a, small(r, SEND_A, i), SENT);
	}
	assert_int_equal(state_of(b), VIP_STATE_CONNECTED);
}

static void overrun_send(struct run *r, VIP_VI_HANDLE a, VIP_VI_HANDLE b, int n)
{
	int i, before = errors_of(r, VIP_ERROR_VI_OVERRUN);
	bool not_taken;

	for (i = 0; i < n; i++)
		recv_on(r, b, fill_small(r, RECV_B, i, 0));
	for (i = 0; i < n; i++)
		send_on(r, a, fill_small(r, SEND_A, i, (unsigned int)i));
	/* a receive for one more */
	EXPECT_RECV(b, small(r, RECV_B, 0), RECEIVED);
	recv_on(r, b, fill_small(r, RECV_B, 0, 0));
	doing("send %d of %d, none taken out", n + 1, n);
	/* one that has completed need not count any more: then it is taken */
	not_taken = refused(r, VipPostSend(a, fill_small(r, SEND_A, n, (unsigned int)n), r->mem), before + 1);
	if (not_taken && broken(r, a, SEND_A, n))
		return;
	for (i = 0; i < n; i++) {
		doing("sends were too many; number %d of %d", i, n);
		if (i > 0) {
			EXPECT_RECV(b, small(r, RECV_B, i), RECEIVED);
			assert_int_equal(*word(r, RECV_B, i), i);
		}
		EXPECT_SENT(a, small(r, SEND_A, i), SENT);
	}
	if (!not_taken) {
		EXPECT_RECV(b, small(r, RECV_B, 0), RECEIVED);
		EXPECT_SENT(a, small(r, SEND_A, n), SENT);
	}
	assert_int_equal(state_of(a), VIP_STATE_CONNECTED);
}

void queue_overrun(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);

	overrun_recv(r, r->vi, other, depth(r));
	r->vi = NULL;
	other = run_pair_here(r);
	overrun_send(r, r->vi, other, depth(r));
}

/* ---- 133: empty queues ---- */

static void both_empty(VIP_VI_HANDLE vi, VIP_VI_STATE state)
{
	VIP_DESCRIPTOR here, *d;

	doing("state %d", state);
	assert_int_equal(state_of(vi), state);
	d = &here;
	EXPECT(VipSendDone(vi, &d), VIP_DESCRIPTOR_ERROR);
	assert_null(d);
	d = &here;
	EXPECT(VipRecvDone(vi, &d), VIP_DESCRIPTOR_ERROR);
	assert_null(d);
}

void queue_empty(struct run *r)
{
	struct client client;
	VIP_VI_HANDLE other;
	VIP_CONN_HANDLE conn;

	run_vi(r);
	both_empty(r->vi, VIP_STATE_IDLE);

	client_start(&client, r, r->vi, "check 133", LONG_MS);
	EXPECT(wait_at(r, "check 133", LONG_MS, &conn), VIP_SUCCESS);
	both_empty(r->vi, VIP_STATE_CONNECT_PENDING);
	EXPECT(VipConnectReject(conn), VIP_SUCCESS);
	EXPECT(client_end(&client), VIP_REJECT);
	EXPECT(VipDestroyVi(r->vi), VIP_SUCCESS);

	r->vi = NULL;
	other = run_pair_here(r);
	both_empty(r->vi, VIP_STATE_CONNECTED);
	EXPECT(VipDisconnect(other), VIP_SUCCESS);
	await_state(r->vi, VIP_STATE_ERROR);
	both_empty(r->vi, VIP_STATE_ERROR);
}

/* ---- 134 to 137: looking and waiting ---- */

void queue_incomplete(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r), idle;
	VIP_VI_ATTRIBUTES attr = run_attr(r);
	VIP_DESCRIPTOR *d;

	doing("Idle");
	EXPECT(VipCreateVi(r->nic, &attr, NULL, NULL, &idle), VIP_SUCCESS);
	recv_on(r, idle, fill(r, 0, data(r), 100, r->mem));
	EXPECT(VipRecvDone(idle, &d), VIP_NOT_DONE);

	doing("Connected");
	recv_on(r, other, fill(r, 1, data(r), 100, r->mem));
	recv_on(r, other, fill(r, 2, data(r), 100, r->mem));
	EXPECT(VipRecvDone(other, &d), VIP_NOT_DONE);
	post_send(r, 3, data(r) + 4096, 100);
	EXPECT_RECV(other, desc(r, 1), RECEIVED);
	EXPECT(VipRecvDone(other, &d), VIP_NOT_DONE);
}

static void *send_later(void *arg)
{
	struct run *r = arg;

	pause_ms(300);
	return VipPostSend(r->vi, desc(r, 1), r->mem) == VIP_SUCCESS ? arg : NULL;
}

void queue_wait(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	VIP_DESCRIPTOR *d;
	pthread_t thread;
	uint64_t start;
	void *sent;

	recv_on(r, other, fill(r, 0, data(r), 100, r->mem));
	fill(r, 1, data(r) + 4096, 100, r->mem);
	start = now_ms();
	EXPECT(VipRecvWait(other, 0, &d), VIP_TIMEOUT);
	assert_in_range(now_ms() - start, 0, SOON_MS);
	start = now_ms();
	EXPECT(VipRecvWait(other, 50, &d), VIP_TIMEOUT);
	assert_in_range(now_ms() - start, 49, SOON_MS);

	doing("VIP_INFINITE, a message after 300 ms");
	assert_int_equal(pthread_create(&thread, NULL, send_later, r), 0);
	start = now_ms();
	EXPECT(VipRecvWait(other, VIP_INFINITE, &d), VIP_SUCCESS);
	assert_in_range(now_ms() - start, 200, SOON_MS);
	assert_ptr_equal(d, desc(r, 0));
	EXPECT_STATUS(d, RECEIVED);
	pthread_join(thread, &sent);
	assert_non_null(sent);
}

void queue_wait_empty(struct run *r)
{
	const VIP_ULONG times[] = {0, LONG_MS, VIP_INFINITE};
	VIP_RETURN want = (VIP_RETURN)choice(r, "K-9b");
	VIP_DESCRIPTOR here, *d;
	uint64_t start = now_ms();
	int i, connected;

	run_vi(r);
	for (connected = 0; connected < 2; connected++) {
		if (connected) {
			EXPECT(VipDestroyVi(r->vi), VIP_SUCCESS);
			r->vi = NULL;
			run_pair_here(r);
		}
		for (i = 0; i < 3; i++) {
			doing("%s, timeout %lu", connected ? "Connected" : "Idle", times[i]);
			d = &here;
			EXPECT(VipRecvWait(r->vi, times[i], &d), want);
			if (want == VIP_DESCRIPTOR_ERROR)
				assert_null(d);
			d = &here;
			EXPECT(VipSendWait(r->vi, times[i], &d), want);
			if (want == VIP_DESCRIPTOR_ERROR)
				assert_null(d);
		}
	}
	assert_in_range(now_ms() - start, 0, SOON_MS);
}

struct sleeper {
	VIP_VI_HANDLE vi;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;
};

static void *wait_long(void *arg)
{
	struct sleeper *w = arg;

	w->code = VipRecvWait(w->vi, VIP_INFINITE, &w->d);
	return NULL;
}

void queue_done_beside_wait(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	struct sleeper w = {.vi = other};
	VIP_DESCRIPTOR *d;
	struct timespec end;
	pthread_t thread;
	uint64_t start;
	int i;

	recv_on(r, other, fill(r, 0, data(r), 100, r->mem));
	assert_int_equal(pthread_create(&thread, NULL, wait_long, &w), 0);
	pause_ms(200); /* it sleeps by then */
	start = now_ms();
	for (i = 0; i < 1000; i++)
		EXPECT(VipRecvDone(other, &d), VIP_NOT_DONE);
	assert_in_range(now_ms() - start, 0, SOON_MS);

	doing("the one who waits gets the message");
	post_send(r, 1, data(r) + 4096, 100);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 10;
	assert_int_equal(pthread_timedjoin_np(thread, NULL, &end), 0);
	EXPECT(w.code, VIP_SUCCESS);
	assert_ptr_equal(w.d, desc(r, 0));
	EXPECT_STATUS(w.d, RECEIVED);
}

/* ---- 139 ---- */

void queue_order(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	uint32_t most = largest(r) < (512u << 10) ? largest(r) : 512u << 10, len[30];
	uint8_t *from = data(r), *to = data(r) + (1u << 20), *at;
	int i, n = 30;

	pattern(from, most + 1000, 139);
	for (i = 0, at = to; i < n; at += len[i++]) {
		len[i] = i % 3 == 0 ? most - (uint32_t)i : (uint32_t)(i % 3 == 1 ? i * i : i % 5);
		recv_on(r, other, fill(r, i, at, len[i], r->mem));
	}
	for (i = 0; i < n; i++)
		send_on(r, r->vi, fill(r, 30 + i, from + i, len[i], r->mem));
	for (i = 0, at = to; i < n; at += len[i++]) {
		doing("message %d of %d, %u bytes", i + 1, n, len[i]);
		EXPECT_RECV(other, desc(r, i), RECEIVED);
		assert_int_equal(desc(r, i)->CS.Length, len[i]);
		if (len[i])
			assert_memory_equal(at, from + i, len[i]);
		EXPECT_SENT(r->vi, desc(r, 30 + i), SENT);
	}
}
