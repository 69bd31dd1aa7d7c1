/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_engine.c - VIPL_EMU_ENGINE=thread: a post does not wait for the copy, nor
 * does any call beside it; small and large messages mixed keep order and
 * content; many VIs and threads at once.
 */
#include "tests/vipl/engine.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* ---- a post returns before the data have moved ---- */

#define TRIES 25u

static int to_segment;

/* Takes message after message, and makes no call while one comes. */
static void take_server(struct end *e)
{
	struct place at;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	uint32_t i;

	end_open(e);
	at = make_place(e, to_segment);
	for (i = 0; i < as_many_as(TRIES); i++) {
		at.p[0] = at.p[LARGE - 1] = 0xee;
		post_place(e, 1, 0, at, LARGE);
		if (i == 0)
			end_connect(e);
		end_sync(e);
		end_hear(e); /* it was sent */
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(d->CS.Length, LARGE);
		CHECK_EQ(diff_pattern(at.p, LARGE, i), -1);
	}
	end_sync(e);
	end_close(e);
}

static void post_client(struct end *e)
{
	uint64_t start, posted, done, best_post = 1, best_whole = 1;
	VIP_DESCRIPTOR *d;
	struct place at;
	VIP_RETURN r;
	uint32_t i;

	end_open(e);
	at = make_place(e, 0);
	end_connect(e);
	for (i = 0; i < as_many_as(TRIES); i++) {
		fill_pattern(at.p, LARGE, i);
		end_sync(e);
		start = now_ns();
		post_place(e, 0, 0, at, LARGE);
		posted = now_ns() - start;
		d = end_sent(e, &r);
		done = now_ns() - start;
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(d->CS.Status, VIP_STATUS_OP_SEND | VIP_STATUS_DONE);
		if (i == 0 || posted * best_whole < best_post * done) {
			best_post = posted;
			best_whole = done;
		}
		end_tell(e, 1);
	}
	printf("best of %u: posted after %lu us, sent after %lu us\n", as_many_as(TRIES), best_post / 1000,
	       best_whole / 1000);
	CHECK(best_post * 10 < best_whole);
	end_sync(e);
	end_close(e);
}

static void test_post_returns(void **state)
{
	(void)state;
	to_segment = 1;
	run_pair(take_server, post_client, VIP_SERVICE_RELIABLE_DELIVERY, 60);
}

/* ---- nor does another call wait ---- */

/* Every call that has to do with the VI, once; false: the large send is done. */
static bool each_call(struct end *e, int i, VIP_CQ_HANDLE cq)
{
	VIP_DESCRIPTOR *d;
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;
	VIP_RETURN r;

	if (i < 200)
		end_post_recv(e, 1, end_data(e), 8);
	CHECK_EQ(VipRecvDone(e->vi, &d), VIP_NOT_DONE);
	CHECK_EQ(VipCQDone(cq, &vi, &recv), VIP_NOT_DONE);
	r = VipSendWait(e->vi, 0, &d);
	if (r == VIP_TIMEOUT)
		r = VipSendDone(e->vi, &d);
	if (r == VIP_NOT_DONE)
		return true;
	CHECK_EQ(r, VIP_SUCCESS);
	return false;
}

static void calls_client(struct end *e)
{
	int n, most = 0;
	struct place at;
	uint32_t i;

	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, 1024, &e->rcq), VIP_SUCCESS);
	end_open(e);
	at = make_place(e, 0);
	end_connect(e);
	for (i = 0; i < as_many_as(TRIES); i++) {
		fill_pattern(at.p, LARGE, i);
		end_sync(e);
		post_place(e, 0, 0, at, LARGE);
		for (n = 0; each_call(e, i ? 200 : n, e->rcq); n++)
			;
		most = n > most ? n : most;
		end_tell(e, 1);
	}
	printf("beside a message all calls were made up to %d times\n", most);
	CHECK(most >= 20);
	end_sync(e);
	end_close(e);
}

static void test_calls_beside(void **state)
{
	(void)state;
	to_segment = 1;
	run_pair(take_server, calls_client, VIP_SERVICE_RELIABLE_DELIVERY, 60);
	run_pair(take_server, calls_client, VIP_SERVICE_RELIABLE_RECEPTION, 60);
}

