/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rdma_order.c - checks 146, 147, 156 and 157: what is seen before what. */
#include "rdma.h"
#include "transfer.h"

#include <sched.h>
#include <string.h>

#define TIMES 1000000u /* in all, where they fit into the time */

/* Side 0 makes an area of @size, side 1 hears where it is. */
static void show_area(struct run *r, struct area *a, size_t size, bool shared, struct there *t)
{
	if (r->side == 0) {
		make_area(r, a, size, shared, open_to_all(r));
		*t = (struct there){(uintptr_t)a->at, a->mem};
		tell_bytes(r, t, sizeof(*t));
	} else {
		hear_bytes(r, t, sizeof(*t));
	}
}

/* ---- 146: rounds of BATCH writes, each with a send behind it that says that it is there ---- */

#define BATCH 32
#define ROOM  4096 /* for each */

static void post_both(struct run *r, const struct there *t, int i, uint32_t len, uint32_t value)
{
	uint8_t *from = data(r) + i * ROOM;
	VIP_DESCRIPTOR *d;

	pattern(from, len, value);
	post_rdma(r, i, VIP_CONTROL_OP_RDMAWRITE, from, len, t->at + (unsigned int)i * ROOM, t->mem);
	d = fill(r, BATCH + i, NULL, 0, r->mem);
	d->CS.Control = VIP_CONTROL_IMMEDIATE;
	d->CS.ImmediateData = value;
	send_on(r, r->vi, d);
}

static uint32_t sent_behind(struct run *r, struct area *a, const struct there *t, uint64_t ms)
{
	uint32_t random = 146, value = 0, len[BATCH];
	uint64_t end = now_ms() + ms;
	bool more = true;
	VIP_RETURN code;
	int i;

	while (more) {
		for (i = 0; i < BATCH; i++) {
			len[i] = 1 + random32(&random) % (random32(&random) % 8 ? 300 : ROOM);
			if (r->side == 0)
				post_recv(r, i, NULL, 0);
		}
		meet(r);
		for (i = 0; r->side == 1 && i < BATCH; i++)
			post_both(r, t, i, len[i], value + (uint32_t)i);
		for (i = 0; i < BATCH; i++) {
			doing("number %u, %u bytes", value + (uint32_t)i, len[i]);
			if (r->side == 0) {
				EXPECT_RECV(r->vi, desc(r, i), RECEIVED | VIP_STATUS_IMMEDIATE);
				assert_int_equal(desc(r, i)->CS.ImmediateData, value + (uint32_t)i);
				EXPECT_PATTERN(a->at + i * ROOM, len[i], value + (uint32_t)i);
				memset(a->at + i * ROOM, 0, len[i]);
			} else {
				EXPECT_SENT(r->vi, desc(r, i), WRITTEN);
				assert_ptr_equal(next_sent(r->vi, &code), desc(r, BATCH + i));
				EXPECT(code, VIP_SUCCESS);
			}
		}
		value += BATCH;
		more = r->side == 0 ? now_ms() < end && value < TIMES / 2 : hear(r);
		if (r->side == 0)
			tell(r, more);
	}
	return value;
}

void write_then_send(struct run *r)
{
	struct area a = {.segment = -1};
	uint32_t count[2];
	struct there t;
	int shared;

	if (!is_reliable(r))
		skip_check("Unreliable promises no order");
	run_vi(r);
	run_connect(r);
	for (shared = 0; shared < 2; shared++) {
		show_area(r, &a, (size_t)BATCH * ROOM, shared, &t);
		count[shared] = sent_behind(r, &a, &t, (uint64_t)r->seconds * 500);
		meet(r);
		if (r->side == 0)
			drop_area(r, &a);
	}
	note("%u writes into private memory, %u into a segment", count[0], count[1]);
	meet(r);
}

/* ---- 147: both sides write to each other, and look at the flag only ---- */

#define LONGEST 65536u /* bytes before the flag */
#define STOP	0x80000000u

static uint32_t await_flag(const uint8_t *at, uint32_t number)
{
	const uint32_t *flag = (const uint32_t *)at;
	uint64_t end = 0;
	uint32_t is, turn = 0;

	while (((is = __atomic_load_n(flag, __ATOMIC_ACQUIRE)) & ~STOP) != number) {
		if (is)
			fail_msg("the flag is 0x%08x, wanted 0 or 0x%08x", is, number);
		if (++turn % 1024)
			continue;
		sched_yield(); /* the writer may need this processor */
		if (!end)
			end = now_ms() + patience_ms();
		else if (now_ms() > end)
			fail_msg("no flag comes");
	}
	return is;
}

/* Take round @number; true: there is another one. */
static bool take_flagged(struct area *a, uint32_t len, uint32_t number)
{
	uint32_t flag = await_flag(a->at + len, number);

	EXPECT_PATTERN(a->at, len, number);
	memset(a->at, 0, len + 4);
	return !(flag & STOP);
}

