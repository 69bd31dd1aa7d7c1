/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* consumer_build.c - what consumers rely on when they are compiled, linked and loaded. */
#include "consumer.h"
#include "consumer_layout.h"

#include <dlfcn.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* L-21 */
void check_best_level(struct run *r)
{
	VIP_RELIABILITY_LEVEL best = VIP_SERVICE_UNRELIABLE;
	VIP_VI_HANDLE other;
	uint64_t start;
	int i;

	run_nic(r);
	if (r->attr.ReliabilityLevelSupport >= VIP_SERVICE_RELIABLE_RECEPTION)
		best = VIP_SERVICE_RELIABLE_RECEPTION;
	else if (r->attr.ReliabilityLevelSupport >= VIP_SERVICE_RELIABLE_DELIVERY)
		best = VIP_SERVICE_RELIABLE_DELIVERY;
	r->level = best;
	run_vi(r);
	other = run_pair_here(r);
	start = now_ms();
	for (i = 0; i < 10000; i++)
		talk(r, r->vi, other, 64);
	note("level %u, %lu us a message", best, (unsigned long)(now_ms() - start) / 10);
	assert_true(now_ms() - start < SOON_MS); /* two milliseconds each */
	drop_vi(other);
	run_close(r);
}

static const char *const functions[] = {
	"VipOpenNic",
	"VipCloseNic",
	"VipQueryNic",
	"VipQuerySystemManagementInfo",
	"VipErrorCallback",
	"VipCreateVi",
	"VipDestroyVi",
	"VipSetViAttributes",
	"VipQueryVi",
	"VipCreatePtag",
	"VipDestroyPtag",
	"VipRegisterMem",
	"VipDeregisterMem",
	"VipSetMemAttributes",
	"VipQueryMem",
	"VipConnectWait",
	"VipConnectAccept",
	"VipConnectReject",
	"VipConnectRequest",
	"VipDisconnect",
	"VipConnectPeerRequest",
	"VipConnectPeerDone",
	"VipConnectPeerWait",
	"VipPostSend",
	"VipPostRecv",
	"VipSendDone",
	"VipRecvDone",
	"VipSendWait",
	"VipRecvWait",
	"VipSendNotify",
	"VipRecvNotify",
	"VipCreateCQ",
	"VipDestroyCQ",
	"VipResizeCQ",
	"VipCQDone",
	"VipCQWait",
	"VipCQNotify",
	"VipNSInit",
	"VipNSGetHostByName",
	"VipNSGetHostByAddr",
	"VipNSShutdown",
};

_Static_assert(sizeof(functions) / sizeof(functions[0]) == 41, "the functions of VIPL 1.0");

/* L-28 */
void check_loaded_by_name(struct run *r)
{
	VIP_RETURN (*open_nic)(const VIP_CHAR *, VIP_NIC_HANDLE *);
	VIP_RETURN (*close_nic)(VIP_NIC_HANDLE);
	VIP_NIC_HANDLE nic;
	const char *name;
	Dl_info info;
	void *lib;
	size_t i;

	assert_int_not_equal(dladdr((void *)(uintptr_t)VipOpenNic, &info), 0);
	name = strrchr(info.dli_fname, '/');
	name = name ? name + 1 : info.dli_fname;
	if (!strstr(name, ".so"))
		skip_check("VIPL is linked into this program: there is no library to load");
	lib = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		fail_msg("dlopen(\"%s\"): %s", name, dlerror());
	for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		doing("%s in %s", functions[i], name);
		assert_non_null(dlsym(lib, functions[i]));
	}
	*(void **)&open_nic = dlsym(lib, "VipOpenNic");
	*(void **)&close_nic = dlsym(lib, "VipCloseNic");
	EXPECT(open_nic(r->device, &nic), VIP_SUCCESS);
	EXPECT(close_nic(nic), VIP_SUCCESS);
}

