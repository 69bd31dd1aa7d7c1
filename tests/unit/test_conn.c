/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_conn.c - client and server: who meets whom, answers, times, and the end
 * of connections.
 */
#include "tests/unit/ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int wait_for(struct end *e, uint64_t cookie, const char *disc, uint32_t timeout)
{
	struct ka_req req = {.op = KA_OP_CONN_WAIT, .u.wait = {cookie, timeout, 0, addr(disc)}};

	return ask(e, &req);
}

static int request(struct end *e, int vi, const char *disc, uint32_t timeout, uint32_t grace)
{
	struct ka_req req = {.op = KA_OP_CONN_REQUEST};

	req.u.request.cookie = 7000 + (uint64_t)vi;
	req.u.request.vi = e->vi[vi];
	req.u.request.timeout_ms = timeout;
	req.u.request.grace_ms = grace;
	req.u.request.local = addr("client");
	req.u.request.remote = addr(disc);
	return ask(e, &req);
}

static int accept_with(struct end *e, uint64_t conn, uint32_t vi)
{
	struct ka_req req = {.op = KA_OP_CONN_ACCEPT, .u.accept = {conn, vi, 0}};

	return ask(e, &req);
}

static int reject(struct end *e, uint64_t conn)
{
	struct ka_req req = {.op = KA_OP_CONN_REJECT, .u.accept = {conn, 0, 0}};

	return ask(e, &req);
}

/* A request of the client's VI @vi that the server has got; its number. */
static uint64_t delivered(int vi, uint32_t timeout)
{
	assert_int_equal(wait_for(&srv, 1, "x", 1000), 0);
	assert_int_equal(request(&cli, vi, "x", timeout, 0), 0);
	return expect(&srv, KA_EV_WAIT, 0, 1)->conn;
}

static void connect_both(void)
{
	uint64_t conn = delivered(0, 1000);

	assert_int_equal(accept_with(&srv, conn, srv.vi[0]), 0);
	expect(&cli, KA_EV_CONN, 0, 7000);
}

static void test_connect(void **state)
{
	const struct ka_event *ev;
	const struct ka_conn_ctl *ctl;
	uint64_t conn;

	(void)state;
	conn = delivered(0, 1000);
	ev = expect(&srv, KA_EV_WAIT, 0, 1);
	assert_int_equal(ev->info.peer_pid, 200);
	assert_int_equal(ev->info.peer.max_transfer, 4096);
	assert_int_equal(ev->remote.disc_len, 6);
	assert_int_equal(accept_with(&srv, conn, srv.vi[0]), 0);
	assert_int_equal(ans.rep.u.conn.vi, srv.vi[0]);
	assert_int_equal(ans.rep.u.conn.side, 0);
	assert_int_equal(ans.rep.u.conn.peer_pid, 200);
	assert_int_equal(ans.rep.u.conn.own_tag, 1);
	assert_non_null(ans.give.nic);
	ctl = ans.give.region->ctl;
	assert_int_equal(ctl->magic, KA_CONN_MAGIC);
	assert_int_equal(ctl->size, KA_CONN_BYTES);
	ev = expect(&cli, KA_EV_CONN, 0, 7000);
	assert_int_equal(ev->info.vi, cli.vi[0]);
	assert_int_equal(ev->info.side, 1);
	assert_int_equal(ev->info.peer_pid, 100);
	assert_ptr_equal(fake_last(&cli)->give.region, ans.give.region);
	assert_ptr_not_equal(fake_last(&cli)->give.nic, ans.give.nic);
	/* Neither VI is idle now. */
	assert_int_equal(request(&cli, 0, "x", 1000, 0), -EISCONN);
	assert_int_equal(set_vi(&srv, KA_OP_VI_SET, srv.vi[0], plain), -EBUSY);
	assert_int_equal(set_vi(&srv, KA_OP_VI_DESTROY, srv.vi[0], plain), -EBUSY);
	assert_int_equal(accept_with(&srv, conn, srv.vi[1]), -ENOENT);
	assert_int_equal(reject(&srv, conn), -ENOENT);
}

