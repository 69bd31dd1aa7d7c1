/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_connect.c - two VIs over the fake device: they connect and talk; each call
 * of the device's libraries fails once.  Whatever fails, no call hangs, and nothing
 * is left.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "scene.h"

#define BYTES	   300000u /* several frames, or read by the receiver */
#define MOST_CALLS 2000
#define RECVS	   128u /* that VipOpenNic posts */

static VIP_RELIABILITY_LEVEL level;

/* What both threads of a talk know. */
struct talk {
	struct side *server, *client;
	int over[2]; /* the server has ended, the client has; atomically */
	VIP_RETURN moved[2];
};

static void end_of(int *over)
{
	__atomic_store_n(over, 1, __ATOMIC_RELEASE);
}

static void *serve(void *arg)
{
	struct talk *t = arg;
	struct side *s = t->server;
	uint64_t since = now_ms();
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	r = VipPostRecv(s->vi, side_descriptor(s, 0, VIP_CONTROL_OP_SENDRECV, side_data(s), BYTES), s->mem);
	if (r == VIP_SUCCESS)
		r = side_accept(s, &t->over[1]);
	end_of(&t->over[0]);
	if (r == VIP_SUCCESS) {
		r = VipRecvWait(s->vi, SCENE_MS, &d);
		if (r == VIP_SUCCESS && (d->CS.Status & VIP_STATUS_ERROR_MASK))
			r = VIP_DESCRIPTOR_ERROR;
	}
	t->moved[0] = r;
	assert_true(in_time(since));
	return NULL;
}

static void request(struct talk *t)
{
	struct side *s = t->client;
	uint64_t since = now_ms();
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	uint32_t i;

	for (i = 0; i < BYTES; i++)
		side_data(s)[i] = (uint8_t)(i * 7);
	r = side_request(s, &t->over[0]);
	if (r == VIP_SUCCESS) {
		d = side_descriptor(s, 0, VIP_CONTROL_OP_SENDRECV, side_data(s), BYTES);
		OK(VipPostSend(s->vi, d, s->mem));
		r = VipSendWait(s->vi, SCENE_MS, &d);
		if (r != VIP_SUCCESS) /* the server shall not wait for it */
			OK(VipDisconnect(s->vi));
	}
	end_of(&t->over[1]);
	t->moved[1] = r;
	assert_true(in_time(since));
}

/* Open both, connect, send one message; true: it went through. */
static bool talk(struct side *server, struct side *client)
{
	struct talk t = {.server = server, .client = client};
	pthread_t thread;
	bool sides;

	sides = side_open(server, level, BYTES);
	if (!side_open(client, level, BYTES) || !sides)
		return false;
	assert_int_equal(pthread_create(&thread, NULL, serve, &t), 0);
	request(&t);
	pthread_join(thread, NULL);
	if (t.moved[0] != VIP_SUCCESS || t.moved[1] != VIP_SUCCESS)
		return false;
	assert_memory_equal(side_data(server), side_data(client), BYTES);
	return true;
}

static void part(struct side *server, struct side *client)
{
	uint64_t since = now_ms();

	if (client->vi)
		OK(VipDisconnect(client->vi));
	side_close(client);
	side_close(server);
	if (now_ms() - since > 1500) /* nothing is to be waited for */
		fail_msg("closing took %llu ms", (unsigned long long)(now_ms() - since));
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	level = VIP_SERVICE_RELIABLE_RECEPTION;
	return 0;
}

static void test_talk(void **state)
{
	static const VIP_RELIABILITY_LEVEL levels[] = {VIP_SERVICE_UNRELIABLE, VIP_SERVICE_RELIABLE_DELIVERY,
						       VIP_SERVICE_RELIABLE_RECEPTION};
	struct side server, client;
	size_t i;

	(void)state;
	for (i = 0; i < 12; i++) {
		fake_reset();
		fake.windows = i % 2;
		fake.no_inline = i >= 6;
		level = levels[i / 2 % 3];
		if (!talk(&server, &client))
			fail_msg("server: %s; client: %s", server.text, client.text);
		assert_true((fake_calls("ibv_alloc_mw") > 0) ==
			    (fake.windows && !fake.no_inline && level != VIP_SERVICE_UNRELIABLE));
		part(&server, &client);
		nothing_left("a talk");
	}
}

/* ---- each call fails once ---- */

static char names[64][40];
static unsigned int nnames;

static void note(const char *name, unsigned int calls)
{
	(void)calls;
	snprintf(names[nnames++], sizeof(names[0]), "%s", name);
}

/* Why a call failed; that nothing came in time says it by itself. */
static void says(const struct side *s, const char *name, unsigned int nth)
{
	if (s->call && strncmp(s->text, "VIP_TIMEOUT", strlen("VIP_TIMEOUT")) != 0 &&
	    strlen(strchr(s->text, ':')) < strlen(": no"))
		fail_msg("%s, call %u: %s does not say why: %s", name, nth, s->call, s->text);
}

/* A call that fails says something, in time, and gives all back; returns whether it came to the call. */
static bool talk_with(const char *name, unsigned int nth)
{
	struct side server, client;
	bool through;

	fake_reset();
	fake_fail(name, nth, EIO);
	through = talk(&server, &client);
	if (!through && !fake_failed())
		fail_msg("%s, call %u: server: %s: %s; client: %s: %s; nothing was to fail", name, nth,
			 server.call, server.text, client.call, client.text);
	says(&server, name, nth);
	says(&client, name, nth);
	part(&server, &client);
	nothing_left(name);
	if (getenv("FAKE_TELL"))
		print_message("%s, call %u: %s %s; %s %s\n", name, nth, server.call ? server.call : "",
			      server.text, client.call ? client.call : "", client.text);
	return fake_failed();
}

/* The receives of VipOpenNic have their turn in test_device.c: here the last of the second one's, and what
 * follows. */
static unsigned int first_of(const char *name)
{
	return strcmp(name, "ibv_post_srq_recv") == 0 ? 2 * RECVS : 1;
}

static void test_each_call_fails(void **state)
{
	struct side server, client;
	unsigned int i, nth, n = 0;

	(void)state;
	if (!talk(&server, &client))
		fail_msg("server: %s; client: %s", server.text, client.text);
	part(&server, &client);
	fake_each(note);
	for (i = 0; i < nnames; i++) {
		for (nth = first_of(names[i]); talk_with(names[i], nth); nth++, n++)
			assert_true(nth < MOST_CALLS);
	}
	print_message("%u calls of %u names failed\n", n, nnames);
	assert_true(nnames >= 20 && n > nnames);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_talk, setup),
		cmocka_unit_test_setup(test_each_call_fails, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
