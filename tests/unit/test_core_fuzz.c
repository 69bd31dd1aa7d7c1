/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_core_fuzz.c - requests at random, half of them well-formed, with memory
 * that runs out now and then: no crash, every answer sane, and nothing left
 * once all processes have gone.
 */
#include "tests/unit/fake_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

static struct ka_core core;
static struct ka_answer ans;

#define PROCS  6u
#define ROUNDS 200000u

struct known { /* numbers that were answered once: likely to be worth another try */
	uint32_t nic, tag, vi, handle;
	uint64_t start; /* of the region `handle` */
	uint64_t conn;
};

static uint64_t rnd;

static uint32_t pick(uint32_t n)
{
	return (uint32_t)(fake_rand(&rnd) >> 20) % n;
}

static struct ka_addr any_addr(void)
{
	struct ka_addr a = {.host_len = 1, .disc_len = 1, .bytes = {KA_NIC_ADDR, (uint8_t)pick(2)}};

	if (pick(30) == 0)
		a.disc_len = (uint16_t)fake_rand(&rnd);
	if (pick(30) == 0)
		a.host_len = (uint16_t)fake_rand(&rnd);
	return a;
}

static struct ka_vi_attr any_attr(const struct known *k)
{
	return (struct ka_vi_attr){.level = pick(20) == 0 ? pick(9) : 2,
				   .tag = k->tag,
				   .max_transfer = pick(10) == 0,
				   .wake_send =
					   pick(30) == 0 ? (uint32_t)fake_rand(&rnd) : pick(KA_WAKE_WORDS),
				   .wake_recv = pick(KA_WAKE_WORDS)};
}

static uint64_t any_place(void)
{
	const uint64_t places[] = {PRIVATE_AT, SEG_AT(1), SEG_AT(2), SHMEM_AT(1), FILE_AT(1), MIXED_AT};

	return places[pick(sizeof(places) / sizeof(places[0]))];
}

static struct ka_req any_request(const struct known *k)
{
	struct ka_req req;
	unsigned char *byte = (unsigned char *)&req;
	size_t i;

	for (i = 0; i < sizeof(req); i++)
		byte[i] = (unsigned char)fake_rand(&rnd);
	req.op = pick(KA_OP_CONN_PEER + 1);
	req.nic = k->nic;
	if (req.op == KA_OP_CLOSE && pick(20) != 0)
		req.op = KA_OP_VI_CREATE;
	if (pick(10) == 0)
		return req;
	switch (req.op) {
	case KA_OP_PTAG_DESTROY:
		req.u.ptag.tag = k->tag;
		break;
	case KA_OP_MEM_GONE:
		if (pick(10) != 0)
			req.op = KA_OP_MEM_REG;
		/* fall through */
	case KA_OP_MEM_REG:
	case KA_OP_MEM_UNCOVERED:
		req.u.reg.start = any_place() + pick(20 * 4096);
		req.u.reg.length = pick(12 * 4096);
		req.u.reg.level = pick(30) == 0 ? pick(9) : pick(3);
		req.u.reg.watched = pick(2);
		req.u.reg.tag = k->tag;
		req.u.reg.rdma = pick(4) * 2;
		break;
	case KA_OP_MEM_DEREG:
	case KA_OP_MEM_REFUSED:
	case KA_OP_MEM_SET:
		req.u.mem.handle = k->handle;
		req.u.mem.start = k->start;
		req.u.mem.tag = k->tag;
		req.u.mem.rdma = pick(4) * 2;
		break;
	case KA_OP_VI_CREATE:
	case KA_OP_VI_SET:
		req.u.vi.attr = any_attr(k);
		/* fall through */
	case KA_OP_VI_DESTROY:
	case KA_OP_DISCONNECT:
		req.u.vi.vi = k->vi;
		break;
	case KA_OP_CONN_WAIT:
		req.u.wait.timeout_ms = pick(4) == 0 ? KA_INFINITE : pick(300);
		req.u.wait.local = any_addr();
		break;
	case KA_OP_CONN_REQUEST:
	case KA_OP_CONN_PEER:
		req.u.request.vi = k->vi;
		req.u.request.timeout_ms = pick(300);
		req.u.request.grace_ms = pick(300);
		req.u.request.local = any_addr();
		req.u.request.remote = any_addr();
		break;
	case KA_OP_CONN_ACCEPT:
	case KA_OP_CONN_REJECT:
		req.u.accept.conn = k->conn;
		req.u.accept.vi = k->vi;
		break;
	case KA_OP_INSPECT:
		req.u.inspect.kind = pick(VIPX_STAT + 2);
		req.u.inspect.cursor = pick(2) ? pick(1000) : 0;
		break;
	}
	return req;
}

