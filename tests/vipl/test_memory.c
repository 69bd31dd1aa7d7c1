/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_memory.c - registration by the paper's protocol, with a real agent: what
 * is locked is read from the kernel (VmLck of /proc/self/status), never from
 * our own tables alone.
 */
#include "tests/vipl/memory.h"
#include "tests/vipl/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include <cap-ng.h>

#include <cmocka.h>

#define PAGE 4096u

static VIP_NIC_HANDLE nic;

static int setup(void **state)
{
	(void)state;
	return VipOpenNic("emu0", &nic) == VIP_SUCCESS ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return VipCloseNic(nic) == VIP_SUCCESS ? 0 : -1;
}

static uint8_t *pages(size_t n)
{
	uint8_t *p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static VIP_MEM_HANDLE reg(void *p, size_t n)
{
	VIP_MEM_HANDLE h = 0;

	assert_int_equal(VipRegisterMem(nic, p, n, NULL, &h), VIP_SUCCESS);
	assert_int_not_equal(h, 0);
	assert_int_not_equal(h, 0xffffffff);
	return h;
}

static void dereg(void *p, VIP_MEM_HANDLE h)
{
	assert_int_equal(VipDeregisterMem(nic, p, h), VIP_SUCCESS);
}

struct lmas {
	uint64_t start[64], length[64];
	uint32_t count[64], n;
};

static void one_lma(void *context, const struct vipx_rec *r)
{
	struct lmas *l = context;

	if (r->pid == (uint32_t)getpid() && l->n < 64) {
		l->start[l->n] = r->u.lma.start;
		l->length[l->n] = r->u.lma.length;
		l->count[l->n++] = r->u.lma.count;
	}
}

static struct lmas lmas(void)
{
	struct lmas l = {.n = 0};

	assert_int_equal(VipxInspect(nic, VIPX_LMA, one_lma, &l), VIP_SUCCESS);
	return l;
}

static void test_twice(void **state)
{
	uint8_t *p = pages(4);
	unsigned long before = vm_lck_kib();
	VIP_MEM_HANDLE a = reg(p + 1, 3 * PAGE), b;

	(void)state;
	assert_int_equal(vm_lck_kib() - before, 16); /* odd address: four pages */
	b = reg(p + 1, 3 * PAGE);
	assert_int_not_equal(a, b);
	assert_int_equal(vm_lck_kib() - before, 16);
	assert_int_equal(lmas().count[0], 2);
	dereg(p + 1, a);
	assert_int_equal(vm_lck_kib() - before, 16);
	assert_int_equal(VipDeregisterMem(nic, p + 1, a), VIP_INVALID_PARAMETER);
	dereg(p + 1, b);
	assert_int_equal(vm_lck_kib(), before);
	assert_int_equal(lmas().n, 0);
	munmap(p, 4 * PAGE);
}

/* The five intersections of the paper's figure 3, seen in VmLck. */
static void test_overlap(void **state)
{
	uint8_t *p = pages(10);
	unsigned long before = vm_lck_kib();
	VIP_MEM_HANDLE whole = reg(p, 10 * PAGE), mid = reg(p + 2 * PAGE, 3 * PAGE), low = reg(p, 3 * PAGE),
		       high = reg(p + 8 * PAGE, 2 * PAGE);
	struct lmas l = lmas();

	(void)state;
	assert_int_equal(l.n, 5);
	assert_int_equal(l.count[0], 2); /* 0-1   whole low */
	assert_int_equal(l.count[1], 3); /* 2     whole low mid */
	assert_int_equal(l.count[2], 2); /* 3-4   whole mid */
	assert_int_equal(l.count[3], 1); /* 5-7   whole */
	assert_int_equal(l.count[4], 2); /* 8-9   whole high */
	assert_int_equal(vm_lck_kib() - before, 40);
	dereg(p, whole); /* leaves two islands: 0-4 and 8-9 */
	assert_int_equal(vm_lck_kib() - before, 28);
	dereg(p + 2 * PAGE, mid);
	assert_int_equal(vm_lck_kib() - before, 20);
	dereg(p + 8 * PAGE, high);
	assert_int_equal(vm_lck_kib() - before, 12);
	dereg(p, low);
	assert_int_equal(vm_lck_kib(), before);
	munmap(p, 10 * PAGE);
}

static void test_two_handles_one_process(void **state)
{
	uint8_t *p = pages(2);
	unsigned long before = vm_lck_kib();
	VIP_NIC_HANDLE second;
	VIP_MEM_HANDLE a = reg(p, 2 * PAGE), b;

	(void)state;
	assert_int_equal(VipOpenNic("emu0", &second), VIP_SUCCESS);
	assert_ptr_not_equal(second, nic);
	assert_int_equal(VipRegisterMem(second, p, PAGE, NULL, &b), VIP_SUCCESS);
	/* a handle of one NIC handle is nothing to the other */
	assert_int_equal(VipDeregisterMem(second, p, a), VIP_INVALID_PARAMETER);
	dereg(p, a);
	assert_int_equal(vm_lck_kib() - before, 4); /* locks do not stack: ours do */
	assert_int_equal(VipCloseNic(second), VIP_SUCCESS);
	assert_int_equal(vm_lck_kib(), before);
	munmap(p, 2 * PAGE);
}

static void test_segment(void **state)
{
	int id = shmget(IPC_PRIVATE, 16 * PAGE, 0600);
	uint8_t *s = shmat(id, NULL, 0), *again;
	unsigned long before = vm_lck_kib();
	VIP_MEM_HANDLE a, b, c;

	(void)state;
	assert_ptr_not_equal(s, (void *)-1);
	again = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	a = reg(s + 3 * PAGE, 10);
	assert_int_equal(vm_lck_kib() - before, 64); /* MLOCK_LOCK: the whole segment */
	b = reg(s, 16 * PAGE);
	assert_int_equal(vm_lck_kib() - before, 64); /* MLOCK_NOP */
	c = reg(again + PAGE, PAGE);		     /* another attachment is locked on its own */
	assert_int_equal(vm_lck_kib() - before, 128);
	dereg(s, b);
	assert_int_equal(vm_lck_kib() - before, 128);
	dereg(s + 3 * PAGE, a);
	assert_int_equal(vm_lck_kib() - before, 64); /* MLOCK_UNLOCK: the whole segment */
	dereg(again + PAGE, c);
	assert_int_equal(vm_lck_kib(), before);
	shmdt(s);
	shmdt(again);
}

/* Of the whole process. */
static unsigned long watched_kib(void)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long kib = 0, size = 0;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "Size: %lu", &size);
		if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " uw"))
			kib += size;
	}
	fclose(f);
	return kib;
}

