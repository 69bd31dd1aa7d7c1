/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_handles.c - bad input to every function: each handle argument NULL,
 * random, of the wrong type and stale, each OUT pointer NULL; devices that do
 * not exist; and opening at once from many processes.
 */
#include "tests/vipl/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

static VIP_NIC_HANDLE nic;
static VIP_VI_HANDLE vi;
static VIP_CQ_HANDLE cq;
static VIP_PROTECTION_HANDLE tag;
static VIP_VI_ATTRIBUTES va = {VIP_SERVICE_UNRELIABLE, 4096, 0, NULL, 0, 0};
static VIP_MEM_ATTRIBUTES ma;
static VIP_NIC_ATTRIBUTES na;
static VIP_VI_STATE st;
static VIP_BOOLEAN b1, b2;
static VIP_MEM_HANDLE mh;
static VIP_VI_HANDLE new_vi;
static VIP_CQ_HANDLE new_cq;
static VIP_PROTECTION_HANDLE new_tag;
static VIP_CONN_HANDLE new_conn;
static union addr_room a1, a2;
static VIP_DESCRIPTOR *dp;
static VIP_DESCRIPTOR desc __attribute__((aligned(64)));
static VIP_AUTODISCOVERY_LIST list;
static char name[64] = "localhost";
static VIP_ULONG name_len = sizeof(name);
static uint8_t mem[8192];

static void on_vi(VIP_PVOID c, VIP_NIC_HANDLE n, VIP_VI_HANDLE v, VIP_DESCRIPTOR *d)
{
	(void)c, (void)n, (void)v, (void)d;
}

static void on_cq(VIP_PVOID c, VIP_NIC_HANDLE n, VIP_VI_HANDLE v, VIP_BOOLEAN r)
{
	(void)c, (void)n, (void)v, (void)r;
}

