/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* robust_blocking.c - checks 193 and 198: calls that block, for ever and under signals. */
#include "robust.h"

#include <signal.h>
#include <time.h>

/* ---- 193: for ever ---- */

enum { IN_RECV, IN_CQ, IN_WAIT, IN_REQUEST, IN_PEER, BLOCKING };

static const char *const blocking_names[BLOCKING] = {"VipRecvWait", "VipCQWait", "VipConnectWait",
						     "VipConnectRequest", "VipConnectPeerWait"};

/* A thread in a call that shall not end before something happens. */
struct blocked {
	struct run *r;
	int call;
	VIP_ULONG timeout;
	VIP_VI_HANDLE vi;
	VIP_CQ_HANDLE cq;
	pthread_t thread;
	bool ended;
	VIP_RETURN code;
};

static VIP_RETURN blocking_call(struct blocked *b)
{
	union address local, remote;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	VIP_DESCRIPTOR *d;
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;
	VIP_RETURN code;

	switch (b->call) {
	case IN_RECV:
		return VipRecvWait(b->vi, b->timeout, &d);
	case IN_CQ:
		return VipCQWait(b->cq, b->timeout, &vi, &recv);
	case IN_WAIT:
		return wait_at(b->r, "for ever", b->timeout, &conn);
	case IN_REQUEST:
		return ask_until(b->r, b->vi, "silent", b->timeout, &attr);
	default:
		named_address(b->r, &local, "one");
		named_address(b->r, &remote, "two");
		code = VipConnectPeerRequest(b->vi, &local.a, &remote.a, b->timeout);
		return code == VIP_SUCCESS ? VipConnectPeerWait(b->vi, &attr) : code;
	}
}

static void *block(void *arg)
{
	struct blocked *b = arg;

	b->code = blocking_call(b);
	__atomic_store_n(&b->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

void check_for_ever(struct run *r)
{
	const VIP_ULONG spellings[2] = {choice(r, "K-26") ? 0xFFFFFFFFul : VIP_INFINITE,
					choice(r, "K-26") ? ~0ul : VIP_INFINITE};
	static struct blocked b[2][BLOCKING];
	VIP_CONN_HANDLE conn;
	int i, j;

	run_nic(r);
	for (i = 0; i < 2; i++) {
		for (j = 0; j < BLOCKING; j++) {
			b[i][j] = (struct blocked){
				.r = r, .call = j, .timeout = spellings[i], .vi = another_vi(r)};
			if (j == IN_RECV)
				EXPECT(VipPostRecv(b[i][j].vi, fill(r, i, data(r), 10, r->mem), r->mem),
				       VIP_SUCCESS);
			if (j == IN_CQ)
				EXPECT(VipCreateCQ(r->nic, 4, &b[i][j].cq), VIP_SUCCESS);
			assert_int_equal(pthread_create(&b[i][j].thread, NULL, block, &b[i][j]), 0);
			if (j == IN_REQUEST)
				EXPECT(wait_at(r, "silent", LONG_MS, &conn), VIP_SUCCESS);
			pause_ms(10); /* the two peers' requests must not be each other's */
		}
	}
	pause_ms(1000);
	for (i = 0; i < 2; i++) {
		for (j = 0; j < BLOCKING; j++) {
			doing("%s with 0x%lx came back after a second at most: %s", blocking_names[j],
			      spellings[i], code_name(b[i][j].code));
			assert_false(__atomic_load_n(&b[i][j].ended, __ATOMIC_ACQUIRE));
		}
	}
}

/* ---- 198: signals ---- */

static int signals; /* any thread may get one */

static void on_signal(int sig)
{
	(void)sig;
	__atomic_add_fetch(&signals, 1, __ATOMIC_RELAXED);
}

static int signals_so_far(void)
{
	return __atomic_load_n(&signals, __ATOMIC_RELAXED);
}

/* A signal a millisecond for this thread: those that are started while @on block it. */
static void start_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal}; /* no SA_RESTART */
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec each_ms = {{0, 1000000}, {0, 1000000}};
	timer_t timer;

	assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &each_ms, NULL), 0);
}

/* The other side of each call, in a thread that no signal reaches: after 300 ms it does its part. */
struct helper {
	struct run *r;
	int call;
	VIP_VI_HANDLE vi;
	pthread_t thread;
};

static void *help(void *arg)
{
	struct helper *h = arg;
	union address local, remote;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;

	if (h->call == IN_REQUEST)
		EXPECT(wait_at(h->r, "signals", LONG_MS, &conn), VIP_SUCCESS);
	pause_ms(300);
	switch (h->call) {
	case IN_RECV:
	case IN_CQ:
		EXPECT(VipPostSend(h->vi, fill(h->r, 9, data(h->r) + 1000, 10, h->r->mem), h->r->mem),
		       VIP_SUCCESS);
		next_sent(h->vi, NULL);
		break;
	case IN_WAIT:
		ask(h->r, h->vi, "signals", LONG_MS);
		break;
	case IN_REQUEST:
		EXPECT(VipConnectAccept(conn, h->vi), VIP_SUCCESS);
		break;
	default:
		named_address(h->r, &local, "two");
		named_address(h->r, &remote, "one");
		EXPECT(VipConnectPeerRequest(h->vi, &local.a, &remote.a, LONG_MS), VIP_SUCCESS);
		EXPECT(VipConnectPeerWait(h->vi, &attr), VIP_SUCCESS);
	}
	return NULL;
}

