/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kills_member.c - one who is killed at any time, or whose partner is: then a call
 * says so, and the round ends there; what undoes it must succeed.
 */
#include "tests/linux/storm/kills.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vipl_ext.h"

#define MEET_MS	 1000
#define NEVER_MS 600000 /* longer than anybody waits: that the other one has died must be told */
#define MESSAGES 10
#define DATA_AT	 2048 /* in the area, behind the descriptors */

union address {
	VIP_NET_ADDRESS a;
	uint8_t room[4 + 16 + 8];
};

static struct kills_member *me, *peer;
static uint32_t server, pair;
static VIP_NIC_HANDLE nic;
static VIP_VI_HANDLE vi;
static VIP_MEM_HANDLE mem;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void enter(uint32_t phase)
{
	uint64_t now = now_ns();
	uint32_t old = me->phase;

	me->times[old].ns += now - me->since;
	me->times[old].n++;
	me->since = now;
	__atomic_store_n(&me->phase, phase, __ATOMIC_RELEASE);
}

static void must(int line, const char *what, VIP_RETURN code)
{
	if (code == VIP_SUCCESS)
		return;
	printf("member %u of pair %u, line %d: %s: %s (%s)\n", server, pair, line, what, VipxReturnName(code),
	       VipxErrorText());
	fflush(stdout);
	_exit(1);
}
#define MUST(call) must(__LINE__, #call, (call))

/* ---- what is moved ---- */

/* Descriptors 0 and 1 receive, 2 sends. */
static VIP_DESCRIPTOR *descriptor(uint32_t i)
{
	uintptr_t at = (uintptr_t)me->area / VIP_DESCRIPTOR_ALIGNMENT + 1 + (uintptr_t)i * 2;

	return (VIP_DESCRIPTOR *)(at * VIP_DESCRIPTOR_ALIGNMENT); /* NOLINT(performance-no-int-to-ptr) */
}

static uint8_t *data(struct kills_member *m, uint32_t i)
{
	return m->area + DATA_AT + i * (KILLS_BYTES + 24u);
}

static VIP_DESCRIPTOR *describe(uint32_t i)
{
	VIP_DESCRIPTOR *d = descriptor(i);

	memset(d, 0, sizeof(*d));
	d->CS.Length = KILLS_BYTES;
	d->CS.SegCount = 1;
	d->DS[0].Local.Data.Address = data(me, i);
	d->DS[0].Local.Handle = mem;
	d->DS[0].Local.Length = KILLS_BYTES;
	return d;
}

static bool post_receive(uint32_t i)
{
	return VipPostRecv(vi, describe(i), mem) == VIP_SUCCESS;
}

static bool take(uint32_t i, int fill)
{
	VIP_DESCRIPTOR *d;

	if (VipRecvWait(vi, NEVER_MS, &d) != VIP_SUCCESS)
		return false;
	if (data(me, i)[0] != fill || memcmp(data(me, i), data(me, i) + 1, KILLS_BYTES - 1) != 0) {
		printf("member %u of pair %u: other bytes arrived than were sent\n", server, pair);
		fflush(stdout);
		_exit(1);
	}
	return true;
}

static bool give(VIP_DESCRIPTOR *d)
{
	return VipPostSend(vi, d, mem) == VIP_SUCCESS && VipSendWait(vi, NEVER_MS, &d) == VIP_SUCCESS;
}

/* In turns; the receive for the next message is posted before the other one may send it. */
static bool exchange(void)
{
	uint32_t i;

	for (i = 0; i < MESSAGES; i++) {
		if (i % 2 == server) {
			memset(data(me, 2), (int)(0x10 + i), KILLS_BYTES);
			if (!give(describe(2)))
				return false;
		} else if (!take(0, (int)(0x10 + i)) || !post_receive(0)) {
			return false;
		}
	}
	return true;
}