static void write_flagged(struct run *r, const struct there *t, uint32_t len, uint32_t number, bool more)
{
	uint8_t *from = data(r);

	pattern(from, len, number);
	*(uint32_t *)(from + len) = more ? number : number | STOP;
	post_rdma(r, 0, VIP_CONTROL_OP_RDMAWRITE, from, len + 4, t->at, t->mem);
	EXPECT_SENT(r->vi, desc(r, 0), WRITTEN);
}

static uint32_t flags(struct run *r, struct area *a, const struct there *t, uint64_t ms)
{
	uint32_t random = 147, number = 0, len, most = largest(r) / 2 < LONGEST ? largest(r) / 2 : LONGEST;
	uint64_t end = now_ms() + ms;
	bool more = true;

	while (more) {
		number++;
		/* a multiple of 4, and different from round to round */
		len = (random32(&random) % (random32(&random) % 16 ? 1024 : most)) & ~3u;
		doing("round %u, %u bytes", number, len);
		if (r->side == 1) {
			more = now_ms() < end && number < TIMES / 4;
			write_flagged(r, t, len, number, more);
			take_flagged(a, len, number);
		} else {
			more = take_flagged(a, len, number);
			write_flagged(r, t, len, number, true);
		}
	}
	return 2 * number;
}

void write_flag(struct run *r)
{
	uint32_t count[2];
	struct there here, t;
	struct area a;
	int shared;

	run_vi(r);
	run_connect(r);
	for (shared = 0; shared < 2; shared++) {
		make_area(r, &a, LONGEST + 4096, shared, open_to_all(r));
		here = (struct there){(uintptr_t)a.at, a.mem};
		tell_bytes(r, &here, sizeof(here));
		hear_bytes(r, &t, sizeof(t));
		count[shared] = flags(r, &a, &t, (uint64_t)r->seconds * 500);
		meet(r);
		drop_area(r, &a);
	}
	note("%u writes into private memory, %u into segments", count[0], count[1]);
	meet(r);
}

/* ---- 156 ---- */

static void expect_either(const uint8_t *p, uint32_t len, const uint8_t *old, const uint8_t *new)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		assert_true(p[i] == old[i] || p[i] == new[i]);
}

static void read_and_send(struct run *r, struct area *a, const struct there *t, uint32_t len, bool fence,
			  unsigned int seed)
{
	uint8_t *to = data(r), *old = data(r) + LARGEST, *new = old + (1u << 20);
	VIP_DESCRIPTOR *d;

	doing("%u bytes, %s", len, fence ? "fenced" : "not fenced");
	pattern(old, len, seed + 100);
	pattern(new, len, seed);
	if (r->side == 0) {
		memcpy(a->at, new, len);
		post_recv(r, 0, to, len);
		meet(r);
		EXPECT_RECV(r->vi, desc(r, 0), RECEIVED);
		if (fence)
			EXPECT_PATTERN(to, len, seed);
		else
			expect_either(to, len, old, new);
	} else {
		memcpy(to, old, len);
		meet(r);
		post_rdma(r, 0, VIP_CONTROL_OP_RDMAREAD, to, len, t->at, t->mem);
		d = fill(r, 1, to, len, r->mem);
		d->CS.Control = fence ? VIP_CONTROL_QFENCE : 0;
		send_on(r, r->vi, d);
		EXPECT_SENT(r->vi, desc(r, 0), READ);
		EXPECT_SENT(r->vi, d, SENT);
		EXPECT_PATTERN(to, len, seed);
	}
	meet(r); /* without a fence the send may be there before the read, which needs what is in the area */
}

void read_fenced(struct run *r)
{
	static const uint32_t sizes[] = {4, 4096, 100003};
	struct area a = {.segment = -1};
	struct there t;
	int shared, i;

	run_vi(r);
	run_connect(r);
	for (shared = 0; shared < 2; shared++) {
		show_area(r, &a, 100003, shared, &t);
		for (i = 0; i < 300; i++) {
			uint32_t len = sizes[i % 3] < largest(r) ? sizes[i % 3] : largest(r);

			read_and_send(r, &a, &t, len, i < 240, (unsigned int)i);
		}
		meet(r);
		if (r->side == 0)
			drop_area(r, &a);
	}
	meet(r);
}

/* ---- 157 ---- */

void fence_alone(struct run *r)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	uint8_t *from = data(r), *to = data(r) + 65536;
	VIP_DESCRIPTOR *d;

	pattern(from, 1000, 157);
	doing("a fenced send");
	recv_on(r, other, fill(r, 0, to, 1000, r->mem));
	d = fill(r, 1, from, 1000, r->mem);
	d->CS.Control = VIP_CONTROL_QFENCE;
	send_on(r, r->vi, d);
	EXPECT_RECV(other, desc(r, 0), RECEIVED);
	EXPECT_SENT(r->vi, d, SENT);
	EXPECT_PATTERN(to, 1000, 157);

	doing("a fenced RDMA write");
	memset(to, 0, 1000);
	d = post_rdma(r, 2, VIP_CONTROL_OP_RDMAWRITE | VIP_CONTROL_QFENCE, from, 1000, (uintptr_t)to, r->mem);
	EXPECT_SENT(r->vi, d, WRITTEN);
	await_pattern(to, 1000, 157);
}
