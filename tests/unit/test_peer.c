/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_peer.c - peer to peer: two requests that name each other's address meet;
 * `srv` and `cli` are just two processes here.
 */
#include "kagent/core/conn.h"
#include "tests/unit/ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int ask_peer(struct end *e, uint32_t vi, uint64_t cookie, struct ka_addr local, struct ka_addr remote,
		    uint32_t timeout)
{
	struct ka_req req = {.op = KA_OP_CONN_PEER};

	req.u.request.cookie = cookie;
	req.u.request.vi = vi;
	req.u.request.timeout_ms = timeout;
	req.u.request.local = local;
	req.u.request.remote = remote;
	return ask(e, &req);
}

/* VI @vi of @e asks as @local for @remote; the cookie is 100 for the first VI, 101 for the second. */
static int peer(struct end *e, int vi, const char *local, const char *remote, uint32_t timeout)
{
	return ask_peer(e, e->vi[vi], 100 + (uint64_t)vi, addr(local), addr(remote), timeout);
}

static enum ka_vi_state state_of(struct end *e, int vi)
{
	return ka_find_vi(ka_find_nic(e->proc, e->nic), e->vi[vi])->state;
}

/* No request is pending. */
static void assert_none_pending(void)
{
	uint32_t i;

	for (i = 0; i < KA_PEER_BUCKETS; i++)
		assert_null(core.peers[i]);
}

static void assert_connected(struct end *a, int a_vi, struct end *b, int b_vi)
{
	const struct ka_vi *va = ka_find_vi(ka_find_nic(a->proc, a->nic), a->vi[a_vi]);

	assert_int_equal(state_of(a, a_vi), KA_VI_CONNECTED);
	assert_int_equal(state_of(b, b_vi), KA_VI_CONNECTED);
	assert_int_equal(va->link->end[!va->side]->id, b->vi[b_vi]);
	assert_ptr_equal(va->link->end[!va->side]->nic->proc, b->proc);
}

/* @first asks, then @second; both are told, and given the same region. */
static void meet(struct end *first, struct end *second)
{
	const struct ka_event *ev;

	assert_int_equal(peer(first, 0, "a", "b", 1000), 0);
	assert_int_equal(ans.has_event, false);
	assert_int_equal(state_of(first, 0), KA_VI_PENDING);
	assert_int_equal(peer(second, 0, "b", "a", 1000), 0);
	ev = expect(second, KA_EV_CONN, 0, 100);
	assert_int_equal(ev->info.vi, second->vi[0]);
	assert_int_equal(ev->info.side, 1);
	assert_int_equal(ev->info.peer_pid, first->proc->pid);
	assert_int_equal(ev->info.peer.max_transfer, 4096);
	ev = expect(first, KA_EV_CONN, 0, 100);
	assert_int_equal(ev->info.vi, first->vi[0]);
	assert_int_equal(ev->info.side, 0);
	assert_int_equal(ev->info.peer_pid, second->proc->pid);
	assert_non_null(fake_last(first)->give.region);
	assert_ptr_equal(fake_last(first)->give.region, fake_last(second)->give.region);
	assert_ptr_equal(fake_last(first)->give.nic, &ka_find_nic(second->proc, second->nic)->mem);
	assert_ptr_equal(fake_last(second)->give.nic, &ka_find_nic(first->proc, first->nic)->mem);
	assert_connected(first, 0, second, 0);
	assert_int_equal(fake.nevents, 2);
	assert_none_pending();
}

static void test_meet(void **state)
{
	(void)state;
	meet(&srv, &cli);
	assert_int_equal(peer(&srv, 0, "a", "b", 1000), -EISCONN);
	assert_int_equal(disconnect(&srv, srv.vi[0]), 0);
	expect_lost(&cli, cli.vi[0], KA_DOWN_DISCONNECT);
	assert_int_equal(peer(&cli, 0, "b", "a", 1000), -EISCONN); /* broken, not idle */
	assert_int_equal(disconnect(&cli, cli.vi[0]), 0);
	fake_reset();
	meet(&cli, &srv);
}

/* Two VIs of each, whose requests cross: two connections, each request in exactly one. */
static void test_cross(void **state)
{
	(void)state;
	assert_int_equal(peer(&srv, 0, "a", "b", 1000), 0);
	assert_int_equal(peer(&cli, 1, "d", "c", 1000), 0);
	assert_int_equal(peer(&cli, 0, "b", "a", 1000), 0);
	assert_int_equal(peer(&srv, 1, "c", "d", 1000), 0);
	assert_int_equal(fake.nevents, 4);
	assert_connected(&srv, 0, &cli, 0);
	assert_connected(&srv, 1, &cli, 1);
	assert_none_pending();
}