/* L-29: the consumers' switch, and each call once, well or badly used */
static void not_extra(const char *call, VIP_RETURN code)
{
	switch (code) {
	case VIP_NOT_REACHABLE:
	case VIP_ERROR_NOT_SUPPORTED:
		fail_msg("%s gave %s, which is not VIPL 1.0", call, code_name(code));
		break;
	default:
		break;
	}
}

#define NOT_EXTRA(call) not_extra(#call, call)

void check_extra_codes(struct run *r)
{
	VIP_AUTODISCOVERY_LIST list;
	union address here, there;
	VIP_VI_ATTRIBUTES attr;
	VIP_NIC_HANDLE nic;
	VIP_VI_HANDLE vi;
	VIP_CQ_HANDLE cq;
	VIP_CONN_HANDLE conn;
	VIP_DESCRIPTOR *d;
	VIP_BOOLEAN recv;

	_Static_assert(VIP_NOT_REACHABLE == 15 && VIP_ERROR_NOT_SUPPORTED == 16, "Giganet's codes");
	run_vi(r);
	named_address(r, &here, "here");
	named_address(r, &there, "there");
	NOT_EXTRA(VipOpenNic("nosuch0", &nic));
	NOT_EXTRA(VipQuerySystemManagementInfo(r->nic, VIP_SMI_AUTODISCOVERY, &list));
	NOT_EXTRA(VipQuerySystemManagementInfo(r->nic, 99, &list));
	NOT_EXTRA(VipCreateCQ(r->nic, 4, &cq));
	NOT_EXTRA(VipResizeCQ(cq, 8));
	NOT_EXTRA(VipCQNotify(cq, NULL, ignore_cq));
	NOT_EXTRA(VipCQDone(cq, &vi, &recv));
	NOT_EXTRA(VipCQWait(cq, 0, &vi, &recv));
	NOT_EXTRA(VipDestroyCQ(cq));
	NOT_EXTRA(VipSendNotify(r->vi, NULL, ignore_vi));
	NOT_EXTRA(VipRecvNotify(r->vi, NULL, ignore_vi));
	NOT_EXTRA(VipConnectWait(r->nic, &here.a, 0, &there.a, &attr, &conn));
	NOT_EXTRA(VipConnectRequest(r->vi, &here.a, &there.a, 200, &attr));
	here.room[4 + r->attr.NicAddressLen - 1] ^= 0x55; /* not reachable, in other words */
	NOT_EXTRA(VipConnectRequest(r->vi, &there.a, &here.a, 200, &attr));
	NOT_EXTRA(VipConnectPeerRequest(r->vi, &there.a, &there.a, 100));
	NOT_EXTRA(VipConnectPeerDone(r->vi, &attr));
	NOT_EXTRA(VipConnectPeerWait(r->vi, &attr));
	NOT_EXTRA(VipPostSend(r->vi, fill(r, 0, data(r), 10, r->mem), r->mem));
	NOT_EXTRA(VipSendDone(r->vi, &d));
	NOT_EXTRA(VipSendWait(r->vi, 0, &d));
	NOT_EXTRA(VipRecvWait(r->vi, 0, &d));
	NOT_EXTRA(VipNSInit(r->nic, NULL));
	NOT_EXTRA(VipNSGetHostByName(r->nic, (VIP_CHAR[]){"no-such-host.invalid"}, &here.a, 0));
	NOT_EXTRA(VipNSShutdown(r->nic));
}

/*
 * L-32: these are this program's.  A library that is linked with it and calls
 * the C library's gets these instead.
 */
static void interposed(const char *name)
{
	fprintf(stderr, "the provider has called %s, which this program defines for itself\n", name);
	abort();
}

int sem_wait(sem_t *sem)
{
	(void)sem;
	interposed("sem_wait");
	return -1;
}

sem_t *sem_open(const char *name, int flags, ...)
{
	(void)name, (void)flags;
	interposed("sem_open");
	return SEM_FAILED;
}

