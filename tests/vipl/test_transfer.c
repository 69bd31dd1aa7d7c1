/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_transfer.c - send and receive between two processes at all three
 * reliability levels: every size, gather and scatter, immediate data, shared
 * segments, an owner who makes no call.
 */
#include "tests/vipl/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/shm.h>

#include <cmocka.h>

static const int levels[] = {VIP_SERVICE_UNRELIABLE, VIP_SERVICE_RELIABLE_DELIVERY,
			     VIP_SERVICE_RELIABLE_RECEPTION};

static void each_level(end_fn server, end_fn client, int seconds)
{
	size_t i;

	for (i = 0; i < 3; i++)
		run_pair(server, client, levels[i], seconds);
}

static const uint32_t sizes[] = {0,	1,     3,      4,      48,     63,	64,	65,
				 239,	240,   241,    255,    256,    4095,	4096,	4097,
				 65536, 65537, 262143, 262144, 262145, 1000001, 4194304};
#define NSIZES (sizeof(sizes) / sizeof(sizes[0]))

static void sizes_server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	size_t i;

	end_open(e);
	for (i = 0; i < NSIZES; i++) {
		memset(end_data(e), 0xee, sizes[i] + 64);
		end_post_recv(e, 0, end_data(e) + (i & 7), sizes[i] + 32);
		if (i == 0)
			end_connect(e);
		end_sync(e);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK(d == end_desc(e, 0));
		CHECK_EQ(d->CS.Status, VIP_STATUS_OP_RECEIVE | VIP_STATUS_DONE);
		CHECK_EQ(d->CS.Length, sizes[i]);
		CHECK_EQ(diff_pattern(end_data(e) + (i & 7), sizes[i], (unsigned int)i), -1);
		CHECK_EQ(end_data(e)[(i & 7) + sizes[i]], 0xee);
	}
	end_sync(e);
	end_close(e);
}

static void sizes_client(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	size_t i;

	end_open(e);
	end_connect(e);
	for (i = 0; i < NSIZES; i++) {
		fill_pattern(end_data(e) + 5, sizes[i], (unsigned int)i);
		end_sync(e);
		end_post_send(e, 1, end_data(e) + 5, sizes[i]);
		d = end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK(d == end_desc(e, 1));
		CHECK_EQ(d->CS.Status, VIP_STATUS_OP_SEND | VIP_STATUS_DONE);
	}
	end_sync(e);
	end_close(e);
}

static void test_sizes(void **state)
{
	(void)state;
	each_level(sizes_server, sizes_client, 60);
}

/* 252 segments of uneven length on one side, 5 on the other, zero-length ones between. */
#define MANY 252

static uint32_t segments(VIP_DESCRIPTOR *d, struct end *e, uint8_t *base, int n, uint32_t step)
{
	VIP_DATA_SEGMENT *s = (VIP_DATA_SEGMENT *)(d + 1) - 2;
	uint32_t sum = 0;
	int i;

	for (i = 0; i < n; i++) {
		s[i].Data.Address = base + sum;
		s[i].Handle = e->mem;
		s[i].Length = i % 4 == 3 ? 0 : step + (uint32_t)i % 3;
		sum += s[i].Length;
	}
	d->CS.SegCount = (VIP_UINT16)n;
	d->CS.Length = sum;
	return sum;
}

static void gather_server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	uint32_t sum;

	end_open(e);
	d = end_fill(e, 0, NULL, 0, e->mem);
	segments(d, e, end_data(e), MANY, 50);
	CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
	d = end_fill(e, 1, NULL, 0, e->mem);
	segments(d, e, end_data(e) + 65536, 5, 4000);
	CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
	end_connect(e);
	sum = (uint32_t)end_hear(e);
	d = end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(d->CS.Length, sum);
	CHECK_EQ(diff_pattern(end_data(e), sum, 7), -1);
	sum = (uint32_t)end_hear(e);
	d = end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(d->CS.Length, sum);
	CHECK_EQ(diff_pattern(end_data(e) + 65536, sum, 8), -1);
	end_sync(e);
	end_close(e);
}

