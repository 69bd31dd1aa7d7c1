/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_users.c - an agent of several users: who meets whom, and who sees whose rows.
 */
#include "tests/unit/ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int users(void **state)
{
	setup(state);
	core.users_apart = true;
	srv.proc->user = 1;
	cli.proc->user = 2;
	return 0;
}

static int wait_at(struct end *e, uint64_t cookie)
{
	struct ka_req req = {.op = KA_OP_CONN_WAIT, .u.wait = {cookie, 1000, 0, addr("a")}};

	return ask(e, &req);
}

static int request(struct end *e, uint64_t cookie)
{
	struct ka_req req = {.op = KA_OP_CONN_REQUEST,
			     .u.request = {cookie, e->vi[0], 1000, 100, 0, addr("z"), addr("a")}};

	return ask(e, &req);
}

static int peer(struct end *e, const char *local, const char *remote)
{
	struct ka_req req = {.op = KA_OP_CONN_PEER,
			     .u.request = {7, e->vi[1], 1000, 0, 0, addr(local), addr(remote)}};

	return ask(e, &req);
}

/* Each order of the two, and each kind: nobody hears of the other. */
static void apart(void **state)
{
	(void)state;
	assert_int_equal(wait_at(&srv, 1), 0);
	assert_int_equal(request(&cli, 2), 0);
	assert_int_equal(wait_at(&srv, 3), 0);
	assert_int_equal(peer(&srv, "p", "q"), 0);
	assert_int_equal(peer(&cli, "q", "p"), 0);
	assert_int_equal(fake.nevents, 0);
	tick(100);
	expect(&cli, KA_EV_CONN, -ENOENT, 2);
	assert_int_equal(request(&cli, 4), 0);
	assert_int_equal(wait_at(&cli, 5), 0); /* its own request */
	expect(&cli, KA_EV_WAIT, 0, 5);
}

static void together(void **state)
{
	(void)state;
	core.users_apart = false;
	assert_int_equal(wait_at(&srv, 1), 0);
	assert_int_equal(request(&cli, 2), 0);
	expect(&srv, KA_EV_WAIT, 0, 1);
	assert_int_equal(peer(&srv, "p", "q"), 0);
	assert_int_equal(peer(&cli, "q", "p"), 0);
	expect(&cli, KA_EV_CONN, 0, 7);
}

static uint32_t rows(struct end *e, uint32_t kind)
{
	struct ka_req req = {.op = KA_OP_INSPECT, .u.inspect.kind = kind};

	assert_int_equal(ask(e, &req), 0);
	return ans.rep.nrecs;
}

static void sees(void **state)
{
	(void)state;
	assert_int_equal(rows(&srv, VIPX_PROC), 1);
	assert_int_equal(ans.recs[0].pid, 100);
	assert_int_equal(rows(&cli, VIPX_VI), 2);
	assert_int_equal(ans.recs[0].pid, 200);
	srv.proc->sees_all = true;
	assert_int_equal(rows(&srv, VIPX_PROC), 2);
	assert_int_equal(rows(&srv, VIPX_VI), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(apart, users, teardown),
		cmocka_unit_test_setup_teardown(together, users, teardown),
		cmocka_unit_test_setup_teardown(sees, users, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
