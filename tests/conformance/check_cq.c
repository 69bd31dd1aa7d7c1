/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check_cq.c - completion queues (59 to 74). */
#include "cq.h"

#include <stdlib.h>

#include "connecting.h"

VIP_CQ_HANDLE new_cq(struct run *r, VIP_ULONG entries)
{
	VIP_CQ_HANDLE cq = NULL;

	EXPECT(VipCreateCQ(r->nic, entries, &cq), VIP_SUCCESS);
	assert_non_null(cq);
	return cq;
}

VIP_VI_HANDLE vi_on(struct run *r, VIP_CQ_HANDLE scq, VIP_CQ_HANDLE rcq)
{
	VIP_VI_ATTRIBUTES a = run_attr(r);
	VIP_VI_HANDLE vi = NULL;

	EXPECT(VipCreateVi(r->nic, &a, scq, rcq, &vi), VIP_SUCCESS);
	return vi;
}

void expect_entry(VIP_CQ_HANDLE cq, VIP_VI_HANDLE vi, bool recv)
{
	VIP_VI_HANDLE of = NULL;
	VIP_BOOLEAN is_recv = -1;

	EXPECT(VipCQWait(cq, LONG_MS, &of, &is_recv), VIP_SUCCESS);
	assert_ptr_equal(of, vi);
	assert_int_equal(is_recv, recv ? VIP_TRUE : VIP_FALSE);
}

void expect_no_entry(VIP_CQ_HANDLE cq)
{
	VIP_VI_HANDLE of;
	VIP_BOOLEAN recv;

	EXPECT(VipCQDone(cq, &of, &recv), VIP_NOT_DONE);
}

void flush_receives(struct run *r, VIP_VI_HANDLE vi, int first, int n)
{
	int i;

	for (i = first; i < first + n; i++)
		EXPECT(VipPostRecv(vi, fill(r, i, data(r), 64, r->mem), r->mem), VIP_SUCCESS);
	EXPECT(VipDisconnect(vi), VIP_SUCCESS);
}

void take_flushed(struct run *r, VIP_VI_HANDLE vi, int first, int n)
{
	VIP_DESCRIPTOR *d;
	int i;

	for (i = first; i < first + n; i++) {
		EXPECT(VipRecvDone(vi, &d), VIP_DESCRIPTOR_ERROR);
		assert_ptr_equal(d, desc(r, i));
		EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR | VIP_STATUS_OP_RECEIVE);
	}
}

/* 59 */
static void check_create(struct run *r)
{
	VIP_CQ_HANDLE cq;

	run_nic(r);
	EXPECT(VipDestroyCQ(new_cq(r, 1)), VIP_SUCCESS);
	EXPECT(VipDestroyCQ(new_cq(r, r->attr.MaxCQEntries)), VIP_SUCCESS);
	EXPECT(VipCreateCQ(r->nic, 0, &cq), VIP_INVALID_PARAMETER);
	EXPECT(VipCreateCQ(r->nic, r->attr.MaxCQEntries + 1, &cq), VIP_INVALID_PARAMETER);
	EXPECT(VipCreateCQ(r->nic, r->attr.MaxCQEntries + (1ul << 32), &cq), VIP_INVALID_PARAMETER);
	EXPECT(VipCreateCQ(r->nic, 1, NULL), VIP_INVALID_PARAMETER);
	run_close(r);
}

/* 60 */
static void check_all_cqs(struct run *r)
{
	VIP_RETURN code = VIP_SUCCESS;
	VIP_CQ_HANDLE *cq;
	VIP_ULONG n = 0;

	run_nic(r);
	cq = calloc(r->attr.MaxCQ + 2, sizeof(*cq));
	assert_non_null(cq);
	while (n <= r->attr.MaxCQ && (code = VipCreateCQ(r->nic, 4, &cq[n])) == VIP_SUCCESS)
		n++;
	EXPECT(code, VIP_ERROR_RESOURCE);
	assert_int_equal(n, r->attr.MaxCQ);
	note("%lu completion queues", n);
	EXPECT(VipDestroyCQ(cq[n / 2]), VIP_SUCCESS);
	EXPECT(VipCreateCQ(r->nic, 4, &cq[n / 2]), VIP_SUCCESS);
	EXPECT(VipCreateCQ(r->nic, 4, &cq[n]), VIP_ERROR_RESOURCE);
	run_close(r);
	free(cq);
}