static void test_match(void **state)
{
	(void)state;
	assert_int_equal(wait_for(&srv, 1, "ab", 1000), 0);
	assert_int_equal(request(&cli, 0, "a", 1000, 0), 0);
	expect(&cli, KA_EV_CONN, -ENOENT, 7000);
	assert_int_equal(request(&cli, 0, "abc", 1000, 0), 0);
	assert_int_equal(request(&cli, 0, "", 1000, 0), 0);
	assert_null(fake_last(&srv));
	assert_int_equal(request(&cli, 0, "ab", 1000, 0), 0);
	expect(&srv, KA_EV_WAIT, 0, 1);
}

static void test_fifo(void **state)
{
	uint64_t first, second;

	(void)state;
	assert_int_equal(wait_for(&srv, 1, "x", 1000), 0);
	assert_int_equal(wait_for(&srv, 2, "y", 1000), 0);
	assert_int_equal(wait_for(&srv, 3, "x", 1000), 0);
	assert_int_equal(request(&cli, 0, "x", 1000, 0), 0);
	first = expect(&srv, KA_EV_WAIT, 0, 1)->conn;
	assert_int_equal(request(&cli, 1, "x", 1000, 0), 0);
	second = expect(&srv, KA_EV_WAIT, 0, 3)->conn;
	assert_int_not_equal(first, second);
	assert_int_equal(reject(&srv, first), 0);
	expect(&cli, KA_EV_CONN, -ECONNREFUSED, 7000);
	assert_int_equal(accept_with(&srv, second, srv.vi[0]), 0);
	expect(&cli, KA_EV_CONN, 0, 7001);
	/* Held requests too are served in order. */
	assert_int_equal(disconnect(&cli, cli.vi[1]), 0);
	assert_int_equal(request(&cli, 1, "z", 1000, 500), 0);
	assert_int_equal(request(&cli, 0, "z", 1000, 500), 0);
	assert_int_equal(wait_for(&srv, 4, "z", 0), 0);
	assert_int_equal(reject(&srv, expect(&srv, KA_EV_WAIT, 0, 4)->conn), 0);
	expect(&cli, KA_EV_CONN, -ECONNREFUSED, 7001);
}

static void test_grace(void **state)
{
	(void)state;
	assert_int_equal(request(&cli, 0, "x", 1000, 0), 0);
	expect(&cli, KA_EV_CONN, -ENOENT, 7000);
	assert_int_equal(request(&cli, 0, "x", 1000, 50), 0);
	assert_int_equal(request(&cli, 1, "x", 30, KA_INFINITE), 0);
	assert_int_equal(ka_core_deadline(&core), now + 30);
	fake.nevents = 0;
	tick(29);
	assert_int_equal(fake.nevents, 0);
	tick(1);
	expect(&cli, KA_EV_CONN, -ENOENT, 7001);
	tick(20);
	expect(&cli, KA_EV_CONN, -ENOENT, 7000);
	assert_int_equal(ka_core_deadline(&core), KA_NEVER);
	/* A wait in time gets it; the grace then counts no more. */
	assert_int_equal(request(&cli, 0, "x", 1000, 50), 0);
	tick(49);
	assert_int_equal(wait_for(&srv, 1, "x", 0), 0);
	assert_int_equal(ans.has_event, true);
	expect(&srv, KA_EV_WAIT, 0, 1);
	fake.nevents = 0;
	tick(100);
	assert_int_equal(fake.nevents, 0);
}

static void test_timeouts(void **state)
{
	uint64_t conn;

	(void)state;
	assert_int_equal(wait_for(&srv, 1, "x", 0), 0);
	expect(&srv, KA_EV_WAIT, -ETIMEDOUT, 1);
	assert_int_equal(wait_for(&srv, 2, "x", 100), 0);
	tick(100);
	expect(&srv, KA_EV_WAIT, -ETIMEDOUT, 2);
	assert_int_equal(wait_for(&srv, 3, "never", KA_INFINITE), 0);
	assert_int_equal(ka_core_deadline(&core), KA_NEVER);
	assert_int_equal(request(&cli, 0, "x", 0, 0), -EINVAL);

	conn = delivered(0, 100);
	tick(100);
	expect(&cli, KA_EV_CONN, -ETIMEDOUT, 7000);
	assert_int_equal(accept_with(&srv, conn, srv.vi[0]), -ETIMEDOUT);
	assert_int_equal(accept_with(&srv, conn, srv.vi[0]), -ENOENT);
	conn = delivered(0, 100);
	tick(100);
	assert_int_equal(reject(&srv, conn), 0);
	assert_int_equal(reject(&srv, conn), -ENOENT);
}

