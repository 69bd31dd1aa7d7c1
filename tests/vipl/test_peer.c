/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_peer.c - peer-to-peer connections: what each call answers in each
 * state, what does not meet, and the ways out of a pending request.
 */
#include "tests/vipl/pair.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

static VIP_VI_ATTRIBUTES attr;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static VIP_RETURN done(struct end *e)
{
	return VipConnectPeerDone(e->vi, &attr);
}

static VIP_RETURN wait_peer(struct end *e)
{
	return VipConnectPeerWait(e->vi, &attr);
}

/* The other one of a pair. */
static VIP_RETURN ask(struct end *e, VIP_ULONG timeout)
{
	return peer_request(e, e->vi, e->server ? "ann" : "bob", e->server ? "bob" : "ann", timeout);
}

static void arguments(struct end *e)
{
	union addr_room here, bad;

	net_addr(&here.a, &e->attr, "here");
	bad = here;
	CHECK_EQ(VipConnectPeerRequest(e->nic, &here.a, &here.a, 10), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipConnectPeerRequest(e->vi, NULL, &here.a, 10), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipConnectPeerRequest(e->vi, &here.a, NULL, 10), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipConnectPeerRequest(e->vi, &here.a, &here.a, 0), VIP_INVALID_PARAMETER);
	bad.a.HostAddressLen++;
	CHECK_EQ(VipConnectPeerRequest(e->vi, &bad.a, &here.a, 10), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipConnectPeerRequest(e->vi, &here.a, &bad.a, 10), VIP_INVALID_PARAMETER);
	bad = here;
	bad.a.DiscriminatorLen = (VIP_UINT16)(e->attr.MaxDiscriminatorLen + 1);
	CHECK_EQ(VipConnectPeerRequest(e->vi, &bad.a, &here.a, 10), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipConnectPeerRequest(e->vi, &here.a, &bad.a, 10), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipConnectPeerDone(e->vi, NULL), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipConnectPeerWait(e->vi, NULL), VIP_INVALID_PARAMETER);
	CHECK_EQ(end_state(e), VIP_STATE_IDLE);
	/* nothing was asked for */
	CHECK_EQ(done(e), VIP_INVALID_STATE);
	CHECK_EQ(wait_peer(e), VIP_INVALID_STATE);
}

/* While it is pending nothing else can be done with the VI. */
static void pending(struct end *e)
{
	VIP_VI_ATTRIBUTES mine = {.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)e->level, .MaxTransferSize = 9};
	union addr_room here;
	VIP_DESCRIPTOR *d;

	net_addr(&here.a, &e->attr, "here");
	CHECK_EQ(end_state(e), VIP_STATE_CONNECT_PENDING);
	CHECK_EQ(done(e), VIP_NOT_DONE);
	CHECK_EQ(done(e), VIP_NOT_DONE);
	CHECK_EQ(ask(e, 10), VIP_INVALID_STATE);
	CHECK_EQ(VipConnectRequest(e->vi, &here.a, &here.a, 10, &attr), VIP_INVALID_STATE);
	CHECK_EQ(VipSetViAttributes(e->vi, &mine), VIP_INVALID_STATE);
	CHECK_EQ(VipDestroyVi(e->vi), VIP_INVALID_STATE);
	end_post_send(e, 1, end_data(e), 10);
	CHECK_EQ(VipSendDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
	CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_DESC_FLUSHED_ERROR);
}

