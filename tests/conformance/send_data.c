/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* send_data.c - checks 119 to 130: what a send brings, and what it leaves alone. */
#include "send.h"
#include "transfer.h"

#include <string.h>

/* 119: the server sends each message back out of the buffer that it came into. */
void send_sizes(struct run *r)
{
	uint32_t sizes[MAX_SIZES];
	uint8_t *in, *out;
	int i, n;

	open_vi(r, true, true);
	n = list_sizes(sizes, 0, largest(r));
	out = data(r) + 5;
	in = data(r) + LARGEST + 4096;
	run_connect(r);
	for (i = 0; i < n; i++) {
		uint8_t *at = in + (i & 7);

		doing("%u bytes", sizes[i]);
		memset(in, 0xee, sizes[i] + 64);
		post_recv(r, 0, at, sizes[i]);
		meet(r);
		if (r->side == 1) {
			pattern(out, sizes[i], (unsigned int)i);
			post_send(r, 1, out, sizes[i]);
			EXPECT_SENT(r->vi, desc(r, 1), SENT);
		}
		EXPECT_RECV(r->vi, desc(r, 0), RECEIVED);
		assert_int_equal(desc(r, 0)->CS.Length, sizes[i]);
		EXPECT_PATTERN(at, sizes[i], (unsigned int)i);
		assert_int_equal(at[sizes[i]], 0xee);
		if (r->side == 0) {
			post_send(r, 1, at, sizes[i]);
			EXPECT_SENT(r->vi, desc(r, 1), SENT);
		}
	}
	meet(r);
}

/* 120 */
void send_status(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	uint8_t *to = data(r) + 65536;

	pattern(data(r), 1000, 1);
	recv_on(r, other, fill(r, 0, to, 1000, r->mem));
	post_send(r, 1, data(r), 1000);
	EXPECT_SENT(r->vi, desc(r, 1), 0x00001);
	EXPECT_RECV(other, desc(r, 0), 0x10001);

	doing("RDMA write");
	pattern(data(r), 1000, 2);
	post_rdma(r, 2, VIP_CONTROL_OP_RDMAWRITE, data(r), 1000, (uintptr_t)to, r->mem);
	EXPECT_SENT(r->vi, desc(r, 2), 0x20001);
	await_pattern(to, 1000, 2);
}

/* 121 */
static void behind(struct run *r, VIP_VI_HANDLE other, struct area *a)
{
	static const uint32_t sizes[] = {0, 1, 63, 64, 239, 240, 241, 5000, 65537, 262145};
	uint32_t room, len;
	VIP_DESCRIPTOR *d;
	size_t i;
	int odd;

	for (i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		odd = i & 1;
		len = sizes[i / 2] < largest(r) ? sizes[i / 2] : largest(r);
		room = len + 4096 < largest(r) ? len + 4096 : largest(r);
		doing("%u bytes into %u, %s%s", len, room, kind_of(a), odd ? ", odd" : "");
		memset(a->at, 0xee, a->size);
		pattern(data(r), len, (unsigned int)i);
		d = fill(r, 0, a->at + 4096 + odd, room, a->mem);
		EXPECT(VipPostRecv(other, d, r->mem), VIP_SUCCESS);
		post_send(r, 1, data(r), len);
		EXPECT_RECV(other, d, RECEIVED);
		EXPECT_SENT(r->vi, desc(r, 1), SENT);
		assert_int_equal(d->CS.Length, len);
		EXPECT_PATTERN(a->at + 4096 + odd, len, (unsigned int)i);
		memset(a->at + 4096 + odd, 0xee, len);
		/* all bytes are the first one now */
		assert_int_equal(a->at[0], 0xee);
		assert_memory_equal(a->at, a->at + 1, a->size - 1);
	}
}

void send_larger_buffer(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	struct area a;
	int shared;

	for (shared = 0; shared < 2; shared++) {
		make_area(r, &a, 300000, shared, open_to_all(r));
		behind(r, other, &a);
		drop_area(r, &a);
	}
}

