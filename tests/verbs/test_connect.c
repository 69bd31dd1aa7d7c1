/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_connect.c - two VIs over the fake device: they connect and talk; each call
 * of the device's libraries fails once, and what the device reports by itself.
 * Whatever fails, no call hangs, and nothing is left.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "scene.h"

#define BYTES	   300000u /* several frames, or read by the receiver */
#define TIMEOUT_MS 3000
#define LONG_MS	   8000 /* no call takes longer, whatever fails */
#define MOST_CALLS 2000

/* One side: a NIC handle with a VI. */
struct side {
	VIP_NIC_HANDLE nic;
	VIP_MEM_HANDLE mem;
	VIP_VI_HANDLE vi;
	uint8_t *block; /* descriptor, data */
	VIP_RETURN connected, moved;
	const char *call; /* that failed, and what it said */
	char text[400];
	int errors[11];
};

static VIP_RELIABILITY_LEVEL level;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Keep why; true: it succeeded. */
static bool did(struct side *s, const char *call, VIP_RETURN r)
{
	if (r != VIP_SUCCESS) {
		s->call = call;
		snprintf(s->text, sizeof(s->text), "%s: %s", VipxReturnName(r), VipxErrorText());
	}
	return r == VIP_SUCCESS;
}

static void on_error(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *e)
{
	struct side *s = context;

	__atomic_fetch_add(&s->errors[e->ErrorCode], 1, __ATOMIC_SEQ_CST);
}

static bool side_open(struct side *s)
{
	VIP_VI_ATTRIBUTES attr = {.ReliabilityLevel = level, .MaxTransferSize = 1u << 20};

	memset(s, 0, sizeof(*s));
	if (!did(s, "VipOpenNic", VipOpenNic(FAKE_NAME, &s->nic))) {
		s->nic = NULL;
		return false;
	}
	OK(VipErrorCallback(s->nic, s, on_error));
	s->block = aligned_alloc(4096, 4096 + (BYTES + 4095) / 4096 * 4096);
	assert_non_null(s->block);
	return did(s, "VipRegisterMem", VipRegisterMem(s->nic, s->block, 4096 + BYTES, NULL, &s->mem)) &&
	       did(s, "VipCreateVi", VipCreateVi(s->nic, &attr, NULL, NULL, &s->vi));
}

static void side_close(struct side *s)
{
	if (s->nic)
		OK(VipCloseNic(s->nic));
	free(s->block);
}

static VIP_DESCRIPTOR *fill(struct side *s)
{
	VIP_DESCRIPTOR *d = (VIP_DESCRIPTOR *)s->block;

	memset(d, 0, sizeof(*d));
	d->CS.SegCount = 1;
	d->CS.Control = VIP_CONTROL_OP_SENDRECV;
	d->CS.Length = BYTES;
	d->DS[0].Local.Data.Address = s->block + 4096;
	d->DS[0].Local.Handle = s->mem;
	d->DS[0].Local.Length = BYTES;
	return d;
}

/* The fake device's address, and a discriminator. */
struct address {
	VIP_NET_ADDRESS a;
	uint8_t room[64];
};

static void address(struct address *to, uint8_t disc)
{
	memset(to, 0, sizeof(*to));
	to->a.HostAddressLen = sizeof(fake.gid);
	to->a.DiscriminatorLen = 1;
	memcpy((uint8_t *)to + offsetof(VIP_NET_ADDRESS, HostAddress), fake.gid, sizeof(fake.gid));
	((uint8_t *)to)[offsetof(VIP_NET_ADDRESS, HostAddress) + sizeof(fake.gid)] = disc;
}

static bool in_time(uint64_t since)
{
	return now_ms() - since < LONG_MS;
}

static void *serve(void *arg)
{
	struct side *s = arg;
	struct address local, remote;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	VIP_DESCRIPTOR *d;
	uint64_t since = now_ms();
	VIP_RETURN r;

	address(&local, 7);
	r = VipPostRecv(s->vi, fill(s), s->mem);
	if (r == VIP_SUCCESS)
		r = VipConnectWait(s->nic, &local.a, TIMEOUT_MS, &remote.a, &attr, &conn);
	if (did(s, "VipConnectWait", r)) {
		r = VipConnectAccept(conn, s->vi);
		if (!did(s, "VipConnectAccept", r))
			VipConnectReject(conn);
	}
	s->connected = r;
	s->moved = r == VIP_SUCCESS ? VipRecvWait(s->vi, TIMEOUT_MS, &d) : r;
	assert_true(in_time(since));
	return NULL;
}

