/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * process.c - one check in one or two child processes: as a test of cmocka,
 * with its output kept for the case that it fails, a time limit, and nothing
 * left running afterwards: each child leads a process group.
 */
#include "apart.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_S	   150 /* for a check: it hangs */
#define SHOW_LINES 40  /* of what a failed process printed */

struct board *board;
int board_side;
int suite_slowdown = 1;

/* One child of a check. */
struct process {
	pid_t pid; /* 0: has ended */
	int output;
	int status;  /* of waitpid */
	bool killed; /* by us, for the other's sake */
};

int harness_start(const struct options *o)
{
	sigset_t set;

	suite_slowdown = o->slowdown;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		return -1;
	/* a failed assertion ends the process from whichever thread it is in, with its text */
	if (setenv("CMOCKA_TEST_ABORT", "1", 1))
		return -1;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	return sigprocmask(SIG_BLOCK, &set, NULL);
}

/* ---- in the child ---- */

static const int crashes[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS};
#define NCRASHES (sizeof(crashes) / sizeof(crashes[0]))
static struct sigaction before_cmocka[NCRASHES];

struct task {
	struct run run;
	const struct check *check;
};

/* cmocka's handlers would jump out of a crash in any thread into the first one: a crash shall be one. */
static void test(void **state)
{
	struct task *t = *state;
	size_t i;

	for (i = 0; i < NCRASHES; i++)
		sigaction(crashes[i], &before_cmocka[i], NULL);
	t->check->run(&t->run);
}

static __attribute__((noreturn)) void child(const struct options *o, const struct check *c,
					    VIP_RELIABILITY_LEVEL level, int side, int sock)
{
	struct task t = {.run = {.device = o->device,
				 .level = level,
				 .strict = o->strict,
				 .seconds = o->seconds,
				 .side = side,
				 .sock = sock,
				 .other = apart_other(),
				 .attr = board->attr},
			 .check = c};
	const struct CMUnitTest one[] = {{c->what, test, NULL, NULL, &t}};
	size_t i;

	board_side = side;
	if (o->strict ? setenv("VIPL_STRICT", "1", 1) : unsetenv("VIPL_STRICT"))
		abort(); /* no memory for it */
	for (i = 0; i < NCRASHES; i++)
		sigaction(crashes[i], NULL, &before_cmocka[i]);
	exit(_cmocka_run_group_tests("check", one, 1, NULL, NULL) ? 1 : 0);
}

/* In a new child: a group of its own, its output in @output, an end when the parent ends. */
static void settle(int output)
{
	const struct rlimit no_core = {0, 0};
	sigset_t set;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &no_core);
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

/* Returns 0 in the child, 1 in the parent; with p->pid -1 there when it cannot be had. */
static int start(struct process *p)
{
	p->killed = false;
	p->status = 0;
	p->pid = -1;
	p->output = memfd_create("output", MFD_CLOEXEC);
	if (p->output < 0)
		return 1;
	fflush(NULL);
	p->pid = fork();
	if (p->pid == 0) {
		settle(p->output);
		return 0;
	}
	if (p->pid > 0)
		setpgid(p->pid, p->pid); /* whoever is first */
	return 1;
}

/* ---- in the parent ---- */

static void kill_group(struct process *p)
{
	if (p->pid > 0) {
		kill(-p->pid, SIGKILL);
		p->killed = true;
	}
}

/* Take what has ended, and what it left: the leader is no more than a zombie meanwhile, so the number is
 * its. */
static struct process *reap(struct process *p, int n)
{
	siginfo_t info = {0};
	int i;

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == 0)
		return NULL;
	for (i = 0; i < n; i++) {
		if (p[i].pid == info.si_pid) {
			kill(-p[i].pid, SIGKILL);
			waitpid(p[i].pid, &p[i].status, 0);
			p[i].pid = 0;
			return &p[i];
		}
	}
	waitpid(info.si_pid, NULL, 0);
	return NULL;
}

static bool ended_with(const struct process *p, int code)
{
	return WIFEXITED(p->status) && WEXITSTATUS(p->status) == code;
}

/* Until all have ended; true when @limit_s was over before. */
static bool wait_for(struct process *p, int n, int limit_s)
{
	uint64_t end = now_ms() + (uint64_t)limit_s * 1000, now;
	bool late = false;
	struct process *one;
	struct timespec t;
	sigset_t set;
	int i, left = n;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while (left) {
		one = reap(p, n);
		now = now_ms();
		if (one) {
			left--;
			/* one side alone has nothing to do; but EXIT_ALONE waits to hear of the other's end
			 */
			if (!ended_with(one, 0) && !ended_with(one, EXIT_ALONE)) {
				for (i = 0; i < n; i++)
					kill_group(&p[i]);
			}
			continue;
		}
		if (now >= end && !late) {
			late = true;
			for (i = 0; i < n; i++)
				kill_group(&p[i]);
		}
		t.tv_sec = 0;
		t.tv_nsec = 100000000;
		if (!late && end - now < 100)
			t.tv_nsec = (long)(end - now) * 1000000 + 1;
		sigtimedwait(&set, NULL, &t);
	}
	return late;
}

