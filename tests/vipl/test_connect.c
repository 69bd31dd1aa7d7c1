/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_connect.c - client and server connections: matching, refusals, times,
 * states, disconnect, reconnect, and the ways a peer can leave.
 */
#include "tests/vipl/pair.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#define LATE_S (PATIENCE_MS / 1000 / 2) /* what comes soon has come by then */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static VIP_RETURN request(struct end *e, const char *disc, VIP_ULONG timeout, VIP_VI_ATTRIBUTES *attr)
{
	union addr_room local, remote;

	net_addr(&local.a, &e->attr, "from");
	net_addr(&remote.a, &e->attr, disc);
	return VipConnectRequest(e->vi, &local.a, &remote.a, timeout, attr);
}

static VIP_RETURN wait_for(struct end *e, const char *disc, VIP_ULONG timeout, VIP_CONN_HANDLE *conn)
{
	union addr_room local, remote;
	VIP_VI_ATTRIBUTES attr;
	VIP_RETURN r;

	net_addr(&local.a, &e->attr, disc);
	memset(&remote, 0x5a, sizeof(remote));
	r = VipConnectWait(e->nic, &local.a, timeout, &remote.a, &attr, conn);
	if (r == VIP_SUCCESS) {
		CHECK_EQ(remote.a.DiscriminatorLen, 4);
		CHECK_EQ(memcmp((char *)&remote + 4 + e->attr.NicAddressLen, "from", 4), 0);
		CHECK_EQ(remote.room[4 + e->attr.NicAddressLen + 4], 0x5a); /* not a byte more */
	}
	return r;
}

