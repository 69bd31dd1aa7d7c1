/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * check_connect.c - client and server connections: who meets whom, what each
 * learns of the other, and the ways a request can fail.
 */
#include "connecting.h"

#include <string.h>

static void check_basic(struct run *r)
{
	VIP_CONN_HANDLE conn;
	VIP_VI_ATTRIBUTES attr;

	run_vi(r);
	meet(r);
	if (r->side == 0) {
		EXPECT(wait_at(r, "basic", LONG_MS, &conn), VIP_SUCCESS);
		EXPECT(VipConnectAccept(conn, r->vi), VIP_SUCCESS);
	} else {
		EXPECT(ask_until(r, r->vi, "basic", LONG_MS, &attr), VIP_SUCCESS);
	}
	assert_int_equal(state_of(r->vi), VIP_STATE_CONNECTED);
	meet(r);
	run_close(r);
}

/* The n-th of the attributes to try, or false behind the last. */
static bool attr_to_try(const struct run *r, int n, VIP_VI_ATTRIBUTES *attr)
{
	*attr = run_attr(r);
	attr->ReliabilityLevel = (VIP_RELIABILITY_LEVEL)(1 << n / 4);
	attr->MaxTransferSize = n & 1 ? r->attr.MaxTransferSize : 1234 + (VIP_ULONG)n;
	attr->EnableRdmaWrite = n & 1;
	attr->EnableRdmaRead = (n & 2) && (r->attr.RDMAReadSupport & attr->ReliabilityLevel);
	return n < 12;
}

static void check_client_seen(struct run *r)
{
	union address local, remote, seen;
	VIP_VI_ATTRIBUTES attr, theirs;
	VIP_CONN_HANDLE conn;
	uint8_t disc[256];
	int n, i;

	run_nic(r);
	for (n = 0; attr_to_try(r, n, &attr); n++) {
		size_t len = n == 0 ? r->attr.MaxDiscriminatorLen : (size_t)n - 1;

		if (!has_level(r, attr.ReliabilityLevel))
			continue;
		doing("attributes no. %d", n);
		if (len > sizeof(disc))
			len = sizeof(disc);
		if (len > r->attr.MaxDiscriminatorLen)
			len = r->attr.MaxDiscriminatorLen;
		for (i = 0; i < (int)len; i++)
			disc[i] = (uint8_t)(i * 37 + n * 11); /* bytes of 0 among them */
		side_address(r, 1, &local, disc, len);
		side_address(r, 0, &remote, "seen", 4);
		meet(r);
		if (r->side == 0) {
			memset(&seen, 0x5a, sizeof(seen));
			EXPECT(VipConnectWait(r->nic, &remote.a, LONG_MS, &seen.a, &theirs, &conn),
			       VIP_SUCCESS);
			assert_true(same_address(&seen, &local));
			assert_attr(&theirs, &attr);
			EXPECT(VipConnectReject(conn), VIP_SUCCESS);
		} else {
			VIP_VI_HANDLE vi = vi_with(r, attr);
			VIP_RETURN code;

			while ((code = VipConnectRequest(vi, &local.a, &remote.a, LONG_MS, &theirs)) ==
			       VIP_NO_MATCH)
				pause_ms(1);
			EXPECT(code, VIP_REJECT);
			EXPECT(VipDestroyVi(vi), VIP_SUCCESS);
		}
	}
	meet(r);
}

static void check_server_seen(struct run *r)
{
	VIP_VI_ATTRIBUTES server, client, seen;
	VIP_CONN_HANDLE conn;
	VIP_VI_HANDLE vi;
	int n;

	run_nic(r);
	for (n = 0; attr_to_try(r, n, &server); n++) {
		if (!has_level(r, server.ReliabilityLevel))
			continue;
		doing("attributes no. %d", n);
		client = server; /* level and size must be equal, the rest may differ */
		client.EnableRdmaWrite = !server.EnableRdmaWrite;
		client.EnableRdmaRead = VIP_FALSE;
		vi = vi_with(r, r->side == 0 ? server : client);
		meet(r);
		if (r->side == 0) {
			EXPECT(wait_at(r, "seen", LONG_MS, &conn), VIP_SUCCESS);
			EXPECT(VipConnectAccept(conn, vi), VIP_SUCCESS);
		} else {
			EXPECT(ask_until(r, vi, "seen", LONG_MS, &seen), VIP_SUCCESS);
			assert_attr(&seen, &server);
		}
		meet(r);
		drop_vi(vi);
	}
	meet(r);
}