static void test_other_host(void **state)
{
	struct ka_req req = {.op = KA_OP_CONN_REQUEST};
	struct ka_req wait = {.op = KA_OP_CONN_WAIT, .u.wait = {9, KA_INFINITE, 0, addr("x")}};

	(void)state;
	req.u.request.vi = cli.vi[0];
	req.u.request.cookie = 5;
	req.u.request.timeout_ms = 200;
	req.u.request.remote = addr("x");
	req.u.request.remote.bytes[0] = 2;
	wait.u.wait.local.bytes[0] = 2;
	assert_int_equal(ask(&srv, &wait), 0);
	assert_int_equal(ask(&cli, &req), 0);
	tick(199);
	assert_null(fake_last(&cli));
	tick(1);
	expect(&cli, KA_EV_CONN, -ETIMEDOUT, 5);
	assert_null(fake_last(&srv));
}

static void test_bad_addresses(void **state)
{
	struct ka_req wait = {.op = KA_OP_CONN_WAIT, .u.wait = {9, 100, 0, addr("x")}};
	struct ka_req req = {.op = KA_OP_CONN_REQUEST};

	(void)state;
	wait.u.wait.local.disc_len = KA_MAX_DISC + 1;
	assert_int_equal(ask(&srv, &wait), -EINVAL);
	wait.u.wait.local = (struct ka_addr){.host_len = 9};
	assert_int_equal(ask(&srv, &wait), -EINVAL);
	req.u.request.vi = cli.vi[0];
	req.u.request.timeout_ms = 200;
	req.u.request.remote.host_len = UINT16_MAX;
	assert_int_equal(ask(&cli, &req), -EINVAL);
	req.u.request.remote = addr("x");
	req.u.request.local.disc_len = UINT16_MAX;
	assert_int_equal(ask(&cli, &req), -EINVAL);
}

static void test_attributes(void **state)
{
	uint64_t conn = delivered(0, 1000);
	struct ka_vi_attr attr = plain;

	(void)state;
	attr.level = VIP_SERVICE_UNRELIABLE;
	assert_int_equal(set_vi(&srv, KA_OP_VI_SET, srv.vi[0], attr), 0);
	assert_int_equal(accept_with(&srv, conn, srv.vi[0]), -EBADR);
	attr = plain;
	attr.max_transfer++;
	assert_int_equal(set_vi(&srv, KA_OP_VI_SET, srv.vi[0], attr), 0);
	assert_int_equal(accept_with(&srv, conn, srv.vi[0]), -EMSGSIZE);
	attr = plain;
	attr.qos = 1;
	assert_int_equal(set_vi(&srv, KA_OP_VI_SET, srv.vi[0], attr), 0);
	assert_int_equal(accept_with(&srv, conn, srv.vi[0]), -ENOPROTOOPT);
	assert_int_equal(accept_with(&srv, conn, 12345), -EINVAL);
	fake.allow = 0;
	assert_int_equal(accept_with(&srv, conn, srv.vi[1]), -ENOMEM);
	fake.allow = 1;
	assert_int_equal(accept_with(&srv, conn, srv.vi[1]), -ENOMEM);
	fake.allow = -1;
	assert_null(fake_last(&cli));
	attr = plain;
	attr.rdma = KA_R_RDMA_WRITE; /* need not match */
	assert_int_equal(set_vi(&srv, KA_OP_VI_SET, srv.vi[0], attr), 0);
	assert_int_equal(accept_with(&srv, conn, srv.vi[0]), 0);
	assert_int_equal(expect(&cli, KA_EV_CONN, 0, 7000)->info.peer.rdma, KA_R_RDMA_WRITE);
}

