/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* help.c - for checks: what is said of a check, NIC and VI, connections, the other side. */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- what is said ---- */

static pthread_mutex_t board_lock = PTHREAD_MUTEX_INITIALIZER;

static void write_board(char *to, size_t n, const char *fmt, va_list ap)
{
	pthread_mutex_lock(&board_lock);
	vsnprintf(to, n, fmt, ap);
	pthread_mutex_unlock(&board_lock);
}

void skip_check(const char *why, ...)
{
	va_list ap;

	va_start(ap, why);
	write_board(board->skip, sizeof(board->skip), why, ap);
	va_end(ap);
	_exit(EXIT_SKIPPED);
}

void doing(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_board(board->doing[board_side], sizeof(board->doing[0]), fmt ? fmt : "", ap);
	va_end(ap);
}

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_board(board->note, sizeof(board->note), fmt, ap);
	va_end(ap);
}

/* ---- the NIC and its VI ---- */

bool has_level(const struct run *r, VIP_RELIABILITY_LEVEL level)
{
	return (r->attr.ReliabilityLevelSupport & level) != 0;
}

bool has_rdma_read(const struct run *r)
{
	return (r->attr.RDMAReadSupport & r->level) != 0;
}

bool is_reliable(const struct run *r)
{
	return r->level != VIP_SERVICE_UNRELIABLE;
}

bool is_reception(const struct run *r)
{
	return r->level == VIP_SERVICE_RELIABLE_RECEPTION;
}

static void on_error(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *d)
{
	struct run *r = context;

	if ((unsigned int)d->ErrorCode >= sizeof(r->errors) / sizeof(r->errors[0])) {
		print_error("an asynchronous error has the code %d\n", d->ErrorCode);
		_exit(1);
	}
	r->last[d->ErrorCode] = *d;
	__atomic_add_fetch(&r->errors[d->ErrorCode], 1, __ATOMIC_SEQ_CST);
}

void ignore_error(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *d)
{
	(void)context, (void)d;
}

void ignore_vi(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	(void)context, (void)nic, (void)vi, (void)d;
}

void ignore_cq(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_BOOLEAN recv)
{
	(void)context, (void)nic, (void)vi, (void)recv;
}

void run_nic(struct run *r)
{
	VIP_MEM_ATTRIBUTES a = {.EnableRdmaWrite = VIP_TRUE};

	EXPECT(VipOpenNic(r->device, &r->nic), VIP_SUCCESS);
	EXPECT(VipQueryNic(r->nic, &r->attr), VIP_SUCCESS);
	EXPECT(VipErrorCallback(r->nic, r, on_error), VIP_SUCCESS);
	EXPECT(VipCreatePtag(r->nic, &r->tag), VIP_SUCCESS);
	r->block = mmap(NULL, END_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(r->block, MAP_FAILED);
	a.Ptag = r->tag;
	a.EnableRdmaRead = r->attr.RDMAReadSupport ? VIP_TRUE : VIP_FALSE;
	EXPECT(VipRegisterMem(r->nic, r->block, END_BYTES, &a, &r->mem), VIP_SUCCESS);
}

VIP_VI_ATTRIBUTES run_attr(const struct run *r)
{
	VIP_VI_ATTRIBUTES a;

	memset(&a, 0, sizeof(a));
	a.ReliabilityLevel = r->level;
	a.MaxTransferSize = r->attr.MaxTransferSize;
	a.Ptag = r->tag;
	a.EnableRdmaWrite = VIP_TRUE;
	a.EnableRdmaRead = has_rdma_read(r) ? VIP_TRUE : VIP_FALSE;
	return a;
}

void run_vi(struct run *r)
{
	VIP_VI_ATTRIBUTES a;

	if (!r->nic)
		run_nic(r);
	a = run_attr(r);
	EXPECT(VipCreateVi(r->nic, &a, r->scq, r->rcq, &r->vi), VIP_SUCCESS);
}

VIP_VI_STATE state_of(VIP_VI_HANDLE vi)
{
	VIP_VI_ATTRIBUTES a;
	VIP_BOOLEAN s, r;
	VIP_VI_STATE st;

	EXPECT(VipQueryVi(vi, &st, &a, &s, &r), VIP_SUCCESS);
	return st;
}

static void drain_queue(VIP_VI_HANDLE vi, VIP_RETURN (*done)(VIP_VI_HANDLE, VIP_DESCRIPTOR **))
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN rc;

	do {
		d = NULL;
		rc = done(vi, &d);
		if (rc != VIP_SUCCESS && rc != VIP_NOT_DONE)
			EXPECT(rc, VIP_DESCRIPTOR_ERROR);
	} while (d);
}

