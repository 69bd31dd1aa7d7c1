/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_many.c - many connections of one NIC handle: the completion queues have room for all that they have
 * at the device, and who wants one more than that is told so.
 */
#include <pthread.h>
#include <unistd.h>

#include "scene.h"

#define CQE   256 /* entries that a completion queue of the device can have */
#define MANY  5u  /* more than that has room for */
#define SENDS 64u
#define SMALL 100u /* inline */
#define CQS   16u  /* of a NIC handle, at most */

struct pair {
	struct side server, client; /* VIs of the same handles */
};

static void vi_new(struct side *s)
{
	VIP_VI_ATTRIBUTES attr = {.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY,
				  .MaxTransferSize = 1u << 20};

	OK(VipCreateVi(s->nic, &attr, NULL, NULL, &s->vi));
}

static void open_pairs(struct pair *p, unsigned int n)
{
	unsigned int i;

	if (!side_open(&p[0].server, VIP_SERVICE_RELIABLE_DELIVERY, SMALL) ||
	    !side_open(&p[0].client, VIP_SERVICE_RELIABLE_DELIVERY, SMALL))
		fail_msg("server: %s; client: %s", p[0].server.text, p[0].client.text);
	for (i = 1; i < n; i++) {
		p[i] = p[0];
		vi_new(&p[i].server);
		vi_new(&p[i].client);
	}
}

static void close_pairs(struct pair *p)
{
	side_close(&p[0].client);
	side_close(&p[0].server);
	nothing_left("many connections");
}

static int errors(struct pair *p, VIP_ERROR_CODE code)
{
	return __atomic_load_n(&p[0].client.errors[code], __ATOMIC_SEQ_CST) +
	       __atomic_load_n(&p[0].server.errors[code], __ATOMIC_SEQ_CST);
}

static void send_all(struct side *s)
{
	VIP_DESCRIPTOR *d;
	unsigned int i;

	for (i = 0; i < SENDS; i++) {
		OK(VipPostSend(s->vi, side_descriptor(s, 0, VIP_CONTROL_OP_SENDRECV, side_data(s), SMALL),
			       s->mem));
		OK(VipSendWait(s->vi, SCENE_MS, &d));
	}
}

/* Whatever is at the device ends with an error, at once: the handle lives. */
static void test_all_fail(void **state)
{
	struct pair p[MANY];
	unsigned int i, round;

	(void)state;
	fake_reset();
	fake.max_cqe = CQE;
	open_pairs(p, MANY);
	for (round = 0; round < 3; round++) { /* what a connection leaves is no burden to the next */
		for (i = 0; i < MANY; i++)
			sides_connect(&p[i].server, &p[i].client);
		fake_hold(true);
		for (i = 0; i < MANY; i++)
			send_all(&p[i].client);
		fake_fail_send(FAKE_EVERY, IBV_WC_RETRY_EXC_ERR);
		fake_hold(false);
		for (i = 0; i < MANY; i++) {
			assert_true(becomes(&p[i].client, VIP_STATE_ERROR));
			assert_true(becomes(&p[i].server, VIP_STATE_ERROR));
		}
		assert_int_equal(errors(p, VIP_ERROR_CATASTROPHIC), 0);
		for (i = 0; i < MANY; i++) {
			OK(VipDisconnect(p[i].client.vi));
			OK(VipDisconnect(p[i].server.vi));
		}
		fake_fail_send(0, IBV_WC_SUCCESS);
	}
	close_pairs(p);
}

static int over; /* atomically */

static void *accept_one(void *arg)
{
	side_accept(arg, &over);
	return NULL;
}

/* A completion queue for each connection is not enough: one more than there may be is refused. */
static void test_one_too_many(void **state)
{
	struct pair p[CQS + 1], *last = &p[CQS];
	VIP_NIC_ATTRIBUTES attr;
	pthread_t thread;
	unsigned int i;

	(void)state;
	fake_reset();
	fake.max_cqe = CQE / 2;
	open_pairs(p, CQS + 1);
	OK(VipQueryNic(p[0].client.nic, &attr));
	assert_int_equal(attr.MaxVI, CQS);
	for (i = 0; i < CQS; i++)
		sides_connect(&p[i].server, &p[i].client);
	over = 0;
	assert_int_equal(pthread_create(&thread, NULL, accept_one, &last->server), 0);
	assert_int_equal(side_request(&last->client, &over), VIP_ERROR_RESOURCE);
	__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	if (!strstr(last->client.text, "room for 16 connections"))
		fail_msg("the cause is not '%s'", last->client.text);
	OK(VipDisconnect(p[0].client.vi));
	OK(VipDisconnect(p[0].server.vi));
	last->client.call = last->server.call = NULL;
	sides_connect(&last->server, &last->client);
	close_pairs(p);
}

/* A device whose queues are too small for one is refused as a whole. */
static void test_none(void **state)
{
	VIP_NIC_HANDLE nic;

	(void)state;
	fake_reset();
	fake.max_cqe = CQE / 4;
	assert_int_equal(VipOpenNic(FAKE_NAME, &nic), VIP_ERROR_RESOURCE);
	assert_non_null(strstr(VipxErrorText(), "at most 64 entries"));
	nothing_left("a device with small completion queues");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_fail),
		cmocka_unit_test(test_one_too_many),
		cmocka_unit_test(test_none),
	};

	alarm(100);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
