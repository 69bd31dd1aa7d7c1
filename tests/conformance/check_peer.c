/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check_peer.c - connections between peers: two requests that meet, none of which is the server's. */
#include "connecting.h"

#include <stdio.h>

#define MANY_VIS 32

/* Start a request from the address @from to @to. */
static VIP_RETURN peer_request(struct run *r, VIP_VI_HANDLE vi, const char *from, const char *to,
			       VIP_ULONG timeout)
{
	union address local, remote;

	named_address(r, &local, from);
	other_address(r, &remote, to);
	return VipConnectPeerRequest(vi, &local.a, &remote.a, timeout);
}

/* TWO: this side's part of a connection of r->vi. */
static void request_here(struct run *r)
{
	static const char *const name[2] = {"peer zero", "peer one"};

	EXPECT(peer_request(r, r->vi, name[r->side], name[!r->side], LONG_MS), VIP_SUCCESS);
}

static void wait_here(struct run *r)
{
	VIP_VI_ATTRIBUTES attr, mine = run_attr(r);

	EXPECT(VipConnectPeerWait(r->vi, &attr), VIP_SUCCESS);
	assert_attr(&attr, &mine);
	assert_int_equal(state_of(r->vi), VIP_STATE_CONNECTED);
}

/* The two VIs have each other, and nobody else: one message each way, and no more. */
static void one_connection(struct run *r)
{
	VIP_DESCRIPTOR *d;

	talk_both(r, 64);
	post_recv(r, 0, data(r), 100);
	meet(r);
	EXPECT(VipRecvDone(r->vi, &d), VIP_NOT_DONE);
	meet(r);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	drain(r->vi);
	meet(r);
}

static void check_both_request(struct run *r)
{
	int i;

	run_vi(r);
	for (i = 0; i < 20; i++) { /* one is first, then the other */
		doing("side %d requests first, connection no. %d", i & 1, i);
		if (r->side != (i & 1))
			meet(r);
		request_here(r);
		if (r->side == (i & 1))
			meet(r);
		wait_here(r);
		one_connection(r);
	}
	for (i = 0; i < 1000; i++) {
		doing("both request at a time, connection no. %d", i);
		meet(r);
		request_here(r);
		wait_here(r);
		meet(r);
		if (i % 10 == 0) {
			one_connection(r);
			continue;
		}
		EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
		meet(r);
	}
	run_close(r);
}

static void check_not_done(struct run *r)
{
	VIP_VI_ATTRIBUTES attr;
	VIP_VI_HANDLE other;

	run_vi(r);
	other = another_vi(r);
	EXPECT(peer_request(r, r->vi, "one", "two", VIP_INFINITE), VIP_SUCCESS);
	EXPECT(VipConnectPeerDone(r->vi, &attr), VIP_NOT_DONE);
	assert_int_equal(state_of(r->vi), VIP_STATE_CONNECT_PENDING);
	pause_ms(300); /* longer than any grace of a client's request */
	EXPECT(VipConnectPeerDone(r->vi, &attr), VIP_NOT_DONE);
	assert_int_equal(state_of(r->vi), VIP_STATE_CONNECT_PENDING);
	EXPECT(peer_request(r, other, "two", "one", VIP_INFINITE), VIP_SUCCESS);
	EXPECT(VipConnectPeerWait(other, &attr), VIP_SUCCESS);
	EXPECT(VipConnectPeerWait(r->vi, &attr), VIP_SUCCESS);
	assert_int_equal(state_of(r->vi), VIP_STATE_CONNECTED);
	talk(r, r->vi, other, 100);
	drop_vi(other);
	run_close(r);
}

static void check_peer_timeout(struct run *r)
{
	VIP_VI_ATTRIBUTES attr;
	uint64_t start;
	VIP_RETURN code;
	int i;

	run_vi(r);
	for (i = 0; i < 2; i++) {
		doing("by VipConnectPeer%s", i ? "Wait" : "Done");
		start = now_ms();
		EXPECT(peer_request(r, r->vi, "one", "two", 200), VIP_SUCCESS);
		if (i) {
			code = VipConnectPeerWait(r->vi, &attr);
		} else {
			while ((code = VipConnectPeerDone(r->vi, &attr)) == VIP_NOT_DONE &&
			       now_ms() - start < LONG_MS)
				pause_ms(1);
		}
		EXPECT(code, VIP_TIMEOUT);
		assert_in_range(now_ms() - start, 200, 200 + SOON_MS);
		assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	}
	run_close(r);
}

static void check_one_address_differs(struct run *r)
{
	VIP_VI_ATTRIBUTES attr;
	VIP_VI_HANDLE other;
	int i;

	run_vi(r);
	other = another_vi(r);
	for (i = 0; i < 2; i++) { /* whichever is first */
		doing("the one whose address is right requests %s", i ? "second" : "first");
		if (i == 0)
			EXPECT(peer_request(r, r->vi, "a", "b", 300), VIP_SUCCESS);
		EXPECT(peer_request(r, other, "b", "c", 300), VIP_SUCCESS);
		if (i == 1)
			EXPECT(peer_request(r, r->vi, "a", "b", 300), VIP_SUCCESS);
		EXPECT(VipConnectPeerWait(r->vi, &attr), VIP_TIMEOUT);
		EXPECT(VipConnectPeerWait(other, &attr), VIP_TIMEOUT);
		assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
		assert_int_equal(state_of(other), VIP_STATE_IDLE);
	}
	drop_vi(other);
	run_close(r);
}