int sem_close(sem_t *sem)
{
	(void)sem;
	interposed("sem_close");
	return -1;
}

void check_interposed(struct run *r)
{
	VIP_VI_HANDLE other;
	VIP_BOOLEAN recv;
	VIP_DESCRIPTOR *d;
	VIP_VI_HANDLE vi;

	/* something of everything that waits, wakes, or starts a thread */
	run_nic(r);
	EXPECT(VipCreateCQ(r->nic, 4, &r->rcq), VIP_SUCCESS);
	run_vi(r);
	other = run_pair_here(r);
	EXPECT(VipCQWait(r->rcq, 20, &vi, &recv), VIP_TIMEOUT);
	talk(r, r->vi, other, 100);
	EXPECT(VipCQWait(r->rcq, 20, &vi, &recv), VIP_TIMEOUT);
	EXPECT(VipRecvWait(r->vi, 20, &d), (VIP_RETURN)choice(r, "K-9"));
	EXPECT(VipCQNotify(r->rcq, NULL, ignore_cq), VIP_SUCCESS);
	pause_ms(50);
}

/* L-35 */
static bool as_cxx98(const char *include, unsigned long size)
{
	char command[1024];

	snprintf(command, sizeof(command),
		 "printf '#include <vipl.h>\\nchar right[sizeof(VIP_DESCRIPTOR) == %lu ? 1 : -1];\\n' | "
		 "c++ -x c++ -std=c++98 -Wall -Wextra -pedantic -Werror %s -fsyntax-only - && "
		 "printf '#include <vipl.h>\\nchar right[sizeof(VIP_DESCRIPTOR) == %lu ? 1 : -1];\\n' | "
		 "c++ -x c++ -std=c++98 -DVIPL095 -Wall -Wextra -pedantic -Werror %s -fsyntax-only -",
		 size, include, size, include);
	return system(command) == 0;
}

void check_old_compilers(struct run *r)
{
	static const unsigned long here[CONSUMER_LAYOUT_COUNT] = CONSUMER_LAYOUT;
	int i;

	(void)r;
	assert_true(gnu89_is_c89);
	assert_true(sizeof(VIP_DESCRIPTOR) <= 64);
	for (i = 0; i < CONSUMER_LAYOUT_COUNT; i++) {
		doing("size or offset no. %d of gnu89 with VIPL095", i);
		assert_int_equal(gnu89_layout[i], here[i]);
	}
	doing("C++98");
	if (system("c++ --version >/dev/null 2>&1") != 0)
		note("gnu89 alone: there is no c++ for the header as C++98");
	else
		assert_true(as_cxx98(VIPL_H_FLAGS, sizeof(VIP_DESCRIPTOR)));
}

/* L-36 */
void check_type_names(struct run *r)
{
	VIP_ERROR_HANDLER handler = ignore_error;
	VIP_VI_CALLBACK vi_callback = ignore_vi;
	VIP_CQ_CALLBACK cq_callback = ignore_cq;
	VIP_DESCRIPTOR *d = NULL;
	VIP_CQ_HANDLE cq;

	_Static_assert(VIP_ERROR == VIP_DESCRIPTOR_ERROR, "the alias");
	run_vi(r);
	EXPECT(VipErrorCallback(r->nic, NULL, handler), VIP_SUCCESS);
	EXPECT(VipSendNotify(r->vi, NULL, vi_callback), VIP_SUCCESS);
	EXPECT(VipRecvNotify(r->vi, NULL, vi_callback), VIP_SUCCESS);
	EXPECT(VipCreateCQ(r->nic, 4, &cq), VIP_SUCCESS);
	EXPECT(VipCQNotify(cq, NULL, cq_callback), VIP_SUCCESS);
	EXPECT(VipRecvDone(r->vi, &d), VIP_ERROR);
}
