/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_faults.c - what the device reports by itself, work requests that end with
 * an error, and a device that does nothing any more: the codes that docs/rdma.md
 * promises, no call that hangs, and nothing left.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "scene.h"

#define BYTES	  300000u /* read by the receiver */
#define SMALL	  1000u
#define MOST_WRS  200
#define PORT_MS	  200  /* for what a port's event must not lead to */
#define SOON	  1900 /* ms: less than what it may wait */
#define SEVERED	  2500 /* ms that VipDisconnect may wait for a device that does nothing */
#define STATUS(d) ((d)->CS.Status & VIP_STATUS_ERROR_MASK)

#ifdef __SANITIZE_THREAD__
#define EACH 5 /* status is tried */
#else
#define EACH 1
#endif

static const VIP_RELIABILITY_LEVEL levels[] = {VIP_SERVICE_UNRELIABLE, VIP_SERVICE_RELIABLE_DELIVERY,
					       VIP_SERVICE_RELIABLE_RECEPTION};

static VIP_DESCRIPTOR *post_send(struct side *s, unsigned int n, uint32_t bytes)
{
	VIP_DESCRIPTOR *d = side_descriptor(s, n, VIP_CONTROL_OP_SENDRECV, side_data(s), bytes);

	OK(VipPostSend(s->vi, d, s->mem));
	return d;
}

static VIP_DESCRIPTOR *post_recv(struct side *s, unsigned int n, uint32_t bytes)
{
	VIP_DESCRIPTOR *d = side_descriptor(s, n, VIP_CONTROL_OP_SENDRECV, side_data(s), bytes);

	OK(VipPostRecv(s->vi, d, s->mem));
	return d;
}

static void meet(struct side *server, struct side *client, VIP_RELIABILITY_LEVEL level)
{
	if (!side_open(server, level, BYTES) || !side_open(client, level, BYTES))
		fail_msg("server: %s; client: %s", server->text, client->text);
	sides_connect(server, client);
}

static void part(struct side *server, struct side *client, unsigned int most_ms)
{
	uint64_t since = now_ms();

	OK(VipDisconnect(client->vi));
	OK(VipDisconnect(server->vi));
	if (now_ms() - since > most_ms)
		fail_msg("two of VipDisconnect took %u ms", (unsigned int)(now_ms() - since));
	side_close(client);
	side_close(server);
	nothing_left("a fault");
}

static void no_errors_but(struct side *s, int code, int times)
{
	int i;

	for (i = 0; i < SCENE_ERRS; i++) {
		int n = __atomic_load_n(&s->errors[i], __ATOMIC_SEQ_CST);

		if (n != (i == code ? times : 0))
			fail_msg("asynchronous error %d came %d times", i, n);
	}
}

/* The descriptor comes back with this. */
static void comes_back(VIP_RETURN (*done)(VIP_VI_HANDLE, VIP_DESCRIPTOR **), struct side *s, uint32_t status)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r = done(s->vi, &d);

	if (r != VIP_DESCRIPTOR_ERROR || STATUS(d) != status)
		fail_msg("%s with %#x, not %#x", VipxReturnName(r), r == VIP_NOT_DONE ? 0 : STATUS(d),
			 status);
}

/* ---- what the device reports ---- */

/* The client's device reports it, while a send is under way and a receive posted. */
static void report(enum ibv_event_type type, VIP_ERROR_CODE code, VIP_RELIABILITY_LEVEL level)
{
	struct side server, client;

	fake_reset();
	meet(&server, &client, level);
	fake_hold(true);
	post_recv(&client, 0, SMALL);
	post_send(&client, 1, SMALL);
	fake_report(type);
	has_come(&client, code);
	assert_true(becomes(&client, VIP_STATE_ERROR));
	if (code == VIP_ERROR_CATASTROPHIC) /* besides */
		has_come(&client, VIP_ERROR_CONN_LOST);
	comes_back(VipRecvDone, &client, VIP_STATUS_DESC_FLUSHED_ERROR);
	if (level == VIP_SERVICE_RELIABLE_RECEPTION)
		comes_back(VipSendDone, &client, VIP_STATUS_TRANSPORT_ERROR);
	assert_int_equal(client.errors[VIP_ERROR_CONN_LOST], 1);
	assert_int_equal(client.errors[code], 1);
	has_come(&server, VIP_ERROR_CONN_LOST); /* the connection manager says so */
	fake_hold(false);
	part(&server, &client, SOON);
}

