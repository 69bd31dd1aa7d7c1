/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * check_state.c - disconnecting, the Error state and the way out of it, and
 * what becomes of the descriptors.
 */
#include "connecting.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- disconnecting with descriptors posted ---- */

#define POSTED 8

/*
 * All POSTED descriptors of a queue come out in post order: first those that
 * were done, then the flushed ones.  Returns how many were flushed.
 */
static int done_then_flushed(struct run *r, bool recv, int first)
{
	unsigned int op = recv ? VIP_STATUS_OP_RECEIVE : VIP_STATUS_OP_SEND;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;
	int i, n = 0;

	for (i = first; i < first + POSTED; i++) {
		d = recv ? next_recv(r->vi, &code) : next_sent(r->vi, &code);
		doing("the %s no. %d after VipDisconnect: %s, status 0x%x", recv ? "receive" : "send",
		      i - first, code_name(code), d ? d->CS.Status : 0);
		assert_ptr_equal(d, desc(r, i));
		if (code == VIP_SUCCESS) {
			assert_int_equal(n, 0);
			EXPECT_STATUS(d, VIP_STATUS_DONE | op);
			continue;
		}
		assert_int_equal(code, VIP_DESCRIPTOR_ERROR);
		EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR | op);
		if (choice(r, "K-28"))
			assert_int_equal(d->CS.Length, 0);
		n++;
	}
	code = recv ? VipRecvDone(r->vi, &d) : VipSendDone(r->vi, &d);
	assert_int_equal(code, VIP_DESCRIPTOR_ERROR);
	assert_null(d);
	return n;
}

static void disconnect_once(struct run *r)
{
	int i;

	for (i = 0; i < POSTED; i++)
		post_recv(r, i, data(r) + i * 1000, 1000);
	run_connect(r);
	/* sends under way on both sides; two receives more than they take */
	for (i = 0; i < POSTED - 2; i++)
		post_send(r, POSTED + i, data(r) + 100000, 1000);
	if (r->side == 0) {
		EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
		assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	} else {
		await_state(r->vi, VIP_STATE_ERROR);
	}
	/* what is posted from here on is flushed for sure */
	for (i = POSTED - 2; i < POSTED; i++)
		post_send(r, POSTED + i, data(r) + 100000, 1000);
	assert_true(done_then_flushed(r, true, 0) >= 2);
	assert_true(done_then_flushed(r, false, POSTED) >= 2);
	assert_int_equal(state_of(r->vi), r->side ? VIP_STATE_ERROR : VIP_STATE_IDLE);
	meet(r);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	meet(r);
}

static void check_disconnect(struct run *r)
{
	int i;

	run_vi(r);
	for (i = 0; i < 20; i++) /* the sends are at another place each time */
		disconnect_once(r);
	run_close(r);
}

static void check_conn_lost(struct run *r)
{
	run_vi(r);
	run_connect(r);
	if (r->side == 0) {
		EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
		meet(r);
		pause_ms(200);
		assert_int_equal(errors_of(r, VIP_ERROR_CONN_LOST), 0);
	} else {
		await_error(r, VIP_ERROR_CONN_LOST, 1);
		meet(r);
		pause_ms(200);
		assert_int_equal(errors_of(r, VIP_ERROR_CONN_LOST), 1);
		assert_ptr_equal(r->last[VIP_ERROR_CONN_LOST].ViHandle, r->vi);
		assert_ptr_equal(r->last[VIP_ERROR_CONN_LOST].NicHandle, r->nic);
		assert_int_equal(r->last[VIP_ERROR_CONN_LOST].ResourceCode, VIP_RESOURCE_VI);
		assert_int_equal(r->last[VIP_ERROR_CONN_LOST].ErrorCode, VIP_ERROR_CONN_LOST);
		assert_int_equal(state_of(r->vi), VIP_STATE_ERROR);
	}
	meet(r);
	run_close(r);
}

/* ---- the Error state ---- */

/* r->vi in Error; returns the VI that it was connected to, Idle. */
static VIP_VI_HANDLE into_error(struct run *r)
{
	VIP_VI_HANDLE other;

	run_vi(r);
	other = run_pair_here(r);
	EXPECT(VipDisconnect(other), VIP_SUCCESS);
	await_state(r->vi, VIP_STATE_ERROR);
	return other;
}

static void check_post_in_error(struct run *r)
{
	VIP_DESCRIPTOR *d;
	int recv;

	into_error(r);
	for (recv = 0; recv < 2; recv++) {
		doing("a %s", recv ? "receive" : "send");
		if (recv)
			post_recv(r, 1, data(r), 100);
		else
			post_send(r, 0, data(r), 100);
		EXPECT(recv ? VipRecvDone(r->vi, &d) : VipSendDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
		assert_ptr_equal(d, desc(r, recv));
		EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR |
					 (recv ? VIP_STATUS_OP_RECEIVE : VIP_STATUS_OP_SEND));
	}
	assert_int_equal(state_of(r->vi), VIP_STATE_ERROR);
	run_close(r);
}

