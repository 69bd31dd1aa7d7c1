/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lost_ask.c - requests for connections, to a host that is gone: each ends with
 * VIP_TIMEOUT, at its time.
 */
#include "lost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS	 4000  /* the timeout of requests to nobody, */
#define HELD_MS	 30000 /* and of the one that was under way before */
#define SLACK_MS 5000

union address address(const uint8_t *host, const char *disc, unsigned int n)
{
	union address a = {.a = {.HostAddressLen = MOST_HOST}};

	memcpy(a.a.HostAddress, host, MOST_HOST);
	a.a.DiscriminatorLen = (VIP_UINT16)snprintf((char *)a.room + 4 + MOST_HOST, 32, "%s%u", disc, n);
	return a;
}

VIP_RETURN request(VIP_VI_HANDLE vi, const char *disc, unsigned int n, VIP_ULONG timeout)
{
	union address from = address(nic_attr.LocalNicAddress, "from", n);
	union address to = address(peer_host.a.HostAddress, disc, n);
	VIP_VI_ATTRIBUTES attr;

	return VipConnectRequest(vi, &from.a, &to.a, timeout, &attr);
}

VIP_VI_STATE state_of(VIP_VI_HANDLE vi)
{
	VIP_VI_STATE state = VIP_STATE_IDLE;
	VIP_VI_ATTRIBUTES attr;
	VIP_BOOLEAN a, b;

	VipQueryVi(vi, &state, &attr, &a, &b);
	return state;
}

struct ask {
	const char *what;
	VIP_RETURN (*call)(VIP_VI_HANDLE vi, VIP_ULONG timeout);
	VIP_ULONG timeout, most; /* ms; it ends after timeout, and before most */
	pthread_t thread;
	VIP_VI_HANDLE vi;
	VIP_RETURN code;
	uint64_t took;
};

static VIP_CONN_HANDLE held; /* the server's: the client's request, not answered yet */

static VIP_RETURN ask_held(VIP_VI_HANDLE vi, VIP_ULONG timeout)
{
	uint64_t end = ms_now() + PATIENCE_MS;
	VIP_RETURN code;

	do {
		code = request(vi, "held", 0, timeout);
	} while (code == VIP_NO_MATCH && ms_now() < end);
	return code;
}

static VIP_RETURN ask_accept(VIP_VI_HANDLE vi, VIP_ULONG timeout)
{
	(void)timeout;
	return VipConnectAccept(held, vi);
}

static VIP_RETURN ask_new(VIP_VI_HANDLE vi, VIP_ULONG timeout)
{
	return request(vi, "nobody", 0, timeout);
}

static VIP_RETURN ask_peer(VIP_VI_HANDLE vi, VIP_ULONG timeout)
{
	union address from = address(nic_attr.LocalNicAddress, "peer", 0);
	union address to = address(peer_host.a.HostAddress, "peer", 0);
	VIP_VI_ATTRIBUTES attr;
	VIP_RETURN code = VipConnectPeerRequest(vi, &from.a, &to.a, timeout);

	return code == VIP_SUCCESS ? VipConnectPeerWait(vi, &attr) : code;
}

static VIP_RETURN ask_wait(VIP_VI_HANDLE vi, VIP_ULONG timeout)
{
	union address at = address(nic_attr.LocalNicAddress, "wait", 0), from;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;

	(void)vi;
	return VipConnectWait(nic, &at.a, timeout, &from.a, &attr, &conn);
}

static struct ask asks[] = {
	{"a request that was under way", ask_held, HELD_MS, HELD_MS + SLACK_MS, 0, NULL, 0, 0},
	{"a new request", ask_new, ASK_MS, ASK_MS + SLACK_MS, 0, NULL, 0, 0},
	{"a request peer to peer", ask_peer, ASK_MS, ASK_MS + SLACK_MS, 0, NULL, 0, 0},
	{"VipConnectWait", ask_wait, ASK_MS, ASK_MS + SLACK_MS, 0, NULL, 0, 0},
	{"VipConnectAccept", ask_accept, 0, CALL_MS, 0, NULL, 0, 0},
};
#define ASKS (sizeof(asks) / sizeof(asks[0]))

static void *ask_thread(void *arg)
{
	struct ask *a = arg;
	uint64_t begin = ms_now();

	a->code = a->call(a->vi, a->timeout);
	a->took = ms_now() - begin;
	return NULL;
}

/* Only the client has a request under way, and only the server can accept it. */
static bool is_ours(const struct ask *a)
{
	return a->call == ask_held ? is_client : a->call == ask_accept ? held != NULL : true;
}

static void ask_begin(struct ask *a)
{
	VIP_VI_ATTRIBUTES attr = {.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY,
				  .MaxTransferSize = MESSAGE};

	CHECK(VipCreateVi(nic, &attr, NULL, NULL, &a->vi) == VIP_SUCCESS, "VipCreateVi: %s", VipxErrorText());
	if (pthread_create(&a->thread, NULL, ask_thread, a))
		abort();
}

/* The request that will be under way: the client's thread waits, the server has it. */
void ask_hold(void)
{
	union address at = address(nic_attr.LocalNicAddress, "held", 0), from;
	VIP_VI_ATTRIBUTES attr;

	if (is_client)
		ask_begin(&asks[0]);
	else
		CHECK(VipConnectWait(nic, &at.a, PATIENCE_MS, &from.a, &attr, &held) == VIP_SUCCESS,
		      "the request does not come: %s", VipxErrorText());
}

void ask_all(void)
{
	unsigned int i;

	for (i = 0; i < ASKS; i++) {
		if (is_ours(&asks[i]) && asks[i].call != ask_held)
			ask_begin(&asks[i]);
	}
}

void ask_end(void)
{
	struct ask *a;

	for (a = asks; a < asks + ASKS; a++) {
		if (!is_ours(a))
			continue;
		pthread_join(a->thread, NULL);
		printf("%s: %s after %ld ms\n", a->what, VipxReturnName(a->code), (long)a->took);
		CHECK(a->code == VIP_TIMEOUT && a->took >= a->timeout && a->took < a->most, "%s to %s",
		      VipxReturnName(VIP_TIMEOUT), "its time");
		CHECK(state_of(a->vi) == VIP_STATE_IDLE, "its VI is in state %d", (int)state_of(a->vi));
		CHECK(VipDestroyVi(a->vi) == VIP_SUCCESS, "VipDestroyVi: %s", VipxErrorText());
	}
}