static void alone(struct end *e)
{
	union addr_room far_away, here;
	VIP_DESCRIPTOR *d;
	double t;

	end_open(e);
	if (!e->server) { /* the same two addresses in both would meet */
		end_close(e);
		return;
	}
	arguments(e);
	end_post_recv(e, 0, end_data(e), 10);
	t = now();
	CHECK_EQ(ask(e, 200), VIP_SUCCESS);
	pending(e);
	CHECK_EQ(wait_peer(e), VIP_TIMEOUT);
	CHECK(now() - t >= 0.2 && now() - t < PATIENCE_MS / 1000 / 2);
	CHECK_EQ(end_state(e), VIP_STATE_IDLE);
	CHECK_EQ(wait_peer(e), VIP_INVALID_STATE);
	/* the receive is still posted */
	CHECK_EQ(VipRecvDone(e->vi, &d), VIP_NOT_DONE);
	/* an outcome that nobody asked for makes place for the next request */
	CHECK_EQ(ask(e, 1), VIP_SUCCESS);
	while (end_state(e) != VIP_STATE_IDLE)
		usleep(1000);
	CHECK_EQ(ask(e, 50), VIP_SUCCESS);
	CHECK_EQ(done(e), VIP_NOT_DONE);
	while (done(e) == VIP_NOT_DONE)
		usleep(1000);
	CHECK_EQ(done(e), VIP_INVALID_STATE); /* it was told once */
	CHECK_EQ(ask(e, 1), VIP_SUCCESS);
	while (end_state(e) != VIP_STATE_IDLE)
		usleep(1000);
	CHECK_EQ(done(e), VIP_TIMEOUT);
	/* a host that is not there */
	net_addr(&here.a, &e->attr, "x");
	far_away = here;
	far_away.room[4] ^= 0x55;
	t = now();
	CHECK_EQ(VipConnectPeerRequest(e->vi, &here.a, &far_away.a, 100), VIP_SUCCESS);
	CHECK_EQ(wait_peer(e), VIP_TIMEOUT);
	CHECK(now() - t >= 0.1);
	/* VipDisconnect ends it, and flushes */
	CHECK_EQ(ask(e, VIP_INFINITE), VIP_SUCCESS);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	CHECK_EQ(end_state(e), VIP_STATE_IDLE);
	CHECK_EQ(done(e), VIP_INVALID_STATE);
	CHECK_EQ(VipRecvDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
	CHECK(d == end_desc(e, 0));
	CHECK_EQ(VipDestroyVi(e->vi), VIP_SUCCESS);
	CHECK_EQ(done(e), VIP_INVALID_PARAMETER);
	end_close(e);
}

static void test_alone(void **state)
{
	(void)state;
	run_pair(alone, alone, VIP_SERVICE_RELIABLE_DELIVERY, 30);
}

/* What differs is told to both, and both can try again. */
static void differ(struct end *e)
{
	static const VIP_RETURN want[] = {VIP_INVALID_RELIABILITY_LEVEL, VIP_INVALID_MTU, VIP_INVALID_QOS};
	VIP_VI_ATTRIBUTES mine;
	int i;

	end_open(e);
	for (i = 0; i < 4; i++) {
		mine = (VIP_VI_ATTRIBUTES){.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)e->level,
					   .MaxTransferSize = e->attr.MaxTransferSize,
					   .EnableRdmaWrite = e->server}; /* need not match */
		if (e->server && i == 0)
			mine.ReliabilityLevel = VIP_SERVICE_UNRELIABLE;
		if (e->server && i == 1)
			mine.MaxTransferSize--;
		if (e->server && i == 2)
			mine.QoS = e;
		CHECK_EQ(VipSetViAttributes(e->vi, &mine), VIP_SUCCESS);
		if (i % 2 == e->server)
			end_sync(e); /* who asks first */
		CHECK_EQ(ask(e, PATIENCE_MS), VIP_SUCCESS);
		if (i % 2 != e->server)
			end_sync(e);
		CHECK_EQ(wait_peer(e), i < 3 ? want[i] : VIP_SUCCESS);
		CHECK_EQ(end_state(e), i < 3 ? VIP_STATE_IDLE : VIP_STATE_CONNECTED);
		CHECK_EQ(done(e), VIP_INVALID_STATE);
		end_sync(e);
	}
	CHECK_EQ(attr.EnableRdmaWrite, !e->server);
	CHECK_EQ(attr.ReliabilityLevel, e->level);
	CHECK_EQ(attr.MaxTransferSize, e->attr.MaxTransferSize);
	end_sync(e);
	end_close(e);
}

static void test_differ(void **state)
{
	(void)state;
	run_pair(differ, differ, VIP_SERVICE_RELIABLE_RECEPTION, 30);
}

