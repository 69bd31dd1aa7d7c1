/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_lifetime.c - things that go away while they are in use: descriptors and
 * buffers deregistered and unmapped between posting and completion, a NIC
 * handle closed under a waiting thread, a request cancelled at any moment.
 * Nothing crashes or hangs, and no byte goes astray.
 */
#include "tests/vipl/pair.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include <cmocka.h>

/* A descriptor, or a buffer, in a region of its own that can go. */
static uint8_t *region(struct end *e, size_t n, VIP_MEM_HANDLE *h)
{
	uint8_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	CHECK_EQ(VipRegisterMem(e->nic, p, n, NULL, h), VIP_SUCCESS);
	return p;
}

static void drop(struct end *e, uint8_t *p, size_t n, VIP_MEM_HANDLE h)
{
	CHECK_EQ(VipDeregisterMem(e->nic, p, h), VIP_SUCCESS);
	munmap(p, n);
}

static VIP_DESCRIPTOR *desc_in(uint8_t *at, void *data, uint32_t len, VIP_MEM_HANDLE h)
{
	VIP_DESCRIPTOR *d = (VIP_DESCRIPTOR *)at;

	memset(d, 0, sizeof(*d));
	d->CS.SegCount = 1;
	d->CS.Length = len;
	d->DS[0].Local.Data.Address = data;
	d->DS[0].Local.Handle = h;
	d->DS[0].Local.Length = len;
	return d;
}

/* The memory of a posted receive descriptor goes before the connection comes. */
static void gone_server(struct end *e)
{
	VIP_MEM_HANDLE h;
	VIP_DESCRIPTOR *d, *got;
	VIP_RETURN r;
	uint8_t *p;

	end_open(e);
	p = region(e, 4096, &h);
	d = desc_in(p, end_data(e), 100, e->mem);
	CHECK_EQ(VipPostRecv(e->vi, d, h), VIP_SUCCESS);
	end_post_recv(e, 1, end_data(e), 100);
	drop(e, p, 4096, h);
	end_connect(e);
	end_sync(e);
	got = end_recv(e, &r);
	CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
	CHECK(got == d);
	end_error(e, VIP_ERROR_COMP_PROT, 1);
	if (e->level == VIP_SERVICE_UNRELIABLE) {
		got = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK(got == end_desc(e, 1));
	}
	end_sync(e);
	end_close(e);
}

static void two_sends(struct end *e)
{
	end_open(e);
	end_connect(e);
	end_post_send(e, 0, end_data(e), 50);
	end_post_send(e, 1, end_data(e), 60);
	end_sync(e);
	end_sync(e);
	end_close(e);
}

static void test_descriptor_gone(void **state)
{
	(void)state;
	run_pair(gone_server, two_sends, VIP_SERVICE_UNRELIABLE, 20);
	run_pair(gone_server, two_sends, VIP_SERVICE_RELIABLE_DELIVERY, 20);
}

/* A reception is under way when the memory of the send's descriptor goes. */
static void late_server(struct end *e)
{
	VIP_RETURN r;

	end_open(e);
	end_post_recv(e, 0, end_data(e), 100);
	end_connect(e);
	end_hear(e); /* the descriptor has gone; nothing was reaped so far */
	end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_sync(e);
	end_close(e);
}

static void late_client(struct end *e)
{
	VIP_MEM_HANDLE h;
	VIP_DESCRIPTOR *d, *got;
	VIP_RETURN r;
	uint8_t *p;

	end_open(e);
	end_connect(e);
	p = region(e, 4096, &h);
	d = desc_in(p, end_data(e), 100, e->mem);
	CHECK_EQ(VipPostSend(e->vi, d, h), VIP_SUCCESS);
	drop(e, p, 4096, h);
	end_tell(e, 1);
	got = end_sent(e, &r);
	CHECK(got == d);
	CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
	end_error(e, VIP_ERROR_COMP_PROT, 1);
	end_sync(e);
	end_close(e);
}

static void test_send_descriptor_gone(void **state)
{
	(void)state;
	run_pair(late_server, late_client, VIP_SERVICE_RELIABLE_RECEPTION, 20);
}

/* The source of a large send goes while the peer is stopped: partial, at both ends. */
#define LARGE (4u << 20)

static void source_server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	end_open(e);
	end_post_recv(e, 0, end_data(e), LARGE);
	end_post_recv(e, 1, end_data(e), 100);
	end_connect(e);
	end_tell(e, (uint64_t)getpid());
	end_hear(e); /* stopped and continued meanwhile */
	d = end_recv(e, &r);
	CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
	CHECK(d == end_desc(e, 0));
	if (e->level == VIP_SERVICE_UNRELIABLE) {
		CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PARTIAL_ERROR);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(d->CS.Length, 64);
		CHECK_EQ(diff_pattern(end_data(e), 64, 6), -1);
	}
	end_sync(e);
	end_close(e);
}