static bool rdma(void)
{
	VIP_DESCRIPTOR *d;
	uint32_t i;

	for (i = 0; i < MESSAGES; i++) {
		if (i % 2 != server) { /* wait to be told */
			if (VipRecvWait(vi, NEVER_MS, &d) != VIP_SUCCESS || !post_receive(0))
				return false;
			continue;
		}
		d = describe(2);
		d->CS.Control = VIP_CONTROL_OP_RDMAWRITE | VIP_CONTROL_IMMEDIATE;
		d->CS.SegCount = 2;
		d->DS[1] = d->DS[0];
		d->DS[0] = (VIP_DESCRIPTOR_SEGMENT){0};
		d->DS[0].Remote.Data.Address = data(peer, 1);
		d->DS[0].Remote.Handle = __atomic_load_n(&peer->handle, __ATOMIC_RELAXED);
		memset(data(me, 2), (int)(0x80 + i), KILLS_BYTES);
		if (!give(d))
			return false;
	}
	return true;
}

/* ---- a round ---- */

static union address here(const char *disc)
{
	union address a = {.a = {.HostAddressLen = 1, .DiscriminatorLen = (VIP_UINT16)strlen(disc)}};
	VIP_NIC_ATTRIBUTES attr;

	MUST(VipQueryNic(nic, &attr));
	memcpy(a.room + 4, attr.LocalNicAddress, 1);
	memcpy(a.room + 5, disc, strlen(disc));
	return a;
}

static bool meet(void)
{
	union address at, from;
	char disc[8];
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;

	snprintf(disc, sizeof(disc), "pair%u", pair);
	at = here(disc);
	if (!server) {
		from = here("me");
		return VipConnectRequest(vi, &from.a, &at.a, MEET_MS, &attr) == VIP_SUCCESS;
	}
	return VipConnectWait(nic, &at.a, MEET_MS, &from.a, &attr, &conn) == VIP_SUCCESS &&
	       VipConnectAccept(conn, vi) == VIP_SUCCESS;
}

static bool together(void)
{
	enter(KILLS_CONNECT);
	if (!meet())
		return false;
	enter(KILLS_SEND);
	if (!exchange())
		return false;
	enter(KILLS_RDMA);
	return rdma();
}

static void no_errors(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *error)
{
	(void)context; /* that the other one has gone is told by the calls */
	(void)error;
}

static void one_round(void)
{
	VIP_MEM_ATTRIBUTES attr = {.EnableRdmaWrite = VIP_TRUE};
	VIP_VI_ATTRIBUTES how = {.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY,
				 .MaxTransferSize = KILLS_BYTES,
				 .EnableRdmaWrite = VIP_TRUE};
	VIP_DESCRIPTOR *d;
	bool good;

	enter(KILLS_OPEN);
	MUST(VipOpenNic("ka0", &nic));
	MUST(VipErrorCallback(nic, NULL, no_errors));
	enter(KILLS_REGISTER);
	MUST(VipRegisterMem(nic, me->area, sizeof(me->area), &attr, &mem));
	__atomic_store_n(&me->handle, (uint32_t)mem, __ATOMIC_RELAXED);
	enter(KILLS_CREATE);
	MUST(VipCreateVi(nic, &how, NULL, NULL, &vi));
	good = post_receive(0) && together();
	enter(KILLS_DISCONNECT);
	MUST(VipDisconnect(vi));
	while (VipRecvDone(vi, &d) == VIP_SUCCESS || VipSendDone(vi, &d) == VIP_SUCCESS)
		;
	enter(KILLS_DESTROY);
	MUST(VipDestroyVi(vi));
	enter(KILLS_DEREGISTER);
	MUST(VipDeregisterMem(nic, me->area, mem));
	enter(KILLS_CLOSE);
	MUST(VipCloseNic(nic));
	enter(KILLS_START);
	me->good += good;
	__atomic_store_n(&me->round, me->round + 1, __ATOMIC_RELEASE);
}

void kills_member(struct kills_member *own, struct kills_member *other, uint32_t number, uint32_t is_server)
{
	me = own;
	peer = other;
	pair = number;
	server = is_server;
	me->since = now_ns();
	for (;;)
		one_round();
}