static void check_refused_in_error(struct run *r)
{
	VIP_VI_ATTRIBUTES attr;
	union address a, b;
	VIP_CONN_HANDLE conn;
	VIP_VI_HANDLE client;
	struct client c;

	into_error(r);
	client = another_vi(r);
	EXPECT(ask(r, r->vi, "nobody", 1000), VIP_INVALID_STATE);
	named_address(r, &a, "a");
	named_address(r, &b, "b");
	EXPECT(VipConnectPeerRequest(r->vi, &a.a, &b.a, 1000), VIP_INVALID_STATE);
	client_start(&c, r, client, "in error", LONG_MS);
	EXPECT(wait_at(r, "in error", LONG_MS, &conn), VIP_SUCCESS);
	EXPECT(VipConnectAccept(conn, r->vi), VIP_INVALID_STATE);
	EXPECT(VipConnectReject(conn), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_REJECT);
	attr = run_attr(r);
	EXPECT(VipSetViAttributes(r->vi, &attr), VIP_INVALID_STATE);
	EXPECT(VipDestroyVi(r->vi), VIP_INVALID_STATE);
	assert_int_equal(state_of(r->vi), VIP_STATE_ERROR);
	run_close(r);
}

static void check_out_of_error(struct run *r)
{
	VIP_VI_HANDLE other = into_error(r);

	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	connect_here(r, r->nic, r->vi, other);
	talk(r, r->vi, other, 3000);
	talk(r, other, r->vi, 3000);
	drop_vi(other);
	run_close(r);
}

static void check_disconnect_idle(struct run *r)
{
	VIP_RETURN want = (VIP_RETURN)choice(r, "K-10");

	run_vi(r);
	EXPECT(VipDisconnect(r->vi), want);
	EXPECT(VipDisconnect(r->vi), want);
	assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	if (want == VIP_SUCCESS) {
		doing("with receives posted");
		post_recv(r, 0, data(r), 100);
		post_recv(r, 1, data(r), 100);
		EXPECT(VipDisconnect(r->vi), want);
		flushed(r, r->vi, true, 0, 2);
		EXPECT(VipDestroyVi(r->vi), VIP_SUCCESS);
	}
}

/* ---- a peer that dies ---- */