static void source_client(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_MEM_HANDLE h;
	VIP_RETURN r;
	uint8_t *p;
	pid_t peer;

	end_open(e);
	end_connect(e);
	p = region(e, LARGE, &h);
	peer = (pid_t)end_hear(e);
	CHECK_EQ(kill(peer, SIGSTOP), 0);
	usleep(50000);
	d = end_fill(e, 0, p, LARGE, h);
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	drop(e, p, LARGE, h);
	CHECK_EQ(kill(peer, SIGCONT), 0);
	end_tell(e, 1);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
	CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK,
		 VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_PARTIAL_ERROR);
	fill_pattern(end_data(e), 64, 6);
	end_post_send(e, 1, end_data(e), 64);
	end_sent(e, &r);
	CHECK_EQ(r, e->level == VIP_SERVICE_UNRELIABLE ? VIP_SUCCESS : VIP_DESCRIPTOR_ERROR);
	end_sync(e);
	end_close(e);
}

static void test_source_gone(void **state)
{
	(void)state;
	run_pair(source_server, source_client, VIP_SERVICE_UNRELIABLE, 20);
	run_pair(source_server, source_client, VIP_SERVICE_RELIABLE_DELIVERY, 20);
}

/* The target of a large message goes before its owner takes it: the next message is not mixed up with it. */
static void target_server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_MEM_HANDLE h;
	VIP_RETURN r;
	uint8_t *p;

	end_open(e);
	p = region(e, 1 << 20, &h);
	CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 0, p, 1 << 20, h), e->mem), VIP_SUCCESS);
	end_post_recv(e, 1, end_data(e), 1 << 20);
	end_connect(e);
	end_hear(e);
	drop(e, p, 1 << 20, h);
	/* the provider's own thread may have been quicker than we: then it was received in time */
	d = end_recv(e, &r);
	if (r != VIP_SUCCESS)
		CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	d = end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(d->CS.Length, 100000);
	CHECK_EQ(diff_pattern(end_data(e), 100000, 8), -1);
	end_sync(e);
	end_close(e);
}

static void target_client(struct end *e)
{
	VIP_RETURN r;

	end_open(e);
	end_connect(e);
	fill_pattern(end_data(e), 1 << 20, 7);
	fill_pattern(end_data(e) + (2 << 20), 100000, 8);
	end_post_send(e, 0, end_data(e), 150000); /* fits into the landing ring: it is on its way at once */
	end_tell(e, 1);
	end_post_send(e, 1, end_data(e) + (2 << 20), 100000);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_sync(e);
	end_close(e);
}

static void test_target_gone(void **state)
{
	(void)state;
	run_pair(target_server, target_client, VIP_SERVICE_UNRELIABLE, 20);
}

/* One message into more segments than a connection keeps mapped. */
#define SEGS 24

static void many_server(struct end *e)
{
	VIP_DATA_SEGMENT *s;
	uint8_t *seg[SEGS];
	VIP_DESCRIPTOR *d;
	VIP_MEM_HANDLE h;
	VIP_RETURN r;
	int i, round;

	end_open(e);
	d = end_fill(e, 0, NULL, 0, e->mem);
	s = (VIP_DATA_SEGMENT *)(d + 1) - 2;
	for (i = 0; i < SEGS; i++) {
		int id = shmget(IPC_PRIVATE, 4096, 0600);

		seg[i] = shmat(id, NULL, 0);
		CHECK(seg[i] != (void *)-1);
		shmctl(id, IPC_RMID, NULL);
		CHECK_EQ(VipRegisterMem(e->nic, seg[i], 4096, NULL, &h), VIP_SUCCESS);
		s[i].Data.Address = seg[i];
		s[i].Handle = h;
		s[i].Length = 1000;
	}
	for (round = 0; round < 3; round++) {
		d->CS.SegCount = SEGS;
		CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
		if (round == 0)
			end_connect(e);
		end_sync(e);
		end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		for (i = 0; i < SEGS; i++) {
			CHECK_EQ(seg[i][0], i + round);
			CHECK_EQ(seg[i][999], i + round);
			CHECK_EQ(seg[i][1000], 0);
		}
	}
	end_sync(e);
	end_close(e);
}

static void many_client(struct end *e)
{
	VIP_RETURN r;
	int i, round;

	end_open(e);
	end_connect(e);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < SEGS; i++)
			memset(end_data(e) + (size_t)i * 1000, i + round, 1000);
		end_sync(e);
		end_post_send(e, 0, end_data(e), SEGS * 1000);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_sync(e);
	end_close(e);
}

static void test_many_segments(void **state)
{
	(void)state;
	run_pair(many_server, many_client, VIP_SERVICE_RELIABLE_RECEPTION, 20);
}

