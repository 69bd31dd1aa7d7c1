/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rdma_write.c - checks 142, 143, 144 and 158: what an RDMA write brings, and what it leaves alone. */
#include "rdma.h"
#include "transfer.h"

#include <string.h>

/* ---- 142 ---- */

#define AROUND 4096 /* bytes before the data, and at least as many behind */

static void all_are(const uint8_t *p, size_t n, uint8_t value)
{
	size_t i;

	for (i = 0; i < n; i++)
		assert_int_equal(p[i], value);
}

static void write_one(struct run *r, struct area *a, const struct there *t, uint32_t len, uint32_t odd,
		      unsigned int seed)
{
	uint8_t *at = a->at + AROUND + odd;

	doing("%u bytes into %s, offset %u", len, r->side == 0 ? kind_of(a) : "it", odd);
	if (r->side == 0)
		memset(a->at, 0xee, len + odd + 2 * AROUND);
	meet(r);
	if (r->side == 0) {
		await_pattern(at, len, seed);
		all_are(a->at, AROUND + odd, 0xee);
		all_are(at + len, AROUND, 0xee);
	} else {
		pattern(data(r) + odd / 2, len, seed);
		post_rdma(r, 1, VIP_CONTROL_OP_RDMAWRITE, data(r) + odd / 2, len, t->at + AROUND + odd,
			  t->mem);
		EXPECT_SENT(r->vi, desc(r, 1), WRITTEN);
	}
	meet(r);
}

void write_sizes(struct run *r)
{
	static const uint32_t odd[] = {0, 1, 61};
	struct area a = {.segment = -1};
	uint32_t sizes[MAX_SIZES];
	int shared, i, n, o;
	struct there t = {0};
	VIP_DESCRIPTOR *d;

	open_vi(r, true, true);
	n = list_sizes(sizes, 1, largest(r));
	post_recv(r, 0, data(r), 4096);
	run_connect(r);
	for (shared = 0; shared < 2; shared++) {
		if (r->side == 0) {
			make_area(r, &a, largest(r) + 4 * AROUND, shared, open_to_all(r));
			t = (struct there){(uintptr_t)a.at, a.mem};
			tell_bytes(r, &t, sizeof(t));
		} else {
			hear_bytes(r, &t, sizeof(t));
		}
		for (i = 0; i < n; i++) {
			for (o = 0; o < 3; o++)
				write_one(r, &a, &t, sizes[i], odd[o], (unsigned int)(3 * i + o));
		}
		EXPECT(VipRecvDone(r->vi, &d), VIP_NOT_DONE);
		if (r->side == 0)
			drop_area(r, &a);
	}
	meet(r);
}

/* ---- 143 ---- */

static void gather_to(struct run *r, struct area *a)
{
	/* the address segment may count, or not (K-2) */
	int most = (int)r->attr.MaxSegmentsPerDesc - !choice(r, "K-2");
	const int counts[] = {2, 3, 7, 31, most - 1, most};
	VIP_DESCRIPTOR *d = (VIP_DESCRIPTOR *)data(r); /* may be longer than those of the block */
	size_t room = ((size_t)(most + 1) * 16 + 32 + 63) & ~(size_t)63;
	uint8_t *from = data(r) + room, *flat = from + (1u << 20);
	uint32_t len = largest(r) < 100003 ? largest(r) : 100003, random = 143;
	size_t i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		if (counts[i] > most)
			continue;
		doing("%d segments to %s", counts[i], kind_of(a));
		memset(d, 0, sizeof(*d));
		d->CS.Control = VIP_CONTROL_OP_RDMAWRITE;
		cut(d, 1, counts[i], from, len, 3, r->mem, &random);
		pattern(flat, len, (unsigned int)i);
		scatter(d, 1, flat);
		memset(a->at, 0xee, a->size);
		aim(d, (uintptr_t)a->at + 8 + i, a->mem);
		send_on(r, r->vi, d);
		EXPECT_SENT(r->vi, d, WRITTEN);
		await_pattern(a->at + 8 + i, len, (unsigned int)i);
		all_are(a->at, 8 + i, 0xee);
		all_are(a->at + 8 + i + len, 64, 0xee);
	}
}

void write_gather(struct run *r)
{
	struct area a;
	int shared;

	run_pair_here(r);
	for (shared = 0; shared < 2; shared++) {
		make_area(r, &a, 110000, shared, open_to_all(r));
		gather_to(r, &a);
		drop_area(r, &a);
	}
}

/* ---- 144 ---- */