static void test_refused(void **state)
{
	struct vipx_hold hold;
	uint8_t *p = pages(6);
	unsigned long before = vm_lck_kib();
	VIP_MEM_HANDLE h = 77, a;

	(void)state;
	assert_int_equal(VipxHold(nic, &hold), VIP_SUCCESS);
	munmap(p + 4 * PAGE, PAGE);
	a = reg(p + PAGE, PAGE);
	assert_int_equal(VipRegisterMem(nic, p, 0, NULL, &h), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRegisterMem(nic, p, 6 * PAGE, NULL, &h), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRegisterMem(nic, p + 4 * PAGE, 1, NULL, &h), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRegisterMem(nic, NULL, 100, NULL, &h), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRegisterMem(nic, (void *)-64, 128, NULL, &h), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRegisterMem(nic, p, (VIP_ULONG)-1, NULL, &h), VIP_INVALID_PARAMETER);
	assert_int_equal(mprotect(p + 5 * PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(VipRegisterMem(nic, p + 5 * PAGE, 1, NULL, &h), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRegisterMem(nic, p, (1ul << 30) + 1, NULL, &h), VIP_ERROR_RESOURCE);
	assert_non_null(strstr(VipxErrorText(), "1073741824"));
	assert_int_equal(h, 77);
	assert_int_equal(vm_lck_kib() - before, 4); /* only what `a` covers: failures are undone */
	assert_int_equal(watched_kib(), hold.watched ? 4 : 0);
	dereg(p + PAGE, a);
	assert_int_equal(vm_lck_kib(), before);
	munmap(p, 4 * PAGE); /* what is in the hole by now is not ours */
	munmap(p + 5 * PAGE, PAGE);
}

/* What is around it is not watched in its place: that may be memory of the library's own. */
static void test_hole(void **state)
{
	const size_t bytes = 6u << 20, hole = 3u << 20;
	uint8_t *p = pages(bytes / PAGE);
	VIP_MEM_HANDLE h;

	(void)state;
	assert_int_equal(munmap(p + hole, PAGE), 0);
	assert_int_equal(VipRegisterMem(nic, p + hole, PAGE, NULL, &h), VIP_INVALID_PARAMETER);
	assert_int_equal(watched_kib(), 0);
	munmap(p, hole); /* what is in the hole by now is not ours */
	munmap(p + hole + PAGE, bytes - hole - PAGE);
}

static void test_limits(void **state)
{
	static VIP_MEM_HANDLE h[4097];
	VIP_NIC_ATTRIBUTES attr;
	uint8_t *p = pages(1);
	uint32_t i;

	(void)state;
	assert_int_equal(VipQueryNic(nic, &attr), VIP_SUCCESS);
	assert_int_equal(attr.MaxRegisterRegions, 4096);
	for (i = 0; i < attr.MaxRegisterRegions; i++)
		h[i] = reg(p, 1 + i % PAGE);
	assert_int_equal(VipRegisterMem(nic, p, 1, NULL, &h[i]), VIP_ERROR_RESOURCE);
	assert_non_null(strstr(VipxErrorText(), "4096"));
	dereg(p, h[7]);
	h[7] = reg(p, 1);
	for (i = 0; i < attr.MaxRegisterRegions; i++)
		dereg(p, h[i]);
	assert_int_equal(lmas().n, 0);
	munmap(p, PAGE);
}

static void test_attributes(void **state)
{
	uint8_t *p = pages(1);
	VIP_MEM_ATTRIBUTES a = {.EnableRdmaWrite = VIP_TRUE}, q;
	VIP_PROTECTION_HANDLE t1, t2;
	VIP_MEM_HANDLE h;

	(void)state;
	assert_int_equal(VipCreatePtag(nic, &t1), VIP_SUCCESS);
	assert_int_equal(VipCreatePtag(nic, &t2), VIP_SUCCESS);
	assert_ptr_not_equal(t1, t2);
	a.Ptag = t1;
	assert_int_equal(VipRegisterMem(nic, p + 8, 100, &a, &h), VIP_SUCCESS);
	assert_int_equal(VipQueryMem(nic, p + 50, h, &q), VIP_SUCCESS);
	assert_ptr_equal(q.Ptag, t1);
	assert_true(q.EnableRdmaWrite);
	assert_false(q.EnableRdmaRead);
	assert_int_equal(VipQueryMem(nic, p + 200, h, &q), VIP_INVALID_PARAMETER);
	assert_int_equal(VipDestroyPtag(nic, t1), VIP_ERROR_RESOURCE);
	a.Ptag = t2;
	a.EnableRdmaWrite = VIP_FALSE;
	assert_int_equal(VipSetMemAttributes(nic, p + 8, h, &a), VIP_SUCCESS);
	assert_int_equal(VipQueryMem(nic, p + 8, h, &q), VIP_SUCCESS);
	assert_ptr_equal(q.Ptag, t2);
	assert_false(q.EnableRdmaWrite);
	assert_int_equal(VipDestroyPtag(nic, t1), VIP_SUCCESS);
	assert_int_equal(VipDestroyPtag(nic, t1), VIP_INVALID_PARAMETER);
	a.Ptag = t1;
	assert_int_equal(VipSetMemAttributes(nic, p + 8, h, &a), VIP_INVALID_PTAG);
	assert_int_equal(VipRegisterMem(nic, p, 8, &a, &h), VIP_INVALID_PTAG);
	a.Ptag = t2;
	a.EnableRdmaRead = VIP_TRUE;
	assert_int_equal(VipSetMemAttributes(nic, p + 8, h, &a), VIP_SUCCESS);
	assert_int_equal(VipQueryMem(nic, p + 8, h, &q), VIP_SUCCESS);
	assert_true(q.EnableRdmaRead);
	dereg(p + 8, h);
	assert_int_equal(VipDestroyPtag(nic, t2), VIP_SUCCESS);
	munmap(p, PAGE);
}

/* The locked-memory limit: named with its value and the remedy, and what was there stays. */
static void limit_child(void)
{
	struct rlimit lim = {64 << 10, 64 << 10};
	uint8_t *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *s;
	VIP_MEM_HANDLE a, b, c;
	VIP_NIC_HANDLE n;
	int id;

	capng_clear(CAPNG_SELECT_BOTH);
	CHECK_EQ(capng_apply(CAPNG_SELECT_CAPS), 0);
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &lim), 0);
	CHECK_EQ(VipOpenNic("emu0", &n), VIP_SUCCESS);
	CHECK_EQ(VipRegisterMem(n, p, 32 << 10, NULL, &a), VIP_SUCCESS);
	CHECK_EQ(VipRegisterMem(n, p, 1 << 20, NULL, &b), VIP_ERROR_RESOURCE);
	CHECK(strstr(VipxErrorText(), "RLIMIT_MEMLOCK") && strstr(VipxErrorText(), "64 KiB"));
	CHECK(strstr(VipxErrorText(), "ulimit -l"));
	CHECK_EQ(vm_lck_kib(), 32);
	/* a part of a segment fits, the whole does not: it is locked page by page */
	id = shmget(IPC_PRIVATE, 256 << 10, 0600);
	s = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	CHECK_EQ(VipRegisterMem(n, s, 4096, NULL, &b), VIP_SUCCESS);
	CHECK_EQ(vm_lck_kib(), 36);
	CHECK_EQ(VipRegisterMem(n, s, 64 << 10, NULL, &c), VIP_ERROR_RESOURCE);
	CHECK(strstr(VipxErrorText(), "RLIMIT_MEMLOCK"));
	CHECK_EQ(vm_lck_kib(), 36);
	CHECK_EQ(VipRegisterMem(n, s + 4096, 8192, NULL, &c), VIP_SUCCESS);
	CHECK_EQ(vm_lck_kib(), 44);
	CHECK_EQ(VipDeregisterMem(n, s, b), VIP_SUCCESS);
	CHECK_EQ(vm_lck_kib(), 40);
	CHECK_EQ(VipDeregisterMem(n, s + 4096, c), VIP_SUCCESS);
	CHECK_EQ(vm_lck_kib(), 32);
	CHECK_EQ(VipDeregisterMem(n, p, a), VIP_SUCCESS);
	CHECK_EQ(vm_lck_kib(), 0);
	CHECK_EQ(VipCloseNic(n), VIP_SUCCESS);
}

