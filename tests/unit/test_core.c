/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_core.c - processes, NIC handles, tags, VIs, registration and INSPECT
 * through requests, and bad numbers in each of them.
 */
#include "tests/unit/fake_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct ka_core core;
static struct ka_answer ans;
static struct ka_proc *proc;
static uint32_t nic, tag;

static int ask_as(struct ka_proc *p, struct ka_req req)
{
	ka_core_request(&core, p, &req, 1000, &ans);
	assert_int_equal(ans.rep.err != 0, ans.rep.text[0] != '\0');
	return ans.rep.err;
}

static int ask(struct ka_req req)
{
	return ask_as(proc, req);
}

static int ask_nic(uint32_t op)
{
	return ask((struct ka_req){.op = op, .nic = nic});
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	ka_core_init(&core, PAGE, 42);
	proc = ka_core_enter(&core, &proc, 100, "a name that is long");
	assert_int_equal(ask((struct ka_req){.op = KA_OP_OPEN}), 0);
	assert_non_null(ans.give.nic);
	nic = ans.rep.u.open.nic;
	tag = ans.rep.u.open.tag;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (core.procs != NULL)
		ka_core_exit(&core, core.procs);
	assert_int_equal(core.openers, 0);
	assert_int_equal(fake.live, 0);
	return 0;
}

static int reg(uint64_t start, uint64_t length, uint32_t rdma)
{
	return ask((struct ka_req){
		.op = KA_OP_MEM_REG, .nic = nic, .u.reg = {start, length, tag, rdma, LMM_LOCKED, 1}});
}

static int gone(uint64_t start, uint64_t length)
{
	return ask((struct ka_req){.op = KA_OP_MEM_GONE, .u.reg = {.start = start, .length = length}});
}

static void expect_range(uint32_t i, uint64_t start, uint64_t pages)
{
	assert_true(i < ans.rep.nranges);
	assert_int_equal(ans.ranges[i].start, start);
	assert_int_equal(ans.ranges[i].length, pages * PAGE);
}

static int dereg(uint64_t start, uint32_t handle)
{
	return ask((struct ka_req){
		.op = KA_OP_MEM_DEREG, .nic = nic, .u.mem = {.start = start, .handle = handle}});
}

static int mem_set(uint64_t start, uint32_t handle, uint32_t new_tag, uint32_t rdma)
{
	return ask(
		(struct ka_req){.op = KA_OP_MEM_SET, .nic = nic, .u.mem = {start, handle, new_tag, rdma, 0}});
}

static int make_vi(struct ka_vi_attr attr)
{
	return ask((struct ka_req){.op = KA_OP_VI_CREATE, .nic = nic, .u.vi.attr = attr});
}

static void test_hello(void **state)
{
	struct ka_req req = {.op = KA_OP_HELLO, .u.hello = {KA_MAGIC, KA_VERSION}};

	(void)state;
	assert_int_equal(ask_as(NULL, req), 0);
	assert_int_equal(ans.rep.u.hello.pid, 42);
	req.u.hello.version++;
	assert_int_equal(ask(req), -EPROTO);
	assert_int_equal(ans.rep.u.hello.version, KA_VERSION);
	req.u.hello.magic = 0;
	assert_int_equal(ask(req), -EPROTO);
	assert_int_equal(ask_nic(0), -ENOSYS);
	assert_int_equal(ask_nic(999), -ENOSYS);
}

static void test_nics(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 1; i < KA_MAX_NICS; i++)
		assert_int_equal(ask((struct ka_req){.op = KA_OP_OPEN}), 0);
	assert_int_equal(ask((struct ka_req){.op = KA_OP_OPEN}), -ENOSPC);
	assert_int_equal(ask_nic(KA_OP_CLOSE), 0);
	assert_int_equal(ask_nic(KA_OP_CLOSE), -EINVAL);
	for (i = 0; i < 4; i++) {
		fake.allow = i;
		assert_int_equal(ask((struct ka_req){.op = KA_OP_OPEN}), -ENOMEM);
	}
	fake.allow = -1;
	assert_int_equal(ask((struct ka_req){.op = KA_OP_OPEN}), 0);
}