static void request(struct side *s)
{
	struct address local, remote;
	VIP_VI_ATTRIBUTES attr;
	VIP_DESCRIPTOR *d;
	uint64_t since = now_ms();
	uint32_t i;

	address(&local, 8);
	address(&remote, 7);
	for (i = 0; i < BYTES; i++)
		s->block[4096 + i] = (uint8_t)(i * 7);
	do /* the server may come to wait late, as with any client */
		s->connected = VipConnectRequest(s->vi, &local.a, &remote.a, TIMEOUT_MS, &attr);
	while (s->connected == VIP_NO_MATCH && now_ms() - since < TIMEOUT_MS);
	s->moved = s->connected;
	if (did(s, "VipConnectRequest", s->connected)) {
		OK(VipPostSend(s->vi, fill(s), s->mem));
		s->moved = VipSendWait(s->vi, TIMEOUT_MS, &d);
	}
	assert_true(in_time(since));
}

/* Open both, connect, send one message; true: it went through. */
static bool talk(struct side *server, struct side *client)
{
	pthread_t thread;
	bool sides;

	sides = side_open(server);
	if (side_open(client) && sides) {
		assert_int_equal(pthread_create(&thread, NULL, serve, server), 0);
		request(client);
		pthread_join(thread, NULL);
		if (server->moved != VIP_SUCCESS || client->moved != VIP_SUCCESS)
			return false;
		assert_memory_equal(server->block, client->block, 0);
		assert_memory_equal(server->block + 4096, client->block + 4096, BYTES);
		return true;
	}
	return false;
}

static void part(struct side *server, struct side *client)
{
	uint64_t since = now_ms();

	if (client->vi)
		OK(VipDisconnect(client->vi));
	side_close(client);
	side_close(server);
	if (!in_time(since))
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
	for (i = 0; i < 6; i++) {
		fake_reset();
		fake.windows = i % 2;
		level = levels[i / 2];
		if (!talk(&server, &client))
			fail_msg("server: %s; client: %s", server.text, client.text);
		assert_true((fake_calls("ibv_alloc_mw") > 0) ==
			    (fake.windows && level != VIP_SERVICE_UNRELIABLE));
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
		for (nth = 1; talk_with(names[i], nth); nth++, n++)
			assert_true(nth < MOST_CALLS);
	}
	print_message("%u calls of %u names failed\n", n, nnames);
	assert_true(nnames >= 20 && n > nnames);
}

/* ---- what the device reports ---- */

static bool has_come(struct side *s, VIP_ERROR_CODE code)
{
	uint64_t since = now_ms();

	while (!__atomic_load_n(&s->errors[code], __ATOMIC_SEQ_CST) && in_time(since))
		usleep(1000);
	return __atomic_load_n(&s->errors[code], __ATOMIC_SEQ_CST);
}

static VIP_VI_STATE state_of(struct side *s)
{
	VIP_VI_ATTRIBUTES attr;
	VIP_VI_STATE state;
	VIP_BOOLEAN send, recv;

	OK(VipQueryVi(s->vi, &state, &attr, &send, &recv));
	return state;
}

/* The client's device reports it; @code: what its consumer gets. */
static void report(enum ibv_event_type type, VIP_ERROR_CODE code, VIP_VI_STATE then)
{
	struct side server, client;

	fake_reset();
	if (!talk(&server, &client))
		fail_msg("server: %s; client: %s", server.text, client.text);
	fake_report(type);
	if (!has_come(&client, code))
		fail_msg("event %d: no error %d", (int)type, (int)code);
	assert_int_equal(state_of(&client), then);
	part(&server, &client);
	nothing_left("an event");
}

static void test_broken(void **state)
{
	(void)state;
	report(IBV_EVENT_QP_FATAL, VIP_ERROR_CONN_LOST, VIP_STATE_ERROR);
	report(IBV_EVENT_QP_ACCESS_ERR, VIP_ERROR_CONN_LOST, VIP_STATE_ERROR);
	report(IBV_EVENT_CQ_ERR, VIP_ERROR_CATASTROPHIC, VIP_STATE_ERROR);
	report(IBV_EVENT_SRQ_ERR, VIP_ERROR_CATASTROPHIC, VIP_STATE_ERROR);
	report(IBV_EVENT_DEVICE_FATAL, VIP_ERROR_CATASTROPHIC, VIP_STATE_ERROR);
}

/* A port that goes away may come back. */
static void test_port(void **state)
{
	struct side server, client;
	int i;

	(void)state;
	assert_true(talk(&server, &client));
	fake_report(IBV_EVENT_PORT_ERR);
	fake_report(IBV_EVENT_PORT_ACTIVE);
	usleep(200000);
	assert_int_equal(state_of(&client), VIP_STATE_CONNECTED);
	for (i = 0; i < 11; i++)
		assert_int_equal(client.errors[i], 0);
	part(&server, &client);
	nothing_left("an event of a port");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_talk, setup),
		cmocka_unit_test_setup(test_each_call_fails, setup),
		cmocka_unit_test_setup(test_broken, setup),
		cmocka_unit_test_setup(test_port, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