/* A client of this check in a child of its own: it connects, and waits for its end. */
static pid_t doomed(struct run *r)
{
	int sock[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
	pid = fork();
	assert_true(pid >= 0);
	r->side = pid == 0;
	r->sock = sock[r->side];
	close(sock[!r->side]);
	if (pid == 0) {
		run_vi(r);
		run_connect(r);
		for (;;)
			pause();
	}
	return pid;
}

/* How long it took until it was known, ms. */
static uint64_t kill_peer(struct run *r)
{
	VIP_VI_HANDLE victim, other;
	uint64_t start, took;
	pid_t pid = doomed(r);

	run_vi(r);
	post_recv(r, 0, data(r), 100);
	post_recv(r, 1, data(r), 100);
	run_connect(r);
	victim = r->vi;
	r->vi = another_vi(r);
	other = run_pair_here(r);
	start = now_ms();
	assert_int_equal(kill(pid, SIGKILL), 0);
	await_state(victim, VIP_STATE_ERROR);
	await_error(r, VIP_ERROR_CONN_LOST, 1);
	took = now_ms() - start;
	doing("%lu ms after the kill", (unsigned long)took);
	assert_ptr_equal(r->last[VIP_ERROR_CONN_LOST].ViHandle, victim);
	flushed(r, victim, true, 0, 2);
	doing("another connection of the process");
	talk(r, r->vi, other, 2000);
	talk(r, other, r->vi, 2000);
	assert_int_equal(errors_of(r, VIP_ERROR_CONN_LOST), 1);
	drop_vi(victim);
	drop_vi(other);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	run_close(r);
	return took;
}

/* Each time in a process that has no NIC handle yet: such a one may fork. */
static void check_killed_peer(struct run *r)
{
	int status = 1, tries;
	pid_t pid;

	for (tries = 0; tries < PROMISE_TRIES && status; tries++) {
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(kill_peer(r) < PROMISE_MS ? 0 : 1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
	}
	assert_int_equal(status, 0);
}

/* ---- threads, order ---- */

struct blocked {
	VIP_VI_HANDLE vi;
	VIP_RETURN code;
	VIP_DESCRIPTOR *d;
	uint64_t woke;
};

static void *block_in_wait(void *arg)
{
	struct blocked *b = arg;

	b->code = VipRecvWait(b->vi, VIP_INFINITE, &b->d);
	b->woke = now_ms();
	return NULL;
}

static void check_blocked_wakes(struct run *r)
{
	struct blocked b;
	VIP_VI_HANDLE other;
	pthread_t thread;
	uint64_t start;

	run_vi(r);
	other = run_pair_here(r);
	post_recv(r, 0, data(r), 100);
	b.vi = r->vi;
	assert_int_equal(pthread_create(&thread, NULL, block_in_wait, &b), 0);
	pause_ms(200);
	start = now_ms();
	EXPECT(VipDisconnect(other), VIP_SUCCESS);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(b.woke - start < SOON_MS);
	EXPECT(b.code, VIP_DESCRIPTOR_ERROR);
	assert_ptr_equal(b.d, desc(r, 0));
	EXPECT_STATUS(b.d, VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR | VIP_STATUS_OP_RECEIVE);
	drop_vi(other);
	run_close(r);
}

static void check_both_disconnect(struct run *r)
{
	int i;

	run_vi(r);
	for (i = 0; i < 200; i++) {
		doing("time no. %d", i);
		post_recv(r, 0, data(r), 100);
		run_connect(r);
		EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
		assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
		flushed(r, r->vi, true, 0, 1);
		meet(r);
		assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	}
	run_connect(r);
	talk_both(r, 50);
	run_close(r);
}

static void check_send_in_idle(struct run *r)
{
	VIP_RETURN want = (VIP_RETURN)choice(r, "K-11");
	VIP_DESCRIPTOR *d;

	run_vi(r);
	EXPECT(VipPostSend(r->vi, fill(r, 0, data(r), 100, r->mem), r->mem), want);
	if (want == VIP_SUCCESS) {
		EXPECT(VipSendDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
		assert_ptr_equal(d, desc(r, 0));
		EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR | VIP_STATUS_OP_SEND);
	}
	EXPECT(VipSendDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
	assert_null(d);
	assert_int_equal(state_of(r->vi), VIP_STATE_IDLE);
	run_close(r);
}

/* Three messages for eight receives; the end comes from this side, or from the other. */
static void flush_order(struct run *r, bool ours)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	VIP_DESCRIPTOR *d;
	int i;

	doing("VipDisconnect on %s side", ours ? "this" : "the other");
	for (i = 0; i < POSTED; i++)
		post_recv(r, i, data(r) + i * 1000, 1000);
	for (i = 0; i < 3; i++) {
		d = fill(r, 20 + i, data(r) + 50000, 10 + (uint32_t)i, r->mem);
		EXPECT(VipPostSend(other, d, r->mem), VIP_SUCCESS);
	}
	while (!(*(volatile VIP_UINT32 *)&desc(r, 2)->CS.Status & VIP_STATUS_DONE))
		pause_ms(1);
	EXPECT(VipDisconnect(ours ? r->vi : other), VIP_SUCCESS);
	for (i = 0; i < 3; i++) {
		assert_ptr_equal(next_recv(r->vi, NULL), desc(r, i));
		assert_int_equal(desc(r, i)->CS.Length, 10 + i);
	}
	flushed(r, r->vi, true, 3, POSTED - 3);
	EXPECT(VipRecvDone(r->vi, &d), VIP_DESCRIPTOR_ERROR);
	assert_null(d);
	drop_vi(other);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
}

static void check_flush_order(struct run *r)
{
	run_vi(r);
	flush_order(r, true);
	flush_order(r, false);
	run_close(r);
}

const struct check state_checks[] = {
	{107, EARLY, TWO | RL, "VipDisconnect",
	 "this side Idle, the other in Error, and what was posted on either is flushed", check_disconnect},
	{108, FUNCTIONAL, TWO, "VipErrorCallback",
	 "the other side's handler gets one VIP_ERROR_CONN_LOST with its VI", check_conn_lost},
	{109, EARLY, 0, "State Error", "what is posted in Error completes flushed at once",
	 check_post_in_error},
	{110, EARLY, 0, "State Error",
	 "in Error a VI can not be connected, accepted with, changed or destroyed", check_refused_in_error},
	{111, EARLY, 0, "State Error", "VipDisconnect leads from Error to Idle, and the VI works again",
	 check_out_of_error},
	{112, EARLY, 0, "K-10", "VipDisconnect of an Idle VI, once and twice; receives are flushed",
	 check_disconnect_idle},
	{113, EARLY, TWO | SLOW | LONG, "VipDisconnect",
	 "10000 times connect, transfer, disconnect with the same two VIs: nothing leaks, all other VIs can "
	 "be made",
	 check_cycles},
	{114, EARLY, 0, "State Error",
	 "a peer that is killed is VIP_ERROR_CONN_LOST within two seconds; other VIs do not notice",
	 check_killed_peer},
	{115, EARLY, 0, "VipRecvWait", "a thread in VipRecvWait wakes when the other side disconnects",
	 check_blocked_wakes},
	{116, FUNCTIONAL, TWO, "VipDisconnect", "both sides disconnect at a time, 200 times: both are Idle",
	 check_both_disconnect},
	{117, EARLY, 0, "K-11", "a send that is posted in Idle completes flushed", check_send_in_idle},
	{118, EARLY, 0, "VipDisconnect", "flushed descriptors come in post order, behind the good ones",
	 check_flush_order},
	{0, 0, 0, NULL, NULL, NULL},
};