__attribute__((format(printf, 3, 4))) static void add(char *text, size_t n, const char *fmt, ...)
{
	size_t used = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + used, n - used, fmt, ap);
	va_end(ap);
}

/* A line of cmocka's frame says nothing that the report does not say. */
static const char *worth(char *line)
{
	static const char *const frame[] = {"[====",	 "[ RUN",     "[       OK",
					    "[  PASSED", "[  FAILED", " 1 FAILED"};
	static const char *const lead[] = {"[  ERROR   ] --- ", "[   LINE   ] --- "};
	size_t i;

	for (i = 0; i < sizeof(frame) / sizeof(frame[0]); i++) {
		if (strncmp(line, frame[i], strlen(frame[i])) == 0)
			return NULL;
	}
	for (i = 0; i < sizeof(lead) / sizeof(lead[0]); i++) {
		if (strncmp(line, lead[i], strlen(lead[i])) == 0)
			return line + strlen(lead[i]);
	}
	return *line ? line : NULL;
}

static void add_output(char *text, size_t n, int output, const char *who)
{
	char bytes[16384], *line, *rest = bytes;
	const char *shown;
	ssize_t got = pread(output, bytes, sizeof(bytes) - 1, 0);
	int lines = 0;

	bytes[got < 0 ? 0 : got] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		shown = worth(line);
		if (!shown)
			continue;
		if (++lines > SHOW_LINES) {
			add(text, n, "%s(more)\n", who);
			return;
		}
		add(text, n, "%s%.400s\n", who, shown);
	}
}

/* How it ended, unless its output says that. */
static void add_end(char *text, size_t n, const struct process *p, const char *who, bool late)
{
	int sig = WIFSIGNALED(p->status) ? WTERMSIG(p->status) : 0;

	if (sig == SIGKILL && p->killed) {
		add(text, n,
		    late ? "%shad not finished when the time was over\n"
			 : "%swas stopped, for the other side had ended\n",
		    who);
	} else if (sig == SIGABRT && strstr(text, "error: Failure!")) {
		/* by an assertion of cmocka */
	} else if (sig) {
		add(text, n, "%sended by SIG%s (%s)\n", who, sigabbrev_np(sig), strsignal(sig));
	} else if (!ended_with(p, 0) && !ended_with(p, 1) && !ended_with(p, EXIT_ALONE)) {
		add(text, n, "%sexit status %d\n", who, WEXITSTATUS(p->status));
	}
}

static void judge(struct result *res, const struct process *p, int n, bool late, int limit_s)
{
	static const char *const whose[] = {"server: ", "client: "};
	const char *who;
	int i, good = 0;

	for (i = 0; i < n; i++) {
		if (ended_with(&p[i], EXIT_SKIPPED)) {
			res->outcome = SKIPPED;
			snprintf(res->reason, sizeof(res->reason), "%s\n", board->skip);
			return;
		}
		good += ended_with(&p[i], 0);
	}
	snprintf(res->note, sizeof(res->note), "%s", board->note);
	res->outcome = good == n ? PASSED : FAILED;
	if (good == n)
		return;
	if (late)
		add(res->reason, sizeof(res->reason), "not finished after %d s\n", limit_s);
	for (i = 0; i < n; i++) {
		who = n > 1 ? whose[i] : "";
		if (ended_with(&p[i], 0))
			continue;
		add_output(res->reason, sizeof(res->reason), p[i].output, who);
		add_end(res->reason, sizeof(res->reason), &p[i], who, late);
		if (board->doing[i][0])
			add(res->reason, sizeof(res->reason), "%swhile: %s\n", who, board->doing[i]);
	}
}

static VIP_RELIABILITY_LEVEL highest(VIP_RELIABILITY_LEVEL levels)
{
	VIP_RELIABILITY_LEVEL l = VIP_SERVICE_RELIABLE_RECEPTION;

	while (l > VIP_SERVICE_UNRELIABLE && !(levels & l))
		l >>= 1;
	return l;
}

static int limit_of(const struct options *o, const struct check *c)
{
	return (c->flags & SLOW ? o->seconds + 2 * LIMIT_S : LIMIT_S) * o->slowdown;
}

void run_side(const struct options *o, const struct check *c, VIP_RELIABILITY_LEVEL level, int side, int sock,
	      struct side_end *e)
{
	struct process p = {.pid = -1, .output = -1};
	ssize_t got;

	memset(board, 0, offsetof(struct board, attr));
	if (start(&p) == 0)
		child(o, c, level, side, sock);
	close(sock);
	if (p.pid < 0) {
		snprintf(e->output, sizeof(e->output), "no process for it: %s\n", strerror(errno));
		e->status = 1 << 8;
		return;
	}
	e->late = wait_for(&p, 1, limit_of(o, c));
	e->status = p.status;
	e->killed = p.killed;
	memcpy(e->doing, board->doing[side], sizeof(e->doing));
	memcpy(e->skip, board->skip, sizeof(e->skip));
	memcpy(e->note, board->note, sizeof(e->note));
	got = pread(p.output, e->output, sizeof(e->output) - 1, 0);
	e->output[got < 0 ? 0 : got] = '\0';
	close(p.output);
}