void drain(VIP_VI_HANDLE vi)
{
	drain_queue(vi, VipSendDone);
	drain_queue(vi, VipRecvDone);
}

void drop_vi(VIP_VI_HANDLE vi)
{
	EXPECT(VipDisconnect(vi), VIP_SUCCESS);
	drain(vi);
	EXPECT(VipDestroyVi(vi), VIP_SUCCESS);
}

void run_close(struct run *r)
{
	if (r->vi)
		drop_vi(r->vi);
	EXPECT(VipCloseNic(r->nic), VIP_SUCCESS);
	munmap(r->block, END_BYTES);
	r->vi = r->nic = r->tag = r->scq = r->rcq = NULL;
	r->block = NULL;
	r->mem = 0;
}

/* ---- the other side ---- */

bool send_all(int fd, const void *from, size_t n)
{
	const char *p = from;
	ssize_t did;

	while (n) {
		did = send(fd, p, n, MSG_NOSIGNAL);
		if (did < 0 && errno == EINTR)
			continue;
		if (did <= 0)
			return false;
		p += did;
		n -= (size_t)did;
	}
	return true;
}

bool recv_all(int fd, void *to, size_t n)
{
	char *p = to;
	ssize_t did;

	while (n) {
		did = recv(fd, p, n, MSG_WAITALL);
		if (did < 0 && errno == EINTR)
			continue;
		if (did <= 0)
			return false;
		p += did;
		n -= (size_t)did;
	}
	return true;
}

void tell_bytes(struct run *r, const void *from, size_t n)
{
	if (!send_all(r->sock, from, n)) {
		print_error("the other side has ended while this one had to tell it something\n");
		_exit(EXIT_ALONE);
	}
}

void hear_bytes(struct run *r, void *to, size_t n)
{
	if (!recv_all(r->sock, to, n)) {
		print_error("the other side has ended while this one was waiting for it\n");
		_exit(EXIT_ALONE);
	}
}

void tell(struct run *r, uint64_t value)
{
	tell_bytes(r, &value, sizeof(value));
}

uint64_t hear(struct run *r)
{
	uint64_t value;

	hear_bytes(r, &value, sizeof(value));
	return value;
}

void meet(struct run *r)
{
	const uint64_t here = 0x6d656574;

	tell(r, here);
	/* a number instead: the two sides of the check do not fit each other */
	assert_int_equal(hear(r), here);
}

/* ---- connections ---- */

void side_address(const struct run *r, int side, union address *to, const void *disc, size_t n)
{
	const size_t host = r->attr.NicAddressLen;
	bool there = side != r->side && r->other;

	assert_non_null(r->attr.LocalNicAddress); /* run_nic() first */
	assert_true(4 + host + n <= sizeof(*to));
	to->a.HostAddressLen = (VIP_UINT16)host;
	to->a.DiscriminatorLen = (VIP_UINT16)n;
	memcpy(to->room + 4, there ? r->other : r->attr.LocalNicAddress, host);
	memcpy(to->room + 4 + host, disc, n);
}

void local_address(const struct run *r, union address *to, const void *disc, size_t n)
{
	side_address(r, r->side, to, disc, n);
}

void other_address(const struct run *r, union address *to, const char *disc)
{
	side_address(r, !r->side, to, disc, strlen(disc));
}