static void peers_differ(struct run *r, VIP_VI_ATTRIBUTES wrong, VIP_RETURN code)
{
	VIP_VI_HANDLE other = vi_with(r, wrong);
	VIP_VI_ATTRIBUTES attr;

	doing("a mismatch that is to give %s", code_name(code));
	EXPECT(peer_request(r, r->vi, "one", "two", LONG_MS), VIP_SUCCESS);
	EXPECT(peer_request(r, other, "two", "one", LONG_MS), VIP_SUCCESS);
	EXPECT(VipConnectPeerWait(r->vi, &attr), code);
	EXPECT(VipConnectPeerWait(other, &attr), code);
	assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	assert_int_equal(state_of(other), VIP_STATE_IDLE);
	drop_vi(other);
}

static void check_peer_mismatch(struct run *r)
{
	run_vi(r);
	each_mismatch(r, peers_differ);
	run_close(r);
}

static void check_never_requested(struct run *r)
{
	VIP_VI_ATTRIBUTES attr;

	run_vi(r);
	EXPECT(VipConnectPeerDone(r->vi, &attr), VIP_INVALID_STATE);
	EXPECT(VipConnectPeerWait(r->vi, &attr), VIP_INVALID_STATE);
	assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	run_close(r);
}

static void check_many_peers(struct run *r)
{
	char from[16], to[16];
	VIP_VI_HANDLE vi[MANY_VIS];
	VIP_VI_ATTRIBUTES attr;
	int i;

	run_nic(r);
	for (i = 0; i < MANY_VIS; i++) {
		vi[i] = another_vi(r);
		snprintf(from, sizeof(from), "%d.%d", r->side, i);
		snprintf(to, sizeof(to), "%d.%d", !r->side, i);
		EXPECT(peer_request(r, vi[i], from, to, VIP_INFINITE), VIP_SUCCESS);
	}
	for (i = 0; i < MANY_VIS; i++) {
		doing("VI no. %d", i);
		EXPECT(VipConnectPeerWait(vi[i], &attr), VIP_SUCCESS);
		assert_int_equal(state_of(vi[i]), VIP_STATE_CONNECTED);
	}
	meet(r);
}

struct peer_waiter {
	VIP_VI_HANDLE vi;
	VIP_RETURN code;
};

static void *wait_for_peer(void *arg)
{
	struct peer_waiter *w = arg;
	VIP_VI_ATTRIBUTES attr;

	w->code = VipConnectPeerWait(w->vi, &attr);
	return NULL;
}

static void check_peer_cancelled(struct run *r)
{
	struct peer_waiter w;
	pthread_t thread;

	run_vi(r);
	w.vi = r->vi;
	EXPECT(peer_request(r, r->vi, "one", "two", VIP_INFINITE), VIP_SUCCESS);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_peer, &w), 0);
	pause_ms(100);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	assert_int_equal(pthread_join(thread, NULL), 0);
	doing("VipConnectPeerWait gave %s", code_name(w.code));
	assert_int_not_equal(w.code, VIP_SUCCESS);
	assert_int_not_equal(w.code, VIP_NOT_DONE);
	assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	run_close(r);
}

/* A client's request at a peer's address, and a peer's request at a server's. */
static void check_models_apart(struct run *r)
{
	VIP_VI_ATTRIBUTES attr;
	VIP_VI_HANDLE other;
	struct waiter w;

	run_vi(r);
	if (choice(r, "K-31"))
		skip_check("K-31 lets a peer's request match a server's wait");
	other = another_vi(r);
	EXPECT(peer_request(r, other, "peer", "from", 1000), VIP_SUCCESS);
	doing("a client's request at a peer's address");
	EXPECT(ask(r, r->vi, "peer", 500), VIP_NO_MATCH);
	EXPECT(VipConnectPeerWait(other, &attr), VIP_TIMEOUT);
	doing("a peer's request at a server's address");
	waiter_start(&w, r, "server", 500);
	pause_ms(50);
	EXPECT(peer_request(r, r->vi, "from", "server", 300), VIP_SUCCESS);
	EXPECT(VipConnectPeerWait(r->vi, &attr), VIP_TIMEOUT);
	EXPECT(waiter_end(&w), VIP_TIMEOUT);
	drop_vi(other);
	run_close(r);
}

const struct check peer_checks[] = {
	{98, FUNCTIONAL, TWO | RL, "VipConnectPeerRequest",
	 "two peers' requests make one connection: each first 10 times, at a time 1000 times",
	 check_both_request},
	{99, FUNCTIONAL, 0, "VipConnectPeerDone",
	 "VIP_NOT_DONE and Connect Pending until the other side has requested", check_not_done},
	{100, FUNCTIONAL, 0, "VipConnectPeerWait",
	 "VIP_TIMEOUT after the request's time when the other side never comes, and the VI is Idle",
	 check_peer_timeout},
	{101, FUNCTIONAL, 0, "VipConnectPeerRequest", "both addresses must match", check_one_address_differs},
	{102, FUNCTIONAL, 0, "VipConnectPeerDone",
	 "level, transfer size and QoS must be equal; both sides are told which is not", check_peer_mismatch},
	{103, FUNCTIONAL, 0, "VipConnectPeerDone", "VIP_INVALID_STATE where nothing was requested",
	 check_never_requested},
	{104, FUNCTIONAL, TWO, "VipConnectPeerRequest",
	 "32 VIs that request with VIP_INFINITE first and wait afterwards all connect", check_many_peers},
	{105, FUNCTIONAL, 0, "VipDisconnect", "VipDisconnect ends VipConnectPeerWait in another thread",
	 check_peer_cancelled},
	{106, FUNCTIONAL, 0, "K-31", "a peer's request and a server's wait do not match", check_models_apart},
	{0, 0, 0, NULL, NULL, NULL},
};
