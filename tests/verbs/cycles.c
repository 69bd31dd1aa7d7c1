/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cycles.c DEVICE COUNT MOST - two processes connect, send each other a message and
 * disconnect, COUNT times, with a VI and a region of their own each time.
 *
 * Prints how long the connections took.  Exit status 1: one took longer than MOST
 * milliseconds, something failed, or a process has more file descriptors, or much
 * more memory, at the end than after the first cycles.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vipl_ext.h"

#define HOST	 16
#define BYTES	 4096
#define WAIT_MS	 30000
#define WARM	 32	    /* cycles after which a process has what it needs */
#define MOST_RSS (4l << 20) /* bytes that it may need more later */

union address {
	VIP_NET_ADDRESS a;
	uint8_t room[4 + HOST + 32];
};

static const char *me;
static VIP_NIC_HANDLE nic;
static VIP_NIC_ATTRIBUTES nic_attr;

/* What a cycle needs; the descriptors are the region's, too. */
struct cycle {
	VIP_VI_HANDLE vi;
	VIP_MEM_HANDLE mem;
	struct room {
		VIP_DESCRIPTOR recv, send;
		uint8_t in[BYTES], out[BYTES];
	} * room;
};

static void must(int line, const char *what, VIP_RETURN code)
{
	if (code == VIP_SUCCESS)
		return;
	printf("%s, line %d: %s: %s (%s)\n", me, line, what, VipxReturnName(code), VipxErrorText());
	exit(1);
}
#define MUST(call) must(__LINE__, #call, (call))

static double ms_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static union address here(const char *disc)
{
	union address a = {.a = {.HostAddressLen = HOST, .DiscriminatorLen = (VIP_UINT16)strlen(disc)}};

	memcpy(a.room + 4, nic_attr.LocalNicAddress, HOST);
	memcpy(a.room + 4 + HOST, disc, strlen(disc));
	return a;
}

static void describe(struct cycle *c, VIP_DESCRIPTOR *d, void *data)
{
	memset(d, 0, sizeof(*d));
	d->CS.Length = BYTES;
	d->CS.SegCount = 1;
	d->DS[0].Local.Data.Address = data;
	d->DS[0].Local.Handle = c->mem;
	d->DS[0].Local.Length = BYTES;
}

static void begin(struct cycle *c)
{
	VIP_VI_ATTRIBUTES vi = {.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY, .MaxTransferSize = BYTES};
	VIP_MEM_ATTRIBUTES mem = {0};

	c->room = aligned_alloc(4096, (sizeof(*c->room) + 4095) / 4096 * 4096);
	if (!c->room)
		exit(1);
	MUST(VipRegisterMem(nic, c->room, sizeof(*c->room), &mem, &c->mem));
	MUST(VipCreateVi(nic, &vi, NULL, NULL, &c->vi));
	describe(c, &c->room->recv, c->room->in);
	describe(c, &c->room->send, c->room->out);
	memset(c->room->in, 0, BYTES);
	MUST(VipPostRecv(c->vi, &c->room->recv, c->mem));
}

static void send_one(struct cycle *c, int fill)
{
	VIP_DESCRIPTOR *d;

	memset(c->room->out, fill, BYTES);
	MUST(VipPostSend(c->vi, &c->room->send, c->mem));
	MUST(VipSendWait(c->vi, WAIT_MS, &d));
}

static void recv_one(struct cycle *c, int fill)
{
	VIP_DESCRIPTOR *d;

	MUST(VipRecvWait(c->vi, WAIT_MS, &d));
	if (c->room->in[0] != fill || memcmp(c->room->in, c->room->in + 1, BYTES - 1) != 0) {
		printf("%s: other bytes arrived than were sent\n", me);
		exit(1);
	}
}

static void finish(struct cycle *c)
{
	MUST(VipDisconnect(c->vi));
	MUST(VipDestroyVi(c->vi));
	MUST(VipDeregisterMem(nic, c->room, c->mem));
	free(c->room);
}