static void test_clients(void **state)
{
	struct ka_proc *p = NULL;
	uint32_t i;

	(void)state;
	for (i = 1; i <= KA_MAX_CLIENTS; i++) {
		p = ka_core_enter(&core, &core, i, "x");
		assert_int_equal(ask_as(p, (struct ka_req){.op = KA_OP_OPEN}),
				 i < KA_MAX_CLIENTS ? 0 : -ENOSPC);
	}
	ka_core_exit(&core, core.procs->next);
	assert_int_equal(ask_as(p, (struct ka_req){.op = KA_OP_OPEN}), 0);
}

static void test_tags(void **state)
{
	struct ka_req destroy = {.op = KA_OP_PTAG_DESTROY, .nic = nic, .u.ptag.tag = tag};
	uint32_t i, handle, first = 0;

	(void)state;
	assert_int_equal(ask(destroy), -EBUSY);
	for (i = 0; i < KA_MAX_PTAGS; i++) {
		assert_int_equal(ask_nic(KA_OP_PTAG_CREATE), 0);
		assert_int_not_equal(ans.rep.u.ptag.tag, 0);
		if (i == 0)
			first = ans.rep.u.ptag.tag;
	}
	assert_int_equal(ask_nic(KA_OP_PTAG_CREATE), -ENOSPC);
	destroy.u.ptag.tag = 0;
	assert_int_equal(ask(destroy), -EINVAL);
	destroy.u.ptag.tag = first;
	tag = first;
	assert_int_equal(reg(PRIVATE_AT, 1, 0), 0);
	handle = ans.rep.u.mem.handle;
	assert_int_equal(ask(destroy), -EBUSY);
	assert_int_equal(dereg(PRIVATE_AT, handle), 0);
	assert_int_equal(ask(destroy), 0);
	assert_int_equal(ask(destroy), -EINVAL);
	assert_int_equal(ask_nic(KA_OP_PTAG_CREATE), 0);
}

static void test_vis(void **state)
{
	struct ka_vi_attr attr = {.level = 2, .tag = tag}, bad;
	struct ka_req req = {.op = KA_OP_VI_DESTROY, .nic = nic};
	uint32_t i, id;

	(void)state;
	bad = attr;
	bad.wake_send = KA_WAKE_WORDS;
	assert_int_equal(make_vi(bad), -EINVAL);
	bad = attr;
	bad.wake_recv = UINT32_MAX;
	assert_int_equal(make_vi(bad), -EINVAL);
	bad = attr;
	bad.level = 3;
	assert_int_equal(make_vi(bad), -EINVAL);
	bad = attr;
	bad.rdma = KA_R_WRITE;
	assert_int_equal(make_vi(bad), -EINVAL);
	bad = attr;
	bad.tag = tag + 1;
	assert_int_equal(make_vi(bad), -ENOKEY);
	for (i = 0; i < KA_MAX_VIS; i++)
		assert_int_equal(make_vi(attr), 0);
	id = ans.rep.u.vi.vi;
	assert_int_equal(make_vi(attr), -ENOSPC);
	req.u.vi.vi = id;
	assert_int_equal(ask(req), 0);
	assert_int_equal(ask(req), -EINVAL);
	assert_int_equal(make_vi(attr), 0);
	assert_int_not_equal(ans.rep.u.vi.vi, id);
	req.u.vi.vi = 0;
	assert_int_equal(ask(req), -EINVAL);
	req.u.vi.vi = UINT32_MAX;
	assert_int_equal(ask(req), -EINVAL);
}