static void test_reports(void **state)
{
	static const enum ibv_event_type one[] = {IBV_EVENT_QP_FATAL, IBV_EVENT_QP_REQ_ERR,
						  IBV_EVENT_QP_ACCESS_ERR};
	static const enum ibv_event_type all[] = {IBV_EVENT_CQ_ERR, IBV_EVENT_SRQ_ERR,
						  IBV_EVENT_DEVICE_FATAL};
	size_t i, k;

	(void)state;
	for (i = 0; i < 3; i++) {
		for (k = 0; k < 3; k++) {
			report(one[i], VIP_ERROR_CONN_LOST, levels[k]);
			report(all[i], VIP_ERROR_CATASTROPHIC, levels[k]);
		}
	}
}

/* All VIs of a handle whose device has failed are in error, and none is connected any more. */
static void test_all_fail(void **state)
{
	VIP_VI_ATTRIBUTES attr = {.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY,
				  .MaxTransferSize = 1u << 20};
	struct side server, client, server2, client2;
	struct address local, remote;

	(void)state;
	fake_reset();
	meet(&server, &client, VIP_SERVICE_RELIABLE_DELIVERY);
	/* second VIs of the same handles */
	server2 = server;
	client2 = client;
	OK(VipCreateVi(server.nic, &attr, NULL, NULL, &server2.vi));
	OK(VipCreateVi(client.nic, &attr, NULL, NULL, &client2.vi));
	sides_connect(&server2, &client2);
	fake_report(IBV_EVENT_DEVICE_FATAL);
	has_come(&client, VIP_ERROR_CATASTROPHIC);
	assert_true(becomes(&client, VIP_STATE_ERROR));
	assert_true(becomes(&client2, VIP_STATE_ERROR));
	OK(VipDisconnect(client2.vi));
	address(&local, 8);
	address(&remote, 7);
	assert_int_equal(VipConnectRequest(client2.vi, &local.a, &remote.a, SCENE_MS, &attr),
			 VIP_ERROR_RESOURCE);
	assert_non_null(strstr(VipxErrorText(), "close the NIC handle"));
	OK(VipDisconnect(server2.vi));
	OK(VipDestroyVi(client2.vi));
	OK(VipDestroyVi(server2.vi));
	part(&server, &client, SOON);
	assert_int_equal(client.errors[VIP_ERROR_CONN_LOST], 2);
}

/* A port that goes away may come back, and its address change. */
static void test_ports(void **state)
{
	static const enum ibv_event_type types[] = {IBV_EVENT_PORT_ERR,	   IBV_EVENT_PORT_ACTIVE,
						    IBV_EVENT_GID_CHANGE,  IBV_EVENT_LID_CHANGE,
						    IBV_EVENT_PKEY_CHANGE, IBV_EVENT_SM_CHANGE};
	struct side server, client;
	VIP_DESCRIPTOR *d;
	size_t i;

	(void)state;
	fake_reset();
	meet(&server, &client, VIP_SERVICE_RELIABLE_RECEPTION);
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		fake_report(types[i]);
	usleep(PORT_MS * 1000);
	assert_int_equal(state_of(&client), VIP_STATE_CONNECTED);
	no_errors_but(&client, 0, 0);
	post_recv(&server, 0, SMALL);
	post_send(&client, 0, SMALL);
	OK(VipSendWait(client.vi, SCENE_MS, &d));
	OK(VipRecvWait(server.vi, SCENE_MS, &d));
	part(&server, &client, SOON);
}

/* ---- work requests that fail ---- */

/* What may be said of a message that is lost on its way, by whoever waits for it. */
static void told(const char *who, VIP_RETURN r, const VIP_DESCRIPTOR *d, uint32_t may, const char *what,
		 unsigned int nth)
{
	if (r == VIP_SUCCESS && !STATUS(d))
		return;
	if (r != VIP_DESCRIPTOR_ERROR || !STATUS(d) || (STATUS(d) & ~may))
		fail_msg("%s %u: the %s has %s, status %#x", what, nth, who, VipxReturnName(r),
			 r == VIP_TIMEOUT ? 0 : STATUS(d));
}

/* One message, and whatever fails is the nth; false: so many there are not. */
static bool message(VIP_RELIABILITY_LEVEL level, uint32_t bytes, const char *what, unsigned int nth)
{
	const uint32_t lost = VIP_STATUS_TRANSPORT_ERROR | VIP_STATUS_DESC_FLUSHED_ERROR;
	struct side server, client;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	meet(&server, &client, level);
	memset(side_data(&client), nth % 255 + 1, bytes);
	post_recv(&server, 0, bytes);
	post_send(&client, 0, bytes);
	r = VipSendWait(client.vi, SCENE_LONG / 2, &d);
	told("sender", r, d, lost | VIP_STATUS_REMOTE_DESC_ERROR, what, nth);
	/* who has no use for the connection any more says so */
	if (r != VIP_SUCCESS || level != VIP_SERVICE_RELIABLE_RECEPTION)
		OK(VipDisconnect(client.vi));
	r = VipRecvWait(server.vi, SCENE_LONG / 2, &d);
	told("receiver", r, d, lost | VIP_STATUS_PARTIAL_ERROR, what, nth);
	if (r == VIP_SUCCESS && memcmp(side_data(&server), side_data(&client), bytes) != 0)
		fail_msg("%s %u: what was received is not what was sent", what, nth);
	part(&server, &client, SOON);
	return fake_failed();
}