static void serve(int i)
{
	union address at = here("cycles"), from;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	VIP_DESCRIPTOR *d;
	struct cycle c;

	begin(&c);
	MUST(VipConnectWait(nic, &at.a, WAIT_MS, &from.a, &attr, &conn));
	MUST(VipConnectAccept(conn, c.vi));
	recv_one(&c, i & 0xff);
	send_one(&c, ~i & 0xff);
	/* the client ends it: a receive that is then flushed */
	describe(&c, &c.room->recv, c.room->in);
	if (VipPostRecv(c.vi, &c.room->recv, c.mem) == VIP_SUCCESS)
		VipRecvWait(c.vi, WAIT_MS, &d);
	finish(&c);
}

static double ask(int i)
{
	union address from = here("client"), to = here("cycles");
	VIP_VI_ATTRIBUTES attr;
	struct cycle c;
	VIP_RETURN code;
	double start, took;

	begin(&c);
	start = ms_now();
	do {
		code = VipConnectRequest(c.vi, &from.a, &to.a, WAIT_MS, &attr);
	} while (code == VIP_NO_MATCH && ms_now() < start + WAIT_MS);
	took = ms_now() - start;
	MUST(code);
	send_one(&c, i & 0xff);
	recv_one(&c, ~i & 0xff);
	finish(&c);
	return took;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static bool tell(double *took, int n, double most)
{
	static const double parts[] = {0, 0.5, 0.9, 0.99, 1};
	size_t p;
	int i, late = 0;

	qsort(took, (size_t)n, sizeof(*took), compare);
	for (i = 0; i < n; i++)
		late += took[i] > most;
	printf("%d connections, milliseconds:", n);
	for (p = 0; p < sizeof(parts) / sizeof(parts[0]); p++)
		printf("  %g%% %.1f", parts[p] * 100, took[(int)(parts[p] * (n - 1))]);
	printf("; %d above %g\n", late, most);
	return !late;
}

/* File descriptors and bytes of memory of this process. */
static void held(int *fds, long *rss)
{
	FILE *f = fopen("/proc/self/statm", "r");
	DIR *dir = opendir("/proc/self/fd");
	long pages = 0;

	for (*fds = 0; dir && readdir(dir); ++*fds)
		;
	if (dir)
		closedir(dir);
	if (!f || fscanf(f, "%*s %ld", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	*rss = pages * sysconf(_SC_PAGESIZE);
}

static bool run(const char *device, int count, double *took)
{
	int i, fds, fds_end;
	long rss, rss_end;

	if (VipOpenNic(device, &nic) != VIP_SUCCESS || VipQueryNic(nic, &nic_attr) != VIP_SUCCESS) {
		printf("%s cannot be opened: %s\n", device, VipxErrorText());
		exit(2);
	}
	held(&fds, &rss);
	for (i = 0; i < count; i++) {
		if (i == WARM)
			held(&fds, &rss);
		if (took)
			took[i] = ask(i);
		else
			serve(i);
	}
	held(&fds_end, &rss_end);
	printf("%s: %d file descriptors, and %d at the end; %ld KiB, and %ld\n", me, fds, fds_end, rss >> 10,
	       rss_end >> 10);
	MUST(VipCloseNic(nic));
	return fds_end <= fds && rss_end <= rss + MOST_RSS;
}

int main(int argc, char **argv)
{
	int count = argc == 4 ? atoi(argv[2]) : 0, status;
	double *took;
	pid_t child;
	bool ok;

	if (count < 1) {
		fprintf(stderr, "usage: %s DEVICE COUNT MOST\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	took = calloc((size_t)count, sizeof(*took));
	child = fork();
	if (!took || child < 0)
		return 2;
	me = child ? "client" : "server";
	if (!child)
		return !run(argv[1], count, NULL);
	ok = run(argv[1], count, took);
	ok = waitpid(child, &status, 0) == child && status == 0 && ok;
	ok = tell(took, count, atof(argv[3])) && ok;
	return !ok;
}