static void alone(struct end *e)
{
	union addr_room local, remote;
	VIP_VI_ATTRIBUTES attr, mine;
	VIP_CONN_HANDLE conn;
	double t;

	end_open(e);
	CHECK_EQ(request(e, "nobody", 0, &attr), VIP_INVALID_PARAMETER);
	t = now();
	CHECK_EQ(request(e, "nobody", PATIENCE_MS, &attr), VIP_NO_MATCH);
	CHECK_EQ(request(e, "nobody", VIP_INFINITE, &attr), VIP_NO_MATCH);
	CHECK_EQ(request(e, "nobody", ~0ul, &attr), VIP_NO_MATCH);
	CHECK(now() - t < LATE_S); /* and not PATIENCE_MS */
	CHECK_EQ(end_state(e), VIP_STATE_IDLE);
	/* a host that is not there */
	net_addr(&local.a, &e->attr, "x");
	net_addr(&remote.a, &e->attr, "x");
	remote.room[4] ^= 0x55;
	t = now();
	CHECK_EQ(VipConnectRequest(e->vi, &local.a, &remote.a, 200, &attr), VIP_TIMEOUT);
	CHECK(now() - t >= 0.2 && now() - t < LATE_S);
	/* waits */
	CHECK_EQ(wait_for(e, "y", 0, &conn), VIP_TIMEOUT);
	t = now();
	CHECK_EQ(wait_for(e, "y", 100, &conn), VIP_TIMEOUT);
	CHECK(now() - t >= 0.1);
	local.a.HostAddressLen++;
	CHECK_EQ(VipConnectWait(e->nic, &local.a, 0, &remote.a, &attr, &conn), VIP_INVALID_PARAMETER);
	local.a.HostAddressLen--;
	local.a.DiscriminatorLen = (VIP_UINT16)(e->attr.MaxDiscriminatorLen + 1);
	CHECK_EQ(VipConnectWait(e->nic, &local.a, 0, &remote.a, &attr, &conn), VIP_INVALID_PARAMETER);
	/* attributes of a VI */
	memset(&mine, 0, sizeof(mine));
	mine.ReliabilityLevel = 3;
	mine.MaxTransferSize = 1000;
	CHECK_EQ(VipSetViAttributes(e->vi, &mine), VIP_INVALID_RELIABILITY_LEVEL);
	mine.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY;
	mine.MaxTransferSize = e->attr.MaxTransferSize + 1;
	CHECK_EQ(VipSetViAttributes(e->vi, &mine), VIP_INVALID_MTU);
	mine.MaxTransferSize = 0;
	CHECK_EQ(VipSetViAttributes(e->vi, &mine), VIP_INVALID_MTU);
	mine.MaxTransferSize = 1;
	mine.ReliabilityLevel = VIP_SERVICE_UNRELIABLE;
	mine.EnableRdmaRead = VIP_TRUE;
	CHECK_EQ(VipSetViAttributes(e->vi, &mine), VIP_INVALID_RDMAREAD);
	mine.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY;
	mine.EnableRdmaRead = VIP_FALSE;
	mine.Ptag = e->vi;
	CHECK_EQ(VipSetViAttributes(e->vi, &mine), VIP_INVALID_PTAG);
	/* a send while idle comes back flushed */
	end_post_send(e, 0, end_data(e), 10);
	{
		VIP_DESCRIPTOR *d;

		CHECK_EQ(VipSendDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
		CHECK_EQ(d->CS.Status, VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR);
		/* posted receives keep a VI alive until they are taken out */
		end_post_recv(e, 0, end_data(e), 10);
		CHECK_EQ(VipDestroyVi(e->vi), VIP_ERROR_RESOURCE);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		CHECK_EQ(VipDestroyVi(e->vi), VIP_ERROR_RESOURCE);
		CHECK_EQ(VipRecvDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
		CHECK(d == end_desc(e, 0));
		CHECK_EQ(VipDestroyVi(e->vi), VIP_SUCCESS);
		CHECK_EQ(VipRecvDone(e->vi, &d), VIP_INVALID_PARAMETER);
	}
	end_sync(e);
	end_close(e);
}

static void test_alone(void **state)
{
	(void)state;
	run_pair(alone, alone, VIP_SERVICE_RELIABLE_DELIVERY, 30);
}

static void answer_server(struct end *e)
{
	VIP_VI_ATTRIBUTES a = {.ReliabilityLevel = VIP_SERVICE_UNRELIABLE, .MaxTransferSize = 4096};
	VIP_CONN_HANDLE conn;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;

	end_open(e);
	/* reject */
	CHECK_EQ(wait_for(e, "door", PATIENCE_MS, &conn), VIP_SUCCESS);
	CHECK_EQ(VipConnectReject(conn), VIP_SUCCESS);
	CHECK_EQ(VipConnectReject(conn), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_INVALID_PARAMETER);
	/* no answer within the client's time */
	CHECK_EQ(wait_for(e, "door", PATIENCE_MS, &conn), VIP_SUCCESS);
	end_hear(e);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_TIMEOUT);
	CHECK_EQ(end_state(e), VIP_STATE_IDLE);
	/* a mismatch leaves the request there */
	CHECK_EQ(wait_for(e, "door", PATIENCE_MS, &conn), VIP_SUCCESS);
	CHECK_EQ(VipSetViAttributes(e->vi, &a), VIP_SUCCESS);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_INVALID_RELIABILITY_LEVEL);
	a.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)e->level;
	CHECK_EQ(VipSetViAttributes(e->vi, &a), VIP_SUCCESS);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_INVALID_MTU);
	a.MaxTransferSize = e->attr.MaxTransferSize;
	a.QoS = (void *)1;
	CHECK_EQ(VipSetViAttributes(e->vi, &a), VIP_SUCCESS);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_INVALID_QOS);
	a.QoS = NULL;
	a.EnableRdmaWrite = VIP_TRUE; /* need not match */
	CHECK_EQ(VipSetViAttributes(e->vi, &a), VIP_SUCCESS);
	end_post_recv(e, 0, end_data(e), 100);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_SUCCESS);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipSetViAttributes(e->vi, &a), VIP_INVALID_STATE);
	CHECK_EQ(VipDestroyVi(e->vi), VIP_INVALID_STATE);
	/* posted before the connection, sent to at once */
	d = end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(d->CS.Length, 10);
	end_sync(e);
	end_close(e);
}

static void answer_client(struct end *e)
{
	VIP_VI_ATTRIBUTES a;
	VIP_RETURN r;
	double t;

	end_open(e);
	end_post_recv(e, 0, end_data(e), 100);
	while ((r = request(e, "door", PATIENCE_MS, &a)) == VIP_NO_MATCH)
		;
	CHECK_EQ(r, VIP_REJECT);
	CHECK_EQ(end_state(e), VIP_STATE_IDLE);
	CHECK_EQ(request(e, "doo", 1000, &a), VIP_NO_MATCH);
	CHECK_EQ(request(e, "doors", 1000, &a), VIP_NO_MATCH);
	t = now();
	CHECK_EQ(request(e, "door", 300, &a), VIP_TIMEOUT);
	CHECK(now() - t >= 0.3 && now() - t < LATE_S);
	end_tell(e, 1);
	while ((r = request(e, "door", PATIENCE_MS, &a)) == VIP_NO_MATCH)
		;
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK(a.EnableRdmaWrite);
	CHECK_EQ(a.MaxTransferSize, e->attr.MaxTransferSize);
	CHECK_EQ(request(e, "door", 100, &a), VIP_INVALID_STATE);
	end_post_send(e, 1, end_data(e), 10);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_sync(e);
	end_close(e);
}

static void test_answers(void **state)
{
	(void)state;
	run_pair(answer_server, answer_client, VIP_SERVICE_RELIABLE_RECEPTION, 30);
}