static void test_accept_twice(void **state)
{
	uint64_t first = delivered(0, 1000), second = delivered(1, 1000);

	(void)state;
	assert_int_equal(accept_with(&srv, first, srv.vi[0]), 0);
	assert_int_equal(accept_with(&srv, first, srv.vi[1]), -ENOENT);
	assert_int_equal(accept_with(&srv, second, srv.vi[0]), -EISCONN);
	assert_int_equal(accept_with(&srv, second, srv.vi[1]), 0);
}

static void test_others_ids(void **state)
{
	uint64_t conn = delivered(0, 1000);
	struct end thief = {.proc = cli.proc, .nic = srv.nic};

	(void)state;
	assert_int_equal(accept_with(&cli, conn, cli.vi[1]), -ENOENT);
	assert_int_equal(reject(&cli, conn), -ENOENT);
	assert_int_equal(accept_with(&thief, conn, srv.vi[0]), -EINVAL);
	assert_int_equal(disconnect(&thief, srv.vi[0]), -EINVAL);
	assert_int_equal(simple(&thief, KA_OP_CLOSE), -EINVAL);
	assert_int_equal(accept_with(&srv, conn + 1, srv.vi[0]), -ENOENT);
	assert_int_equal(accept_with(&srv, conn, srv.vi[0]), 0);
}

static void test_disconnect(void **state)
{
	struct ka_conn_ctl *ctl;
	struct ka_wake *wake;

	(void)state;
	connect_both();
	wake = ans.give.nic->wake; /* the client's */
	wake[1].word = 7;
	wake[2].word = 6;
	assert_int_equal(disconnect(&srv, srv.vi[0]), 0);
	expect_lost(&cli, cli.vi[0], KA_DOWN_DISCONNECT);
	assert_int_equal(wake[1].word, 8);
	assert_int_equal(wake[2].word, 6); /* nobody slept */
	assert_int_equal(wake[KA_WAKE_PROGRESS].word, 2);
	assert_int_equal(fake.wakes, 2);
	/* The one who disconnected is idle, the other must say so itself. */
	assert_int_equal(request(&cli, 0, "x", 1000, 0), -EISCONN);
	assert_int_equal(set_vi(&srv, KA_OP_VI_SET, srv.vi[0], plain), 0);
	assert_int_equal(disconnect(&cli, cli.vi[0]), 0);
	assert_int_equal(disconnect(&cli, cli.vi[0]), 0);
	assert_int_equal(disconnect(&cli, 999), -EINVAL);
	connect_both();
	/* The NIC saw the cause first. */
	ctl = ans.give.region->ctl;
	ctl->down = KA_DOWN_ERROR | 1 << 8;
	assert_int_equal(disconnect(&cli, cli.vi[0]), 0);
	expect_lost(&srv, srv.vi[0], KA_DOWN_ERROR);
	assert_int_equal(disconnect(&srv, srv.vi[0]), 0);
	connect_both();
	/* Nonsense from a client is not passed on. */
	ans.give.region->ctl->down = 0xdeadbeef;
	assert_int_equal(disconnect(&cli, cli.vi[0]), 0);
	expect_lost(&srv, srv.vi[0], KA_DOWN_DISCONNECT);
}

static void test_disconnect_pending(void **state)
{
	uint64_t conn = delivered(0, 1000);

	(void)state;
	assert_int_equal(disconnect(&cli, cli.vi[0]), 0);
	expect(&cli, KA_EV_CONN, -ECANCELED, 7000);
	assert_int_equal(accept_with(&srv, conn, srv.vi[0]), -ETIMEDOUT);
	assert_int_equal(request(&cli, 0, "held", 1000, 1000), 0);
	assert_int_equal(disconnect(&cli, cli.vi[0]), 0);
	assert_null(core.requests);
	assert_int_equal(cli.proc->npending, 0);
}

