/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_progress.c - a message for a VI that its consumer has polled, and does not poll again, is taken soon
 * all the same: whether the consumer goes on to poll another VI, or does nothing.  At Reliable Reception the
 * sender sees when.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "scene.h"

#define SMALL  100u
#define ROUNDS 20u
/* All VIs are looked at once a second, whatever happens: who is found only then has waited half of one. */
#define MOST_MS (ROUNDS * 500u / 2)

static int over; /* atomically */

static void *poll_on(void *arg)
{
	const struct side *s = arg;
	VIP_DESCRIPTOR *d;

	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE))
		assert_int_equal(VipRecvDone(s->vi, &d), VIP_NOT_DONE);
	return NULL;
}

static void *take_all(void *arg)
{
	const struct side *s = arg;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		r = VipRecvDone(s->vi, &d);
		if (r != VIP_NOT_DONE)
			assert_int_equal(r, VIP_SUCCESS);
	}
	return NULL;
}

static void vi_new(struct side *s)
{
	VIP_VI_ATTRIBUTES attr = {.ReliabilityLevel = VIP_SERVICE_RELIABLE_RECEPTION,
				  .MaxTransferSize = 1u << 20};

	OK(VipCreateVi(s->nic, &attr, NULL, NULL, &s->vi));
}

static void post_recv(struct side *s, unsigned int n)
{
	OK(VipPostRecv(s->vi, side_descriptor(s, n, VIP_CONTROL_OP_SENDRECV, side_data(s), SMALL), s->mem));
}

static void exchange(struct side *server, struct side *client)
{
	VIP_DESCRIPTOR *d;

	post_recv(server, 0);
	assert_int_equal(VipRecvDone(server->vi, &d), VIP_NOT_DONE);
	OK(VipPostSend(client->vi,
		       side_descriptor(client, 0, VIP_CONTROL_OP_SENDRECV, side_data(client), SMALL),
		       client->mem));
	OK(VipSendWait(client->vi, SCENE_MS, &d));
	OK(VipRecvDone(server->vi, &d)); /* it is in place */
}

static void in_time_for(uint64_t began)
{
	uint64_t ms = now_ms() - began;

	if (ms > MOST_MS)
		fail_msg("%u messages took %llu ms, and not at most %u", ROUNDS, (unsigned long long)ms,
			 MOST_MS);
}

static void with_another(bool polled)
{
	struct side server, client, other_server, other_client;
	pthread_t thread;
	uint64_t began;
	unsigned int i;

	fake_reset();
	if (!side_open(&server, VIP_SERVICE_RELIABLE_RECEPTION, SMALL) ||
	    !side_open(&client, VIP_SERVICE_RELIABLE_RECEPTION, SMALL))
		fail_msg("server: %s; client: %s", server.text, client.text);
	other_server = server;
	other_client = client;
	vi_new(&other_server);
	vi_new(&other_client);
	sides_connect(&server, &client);
	sides_connect(&other_server, &other_client);
	post_recv(&other_server, 1);
	over = 0;
	if (polled)
		assert_int_equal(pthread_create(&thread, NULL, poll_on, &other_server), 0);
	began = now_ms();
	for (i = 0; i < ROUNDS; i++)
		exchange(&server, &client);
	in_time_for(began);
	__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
	if (polled)
		pthread_join(thread, NULL);
	OK(VipDisconnect(other_client.vi));
	OK(VipDisconnect(other_server.vi));
	OK(VipDisconnect(client.vi));
	OK(VipDisconnect(server.vi));
	side_close(&client);
	side_close(&server);
	nothing_left("a message for a VI that is not polled");
}

static void test_other_polled(void **state)
{
	(void)state;
	with_another(true);
}

static void test_nothing_polled(void **state)
{
	(void)state;
	with_another(false);
}

/* The device does not take what would tell the sender; the receiver polls, and nothing more comes. */
static void test_not_told(void **state)
{
	struct side server, client;
	VIP_DESCRIPTOR *d;
	pthread_t thread;
	uint64_t began;
	unsigned int i;

	(void)state;
	fake_reset();
	if (!side_open(&server, VIP_SERVICE_RELIABLE_RECEPTION, SMALL) ||
	    !side_open(&client, VIP_SERVICE_RELIABLE_RECEPTION, SMALL))
		fail_msg("server: %s; client: %s", server.text, client.text);
	sides_connect(&server, &client);
	for (i = 0; i <= ROUNDS; i++) /* one is left, so that he goes on to poll */
		post_recv(&server, i);
	over = 0;
	assert_int_equal(pthread_create(&thread, NULL, take_all, &server), 0);
	began = now_ms();
	for (i = 0; i < ROUNDS; i++) {
		fake_fail("ibv_post_send", 2, ENOMEM); /* the first is the message */
		OK(VipPostSend(
			client.vi,
			side_descriptor(&client, 0, VIP_CONTROL_OP_SENDRECV, side_data(&client), SMALL),
			client.mem));
		OK(VipSendWait(client.vi, SCENE_MS, &d));
		assert_true(fake_failed());
	}
	in_time_for(began);
	__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	OK(VipDisconnect(client.vi));
	OK(VipDisconnect(server.vi));
	side_close(&client);
	side_close(&server);
	nothing_left("a sender who is told later");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_polled),
		cmocka_unit_test(test_nothing_polled),
		cmocka_unit_test(test_not_told),
	};

	alarm(100);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