static void test_one_sided(void **state)
{
	struct ka_addr longer = addr("ab"), shorter = addr("a");
	int i;

	(void)state;
	assert_int_equal(peer(&srv, 0, "a", "b", 1000), 0);
	/* each half of the match is not enough, nor is the same request once more */
	assert_int_equal(peer(&cli, 0, "b", "c", 1000), 0);
	assert_int_equal(peer(&cli, 1, "a", "b", 1000), 0);
	assert_int_equal(disconnect(&cli, cli.vi[0]), 0);
	assert_int_equal(peer(&cli, 0, "c", "a", 1000), 0);
	assert_int_equal(disconnect(&cli, cli.vi[0]), 0);
	assert_int_equal(peer(&cli, 0, "b", "ab", 1000), 0);
	/* where one address ends and the next begins counts */
	shorter.disc_len = 2;
	shorter.bytes[2] = 'c';
	assert_int_equal(ask_peer(&srv, srv.vi[1], 1, longer, shorter, 1000), 0);
	tick(999);
	assert_int_equal(fake.nevents, 2); /* of the disconnects */
	tick(1);
	for (i = 2; i < 6; i++)
		assert_int_equal(fake.events[i].event.err, -ETIMEDOUT);
	assert_int_equal(fake.nevents, 6);
	assert_none_pending();
	assert_int_equal(ka_core_deadline(&core), KA_NEVER);
}

static void test_other_host(void **state)
{
	struct ka_addr far_a = addr("a"), far_b = addr("b");

	(void)state;
	far_a.bytes[0] = far_b.bytes[0] = KA_NIC_ADDR + 1;
	assert_int_equal(ask_peer(&srv, srv.vi[0], 1, far_a, far_b, 100), 0);
	assert_int_equal(ask_peer(&cli, cli.vi[0], 2, far_b, far_a, 100), 0);
	assert_int_equal(ask_peer(&srv, srv.vi[1], 3, far_a, addr("b"), 100), 0);
	assert_int_equal(ask_peer(&cli, cli.vi[1], 4, addr("b"), far_a, 100), 0);
	tick(99);
	assert_int_equal(fake.nevents, 0);
	tick(1);
	assert_int_equal(fake.nevents, 4);
	assert_int_equal(fake_last(&srv)->event.err, -ETIMEDOUT);
	assert_int_equal(fake_last(&cli)->event.err, -ETIMEDOUT);
}

static void test_mismatch(void **state)
{
	static const int want[] = {-EBADR, -EMSGSIZE, -ENOPROTOOPT};
	const struct ka_event *ev;
	struct ka_vi_attr attr;
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		attr = plain;
		attr.level = i == 0 ? VIP_SERVICE_UNRELIABLE : plain.level;
		attr.max_transfer += i == 1;
		attr.qos = i == 2;
		assert_int_equal(set_vi(&cli, KA_OP_VI_SET, cli.vi[0], attr), 0);
		assert_int_equal(peer(&srv, 0, "a", "b", 1000), 0);
		assert_int_equal(peer(&cli, 0, "b", "a", 1000), 0);
		assert_null(ans.give.region);
		ev = expect(&srv, KA_EV_CONN, want[i], 100);
		assert_int_equal(ev->info.vi, srv.vi[0]);
		assert_int_equal(ev->info.peer.level, attr.level);
		assert_int_equal(ev->info.peer.max_transfer, attr.max_transfer);
		assert_int_equal(ev->info.peer.qos, attr.qos);
		ev = expect(&cli, KA_EV_CONN, want[i], 100);
		assert_int_equal(ev->info.peer.level, plain.level);
		assert_int_equal(state_of(&srv, 0), KA_VI_IDLE);
		assert_int_equal(state_of(&cli, 0), KA_VI_IDLE);
		assert_none_pending();
	}
	assert_int_equal(core.stat[KA_STAT_connections_refused], 3);
	/* RDMA rights need not match */
	attr = plain;
	attr.rdma = KA_R_RDMA_WRITE;
	assert_int_equal(set_vi(&cli, KA_OP_VI_SET, cli.vi[0], attr), 0);
	fake_reset();
	meet(&srv, &cli);
	assert_int_equal(fake_last(&srv)->event.info.peer.rdma, KA_R_RDMA_WRITE);
}

static void test_fifo(void **state)
{
	(void)state;
	assert_int_equal(peer(&srv, 1, "a", "b", 1000), 0);
	assert_int_equal(peer(&srv, 0, "a", "b", 1000), 0);
	assert_int_equal(peer(&cli, 0, "b", "a", 1000), 0);
	assert_connected(&srv, 1, &cli, 0);
	assert_int_equal(state_of(&srv, 0), KA_VI_PENDING);
	assert_int_equal(peer(&cli, 1, "b", "a", 1000), 0);
	assert_connected(&srv, 0, &cli, 1);
}