static void test_registration(void **state)
{
	struct ka_tpt_entry e = {0};
	const struct ka_tpt_entry *table;
	const uint64_t *idle;
	uint32_t h;

	(void)state;
	idle = ka_cache_of(proc->nics->mem.wake)->idle;
	table = proc->nics->mem.tpt;
	assert_int_equal(reg(PRIVATE_AT + 10, 2 * PAGE, KA_R_RDMA_WRITE), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_NOP);
	h = ans.rep.u.mem.handle;
	assert_true(ka_tpt_check(table, idle, h, PRIVATE_AT + 10, 2 * PAGE, tag, KA_R_WRITE | KA_R_RDMA_WRITE,
				 &e));
	assert_int_equal(dereg(PRIVATE_AT, h), -EINVAL);
	assert_int_equal(dereg(PRIVATE_AT + 10, h + 1), -EINVAL);
	assert_int_equal(dereg(PRIVATE_AT + 10, 0), -EINVAL);
	assert_int_equal(mem_set(PRIVATE_AT + 9, h, tag, 0), -EINVAL);
	assert_int_equal(mem_set(PRIVATE_AT + 10 + 2 * PAGE, h, tag, 0), -EINVAL);
	assert_int_equal(mem_set(PRIVATE_AT + 11, h, tag, 8), -EINVAL);
	assert_int_equal(mem_set(PRIVATE_AT + 11, h, tag + 1, 0), -ENOKEY);
	assert_int_equal(mem_set(PRIVATE_AT + 11, h, tag, KA_R_RDMA_READ), 0);
	assert_true(ka_tpt_check(table, idle, h, PRIVATE_AT + 10, 1, tag, KA_R_WRITE | KA_R_RDMA_READ, &e));
	assert_int_equal(dereg(PRIVATE_AT + 10, h), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_UNLOCK);
	assert_int_equal(ans.rep.nranges, 1);
	assert_int_equal(ans.ranges[0].start, PRIVATE_AT);
	assert_int_equal(ans.ranges[0].length, 3 * PAGE);
	assert_int_equal(dereg(PRIVATE_AT + 10, h), -EINVAL);
	/* What the process may not write, nobody may. */
	assert_int_equal(reg(READ_ONLY_AT, PAGE, KA_R_RDMA_WRITE | KA_R_RDMA_READ), 0);
	assert_true(ka_tpt_get(table, ans.rep.u.mem.handle, &e));
	assert_int_equal(e.rights, KA_R_RDMA_READ | KA_R_DIRECT);
	/* A segment. */
	assert_int_equal(reg(SEG_AT(3) + PAGE + 5, 100, 0), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_LOCK);
	assert_int_equal(ans.rep.u.mem.seg.start, SEG_AT(3));
	assert_int_equal(ans.rep.u.mem.seg.length, SEG_BYTES);
	h = ans.rep.u.mem.handle;
	assert_true(ka_tpt_get(table, h, &e));
	assert_int_equal(e.kind, LMM_SYSV);
	assert_int_equal(e.object, 3);
	assert_int_equal(e.offset, PAGE + 5);
	assert_int_equal(e.object_bytes, SEG_BYTES);
	assert_int_equal(dereg(SEG_AT(3) + PAGE + 5, h), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_UNLOCK);
	assert_int_equal(ans.rep.u.mem.seg.start, SEG_AT(3));
	assert_int_equal(ans.rep.nranges, 1);
	assert_int_equal(ans.ranges[0].length, SEG_BYTES);
}

