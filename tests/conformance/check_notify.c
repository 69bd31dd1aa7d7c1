/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check_notify.c - checks 178 to 185: one call for one completion. */
#include "async.h"

#include <string.h>

#define MAX_CALLS 64

/* What the handlers were called with, in order. */
static struct call {
	VIP_PVOID context;
	VIP_NIC_HANDLE nic;
	VIP_VI_HANDLE vi;
	VIP_DESCRIPTOR *d;
	VIP_BOOLEAN recv;
} calls[MAX_CALLS];
static int ncalls;

static struct call *new_call(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi)
{
	int n = __atomic_load_n(&ncalls, __ATOMIC_SEQ_CST);

	assert_true(n < MAX_CALLS);
	calls[n].context = context;
	calls[n].nic = nic;
	calls[n].vi = vi;
	return &calls[n];
}

static void on_vi(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	new_call(context, nic, vi)->d = d;
	__atomic_add_fetch(&ncalls, 1, __ATOMIC_SEQ_CST);
}

static void on_cq(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_BOOLEAN recv)
{
	new_call(context, nic, vi)->recv = recv;
	__atomic_add_fetch(&ncalls, 1, __ATOMIC_SEQ_CST);
}

static int called(void)
{
	return __atomic_load_n(&ncalls, __ATOMIC_SEQ_CST);
}

static void await_calls(int n)
{
	uint64_t end = now_ms() + LONG_MS;

	while (called() < n && now_ms() < end)
		pause_ms(1);
	assert_int_equal(called(), n);
}

static void send_from(struct run *r, VIP_VI_HANDLE vi, int i, uint32_t len)
{
	VIP_DESCRIPTOR *d = fill(r, i, data(r) + 100000, len, r->mem);

	EXPECT(VipPostSend(vi, d, r->mem), VIP_SUCCESS);
}