/* Both ends in one process, also at one address; but never a VI with itself. */
static void test_self(void **state)
{
	(void)state;
	assert_int_equal(peer(&srv, 0, "x", "x", 1000), 0);
	assert_int_equal(fake.nevents, 0);
	assert_int_equal(peer(&srv, 0, "x", "x", 1000), -EISCONN);
	assert_int_equal(state_of(&srv, 0), KA_VI_PENDING);
	assert_int_equal(peer(&srv, 1, "x", "x", 1000), 0);
	assert_connected(&srv, 0, &srv, 1);
	assert_int_equal(fake.nevents, 2);
	assert_int_equal(simple(&srv, KA_OP_CLOSE), 0);
	assert_int_equal(fake.nevents, 2); /* nobody is left to be told */
}

static void test_timeout(void **state)
{
	(void)state;
	assert_int_equal(peer(&srv, 0, "a", "b", 0), -EINVAL);
	assert_int_equal(peer(&srv, 0, "a", "b", 100), 0);
	assert_int_equal(peer(&srv, 1, "a", "b", KA_INFINITE), 0);
	assert_int_equal(peer(&cli, 0, "c", "d", 50), 0);
	assert_int_equal(ka_core_deadline(&core), now + 50);
	tick(50);
	expect(&cli, KA_EV_CONN, -ETIMEDOUT, 100);
	assert_int_equal(ka_core_deadline(&core), now + 50);
	tick(50);
	expect(&srv, KA_EV_CONN, -ETIMEDOUT, 100);
	assert_int_equal(state_of(&srv, 0), KA_VI_IDLE);
	assert_int_equal(ka_core_deadline(&core), KA_NEVER);
	tick(1000000);
	/* the one that has gone is not found any more, the one without an end is */
	assert_int_equal(peer(&cli, 0, "b", "a", 100), 0);
	assert_connected(&srv, 1, &cli, 0);
	assert_int_equal(state_of(&srv, 0), KA_VI_IDLE);
}

static void test_disconnect(void **state)
{
	(void)state;
	assert_int_equal(peer(&srv, 0, "a", "b", 1000), 0);
	assert_int_equal(set_vi(&srv, KA_OP_VI_SET, srv.vi[0], plain), -EBUSY);
	assert_int_equal(set_vi(&srv, KA_OP_VI_DESTROY, srv.vi[0], plain), -EBUSY);
	assert_int_equal(disconnect(&srv, srv.vi[0]), 0);
	expect(&srv, KA_EV_CONN, -ECANCELED, 100);
	assert_int_equal(state_of(&srv, 0), KA_VI_IDLE);
	assert_none_pending();
	assert_int_equal(peer(&cli, 0, "b", "a", 1000), 0);
	assert_int_equal(state_of(&cli, 0), KA_VI_PENDING);
	assert_int_equal(fake.nevents, 1);
	assert_int_equal(set_vi(&srv, KA_OP_VI_DESTROY, srv.vi[0], plain), 0);
}

/* One of two ends goes while its request is pending: the other may then wait for somebody else. */
static void test_leave_pending(void **state)
{
	(void)state;
	assert_int_equal(peer(&cli, 0, "a", "b", 1000), 0);
	assert_int_equal(simple(&cli, KA_OP_CLOSE), 0);
	expect(&cli, KA_EV_CONN, -ECANCELED, 100);
	assert_none_pending();
	assert_int_equal(peer(&srv, 0, "b", "a", 1000), 0);
	leave(&srv);
	assert_int_equal(fake.nevents, 1); /* who has gone is told nothing */
	assert_none_pending();
}

static void test_leave_connected(void **state)
{
	(void)state;
	meet(&srv, &cli);
	leave(&srv);
	expect_lost(&cli, cli.vi[0], KA_DOWN_DEAD);
	assert_int_equal(disconnect(&cli, cli.vi[0]), 0);
}