/* Reliable Reception: a good send before a bad one is not in error. */
static void order_server(struct end *e)
{
	VIP_RETURN r;
	int i;

	end_open(e);
	for (i = 0; i < 4; i++)
		end_post_recv(e, i, end_data(e), 100);
	end_connect(e);
	for (i = 0; i < 3; i++) {
		end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_recv(e, &r);
	CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
	end_sync(e);
	end_close(e);
}

static void order_client(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int i;

	end_open(e);
	end_connect(e);
	for (i = 0; i < 3; i++)
		end_post_send(e, i, end_data(e), 100);
	CHECK_EQ(VipPostSend(e->vi, end_fill(e, 3, end_data(e), 100, e->mem ^ 0x10000), e->mem), VIP_SUCCESS);
	for (i = 0; i < 3; i++) {
		d = end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK(d == end_desc(e, i));
	}
	d = end_sent(e, &r);
	CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	end_sync(e);
	end_close(e);
}

static void test_good_before_bad(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 20; i++)
		run_pair(order_server, order_client, VIP_SERVICE_RELIABLE_RECEPTION, 20);
}

/* The sum of the segments is what is sent, whatever CS.Length says (docs/spec-choices.md K-5). */
static void sum_client(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	end_open(e);
	end_connect(e);
	d = end_fill(e, 0, end_data(e), 100, e->mem);
	d->CS.Length = 7;
	CHECK_EQ(VipPostSend(e->vi, d, e->mem), VIP_SUCCESS);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(d->CS.Length, 100);
	end_sync(e);
	end_close(e);
}

static void sum_server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	end_open(e);
	end_post_recv(e, 0, end_data(e), 200);
	end_connect(e);
	d = end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(d->CS.Length, 100);
	end_sync(e);
	end_close(e);
}

static void test_sum(void **state)
{
	(void)state;
	run_pair(sum_server, sum_client, VIP_SERVICE_RELIABLE_DELIVERY, 20);
}

/* VipCloseNic under threads that wait for a connection, for ever. */
static VIP_NIC_HANDLE waited;

static void *waiter(void *arg)
{
	union addr_room local, remote;
	VIP_NIC_ATTRIBUTES attr;
	VIP_VI_ATTRIBUTES va;
	VIP_CONN_HANDLE conn;

	(void)arg;
	if (VipQueryNic(waited, &attr) != VIP_SUCCESS)
		return NULL;
	net_addr(&local.a, &attr, "never");
	CHECK(VipConnectWait(waited, &local.a, VIP_INFINITE, &remote.a, &va, &conn) != VIP_SUCCESS);
	return NULL;
}

static void test_close_under_waiters(void **state)
{
	VIP_NIC_HANDLE keep;
	pthread_t t[3];
	int round, i;

	(void)state;
	assert_int_equal(VipOpenNic("emu0", &keep), VIP_SUCCESS); /* the agent stays: many rounds */
	for (round = 0; round < 200; round++) {
		if (round == 150)
			assert_int_equal(VipCloseNic(keep), VIP_SUCCESS); /* ... and some with its end */
		assert_int_equal(VipOpenNic("emu0", &waited), VIP_SUCCESS);
		for (i = 0; i < 3; i++)
			assert_int_equal(pthread_create(&t[i], NULL, waiter, NULL), 0);
		usleep((unsigned int)(round % 10) * 50);
		assert_int_equal(VipCloseNic(waited), VIP_SUCCESS);
		for (i = 0; i < 3; i++)
			pthread_join(t[i], NULL);
	}
}

/* VipDisconnect at any moment of a request that nobody answers. */
static void *requester(void *arg)
{
	struct end *e = arg;
	union addr_room local, remote;
	VIP_VI_ATTRIBUTES va;

	net_addr(&local.a, &e->attr, "c");
	net_addr(&remote.a, &e->attr, "slow");
	remote.room[4] ^= 0x33; /* a host that is not there: no answer ever */
	CHECK_EQ(VipConnectRequest(e->vi, &local.a, &remote.a, VIP_INFINITE, &va), VIP_INVALID_STATE);
	return NULL;
}

static void cancel_end(struct end *e)
{
	pthread_t t;
	int i;

	end_open(e);
	for (i = 0; e->server && i < 1000; i++) {
		CHECK_EQ(pthread_create(&t, NULL, requester, e), 0);
		while (end_state(e) != VIP_STATE_CONNECT_PENDING)
			;
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		CHECK_EQ(end_state(e), VIP_STATE_IDLE);
		pthread_join(t, NULL);
	}
	end_close(e);
}

static void test_cancel_at_any_time(void **state)
{
	(void)state;
	run_pair(cancel_end, cancel_end, VIP_SERVICE_RELIABLE_DELIVERY, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptor_gone),
		cmocka_unit_test(test_send_descriptor_gone),
		cmocka_unit_test(test_source_gone),
		cmocka_unit_test(test_target_gone),
		cmocka_unit_test(test_many_segments),
		cmocka_unit_test(test_good_before_bad),
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_close_under_waiters),
		cmocka_unit_test(test_cancel_at_any_time),
	};

	setenv("VIPL_LOG", "none", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