static void test_failed_registration(void **state)
{
	(void)state;
	assert_int_equal(reg(PRIVATE_AT, 0, 0), -EINVAL);
	assert_int_equal(ans.rep.nranges, 0);
	assert_int_equal(reg(UINT64_MAX - 5, 10, 0), -EINVAL);
	assert_int_equal(reg(UINT64_MAX - 5, 5, 0), -EINVAL);
	assert_int_equal(reg(PRIVATE_AT, UINT64_MAX, 0), -EINVAL);
	assert_int_equal(reg(PAGE, 10, 0), -EINVAL);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_UNLOCK);
	assert_int_equal(ans.rep.nranges, 1);
	assert_int_equal(ans.ranges[0].start, PAGE);
	assert_int_equal(ans.ranges[0].length, PAGE);
	assert_int_equal(reg(SEG_AT(1), SEG_BYTES + 1, 0), -EINVAL);
	assert_int_equal(reg(PRIVATE_AT, KA_MAX_BLOCK_BYTES + 1, 0), -EFBIG);
	assert_non_null(strstr(ans.rep.text, "1073741824"));
	assert_int_equal(reg(PRIVATE_AT, 1, 0x80000000), -EINVAL);
	tag++;
	assert_int_equal(reg(PRIVATE_AT, 1, 0), -ENOKEY);
	tag--;
	assert_int_equal(reg(PRIVATE_AT + PAGE, 2 * PAGE, 0), 0);
	fake.allow = 0;
	assert_int_equal(reg(SEG_AT(1), 1, 0), -ENOMEM);
	assert_int_equal(ans.rep.nranges, 1);
	fake.allow = -1;
	/* A covered page is not unlocked. */
	tag++;
	assert_int_equal(reg(PRIVATE_AT, 4 * PAGE, 0), -ENOKEY);
	tag--;
	assert_int_equal(ans.rep.nranges, 2);
	assert_int_equal(reg(PRIVATE_AT + PAGE, PAGE, 8), -EINVAL);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_NOP);
	nic++;
	assert_int_equal(reg(PRIVATE_AT, PAGE, 0), -EINVAL);
	assert_int_equal(ans.rep.nranges, 1);
	nic--;
	assert_int_equal(ask((struct ka_req){.op = KA_OP_MEM_UNCOVERED,
					     .nic = nic,
					     .u.reg = {.start = PRIVATE_AT, .length = 4 * PAGE}}),
			 0);
	assert_int_equal(ans.rep.nranges, 2);
	assert_int_equal(ask((struct ka_req){.op = KA_OP_MEM_UNCOVERED, .nic = nic}), -EINVAL);
}

static void test_region_limits(void **state)
{
	uint64_t i;

	(void)state;
	for (i = 0; i < KA_MAX_REG_BYTES / KA_MAX_BLOCK_BYTES; i++)
		assert_int_equal(reg(PRIVATE_AT, KA_MAX_BLOCK_BYTES, 0), 0);
	assert_int_equal(reg(PRIVATE_AT, 1, 0), -ENOSPC);
	assert_non_null(strstr(ans.rep.text, "68719476736"));
	assert_int_equal(dereg(PRIVATE_AT, ans.rep.u.mem.handle), -EINVAL);
	assert_int_equal(ask_nic(KA_OP_CLOSE), 0);
	assert_int_equal(ans.rep.nranges, 1);
	assert_int_equal(ask((struct ka_req){.op = KA_OP_OPEN}), 0);
	nic = ans.rep.u.open.nic;
	for (i = 0; i < KA_TPT_ENTRIES; i++)
		assert_int_equal(reg(PRIVATE_AT + 2 * i * PAGE, 1, 0), 0);
	assert_int_equal(reg(PRIVATE_AT, 1, 0), -ENOSPC);
	assert_non_null(strstr(ans.rep.text, "4096"));
	assert_int_equal(ask_nic(KA_OP_CLOSE), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_UNLOCK);
	assert_int_equal(ans.rep.nranges, KA_TPT_ENTRIES);
}

/* One handle's CLOSE leaves locked what another handle has registered, even when the ranges overflow. */
static void test_close_keeps_others(void **state)
{
	uint32_t other = 0, first = nic, i, j;
	struct lmm_counts counts;

	(void)state;
	assert_int_equal(reg(PRIVATE_AT, 20000 * PAGE, 0), 0);
	for (j = 0; j < 2; j++) {
		assert_int_equal(ask((struct ka_req){.op = KA_OP_OPEN}), 0);
		nic = other = ans.rep.u.open.nic;
		for (i = 0; i < KA_TPT_ENTRIES; i++)
			assert_int_equal(reg(PRIVATE_AT + (j * KA_TPT_ENTRIES + i) * 2 * PAGE, PAGE, 0), 0);
	}
	nic = first;
	assert_int_equal(ask_nic(KA_OP_CLOSE), 0);
	assert_int_equal(ans.rep.nranges, KA_MAX_RANGES);
	for (i = 0; i < ans.rep.nranges; i++) {
		assert_int_equal((ans.ranges[i].start - PRIVATE_AT) / PAGE % 2, 1);
		assert_int_equal(ans.ranges[i].length, PAGE);
	}
	nic = other;
	assert_int_equal(ask_nic(KA_OP_CLOSE), 0);
	assert_int_equal(ans.rep.nranges, KA_TPT_ENTRIES);
	lmm_get_counts(proc->lmm, &counts);
	assert_int_equal(counts.lmas, KA_TPT_ENTRIES);
}

