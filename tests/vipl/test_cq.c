/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_cq.c - completion queues: limits, one entry for each completion and in
 * order, entries of flushed descriptors, nothing lost when a CQ is full,
 * waiting.
 */
#include "tests/vipl/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void test_limits(void **state)
{
	static VIP_CQ_HANDLE many[1025];
	VIP_VI_ATTRIBUTES va = {VIP_SERVICE_UNRELIABLE, 4096, 0, NULL, 0, 0};
	VIP_NIC_ATTRIBUTES attr;
	VIP_NIC_HANDLE nic;
	VIP_CQ_HANDLE cq;
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;
	VIP_ULONG i;
	double t;

	(void)state;
	assert_int_equal(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	assert_int_equal(VipQueryNic(nic, &attr), VIP_SUCCESS);
	assert_int_equal(VipCreateCQ(nic, 0, &cq), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCreateCQ(nic, attr.MaxCQEntries + 1, &cq), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCreateCQ(nic, attr.MaxCQEntries, &cq), VIP_SUCCESS);
	assert_int_equal(VipCQDone(cq, &vi, &recv), VIP_NOT_DONE);
	assert_int_equal(VipCQWait(cq, 0, &vi, &recv), VIP_TIMEOUT);
	t = now();
	assert_int_equal(VipCQWait(cq, 50, &vi, &recv), VIP_TIMEOUT);
	assert_true(now() - t >= 0.05);
	assert_int_equal(VipCreateVi(nic, &va, cq, NULL, &vi), VIP_SUCCESS);
	assert_int_equal(VipDestroyCQ(cq), VIP_ERROR_RESOURCE);
	assert_int_equal(VipDestroyVi(vi), VIP_SUCCESS);
	assert_int_equal(VipDestroyCQ(cq), VIP_SUCCESS);
	assert_int_equal(VipDestroyCQ(cq), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCreateVi(nic, &va, cq, NULL, &vi), VIP_INVALID_PARAMETER);
	for (i = 0; i < attr.MaxCQ; i++)
		assert_int_equal(VipCreateCQ(nic, 1, &many[i]), VIP_SUCCESS);
	assert_int_equal(VipCreateCQ(nic, 1, &cq), VIP_ERROR_RESOURCE);
	assert_int_equal(VipDestroyCQ(many[5]), VIP_SUCCESS);
	assert_int_equal(VipCreateCQ(nic, 1, &cq), VIP_SUCCESS);
	assert_int_equal(VipCloseNic(nic), VIP_SUCCESS);
	assert_int_equal(VipCQDone(cq, &vi, &recv), VIP_INVALID_PARAMETER);
}

/* @n entries for one queue of the VI; the first Done after each succeeds. */
static void take(struct end *e, VIP_CQ_HANDLE cq, int queue, int n, uint32_t error)
{
	VIP_DESCRIPTOR *d;
	VIP_BOOLEAN recv;
	VIP_VI_HANDLE vi;
	int i;

	for (i = 0; i < n; i++) {
		CHECK_EQ(VipCQWait(cq, PATIENCE_MS, &vi, &recv), VIP_SUCCESS);
		CHECK(vi == e->vi);
		CHECK_EQ(recv, queue);
		CHECK_EQ(queue ? VipRecvDone(vi, &d) : VipSendDone(vi, &d),
			 error ? VIP_DESCRIPTOR_ERROR : VIP_SUCCESS);
		CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, error);
		if (queue)
			CHECK(d == end_desc(e, i));
	}
	CHECK_EQ(VipCQDone(cq, &vi, &recv), VIP_NOT_DONE);
}

#define N 20