static void gather_client(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	uint32_t sum;

	end_open(e);
	end_connect(e);
	d = end_fill(e, 0, NULL, 0, e->mem);
	sum = segments(d, e, end_data(e), 5, 1900);
	fill_pattern(end_data(e), sum, 7);
	end_tell(e, sum);
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	d = end_fill(e, 1, NULL, 0, e->mem);
	sum = segments(d, e, end_data(e), MANY, 60);
	fill_pattern(end_data(e), sum, 8);
	end_tell(e, sum);
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_sync(e);
	end_close(e);
}

static void test_gather_scatter(void **state)
{
	(void)state;
	each_level(gather_server, gather_client, 30);
}

/* Immediate data; the same descriptor again without; IMMEDIATE set on the receive; Status left as it was. */
static void imm_server(struct end *e)
{
	static const uint32_t want[] = {0, 0xffffffff, 0x12345678};
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int i;

	end_open(e);
	d = end_fill(e, 0, NULL, 0, e->mem);
	d->CS.Control = VIP_CONTROL_IMMEDIATE;
	for (i = 0; i < 4; i++) {
		CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
		if (i == 0)
			end_connect(e);
		CHECK_EQ(VipRecvDone(e->vi, &d), VIP_NOT_DONE);
		end_sync(e);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(d->CS.Length, 0);
		CHECK_EQ(d->CS.Status,
			 VIP_STATUS_OP_RECEIVE | VIP_STATUS_DONE | (i < 3 ? VIP_STATUS_IMMEDIATE : 0));
		if (i < 3)
			CHECK_EQ(d->CS.ImmediateData, want[i]);
	}
	end_sync(e);
	end_close(e);
}

static void imm_client(struct end *e)
{
	static const uint32_t value[] = {0, 0xffffffff, 0x12345678};
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int i;

	end_open(e);
	end_connect(e);
	for (i = 0; i < 4; i++) {
		end_sync(e);
		d = end_fill(e, 0, NULL, 0, e->mem);
		if (i < 3) {
			d->CS.Control |= VIP_CONTROL_IMMEDIATE;
			d->CS.ImmediateData = value[i];
		}
		CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_sync(e);
	end_close(e);
}

static void test_immediate(void **state)
{
	(void)state;
	each_level(imm_server, imm_client, 30);
}

/*
 * The owner posts a receive into a System V segment and then makes no call: the
 * data are there all the same, small and large.
 */
#define SEGMENT (1u << 20)

static void asleep_server(struct end *e)
{
	int id = shmget(IPC_PRIVATE, SEGMENT, 0600);
	uint8_t *seg = shmat(id, NULL, 0);
	VIP_MEM_HANDLE mem;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int i;

	CHECK(seg != (void *)-1);
	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	end_open(e);
	CHECK_EQ(VipRegisterMem(e->nic, seg, SEGMENT, NULL, &mem), VIP_SUCCESS);
	CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 0, seg + 3, 8, mem), e->mem), VIP_SUCCESS);
	CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 1, seg + 64, SEGMENT - 64, mem), e->mem), VIP_SUCCESS);
	end_connect(e);
	end_sync(e);
	end_hear(e); /* the client has sent both; no VIPL call since */
	for (i = 0; i < PATIENCE_MS && diff_pattern(seg + 64, SEGMENT - 64, 2) != -1; i++)
		usleep(1000);
	CHECK_EQ(diff_pattern(seg + 3, 8, 1), -1);
	CHECK_EQ(diff_pattern(seg + 64, SEGMENT - 64, 2), -1);
	d = end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(d->CS.Length, 8);
	d = end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(d->CS.Length, SEGMENT - 64);
	end_sync(e);
	end_close(e);
	shmdt(seg);
}

static void asleep_client(struct end *e)
{
	VIP_RETURN r;

	end_open(e);
	end_connect(e);
	end_sync(e);
	fill_pattern(end_data(e), 8, 1);
	end_post_send(e, 0, end_data(e), 8);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	fill_pattern(end_data(e), SEGMENT - 64, 2);
	end_post_send(e, 1, end_data(e), SEGMENT - 64);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_tell(e, 1);
	end_sync(e);
	end_close(e);
}

static void test_owner_asleep(void **state)
{
	(void)state;
	each_level(asleep_server, asleep_client, 30);
}