static void help_start(struct helper *h, struct run *r, int call, VIP_VI_HANDLE vi)
{
	sigset_t set, old;

	*h = (struct helper){.r = r, .call = call, .vi = vi};
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	assert_int_equal(pthread_create(&h->thread, NULL, help, h), 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* One call interrupted all the time: it runs out, or what it waits for comes after 300 ms. */
static void interrupted(struct run *r, int call, bool comes)
{
	static VIP_CONN_HANDLE conn;
	struct helper h;
	uint64_t start;
	VIP_ULONG timeout = comes ? LONG_MS : 250;
	VIP_RETURN want = comes ? VIP_SUCCESS : VIP_TIMEOUT, code;
	VIP_VI_HANDLE other = another_vi(r), vi = another_vi(r), seen;
	union address a, b;
	VIP_VI_ATTRIBUTES attr;
	VIP_DESCRIPTOR *d;
	VIP_BOOLEAN recv;
	int before = signals_so_far();

	doing("%s under signals, which %s", blocking_names[call], comes ? "ends well" : "runs out");
	if (call == IN_RECV || call == IN_CQ) {
		connect_here(r, r->nic, call == IN_CQ ? r->vi : vi, other);
		EXPECT(VipPostRecv(call == IN_CQ ? r->vi : vi, fill(r, 1, data(r), 100, r->mem), r->mem),
		       VIP_SUCCESS);
	}
	start = now_ms();
	if (comes)
		help_start(&h, r, call, other);
	switch (call) {
	case IN_RECV:
		code = VipRecvWait(vi, timeout, &d);
		break;
	case IN_CQ:
		code = VipCQWait(r->rcq, timeout, &seen, &recv);
		break;
	case IN_WAIT:
		code = wait_at(r, "signals", timeout, &conn);
		break;
	case IN_REQUEST:
		code = ask_until(r, vi, "signals", timeout, &attr);
		break;
	default:
		named_address(r, &a, "one");
		named_address(r, &b, "two");
		EXPECT(VipConnectPeerRequest(vi, &a.a, &b.a, timeout), VIP_SUCCESS);
		code = VipConnectPeerWait(vi, &attr);
	}
	assert_in_range(now_ms() - start, 250, 250 + SOON_MS);
	expect_code(code, want, blocking_names[call], __FILE__, __LINE__);
	assert_true(signals_so_far() - before > 2);
	if (comes) {
		if (call == IN_WAIT)
			VipConnectReject(conn);
		assert_int_equal(pthread_join(h.thread, NULL), 0);
	}
	drop_vi(other);
	drop_vi(vi);
	if (call == IN_CQ) {
		EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
		drain(r->vi);
		while (VipCQDone(r->rcq, &seen, &recv) == VIP_SUCCESS)
			;
	}
}

/* A request that nobody answers, as IN_REQUEST wants when it is to run out. */
static void interrupted_request(struct run *r)
{
	struct waiter w;
	sigset_t set, old;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	waiter_start(&w, r, "signals", LONG_MS);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pause_ms(50); /* it waits, so that no request is answered VIP_NO_MATCH */
	interrupted(r, IN_REQUEST, false);
	EXPECT(waiter_end(&w), VIP_SUCCESS);
}

/* VipSendWait: nothing holds a send back for long, so many large ones. */
static void interrupted_sends(struct run *r)
{
	VIP_VI_HANDLE vi = another_vi(r), other = another_vi(r);
	uint32_t len = r->attr.MaxTransferSize < 1u << 20 ? (uint32_t)r->attr.MaxTransferSize : 1u << 20;
	VIP_DESCRIPTOR *d;
	int i;

	doing("VipSendWait under signals");
	connect_here(r, r->nic, other, vi);
	for (i = 0; i < 500; i++) {
		d = fill(r, 1, data(r), len, r->mem);
		EXPECT(VipPostRecv(other, d, r->mem), VIP_SUCCESS);
		EXPECT(VipPostSend(vi, fill(r, 2, data(r) + (2u << 20), len, r->mem), r->mem), VIP_SUCCESS);
		EXPECT(VipSendWait(vi, LONG_MS, &d), VIP_SUCCESS);
		assert_ptr_equal(d, desc(r, 2));
		EXPECT(VipRecvWait(other, LONG_MS, &d), VIP_SUCCESS);
	}
	drop_vi(vi);
	drop_vi(other);
}

void check_signals(struct run *r)
{
	int call;

	run_nic(r);
	EXPECT(VipCreateCQ(r->nic, 16, &r->rcq), VIP_SUCCESS);
	run_vi(r);
	start_signals();
	for (call = 0; call < BLOCKING; call++) {
		if (call == IN_REQUEST)
			interrupted_request(r);
		else
			interrupted(r, call, false);
		interrupted(r, call, true);
	}
	interrupted_sends(r);
	note("%d signals", signals_so_far());
}