void named_address(const struct run *r, union address *to, const char *disc)
{
	local_address(r, to, disc, strlen(disc));
}

/* Addresses of a server and a client that nobody else on their hosts has; @side: where each of them is. */
static void pair_addresses(const struct run *r, uint64_t id, const int side[2], union address *server,
			   union address *client)
{
	char name[32];

	snprintf(name, sizeof(name), "S%llx", (unsigned long long)id);
	side_address(r, side[0], server, name, strlen(name));
	name[0] = 'C';
	side_address(r, side[1], client, name, strlen(name));
}

/* A client's request, made again while nobody waits. */
static VIP_RETURN request(VIP_VI_HANDLE vi, union address *local, union address *remote)
{
	uint64_t end = now_ms() + patience_ms();
	VIP_VI_ATTRIBUTES a;
	VIP_RETURN rc;

	for (;;) {
		rc = VipConnectRequest(vi, &local->a, &remote->a, (VIP_ULONG)patience_ms(), &a);
		if (rc != VIP_NO_MATCH || now_ms() >= end)
			return rc;
		pause_ms(1);
	}
}

static void serve(VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, union address *local)
{
	VIP_VI_ATTRIBUTES a;
	VIP_CONN_HANDLE conn;
	union address from;

	EXPECT(VipConnectWait(nic, &local->a, (VIP_ULONG)patience_ms(), &from.a, &a, &conn), VIP_SUCCESS);
	EXPECT(VipConnectAccept(conn, vi), VIP_SUCCESS);
}

void run_connect(struct run *r)
{
	union address server, client;
	uint64_t id = (uint64_t)getpid();

	if (r->side == 0)
		tell(r, id);
	else
		id = hear(r);
	pair_addresses(r, id, (const int[]){0, 1}, &server, &client);
	if (r->side == 0)
		serve(r->nic, r->vi, &server);
	else
		EXPECT(request(r->vi, &client, &server), VIP_SUCCESS);
	assert_int_equal(state_of(r->vi), VIP_STATE_CONNECTED);
	meet(r);
}

struct client {
	VIP_VI_HANDLE vi;
	union address *local, *remote;
	VIP_RETURN rc;
};

static void *client_main(void *arg)
{
	struct client *c = arg;

	c->rc = request(c->vi, c->local, c->remote);
	return NULL;
}

void connect_here(struct run *r, VIP_NIC_HANDLE server_nic, VIP_VI_HANDLE server, VIP_VI_HANDLE client)
{
	static unsigned int serial;
	union address there, here;
	struct client c = {.vi = client, .local = &here, .remote = &there};
	pthread_t thread;

	pair_addresses(r, (uint64_t)getpid() << 32 | __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED),
		       (const int[]){r->side, r->side}, &there, &here);
	assert_int_equal(pthread_create(&thread, NULL, client_main, &c), 0);
	serve(server_nic, server, &there);
	assert_int_equal(pthread_join(thread, NULL), 0);
	EXPECT(c.rc, VIP_SUCCESS);
	assert_int_equal(state_of(server), VIP_STATE_CONNECTED);
	assert_int_equal(state_of(client), VIP_STATE_CONNECTED);
}

void pair_here(struct run *r, VIP_CQ_HANDLE scq, VIP_CQ_HANDLE rcq, VIP_VI_HANDLE vi[2])
{
	VIP_VI_ATTRIBUTES a = run_attr(r);

	EXPECT(VipCreateVi(r->nic, &a, scq, rcq, &vi[0]), VIP_SUCCESS);
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi[1]), VIP_SUCCESS);
	connect_here(r, r->nic, vi[0], vi[1]);
}

VIP_VI_HANDLE run_pair_here(struct run *r)
{
	VIP_VI_ATTRIBUTES a;
	VIP_VI_HANDLE other;

	if (!r->vi)
		run_vi(r);
	a = run_attr(r);
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &other), VIP_SUCCESS);
	connect_here(r, r->nic, r->vi, other);
	return other;
}