/* 122 */
static int list_counts(int *to, int most)
{
	static const int counts[] = {1, 2, 3, 4, 7, 31, 100};
	size_t i;
	int n = 0;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]) && counts[i] < most - 1; i++)
		to[n++] = counts[i];
	if (most > 1)
		to[n++] = most - 1;
	to[n++] = most;
	return n;
}

void send_segments(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	int counts[10], s, d, n, most = (int)r->attr.MaxSegmentsPerDesc;
	/* descriptors may be longer than those of the block */
	size_t room = ((size_t)most * 16 + 32 + 63) & ~(size_t)63;
	VIP_DESCRIPTOR *out = (VIP_DESCRIPTOR *)data(r), *in = (VIP_DESCRIPTOR *)(data(r) + room);
	uint8_t *from = data(r) + 2 * room, *to = from + (3u << 20), *flat = to + (3u << 20);
	uint32_t len = largest(r) < 262147 ? largest(r) : 262147, random = 122;

	n = list_counts(counts, most);
	for (s = 0; s < n; s++) {
		for (d = 0; d < n; d++) {
			if (counts[s] < 2 && most > 1)
				continue;
			doing("%d segments into %d, %u bytes", counts[s], counts[d], len);
			memset(out, 0, sizeof(*out));
			memset(in, 0, sizeof(*in));
			cut(out, 0, counts[s], from, len, 5, r->mem, &random);
			cut(in, 0, counts[d], to, len, 3, r->mem, &random);
			memset(to, 0xee, len + 3 * (uint32_t)counts[d]);
			pattern(flat, len, (unsigned int)(s * n + d));
			scatter(out, 0, flat);
			recv_on(r, other, in);
			send_on(r, r->vi, out);
			EXPECT_RECV(other, in, RECEIVED);
			EXPECT_SENT(r->vi, out, SENT);
			assert_int_equal(in->CS.Length, len);
			gather(in, 0, flat);
			EXPECT_PATTERN(flat, len, (unsigned int)(s * n + d));
			/* the gap behind the first segment */
			assert_int_equal(to[segment(in, 0)->Local.Length], 0xee);
			len = len > 100003 ? len - 9001 : len;
		}
	}
}

/* 123 */
void send_regions(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	int i, n = r->attr.MaxSegmentsPerDesc < 8 ? (int)r->attr.MaxSegmentsPerDesc : 8;
	VIP_DESCRIPTOR *out = fill(r, 0, NULL, 0, r->mem), *in = fill(r, 1, NULL, 0, r->mem);
	struct area from[8], to[8];

	for (i = 0; i < n; i++) {
		make_area(r, &from[i], 8192, i & 1, open_to_all(r));
		make_area(r, &to[i], 8192, i & 2, open_to_all(r));
		pattern(from[i].at + i, 1000, (unsigned int)i);
		segment(out, i)->Local = (VIP_DATA_SEGMENT){
			.Data.Address = from[i].at + i, .Handle = from[i].mem, .Length = 1000};
		segment(in, i)->Local =
			(VIP_DATA_SEGMENT){.Data.Address = to[i].at + 3, .Handle = to[i].mem, .Length = 1000};
	}
	out->CS.SegCount = in->CS.SegCount = (VIP_UINT16)n;
	out->CS.Length = in->CS.Length = 1000 * (VIP_UINT32)n;
	recv_on(r, other, in);
	send_on(r, r->vi, out);
	EXPECT_RECV(other, in, RECEIVED);
	EXPECT_SENT(r->vi, out, SENT);
	assert_int_equal(in->CS.Length, 1000 * n);
	for (i = 0; i < n; i++) {
		EXPECT_PATTERN(to[i].at + 3, 1000, (unsigned int)i);
		drop_area(r, &from[i]);
		drop_area(r, &to[i]);
	}
}