static void check_timeout_zero(struct run *r)
{
	uint64_t start;

	run_vi(r);
	start = now_ms();
	EXPECT(ask(r, r->vi, "nobody", 0), VIP_INVALID_PARAMETER);
	assert_true(now_ms() - start < SOON_MS);
	assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	run_close(r);
}

static void check_nobody(struct run *r)
{
	const VIP_ULONG timeouts[] = {LONG_MS, VIP_INFINITE};
	uint64_t start, took;
	int i, tries;

	run_vi(r);
	for (i = 0; i < 2; i++) {
		doing("timeout %lu", timeouts[i]);
		for (took = PROMISE_MS, tries = 0; took >= PROMISE_MS && tries < PROMISE_TRIES; tries++) {
			start = now_ms();
			EXPECT(ask(r, r->vi, "nobody", timeouts[i]), VIP_NO_MATCH);
			took = now_ms() - start;
		}
		assert_true(took < PROMISE_MS);
		assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	}
	run_close(r);
}

static void check_other_discriminator(struct run *r)
{
	static const struct {
		const char *bytes;
		size_t len;
	} wrong[] = {{"abce", 4}, {"abc", 3}, {"abcdd", 5}, {"abcd\0", 5}, {"bcd", 3}, {"", 0}};
	union address local, remote;
	VIP_VI_ATTRIBUTES attr;
	struct waiter w;
	size_t i;

	run_vi(r);
	named_address(r, &local, "from");
	waiter_start(&w, r, "abcd", LONG_MS);
	pause_ms(100);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		doing("'%s', %zu bytes, where 'abcd' waits", wrong[i].bytes, wrong[i].len);
		local_address(r, &remote, wrong[i].bytes, wrong[i].len);
		EXPECT(VipConnectRequest(r->vi, &local.a, &remote.a, 2000, &attr), VIP_NO_MATCH);
		assert_false(waiter_ended(&w));
	}
	doing("the right one");
	named_address(r, &remote, "abcd");
	EXPECT(VipConnectRequest(r->vi, &local.a, &remote.a, 300, &attr), VIP_TIMEOUT);
	EXPECT(waiter_end(&w), VIP_SUCCESS);
	VipConnectReject(w.conn);
	run_close(r);
}

static void check_no_answer(struct run *r)
{
	VIP_CONN_HANDLE conn;
	VIP_VI_HANDLE other;
	struct client c;

	run_vi(r);
	client_start(&c, r, r->vi, "silent", 200);
	EXPECT(wait_at(r, "silent", LONG_MS, &conn), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_TIMEOUT);
	assert_in_range(c.took, 200, 200 + SOON_MS);
	assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	other = another_vi(r);
	connect_here(r, r->nic, other, r->vi);
	talk(r, r->vi, other, 100);
	drop_vi(other);
	run_close(r);
}

static void check_reject(struct run *r)
{
	VIP_CONN_HANDLE conn;
	VIP_VI_HANDLE other;
	struct client c;

	run_vi(r);
	other = another_vi(r);
	client_start(&c, r, r->vi, "closed", LONG_MS);
	EXPECT(wait_at(r, "closed", LONG_MS, &conn), VIP_SUCCESS);
	EXPECT(VipConnectReject(conn), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_REJECT);
	assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	EXPECT(VipConnectReject(conn), VIP_INVALID_PARAMETER);
	EXPECT(VipConnectAccept(conn, other), VIP_INVALID_PARAMETER);
	assert_int_equal(state_of(other), VIP_STATE_IDLE);
	drop_vi(other);
	run_close(r);
}