/* Memory that a region lies in: what it is, how well it is held, and whether a NIC may touch it at once. */
static void test_kinds_and_levels(void **state)
{
	const struct ka_tpt_entry *table = proc->nics->mem.tpt;
	struct ka_req req = {.op = KA_OP_MEM_REG, .nic = nic};
	struct ka_tpt_entry e = {0};

	(void)state;
	req.u.reg.start = SHMEM_AT(3) + PAGE;
	req.u.reg.length = 10;
	req.u.reg.tag = tag;
	req.u.reg.level = LMM_PINNED;
	assert_int_equal(ask(req), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_LOCK);
	assert_true(ka_tpt_get(table, ans.rep.u.mem.handle, &e));
	assert_int_equal(e.rights, KA_R_WRITE); /* not watched: not direct */
	assert_int_equal(e.kind, LMM_SHMEM);
	assert_int_equal(e.dev, SHMEM_DEV);
	assert_int_equal(e.offset, 3 * PAGE);
	req.u.reg.watched = 1;
	assert_int_equal(ask(req), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_NOP);
	assert_true(ka_tpt_get(table, ans.rep.u.mem.handle, &e));
	assert_int_equal(e.rights, KA_R_WRITE | KA_R_DIRECT);
	assert_int_equal(mem_set(e.start, e.handle, tag, KA_R_RDMA_READ), 0);
	assert_true(ka_tpt_get(table, e.handle, &e));
	assert_int_equal(e.rights, KA_R_WRITE | KA_R_DIRECT | KA_R_RDMA_READ);
	/* A file may be truncated. */
	req.u.reg.start = FILE_AT(3);
	assert_int_equal(ask(req), 0);
	assert_true(ka_tpt_get(table, ans.rep.u.mem.handle, &e));
	assert_int_equal(e.rights, KA_R_WRITE);
	assert_int_equal(e.kind, LMM_FILE);
	/* Several mappings. */
	req.u.reg.start = MIXED_AT + 100;
	req.u.reg.length = 11 * PAGE;
	assert_int_equal(ask(req), 0);
	assert_true(ka_tpt_get(table, ans.rep.u.mem.handle, &e));
	assert_int_equal(e.kind, LMM_MIXED);
	assert_int_equal(e.object, 0);
	assert_int_equal(e.offset, 0);
	assert_int_equal(e.rights, 0); /* a part is read-only, and a part may be detached unheard */
	req.u.reg.start = MANY_AT;
	req.u.reg.length = MANY_PAGES * PAGE;
	assert_int_equal(ask(req), -E2BIG);
	assert_int_equal(ans.rep.nranges, 1);
	req.u.reg.start = PRIVATE_AT;
	req.u.reg.length = 1;
	req.u.reg.level = LMM_PINNED + 1;
	assert_int_equal(ask(req), -EINVAL);
	assert_int_equal(ans.rep.nranges, 1);
}