/* 124: segments that say where, with no byte. */
void send_empty_segments(struct run *r)
{
	static const uint32_t sent[] = {0, 100, 0, 0, 1, 399, 0}, got[] = {0, 0, 3, 0, 400, 97, 0};
	VIP_VI_HANDLE other = run_pair_here(r);
	VIP_DESCRIPTOR *out = fill(r, 0, NULL, 0, r->mem), *in = fill(r, 1, NULL, 0, r->mem);
	uint8_t *from = data(r), *to = data(r) + 8192;
	int i;

	if (r->attr.MaxSegmentsPerDesc < 7)
		skip_check("MaxSegmentsPerDesc is %lu, the check needs 7", r->attr.MaxSegmentsPerDesc);
	pattern(data(r), 500, 124);
	memset(to, 0xee, 501);
	for (i = 0; i < 7; i++) {
		segment(out, i)->Local =
			(VIP_DATA_SEGMENT){.Data.Address = from, .Handle = r->mem, .Length = sent[i]};
		segment(in, i)->Local =
			(VIP_DATA_SEGMENT){.Data.Address = to, .Handle = r->mem, .Length = got[i]};
		from += sent[i];
		to += got[i];
	}
	out->CS.SegCount = in->CS.SegCount = 7;
	out->CS.Length = in->CS.Length = 500;
	recv_on(r, other, in);
	send_on(r, r->vi, out);
	EXPECT_RECV(other, in, RECEIVED);
	EXPECT_SENT(r->vi, out, SENT);
	assert_int_equal(in->CS.Length, 500);
	EXPECT_PATTERN(data(r) + 8192, 500, 124);
	assert_int_equal(*to, 0xee);
}

/* Send descriptor 0, which is filled, to @other's receive @i; returns that, completed. */
static VIP_DESCRIPTOR *pass(struct run *r, VIP_VI_HANDLE other, int i, bool immediate, uint32_t value)
{
	VIP_UINT32 bit = immediate ? VIP_STATUS_IMMEDIATE : 0;
	VIP_DESCRIPTOR *d = desc(r, 0);
	VIP_RETURN code;

	d->CS.Control = immediate ? VIP_CONTROL_IMMEDIATE : 0;
	d->CS.ImmediateData = value;
	send_on(r, r->vi, d);
	EXPECT_RECV(other, desc(r, i), RECEIVED | bit);
	if (immediate)
		assert_int_equal(desc(r, i)->CS.ImmediateData, value);
	/* whether a send repeats the bit in its own status is not said */
	assert_ptr_equal(next_sent(r->vi, &code), d);
	EXPECT(code, VIP_SUCCESS);
	assert_int_equal(d->CS.Status & ~(VIP_UINT32)VIP_STATUS_IMMEDIATE, SENT);
	return desc(r, i);
}

/* 125 */
void send_nothing(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	VIP_DESCRIPTOR *d;
	int i;

	for (i = 0; i < 4; i++) {
		/* one with a buffer, one without */
		recv_on(r, other, fill(r, 1 + i, data(r), i & 1 ? 100 : 0, r->mem));
	}
	memset(data(r), 0xee, 100);
	for (i = 0; i < 4; i++) {
		doing("message %d of 4", i + 1);
		fill(r, 0, NULL, 0, r->mem);
		assert_int_equal(desc(r, 0)->CS.SegCount, 0);
		d = pass(r, other, 1 + i, i >= 2, 0x12345678);
		assert_int_equal(d->CS.Length, 0);
		/* one send, one receive */
		EXPECT(VipRecvDone(other, &d), i < 3 ? VIP_NOT_DONE : VIP_DESCRIPTOR_ERROR);
	}
	for (i = 0; i < 100; i++)
		assert_int_equal(data(r)[i], 0xee);
}