void check_notify_complete(struct run *r)
{
	static int context;
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;

	run_vi(r);
	other = run_pair_here(r);
	post_recv(r, 0, data(r), 100);
	send_from(r, other, 1, 10);
	await_done(desc(r, 0));
	EXPECT(VipRecvNotify(r->vi, &context, on_vi), VIP_SUCCESS);
	await_calls(1);
	assert_ptr_equal(calls[0].context, &context);
	assert_ptr_equal(calls[0].nic, r->nic);
	assert_ptr_equal(calls[0].vi, r->vi);
	assert_ptr_equal(calls[0].d, desc(r, 0));
	EXPECT_STATUS(calls[0].d, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
	EXPECT(VipRecvDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
	assert_null(d);

	doing("the send queue");
	await_done(desc(r, 1));
	EXPECT(VipSendNotify(other, NULL, on_vi), VIP_SUCCESS);
	await_calls(2);
	assert_null(calls[1].context);
	assert_ptr_equal(calls[1].vi, other);
	assert_ptr_equal(calls[1].d, desc(r, 1));
	EXPECT(VipSendDone(other, &d), VIP_DESCRIPTOR_ERROR);
	assert_null(d);
	drop_vi(other);
	run_close(r);
}

void check_notify_once(struct run *r)
{
	VIP_VI_HANDLE other;

	run_vi(r);
	other = run_pair_here(r);
	post_recv(r, 0, data(r), 100);
	post_recv(r, 1, data(r) + 100, 100);
	EXPECT(VipRecvNotify(r->vi, NULL, on_vi), VIP_SUCCESS);
	pause_ms(50);
	assert_int_equal(called(), 0);
	send_from(r, other, 2, 10);
	send_from(r, other, 3, 10);
	await_calls(1);
	assert_ptr_equal(calls[0].d, desc(r, 0));
	assert_ptr_equal(next_recv(r->vi, NULL), desc(r, 1));
	pause_ms(100);
	assert_int_equal(called(), 1);
	drop_vi(other);
	run_close(r);
}

void check_notify_order(struct run *r)
{
	static int context[16];
	VIP_VI_HANDLE other;
	int i;

	run_vi(r);
	other = run_pair_here(r);
	for (i = 0; i < 16; i++) {
		post_recv(r, i, data(r) + i * 100, 100);
		EXPECT(VipRecvNotify(r->vi, &context[i], on_vi), VIP_SUCCESS);
	}
	for (i = 0; i < 16; i++)
		send_from(r, other, 16 + i, (uint32_t)i + 1);
	await_calls(16);
	for (i = 0; i < 16; i++) {
		doing("call no. %d", i);
		assert_ptr_equal(calls[i].context, &context[i]);
		assert_ptr_equal(calls[i].d, desc(r, i));
		assert_int_equal(calls[i].d->CS.Length, i + 1);
	}
	drop_vi(other);
	run_close(r);
}

/* ---- again from inside the handler ---- */

#define MESSAGES 100000
#define WINDOW	 32

static struct again {
	struct run *r;
	uint32_t seen;
	bool over; /* the flushed one that comes when the connection ends is not looked at */
} again;

static void on_again(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	struct again *a = context;
	uint32_t n = a->seen, got;

	(void)nic;
	if (__atomic_load_n(&a->over, __ATOMIC_ACQUIRE))
		return;
	assert_ptr_equal(d, desc(a->r, (int)(n % WINDOW)));
	EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
	memcpy(&got, d->DS[0].Local.Data.Address, sizeof(got));
	assert_int_equal(got, n);
	d->CS.Length = 64;
	EXPECT(VipPostRecv(vi, d, a->r->mem), VIP_SUCCESS);
	EXPECT(VipRecvNotify(vi, a, on_again), VIP_SUCCESS);
	__atomic_store_n(&a->seen, n + 1, __ATOMIC_RELEASE);
}

void check_notify_again(struct run *r)
{
	VIP_VI_HANDLE other;
	uint32_t messages = share(r, MESSAGES), i, *src;
	VIP_DESCRIPTOR *d;
	uint64_t end;

	run_vi(r);
	other = run_pair_here(r);
	again.r = r;
	for (i = 0; i < WINDOW; i++)
		post_recv(r, (int)i, data(r) + (size_t)i * 64, 64);
	EXPECT(VipRecvNotify(r->vi, &again, on_again), VIP_SUCCESS);
	src = (uint32_t *)(data(r) + 65536);
	for (i = 0; i < messages; i++) {
		if (i % 1000 == 0)
			doing("message no. %u", i);
		end = now_ms() + LONG_MS;
		while (i - __atomic_load_n(&again.seen, __ATOMIC_ACQUIRE) >= WINDOW - 1) {
			if (now_ms() > end)
				fail_msg("the handler was called %u times, and no more", again.seen);
		}
		*src = i;
		d = fill(r, WINDOW, src, sizeof(*src), r->mem);
		EXPECT(VipPostSend(other, d, r->mem), VIP_SUCCESS);
		assert_ptr_equal(next_sent(other, NULL), d);
	}
	end = now_ms() + LONG_MS;
	while (__atomic_load_n(&again.seen, __ATOMIC_ACQUIRE) < messages && now_ms() < end)
		pause_ms(1);
	pause_ms(50);
	assert_int_equal(again.seen, messages);
	__atomic_store_n(&again.over, true, __ATOMIC_RELEASE);
	drop_vi(other);
	run_close(r);
}

/* ---- the end of what was registered ---- */

void check_notify_destroyed(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_CQ_HANDLE cq;

	run_nic(r);
	EXPECT(VipCreateCQ(r->nic, 16, &r->rcq), VIP_SUCCESS);
	run_vi(r);
	doing("that the handler is called at all");
	EXPECT(VipCQNotify(r->rcq, &cq, on_cq), VIP_SUCCESS);
	other = run_pair_here(r);
	post_recv(r, 0, data(r), 100);
	send_from(r, other, 1, 10);
	await_calls(1);
	assert_ptr_equal(calls[0].context, &cq);
	assert_ptr_equal(calls[0].nic, r->nic);
	assert_ptr_equal(calls[0].vi, r->vi);
	assert_true(calls[0].recv);
	assert_ptr_equal(next_recv(r->vi, NULL), desc(r, 0));

	doing("a registration whose CQ is destroyed");
	EXPECT(VipCQNotify(r->rcq, NULL, on_cq), VIP_SUCCESS);
	drop_vi(r->vi);
	EXPECT(VipDestroyCQ(r->rcq), VIP_SUCCESS);
	drop_vi(other);
	EXPECT(VipCreateCQ(r->nic, 16, &r->rcq), VIP_SUCCESS);
	r->vi = NULL;
	run_vi(r);
	other = run_pair_here(r);
	post_recv(r, 0, data(r), 100);
	send_from(r, other, 1, 10);
	await_done(desc(r, 0));
	pause_ms(200);
	assert_int_equal(called(), 1);
	drop_vi(other);
}

void check_notify_flushed(struct run *r)
{
	VIP_VI_HANDLE other;
	int ours;

	run_vi(r);
	for (ours = 0; ours < 2; ours++) {
		doing("VipDisconnect on %s side", ours ? "this" : "the other");
		other = run_pair_here(r);
		post_recv(r, ours, data(r), 100);
		EXPECT(VipRecvNotify(r->vi, &calls[ours], on_vi), VIP_SUCCESS);
		EXPECT(VipDisconnect(ours ? r->vi : other), VIP_SUCCESS);
		await_calls(ours + 1);
		assert_ptr_equal(calls[ours].context, &calls[ours]);
		assert_ptr_equal(calls[ours].d, desc(r, ours));
		EXPECT_STATUS(calls[ours].d,
			      VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR | VIP_STATUS_OP_RECEIVE);
		drop_vi(other);
		await_state(r->vi, ours ? VIP_STATE_IDLE : VIP_STATE_ERROR);
		EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	}
	run_close(r);
}

void check_notify_null(struct run *r)
{
	VIP_CQ_HANDLE cq;

	run_vi(r);
	EXPECT(VipCreateCQ(r->nic, 16, &cq), VIP_SUCCESS);
	EXPECT(VipSendNotify(r->vi, &cq, NULL), VIP_INVALID_PARAMETER);
	EXPECT(VipRecvNotify(r->vi, &cq, NULL), VIP_INVALID_PARAMETER);
	EXPECT(VipCQNotify(cq, &cq, NULL), VIP_INVALID_PARAMETER);
	EXPECT(VipDestroyCQ(cq), VIP_SUCCESS);
	run_close(r);
}

void check_notify_cq(struct run *r)
{
	VIP_RETURN want = (VIP_RETURN)choice(r, "K-19");

	run_nic(r);
	EXPECT(VipCreateCQ(r->nic, 16, &r->rcq), VIP_SUCCESS);
	EXPECT(VipCreateCQ(r->nic, 16, &r->scq), VIP_SUCCESS);
	run_vi(r);
	EXPECT(VipSendNotify(r->vi, NULL, on_vi), want);
	EXPECT(VipRecvNotify(r->vi, NULL, on_vi), want);
	run_close(r);
}