static void test_server_dies(void **state)
{
	(void)state;
	connect_both();
	delivered(1, 1000);
	leave(&srv);
	expect_lost(&cli, cli.vi[0], KA_DOWN_DEAD);
	assert_int_equal(fake.nevents, 5);
	assert_int_equal(fake.events[3].event.type, KA_EV_CONN);
	assert_int_equal(fake.events[3].event.err, -ECONNREFUSED);
	assert_int_equal(set_vi(&cli, KA_OP_VI_SET, cli.vi[1], plain), 0);
}

static void test_client_dies(void **state)
{
	uint64_t conn;

	(void)state;
	connect_both();
	conn = delivered(1, 1000);
	leave(&cli);
	expect_lost(&srv, srv.vi[0], KA_DOWN_DEAD);
	assert_int_equal(accept_with(&srv, conn, srv.vi[1]), -ETIMEDOUT);
	assert_int_equal(disconnect(&srv, srv.vi[0]), 0);
}

static void test_close(void **state)
{
	(void)state;
	connect_both();
	delivered(1, 1000);
	assert_int_equal(wait_for(&srv, 11, "w", KA_INFINITE), 0);
	assert_int_equal(simple(&srv, KA_OP_CLOSE), 0);
	expect(&srv, KA_EV_WAIT, -ETIMEDOUT, 11);
	expect_lost(&cli, cli.vi[0], KA_DOWN_DISCONNECT);
	assert_int_equal(simple(&cli, KA_OP_CLOSE), 0);
}

/* Two VIs of one NIC handle. */
static void test_self(void **state)
{
	uint64_t conn;

	(void)state;
	assert_int_equal(wait_for(&cli, 1, "me", 1000), 0);
	assert_int_equal(request(&cli, 0, "me", 1000, 0), 0);
	conn = expect(&cli, KA_EV_WAIT, 0, 1)->conn;
	assert_int_equal(accept_with(&cli, conn, cli.vi[0]), -EISCONN);
	assert_int_equal(accept_with(&cli, conn, cli.vi[1]), 0);
	expect(&cli, KA_EV_CONN, 0, 7000);
	assert_int_equal(disconnect(&cli, cli.vi[0]), 0);
	expect_lost(&cli, cli.vi[1], KA_DOWN_DISCONNECT);
	assert_int_equal(disconnect(&cli, cli.vi[1]), 0);
	assert_int_equal(wait_for(&cli, 1, "me", 1000), 0);
	assert_int_equal(request(&cli, 0, "me", 1000, 0), 0);
	conn = expect(&cli, KA_EV_WAIT, 0, 1)->conn;
	assert_int_equal(accept_with(&cli, conn, cli.vi[1]), 0);
	assert_int_equal(simple(&cli, KA_OP_CLOSE), 0);
}

static void test_limits(void **state)
{
	uint64_t conn = 0;
	uint32_t i;

	(void)state;
	for (i = 0; i < KA_MAX_WAITS; i++)
		assert_int_equal(wait_for(&cli, i, "w", 1000), 0);
	assert_int_equal(wait_for(&cli, i, "w", 1000), -ENOSPC);
	assert_int_equal(request(&cli, 0, "x", 1000, 10), -ENOSPC);
	tick(1000);
	assert_int_equal(request(&cli, 0, "x", 1000, 10), 0);
	tick(10);
	/* A server that never answers is remembered for no longer than that. */
	for (i = 0; i < 2 * KA_MAX_WAITS; i++) {
		conn = delivered(0, 1);
		tick(1);
	}
	assert_int_equal(accept_with(&srv, conn - KA_MAX_WAITS, srv.vi[0]), -ENOENT);
	assert_int_equal(accept_with(&srv, conn - KA_MAX_WAITS + 1, srv.vi[0]), -ETIMEDOUT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_connect),	  TEST(test_match),	  TEST(test_fifo),
		TEST(test_grace),	  TEST(test_timeouts),	  TEST(test_other_host),
		TEST(test_bad_addresses), TEST(test_attributes),  TEST(test_accept_twice),
		TEST(test_others_ids),	  TEST(test_disconnect),  TEST(test_disconnect_pending),
		TEST(test_server_dies),	  TEST(test_client_dies), TEST(test_close),
		TEST(test_self),	  TEST(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