/* ---- small and large ones, in order ---- */

#define MIXED 10000u
#define DEEP  16u
#define MAX   (224u << 10)

static uint32_t mixed_size(unsigned int *seed)
{
	uint32_t n = (uint32_t)rand_r(seed);

	switch (n % 16) {
	case 0:
		return n / 16 % MAX; /* most are for the engine's thread */
	case 1:
		return 65536 - 2 + n / 16 % 5; /* the border */
	case 2:
	case 3:
		return n / 16 % 20000;
	default:
		return n / 16 % 400;
	}
}

static void mixed_server(struct end *e)
{
	uint32_t i, len, count = as_many_as(MIXED);
	unsigned int seed = 5;
	uint8_t *area;
	VIP_MEM_HANDLE mem;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	end_open(e);
	area = to_segment ? make_segment(DEEP * MAX) : end_data(e);
	CHECK_EQ(VipRegisterMem(e->nic, area, DEEP * MAX, NULL, &mem), VIP_SUCCESS);
	for (i = 0; i < DEEP; i++)
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, (int)i, area + i * MAX, MAX, mem), e->mem),
			 VIP_SUCCESS);
	end_connect(e);
	for (i = 0; i < count; i++) {
		int slot = (int)(i % DEEP);

		len = mixed_size(&seed);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK(d == end_desc(e, slot));
		CHECK_EQ(d->CS.ImmediateData, i);
		CHECK_EQ(d->CS.Length, len);
		CHECK_EQ(diff_pattern(area + (uint32_t)slot * MAX, len, i), -1);
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, slot, area + (uint32_t)slot * MAX, MAX, mem), e->mem),
			 VIP_SUCCESS);
		if (i % (DEEP / 2) == DEEP / 2 - 1)
			end_tell(e, i);
	}
	end_sync(e);
	end_close(e);
}

static void mixed_sent(struct end *e, uint32_t i)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	d = end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK(d == end_desc(e, (int)(i % DEEP)));
	CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, 0);
}

static void mixed_client(struct end *e)
{
	uint32_t i, len, done = 0, credits = DEEP, count = as_many_as(MIXED);
	unsigned int seed = 5;
	VIP_DESCRIPTOR *d;

	end_open(e);
	end_connect(e);
	for (i = 0; i < count; i++, credits--) {
		uint8_t *from = end_data(e) + i % DEEP * MAX;

		if (i - done == DEEP)
			mixed_sent(e, done++);
		if (credits == 0) {
			end_hear(e);
			credits += DEEP / 2;
		}
		len = mixed_size(&seed);
		fill_pattern(from, len, i);
		d = end_fill(e, (int)(i % DEEP), from, len, e->mem);
		d->CS.Control |= VIP_CONTROL_IMMEDIATE;
		d->CS.ImmediateData = i;
		CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	}
	while (done < count)
		mixed_sent(e, done++);
	for (; credits < DEEP - count % (DEEP / 2); credits += DEEP / 2)
		end_hear(e);
	end_sync(e);
	end_close(e);
}

static void test_mixed(void **state)
{
	(void)state;
	for (to_segment = 0; to_segment < 2; to_segment++) {
		run_pair(mixed_server, mixed_client, VIP_SERVICE_UNRELIABLE, 100);
		run_pair(mixed_server, mixed_client, VIP_SERVICE_RELIABLE_DELIVERY, 100);
		run_pair(mixed_server, mixed_client, VIP_SERVICE_RELIABLE_RECEPTION, 100);
	}
}

/* ---- many VIs at once ---- */

#define VIS	8
#define EACH	20
#define MESSAGE (512u << 10)

static VIP_VI_HANDLE many[VIS];

