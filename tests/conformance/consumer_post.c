/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* consumer_post.c - what consumers do with descriptors. */
#include "consumer.h"

#include <string.h>

/* Post @d, which is filled already, and send @len bytes for it from @other. */
static void repost_and_send(struct run *r, VIP_VI_HANDLE other, VIP_DESCRIPTOR *d, uint32_t len)
{
	EXPECT(VipPostRecv(r->vi, d, r->mem), VIP_SUCCESS);
	EXPECT(VipPostSend(other, fill(r, 63, data(r) + 100000, len, r->mem), r->mem), VIP_SUCCESS);
}

/* L-1 */
void check_drained_by_null(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;
	int i, n = 0;

	run_vi(r);
	other = run_pair_here(r);
	d = desc(r, 9);
	EXPECT(VipRecvDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
	assert_null(d);
	d = desc(r, 9);
	EXPECT(VipSendDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
	assert_null(d);
	for (i = 0; i < 10; i++)
		post_recv(r, i, data(r), 100);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	/* as the consumers' closing does it: until the pointer is NULL */
	for (;;) {
		d = desc(r, 63);
		EXPECT(VipRecvDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
		if (!d)
			break;
		assert_ptr_equal(d, desc(r, n++));
	}
	assert_int_equal(n, 10);
	d = desc(r, 9);
	EXPECT(VipRecvDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
	assert_null(d);
	EXPECT(VipDestroyVi(r->vi), VIP_SUCCESS);
	drop_vi(other);
}

/* L-2 */
void check_repost(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d, *got;
	int i;

	run_vi(r);
	other = run_pair_here(r);
	d = fill(r, 0, data(r), 100, r->mem);
	for (i = 0; i < 1000; i++) {
		doing("time no. %d", i);
		d->CS.Length = 100;
		EXPECT(VipPostRecv(r->vi, d, r->mem), VIP_SUCCESS); /* Status is that of the time before */
		EXPECT_STATUS(d, 0);
		EXPECT(VipRecvDone(r->vi, &got), VIP_NOT_DONE);
		EXPECT(VipPostSend(other, fill(r, 63, data(r) + 1000, 1, r->mem), r->mem), VIP_SUCCESS);
		assert_ptr_equal(next_recv(r->vi, NULL), d);
		EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
		next_sent(other, NULL);
	}
	drop_vi(other);
	run_close(r);
}

/* L-3 */
void check_immediate_left(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;

	run_vi(r);
	other = run_pair_here(r);
	d = fill(r, 0, data(r), 100, r->mem);
	d->CS.Control = VIP_CONTROL_OP_SENDRECV | VIP_CONTROL_IMMEDIATE;
	d->CS.ImmediateData = 0x11111111;
	repost_and_send(r, other, d, 30);
	assert_ptr_equal(next_recv(r->vi, NULL), d);
	EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
	assert_int_equal(d->CS.Length, 30);
	next_sent(other, NULL);
	drop_vi(other);
	run_close(r);
}

/* L-4 */
void check_empty_acks(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d, *s;
	uint32_t i;

	run_vi(r);
	other = run_pair_here(r);
	for (i = 0; i < 100; i++) {
		doing("acknowledgement no. %u", i);
		d = post_recv(r, 0, data(r), 100);
		s = fill(r, 1, NULL, 0, r->mem);
		assert_int_equal(s->CS.SegCount, 0);
		s->CS.Control = VIP_CONTROL_OP_SENDRECV | VIP_CONTROL_IMMEDIATE;
		s->CS.ImmediateData = 0xa0000000u + i;
		EXPECT(VipPostSend(other, s, r->mem), VIP_SUCCESS);
		assert_ptr_equal(next_recv(r->vi, NULL), d);
		EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE | VIP_STATUS_IMMEDIATE);
		assert_int_equal(d->CS.Length, 0);
		assert_int_equal(d->CS.ImmediateData, 0xa0000000u + i);
		assert_ptr_equal(next_sent(other, NULL), s);
	}
	drop_vi(other);
	run_close(r);
}

/* L-5 */
void check_free_list(struct run *r)
{
	VIP_DESCRIPTOR *list = NULL, *d;
	VIP_VI_HANDLE other;
	int i, n = 0;

	run_vi(r);
	other = run_pair_here(r);
	for (i = 0; i < 8; i++) { /* the consumer's own list of free descriptors goes through Next */
		d = fill(r, i, data(r) + i * 100, 100, r->mem);
		d->CS.Next.Address = list;
		d->CS.NextHandle = 0xbad;
		list = d;
	}
	for (i = 0; i < 100; i++) {
		d = list;
		list = d->CS.Next.Descriptor;
		d->CS.Length = 100;
		repost_and_send(r, other, d, 10);
		assert_ptr_equal(next_recv(r->vi, NULL), d);
		EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
		next_sent(other, NULL);
		d->CS.Next.Address = list;
		list = d;
		/* a walk finds all that are free, each once: nothing was written behind our back */
		for (n = 0, d = list; d && n < 100; d = d->CS.Next.Descriptor)
			n++;
		assert_int_equal(n, 8);
	}
	drop_vi(other);
	run_close(r);
}

/* L-22 */
void check_two_spellings(struct run *r)
{
	VIP_DESCRIPTOR *d, *s;
	VIP_VI_HANDLE other;

	run_vi(r);
	other = run_pair_here(r);
	d = desc(r, 0);
	memset(d, 0, sizeof(*d));
	d->Control.SegCount = 1;
	d->Control.Control = VIP_CONTROL_OP_SENDRECV;
	d->Control.Length = 100;
	d->Data[0].Data.Address = data(r);
	d->Data[0].Handle = r->mem;
	d->Data[0].Length = 100;
	s = desc(r, 1);
	memset(s, 0, sizeof(*s));
	s->CS.SegCount = 1;
	s->CS.Control = VIP_CONTROL_OP_SENDRECV;
	s->CS.Length = 50;
	s->DS[0].Local.Data.Address = data(r) + 1000;
	s->DS[0].Local.Handle = r->mem;
	s->DS[0].Local.Length = 50;
	pattern(data(r) + 1000, 50, 22);
	EXPECT(VipPostRecv(r->vi, d, r->mem), VIP_SUCCESS);
	EXPECT(VipPostSend(other, s, r->mem), VIP_SUCCESS);
	assert_ptr_equal(next_recv(r->vi, NULL), d);
	assert_int_equal(d->Control.Status, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
	assert_int_equal(d->Control.Length, 50);
	assert_int_equal(differs(data(r), 50, 22), -1);
	assert_ptr_equal(next_sent(other, NULL), s);
	drop_vi(other);
	run_close(r);
}

/* L-25 */
void check_status_flags(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d, *s;

	run_vi(r);
	other = run_pair_here(r);
	d = fill(r, 0, data(r), 100, r->mem);
	repost_and_send(r, other, d, 10);
	next_recv(r->vi, NULL);
	s = next_sent(other, NULL);
	assert_true(d->CS.Status & VIP_STATUS_OP_RECEIVE);
	assert_false(d->CS.Status & VIP_STATUS_OP_RDMA_WRITE);
	assert_false(s->CS.Status & VIP_STATUS_OP_RECEIVE);
	assert_false(s->CS.Status & VIP_STATUS_OP_RDMA_WRITE);

	doing("an RDMA write with immediate data");
	d = fill(r, 0, data(r), 100, r->mem);
	EXPECT(VipPostRecv(other, d, r->mem), VIP_SUCCESS);
	s = fill(r, 1, data(r) + 1000, 10, r->mem);
	s->CS.SegCount = 2;
	s->CS.Control = VIP_CONTROL_OP_RDMAWRITE | VIP_CONTROL_IMMEDIATE;
	s->CS.ImmediateData = 25;
	s->DS[1].Local = s->DS[0].Local;
	s->DS[0].Remote.Data.Address = data(r) + 2000;
	s->DS[0].Remote.Handle = r->mem;
	s->DS[0].Remote.Reserved = 0;
	EXPECT(VipPostSend(r->vi, s, r->mem), VIP_SUCCESS);
	assert_ptr_equal(next_recv(other, NULL), d);
	assert_ptr_equal(next_sent(r->vi, NULL), s);
	assert_true(d->CS.Status & VIP_STATUS_OP_RECEIVE);
	assert_true(d->CS.Status & VIP_STATUS_OP_RDMA_WRITE);
	assert_true(d->CS.Status & VIP_STATUS_IMMEDIATE);
	assert_false(s->CS.Status & VIP_STATUS_OP_RECEIVE);
	assert_true(s->CS.Status & VIP_STATUS_OP_RDMA_WRITE);
	assert_int_equal(d->CS.ImmediateData, 25);
	drop_vi(other);
	run_close(r);
}

/* L-26 */
void check_short_poll(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;
	uint64_t start, end;
	VIP_RETURN code;
	int i;

	run_vi(r);
	other = run_pair_here(r);
	post_recv(r, 0, data(r), 100);
	start = now_ms();
	for (i = 0; i < 200; i++)
		EXPECT(VipRecvWait(r->vi, 1, &d), VIP_TIMEOUT);
	assert_true(now_ms() - start >= 200);
	EXPECT(VipPostSend(other, fill(r, 1, data(r) + 1000, 10, r->mem), r->mem), VIP_SUCCESS);
	for (end = now_ms() + LONG_MS; (code = VipRecvWait(r->vi, 1, &d)) != VIP_SUCCESS && now_ms() < end;)
		EXPECT(code, VIP_TIMEOUT);
	EXPECT(code, VIP_SUCCESS);
	assert_ptr_equal(d, desc(r, 0));
	next_sent(other, NULL);
	drop_vi(other);
	run_close(r);
}