static void test_send_status(void **state)
{
	unsigned int nth, n = 0;
	int status;

	(void)state;
	for (status = IBV_WC_LOC_LEN_ERR; status <= IBV_WC_GENERAL_ERR; status += EACH) {
		for (nth = 1; nth < MOST_WRS; nth++, n++) {
			fake_reset();
			fake_fail_send(nth, (enum ibv_wc_status)status);
			if (!message(levels[status % 3], status % 2 ? SMALL : BYTES, "work request", nth))
				break;
		}
		assert_true(nth > 1 && nth < MOST_WRS);
	}
	print_message("%u work requests failed\n", n);
}

static void test_recv_status(void **state)
{
	static const enum ibv_wc_status statuses[] = {IBV_WC_LOC_LEN_ERR, IBV_WC_LOC_PROT_ERR,
						      IBV_WC_WR_FLUSH_ERR, IBV_WC_GENERAL_ERR};
	unsigned int nth, n = 0;
	size_t i;

	(void)state;
	for (i = 0; i < 12; i += EACH) {
		for (nth = 1; nth < MOST_WRS; nth++, n++) {
			fake_reset();
			fake_fail_recv(nth, statuses[i % 4]);
			if (!message(levels[i % 3], i % 2 ? SMALL : BYTES, "receive", nth))
				break;
		}
		assert_true(nth > 1 && nth < MOST_WRS);
	}
	print_message("%u receives failed\n", n);
}

/* Whose device receives with an error knows without the peer, which is silent here. */
static void test_recv_lost(void **state)
{
	struct side server, client;
	uint8_t frame[64] = {0};
	uint64_t since;

	(void)state;
	fake_reset();
	meet(&server, &client, VIP_SERVICE_UNRELIABLE);
	fake_peer(NULL);
	post_recv(&server, 0, SMALL);
	fake_fail_recv(1, IBV_WC_LOC_PROT_ERR);
	since = now_ms();
	assert_true(fake_say(frame, sizeof(frame)));
	has_come(&server, VIP_ERROR_CONN_LOST);
	assert_true(now_ms() - since < 500);
	comes_back(VipRecvDone, &server, VIP_STATUS_DESC_FLUSHED_ERROR);
	part(&server, &client, SOON);
}

/* ---- a device that does nothing ---- */

static void test_silent(void **state)
{
	struct side server, client;
	VIP_DESCRIPTOR *d;
	uint64_t since;

	(void)state;
	fake_reset();
	meet(&server, &client, VIP_SERVICE_RELIABLE_RECEPTION);
	post_recv(&server, 0, SMALL);
	fake_hold(true);
	post_send(&client, 0, SMALL);
	assert_int_equal(VipSendWait(client.vi, 100, &d), VIP_TIMEOUT);
	assert_int_equal(state_of(&client), VIP_STATE_CONNECTED);
	since = now_ms();
	OK(VipDisconnect(client.vi));
	assert_true(now_ms() - since < SEVERED);
	fake_hold(false);
	part(&server, &client, SOON);
}

/* From the n-th on all calls of the name fail: nothing hangs, and what is left is given back. */
static void fails_for_ever(const char *name, unsigned int nth)
{
	struct side server, client;
	VIP_DESCRIPTOR *d;
	uint64_t since;

	fake_reset();
	meet(&server, &client, VIP_SERVICE_RELIABLE_RECEPTION);
	post_recv(&server, 0, BYTES);
	fake_fail_ever(name, nth, EIO);
	post_send(&client, 0, BYTES);
	VipSendWait(client.vi, 200, &d);
	VipRecvWait(server.vi, 200, &d);
	since = now_ms();
	OK(VipDisconnect(client.vi));
	assert_true(now_ms() - since < SEVERED);
	fake_fail("", 1, 0);
	part(&server, &client, SOON);
}

static void test_for_ever(void **state)
{
	(void)state;
	fails_for_ever("ibv_post_send", 1);
	fails_for_ever("ibv_post_send", 2); /* a window is bound, and nobody told of it */
	fails_for_ever("ibv_poll_cq", 2);
	fails_for_ever("ibv_req_notify_cq", 1);
}