static void test_refused(void **state)
{
	struct ka_req req = {.op = KA_OP_MEM_REFUSED, .nic = nic};
	uint32_t first, second;

	(void)state;
	assert_int_equal(reg(SEG_AT(2), PAGE, 0), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_LOCK);
	first = ans.rep.u.mem.handle;
	req.u.mem.handle = first;
	req.u.mem.start = SEG_AT(2) + 1;
	assert_int_equal(ask(req), -EINVAL);
	req.u.mem.start--;
	assert_int_equal(ask(req), 0);
	assert_int_equal(reg(SEG_AT(2) + PAGE, PAGE, 0), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_NOP);
	second = ans.rep.u.mem.handle;
	assert_int_equal(dereg(SEG_AT(2), first), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_UNLOCK);
	expect_range(0, SEG_AT(2), 1);
	assert_int_equal(dereg(SEG_AT(2) + PAGE, second), 0);
	expect_range(0, SEG_AT(2) + PAGE, 1);
	/* An answer has one attachment: the second of an area is locked page by page. */
	assert_int_equal(reg(MIXED_AT + 12 * PAGE, 12 * PAGE, 0), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_LOCK);
	assert_int_equal(ans.rep.u.mem.seg.start, MIXED_AT + 12 * PAGE);
	assert_int_equal(core.stat[KA_STAT_segments_locked_page_by_page], 2);
	assert_int_equal(dereg(MIXED_AT + 12 * PAGE, ans.rep.u.mem.handle), 0);
	assert_int_equal(ans.rep.nranges, 1);
	expect_range(0, MIXED_AT + 12 * PAGE, 12);
}

static void test_gone(void **state)
{
	uint32_t first = nic, a, b, c, used;
	struct ka_tpt_entry e = {0};

	(void)state;
	used = proc->nics->tags->uses;
	assert_int_equal(reg(PRIVATE_AT, 4 * PAGE, KA_R_RDMA_READ), 0);
	a = ans.rep.u.mem.handle;
	assert_int_equal(reg(PRIVATE_AT + 6 * PAGE, 2 * PAGE, 0), 0);
	b = ans.rep.u.mem.handle;
	assert_int_equal(ask((struct ka_req){.op = KA_OP_OPEN}), 0);
	nic = ans.rep.u.open.nic;
	tag = ans.rep.u.open.tag;
	assert_int_equal(reg(PRIVATE_AT + 3 * PAGE + 5, 10, 0), 0);
	c = ans.rep.u.mem.handle;

	/* One byte of page 3: two regions, of two NIC handles. */
	assert_int_equal(gone(PRIVATE_AT + 3 * PAGE + 100, 1), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_UNLOCK);
	assert_int_equal(ans.rep.nranges, 1);
	expect_range(0, PRIVATE_AT, 3);
	assert_true(ka_tpt_get(proc->nics->mem.tpt, c, &e));
	assert_int_equal(e.tag, 0);
	assert_int_equal(e.rights, 0);
	assert_int_equal(mem_set(PRIVATE_AT + 3 * PAGE + 5, c, tag, 0), -EFAULT);
	assert_non_null(strstr(ans.rep.text, "gone"));
	assert_int_equal(dereg(PRIVATE_AT + 3 * PAGE + 5, c), 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_NOP);
	assert_int_equal(dereg(PRIVATE_AT + 3 * PAGE + 5, c), -EINVAL);
	nic = first;
	assert_true(ka_tpt_get(proc->nics->next->mem.tpt, a, &e));
	assert_int_equal(e.tag, 0);
	assert_int_equal(proc->nics->next->tags->uses, used + 1);
	assert_true(ka_tpt_get(proc->nics->next->mem.tpt, b, &e));
	assert_int_not_equal(e.tag, 0);

	/* Again, and where there is nothing. */
	assert_int_equal(gone(PRIVATE_AT + 3 * PAGE, PAGE), 0);
	assert_int_equal(ans.rep.nranges, 0);
	assert_int_equal(gone(PRIVATE_AT, 0), -EINVAL);
	assert_int_equal(gone(UINT64_MAX - 5, 10), -EINVAL);
	assert_int_equal(gone(5, UINT64_MAX - 5), -EINVAL);
	assert_int_equal(core.stat[KA_STAT_regions_gone], 2);
	/* a is not deregistered: closing the handle does that. */
	assert_int_equal(ask_nic(KA_OP_CLOSE), 0);
	assert_int_equal(ans.rep.nranges, 1);
	expect_range(0, PRIVATE_AT + 6 * PAGE, 2);
}