/* The server's VI has @wrong: @code, the client waits on; then with the client's attributes: both connect. */
static void mismatch(struct run *r, VIP_VI_ATTRIBUTES wrong, VIP_RETURN code)
{
	VIP_VI_ATTRIBUTES right = run_attr(r);
	VIP_VI_HANDLE server = vi_with(r, wrong);
	VIP_CONN_HANDLE conn;
	struct client c;

	doing("a mismatch that is to give %s", code_name(code));
	client_start(&c, r, r->vi, "unequal", LONG_MS);
	EXPECT(wait_at(r, "unequal", LONG_MS, &conn), VIP_SUCCESS);
	EXPECT(VipConnectAccept(conn, server), code);
	assert_int_equal(state_of(server), VIP_STATE_IDLE);
	pause_ms(50);
	assert_false(client_ended(&c));
	assert_int_equal(state_of(r->vi), VIP_STATE_CONNECT_PENDING);
	EXPECT(VipSetViAttributes(server, &right), VIP_SUCCESS);
	EXPECT(VipConnectAccept(conn, server), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_SUCCESS);
	drop_vi(server);
	await_state(r->vi, VIP_STATE_ERROR);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
}

static void check_mismatch(struct run *r)
{
	run_vi(r);
	each_mismatch(r, mismatch);
	run_close(r);
}

static void check_rdma_differs(struct run *r)
{
	VIP_VI_ATTRIBUTES a, b;
	VIP_VI_HANDLE server, client;
	int n;

	run_nic(r);
	for (n = 0; n < 16; n++) {
		a = b = run_attr(r);
		a.EnableRdmaWrite = n & 1;
		b.EnableRdmaWrite = !!(n & 2);
		a.EnableRdmaRead = (n & 4) && has_rdma_read(r);
		b.EnableRdmaRead = (n & 8) && has_rdma_read(r);
		doing("RDMA enables no. %d", n);
		server = vi_with(r, a);
		client = vi_with(r, b);
		connect_here(r, r->nic, server, client);
		assert_int_equal(state_of(server), VIP_STATE_CONNECTED);
		drop_vi(client);
		drop_vi(server);
	}
}

static void check_accept_wrong_vi(struct run *r)
{
	VIP_VI_HANDLE other, client, idle, foreign = NULL;
	VIP_VI_ATTRIBUTES attr;
	VIP_NIC_HANDLE nic2;
	VIP_CONN_HANDLE conn;
	struct client c;

	run_vi(r);
	client = another_vi(r);
	idle = another_vi(r);
	other = run_pair_here(r);
	EXPECT(VipOpenNic(r->device, &nic2), VIP_SUCCESS);
	attr = run_attr(r);
	EXPECT(VipCreatePtag(nic2, &attr.Ptag), VIP_SUCCESS);
	EXPECT(VipCreateVi(nic2, &attr, NULL, NULL, &foreign), VIP_SUCCESS);

	client_start(&c, r, client, "wrong vi", LONG_MS);
	EXPECT(wait_at(r, "wrong vi", LONG_MS, &conn), VIP_SUCCESS);
	doing("a Connected VI");
	EXPECT(VipConnectAccept(conn, r->vi), VIP_INVALID_STATE);
	assert_int_equal(state_of(r->vi), VIP_STATE_CONNECTED);
	EXPECT(VipDisconnect(other), VIP_SUCCESS);
	await_state(r->vi, VIP_STATE_ERROR);
	doing("a VI in Error");
	EXPECT(VipConnectAccept(conn, r->vi), VIP_INVALID_STATE);
	doing("a VI of another NIC handle");
	EXPECT(VipConnectAccept(conn, foreign), VIP_INVALID_PARAMETER);
	assert_int_equal(state_of(foreign), VIP_STATE_IDLE);
	doing("and then a good one");
	assert_false(client_ended(&c));
	EXPECT(VipConnectAccept(conn, idle), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_SUCCESS);
	talk(r, client, idle, 77);
	EXPECT(VipCloseNic(nic2), VIP_SUCCESS);
}