static void write_with(struct run *r, VIP_VI_HANDLE other, struct area *a, uint32_t len, uint32_t value)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;
	int i;

	doing("0x%08x with %u bytes to %s", value, len, kind_of(a));
	memset(data(r), 0xee, 8192);
	for (i = 0; i < 2; i++)
		recv_on(r, other, fill(r, i, data(r) + i * 4096, 4096, r->mem));
	memset(a->at, 0xee, a->size);
	pattern(data(r) + 8192, len, value);
	d = fill(r, 2, NULL, 0, r->mem);
	aim(d, (uintptr_t)a->at + 5, a->mem);
	segment(d, 1)->Local =
		(VIP_DATA_SEGMENT){.Data.Address = data(r) + 8192, .Handle = r->mem, .Length = len};
	d->CS.SegCount = 2;
	d->CS.Length = len;
	d->CS.Control = VIP_CONTROL_OP_RDMAWRITE | VIP_CONTROL_IMMEDIATE;
	d->CS.ImmediateData = value;
	send_on(r, r->vi, d);

	EXPECT_RECV(other, desc(r, 0),
		    VIP_STATUS_DONE | VIP_STATUS_OP_REMOTE_RDMA_WRITE | VIP_STATUS_IMMEDIATE);
	EXPECT_PATTERN(a->at + 5, len, value);
	all_are(a->at, 5, 0xee);
	all_are(a->at + 5 + len, 64, 0xee);
	assert_int_equal(desc(r, 0)->CS.ImmediateData, value);
	if (choice(r, "K-3"))
		assert_int_equal(desc(r, 0)->CS.Length, len);
	all_are(data(r), 8192, 0xee);
	assert_ptr_equal(next_sent(r->vi, &code), d);
	EXPECT(code, VIP_SUCCESS);
	assert_int_equal(d->CS.Status & ~(VIP_UINT32)VIP_STATUS_IMMEDIATE, WRITTEN);

	/* one receive, not two; an ordinary send takes the other */
	EXPECT(VipRecvDone(other, &d), VIP_NOT_DONE);
	post_send(r, 3, data(r) + 8192, 10);
	EXPECT_RECV(other, desc(r, 1), RECEIVED);
	EXPECT_SENT(r->vi, desc(r, 3), SENT);
}

void write_immediate(struct run *r)
{
	static const uint32_t sizes[] = {0, 1, 240, 241, 5000, 262145};
	VIP_VI_HANDLE other = run_pair_here(r);
	uint32_t random = 144, len;
	struct area a;
	int shared;
	size_t i;

	for (shared = 0; shared < 2; shared++) {
		make_area(r, &a, 270000, shared, open_to_all(r));
		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			len = sizes[i] < largest(r) ? sizes[i] : largest(r);
			write_with(r, other, &a, len, random32(&random));
		}
		drop_area(r, &a);
	}
}

/* ---- 158 ---- */

static const uint32_t landing[] = {1, 8, 240, 4096, 65537, 300001, 1000003};
#define LANDINGS  (sizeof(landing) / sizeof(landing[0]))
#define ALL_BYTES 1500000u

static void sleeper(struct area *a)
{
	uint8_t *at;
	size_t i;
	int k;

	/* no call of VIPL's from here to the end of the loop */
	pause_ms(5000);
	for (k = 0; k < 2; k++) {
		for (i = 0, at = a[k].at + 3; i < LANDINGS; at += landing[i++]) {
			doing("after the sleep: %u bytes in %s", landing[i], kind_of(&a[k]));
			EXPECT_PATTERN(at, landing[i], 1 + (unsigned int)i);
		}
	}
}

static void writer(struct run *r, const struct there *t)
{
	uint64_t at;
	size_t i;
	int k;

	for (k = 0; k < 2; k++) {
		for (i = 0, at = t[k].at + 3; i < LANDINGS; at += landing[i++]) {
			doing("%u bytes", landing[i]);
			pattern(data(r), landing[i], 1 + (unsigned int)i);
			post_rdma(r, 0, VIP_CONTROL_OP_RDMAWRITE, data(r), landing[i], at, t[k].mem);
			EXPECT_SENT(r->vi, desc(r, 0), WRITTEN);
		}
	}
}

void write_asleep(struct run *r)
{
	struct area a[2];
	struct there t[2];
	int k;

	run_vi(r);
	if (largest(r) < landing[LANDINGS - 1])
		skip_check("MaxTransferSize is %lu, the check needs %u", r->attr.MaxTransferSize,
			   landing[LANDINGS - 1]);
	run_connect(r);
	if (r->side == 0) {
		for (k = 0; k < 2; k++) {
			make_area(r, &a[k], ALL_BYTES, k, open_to_all(r));
			t[k] = (struct there){(uintptr_t)a[k].at, a[k].mem};
		}
		tell_bytes(r, t, sizeof(t));
		sleeper(a);
	} else {
		hear_bytes(r, t, sizeof(t));
		writer(r, t);
	}
	meet(r);
}