/* Neither end calls anything: a large send between private memories is finished all the same. */
static void await_status(const VIP_DESCRIPTOR *d, VIP_UINT32 want)
{
	int i;

	/* Status is written last: who sees it sees the data */
	for (i = 0; i < PATIENCE_MS && !(__atomic_load_n(&d->CS.Status, __ATOMIC_ACQUIRE) & VIP_STATUS_DONE);
	     i++)
		usleep(1000);
	CHECK_EQ(d->CS.Status, want);
}

static void idle_server(struct end *e)
{
	VIP_DESCRIPTOR *d;

	end_open(e);
	end_post_recv(e, 0, end_data(e), 4u << 20);
	end_connect(e);
	end_sync(e);
	end_hear(e);
	await_status(end_desc(e, 0), VIP_STATUS_OP_RECEIVE | VIP_STATUS_DONE);
	CHECK_EQ(diff_pattern(end_data(e), 4u << 20, 9), -1);
	CHECK_EQ(VipRecvDone(e->vi, &d), VIP_SUCCESS);
	CHECK_EQ(VipRecvDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
	CHECK(d == NULL);
	end_sync(e);
	end_close(e);
}

static void idle_client(struct end *e)
{
	VIP_DESCRIPTOR *d;

	end_open(e);
	end_connect(e);
	fill_pattern(end_data(e), 4u << 20, 9);
	end_sync(e);
	end_post_send(e, 0, end_data(e), 4u << 20);
	end_tell(e, 1);
	await_status(end_desc(e, 0), VIP_STATUS_OP_SEND | VIP_STATUS_DONE);
	CHECK_EQ(VipSendDone(e->vi, &d), VIP_SUCCESS);
	end_sync(e);
	end_close(e);
}

static void test_nobody_calls(void **state)
{
	(void)state;
	each_level(idle_server, idle_client, 30);
}

/* A thousand messages through queues that are kept full; order and contents. */
#define ROUNDS 20000
#define DEEP   32

static void stream_server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	uint64_t i;
	VIP_RETURN r;

	end_open(e);
	for (i = 0; i < DEEP; i++)
		end_post_recv(e, (int)i, end_data(e) + i * 8192, 8192);
	end_connect(e);
	end_sync(e);
	for (i = 0; i < ROUNDS; i++) {
		uint8_t *at = end_data(e) + i % DEEP * 8192;
		uint64_t got;

		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK(d == end_desc(e, (int)(i % DEEP)));
		CHECK_EQ(d->CS.Length, 8 + i * 37 % 8000);
		memcpy(&got, at, 8);
		CHECK_EQ(got, i);
		CHECK_EQ(at[d->CS.Length - 1], d->CS.Length > 8 ? (uint8_t)i : at[7]);
		end_post_recv(e, (int)(i % DEEP), at, 8192);
		/* a credit every half queue */
		if (i % (DEEP / 2) == DEEP / 2 - 1)
			end_tell(e, i);
	}
	end_sync(e);
	end_close(e);
}

static void stream_client(struct end *e)
{
	uint64_t i, credits = DEEP;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	end_open(e);
	end_connect(e);
	end_sync(e);
	for (i = 0; i < ROUNDS; i++) {
		uint8_t *at = end_data(e) + i % DEEP * 8192;
		uint32_t len = (uint32_t)(8 + i * 37 % 8000);

		if (credits == 0) {
			end_hear(e);
			credits = DEEP / 2;
		}
		credits--;
		if (i >= DEEP) {
			d = end_sent(e, &r);
			CHECK_EQ(r, VIP_SUCCESS);
			CHECK(d == end_desc(e, (int)(i % DEEP)));
		}
		memset(at, (uint8_t)i, len);
		memcpy(at, &i, 8);
		end_post_send(e, (int)(i % DEEP), at, len);
	}
	for (i = 0; i < DEEP; i++) {
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	while (credits < DEEP) { /* the tidings not heard yet */
		end_hear(e);
		credits += DEEP / 2;
	}
	end_sync(e);
	end_close(e);
}

static void test_stream(void **state)
{
	(void)state;
	each_level(stream_server, stream_client, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	     cmocka_unit_test(test_gather_scatter),
		cmocka_unit_test(test_immediate),    cmocka_unit_test(test_owner_asleep),
		cmocka_unit_test(test_nobody_calls), cmocka_unit_test(test_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