static void check_accept_late(struct run *r)
{
	VIP_CONN_HANDLE conn;
	VIP_VI_HANDLE server;
	struct client c;
	VIP_RETURN code;

	run_vi(r);
	server = another_vi(r);
	client_start(&c, r, r->vi, "late", 100);
	EXPECT(wait_at(r, "late", LONG_MS, &conn), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_TIMEOUT);
	code = VipConnectAccept(conn, server);
	doing("VipConnectAccept gave %s", code_name(code));
	assert_int_not_equal(code, VIP_SUCCESS);
	assert_int_equal(state_of(server), VIP_STATE_IDLE);
	assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	connect_here(r, r->nic, server, r->vi);
	drop_vi(server);
	run_close(r);
}

static void check_accept_twice(struct run *r)
{
	VIP_VI_HANDLE first, second;
	VIP_CONN_HANDLE conn;
	struct client c;

	run_vi(r);
	first = another_vi(r);
	second = another_vi(r);
	client_start(&c, r, r->vi, "twice", LONG_MS);
	EXPECT(wait_at(r, "twice", LONG_MS, &conn), VIP_SUCCESS);
	EXPECT(VipConnectAccept(conn, first), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_SUCCESS);
	EXPECT(VipConnectAccept(conn, first), VIP_INVALID_PARAMETER);
	EXPECT(VipConnectAccept(conn, second), VIP_INVALID_PARAMETER);
	EXPECT(VipConnectReject(conn), VIP_INVALID_PARAMETER);
	assert_int_equal(state_of(second), VIP_STATE_IDLE);
	talk(r, r->vi, first, 10);
	drop_vi(first);
	drop_vi(second);
	run_close(r);
}

static void check_wait_arguments(struct run *r)
{
	union address local, remote;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	uint64_t start;

	run_vi(r);
	start = now_ms();
	EXPECT(wait_at(r, "nobody", 0, &conn), VIP_TIMEOUT);
	assert_true(now_ms() - start < SOON_MS);
	start = now_ms();
	EXPECT(wait_at(r, "nobody", 100, &conn), VIP_TIMEOUT);
	assert_in_range(now_ms() - start, 100, 100 + SOON_MS);

	named_address(r, &local, "x");
	local.a.HostAddressLen++;
	doing("a host address that is a byte too long");
	EXPECT(VipConnectWait(r->nic, &local.a, 100, &remote.a, &attr, &conn), VIP_INVALID_PARAMETER);
	local.a.HostAddressLen = 0;
	doing("a host address of 0 bytes");
	EXPECT(VipConnectWait(r->nic, &local.a, 100, &remote.a, &attr, &conn), VIP_INVALID_PARAMETER);
	memset(&local, 0, sizeof(local));
	named_address(r, &local, "x");
	local.a.DiscriminatorLen = (VIP_UINT16)(r->attr.MaxDiscriminatorLen + 1);
	if (r->attr.MaxDiscriminatorLen < 256) {
		doing("a discriminator that is a byte too long");
		EXPECT(VipConnectWait(r->nic, &local.a, 100, &remote.a, &attr, &conn), VIP_INVALID_PARAMETER);
	} else {
		note("MaxDiscriminatorLen %u: a longer one is not tried", r->attr.MaxDiscriminatorLen);
	}
	run_close(r);
}

static void check_request_state(struct run *r)
{
	VIP_VI_HANDLE other, pending;
	VIP_CONN_HANDLE conn;
	struct client c;

	run_vi(r);
	pending = another_vi(r);
	other = run_pair_here(r);
	doing("Connected");
	EXPECT(ask(r, r->vi, "nobody", 1000), VIP_INVALID_STATE);
	assert_int_equal(state_of(r->vi), VIP_STATE_CONNECTED);
	EXPECT(VipDisconnect(other), VIP_SUCCESS);
	await_state(r->vi, VIP_STATE_ERROR);
	doing("Error");
	EXPECT(ask(r, r->vi, "nobody", 1000), VIP_INVALID_STATE);
	assert_int_equal(state_of(r->vi), VIP_STATE_ERROR);
	doing("Connect Pending");
	client_start(&c, r, pending, "pending", LONG_MS);
	EXPECT(wait_at(r, "pending", LONG_MS, &conn), VIP_SUCCESS);
	EXPECT(ask(r, pending, "nobody", 1000), VIP_INVALID_STATE);
	assert_int_equal(state_of(pending), VIP_STATE_CONNECT_PENDING);
	EXPECT(VipConnectReject(conn), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_REJECT);
}