/* 126 */
void send_immediate(struct run *r)
{
	static const uint32_t sizes[] = {0, 4, 240, 241, 5000, 262145};
	VIP_VI_HANDLE other = run_pair_here(r);
	uint8_t *to = data(r) + (4u << 20);
	uint32_t random = 126, len, value;
	int i;

	for (i = 0; i < 24; i++) {
		len = sizes[i % 6] < largest(r) ? sizes[i % 6] : largest(r);
		value = i < 6 ? 0 : i < 12 ? 0xffffffff : random32(&random);
		doing("0x%08x with %u bytes", value, len);
		pattern(data(r), len, (unsigned int)i);
		recv_on(r, other, fill(r, 1, to, len, r->mem));
		fill(r, 0, data(r), len, r->mem);
		pass(r, other, 1, true, value);
		assert_int_equal(desc(r, 1)->CS.Length, len);
		EXPECT_PATTERN(to, len, (unsigned int)i);
	}
}

/* 127 */
void send_immediate_then_none(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	int i;

	fill(r, 1, data(r) + 4096, 100, r->mem);
	for (i = 0; i < 4; i++) {
		doing("message %d, %s immediate data", i + 1, i & 1 ? "without" : "with");
		recv_on(r, other, desc(r, 1));
		fill(r, 0, data(r), 10, r->mem);
		pass(r, other, 1, !(i & 1), 0xabcdef01);
		desc(r, 1)->CS.Length = 100;
	}
}

/* 128 */
void send_to_immediate_bit(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	VIP_DESCRIPTOR *d;
	int i;

	pattern(data(r), 1000, 128);
	for (i = 0; i < 2; i++) {
		doing("%s immediate data", i ? "with" : "without");
		d = fill(r, 1, data(r) + 4096, 1000, r->mem);
		d->CS.Control = VIP_CONTROL_IMMEDIATE;
		recv_on(r, other, d);
		fill(r, 0, data(r), 1000, r->mem);
		pass(r, other, 1, i, 0x128);
		assert_int_equal(d->CS.Length, 1000);
		EXPECT_PATTERN(data(r) + 4096, 1000, 128);
	}
}

/* 129 */
void send_status_left(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	VIP_DESCRIPTOR *in = fill(r, 1, data(r) + 4096, 100, r->mem), *d;
	int i;

	fill(r, 0, data(r), 100, r->mem);
	for (i = 0; i < 20; i++) {
		doing("round %d", i + 1);
		recv_on(r, other, in);
		assert_int_equal(in->CS.Status & VIP_STATUS_DONE, 0);
		EXPECT(VipRecvDone(other, &d), VIP_NOT_DONE);
		pattern(data(r), 100, (unsigned int)i);
		pass(r, other, 1, i % 3 == 0, (uint32_t)i);
		EXPECT_PATTERN(data(r) + 4096, 100, (unsigned int)i);
		/* the errors of another life do not stay either */
		if (i == 10) {
			in->CS.Status |= VIP_STATUS_ERROR_MASK;
			desc(r, 0)->CS.Status |= VIP_STATUS_ERROR_MASK;
		}
	}
}

/* 130 */
void send_garbage_link(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	int i, n = 8;

	pattern(data(r), 4096, 130);
	for (i = 0; i < 2 * n; i++) {
		fill(r, i, data(r) + (i < n ? 8192 + 64 * i : 64 * (i - n)), 64, r->mem);
		desc(r, i)->CS.Next.AddressBits = i & 1 ? ~0ull : (uintptr_t)desc(r, 0);
		desc(r, i)->CS.NextHandle = i & 1 ? 0xdeadbeef : r->mem;
	}
	for (i = 0; i < n; i++)
		recv_on(r, other, desc(r, i));
	for (i = 0; i < n; i++)
		send_on(r, r->vi, desc(r, n + i));
	for (i = 0; i < n; i++) {
		EXPECT_RECV(other, desc(r, i), RECEIVED);
		EXPECT_SENT(r->vi, desc(r, n + i), SENT);
		assert_int_equal(desc(r, i)->CS.Length, 64);
	}
	EXPECT_PATTERN(data(r) + 8192, 64 * (size_t)n, 130);
}
