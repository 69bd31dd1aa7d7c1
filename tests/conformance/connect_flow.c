/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * connect_flow.c - checks 91 to 97: what flows as soon as there is a
 * connection, and several who connect at a time.
 */
#include "connecting.h"

#include <string.h>

#define FIRST_SENDS 200

/* Neither side meets the other between connecting and sending. */
static void connect_bare(struct run *r, const char *disc)
{
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;

	if (r->side == 0) {
		EXPECT(wait_at(r, disc, LONG_MS, &conn), VIP_SUCCESS);
		EXPECT(VipConnectAccept(conn, r->vi), VIP_SUCCESS);
	} else {
		EXPECT(ask_until(r, r->vi, disc, LONG_MS, &attr), VIP_SUCCESS);
	}
}

void check_first_send(struct run *r)
{
	VIP_DESCRIPTOR *d, *s;
	uint8_t *in, *out;
	unsigned int i;

	run_vi(r);
	in = data(r);
	out = in + 65536;
	for (i = 0; i < FIRST_SENDS; i++) {
		doing("connection no. %u", i);
		d = post_recv(r, 0, in, 1000);
		meet(r);
		pattern(out, 1000, i * 2 + (unsigned int)r->side);
		connect_bare(r, "first");
		s = post_send(r, 1, out, 1000);
		assert_ptr_equal(next_recv(r->vi, NULL), d);
		assert_int_equal(d->CS.Length, 1000);
		assert_int_equal(differs(in, 1000, i * 2 + !r->side), -1);
		assert_ptr_equal(next_sent(r->vi, NULL), s);
		meet(r);
		EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
		meet(r);
	}
	run_close(r);
}

/* The receives 0 to 2 wait as they did when they were posted. */
static void still_posted(struct run *r, const char *after)
{
	VIP_DESCRIPTOR *d;
	int i;

	doing("after %s", after);
	if (!choice(r, "K-21")) {
		flushed(r, r->vi, true, 0, 3);
		for (i = 0; i < 3; i++)
			post_recv(r, i, data(r) + i * 1000, 1000);
		return;
	}
	EXPECT(VipRecvDone(r->vi, &d), VIP_NOT_DONE);
	for (i = 0; i < 3; i++)
		EXPECT_STATUS(desc(r, i), 0);
}

void check_receives_kept(struct run *r)
{
	VIP_CONN_HANDLE conn;
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;
	struct client c;
	int i;

	run_vi(r);
	other = another_vi(r);
	for (i = 0; i < 3; i++)
		post_recv(r, i, data(r) + i * 1000, 1000);
	client_start(&c, r, r->vi, "kept", LONG_MS);
	EXPECT(wait_at(r, "kept", LONG_MS, &conn), VIP_SUCCESS);
	EXPECT(VipConnectReject(conn), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_REJECT);
	still_posted(r, "VIP_REJECT");
	EXPECT(ask(r, r->vi, "nobody", 1000), VIP_NO_MATCH);
	still_posted(r, "VIP_NO_MATCH");
	client_start(&c, r, r->vi, "kept", 50);
	EXPECT(wait_at(r, "kept", LONG_MS, &conn), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_TIMEOUT);
	still_posted(r, "VIP_TIMEOUT");

	connect_here(r, r->nic, other, r->vi);
	for (i = 0; i < 3; i++) {
		pattern(data(r) + 10000, 500, (unsigned int)i);
		d = fill(r, 10, data(r) + 10000, 500, r->mem);
		EXPECT(VipPostSend(other, d, r->mem), VIP_SUCCESS);
		assert_ptr_equal(next_recv(r->vi, NULL), desc(r, i));
		assert_int_equal(desc(r, i)->CS.Length, 500);
		assert_int_equal(differs(data(r) + i * 1000, 500, (unsigned int)i), -1);
		assert_ptr_equal(next_sent(other, NULL), d);
	}
	drop_vi(other);
	run_close(r);
}