/* A peer is not a server, and not a client. */
static void models(struct end *e)
{
	union addr_room ann, bob, who;
	VIP_CONN_HANDLE conn;

	end_open(e);
	net_addr(&ann.a, &e->attr, "ann");
	net_addr(&bob.a, &e->attr, "bob");
	if (e->server) {
		CHECK_EQ(ask(e, VIP_INFINITE), VIP_SUCCESS);
		end_sync(e);
		end_sync(e);
		CHECK_EQ(done(e), VIP_NOT_DONE);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		end_sync(e);
		CHECK_EQ(VipConnectWait(e->nic, &ann.a, 300, &who.a, &attr, &conn), VIP_TIMEOUT);
	} else {
		end_sync(e);
		CHECK_EQ(VipConnectRequest(e->vi, &bob.a, &ann.a, 1000, &attr), VIP_NO_MATCH);
		end_sync(e);
		end_sync(e);
		CHECK_EQ(ask(e, 200), VIP_SUCCESS);
		CHECK_EQ(wait_peer(e), VIP_TIMEOUT);
	}
	end_sync(e);
	end_close(e);
}

static void test_models(void **state)
{
	(void)state;
	run_pair(models, models, VIP_SERVICE_RELIABLE_DELIVERY, 30);
}

/* Two VIs of one process, of one NIC handle or two; the outcome outlives the connection. */
static void self(struct end *e)
{
	struct end other;
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int i;

	for (i = 0; i < 2 && e->server; i++) {
		e->nic = NULL;
		end_open(e);
		other = *e;
		if (i)
			other.nic = NULL;
		end_open(&other);
		end_post_recv(&other, 0, end_data(&other), 100);
		CHECK_EQ(peer_request(e, e->vi, "me", "me", VIP_INFINITE), VIP_SUCCESS);
		CHECK_EQ(done(e), VIP_NOT_DONE); /* not with itself */
		CHECK_EQ(peer_request(&other, other.vi, "me", "me", VIP_INFINITE), VIP_SUCCESS);
		CHECK_EQ(wait_peer(e), VIP_SUCCESS);
		fill_pattern(end_data(e) + 1000, 50, 4);
		end_post_send(e, 1, end_data(e) + 1000, 50);
		d = end_recv(&other, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(d->CS.Length, 50);
		CHECK_EQ(diff_pattern(end_data(&other), 50, 4), -1);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		CHECK_EQ(end_state(&other), VIP_STATE_ERROR);
		CHECK_EQ(done(&other), VIP_SUCCESS);
		CHECK_EQ(done(&other), VIP_INVALID_STATE);
		CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
		CHECK_EQ(VipCloseNic(other.nic), i ? VIP_SUCCESS : VIP_INVALID_PARAMETER);
	}
}

static void test_self(void **state)
{
	(void)state;
	run_pair(self, self, VIP_SERVICE_RELIABLE_RECEPTION, 20);
}

/* A thread inside VipConnectPeerWait is told when its request ends in another way. */
enum way { DISCONNECT, CLOSE, AGAIN, AGENT };
static enum way way;

static void *waiter(void *arg)
{
	struct end *e = arg;
	VIP_VI_ATTRIBUTES a;

	return (void *)(intptr_t)VipConnectPeerWait(e->vi, &a); /* NOLINT(performance-no-int-to-ptr) */
}

static void ended(struct end *e)
{
	pthread_t thread[3];
	int i, told = 0;
	void *r;

	end_open(e);
	CHECK_EQ(ask(e, VIP_INFINITE), VIP_SUCCESS);
	for (i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&thread[i], NULL, waiter, e), 0);
	usleep(way == AGAIN ? 1000 : 50000);
	if (way == CLOSE) {
		CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
	} else if (way == AGENT) {
		CHECK(agent_pid() > 0);
		CHECK_EQ(kill(agent_pid(), SIGKILL), 0);
	} else {
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		CHECK_EQ(end_state(e), VIP_STATE_IDLE);
		if (way == AGAIN)
			CHECK_EQ(ask(e, 100), VIP_SUCCESS);
	}
	for (i = 0; i < 3; i++) {
		CHECK_EQ(pthread_join(thread[i], &r), 0);
		/* one that comes late finds the second request, or no handle; of the agent's death one is
		 * told */
		CHECK((intptr_t)r == VIP_INVALID_STATE || (way == AGAIN && (intptr_t)r == VIP_TIMEOUT) ||
		      (way == CLOSE && (intptr_t)r == VIP_INVALID_PARAMETER) ||
		      (way == AGENT && (intptr_t)r == VIP_ERROR_RESOURCE));
		told += (intptr_t)r == (way == AGENT ? VIP_ERROR_RESOURCE : VIP_INVALID_STATE);
	}
	CHECK(way == AGENT ? told == 1 : told > 0);
	if (way == AGENT) {
		end_error(e, VIP_ERROR_CATASTROPHIC, 1);
		CHECK_EQ(end_state(e), VIP_STATE_ERROR); /* as every VI of that handle */
		CHECK_EQ(done(e), VIP_INVALID_STATE);
		CHECK_EQ(ask(e, 100), VIP_INVALID_STATE);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
		CHECK_EQ(ask(e, 100), VIP_ERROR_RESOURCE);
		CHECK_EQ(end_state(e), VIP_STATE_IDLE);
	}
	if (way != CLOSE)
		CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
	CHECK_EQ(done(e), VIP_INVALID_PARAMETER);
}