static void learn(struct known *k, const struct ka_req *req)
{
	if (ans.rep.err != 0)
		return;
	if (req->op == KA_OP_OPEN) {
		k->nic = ans.rep.u.open.nic;
		k->tag = ans.rep.u.open.tag;
	} else if (req->op == KA_OP_PTAG_CREATE && pick(4) == 0) {
		k->tag = ans.rep.u.ptag.tag;
	} else if (req->op == KA_OP_VI_CREATE) {
		k->vi = ans.rep.u.vi.vi;
	} else if (req->op == KA_OP_MEM_REG) {
		k->handle = ans.rep.u.mem.handle;
		k->start = req->u.reg.start;
	}
}

/* Each region whose memory is there has an area, and nothing else has. */
static void check(const struct ka_proc *proc)
{
	struct lmm_counts counts;
	const struct ka_nic *nic;
	uint32_t i, areas = 0;

	for (nic = proc->nics; nic != NULL; nic = nic->next)
		for (i = 0; i < KA_TPT_ENTRIES; i++)
			areas += nic->mem.tpt[i].handle != 0 && nic->mem.tpt[i].tag != 0;
	lmm_get_counts(proc->lmm, &counts);
	assert_int_equal(counts.areas, areas);
	assert_int_equal(counts.lmas > 0, areas > 0);
	assert_int_equal(proc->regions != NULL, areas > 0);
}

static void test_fuzz(void **state)
{
	struct known known[PROCS] = {0};
	struct ka_proc *procs[PROCS] = {0};
	uint64_t now = 5, seed = 0xfeedbeef1234567ull;
	uint32_t rounds = RUNNING_ON_VALGRIND ? ROUNDS / 10 : ROUNDS, round, i, connections = 0, peers = 0,
		 deregs = 0, gone = 0;
	const struct fake_event *ev;
	struct ka_req req;

	(void)state;
	ka_core_init(&core, PAGE, 42);
	print_message("seed 0x%llx\n", (unsigned long long)seed);
	if (rounds < ROUNDS)
		print_message("REDUCED: %u rounds of %u: valgrind\n", rounds, ROUNDS);
	rnd = seed;
	for (round = 0; round < rounds; round++) {
		i = pick(PROCS);
		if (procs[i] == NULL) {
			procs[i] = ka_core_enter(&core, &procs[i], i, "fuzz");
			known[i] = (struct known){0};
		}
		if (pick(4000) == 0) {
			ka_core_exit(&core, procs[i]);
			procs[i] = NULL;
			continue;
		}
		fake.allow = pick(40) == 0 ? (long)pick(3) : -1;
		req = any_request(&known[pick(30) == 0 ? pick(PROCS) : i]);
		ka_core_request(&core, procs[i], &req, now, &ans);
		fake.allow = -1;
		assert_true(ans.rep.err <= 0 && ans.rep.nranges <= KA_MAX_RANGES &&
			    ans.rep.nrecs <= KA_MAX_RECS);
		assert_int_equal(ans.rep.err != 0, ans.rep.text[0] != '\0');
		connections += req.op == KA_OP_CONN_ACCEPT && ans.rep.err == 0;
		peers += req.op == KA_OP_CONN_PEER && ans.has_event && ans.event.err == 0;
		gone += req.op == KA_OP_MEM_SET && ans.rep.err == -EFAULT;
		deregs += req.op == KA_OP_MEM_DEREG && ans.rep.err == 0;
		learn(&known[i], &req);
		ev = fake_last(&procs[i]);
		if (ans.has_event && ans.event.type == KA_EV_WAIT && ans.event.err == 0)
			known[i].conn = ans.event.conn;
		else if (ev != NULL && ev->event.type == KA_EV_WAIT && ev->event.err == 0)
			known[i].conn = ev->event.conn;
		if (pick(500) == 0)
			check(procs[i]);
		if (pick(50) == 0) {
			now += pick(100);
			ka_core_tick(&core, now);
			assert_true(ka_core_deadline(&core) > now);
		}
	}
	print_message("%u connections, %u of peers, %u deregistrations, %u times memory that had gone\n",
		      connections, peers, deregs, gone);
	/* how often all that happened, of a part of the rounds in proportion */
	assert_true(connections > rounds / 4000 && peers > rounds / 2000 && deregs > rounds / 2000 &&
		    gone > rounds / 20000);
	while (core.procs != NULL)
		ka_core_exit(&core, core.procs);
	assert_null(core.waits);
	assert_null(core.requests);
	assert_int_equal(core.openers, 0);
	assert_int_equal(fake.live, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_fuzz)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