void check_crossing(struct run *r)
{
	static const char *const at[2] = {"red", "blue"};
	struct waiter w[2];
	struct client c[2];
	VIP_VI_ATTRIBUTES attr;
	VIP_VI_HANDLE vi;
	int i;

	run_nic(r);
	/* the client's VI for "red" has this transfer size, that for "blue" one byte less */
	attr = run_attr(r);
	if (r->side == 0) {
		for (i = 0; i < 2; i++)
			waiter_start(&w[i], r, at[i], LONG_MS);
		pause_ms(50);
		meet(r);
		for (i = 0; i < 2; i++) {
			doing("the server at %s", at[i]);
			EXPECT(waiter_end(&w[i]), VIP_SUCCESS);
			attr.MaxTransferSize -= (VIP_ULONG)i;
			assert_int_equal(w[i].attr.MaxTransferSize, attr.MaxTransferSize);
			vi = vi_with(r, attr);
			EXPECT(VipConnectAccept(w[i].conn, vi), VIP_SUCCESS);
		}
	} else {
		VIP_VI_HANDLE red = vi_with(r, attr);

		attr.MaxTransferSize--;
		vi = vi_with(r, attr);
		meet(r);
		client_start(&c[1], r, vi, at[1], LONG_MS);
		client_start(&c[0], r, red, at[0], LONG_MS);
		EXPECT(client_end(&c[0]), VIP_SUCCESS);
		EXPECT(client_end(&c[1]), VIP_SUCCESS);
	}
	meet(r);
}

void check_two_waiters(struct run *r)
{
	struct waiter w[2];
	struct client c;
	int i;

	run_vi(r);
	for (i = 0; i < 2; i++) {
		waiter_start(&w[i], r, "same", LONG_MS);
		pause_ms(100);
	}
	if (!choice(r, "K-15")) {
		assert_true(waiter_ended(&w[1]));
		assert_int_not_equal(waiter_end(&w[1]), VIP_SUCCESS);
		assert_false(waiter_ended(&w[0]));
		return;
	}
	for (i = 0; i < 2; i++) { /* first come, first served */
		doing("request no. %d", i + 1);
		client_start(&c, r, r->vi, "same", LONG_MS);
		EXPECT(waiter_end(&w[i]), VIP_SUCCESS);
		pause_ms(100);
		if (i == 0)
			assert_false(waiter_ended(&w[1]));
		EXPECT(VipConnectReject(w[i].conn), VIP_SUCCESS);
		EXPECT(client_end(&c), VIP_REJECT);
	}
	run_close(r);
}

#define CLIENTS 64

void check_many_clients(struct run *r)
{
	VIP_VI_HANDLE vi[CLIENTS];
	struct client c[CLIENTS];
	VIP_CONN_HANDLE conn;
	int i, n;

	run_nic(r);
	n = r->attr.MaxVI < CLIENTS ? (int)r->attr.MaxVI : CLIENTS;
	for (i = 0; i < n; i++)
		vi[i] = another_vi(r);
	meet(r);
	if (r->side == 0) {
		for (i = 0; i < n; i++) {
			EXPECT(wait_at(r, "popular", LONG_MS, &conn), VIP_SUCCESS);
			EXPECT(VipConnectAccept(conn, vi[i]), VIP_SUCCESS);
		}
	} else {
		for (i = 0; i < n; i++)
			client_start(&c[i], r, vi[i], "popular", LONG_MS);
		for (i = 0; i < n; i++) {
			doing("client no. %d", i);
			EXPECT(client_end(&c[i]), VIP_SUCCESS);
		}
	}
	for (i = 0; i < n; i++)
		assert_int_equal(state_of(vi[i]), VIP_STATE_CONNECTED);
	meet(r);
}

void check_same_process(struct run *r)
{
	VIP_VI_HANDLE other;

	run_vi(r);
	other = run_pair_here(r);
	assert_int_equal(state_of(r->vi), VIP_STATE_CONNECTED);
	assert_int_equal(state_of(other), VIP_STATE_CONNECTED);
	talk(r, r->vi, other, 5000);
	talk(r, other, r->vi, 5000);
	drop_vi(other);
	await_state(r->vi, VIP_STATE_ERROR);
	run_close(r);
}

static void *wait_unnamed(void *arg)
{
	struct waiter *w = arg;
	union address local;

	local_address(w->r, &local, "", 0);
	w->code = VipConnectWait(w->nic, &local.a, w->timeout, &w->from.a, &w->attr, &w->conn);
	return NULL;
}

void check_no_discriminator(struct run *r)
{
	struct waiter w = {.r = r, .timeout = LONG_MS};
	union address nameless;
	VIP_VI_ATTRIBUTES attr;
	VIP_RETURN code;

	run_vi(r);
	w.nic = r->nic;
	local_address(r, &nameless, "", 0);
	assert_int_equal(pthread_create(&w.thread, NULL, wait_unnamed, &w), 0);
	while ((code = VipConnectRequest(r->vi, &nameless.a, &nameless.a, 300, &attr)) == VIP_NO_MATCH)
		pause_ms(1);
	EXPECT(code, VIP_TIMEOUT); /* somebody was there, who does not answer */
	EXPECT(waiter_end(&w), VIP_SUCCESS);
	assert_true(same_address(&w.from, &nameless));
	run_close(r);
}