static void server(struct end *e)
{
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;
	VIP_DESCRIPTOR *d;
	int i;

	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, 4, &e->rcq), VIP_SUCCESS); /* far too small */
	e->scq = e->rcq;
	end_open(e);
	for (i = 0; i < N; i++)
		end_post_recv(e, i, end_data(e), 100);
	end_connect(e);
	CHECK_EQ(VipRecvWait(e->vi, 10, &d), VIP_ERROR_RESOURCE);
	end_sync(e);
	take(e, e->rcq, 1, N, 0);
	/* waits asleep until the message comes */
	end_post_recv(e, 0, end_data(e), 100);
	end_sync(e);
	take(e, e->rcq, 1, 1, 0);
	/* Done without the entry: the entry stays, and then there is nothing */
	end_post_recv(e, 0, end_data(e), 100);
	end_sync(e);
	end_hear(e);
	while (VipRecvDone(e->vi, &d) == VIP_NOT_DONE)
		;
	CHECK(d == end_desc(e, 0));
	CHECK_EQ(VipCQDone(e->rcq, &vi, &recv), VIP_SUCCESS);
	CHECK_EQ(VipRecvDone(vi, &d), VIP_DESCRIPTOR_ERROR);
	CHECK(d == NULL);
	/* flushed descriptors have entries, too */
	for (i = 0; i < N; i++)
		end_post_recv(e, i, end_data(e), 100);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	take(e, e->rcq, 1, N, VIP_STATUS_DESC_FLUSHED_ERROR);
	/* entries of a VI that goes are gone */
	end_post_recv(e, 0, end_data(e), 100);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	CHECK_EQ(VipRecvDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
	CHECK_EQ(VipDestroyVi(e->vi), VIP_SUCCESS);
	CHECK_EQ(VipCQDone(e->rcq, &vi, &recv), VIP_NOT_DONE);
	CHECK_EQ(VipDestroyCQ(e->rcq), VIP_SUCCESS);
	end_sync(e);
	end_close(e);
}

static void client(struct end *e)
{
	int i;

	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, 64, &e->scq), VIP_SUCCESS);
	end_open(e);
	end_connect(e);
	end_sync(e);
	for (i = 0; i < N; i++)
		end_post_send(e, i, end_data(e), 100);
	take(e, e->scq, 0, N, 0);
	end_sync(e);
	usleep(100000);
	end_post_send(e, 0, end_data(e), 100);
	take(e, e->scq, 0, 1, 0);
	end_sync(e);
	end_post_send(e, 0, end_data(e), 100);
	end_tell(e, 1);
	take(e, e->scq, 0, 1, 0);
	end_sync(e);
	end_close(e);
}

static void test_entries(void **state)
{
	int level;

	(void)state;
	for (level = VIP_SERVICE_UNRELIABLE; level <= VIP_SERVICE_RELIABLE_RECEPTION; level <<= 1)
		run_pair(server, client, level, 30);
}

/* ---- a queue that is never empty ---- */

#define ENOUGH 100 /* entries taken before a message is seen that has arrived */

static void busy_server(struct end *e)
{
	VIP_BOOLEAN recv = VIP_FALSE;
	VIP_DESCRIPTOR *d;
	VIP_VI_HANDLE vi;
	int i;

	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, 64, &e->rcq), VIP_SUCCESS);
	e->scq = e->rcq;
	end_open(e);
	end_post_recv(e, 0, end_data(e), 100);
	end_connect(e);
	end_post_send(e, 1, end_data(e), 100);
	end_post_send(e, 2, end_data(e), 100);
	end_sync(e);
	/* nobody takes these sends: at Unreliable each is complete when it is posted */
	for (i = 0; i < ENOUGH && !recv; i++) {
		CHECK_EQ(VipCQDone(e->rcq, &vi, &recv), VIP_SUCCESS);
		if (recv)
			break;
		CHECK_EQ(VipSendDone(vi, &d), VIP_SUCCESS);
		end_post_send(e, 1 + i % 2, end_data(e), 100);
	}
	CHECK(recv);
	end_sync(e);
	end_close(e);
}

static void busy_client(struct end *e)
{
	VIP_RETURN r;

	end_open(e);
	end_connect(e);
	end_post_send(e, 0, end_data(e), 100);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_sync(e);
	end_sync(e);
	end_close(e);
}

static void test_never_empty(void **state)
{
	(void)state;
	run_pair(busy_server, busy_client, VIP_SERVICE_UNRELIABLE, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_limits), cmocka_unit_test(test_entries),
					   cmocka_unit_test(test_never_empty)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