static void nobody(struct end *e)
{
	(void)e;
}

static void test_ended(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 40; i++) {
		way = (enum way)(i % 4);
		run_pair(ended, nobody, VIP_SERVICE_RELIABLE_DELIVERY, 20);
	}
}

/* One is killed while its request is pending, and then, as another process, once connected. */
static void killed(struct end *e)
{
	char c;

	end_open(e);
	CHECK_EQ(ask(e, VIP_INFINITE), VIP_SUCCESS);
	if (fork() == 0) { /* a child that holds its sockets until the other end has gone */
		recv(e->sock, &c, 1, MSG_PEEK);
		_exit(0);
	}
	end_tell(e, (uint64_t)getpid());
	end_hear(e);
	pause();
}

struct looked_for {
	uint32_t pid;
	bool found;
};

static void is_it(void *context, const struct vipx_rec *rec)
{
	struct looked_for *l = context;

	l->found |= rec->pid == l->pid;
}

/* The agent has noticed. */
static void until_forgotten(const struct end *e, pid_t pid)
{
	struct looked_for l = {.pid = (uint32_t)pid};

	do {
		usleep(10000);
		l.found = false;
		CHECK_EQ(VipxInspect(e->nic, VIPX_PROC, is_it, &l), VIP_SUCCESS);
	} while (l.found);
}

static void survivor(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	pid_t pid;

	end_open(e);
	pid = (pid_t)end_hear(e);
	if (way == DISCONNECT) { /* dead before it is asked for */
		CHECK_EQ(kill(pid, SIGKILL), 0);
		until_forgotten(e, pid);
		CHECK_EQ(ask(e, 300), VIP_SUCCESS);
		CHECK_EQ(wait_peer(e), VIP_TIMEOUT);
	} else {
		end_post_recv(e, 0, end_data(e), 10);
		CHECK_EQ(ask(e, VIP_INFINITE), VIP_SUCCESS);
		CHECK_EQ(wait_peer(e), VIP_SUCCESS);
		CHECK_EQ(kill(pid, SIGKILL), 0);
		end_error(e, VIP_ERROR_CONN_LOST, 1);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
		CHECK(d == end_desc(e, 0));
		CHECK_EQ(end_state(e), VIP_STATE_ERROR);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	}
	CHECK_EQ(end_state(e), VIP_STATE_IDLE);
	CHECK_EQ(VipCloseNic(e->nic), VIP_SUCCESS);
}

static void kill_one(int which)
{
	int sv[2], status, i;
	pid_t pid[2];

	way = which ? CLOSE : DISCONNECT;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	for (i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			struct end e = {.sock = sv[i], .server = i, .level = VIP_SERVICE_RELIABLE_DELIVERY};

			close(sv[!i]);
			alarm(20 + PATIENCE_MS / 1000);
			(i ? survivor : killed)(&e);
			_exit(0);
		}
	}
	close(sv[0]);
	close(sv[1]);
	for (i = 0; i < 2; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, i ? 0 : SIGKILL);
	}
}

static void test_killed(void **state)
{
	(void)state;
	kill_one(0);
	kill_one(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone), cmocka_unit_test(test_differ), cmocka_unit_test(test_models),
		cmocka_unit_test(test_self),  cmocka_unit_test(test_ended),  cmocka_unit_test(test_killed),
	};

	setenv("VIPL_LOG", "none", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