/* Every call that takes a handle of a type, with this one in its place. */
static void bad_nic(void *h)
{
	assert_int_equal(VipCloseNic(h), VIP_INVALID_PARAMETER);
	assert_int_equal(VipQueryNic(h, &na), VIP_INVALID_PARAMETER);
	assert_int_equal(VipQuerySystemManagementInfo(h, VIP_SMI_AUTODISCOVERY, &list),
			 VIP_INVALID_PARAMETER);
	assert_int_equal(VipErrorCallback(h, NULL, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCreateVi(h, &va, NULL, NULL, &new_vi), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCreatePtag(h, &new_tag), VIP_INVALID_PARAMETER);
	assert_int_equal(VipDestroyPtag(h, tag), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRegisterMem(h, mem, 10, NULL, &mh), VIP_INVALID_PARAMETER);
	assert_int_equal(VipDeregisterMem(h, mem, 1), VIP_INVALID_PARAMETER);
	assert_int_equal(VipSetMemAttributes(h, mem, 1, &ma), VIP_INVALID_PARAMETER);
	assert_int_equal(VipQueryMem(h, mem, 1, &ma), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectWait(h, &a1.a, 0, &a2.a, &va, &new_conn), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCreateCQ(h, 10, &new_cq), VIP_INVALID_PARAMETER);
	assert_int_equal(VipNSInit(h, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipNSGetHostByName(h, name, &a1.a, 0), VIP_INVALID_PARAMETER);
	assert_int_equal(VipNSGetHostByAddr(h, &a1.a, name, &name_len), VIP_INVALID_PARAMETER);
	assert_int_equal(VipNSShutdown(h), VIP_INVALID_PARAMETER);
}

static void bad_vi(void *h)
{
	assert_int_equal(VipDestroyVi(h), VIP_INVALID_PARAMETER);
	assert_int_equal(VipSetViAttributes(h, &va), VIP_INVALID_PARAMETER);
	assert_int_equal(VipQueryVi(h, &st, &va, &b1, &b2), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectAccept(h, h), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectRequest(h, &a1.a, &a2.a, 10, &va), VIP_INVALID_PARAMETER);
	assert_int_equal(VipDisconnect(h), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectPeerRequest(h, &a1.a, &a2.a, 10), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectPeerDone(h, &va), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectPeerWait(h, &va), VIP_INVALID_PARAMETER);
	assert_int_equal(VipPostSend(h, &desc, 1), VIP_INVALID_PARAMETER);
	assert_int_equal(VipPostRecv(h, &desc, 1), VIP_INVALID_PARAMETER);
	assert_int_equal(VipSendDone(h, &dp), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRecvDone(h, &dp), VIP_INVALID_PARAMETER);
	assert_int_equal(VipSendWait(h, 0, &dp), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRecvWait(h, 0, &dp), VIP_INVALID_PARAMETER);
	assert_int_equal(VipSendNotify(h, NULL, on_vi), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRecvNotify(h, NULL, on_vi), VIP_INVALID_PARAMETER);
}

static void bad_cq(void *h)
{
	assert_int_equal(VipDestroyCQ(h), VIP_INVALID_PARAMETER);
	assert_int_equal(VipResizeCQ(h, 10), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCQDone(h, &new_vi, &b1), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCQWait(h, 0, &new_vi, &b1), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCQNotify(h, NULL, on_cq), VIP_INVALID_PARAMETER);
	if (h)
		assert_int_equal(VipCreateVi(nic, &va, h, NULL, &new_vi), VIP_INVALID_PARAMETER);
}

static void bad_conn(void *h)
{
	assert_int_equal(VipConnectAccept(h, vi), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectReject(h), VIP_INVALID_PARAMETER);
}

static void all_bad(void *h)
{
	bad_nic(h);
	bad_vi(h);
	bad_cq(h);
	bad_conn(h);
}

static void open_all(void)
{
	assert_int_equal(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	assert_int_equal(VipQueryNic(nic, &na), VIP_SUCCESS);
	assert_int_equal(VipCreatePtag(nic, &tag), VIP_SUCCESS);
	assert_int_equal(VipCreateCQ(nic, 10, &cq), VIP_SUCCESS);
	assert_int_equal(VipCreateVi(nic, &va, cq, cq, &vi), VIP_SUCCESS);
	net_addr(&a1.a, &na, "a");
	net_addr(&a2.a, &na, "b");
}

static void test_handles(void **state)
{
	void *was[4];
	int i;

	(void)state;
	open_all();
	all_bad(NULL);
	all_bad((void *)1);
	all_bad((void *)-1);
	all_bad(&desc);
	srandom(7);
	for (i = 0; i < 200; i++)
		all_bad((void *)((uintptr_t)random() << 32 ^ (uintptr_t)random() << 4 ^ (uintptr_t)(i & 15)));
	/* the wrong type */
	bad_nic(vi);
	bad_nic(cq);
	bad_nic(tag);
	bad_vi(nic);
	bad_vi(cq);
	bad_vi(tag);
	bad_cq(nic);
	bad_cq(vi);
	bad_cq(tag);
	bad_conn(nic);
	bad_conn(vi);
	assert_int_equal(VipDestroyPtag(nic, vi), VIP_INVALID_PARAMETER);
	assert_int_equal(VipDestroyPtag(nic, NULL), VIP_INVALID_PARAMETER);
	va.Ptag = cq;
	assert_int_equal(VipCreateVi(nic, &va, NULL, NULL, &new_vi), VIP_INVALID_PTAG);
	va.Ptag = NULL;
	/* stale, also once something else has taken the place */
	was[0] = nic, was[1] = vi, was[2] = cq, was[3] = tag;
	assert_int_equal(VipCloseNic(nic), VIP_SUCCESS);
	open_all();
	for (i = 0; i < 4; i++)
		all_bad(was[i]);
	assert_int_equal(VipDestroyPtag(nic, was[3]), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCloseNic(nic), VIP_SUCCESS);
}

static void test_null_pointers(void **state)
{
	(void)state;
	open_all();
	assert_int_equal(VipOpenNic(NULL, &new_vi), VIP_INVALID_PARAMETER);
	assert_int_equal(VipOpenNic("emu0", NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipQueryNic(nic, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCreateVi(nic, NULL, NULL, NULL, &new_vi), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCreateVi(nic, &va, NULL, NULL, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipSetViAttributes(vi, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipQueryVi(vi, NULL, &va, &b1, &b2), VIP_INVALID_PARAMETER);
	assert_int_equal(VipQueryVi(vi, &st, NULL, &b1, &b2), VIP_INVALID_PARAMETER);
	assert_int_equal(VipQueryVi(vi, &st, &va, NULL, &b2), VIP_INVALID_PARAMETER);
	assert_int_equal(VipQueryVi(vi, &st, &va, &b1, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCreatePtag(nic, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRegisterMem(nic, mem, 10, NULL, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipSetMemAttributes(nic, mem, 1, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipQueryMem(nic, mem, 1, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectWait(nic, NULL, 0, &a2.a, &va, &new_conn), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectWait(nic, &a1.a, 0, NULL, &va, &new_conn), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectWait(nic, &a1.a, 0, &a2.a, NULL, &new_conn), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectWait(nic, &a1.a, 0, &a2.a, &va, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectRequest(vi, NULL, &a2.a, 10, &va), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectRequest(vi, &a1.a, NULL, 10, &va), VIP_INVALID_PARAMETER);
	assert_int_equal(VipConnectRequest(vi, &a1.a, &a2.a, 10, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipPostSend(vi, NULL, 1), VIP_INVALID_PARAMETER);
	assert_int_equal(VipPostRecv(vi, NULL, 1), VIP_INVALID_PARAMETER);
	assert_int_equal(VipSendDone(vi, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRecvDone(vi, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipSendWait(vi, 0, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipRecvWait(vi, 0, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCreateCQ(nic, 10, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCQDone(cq, NULL, &b1), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCQDone(cq, &new_vi, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCQWait(cq, 0, NULL, &b1), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCQWait(cq, 0, &new_vi, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipNSGetHostByName(nic, NULL, &a1.a, 0), VIP_INVALID_PARAMETER);
	assert_int_equal(VipNSGetHostByName(nic, name, NULL, 0), VIP_INVALID_PARAMETER);
	assert_int_equal(VipNSGetHostByAddr(nic, NULL, name, &name_len), VIP_INVALID_PARAMETER);
	assert_int_equal(VipNSGetHostByAddr(nic, &a1.a, NULL, &name_len), VIP_INVALID_PARAMETER);
	assert_int_equal(VipNSGetHostByAddr(nic, &a1.a, name, NULL), VIP_INVALID_PARAMETER);
	assert_int_equal(VipCloseNic(nic), VIP_SUCCESS);
}

static void test_devices(void **state)
{
	static const char *const good[] = {"emu0",  "/dev/via_lo", "/dev/via_eth0", "/dev/clanvi0",
					   "VINIC", "VINIC0",	   "nic0"};
	VIP_NIC_HANDLE h[7], none;
	size_t i;

	(void)state;
	assert_int_equal(VipOpenNic("nosuch", &none), VIP_INVALID_PARAMETER);
	assert_int_equal(VipOpenNic("", &none), VIP_INVALID_PARAMETER);
	for (i = 0; i < 7; i++)
		assert_int_equal(VipOpenNic(good[i], &h[i]), VIP_SUCCESS);
	for (i = 0; i < 7; i++)
		assert_int_equal(VipCloseNic(h[i]), VIP_SUCCESS);
}

static void test_many_handles(void **state)
{
	VIP_NIC_HANDLE h[65];
	int n, again;

	(void)state;
	for (again = 0; again < 2; again++) {
		for (n = 0; n < 65 && VipOpenNic("emu0", &h[n]) == VIP_SUCCESS; n++)
			;
		assert_int_equal(n, 64);
		assert_int_equal(VipCloseNic(h[--n]), VIP_SUCCESS);
		assert_int_equal(VipOpenNic("emu0", &h[n++]), VIP_SUCCESS);
		while (n)
			assert_int_equal(VipCloseNic(h[--n]), VIP_SUCCESS);
	}
}

static void test_vi_limit(void **state)
{
	static VIP_VI_HANDLE many[1024];
	VIP_ULONG i;

	(void)state;
	assert_int_equal(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	assert_int_equal(VipQueryNic(nic, &na), VIP_SUCCESS);
	assert_int_equal(na.MaxVI, 1024);
	for (i = 0; i < na.MaxVI; i++)
		assert_int_equal(VipCreateVi(nic, &va, NULL, NULL, &many[i]), VIP_SUCCESS);
	assert_int_equal(VipCreateVi(nic, &va, NULL, NULL, &new_vi), VIP_ERROR_RESOURCE);
	assert_int_equal(VipDestroyVi(many[3]), VIP_SUCCESS);
	assert_int_equal(VipCreateVi(nic, &va, NULL, NULL, &many[3]), VIP_SUCCESS);
	assert_int_equal(VipCloseNic(nic), VIP_SUCCESS);
}

/* What is wrong with a descriptor's place is an asynchronous error. */
static int post_errors;

static void on_post_error(VIP_PVOID c, VIP_ERROR_DESCRIPTOR *d)
{
	(void)c;
	if (d->ErrorCode == VIP_ERROR_POST_DESC && d->ViHandle == vi &&
	    d->ResourceCode == VIP_RESOURCE_DESCRIPTOR)
		__atomic_add_fetch(&post_errors, 1, __ATOMIC_SEQ_CST);
}

static void test_descriptor_place(void **state)
{
	static uint8_t room[256] __attribute__((aligned(64)));
	VIP_MEM_HANDLE h;
	int i;

	(void)state;
	open_all();
	assert_int_equal(VipErrorCallback(nic, NULL, on_post_error), VIP_SUCCESS);
	assert_int_equal(VipRegisterMem(nic, room, sizeof(room), NULL, &h), VIP_SUCCESS);
	assert_int_equal(VipPostRecv(vi, (VIP_DESCRIPTOR *)(room + 8), h), VIP_SUCCESS);
	assert_int_equal(VipPostRecv(vi, &desc, h), VIP_SUCCESS);
	assert_int_equal(VipPostSend(vi, (VIP_DESCRIPTOR *)room, h ^ 0x10000), VIP_SUCCESS);
	for (i = 0; i < PATIENCE_MS && __atomic_load_n(&post_errors, __ATOMIC_SEQ_CST) < 3; i++)
		usleep(1000);
	assert_int_equal(__atomic_load_n(&post_errors, __ATOMIC_SEQ_CST), 3);
	assert_int_equal(VipRecvDone(vi, &dp), VIP_DESCRIPTOR_ERROR);
	assert_null(dp);
	assert_int_equal(VipCloseNic(nic), VIP_SUCCESS);
}

static void test_names(void **state)
{
	VIP_ULONG small = 2;
	char host[256];
	int i;

	(void)state;
	open_all();
	memset(&a1, 0x5a, sizeof(a1));
	assert_int_equal(VipNSGetHostByName(nic, name, &a1.a, 0), VIP_ERROR_NAMESERVICE);
	assert_int_equal(VipNSInit(nic, NULL), VIP_SUCCESS);
	assert_int_equal(VipNSInit(nic, NULL), VIP_SUCCESS);
	a1.a.HostAddressLen = 0;
	assert_int_equal(VipNSGetHostByName(nic, name, &a1.a, 0), VIP_SUCCESS);
	assert_int_equal(a1.a.HostAddressLen, na.NicAddressLen);
	assert_memory_equal(a1.a.HostAddress, na.LocalNicAddress, na.NicAddressLen);
	assert_int_equal(a1.a.DiscriminatorLen, 0x5a5a);
	assert_int_equal(a1.room[4 + na.NicAddressLen], 0x5a);
	assert_int_equal(VipNSGetHostByName(nic, name, &a1.a, 1), VIP_ERROR_NAMESERVICE);
	assert_int_equal(VipNSGetHostByName(nic, (char *)"no.such.host", &a1.a, 0), VIP_ERROR_NAMESERVICE);
	assert_int_equal(VipNSGetHostByAddr(nic, &a1.a, host, &small), VIP_ERROR_RESOURCE);
	assert_true(small > 2 && small <= sizeof(host));
	assert_int_equal(VipNSGetHostByAddr(nic, &a1.a, host, &small), VIP_SUCCESS);
	for (i = 0; i < 2; i++) { /* maps back, whole and cut at the first dot */
		assert_int_equal(VipNSGetHostByName(nic, host, &a2.a, 0), VIP_SUCCESS);
		host[strcspn(host, ".")] = 0;
	}
	assert_int_equal(VipNSShutdown(nic), VIP_SUCCESS);
	assert_int_equal(VipNSGetHostByName(nic, name, &a1.a, 0), VIP_ERROR_NAMESERVICE);
	assert_int_equal(VipCloseNic(nic), VIP_SUCCESS);
}

/* Many processes that open at once find one agent, and while agents come and go nobody is turned away. */
static void one_proc(void *context, const struct vipx_rec *r)
{
	(void)r;
	++*(int *)context;
}

static void test_open_at_once(void **state)
{
	int go[2], i, round, rounds = (int)fewer(20, 4, "times processes open at once"), status, failed = 0;
	int *complete = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(complete, MAP_FAILED);
	for (round = 0; round < rounds; round++) {
		assert_int_equal(pipe(go), 0);
		*complete = 0;
		for (i = 0; i < 8; i++) {
			if (fork() == 0) {
				char c;
				int seen = 0, tries;

				close(go[1]);
				if (read(go[0], &c, 1) < 0)
					_exit(3);
				CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
				for (tries = 0; tries < PATIENCE_MS / 10 && seen < 8; tries++) {
					seen = 0;
					CHECK_EQ(VipxInspect(nic, VIPX_PROC, one_proc, &seen), VIP_SUCCESS);
					usleep(10000);
				}
				CHECK_EQ(seen, 8);
				__atomic_add_fetch(complete, 1, __ATOMIC_SEQ_CST);
				for (; tries < PATIENCE_MS / 10 &&
				       __atomic_load_n(complete, __ATOMIC_SEQ_CST) < 8;
				     tries++)
					usleep(10000); /* the others must see us */
				CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
				_exit(0);
			}
		}
		close(go[0]);
		close(go[1]);
		while (wait(&status) > 0)
			failed += status != 0;
		assert_int_equal(failed, 0);
		usleep((unsigned int)(round * 25000) % 400000); /* also while the agent is leaving */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handles),	 cmocka_unit_test(test_null_pointers),
		cmocka_unit_test(test_devices),	 cmocka_unit_test(test_many_handles),
		cmocka_unit_test(test_vi_limit), cmocka_unit_test(test_descriptor_place),
		cmocka_unit_test(test_names),	 cmocka_unit_test(test_open_at_once),
	};

	setenv("VIPL_LOG", "none", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