/* 61 */
static void check_destroy(struct run *r)
{
	VIP_CQ_HANDLE cq;
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;
	int i;

	run_nic(r);
	cq = new_cq(r, 4);
	for (i = 1; i < 4; i++) {
		doing("a VI is attached with %s", i == 1   ? "its send queue"
						  : i == 2 ? "its receive queue"
							   : "both queues");
		vi = vi_on(r, i & 1 ? cq : NULL, i & 2 ? cq : NULL);
		EXPECT(VipDestroyCQ(cq), VIP_ERROR_RESOURCE);
		EXPECT(VipDestroyVi(vi), VIP_SUCCESS);
		expect_no_entry(cq);
	}
	EXPECT(VipDestroyCQ(cq), VIP_SUCCESS);
	EXPECT(VipDestroyCQ(cq), VIP_INVALID_PARAMETER);
	EXPECT(VipCQDone(cq, &vi, &recv), VIP_INVALID_PARAMETER);
	EXPECT(VipCQWait(cq, 100, &vi, &recv), VIP_INVALID_PARAMETER);
	run_close(r);
}

/* 62 */
static void check_empty(struct run *r)
{
	VIP_CQ_HANDLE cq;
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;
	uint64_t start;

	run_nic(r);
	cq = new_cq(r, 4);
	vi_on(r, cq, cq);
	expect_no_entry(cq);
	start = now_ms();
	EXPECT(VipCQWait(cq, 0, &vi, &recv), VIP_TIMEOUT);
	assert_in_range(now_ms() - start, 0, SOON_MS);
	start = now_ms();
	EXPECT(VipCQWait(cq, 50, &vi, &recv), VIP_TIMEOUT);
	assert_in_range(now_ms() - start, 50, SOON_MS);
	run_close(r);
}

/* 63 */
static void check_shared(struct run *r)
{
	VIP_VI_HANDLE sender, receiver, of[2];
	VIP_BOOLEAN recv[2];
	VIP_CQ_HANDLE cq;
	VIP_DESCRIPTOR *d;
	int i;

	run_nic(r);
	cq = new_cq(r, 4);
	sender = vi_on(r, cq, cq);
	receiver = vi_on(r, cq, cq);
	connect_here(r, r->nic, sender, receiver);
	EXPECT(VipPostRecv(receiver, fill(r, 0, data(r), 64, r->mem), r->mem), VIP_SUCCESS);
	EXPECT(VipPostSend(sender, fill(r, 1, data(r) + 64, 64, r->mem), r->mem), VIP_SUCCESS);
	for (i = 0; i < 2; i++)
		EXPECT(VipCQWait(cq, LONG_MS, &of[i], &recv[i]), VIP_SUCCESS);
	i = of[0] == receiver ? 0 : 1; /* which comes first is open */
	assert_ptr_equal(of[i], receiver);
	assert_int_equal(recv[i], VIP_TRUE);
	assert_ptr_equal(of[!i], sender);
	assert_int_equal(recv[!i], VIP_FALSE);
	EXPECT(VipRecvDone(receiver, &d), VIP_SUCCESS);
	assert_ptr_equal(d, desc(r, 0));
	EXPECT(VipSendDone(sender, &d), VIP_SUCCESS);
	assert_ptr_equal(d, desc(r, 1));
	expect_no_entry(cq);
	EXPECT(VipCQDone(cq, NULL, &recv[0]), VIP_INVALID_PARAMETER);
	EXPECT(VipCQDone(cq, &of[0], NULL), VIP_INVALID_PARAMETER);
	run_close(r);
}

/* 66 */
static void check_flushed(struct run *r)
{
	VIP_VI_HANDLE vi[2];
	VIP_CQ_HANDLE cq;
	VIP_DESCRIPTOR *d;
	int i, remote;

	run_nic(r);
	cq = new_cq(r, 32);
	for (remote = 0; remote < 2; remote++) {
		doing("%s disconnects", remote ? "the other side" : "this side");
		pair_here(r, cq, cq, vi);
		for (i = 0; i < 5; i++)
			EXPECT(VipPostRecv(vi[0], fill(r, i, data(r), 64, r->mem), r->mem), VIP_SUCCESS);
		EXPECT(VipDisconnect(vi[!!remote]), VIP_SUCCESS);
		for (i = 0; i < 5; i++)
			expect_entry(cq, vi[0], true);
		take_flushed(r, vi[0], 0, 5);
		expect_no_entry(cq);
		doing("sends after %s has disconnected", remote ? "the other side" : "this side");
		for (i = 8; i < 11; i++)
			EXPECT(VipPostSend(vi[0], fill(r, i, data(r), 64, r->mem), r->mem),
			       choice(r, "K-11"));
		for (i = 8; i < 11 && choice(r, "K-11") == VIP_SUCCESS; i++) {
			expect_entry(cq, vi[0], false);
			EXPECT(VipSendDone(vi[0], &d), VIP_DESCRIPTOR_ERROR);
			assert_ptr_equal(d, desc(r, i));
			EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR);
		}
		expect_no_entry(cq);
		drop_vi(vi[0]);
		drop_vi(vi[1]);
	}
	run_close(r);
}