static void test_gone_segment(void **state)
{
	uint32_t b;

	(void)state;
	assert_int_equal(reg(SEG_AT(1), PAGE, 0), 0);
	assert_int_equal(reg(SEG_AT(1) + 8 * PAGE, PAGE, 0), 0);
	b = ans.rep.u.mem.handle;
	assert_int_equal(gone(SEG_AT(1), 4 * PAGE), 0);
	assert_int_equal(ans.rep.nranges, 2);
	expect_range(0, SEG_AT(1) + 4 * PAGE, 4);
	expect_range(1, SEG_AT(1) + 9 * PAGE, 7);
	assert_int_equal(dereg(SEG_AT(1) + 8 * PAGE, b), 0);
	expect_range(0, SEG_AT(1) + 8 * PAGE, 1);
}

static uint64_t stat_of(const char *name)
{
	uint32_t i;

	assert_int_equal(ask((struct ka_req){.op = KA_OP_INSPECT, .u.inspect.kind = VIPX_STAT}), 0);
	for (i = 0; i < ans.rep.nrecs; i++)
		if (strcmp(ans.recs[i].u.stat.name, name) == 0)
			return ans.recs[i].u.stat.value;
	fail_msg("no counter %s", name);
	return 0;
}

static void test_stat(void **state)
{
	(void)state;
	assert_int_equal(reg(PRIVATE_AT, 2 * PAGE, 0), 0);
	assert_int_equal(reg(SEG_AT(1), PAGE, 0), 0);
	assert_int_equal(reg(0, PAGE, 0), -EINVAL);
	assert_int_equal(dereg(SEG_AT(1), 0), -EINVAL);
	assert_int_equal(gone(PRIVATE_AT, 1), 0);
	assert_int_equal(stat_of("requests"), 7);
	assert_int_equal(stat_of("registrations"), 2);
	assert_int_equal(stat_of("registrations_refused"), 1);
	assert_int_equal(stat_of("deregistrations"), 0);
	assert_int_equal(stat_of("regions_gone"), 1);
	assert_int_equal(stat_of("processes"), 1);
	assert_int_equal(stat_of("processes_seen"), 1);
	assert_int_equal(stat_of("nics"), 1);
	assert_int_equal(stat_of("regions"), 2);
	assert_int_equal(stat_of("lmas"), 1);
	assert_int_equal(stat_of("segments"), 1);
	assert_int_equal(stat_of("bytes_locked"), PAGE);
	assert_int_equal(ans.recs[0].pid, 0);
	assert_int_equal(ans.rep.nrecs, KA_STAT_COUNT);
	assert_int_equal(ask((struct ka_req){.op = KA_OP_INSPECT, .u.inspect = {VIPX_STAT, 0, 3}}), 0);
	assert_int_equal(ans.rep.nrecs, KA_STAT_COUNT - 3);
}

static uint32_t rows(uint32_t kind, uint64_t *cursor)
{
	struct ka_req req = {.op = KA_OP_INSPECT, .u.inspect = {kind, 0, *cursor}};

	assert_int_equal(ask(req), 0);
	*cursor = ans.rep.u.inspect.cursor;
	return ans.rep.nrecs;
}

