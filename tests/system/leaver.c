/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * leaver.c - one end of a connection for test_exit: has a System V segment and
 * private memory registered and a receive posted, and then leaves, or stays.
 *
 *	leaver server|client HOW [SHMID]
 *
 * HOW it leaves:  _exit, return (both with everything open), abort, pause (to
 * be killed), close (VipCloseNic), disconnect.
 * HOW it stays, that is, sleeps until it is told that the other has gone:
 * recvwait, cqwait, callback, poll.  Prints "told: ..." then, closes, exits 0.
 * SHMID: the segment to attach, instead of one of its own.
 * Both print "connected" first.  Exit code 1: something else went wrong.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "tools/common.h"
#include "vipl.h"
#include "vipl_ext.h"

#define BYTES	(64 * 1024)
#define NAME	"leaver"
#define FOREVER VIP_INFINITE

static atomic_int lost = -1; /* VIP_ERROR_CODE, once there was one */

static void on_error(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *e)
{
	(void)context;
	atomic_store(&lost, (int)e->ErrorCode);
}

static int die(const char *call, VIP_RETURN rc)
{
	fprintf(stderr, "leaver: %s: %s: %s\n", call, VipxReturnName(rc), VipxErrorText());
	exit(1);
}

static void told(const char *by, int what)
{
	printf("told: %s %d\n", by, what);
	fflush(stdout);
}

/* Sleep as @how says; 0 when told. */
static int stay(const char *how, VIP_VI_HANDLE vi, VIP_CQ_HANDLE cq)
{
	VIP_BOOLEAN receive = VIP_FALSE;
	VIP_VI_HANDLE which = NULL;
	VIP_DESCRIPTOR *d = NULL;
	VIP_RETURN rc = VIP_NOT_DONE;

	if (strcmp(how, "recvwait") == 0) {
		rc = VipRecvWait(vi, FOREVER, &d);
	} else if (strcmp(how, "cqwait") == 0) {
		rc = VipCQWait(cq, FOREVER, &which, &receive);
		if (rc == VIP_SUCCESS)
			rc = VipRecvDone(which, &d);
	} else if (strcmp(how, "poll") == 0) {
		while ((rc = VipRecvDone(vi, &d)) == VIP_NOT_DONE)
			usleep(1000);
	} else {
		while (atomic_load(&lost) < 0)
			usleep(1000);
		told("callback", atomic_load(&lost));
		return atomic_load(&lost) != VIP_ERROR_CONN_LOST &&
		       atomic_load(&lost) != VIP_ERROR_CATASTROPHIC;
	}
	told(how, (int)rc);
	if (rc == VIP_DESCRIPTOR_ERROR && d && (d->CS.Status & VIP_STATUS_ERROR_MASK))
		return 0;
	fprintf(stderr, "leaver: %s ended with %s, status %#x\n", how, VipxReturnName(rc),
		d ? d->CS.Status : 0);
	return 1;
}

static int leave(const char *how, struct vnic *n, VIP_VI_HANDLE vi)
{
	if (strcmp(how, "_exit") == 0)
		_exit(0);
	if (strcmp(how, "abort") == 0)
		raise(SIGABRT);
	if (strcmp(how, "pause") == 0) {
		for (;;)
			pause();
	}
	if (strcmp(how, "close") == 0) {
		VipCloseNic(n->nic);
		pause();
	}
	if (strcmp(how, "disconnect") == 0) {
		VipDisconnect(vi);
		pause();
	}
	return 0; /* return */
}

int main(int argc, char **argv)
{
	VIP_VI_ATTRIBUTES peer,
		attr = {.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY, .MaxTransferSize = BYTES};
	VIP_MEM_HANDLE mem, seg_mem;
	VIP_CQ_HANDLE cq = NULL;
	VIP_CONN_HANDLE conn;
	struct vnic n;
	VIP_VI_HANDLE vi;
	VIP_RETURN rc;
	char *private, *seg;
	bool stays;
	int shmid;

	if (argc < 3)
		return 2;
	stays = strstr("recvwait cqwait callback poll", argv[2]) != NULL;

	/* Marked at once, so that it lives no longer than who is attached. */
	shmid = argc > 3 ? atoi(argv[3]) : shmget(IPC_PRIVATE, BYTES, IPC_CREAT | 0600);
	seg = shmat(shmid, NULL, 0);
	if (seg == (char *)-1) {
		fprintf(stderr, "leaver: segment %d: %s\n", shmid, strerror(errno));
		return 1;
	}
	if (argc == 3)
		shmctl(shmid, IPC_RMID, NULL);
	private = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (private == MAP_FAILED) {
		perror("leaver: memory");
		return 1;
	}
	memset(private, 1, BYTES);

	if (vnic_open(&n, TOOL_DEVICE) || vnic_register(&n, private, BYTES, &mem) ||
	    vnic_register(&n, seg, BYTES, &seg_mem))
		goto fault;
	rc = VipErrorCallback(n.nic, NULL, on_error);
	if (rc != VIP_SUCCESS)
		die("VipErrorCallback", rc);
	if (strcmp(argv[2], "cqwait") == 0) {
		rc = VipCreateCQ(n.nic, 16, &cq);
		if (rc != VIP_SUCCESS)
			die("VipCreateCQ", rc);
	}
	attr.Ptag = n.ptag;
	rc = VipCreateVi(n.nic, &attr, NULL, cq, &vi);
	if (rc != VIP_SUCCESS)
		die("VipCreateVi", rc);
	vdesc_fill((VIP_DESCRIPTOR *)private, seg, seg_mem, BYTES);
	if (vnic_post(&n, VQ_RECV, vi, (VIP_DESCRIPTOR *)private, mem))
		goto fault;
	if (strcmp(argv[1], "server") == 0) {
		printf("listening\n");
		fflush(stdout);
		if (vnic_listen(&n, NAME, TOOL_PATIENCE_MS, &peer, &conn))
			goto fault;
		rc = VipConnectAccept(conn, vi);
		if (rc != VIP_SUCCESS)
			die("VipConnectAccept", rc);
	} else if (vnic_connect(&n, vi, "localhost", NAME)) {
		goto fault;
	}
	printf("connected\n");
	fflush(stdout);
	if (!stays) {
		/* The other has time to fall asleep. */
		usleep(200 * 1000);
		return leave(argv[2], &n, vi);
	}
	if (stay(argv[2], vi, cq))
		return 1;
	vnic_drop_vi(vi);
	vnic_close(&n);
	return 0;

fault:
	fprintf(stderr, "leaver: %s\n", n.fault);
	return 1;
}