/* 69 */
static void check_wait_on_queue(struct run *r)
{
	VIP_DESCRIPTOR *d;

	run_nic(r);
	r->scq = new_cq(r, 4);
	r->rcq = new_cq(r, 4);
	run_pair_here(r);
	EXPECT(VipSendWait(r->vi, VIP_INFINITE, &d), choice(r, "K-9"));
	EXPECT(VipRecvWait(r->vi, VIP_INFINITE, &d), choice(r, "K-9"));
	post_recv(r, 0, data(r), 64);
	doing("a receive is posted");
	EXPECT(VipRecvWait(r->vi, VIP_INFINITE, &d), choice(r, "K-9"));
	EXPECT(VipRecvDone(r->vi, &d), VIP_NOT_DONE);
	run_close(r);
}

/* 74 */
static void check_stale_entry(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	run_nic(r);
	r->rcq = new_cq(r, 4);
	other = run_pair_here(r);
	doing("nothing else is posted");
	post_recv(r, 0, data(r), 64);
	EXPECT(VipPostSend(other, fill(r, 1, data(r) + 64, 64, r->mem), r->mem), VIP_SUCCESS);
	next_recv(r->vi, NULL);
	next_sent(other, NULL);
	expect_entry(r->rcq, r->vi, true);
	code = VipRecvDone(r->vi, &d);
	assert_null(d);
	EXPECT(code, VIP_DESCRIPTOR_ERROR);
	doing("another receive is posted");
	post_recv(r, 0, data(r), 64);
	EXPECT(VipPostSend(other, fill(r, 1, data(r) + 64, 64, r->mem), r->mem), VIP_SUCCESS);
	next_recv(r->vi, NULL);
	next_sent(other, NULL);
	post_recv(r, 2, data(r), 64);
	expect_entry(r->rcq, r->vi, true);
	EXPECT(VipRecvDone(r->vi, &d), VIP_NOT_DONE);
	expect_no_entry(r->rcq);
	drop_vi(other);
	run_close(r);
}

const struct check cq_checks[] = {
	{59, EARLY, 0, "VipCreateCQ", "1 entry and MaxCQEntries; none, and above it", check_create},
	{60, EARLY, 0, "VipCreateCQ", "MaxCQ, and one more; destroying one makes room", check_all_cqs},
	{61, EARLY, 0, "VipDestroyCQ", "not while a VI is attached", check_destroy},
	{62, EARLY, 0, "VipCQWait", "an empty queue: no entry, and timeouts that are kept", check_empty},
	{63, EARLY, 0, "VipCQDone", "a send and a receive: two entries that name them", check_shared},
	{64, EARLY, TWO | SLOW | LONG, "VipCQDone", "the first Done after each entry finds its descriptor",
	 check_first_done},
	{65, EARLY, 0, "VipCQDone", "two VIs on one queue: order kept, as many entries as completions",
	 check_interleaved},
	{66, EARLY, 0, "VipCQDone", "an entry for each flushed descriptor, and no error", check_flushed},
	{67, EARLY, 0, "VipCQWait", "a completion wakes who waits, within ms", check_wakes},
	{68, FUNCTIONAL, 0, "VipCQWait", "each of many threads that wait gets one entry", check_many_waiters},
	{69, FUNCTIONAL, 0, "K-9", "SendWait and RecvWait on an attached queue do not hang",
	 check_wait_on_queue},
	{70, FUNCTIONAL, 0, "VipResizeCQ", "up and down while idle, within the limits", check_resize_idle},
	{71, FUNCTIONAL, SLOW, "VipResizeCQ", "up while traffic runs: no entry lost, doubled or reordered",
	 check_resize_traffic},
	{72, FUNCTIONAL, 0, "K-13", "resized below what is queued: entries stay", check_resize_small},
	{73, FUNCTIONAL, 0, "K-12", "more completions than entries", check_overrun},
	{74, EARLY, 0, "VipCQDone", "a descriptor that was taken before leaves a stale entry",
	 check_stale_entry},
	{0},
};