static void test_memlock_limit(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		limit_child();
		exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A child has none of its parent's handles, and the parent keeps them. */
static void test_fork(void **state)
{
	uint8_t *p = pages(1);
	VIP_MEM_HANDLE h = reg(p, PAGE);
	unsigned long locked = vm_lck_kib();
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		VIP_NIC_ATTRIBUTES attr;
		VIP_NIC_HANDLE own;

		CHECK_EQ(VipQueryNic(nic, &attr), VIP_INVALID_PARAMETER);
		CHECK_EQ(VipDeregisterMem(nic, p, h), VIP_INVALID_PARAMETER);
		CHECK_EQ(VipCloseNic(nic), VIP_INVALID_PARAMETER);
		if (no_threads_in_child()) {
			left_out("%s", no_threads_in_child());
			_exit(0);
		}
		CHECK_EQ(VipOpenNic("emu0", &own), VIP_SUCCESS);
		CHECK_EQ(VipRegisterMem(own, p, PAGE, NULL, &h), VIP_SUCCESS);
		CHECK_EQ(VipCloseNic(own), VIP_SUCCESS);
		exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(vm_lck_kib(), locked);
	dereg(p, h);
	munmap(p, PAGE);
}

/* Read-only memory can be sent from; what comes for it is a protection error (docs/spec-choices.md K-17). */
static void readonly_end(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_MEM_HANDLE ro;
	VIP_RETURN r;
	uint8_t *p;

	end_open(e);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 0x42, PAGE);
	CHECK_EQ(mprotect(p, PAGE, PROT_READ), 0);
	CHECK_EQ(VipRegisterMem(e->nic, p, PAGE, NULL, &ro), VIP_SUCCESS);
	if (e->server) {
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 0, end_data(e), 100, e->mem), e->mem), VIP_SUCCESS);
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 1, p, 100, ro), e->mem), VIP_SUCCESS);
		end_connect(e);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(end_data(e)[99], 0x42);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
		CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	} else {
		end_connect(e);
		CHECK_EQ(VipPostSend(e->vi, end_fill(e, 0, p, 100, ro), e->mem), VIP_SUCCESS);
		CHECK_EQ(VipPostSend(e->vi, end_fill(e, 1, p, 100, ro), e->mem), VIP_SUCCESS);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_sync(e);
	end_close(e);
}

static void test_readonly(void **state)
{
	(void)state;
	run_pair(readonly_end, readonly_end, VIP_SERVICE_UNRELIABLE, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_handles_one_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attributes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
		cmocka_unit_test(test_memlock_limit),
		cmocka_unit_test(test_readonly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