/* A thread blocked in a wait is woken by the other side's disconnect; the VIs connect again, many times. */
#define CYCLES 300

static void cycle_server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	int i;

	end_open(e);
	for (i = 0; i < CYCLES; i++) {
		end_post_recv(e, 0, end_data(e), 100);
		end_post_recv(e, 1, end_data(e), 100);
		end_connect(e);
		CHECK_EQ(VipRecvWait(e->vi, VIP_INFINITE, &d), VIP_SUCCESS);
		CHECK_EQ(VipRecvWait(e->vi, VIP_INFINITE, &d), VIP_DESCRIPTOR_ERROR);
		CHECK(d == end_desc(e, 1));
		CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_DESC_FLUSHED_ERROR);
		CHECK_EQ(end_state(e), VIP_STATE_ERROR);
		end_error(e, VIP_ERROR_CONN_LOST, i + 1);
		CHECK_EQ(VipDestroyVi(e->vi), VIP_INVALID_STATE);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		CHECK_EQ(end_state(e), VIP_STATE_IDLE);
		CHECK_EQ(VipRecvDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
		CHECK(d == NULL);
	}
	end_close(e);
}

static void cycle_client(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int i, j;

	end_open(e);
	for (i = 0; i < CYCLES; i++) {
		for (j = 0; j < 3; j++)
			end_post_recv(e, j, end_data(e), 100);
		end_connect(e);
		end_post_send(e, 5, end_data(e), 100);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		CHECK_EQ(end_state(e), VIP_STATE_IDLE);
		for (j = 0; j < 3; j++) {
			CHECK_EQ(VipRecvDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
			CHECK(d == end_desc(e, j));
		}
	}
	CHECK_EQ(end_errors(e, VIP_ERROR_CONN_LOST), 0);
	end_close(e);
}

static void test_cycles(void **state)
{
	(void)state;
	run_pair(cycle_server, cycle_client, VIP_SERVICE_RELIABLE_DELIVERY, 60);
}

/* The peer closes its NIC, exits, or is killed: CONN_LOST comes, also for who calls nothing. */
static int way;

static void leave_server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	double t;

	end_open(e);
	end_post_recv(e, 0, end_data(e), 100);
	end_connect(e);
	end_sync(e);
	end_hear(e);
	t = now();
	end_error(e, VIP_ERROR_CONN_LOST, 1);
	CHECK(now() - t < LATE_S);
	d = end_recv(e, &r);
	CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
	CHECK(d == end_desc(e, 0));
	CHECK_EQ(end_state(e), VIP_STATE_ERROR);
	end_close(e);
}

static void leave_client(struct end *e)
{
	char c;

	end_open(e);
	end_connect(e);
	end_sync(e);
	end_tell(e, 1);
	switch (way) {
	case 0:
		end_close(e);
		break;
	case 1:
		_exit(0);
	case 2:
		/* a child holds the parent's sockets: the parent is gone all the same */
		if (fork() == 0)
			recv(e->sock, &c, 1, 0); /* until the server has ended */
		_exit(0);
	}
}

static void test_leaving(void **state)
{
	(void)state;
	for (way = 0; way < 3; way++)
		run_pair(leave_server, leave_client, VIP_SERVICE_RELIABLE_DELIVERY, 20);
}

/* The handler of asynchronous errors may call anything, VipCloseNic included. */
static int closed;

static void closing_handler(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *d)
{
	struct end *e = context;
	VIP_DESCRIPTOR *desc;

	CHECK_EQ(d->ErrorCode, VIP_ERROR_CONN_LOST);
	CHECK(d->ViHandle == e->vi && d->NicHandle == e->nic);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	while (VipRecvDone(e->vi, &desc) != VIP_DESCRIPTOR_ERROR || desc)
		;
	CHECK_EQ(VipDestroyVi(e->vi), VIP_SUCCESS);
	CHECK_EQ(VipDeregisterMem(e->nic, e->block, e->mem), VIP_SUCCESS);
	CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
	__atomic_store_n(&closed, 1, __ATOMIC_SEQ_CST);
}

