/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* vi_state.c - checks of VIs that depend on what they are doing; see vi.h. */
#include "vi.h"

#include "connecting.h"

/* 51 */
void check_query_empty(struct run *r)
{
	VIP_DESCRIPTOR *d;

	run_vi(r);
	expect_empty(r->vi, true, true);
	post_recv(r, 0, data(r), 64);
	expect_empty(r->vi, true, false);
	doing("it has completed and was not taken out");
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	expect_empty(r->vi, true, false);
	EXPECT(VipRecvDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
	assert_ptr_equal(d, desc(r, 0));
	expect_empty(r->vi, true, true);
	run_close(r);
}

/* A VI that is brought through Pending, Connected and Error. */
struct stages {
	VIP_VI_HANDLE client, server;
	struct client request;
	VIP_CONN_HANDLE conn;
};

static void to_pending(struct run *r, struct stages *s)
{
	s->client = another_vi(r);
	s->server = another_vi(r);
	doing("Connect Pending");
	client_start(&s->request, r, s->client, "stages", LONG_MS);
	EXPECT(wait_at(r, "stages", LONG_MS, &s->conn), VIP_SUCCESS);
}

static void to_connected(struct stages *s)
{
	doing("Connected");
	EXPECT(VipConnectAccept(s->conn, s->server), VIP_SUCCESS);
	EXPECT(client_end(&s->request), VIP_SUCCESS);
}

static void to_error(struct stages *s)
{
	doing("Error");
	EXPECT(VipDisconnect(s->server), VIP_SUCCESS);
	await_state(s->client, VIP_STATE_ERROR);
}

static void end_stages(struct stages *s)
{
	drop_vi(s->client);
	drop_vi(s->server);
}

/* 52 */
void check_states(struct run *r)
{
	VIP_VI_ATTRIBUTES a;
	struct stages s;

	run_nic(r);
	a = run_attr(r);
	assert_int_equal(VIP_STATE_IDLE, 0);
	assert_int_equal(VIP_STATE_CONNECTED, 1);
	assert_int_equal(VIP_STATE_CONNECT_PENDING, 2);
	assert_int_equal(VIP_STATE_ERROR, 3);
	to_pending(r, &s);
	expect_vi(s.server, VIP_STATE_IDLE, &a);
	expect_vi(s.client, VIP_STATE_CONNECT_PENDING, &a);
	to_connected(&s);
	expect_vi(s.client, VIP_STATE_CONNECTED, &a);
	expect_vi(s.server, VIP_STATE_CONNECTED, &a);
	to_error(&s);
	expect_vi(s.client, VIP_STATE_ERROR, &a);
	expect_vi(s.server, VIP_STATE_IDLE, &a);
	end_stages(&s);
	run_close(r);
}

static void set_refused(struct run *r, VIP_VI_HANDLE vi, VIP_VI_STATE state)
{
	VIP_VI_ATTRIBUTES old = run_attr(r), a = old;

	a.MaxTransferSize = 1;
	a.EnableRdmaWrite = VIP_FALSE;
	EXPECT(VipSetViAttributes(vi, &a), VIP_INVALID_STATE);
	expect_vi(vi, state, &old);
}

/* 54 */
void check_set_states(struct run *r)
{
	struct stages s;

	run_nic(r);
	to_pending(r, &s);
	set_refused(r, s.client, VIP_STATE_CONNECT_PENDING);
	to_connected(&s);
	set_refused(r, s.client, VIP_STATE_CONNECTED);
	set_refused(r, s.server, VIP_STATE_CONNECTED);
	to_error(&s);
	set_refused(r, s.client, VIP_STATE_ERROR);
	end_stages(&s);
	run_close(r);
}

/* 57 */
void check_destroy_states(struct run *r)
{
	struct stages s;

	run_nic(r);
	to_pending(r, &s);
	EXPECT(VipDestroyVi(s.client), choice(r, "K-8 state"));
	to_connected(&s);
	EXPECT(VipDestroyVi(s.client), choice(r, "K-8 state"));
	EXPECT(VipDestroyVi(s.server), choice(r, "K-8 state"));
	doing("the connection still works");
	talk(r, s.client, s.server, 100);
	to_error(&s);
	EXPECT(VipDestroyVi(s.client), choice(r, "K-8 state"));
	end_stages(&s);
	run_close(r);
}

/* 58 */
void check_destroy_full(struct run *r)
{
	VIP_DESCRIPTOR *d;
	VIP_VI_HANDLE other;

	run_vi(r);
	doing("a receive is posted");
	d = post_recv(r, 0, data(r), 64);
	EXPECT(VipDestroyVi(r->vi), choice(r, "K-8 queue"));
	other = run_pair_here(r);
	doing("a receive and a send have completed and were not taken out");
	EXPECT(VipPostSend(other, fill(r, 1, data(r) + 64, 64, r->mem), r->mem), VIP_SUCCESS);
	next_sent(other, NULL);
	EXPECT(VipPostRecv(other, fill(r, 2, data(r) + 128, 64, r->mem), r->mem), VIP_SUCCESS);
	post_send(r, 3, data(r) + 192, 64);
	next_recv(other, NULL);
	drop_vi(other);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	EXPECT(VipDestroyVi(r->vi), choice(r, "K-8 queue"));
	assert_ptr_equal(next_recv(r->vi, NULL), d);
	EXPECT(VipDestroyVi(r->vi), choice(r, "K-8 queue"));
	assert_ptr_equal(next_sent(r->vi, NULL), desc(r, 3));
	EXPECT(VipDestroyVi(r->vi), VIP_SUCCESS);
	r->vi = NULL;
	run_close(r);
}

static void use_stale_queues(struct run *r, VIP_VI_HANDLE vi)
{
	VIP_DESCRIPTOR *d = fill(r, 0, data(r), 64, r->mem), *out;

	EXPECT(VipPostSend(vi, d, r->mem), VIP_INVALID_PARAMETER);
	EXPECT(VipPostRecv(vi, d, r->mem), VIP_INVALID_PARAMETER);
	EXPECT(VipSendDone(vi, &out), VIP_INVALID_PARAMETER);
	EXPECT(VipRecvDone(vi, &out), VIP_INVALID_PARAMETER);
	EXPECT(VipSendWait(vi, VIP_INFINITE, &out), VIP_INVALID_PARAMETER);
	EXPECT(VipRecvWait(vi, VIP_INFINITE, &out), VIP_INVALID_PARAMETER);
	EXPECT(VipSendNotify(vi, NULL, ignore_vi), VIP_INVALID_PARAMETER);
	EXPECT(VipRecvNotify(vi, NULL, ignore_vi), VIP_INVALID_PARAMETER);
}

static void use_stale_connection(struct run *r, VIP_VI_HANDLE vi)
{
	union address here, there;
	VIP_VI_ATTRIBUTES a;
	struct client c;
	VIP_CONN_HANDLE conn;

	named_address(r, &here, "here");
	named_address(r, &there, "there");
	EXPECT(VipConnectRequest(vi, &here.a, &there.a, 100, &a), VIP_INVALID_PARAMETER);
	EXPECT(VipConnectPeerRequest(vi, &here.a, &there.a, 100), VIP_INVALID_PARAMETER);
	EXPECT(VipConnectPeerDone(vi, &a), VIP_INVALID_PARAMETER);
	EXPECT(VipConnectPeerWait(vi, &a), VIP_INVALID_PARAMETER);
	EXPECT(VipDisconnect(vi), VIP_INVALID_PARAMETER);
	doing("a request is accepted with it");
	client_start(&c, r, r->vi, "stale", LONG_MS);
	EXPECT(wait_at(r, "stale", LONG_MS, &conn), VIP_SUCCESS);
	EXPECT(VipConnectAccept(conn, vi), VIP_INVALID_PARAMETER);
	EXPECT(VipConnectReject(conn), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_REJECT);
}

/* 56 */
void check_stale_vi(struct run *r)
{
	VIP_VI_ATTRIBUTES a;
	VIP_BOOLEAN empty[2];
	VIP_VI_STATE state;
	VIP_VI_HANDLE vi;

	run_vi(r);
	a = run_attr(r);
	vi = another_vi(r);
	EXPECT(VipDestroyVi(vi), VIP_SUCCESS);
	EXPECT(VipDestroyVi(vi), VIP_INVALID_PARAMETER);
	EXPECT(VipSetViAttributes(vi, &a), VIP_INVALID_PARAMETER);
	EXPECT(VipQueryVi(vi, &state, &a, &empty[0], &empty[1]), VIP_INVALID_PARAMETER);
	use_stale_queues(r, vi);
	use_stale_connection(r, vi);
	doing("a new VI may have its place");
	another_vi(r);
	EXPECT(VipQueryVi(vi, &state, &a, &empty[0], &empty[1]), VIP_INVALID_PARAMETER);
	run_close(r);
}
