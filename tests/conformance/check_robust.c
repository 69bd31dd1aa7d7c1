/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check_robust.c - what a consumer or its neighbour may do wrong, and what time, signals and exits do. */
#include "robust.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

static void check_for_ever(struct run *r)
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

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	(void)sig;
	signals++;
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
	int before = signals;

	doing("%s under signals, which %s", blocking_names[call], comes ? "ends well" : "runs out");
	if (call == IN_RECV || call == IN_CQ) {
		connect_here(r, r->nic, call == IN_CQ ? r->vi : vi, other);
		EXPECT(VipPostRecv(call == IN_CQ ? r->vi : vi, fill(r, 1, data(r), 100, r->mem), r->mem),
		       VIP_SUCCESS);
	}
	if (comes)
		help_start(&h, r, call, other);
	start = now_ms();
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
	assert_true(signals - before > 2);
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

static void check_signals(struct run *r)
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
	note("%d signals", (int)signals);
}

/* ---- 199: exits ---- */

#define EXITS 1000
#define BATCH 8

/* What the whole machine has, and others use too: each exit that leaves something adds to it. */
struct machine {
	long files, locked_kib, shm, sysv;
};

static long lines_or_entries(const char *path, bool dir)
{
	DIR *d = dir ? opendir(path) : NULL;
	FILE *f = dir ? NULL : fopen(path, "r");
	long n = 0;
	int c;

	while (d && readdir(d))
		n++;
	while (f && (c = getc(f)) != EOF)
		n += c == '\n';
	if (d)
		closedir(d);
	if (f)
		fclose(f);
	return n;
}

static struct machine machine(void)
{
	struct machine m = {.shm = lines_or_entries("/dev/shm", true),
			    .sysv = lines_or_entries("/proc/sysvipc/shm", false)};
	FILE *f = fopen("/proc/sys/fs/file-nr", "r");
	char line[128];

	if (!f || fscanf(f, "%ld", &m.files) != 1)
		m.files = 0;
	if (f)
		fclose(f);
	f = fopen("/proc/meminfo", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Mlocked: %ld kB", &m.locked_kib) == 1)
			break;
	}
	if (f)
		fclose(f);
	return m;
}

#define LEFT_KIB 256 /* of registered memory */

static void leave(struct run *r, int n)
{
	VIP_MEM_ATTRIBUTES a = {0};
	VIP_VI_HANDLE vi[2];
	VIP_CQ_HANDLE cq;

	EXPECT(VipOpenNic(r->device, &r->nic), VIP_SUCCESS);
	EXPECT(VipQueryNic(r->nic, &r->attr), VIP_SUCCESS);
	EXPECT(VipCreatePtag(r->nic, &r->tag), VIP_SUCCESS);
	r->block = mmap(NULL, LEFT_KIB * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(r->block, MAP_FAILED);
	a.Ptag = r->tag;
	EXPECT(VipRegisterMem(r->nic, r->block, LEFT_KIB * 1024, &a, &r->mem), VIP_SUCCESS);
	EXPECT(VipCreateCQ(r->nic, 16, &cq), VIP_SUCCESS);
	vi[0] = another_vi(r);
	vi[1] = another_vi(r);
	EXPECT(VipPostRecv(vi[0], fill(r, 0, r->block + 8192, 100, r->mem), r->mem), VIP_SUCCESS);
	if (n % 4 < 2)
		connect_here(r, r->nic, vi[0], vi[1]);
	if (n % 2)
		exit(0);
	_exit(0);
}

/* Is what is there now as good as what was there before?  Others on the machine may come and go. */
static bool as_before(const struct machine *was)
{
	struct machine is = machine();

	doing("after %d exits: files %ld -> %ld, locked KiB %ld -> %ld, /dev/shm %ld -> %ld, System V %ld -> "
	      "%ld",
	      EXITS, was->files, is.files, was->locked_kib, is.locked_kib, was->shm, is.shm, was->sysv,
	      is.sysv);
	return is.files < was->files + EXITS / 2 && is.shm < was->shm + EXITS / 2 &&
	       is.sysv < was->sysv + EXITS / 2 && is.locked_kib < was->locked_kib + EXITS / 2 * LEFT_KIB;
}

static void check_exits(struct run *r)
{
	struct machine was = machine();
	int i, j, status;
	VIP_VI_HANDLE vi;
	uint64_t end;
	pid_t pid;

	for (i = 0; i < EXITS; i += BATCH) {
		doing("exit no. %d", i);
		for (j = 0; j < BATCH; j++) {
			pid = fork();
			assert_true(pid >= 0);
			if (pid == 0)
				leave(r, i + j);
		}
		for (j = 0; j < BATCH; j++) {
			assert_true(wait(&status) > 0);
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		}
	}
	for (end = now_ms() + LONG_MS; !as_before(&was) && now_ms() < end;)
		pause_ms(100);
	assert_true(as_before(&was));
	run_vi(r);
	vi = run_pair_here(r);
	talk(r, r->vi, vi, 1000);
	drop_vi(vi);
	run_close(r);
}

/* ---- 200: another process's handles ---- */

#define THEIRS	((void *)0x1d0000000000) /* an address where nothing is, unless one puts it there */
#define GUESSES 5000

/* A send from [at, at + 8) in @mem over a new pair of this process: PROTECTION, and nothing comes. */
static void guess(struct run *r, void *at, VIP_MEM_HANDLE mem)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	EXPECT(VipPostRecv(other, fill(r, 0, data(r), 8, r->mem), r->mem), VIP_SUCCESS);
	memset(data(r), 0, 8);
	d = fill(r, 1, at, 8, mem);
	EXPECT(VipPostSend(r->vi, d, r->mem), VIP_SUCCESS);
	assert_ptr_equal(next_sent(r->vi, &code), d);
	assert_int_equal(code, VIP_DESCRIPTOR_ERROR);
	assert_true(d->CS.Status & VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(*(uint64_t *)data(r), 0);
	drop_vi(other);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	drain(r->vi);
}

/* An RDMA write to it, by way of a VI of this process. */
static void guess_write(struct run *r, uint64_t at, VIP_MEM_HANDLE mem)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	VIP_RETURN code;
	int before = errors_of(r, VIP_ERROR_RDMAW_PROT);

	memset(data(r), 0xee, 8);
	post_rdma(r, 1, VIP_CONTROL_OP_RDMAWRITE, data(r), 8, at, mem);
	next_sent(r->vi, &code);
	if (is_reception(r)) {
		assert_int_equal(code, VIP_DESCRIPTOR_ERROR);
		assert_true(desc(r, 1)->CS.Status & VIP_STATUS_RDMA_PROT_ERROR);
	} else {
		await_error(r, VIP_ERROR_RDMAW_PROT, before + 1);
	}
	drop_vi(other);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	drain(r->vi);
}