/* Both have sent something: no end asks soon whether the other is there. */
static void talk(struct side *from, struct side *to)
{
	VIP_DESCRIPTOR *d;

	post_recv(to, 2, SMALL);
	post_send(from, 2, SMALL);
	OK(VipSendWait(from->vi, SCENE_MS, &d));
	OK(VipRecvWait(to->vi, SCENE_MS, &d));
}

/*
 * A message of two segments, read through two windows; the device does not take the nth work request of those
 * that are posted together.  What it took may still be done: the connection is over.
 */
static void cut_chain(unsigned int nth, bool sender)
{
	struct side server, client, *who = sender ? &client : &server;
	VIP_DESCRIPTOR *d;

	fake_reset();
	meet(&server, &client, VIP_SERVICE_RELIABLE_RECEPTION);
	talk(&server, &client);
	talk(&client, &server);
	post_recv(&server, 0, BYTES);
	d = side_descriptor(&client, 0, VIP_CONTROL_OP_SENDRECV, side_data(&client), BYTES);
	d->CS.SegCount = 2;
	d->DS[0].Local.Length = BYTES / 2;
	d->DS[1] = d->DS[0];
	d->DS[1].Local.Data.Address = side_data(&client) + BYTES / 2;
	fake_hold(sender); /* it is still at the first */
	fake_fail("ibv_post_send", nth, ENOMEM);
	OK(VipPostSend(client.vi, d, client.mem));
	has_come(who, VIP_ERROR_CONN_LOST);
	assert_true(becomes(who, VIP_STATE_ERROR));
	assert_true(fake_failed());
	if (sender)
		comes_back(VipSendDone, &client, VIP_STATUS_TRANSPORT_ERROR);
	else
		comes_back(VipRecvDone, &server, VIP_STATUS_DESC_FLUSHED_ERROR);
	fake_hold(false);
	part(&server, &client, SOON);
}

static void test_chains(void **state)
{
	(void)state;
	cut_chain(2, true); /* two windows are bound, and one frame names them */
	cut_chain(3, true);
	cut_chain(5, false); /* two reads */
}

/* Large messages that follow small ones, and one another without a pause, are read by the receiver. */
static void test_soft_roce(void **state)
{
	struct side server, client;
	VIP_DESCRIPTOR *d;
	unsigned int i, k, before;

	(void)state;
	fake_reset();
	fake.soft_roce = true;
	meet(&server, &client, VIP_SERVICE_RELIABLE_DELIVERY);
	before = fake_posted(IBV_WR_BIND_MW);
	for (i = 0; i < 10; i++) {
		post_recv(&server, 0, SMALL);
		post_recv(&server, 1, BYTES);
		post_recv(&server, 2, BYTES);
		fake_hold(true);
		post_send(&client, 0, SMALL);
		post_send(&client, 1, BYTES);
		post_send(&client, 2, BYTES);
		fake_hold(false);
		for (k = 0; k < 3; k++) {
			OK(VipSendWait(client.vi, SCENE_MS, &d));
			OK(VipRecvWait(server.vi, SCENE_MS, &d));
			assert_int_equal(d->CS.Length, k ? BYTES : SMALL);
		}
		post_recv(&server, 0, BYTES);
		post_send(&client, 0, BYTES);
		OK(VipSendWait(client.vi, SCENE_MS, &d));
		OK(VipRecvWait(server.vi, SCENE_MS, &d));
	}
	assert_int_equal(fake_posted(IBV_WR_BIND_MW) - before, 10 * 3);
	part(&server, &client, SOON);
}

/* Receives that the device did not take once are posted again. */
static void test_receives(void **state)
{
	struct side server, client;
	VIP_DESCRIPTOR *d;
	int i;

	(void)state;
	fake_reset();
	meet(&server, &client, VIP_SERVICE_RELIABLE_DELIVERY);
	for (i = 0; i < 300; i++) { /* more than there are buffers */
		if (i % 8 == 0)
			fake_fail("ibv_post_srq_recv", 1, ENOMEM);
		post_recv(&server, 0, SMALL);
		post_send(&client, 0, SMALL);
		OK(VipSendWait(client.vi, SCENE_MS, &d));
		OK(VipRecvWait(server.vi, SCENE_MS, &d));
	}
	part(&server, &client, SOON);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reports),	    cmocka_unit_test(test_all_fail),
		cmocka_unit_test(test_ports),	    cmocka_unit_test(test_send_status),
		cmocka_unit_test(test_recv_status), cmocka_unit_test(test_recv_lost),
		cmocka_unit_test(test_silent),	    cmocka_unit_test(test_for_ever),
		cmocka_unit_test(test_receives),    cmocka_unit_test(test_chains),
		cmocka_unit_test(test_soft_roce),
	};

	if (EACH > 1)
		print_message("REDUCED: each %d. status of a completion: ThreadSanitizer\n", EACH);
	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
