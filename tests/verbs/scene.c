/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* scene.c - see scene.h. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "scene.h"

#define PAGE 4096u

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool in_time(uint64_t since)
{
	return now_ms() - since < SCENE_LONG;
}

void nothing_left(const char *after)
{
	char text[400];

	if (fake_left(text, sizeof(text)))
		fail_msg("after %s there is still:%s", after, text);
}

/* ---- a side ---- */

bool did(struct side *s, const char *call, VIP_RETURN r)
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

bool side_open(struct side *s, VIP_RELIABILITY_LEVEL level, uint32_t bytes)
{
	VIP_VI_ATTRIBUTES attr = {.ReliabilityLevel = level, .MaxTransferSize = 1u << 20};

	memset(s, 0, sizeof(*s));
	if (!did(s, "VipOpenNic", VipOpenNic(FAKE_NAME, &s->nic))) {
		s->nic = NULL;
		return false;
	}
	OK(VipErrorCallback(s->nic, s, on_error));
	s->block = aligned_alloc(PAGE, PAGE + (bytes + PAGE - 1) / PAGE * PAGE);
	assert_non_null(s->block);
	return did(s, "VipRegisterMem", VipRegisterMem(s->nic, s->block, PAGE + bytes, NULL, &s->mem)) &&
	       did(s, "VipCreateVi", VipCreateVi(s->nic, &attr, NULL, NULL, &s->vi));
}

void side_close(struct side *s)
{
	if (s->nic)
		OK(VipCloseNic(s->nic));
	free(s->block);
}

uint8_t *side_data(struct side *s)
{
	return s->block + PAGE;
}

VIP_DESCRIPTOR *side_descriptor(struct side *s, unsigned int n, uint16_t control, const uint8_t *at,
				uint32_t bytes)
{
	VIP_DESCRIPTOR *d = (VIP_DESCRIPTOR *)(s->block + n * 128);

	assert_true(n < PAGE / 128);
	memset(d, 0, sizeof(*d));
	d->CS.SegCount = 1;
	d->CS.Control = control;
	d->CS.Length = bytes;
	d->DS[0].Local.Data.Address = (VIP_PVOID)(uintptr_t)at;
	d->DS[0].Local.Handle = s->mem;
	d->DS[0].Local.Length = bytes;
	return d;
}

VIP_VI_STATE state_of(struct side *s)
{
	VIP_VI_ATTRIBUTES attr;
	VIP_VI_STATE state;
	VIP_BOOLEAN send, recv;

	OK(VipQueryVi(s->vi, &state, &attr, &send, &recv));
	return state;
}

bool becomes(struct side *s, VIP_VI_STATE state)
{
	uint64_t since = now_ms();

	while (state_of(s) != state && in_time(since))
		usleep(200);
	return state_of(s) == state;
}

bool comes(struct side *s, VIP_ERROR_CODE code)
{
	uint64_t since = now_ms();

	while (!__atomic_load_n(&s->errors[code], __ATOMIC_SEQ_CST) && in_time(since))
		usleep(200);
	return __atomic_load_n(&s->errors[code], __ATOMIC_SEQ_CST);
}

void has_come(struct side *s, VIP_ERROR_CODE code)
{
	if (!comes(s, code))
		fail_msg("no asynchronous error %d", (int)code);
}

/* ---- two of them ---- */

void address(struct address *to, uint8_t disc)
{
	memset(to, 0, sizeof(*to));
	to->a.HostAddressLen = sizeof(fake.gid);
	to->a.DiscriminatorLen = 1;
	memcpy((uint8_t *)to + offsetof(VIP_NET_ADDRESS, HostAddress), fake.gid, sizeof(fake.gid));
	((uint8_t *)to)[offsetof(VIP_NET_ADDRESS, HostAddress) + sizeof(fake.gid)] = disc;
}

static bool ended(const int *over)
{
	return __atomic_load_n(over, __ATOMIC_ACQUIRE);
}

VIP_RETURN side_accept(struct side *s, const int *over)
{
	struct address local, remote;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	uint64_t since = now_ms();
	VIP_RETURN r;

	address(&local, 7);
	do
		r = VipConnectWait(s->nic, &local.a, 50, &remote.a, &attr, &conn);
	while (r == VIP_TIMEOUT && !ended(over) && now_ms() - since < SCENE_MS);
	if (!did(s, "VipConnectWait", r))
		return r;
	r = VipConnectAccept(conn, s->vi);
	if (!did(s, "VipConnectAccept", r))
		VipConnectReject(conn);
	return r;
}

VIP_RETURN side_request(struct side *s, const int *over)
{
	struct address local, remote;
	VIP_VI_ATTRIBUTES attr;
	uint64_t since = now_ms();
	VIP_RETURN r;

	address(&local, 8);
	address(&remote, 7);
	do /* the server may come to wait late, as with any client */
		r = VipConnectRequest(s->vi, &local.a, &remote.a, SCENE_MS, &attr);
	while (r == VIP_NO_MATCH && !ended(over) && now_ms() - since < SCENE_MS);
	did(s, "VipConnectRequest", r);
	return r;
}

static void *accept_one(void *arg)
{
	static const int never;

	side_accept(arg, &never);
	return NULL;
}

void sides_connect(struct side *server, struct side *client)
{
	static const int never;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, accept_one, server), 0);
	side_request(client, &never);
	pthread_join(thread, NULL);
	if (server->call || client->call)
		fail_msg("server: %s: %s; client: %s: %s", server->call, server->text, client->call,
			 client->text);
}