static void check_strangers(struct run *r)
{
	VIP_MEM_ATTRIBUTES a = {.EnableRdmaWrite = VIP_TRUE};
	uint32_t seed = 200, i;
	VIP_MEM_HANDLE mem;
	uint8_t *page;

	if (r->side == 1) {
		run_vi(r);
		page = mmap(THEIRS, 65536, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		assert_ptr_equal(page, THEIRS);
		pattern(page, 65536, 200);
		a.Ptag = r->tag;
		EXPECT(VipRegisterMem(r->nic, page, 65536, &a, &mem), VIP_SUCCESS);
		tell(r, mem);
		meet(r);
		assert_int_equal(differs(page, 65536, 200), -1);
		return;
	}
	r->level = (VIP_RELIABILITY_LEVEL)(has_level(r, VIP_SERVICE_UNRELIABLE) ? VIP_SERVICE_UNRELIABLE
										: r->level);
	run_vi(r);
	mem = (VIP_MEM_HANDLE)hear(r);
	doing("the other's handle and address");
	guess(r, THEIRS, mem);
	guess_write(r, (uintptr_t)THEIRS, mem);
	doing("the other's address with the own handle");
	guess(r, THEIRS, r->mem);
	guess_write(r, (uintptr_t)THEIRS, r->mem);
	doing("the other's handle guessed");
	for (i = 0; i < GUESSES; i++)
		guess(r, THEIRS, i % 2 ? mem + (i << 16) : random32(&seed));
	meet(r);
}

const struct check robust_checks[] = {
	{191, EARLY, 0, "All calls",
	 "every handle argument of every call: NULL, random, of another kind, stale are refused",
	 check_bad_handles},
	{192, EARLY, 0, "All calls", "every OUT pointer that is NULL is VIP_INVALID_PARAMETER",
	 check_null_outs},
	{193, EARLY, 0, "K-26",
	 "VIP_INFINITE in 32 bits and in all bits of VIP_ULONG: no call comes back within a second",
	 check_for_ever},
	{194, EARLY, 0, "VIP_DESCRIPTOR", "the layout of a descriptor, to the byte", check_descriptor_layout},
	{195, EARLY, 0, "vipl.h", "the values of all constants", check_constants},
	{196, FUNCTIONAL, 0, "ThreadSafe", "16 threads with a VI each and no lock, 1000 messages each way",
	 check_thread_each},
	{197, FUNCTIONAL, SLOW, "ThreadSafe",
	 "4 threads post and reap at each of two VIs: 50000 messages, none lost, none twice",
	 check_threads_one},
	{198, FUNCTIONAL, SLOW, "All calls",
	 "a signal a millisecond: blocking calls neither fail nor end early", check_signals},
	{199, FUNCTIONAL, SLOW, "VipCloseNic",
	 "1000 processes exit without closing anything: files, locked and shared memory are free again",
	 check_exits},
	{200, FUNCTIONAL, TWO | SLOW, "VipRegisterMem",
	 "another process's memory handles are of no use: 5000 guesses", check_strangers},
	{0, 0, 0, NULL, NULL, NULL},
};
