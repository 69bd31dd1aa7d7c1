/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_leftover.c - memory that goes away, grows or outlives its agent leaves
 * no lock behind, and takes none away that somebody still wants.  The kernel's
 * own count (VmLck) decides.
 */
#include "tests/vipl/memory.h"
#include "tests/vipl/pair.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include <cmocka.h>

#define PAGE 4096u

static uint8_t *pages(void *where, size_t n)
{
	void *p = mmap(where, n * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED_NOREPLACE : 0), -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static VIP_NIC_HANDLE open_nic(void)
{
	VIP_NIC_HANDLE nic;

	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	return nic;
}

static VIP_MEM_HANDLE reg(VIP_NIC_HANDLE nic, void *p, size_t n)
{
	VIP_MEM_HANDLE h;

	CHECK_EQ(VipRegisterMem(nic, p, n * PAGE, NULL, &h), VIP_SUCCESS);
	return h;
}

static bool valid(VIP_NIC_HANDLE nic, void *p, VIP_MEM_HANDLE h)
{
	VIP_MEM_ATTRIBUTES attr;

	return VipQueryMem(nic, p, h, &attr) == VIP_SUCCESS;
}

/* A hole in the middle: what lies behind it is unlocked, too. */
static void hole_child(void)
{
	VIP_NIC_HANDLE nic;
	VIP_MEM_HANDLE h, seg;
	uint8_t *p, *s;
	int id;

	nic = open_nic();
	p = pages(NULL, 8);
	h = reg(nic, p, 8);
	munmap(p + 2 * PAGE, PAGE);
	CHECK_EQ(VipDeregisterMem(nic, p, h), VIP_SUCCESS);
	/* a segment that was left, and private memory right behind it */
	id = shmget(IPC_PRIVATE, 8 * PAGE, IPC_CREAT | 0600);
	munmap(p, 8 * PAGE);
	p = pages(NULL, 16);
	munmap(p, 16 * PAGE);
	s = shmat(id, p, 0);
	CHECK(s == p);
	shmctl(id, IPC_RMID, NULL);
	seg = reg(nic, s, 8);
	shmdt(s);
	p = pages(s + 8 * PAGE, 8);
	h = reg(nic, p, 8);
	CHECK_EQ(VipDeregisterMem(nic, s, seg), VIP_SUCCESS);
	CHECK_EQ(VipDeregisterMem(nic, p, h), VIP_SUCCESS);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
	CHECK_EQ(vm_lck_kib(), 0);
	munmap(p, 8 * PAGE);
}

static void test_hole(void **state)
{
	setenv("VIPL_WATCH", *state, 1);
	run_child("locked", hole_child);
	unsetenv("VIPL_WATCH");
}

/* Closed at once after a part has gone: the rest is unlocked all the same. */
static void test_close_at_once(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 50; i++) {
		VIP_NIC_HANDLE nic = open_nic();
		uint8_t *p = pages(NULL, 16);

		reg(nic, p, 16);
		munmap(p + 15 * PAGE, PAGE);
		CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
		CHECK_EQ(vm_lck_kib(), 0);
		munmap(p, 15 * PAGE);
	}
}

/* Memory that moves takes its lock along, and grows with it. */
static void test_moved(void **state)
{
	VIP_NIC_HANDLE nic = open_nic();
	uint8_t *p = pages(NULL, 4), *to = pages(NULL, 16), *q;
	VIP_MEM_HANDLE h = reg(nic, p, 4);
	struct vipx_hold hold;
	int i;

	(void)state;
	CHECK_EQ(VipxHold(nic, &hold), VIP_SUCCESS);
	if (!hold.watched) {
		CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
		print_message("SKIP: %s\n", hold.watched_why);
		skip();
	}
	q = mremap(p, 4 * PAGE, 16 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	CHECK(q == to);
	CHECK_EQ(VipDeregisterMem(nic, p, h), VIP_SUCCESS);
	for (i = 0; i < PATIENCE_MS / 10 && vm_lck_kib(); i++)
		usleep(10000);
	CHECK_EQ(vm_lck_kib(), 0);
	munmap(q, 16 * PAGE);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

/* Without a watch, a region that is found to have gone takes nothing else with it. */
static void lost_child(void)
{
	VIP_MEM_HANDLE lost, half, both;
	VIP_NIC_HANDLE nic;
	uint8_t *p;

	nic = open_nic();
	p = pages(NULL, 2);
	lost = reg(nic, p, 2);
	munmap(p, 2 * PAGE);
	pages(p, 2);
	half = reg(nic, p + PAGE, 1);
	both = reg(nic, p, 2);
	CHECK(!valid(nic, p, lost));
	CHECK(valid(nic, p + PAGE, half));
	CHECK(valid(nic, p, both));
	CHECK_EQ(VipDeregisterMem(nic, p, lost), VIP_SUCCESS);
	CHECK_EQ(vm_lck_kib(), 8);
	CHECK(valid(nic, p + PAGE, half));
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
	CHECK_EQ(vm_lck_kib(), 0);
	munmap(p, 2 * PAGE);
}

static void test_lost_once(void **state)
{
	(void)state;
	setenv("VIPL_WATCH", "0", 1);
	run_child("locked", lost_child);
	unsetenv("VIPL_WATCH");
}

/* The agent dies; with a new one the same memory is registered again before the old handle is closed. */
static void test_agent_dies(void **state)
{
	VIP_NIC_HANDLE old = open_nic(), fresh;
	uint8_t *p = pages(NULL, 16);
	VIP_MEM_HANDLE h;
	struct vipx_hold hold;
	pid_t pid = agent_pid();

	(void)state;
	reg(old, p, 16);
	CHECK(pid > 0);
	CHECK_EQ(kill(pid, SIGKILL), 0);
	while (kill(pid, 0) == 0 && VipCreatePtag(old, &(VIP_PROTECTION_HANDLE){NULL}) == VIP_SUCCESS)
		usleep(1000);
	fresh = open_nic();
	h = reg(fresh, p, 16);
	CHECK_EQ(VipCloseNic(old), VIP_SUCCESS);
	CHECK_EQ(vm_lck_kib(), 64);
	CHECK(valid(fresh, p, h));
	CHECK_EQ(VipxHold(fresh, &hold), VIP_SUCCESS);
	munmap(p, 16 * PAGE);
	CHECK_EQ(valid(fresh, p, h), !hold.watched);
	CHECK_EQ(VipDeregisterMem(fresh, p, h), VIP_SUCCESS);
	CHECK_EQ(VipCloseNic(fresh), VIP_SUCCESS);
	CHECK_EQ(vm_lck_kib(), 0);
}

int main(void)
{
	static char with[] = "1", without[] = "0";
	const struct CMUnitTest tests[] = {
		{"test_hole", test_hole, NULL, NULL, with},
		{"test_hole, not watched", test_hole, NULL, NULL, without},
		cmocka_unit_test(test_close_at_once),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_lost_once),
		cmocka_unit_test(test_agent_dies),
	};

	setenv("VIPL_LOG", "none", 1);
	setenv("VIPL_LOCK_LEVEL", "locked", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