static void check_unknown_host(struct run *r)
{
	union address local, remote;
	VIP_VI_ATTRIBUTES attr;
	uint64_t start;

	run_vi(r);
	named_address(r, &local, "from");
	named_address(r, &remote, "there");
	remote.room[4 + r->attr.NicAddressLen - 1] ^= 0x55;
	start = now_ms();
	EXPECT(VipConnectRequest(r->vi, &local.a, &remote.a, 300, &attr), VIP_TIMEOUT);
	assert_in_range(now_ms() - start, 300, 300 + SOON_MS);
	assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	run_close(r);
}

const struct check connect_checks[] = {
	{75, EARLY, TWO | RL, "VipConnectWait",
	 "wait, request and accept succeed, and each VI is Connected when its call returns", check_basic},
	{76, EARLY, TWO, "VipConnectWait",
	 "the server sees the client's address to the byte, and its VI's attributes", check_client_seen},
	{77, EARLY, TWO, "VipConnectRequest",
	 "the client sees the attributes of the server's VI, RDMA enables included", check_server_seen},
	{78, EARLY, 0, "VipConnectRequest", "a timeout of 0 is VIP_INVALID_PARAMETER at once",
	 check_timeout_zero},
	{79, EARLY, 0, "VipConnectRequest, K-25",
	 "where nobody waits a request gets VIP_NO_MATCH within two seconds, with any timeout", check_nobody},
	{80, EARLY, 0, "VipConnectRequest", "a discriminator matches only one of equal length and bytes",
	 check_other_discriminator},
	{81, EARLY, 0, "VipConnectRequest",
	 "without an answer the request gives VIP_TIMEOUT after its time, and the VI can be used again",
	 check_no_answer},
	{82, EARLY, 0, "VipConnectReject",
	 "a rejected request gives VIP_REJECT, leaves the VI Idle, and its handle is stale", check_reject},
	{83, EARLY, 0, "VipConnectAccept",
	 "level, transfer size and QoS must be equal; the request outlives the mismatch", check_mismatch},
	{84, EARLY, 0, "VipConnectAccept", "RDMA enables may differ", check_rdma_differs},
	{85, EARLY, 0, "VipConnectAccept",
	 "a VI that is not Idle, or of another NIC handle, is refused, and the request outlives it",
	 check_accept_wrong_vi},
	{86, EARLY, 0, "VipConnectAccept", "accepting after the client's time fails and leaves the VI Idle",
	 check_accept_late},
	{87, EARLY, 0, "VipConnectAccept", "a request can be accepted once", check_accept_twice},
	{88, EARLY, 0, "VipConnectWait",
	 "a wait of 0 and of 100 ms times out; addresses of wrong lengths are refused", check_wait_arguments},
	{89, EARLY, 0, "VipConnectRequest", "only an Idle VI may request a connection", check_request_state},
	{90, EARLY, 0, "VipConnectRequest",
	 "a host that is not there gives VIP_TIMEOUT after the time asked for", check_unknown_host},
	{91, EARLY, TWO | RL, "VipConnectAccept",
	 "what is sent at once after connecting finds the receives posted before, 200 times",
	 check_first_send},
	{92, EARLY, 0, "K-21", "receives outlive a connection attempt that fails, untouched",
	 check_receives_kept},
	{93, FUNCTIONAL, TWO, "VipConnectWait", "two servers on two discriminators each get their own client",
	 check_crossing},
	{94, FUNCTIONAL, 0, "K-15", "of two who wait at one address, one request wakes one",
	 check_two_waiters},
	{95, FUNCTIONAL, TWO, "VipConnectWait", "64 clients of one server all connect in the end",
	 check_many_clients},
	{96, EARLY, 0, "VipConnectRequest", "two VIs of one process and one NIC handle can be connected",
	 check_same_process},
	{97, EARLY, 0, "VIP_NET_ADDRESS", "a discriminator of 0 bytes matches one of 0 bytes",
	 check_no_discriminator},
	{0, 0, 0, NULL, NULL, NULL},
};
