/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * meet.c DEVICE - connections on a real RDMA device, beyond what the conformance suite
 * asks of any NIC: discriminators too long for one request, peers with equal
 * addresses, IPv6, more servers than a discriminator has ports, and processes that
 * end in the middle.  A line for each; exit status 1 when one failed.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vipl_ext.h"

#define HOST	16
#define LONG_MS 20000

static const char *device;
static VIP_NIC_HANDLE nic;
static VIP_NIC_ATTRIBUTES nic_attr;
static int failures;

union address {
	VIP_NET_ADDRESS a;
	uint8_t room[4 + HOST + 32];
};

#define CHECK(what) check(__LINE__, #what, (what))

static bool check(int line, const char *what, bool is)
{
	if (!is) {
		printf("  line %d: not so: %s (%s)\n", line, what, VipxErrorText());
		failures++;
	}
	return is;
}

static unsigned long ms_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long)t.tv_sec * 1000 + (unsigned long)t.tv_nsec / 1000000;
}

static void nap(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void open_nic(void)
{
	if (VipOpenNic(device, &nic) != VIP_SUCCESS || VipQueryNic(nic, &nic_attr) != VIP_SUCCESS) {
		printf("%s cannot be opened: %s\n", device, VipxErrorText());
		exit(2);
	}
}

static union address address(const uint8_t host[HOST], const void *disc, size_t len)
{
	union address a = {.a = {.HostAddressLen = HOST, .DiscriminatorLen = (VIP_UINT16)len}};

	memcpy(a.room + 4, host, HOST);
	memcpy(a.room + 4 + HOST, disc, len);
	return a;
}

static union address here(const char *disc)
{
	return address(nic_attr.LocalNicAddress, disc, strlen(disc));
}

static VIP_VI_HANDLE new_vi(void)
{
	VIP_VI_ATTRIBUTES attr = {.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY,
				  .MaxTransferSize = 65536};
	VIP_VI_HANDLE vi = NULL;

	CHECK(VipCreateVi(nic, &attr, NULL, NULL, &vi) == VIP_SUCCESS);
	return vi;
}

static VIP_VI_STATE state_of(VIP_VI_HANDLE vi)
{
	VIP_VI_STATE state = VIP_STATE_IDLE;
	VIP_VI_ATTRIBUTES attr;
	VIP_BOOLEAN a, b;

	VipQueryVi(vi, &state, &attr, &a, &b);
	return state;
}

static bool becomes(VIP_VI_HANDLE vi, VIP_VI_STATE state, unsigned long ms)
{
	unsigned long end = ms_now() + ms;

	while (state_of(vi) != state && ms_now() < end)
		nap(1);
	return state_of(vi) == state;
}

static void drop(VIP_VI_HANDLE vi)
{
	CHECK(VipDisconnect(vi) == VIP_SUCCESS);
	CHECK(VipDestroyVi(vi) == VIP_SUCCESS);
}

struct client {
	pthread_t thread;
	VIP_VI_HANDLE vi;
	union address from, to;
	VIP_ULONG timeout;
	VIP_RETURN code;
};

static void *request(void *arg)
{
	struct client *c = arg;
	VIP_VI_ATTRIBUTES attr;
	unsigned long end = ms_now() + LONG_MS;

	do {
		c->code = VipConnectRequest(c->vi, &c->from.a, &c->to.a, c->timeout, &attr);
	} while (c->code == VIP_NO_MATCH && ms_now() < end);
	return NULL;
}

static void start(struct client *c, VIP_VI_HANDLE vi, union address from, union address to)
{
	*c = (struct client){.vi = vi, .from = from, .to = to, .timeout = LONG_MS};
	pthread_create(&c->thread, NULL, request, c);
}

/* A client with @from meets a server at @to, who sees him as he is called. */
static void meet(union address from, union address to)
{
	VIP_VI_HANDLE a = new_vi(), b = new_vi();
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	union address seen;
	struct client c;
	VIP_RETURN code;

	start(&c, a, from, to);
	code = VipConnectWait(nic, &to.a, LONG_MS, &seen.a, &attr, &conn);
	if (CHECK(code == VIP_SUCCESS)) {
		CHECK(seen.a.DiscriminatorLen == from.a.DiscriminatorLen);
		CHECK(memcmp(seen.room + 4 + HOST, from.room + 4 + HOST, from.a.DiscriminatorLen) == 0);
		CHECK(VipConnectAccept(conn, b) == VIP_SUCCESS);
	}
	pthread_join(c.thread, NULL);
	CHECK(c.code == VIP_SUCCESS);
	drop(a);
	CHECK(becomes(b, VIP_STATE_ERROR, 5000));
	drop(b);
}

static void long_discriminators(void)
{
	uint8_t one[32], two[32];
	size_t n;

	for (n = 0; n < 32; n++) {
		one[n] = (uint8_t)(n * 7);
		two[n] = (uint8_t)(255 - n);
	}
	for (n = 17; n <= 32; n += 5) /* 34 bytes of both fit, 44 do not */
		meet(address(nic_attr.LocalNicAddress, one, n), address(nic_attr.LocalNicAddress, two, n));
	meet(address(nic_attr.LocalNicAddress, one, 32), address(nic_attr.LocalNicAddress, two, 32));
}

static void peers(union address one, union address two)
{
	VIP_VI_HANDLE a = new_vi(), b = new_vi();
	VIP_VI_ATTRIBUTES attr;

	CHECK(VipConnectPeerRequest(a, &one.a, &two.a, LONG_MS) == VIP_SUCCESS);
	nap(50);
	CHECK(VipConnectPeerRequest(b, &two.a, &one.a, LONG_MS) == VIP_SUCCESS);
	CHECK(VipConnectPeerWait(a, &attr) == VIP_SUCCESS);
	CHECK(VipConnectPeerWait(b, &attr) == VIP_SUCCESS);
	CHECK(state_of(a) == VIP_STATE_CONNECTED && state_of(b) == VIP_STATE_CONNECTED);
	drop(b);
	CHECK(becomes(a, VIP_STATE_ERROR, 5000));
	drop(a);
}

static void long_peers(void)
{
	peers(here("a peer whose name has 32 letters"), here("another one with as many letters"));
	peers(here("another one with as many letters"), here("a peer whose name has 32 letters"));
}

static void equal_peers(void)
{
	int i;

	for (i = 0; i < 5; i++)
		peers(here("a peer whose name has 32 letters"), here("a peer whose name has 32 letters"));
}

/* Addresses of the other family, as the name service has them. */
static void other_family(void)
{
	static VIP_CHAR name[] = "localhost";
	union address a = here("");
	VIP_ULONG i;
	int n = 0;

	CHECK(VipNSInit(nic, NULL) == VIP_SUCCESS);
	for (i = 1; VipNSGetHostByName(nic, name, &a.a, i) == VIP_SUCCESS; i++, n++)
		meet(here("from"), address(a.room + 4, "by the other address", 20));
	printf("  %d other addresses\n", n);
}

/* A server that answers late: it is one request all the same. */
static void slow_server(void)
{
	union address at = here("slow"), seen;
	VIP_VI_HANDLE a = new_vi(), b = new_vi();
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	struct client c;

	start(&c, a, here("from"), at);
	if (CHECK(VipConnectWait(nic, &at.a, LONG_MS, &seen.a, &attr, &conn) == VIP_SUCCESS)) {
		nap(7000); /* the kernel repeats it meanwhile */
		CHECK(VipConnectAccept(conn, b) == VIP_SUCCESS);
	}
	pthread_join(c.thread, NULL);
	CHECK(c.code == VIP_SUCCESS);
	CHECK(VipConnectWait(nic, &at.a, 1000, &seen.a, &attr, &conn) == VIP_TIMEOUT);
	CHECK(state_of(a) == VIP_STATE_CONNECTED && state_of(b) == VIP_STATE_CONNECTED);
	drop(a);
	CHECK(becomes(b, VIP_STATE_ERROR, 5000));
	drop(b);
}

/* More servers than a discriminator has ports: some wait for one, and get it in time. */
static void many_servers(void)
{
	union address at = here("many servers"), seen;
	pid_t child[6];
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	int i, status;

	for (i = 0; i < 6; i++) {
		child[i] = fork();
		if (child[i])
			continue;
		alarm(60);
		open_nic();
		status = VipConnectWait(nic, &at.a, 3 * LONG_MS, &seen.a, &attr, &conn) == VIP_SUCCESS &&
			 VipConnectReject(conn) == VIP_SUCCESS;
		_exit(!status);
	}
	for (i = 0; i < 6; i++) {
		VIP_VI_HANDLE vi = new_vi();
		struct client c;

		start(&c, vi, here("from"), at);
		pthread_join(c.thread, NULL);
		CHECK(c.code == VIP_REJECT);
		CHECK(VipDestroyVi(vi) == VIP_SUCCESS);
	}
	for (i = 0; i < 6; i++)
		CHECK(waitpid(child[i], &status, 0) == child[i] && status == 0);
}

/* A server is killed that has our request. */
static void server_killed(void)
{
	union address at = here("killed"), from = here("from"), seen;
	VIP_VI_HANDLE vi = new_vi();
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	unsigned long begin;
	VIP_RETURN code;
	pid_t child = fork();

	if (!child) {
		open_nic();
		VipConnectWait(nic, &at.a, LONG_MS, &seen.a, &attr, &conn);
		raise(SIGKILL);
	}
	begin = ms_now();
	do {
		code = VipConnectRequest(vi, &from.a, &at.a, 5000, &attr);
	} while (code == VIP_NO_MATCH && waitpid(child, NULL, WNOHANG) == 0 && ms_now() < begin + LONG_MS);
	CHECK(code == VIP_REJECT && ms_now() - begin < LONG_MS);
	CHECK(state_of(vi) == VIP_STATE_IDLE);
	waitpid(child, NULL, 0);
	CHECK(VipDestroyVi(vi) == VIP_SUCCESS);
}

/* The peer dies, and a child of its lives on: the connection is lost all the same. */
static void parent_dies(void)
{
	union address at = here("parent"), from = here("from"), seen;
	VIP_VI_HANDLE vi = new_vi();
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	struct client c;
	pid_t child;
	int p[2];
	char byte;

	CHECK(pipe(p) == 0);
	child = fork();
	if (!child) {
		pid_t other;

		close(p[1]);
		open_nic();
		vi = new_vi();
		if (VipConnectWait(nic, &at.a, LONG_MS, &seen.a, &attr, &conn) == VIP_SUCCESS)
			VipConnectAccept(conn, vi);
		other = fork();
		if (!other) { /* until the test has ended */
			alarm(30);
			_exit(read(p[0], &byte, 1) < 0);
		}
		nap(100);
		raise(SIGKILL);
	}
	close(p[0]);
	start(&c, vi, from, at);
	pthread_join(c.thread, NULL);
	CHECK(c.code == VIP_SUCCESS);
	waitpid(child, NULL, 0);
	CHECK(becomes(vi, VIP_STATE_ERROR, 2000));
	close(p[1]);
	drop(vi);
}

static void *close_nic(void *arg)
{
	nap(200);
	VipCloseNic(arg);
	return NULL;
}

/* VipCloseNic ends a wait, a client's request and a peer's in other threads. */
static void closed(void)
{
	union address at = here("closed"), seen;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	VIP_VI_HANDLE vi;
	VIP_NIC_HANDLE first = nic;
	struct client c;
	pthread_t closer;
	unsigned long begin;
	int i;

	for (i = 0; i < 3; i++) {
		open_nic();
		vi = new_vi();
		begin = ms_now();
		pthread_create(&closer, NULL, close_nic, nic);
		if (i == 0) {
			CHECK(VipConnectWait(nic, &at.a, VIP_INFINITE, &seen.a, &attr, &conn) != VIP_SUCCESS);
		} else if (i == 1) {
			at.room[4 + HOST - 1] ^= 0x55;
			start(&c, vi, here("from"), at);
			pthread_join(c.thread, NULL);
			CHECK(c.code != VIP_SUCCESS);
		} else {
			at = here("closed");
			CHECK(VipConnectPeerRequest(vi, &at.a, &at.a, VIP_INFINITE) == VIP_SUCCESS);
			CHECK(VipConnectPeerWait(vi, &attr) != VIP_SUCCESS);
		}
		pthread_join(closer, NULL);
		CHECK(ms_now() - begin < 5000);
	}
	nic = first;
	CHECK(VipQueryNic(nic, &nic_attr) == VIP_SUCCESS); /* which points into the handle's memory */
}

static void foreign_source(void)
{
	union address from = here("from"), to = here("to");
	VIP_VI_HANDLE vi = new_vi();
	VIP_VI_ATTRIBUTES attr;

	from.room[4 + HOST - 1] ^= 0x55;
	CHECK(VipConnectRequest(vi, &from.a, &to.a, 1000, &attr) == VIP_INVALID_PARAMETER);
	CHECK(VipConnectPeerRequest(vi, &from.a, &to.a, 1000) == VIP_INVALID_PARAMETER);
	CHECK(VipConnectPeerRequest(vi, &from.a, &from.a, 1000) == VIP_INVALID_PARAMETER);
	CHECK(state_of(vi) == VIP_STATE_IDLE);
	CHECK(VipDestroyVi(vi) == VIP_SUCCESS);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{"two discriminators too long for one request", long_discriminators},
		{"peers with such", long_peers},
		{"peers with equal addresses", equal_peers},
		{"the device's other addresses", other_family},
		{"a server that answers late", slow_server},
		{"six servers at one discriminator", many_servers},
		{"a server is killed that has the request", server_killed},
		{"a peer is killed whose child lives on", parent_dies},
		{"VipCloseNic in another thread", closed},
		{"a local address that is another host's", foreign_source},
	};
	int before, failed = 0;
	size_t i;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DEVICE\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	device = argv[1];
	open_nic();
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		unsigned long begin = ms_now();

		before = failures;
		alarm(150);
		all[i].run();
		failed += failures != before;
		printf("%s %s  %lu ms\n", failures == before ? "ok  " : "FAIL", all[i].name,
		       ms_now() - begin);
	}
	CHECK(VipCloseNic(nic) == VIP_SUCCESS);
	printf("%d failed\n", failed);
	return failed || failures;
}
