/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traced.c - a program to be traced, for test_trace.c.  It makes calls, good
 * and bad, as its argument says, and leaves with 0 when the library answered
 * as it does without a trace.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vipl.h"

#define THREADS 8
#define CALLS	200

#define MUST(what)                                                      \
	do {                                                            \
		if (!(what)) {                                          \
			fprintf(stderr, "traced: not so: %s\n", #what); \
			exit(1);                                        \
		}                                                       \
	} while (0)

static VIP_NIC_HANDLE nic;

static void open_nic(void)
{
	MUST(VipOpenNic("emu0", &nic) == VIP_SUCCESS);
}

/* A send and a receive that are flushed, and one with an RDMA segment. */
static void good(void)
{
	VIP_VI_ATTRIBUTES attr = {.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY, .MaxTransferSize = 4096};
	VIP_DESCRIPTOR *d = aligned_alloc(4096, 4096), *done;
	VIP_MEM_HANDLE mem;
	VIP_VI_HANDLE vi;

	open_nic();
	memset(d, 0, 4096);
	MUST(VipRegisterMem(nic, d, 4096, NULL, &mem) == VIP_SUCCESS);
	MUST(VipCreateVi(nic, &attr, NULL, NULL, &vi) == VIP_SUCCESS);
	MUST(VipRecvDone(vi, &done) == VIP_DESCRIPTOR_ERROR && !done);
	d[0].CS.SegCount = 1;
	d[0].CS.Length = 100;
	d[0].DS[0].Local.Data.Address = d + 8;
	d[0].DS[0].Local.Handle = mem;
	d[0].DS[0].Local.Length = 100;
	MUST(VipPostRecv(vi, d, mem) == VIP_SUCCESS);
	MUST(VipRecvDone(vi, &done) == VIP_NOT_DONE);
	d[1].CS.Control = VIP_CONTROL_OP_RDMAWRITE | VIP_CONTROL_IMMEDIATE;
	d[1].CS.ImmediateData = 0xabcd;
	d[1].CS.SegCount = 1;
	d[1].DS[0].Remote.Data.AddressBits = 0x12340;
	d[1].DS[0].Remote.Handle = 0x77;
	MUST(VipPostSend(vi, d + 1, mem) == VIP_SUCCESS);
	MUST(VipSendWait(vi, VIP_INFINITE, &done) == VIP_DESCRIPTOR_ERROR && done == d + 1);
	MUST(VipDisconnect(vi) == VIP_SUCCESS);
	MUST(VipRecvDone(vi, &done) == VIP_DESCRIPTOR_ERROR && done == d);
	MUST(VipDestroyVi(vi) == VIP_SUCCESS);
	MUST(VipDeregisterMem(nic, d, mem) == VIP_SUCCESS);
	MUST(VipCloseNic(nic) == VIP_SUCCESS);
	free(d);
}

/* Every function, with no handle and with pointers @p to what is not there. */
static void bad(void *p)
{
	void *h = (void *)0x5eed; /* no handle */
	VIP_VI_ATTRIBUTES *va = p;
	VIP_MEM_ATTRIBUTES *ma = p;
	VIP_NET_ADDRESS *na = p;
	const VIP_RETURN want = VIP_INVALID_PARAMETER;

	MUST(VipOpenNic(NULL, p) == want);
	MUST(VipCloseNic(h) == want);
	MUST(VipQueryNic(h, p) == want);
	MUST(VipQuerySystemManagementInfo(h, 1, p) == want);
	MUST(VipErrorCallback(h, p, NULL) == want);
	MUST(VipCreateVi(h, va, h, h, p) == want);
	MUST(VipDestroyVi(h) == want);
	MUST(VipSetViAttributes(h, va) == want);
	MUST(VipQueryVi(h, p, va, p, p) == want);
	MUST(VipCreatePtag(h, p) == want);
	MUST(VipDestroyPtag(h, h) == want);
	MUST(VipRegisterMem(h, p, 10, ma, p) == want);
	MUST(VipDeregisterMem(h, p, 1) == want);
	MUST(VipSetMemAttributes(h, p, 1, ma) == want);
	MUST(VipQueryMem(h, p, 1, ma) == want);
	MUST(VipConnectWait(h, na, 0, na, va, p) == want);
	MUST(VipConnectAccept(h, h) == want);
	MUST(VipConnectReject(h) == want);
	MUST(VipConnectRequest(h, na, na, 1, va) == want);
	MUST(VipDisconnect(h) == want);
	MUST(VipConnectPeerRequest(h, na, na, 1) == want);
	MUST(VipConnectPeerDone(h, va) == want);
	MUST(VipConnectPeerWait(h, va) == want);
	MUST(VipPostSend(h, p, 1) == want);
	MUST(VipPostRecv(h, p, 1) == want);
	MUST(VipSendDone(h, p) == want);
	MUST(VipRecvDone(h, p) == want);
	MUST(VipSendWait(h, 0, p) == want);
	MUST(VipRecvWait(h, 0, p) == want);
	MUST(VipSendNotify(h, p, NULL) == want);
	MUST(VipRecvNotify(h, p, NULL) == want);
	MUST(VipCreateCQ(h, 1, p) == want);
	MUST(VipDestroyCQ(h) == want);
	MUST(VipResizeCQ(h, 1) == want);
	MUST(VipCQDone(h, p, p) == want);
	MUST(VipCQWait(h, 0, p, p) == want);
	MUST(VipCQNotify(h, p, NULL) == want);
	MUST(VipNSInit(h, p) == want);
	MUST(VipNSGetHostByName(h, p, na, 0) == want);
	MUST(VipNSGetHostByAddr(h, na, p, p) == want);
	MUST(VipNSShutdown(h) == want);
}

/* A name and an address whose end would lie behind the end of the memory there is. */
static void edge(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	     *name = p + 4093;
	VIP_NET_ADDRESS *net = (VIP_NET_ADDRESS *)(p + 4088);

	MUST(p != MAP_FAILED && mprotect(p + 4096, 4096, PROT_NONE) == 0);
	net->HostAddressLen = 1;
	net->DiscriminatorLen = 0xffff;
	MUST(VipConnectRequest(NULL, net, net, 1, NULL) == VIP_INVALID_PARAMETER);
	memcpy(name, "\"\n", 3);
	MUST(VipOpenNic(name, &nic) == VIP_INVALID_PARAMETER);
	memset(name, 'x', 3); /* no end at all */
	MUST(VipNSGetHostByName(NULL, name, net, 0) == VIP_INVALID_PARAMETER);
	bad((void *)8);
}

static void *query(void *arg)
{
	VIP_NIC_ATTRIBUTES attr;
	int i;

	for (i = 0; i < CALLS; i++)
		MUST(VipQueryNic(nic, &attr) == VIP_SUCCESS);
	return arg;
}

static void threads(void)
{
	pthread_t t[THREADS];
	int i, status;
	pid_t pid;

	open_nic();
	for (i = 0; i < THREADS; i++)
		MUST(pthread_create(&t[i], NULL, query, NULL) == 0);
	/* a child of a program with threads */
	pid = fork();
	if (pid == 0) {
		alarm(20);
		MUST(VipCloseNic(nic) == VIP_INVALID_PARAMETER);
		_exit(0);
	}
	for (i = 0; i < THREADS; i++)
		MUST(pthread_join(t[i], NULL) == 0);
	MUST(waitpid(pid, &status, 0) == pid && status == 0);
	MUST(VipCloseNic(nic) == VIP_SUCCESS);
}

/* As a daemon does; its next files must not get lines. */
static void closes_all(void)
{
	char name[] = "/tmp/vipl-traced.XXXXXX";
	int i, fd = -1, last = -1;

	MUST(VipNSInit(NULL, NULL) == VIP_INVALID_PARAMETER);
	for (i = 3; i < 1024; i++)
		close(i);
	unsetenv("VIPL_TRACE");
	MUST(chdir("/") == 0);
	fd = mkstemp(name);
	MUST(fd >= 0 && unlink(name) == 0);
	while (last < 200)
		last = dup(fd);
	for (i = 0; i < 3; i++)
		MUST(VipNSShutdown(NULL) == VIP_INVALID_PARAMETER);
	MUST(lseek(fd, 0, SEEK_END) == 0);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "good") == 0)
		good();
	else if (strcmp(what, "null") == 0)
		bad(NULL);
	else if (strcmp(what, "wild") == 0)
		edge();
	else if (strcmp(what, "threads") == 0)
		threads();
	else if (strcmp(what, "closes") == 0)
		closes_all();
	else
		return 2;
	return 0;
}
