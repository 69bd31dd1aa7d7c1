/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rdma_read.c - check 152: what an RDMA read brings. */
#include "rdma.h"
#include "transfer.h"

#include <string.h>

#define SEED 152 /* of what is read, from an address on that differs for every read */

/* Read @len bytes from offset @odd, which has the pattern from 0 on, into @n segments. */
static void read_one(struct run *r, const struct there *t, uint32_t len, uint32_t odd, int n)
{
	VIP_DESCRIPTOR *d = (VIP_DESCRIPTOR *)data(r); /* may be longer than those of the block */
	uint8_t *into = data(r) + (64u << 10) * 17, *flat = into + LARGEST + 65536;
	uint32_t random = len + 1;

	doing("%u bytes from offset %u into %d segments", len, odd, n);
	memset(d, 0, sizeof(*d));
	memset(into, 0xee, len + 3 * (uint32_t)n + 64);
	d->CS.Control = VIP_CONTROL_OP_RDMAREAD;
	cut(d, 1, n, into, len, 3, r->mem, &random);
	aim(d, t->at + odd, t->mem);
	send_on(r, r->vi, d);
	EXPECT_SENT(r->vi, d, READ);
	assert_int_equal(d->CS.Length, len);
	gather(d, 1, flat);
	EXPECT_PATTERN(flat, len, SEED + odd);
	/* the gap behind the first segment, and what lies behind the last */
	assert_int_equal(into[segment(d, 1)->Local.Length], 0xee);
	assert_int_equal(into[len + 3 * (uint32_t)n], 0xee);
}

void read_sizes(struct run *r)
{
	static const uint32_t odd[] = {0, 1, 61};
	int shared, i, o, n, count, most = (int)r->attr.MaxSegmentsPerDesc - !choice(r, "K-2");
	uint32_t sizes[MAX_SIZES];
	struct there t = {0};
	VIP_DESCRIPTOR *d;
	struct area a;

	open_vi(r, true, true);
	n = list_sizes(sizes, 1, largest(r));
	post_recv(r, 0, data(r), 4096);
	run_connect(r);
	for (shared = 0; shared < 2; shared++) {
		if (r->side == 0) {
			make_area(r, &a, largest(r) + 4096, shared, open_to_all(r));
			t = (struct there){(uintptr_t)a.at, a.mem};
			tell_bytes(r, &t, sizeof(t));
		} else {
			hear_bytes(r, &t, sizeof(t));
		}
		for (o = 0; o < 3; o++) {
			if (r->side == 0)
				pattern(a.at + odd[o], largest(r), SEED + odd[o]);
			meet(r);
			for (i = 0; r->side == 1 && i < n; i++) {
				count = i % 4 == 0 ? 1 : i % 4 == 1 ? 2 : i % 4 == 2 ? 7 : most;
				if ((uint32_t)count > sizes[i])
					count = (int)sizes[i];
				read_one(r, &t, sizes[i], odd[o], count < most ? count : most);
			}
			meet(r); /* side 0 has slept in the system meanwhile */
		}
		EXPECT(VipRecvDone(r->vi, &d), VIP_NOT_DONE);
		if (r->side == 0)
			drop_area(r, &a);
	}
	meet(r);
}