/* The two models never meet. */
static void test_models(void **state)
{
	struct ka_req wait = {.op = KA_OP_CONN_WAIT, .u.wait = {9, 1000, 0, addr("a")}};
	struct ka_req req = {.op = KA_OP_CONN_REQUEST};

	(void)state;
	req.u.request.cookie = 7;
	req.u.request.timeout_ms = 1000;
	req.u.request.grace_ms = 500;
	req.u.request.local = addr("b");
	req.u.request.remote = addr("a");
	/* a peer is there, then a client: nobody waits for it */
	assert_int_equal(peer(&srv, 0, "a", "b", KA_INFINITE), 0);
	req.u.request.vi = cli.vi[0];
	assert_int_equal(ask(&cli, &req), 0);
	tick(500);
	expect(&cli, KA_EV_CONN, -ENOENT, 7);
	/* a client, then a peer; a server, then a peer */
	assert_int_equal(ask(&cli, &req), 0);
	assert_int_equal(peer(&srv, 1, "a", "b", 300), 0);
	tick(500);
	expect(&cli, KA_EV_CONN, -ENOENT, 7);
	expect(&srv, KA_EV_CONN, -ETIMEDOUT, 101);
	assert_int_equal(ask(&srv, &wait), 0);
	assert_int_equal(peer(&cli, 1, "b", "a", 300), 0);
	assert_connected(&srv, 0, &cli, 1); /* and not with the wait */
	tick(1000);
	expect(&srv, KA_EV_WAIT, -ETIMEDOUT, 9);
	/* a VI that waits for a peer asks no server */
	assert_int_equal(disconnect(&cli, cli.vi[1]), 0);
	assert_int_equal(peer(&cli, 1, "b", "a", 300), 0);
	req.u.request.vi = cli.vi[1];
	assert_int_equal(ask(&cli, &req), -EISCONN);
}

static void test_bad(void **state)
{
	struct ka_addr bad = addr("x");
	int allow;

	(void)state;
	bad.disc_len = KA_MAX_DISC + 1;
	assert_int_equal(ask_peer(&cli, cli.vi[0], 1, addr("x"), bad, 10), -EINVAL);
	assert_int_equal(ask_peer(&cli, cli.vi[0], 1, bad, addr("x"), 10), -EINVAL);
	bad = (struct ka_addr){.host_len = UINT16_MAX, .disc_len = 2};
	assert_int_equal(ask_peer(&cli, cli.vi[0], 1, bad, addr("x"), 10), -EINVAL);
	assert_int_equal(ask_peer(&cli, 12345, 1, addr("x"), addr("y"), 10), -EINVAL);
	assert_int_equal(state_of(&cli, 0), KA_VI_IDLE);
	/* no memory: for the request, for the link, for its region; whoever waits goes on waiting */
	fake.allow = 0;
	assert_int_equal(peer(&cli, 0, "b", "a", 1000), -ENOMEM);
	fake.allow = -1;
	assert_int_equal(peer(&srv, 0, "a", "b", 1000), 0);
	for (allow = 0; allow < 2; allow++) {
		fake.allow = allow;
		assert_int_equal(peer(&cli, 0, "b", "a", 1000), -ENOMEM);
		assert_int_equal(state_of(&cli, 0), KA_VI_IDLE);
		assert_int_equal(state_of(&srv, 0), KA_VI_PENDING);
		assert_false(ans.has_event);
	}
	fake.allow = -1;
	assert_int_equal(fake.nevents, 0);
	assert_int_equal(peer(&cli, 0, "b", "a", 1000), 0);
	assert_connected(&srv, 0, &cli, 0);
}

/* As many as there are VIs, of one process: all have the same addresses, then all another. */
static void test_many(void **state)
{
	static uint32_t vi[2][KA_MAX_VIS];
	struct end *ends[] = {&srv, &cli};
	uint32_t i, side;
	char disc[16];

	(void)state;
	for (side = 0; side < 2; side++)
		for (i = 0; i < KA_MAX_VIS - 2; i++) {
			assert_int_equal(set_vi(ends[side], KA_OP_VI_CREATE, 0, plain), 0);
			vi[side][i] = ans.rep.u.vi.vi;
		}
	for (i = 0; i < KA_MAX_VIS - 2; i++)
		assert_int_equal(ask_peer(&srv, vi[0][i], i, addr("same"), addr("other"), 5), 0);
	tick(5);
	assert_int_equal(fake.nevents, KA_MAX_VIS - 2);
	assert_none_pending();
	for (i = 0; i < KA_MAX_VIS - 2; i++) {
		snprintf(disc, sizeof(disc), "%u", i);
		assert_int_equal(ask_peer(&srv, vi[0][i], i, addr(disc), addr("x"), KA_INFINITE), 0);
	}
	for (i = 0; i < KA_MAX_VIS - 2; i++) {
		snprintf(disc, sizeof(disc), "%u", i);
		assert_int_equal(ask_peer(&cli, vi[1][i], i, addr("x"), addr(disc), 1), 0);
		expect(&cli, KA_EV_CONN, 0, i);
		expect(&srv, KA_EV_CONN, 0, i);
	}
	assert_none_pending();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_meet),
		TEST(test_cross),
		TEST(test_one_sided),
		TEST(test_other_host),
		TEST(test_mismatch),
		TEST(test_fifo),
		TEST(test_self),
		TEST(test_timeout),
		TEST(test_disconnect),
		TEST(test_leave_pending),
		TEST(test_leave_connected),
		TEST(test_models),
		TEST(test_bad),
		TEST(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
