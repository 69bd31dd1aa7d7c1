/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ends.c - see ends.h. */
#include "tests/unit/ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct ka_core core;
struct ka_answer ans;
struct end srv, cli;
uint64_t now;

int ask(struct end *e, struct ka_req *req)
{
	req->nic = e->nic;
	ka_core_request(&core, e->proc, req, now, &ans);
	if (ans.has_event)
		ka_host_event(e, &ans.event, &ans.give);
	assert_int_equal(ans.rep.err != 0, ans.rep.text[0] != '\0');
	return ans.rep.err;
}

const struct ka_vi_attr plain = {
	.level = VIP_SERVICE_RELIABLE_DELIVERY, .max_transfer = 4096, .wake_send = 1, .wake_recv = 2};

int set_vi(struct end *e, enum ka_op op, uint32_t vi, struct ka_vi_attr attr)
{
	struct ka_req req = {.op = op};

	attr.tag = 1;
	req.u.vi.vi = vi;
	req.u.vi.attr = attr;
	return ask(e, &req);
}

static void enter(struct end *e, uint32_t pid)
{
	struct ka_req req = {.op = KA_OP_OPEN};
	int i;

	e->proc = ka_core_enter(&core, e, pid, "test");
	assert_int_equal(ask(e, &req), 0);
	e->nic = ans.rep.u.open.nic;
	assert_int_equal(ans.rep.u.open.tag, 1);
	for (i = 0; i < 2; i++) {
		assert_int_equal(set_vi(e, KA_OP_VI_CREATE, 0, plain), 0);
		e->vi[i] = ans.rep.u.vi.vi;
	}
}

int setup(void **state)
{
	(void)state;
	fake_reset();
	now = 1000;
	ka_core_init(&core, PAGE, 1);
	enter(&srv, 100);
	enter(&cli, 200);
	return 0;
}

void leave(struct end *e)
{
	if (e->proc != NULL)
		ka_core_exit(&core, e->proc);
	e->proc = NULL;
}

int teardown(void **state)
{
	uint32_t i;

	(void)state;
	leave(&srv);
	leave(&cli);
	assert_null(core.waits);
	assert_null(core.requests);
	for (i = 0; i < KA_PEER_BUCKETS; i++)
		assert_null(core.peers[i]);
	assert_null(core.procs);
	assert_int_equal(core.openers, 0);
	assert_int_equal(fake.live, 0);
	return 0;
}

struct ka_addr addr(const char *disc)
{
	struct ka_addr a = {.host_len = 1, .disc_len = (uint16_t)strlen(disc), .bytes = {KA_NIC_ADDR}};

	memcpy(a.bytes + 1, disc, strlen(disc));
	return a;
}

int disconnect(struct end *e, uint32_t vi)
{
	struct ka_req req = {.op = KA_OP_DISCONNECT, .u.vi.vi = vi};

	return ask(e, &req);
}

int simple(struct end *e, enum ka_op op)
{
	struct ka_req req = {.op = op};

	return ask(e, &req);
}

const struct ka_event *expect(struct end *e, uint32_t type, int err, uint64_t cookie)
{
	const struct fake_event *f = fake_last(e);

	assert_non_null(f);
	assert_int_equal(f->event.type, type);
	assert_int_equal(f->event.err, err);
	assert_int_equal(f->event.cookie, cookie);
	assert_int_equal(f->event.nic, e->nic);
	return &f->event;
}

void expect_lost(struct end *e, uint32_t vi, uint32_t down)
{
	const struct ka_event *ev = expect(e, KA_EV_LOST, 0, 0);

	assert_int_equal(ev->info.vi, vi);
	assert_int_equal(ev->down, down);
}

void tick(uint64_t ms)
{
	now += ms;
	ka_core_tick(&core, now);
}