static void test_inspect(void **state)
{
	struct ka_vi_attr attr = {.level = 1, .tag = tag};
	struct ka_proc *second = ka_core_enter(&core, &core, 200, "two");
	uint64_t cursor = 0;
	uint32_t i, n = 0;

	(void)state;
	for (i = 0; i < 600; i++)
		assert_int_equal(reg(PRIVATE_AT + 2 * i * PAGE, 1, 0), 0);
	assert_int_equal(reg(SEG_AT(5), 2 * PAGE, 0), 0);
	assert_int_equal(make_vi(attr), 0);
	assert_int_equal(ask_as(second, (struct ka_req){.op = KA_OP_OPEN}), 0);
	assert_int_equal(ask_as(second, (struct ka_req){.op = KA_OP_MEM_REG,
							.nic = ans.rep.u.open.nic,
							.u.reg = {SEG_AT(5), 1, ans.rep.u.open.tag, 0,
								  LMM_PINNED, 0}}),
			 0);
	assert_int_equal(ans.rep.u.mem.verdict, LMM_MLOCK_LOCK);
	do {
		n += rows(VIPX_TPT, &cursor);
		assert_int_equal(ans.recs[0].kind, VIPX_TPT);
	} while (cursor != 0);
	assert_int_equal(n, 602);
	assert_int_equal(ans.recs[ans.rep.nrecs - 1].u.tpt.level, LMM_LOCKED);
	n = 0;
	do {
		n += rows(VIPX_LMA, &cursor);
	} while (cursor != 0);
	assert_int_equal(n, 602);
	/* The newer process comes first, and a process's private LMAs before those of its segments. */
	assert_int_equal(ans.recs[ans.rep.nrecs - 1].u.lma.object, 5);
	assert_int_equal(ans.recs[ans.rep.nrecs - 1].u.lma.object_kind, VIPX_OBJ_SYSV);
	assert_int_equal(ans.recs[ans.rep.nrecs - 1].u.lma.physical, 0);
	assert_int_equal(ans.recs[ans.rep.nrecs - 2].u.lma.physical, 1);
	assert_int_equal(ans.recs[ans.rep.nrecs - 2].u.lma.level, VIPX_LOCKED);
	assert_int_equal(rows(VIPX_SEG, &cursor), 2);
	assert_int_equal(ans.recs[0].u.seg.whole, 1);
	assert_int_equal(ans.recs[0].u.seg.object_kind, VIPX_OBJ_SYSV);
	assert_int_equal(ans.recs[0].u.seg.object, 5);
	assert_int_equal(ans.recs[0].u.seg.lockers, 2);
	assert_int_equal(ans.recs[0].u.seg.count, 1);
	assert_int_equal(rows(VIPX_PROC, &cursor), 2);
	assert_int_equal(ans.recs[1].pid, 100);
	assert_string_equal(ans.recs[1].comm, "a name that is ");
	assert_int_equal(ans.recs[1].u.proc.regions, 601);
	assert_int_equal(ans.recs[1].u.proc.lmas, 601);
	assert_int_equal(ans.recs[1].u.proc.segments, 1);
	assert_int_equal(ans.recs[1].u.proc.locked, 602 * PAGE);
	assert_int_equal(rows(VIPX_VI, &cursor), 1);
	assert_int_equal(ans.recs[0].u.vi.level, 1);
	assert_int_equal(rows(VIPX_NIC, &cursor), 2);
	assert_int_equal(ans.recs[1].u.nic.nic, nic);
	assert_int_equal(ans.recs[1].u.nic.vis, 1);
	assert_int_equal(ans.recs[1].u.nic.tags, 1);
	assert_int_equal(ans.recs[1].u.nic.regions, 601);
	assert_int_equal(ans.recs[1].u.nic.bytes, 600 + 2 * PAGE);
	assert_int_equal(ans.recs[1].u.nic.hits, 0);
	cursor = UINT64_MAX;
	assert_int_equal(rows(VIPX_VI, &cursor), 0);
	assert_int_equal(ask((struct ka_req){.op = KA_OP_INSPECT}), -EINVAL);
	assert_int_equal(ask((struct ka_req){.op = KA_OP_INSPECT, .u.inspect.kind = 8}), -EINVAL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hello),
		TEST(test_nics),
		TEST(test_clients),
		TEST(test_tags),
		TEST(test_vis),
		TEST(test_registration),
		TEST(test_failed_registration),
		TEST(test_region_limits),
		TEST(test_close_keeps_others),
		TEST(test_kinds_and_levels),
		TEST(test_refused),
		TEST(test_gone),
		TEST(test_gone_segment),
		TEST(test_stat),
		TEST(test_inspect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