/* As if it had been here. */
static void take_end(struct process *p, const struct side_end *e)
{
	size_t n = strlen(e->output);

	p->status = e->status;
	p->killed = e->killed;
	p->output = memfd_create("output", MFD_CLOEXEC);
	if (p->output < 0 || write(p->output, e->output, n) != (ssize_t)n)
		fprintf(stderr, "vip_conformance: the other side's output is lost: %s\n", strerror(errno));
	memcpy(board->doing[0], e->doing, sizeof(e->doing));
	if (e->skip[0])
		memcpy(board->skip, e->skip, sizeof(e->skip));
	if (e->note[0])
		memcpy(board->note, e->note, sizeof(e->note));
}

/* Side 0 on the other host, side 1 here. */
static void run_apart(const struct options *o, struct result *res, VIP_RELIABILITY_LEVEL level)
{
	const struct check *c = res->check;
	struct process p[2] = {{.pid = -1, .output = -1}, {.pid = -1, .output = -1}};
	int limit_s = limit_of(o, c), sock = apart_begin(o, c, level, res->reason, sizeof(res->reason)), i;
	static struct side_end there;
	bool late;

	if (sock < 0)
		return;
	if (start(&p[1]) == 0)
		child(o, c, level, 1, sock);
	close(sock);
	if (p[1].pid < 0) {
		snprintf(res->reason, sizeof(res->reason), "no process for it: %s\n", strerror(errno));
		return;
	}
	late = wait_for(&p[1], 1, limit_s);
	if (apart_end(&there, limit_s + LIMIT_S, res->reason, sizeof(res->reason))) {
		take_end(&p[0], &there);
		judge(res, p, 2, late || there.late, limit_s);
	}
	for (i = 0; i < 2; i++) {
		if (p[i].output >= 0)
			close(p[i].output);
	}
}

static void run_here(const struct options *o, struct result *res, VIP_RELIABILITY_LEVEL level)
{
	const struct check *c = res->check;
	int n = c->flags & TWO ? 2 : 1, i, sock[2] = {-1, -1}, started = 0, limit_s = limit_of(o, c);
	struct process p[2] = {{.pid = -1, .output = -1}, {.pid = -1, .output = -1}};
	bool late = false;

	if (n == 2 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock))
		n = 0;
	for (i = 0; i < n && started == i; i++) {
		if (start(&p[i]) == 0) {
			close(sock[!i]);
			child(o, c, level, i, sock[i]);
		}
		started += p[i].pid > 0;
	}
	close(sock[0]);
	close(sock[1]);
	if (n == 0 || started < n) {
		snprintf(res->reason, sizeof(res->reason), "no process for it: %s\n", strerror(errno));
		for (i = 0; i < started; i++)
			kill_group(&p[i]);
		wait_for(p, started, limit_s);
	} else {
		late = wait_for(p, n, limit_s);
		judge(res, p, n, late, limit_s);
	}
	for (i = 0; i < n; i++)
		close(p[i].output);
}

void run_check(const struct options *o, struct result *res)
{
	VIP_RELIABILITY_LEVEL level = res->level ? res->level : highest(board->attr.ReliabilityLevelSupport);
	uint64_t begun = now_ms();

	memset(board, 0, offsetof(struct board, attr));
	res->reason[0] = res->note[0] = '\0';
	res->outcome = FAILED;
	(o->with ? run_apart : run_here)(o, res, level);
	res->seconds = (double)(now_ms() - begun) / 1000;
}

bool probe(const struct options *o, char *reason, size_t n)
{
	struct process p;
	VIP_NIC_HANDLE nic;
	bool late;

	reason[0] = '\0';
	if (start(&p) == 0) {
		VIP_RETURN r = VipOpenNic(o->device, &nic);

		if (r != VIP_SUCCESS) {
			fprintf(stderr, "VipOpenNic(\"%s\") is %s\n", o->device, code_name(r));
			_exit(1);
		}
		r = VipQueryNic(nic, &board->attr);
		if (r == VIP_SUCCESS && board->attr.NicAddressLen <= sizeof(board->address))
			memcpy(board->address, board->attr.LocalNicAddress, board->attr.NicAddressLen);
		board->attr.LocalNicAddress = NULL;
		if (r != VIP_SUCCESS)
			fprintf(stderr, "VipQueryNic is %s\n", code_name(r));
		_exit(r != VIP_SUCCESS);
	}
	if (p.pid < 0) {
		snprintf(reason, n, "no process: %s\n", strerror(errno));
		return false;
	}
	late = wait_for(&p, 1, LIMIT_S * o->slowdown);
	if (!ended_with(&p, 0)) {
		if (late)
			add(reason, n, "no answer within %d s\n", LIMIT_S * o->slowdown);
		add_output(reason, n, p.output, "");
		add_end(reason, n, &p, "", late);
	}
	close(p.output);
	return ended_with(&p, 0);
}