static void handler_server(struct end *e)
{
	int i;

	end_open(e);
	CHECK_EQ(VipErrorCallback(e->nic, e, closing_handler), VIP_SUCCESS);
	end_post_recv(e, 0, end_data(e), 100);
	end_connect(e);
	end_sync(e);
	for (i = 0; i < PATIENCE_MS && !__atomic_load_n(&closed, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	CHECK_EQ(__atomic_load_n(&closed, __ATOMIC_SEQ_CST), 1);
	CHECK_EQ(VipCloseNic(e->nic), VIP_INVALID_PARAMETER);
}

static void handler_client(struct end *e)
{
	end_open(e);
	end_connect(e);
	end_sync(e);
	end_close(e);
}

static void test_handler_closes(void **state)
{
	(void)state;
	run_pair(handler_server, handler_client, VIP_SERVICE_RELIABLE_DELIVERY, 20);
}

/* A VI of the same process at the other end, in a thread. */
static void *self_server(void *arg)
{
	struct end *e = arg;
	VIP_CONN_HANDLE conn;

	CHECK_EQ(wait_for(e, "self", PATIENCE_MS, &conn), VIP_SUCCESS);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_SUCCESS);
	return NULL;
}

static void self(struct end *e)
{
	struct end other;
	VIP_VI_ATTRIBUTES a;
	VIP_DESCRIPTOR *d;
	pthread_t thread;
	VIP_RETURN r;
	char self_disc[] = "self";

	end_open(e);
	if (!e->server) { /* one process is enough */
		end_close(e);
		return;
	}
	other = *e;
	end_open(&other);
	end_post_recv(e, 0, end_data(e), 100);
	CHECK_EQ(pthread_create(&thread, NULL, self_server, e), 0);
	while ((r = request(&other, self_disc, PATIENCE_MS, &a)) == VIP_NO_MATCH)
		;
	CHECK_EQ(r, VIP_SUCCESS);
	pthread_join(thread, NULL);
	fill_pattern(end_data(e) + 1000, 50, 4);
	end_post_send(&other, 1, end_data(e) + 1000, 50);
	d = end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(d->CS.Length, 50);
	CHECK_EQ(diff_pattern(end_data(e), 50, 4), -1);
	CHECK_EQ(VipDisconnect(other.vi), VIP_SUCCESS);
	CHECK_EQ(end_state(e), VIP_STATE_ERROR);
	end_close(e);
}

static void test_self(void **state)
{
	(void)state;
	run_pair(self, self, VIP_SERVICE_RELIABLE_RECEPTION, 20);
}

/* Another thread's VipDisconnect ends a request under way. */
static void *canceller(void *arg)
{
	struct end *e = arg;

	end_hear(e); /* the server has the request */
	CHECK_EQ(end_state(e), VIP_STATE_CONNECT_PENDING);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	CHECK_EQ(end_state(e), VIP_STATE_IDLE);
	return NULL;
}

static void cancel_server(struct end *e)
{
	VIP_CONN_HANDLE conn;

	end_open(e);
	CHECK_EQ(wait_for(e, "slow", PATIENCE_MS, &conn), VIP_SUCCESS);
	end_tell(e, 1);
	end_hear(e);
	CHECK_EQ(VipConnectAccept(conn, e->vi), VIP_TIMEOUT);
	end_close(e);
}

static void cancel_client(struct end *e)
{
	VIP_VI_ATTRIBUTES a;
	pthread_t thread;
	VIP_RETURN r;

	end_open(e);
	CHECK_EQ(pthread_create(&thread, NULL, canceller, e), 0);
	while ((r = request(e, "slow", VIP_INFINITE, &a)) == VIP_NO_MATCH)
		;
	CHECK_EQ(r, VIP_INVALID_STATE);
	pthread_join(thread, NULL);
	end_tell(e, 1);
	end_close(e);
}

static void test_cancel(void **state)
{
	(void)state;
	run_pair(cancel_server, cancel_client, VIP_SERVICE_RELIABLE_DELIVERY, 20);
}

/* To the letter a request that finds nobody waiting is not held. */
static void strict(struct end *e)
{
	VIP_VI_ATTRIBUTES attr,
		mine = {.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)e->level, .MaxTransferSize = 4096};
	double t, best = LATE_S;
	int i;

	setenv("VIPL_STRICT", "1", 1);
	CHECK_EQ(VipOpenNic("emu0", &e->nic), VIP_SUCCESS);
	CHECK_EQ(VipQueryNic(e->nic, &e->attr), VIP_SUCCESS);
	CHECK_EQ(VipCreatePtag(e->nic, &mine.Ptag), VIP_SUCCESS);
	CHECK_EQ(VipCreateVi(e->nic, &mine, NULL, NULL, &e->vi), VIP_SUCCESS);
	for (i = 0; i < 50; i++) {
		t = now();
		CHECK_EQ(request(e, "nobody", PATIENCE_MS, &attr), VIP_NO_MATCH);
		best = now() - t < best ? now() - t : best;
	}
	CHECK(best < 0.05); /* and not 100 ms each time */
	CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
}

static void test_strict(void **state)
{
	(void)state;
	run_pair(strict, strict, VIP_SERVICE_RELIABLE_DELIVERY, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),	       cmocka_unit_test(test_answers),
		cmocka_unit_test(test_cycles),	       cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_handler_closes), cmocka_unit_test(test_self),
		cmocka_unit_test(test_cancel),	       cmocka_unit_test(test_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