static void connect_many(struct end *e)
{
	VIP_VI_ATTRIBUTES a = {.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)e->level,
			       .MaxTransferSize = LARGE,
			       .Ptag = e->tag},
			  got;
	union addr_room local, remote;
	VIP_CONN_HANDLE conn;
	char name[32];
	VIP_RETURN r;
	int i;

	for (i = 0; i < VIS; i++) {
		snprintf(name, sizeof(name), "many %d", i);
		net_addr(&local.a, &e->attr, name);
		remote = local;
		CHECK_EQ(VipCreateVi(e->nic, &a, NULL, NULL, &many[i]), VIP_SUCCESS);
		if (e->server) {
			CHECK_EQ(VipConnectWait(e->nic, &local.a, 5000, &remote.a, &got, &conn), VIP_SUCCESS);
			CHECK_EQ(VipConnectAccept(conn, many[i]), VIP_SUCCESS);
		} else {
			while ((r = VipConnectRequest(many[i], &local.a, &remote.a, 5000, &got)) ==
			       VIP_NO_MATCH)
				usleep(1000);
			CHECK_EQ(r, VIP_SUCCESS);
		}
	}
}

struct one {
	struct end *e;
	int i;
};

/* The VI's messages, one behind the other, from or to a part of the block. */
static void *one_vi(void *arg)
{
	struct one *o = arg;
	struct end *e = o->e;
	uint8_t *at = end_data(e) + (size_t)o->i * MESSAGE;
	VIP_DESCRIPTOR *d = end_fill(e, o->i, at, MESSAGE, e->mem), *done;
	int n;

	for (n = 0; n < (int)as_many_as(EACH); n++) {
		d->CS.Status = 0;
		if (e->server) {
			CHECK_EQ(VipPostRecv(many[o->i], d, e->mem), VIP_SUCCESS);
			CHECK_EQ(VipPostSend(many[o->i], end_fill(e, VIS + o->i, NULL, 0, e->mem), e->mem),
				 VIP_SUCCESS);
			CHECK_EQ(VipRecvWait(many[o->i], 20000, &done), VIP_SUCCESS);
			CHECK_EQ(diff_pattern(at, MESSAGE, (unsigned int)(o->i + 100 * n)), -1);
			CHECK_EQ(VipSendWait(many[o->i], 5000, &done), VIP_SUCCESS);
		} else {
			fill_pattern(at, MESSAGE, (unsigned int)(o->i + 100 * n));
			CHECK_EQ(VipRecvWait(many[o->i], 20000, &done), VIP_SUCCESS); /* it may be sent */
			CHECK_EQ(VipPostRecv(many[o->i], end_fill(e, VIS + o->i, NULL, 0, e->mem), e->mem),
				 VIP_SUCCESS);
			CHECK_EQ(VipPostSend(many[o->i], d, e->mem), VIP_SUCCESS);
			CHECK_EQ(VipSendWait(many[o->i], 20000, &done), VIP_SUCCESS);
		}
	}
	return NULL;
}

static void many_end(struct end *e)
{
	struct one one[VIS];
	pthread_t thread[VIS];
	int i;

	end_nic(e);
	connect_many(e);
	for (i = 0; i < VIS && !e->server; i++)
		CHECK_EQ(VipPostRecv(many[i], end_fill(e, VIS + i, NULL, 0, e->mem), e->mem), VIP_SUCCESS);
	end_sync(e);
	for (i = 0; i < VIS; i++) {
		one[i] = (struct one){e, i};
		CHECK_EQ(pthread_create(&thread[i], NULL, one_vi, &one[i]), 0);
	}
	for (i = 0; i < VIS; i++)
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
	end_sync(e);
	end_close(e);
}

static void test_many(void **state)
{
	(void)state;
	run_pair(many_end, many_end, VIP_SERVICE_RELIABLE_DELIVERY, 60);
	run_pair(many_end, many_end, VIP_SERVICE_RELIABLE_RECEPTION, 60);
}

/* ---- a wrong value ---- */

static void wrong_child(void)
{
	VIP_NIC_HANDLE nic;

	setenv("VIPL_EMU_ENGINE", "threads", 1);
	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_ERROR_RESOURCE);
	CHECK(strstr(VipxErrorText(), "VIPL_EMU_ENGINE is 'threads': it may be inline or thread"));
}

static void test_wrong(void **state)
{
	(void)state;
	run_child(getenv("VIPL_LOCK_LEVEL"), wrong_child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_post_returns), cmocka_unit_test(test_calls_beside),
		cmocka_unit_test(test_mixed),	     cmocka_unit_test(test_many),
		cmocka_unit_test(test_wrong),
	};

	choose_engine();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
