/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * team.c - the processes of the demo as the coordinator sees them: started by
 * fork and exec, ordered about, awaited with a limit, and ended.
 *
 * Each is killed by the kernel when the coordinator dies (PR_SET_PDEATHSIG),
 * so that even its SIGKILL leaves none behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "examples/shared_receive/shared_receive.h"

#define GRACE_MS 300 /* to learn that a failure was caused by another role's death */

volatile sig_atomic_t team_interrupted;

static int team_fault(struct team *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int team_fault(struct team *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(t->fault, sizeof(t->fault), fmt, args);
	va_end(args);
	return -1;
}

static const struct user *user_of(const struct team *t, char role)
{
	static const char roles[] = "ABCPQ";

	return t->users ? &t->user[(strchr(roles, role) - roles) % 3] : NULL;
}

/* In the child: the descriptors to their places, then this program again. */
static void become_role(const struct member *m, pid_t parent, int orders, int file, int partner)
{
	const struct user *u = m->user;
	char name[2] = {m->role, 0};
	char *argv[] = {DEMO, "--role", name, NULL};
	sigset_t none;

	if (u && (setgroups((size_t)u->ngroups, u->group) || setgid(u->gid) || setuid(u->uid)))
		_exit(EXIT_FAILURE);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* what another user set would not last */
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	/* Ctrl-C is for the coordinator, who ends its roles itself. */
	signal(SIGINT, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* First above all places, so that none is overwritten before it is moved. */
	orders = fcntl(orders, F_DUPFD_CLOEXEC, FD_PARTNER + 1);
	file = fcntl(file, F_DUPFD_CLOEXEC, FD_PARTNER + 1);
	if (partner >= 0)
		partner = fcntl(partner, F_DUPFD_CLOEXEC, FD_PARTNER + 1);
	dup2(orders, FD_ORDERS);
	dup2(file, FD_FILE);
	if (partner >= 0)
		dup2(partner, FD_PARTNER);
	execv("/proc/self/exe", argv);
	_exit(EXIT_FAILURE);
}

int team_start(struct team *t, char role)
{
	struct member *m = &t->member[t->size];
	pid_t parent = getpid();
	int partner = -1;
	int ends[2];

	if (role == 'A' || role == 'B')
		partner = t->partners[role - 'A'];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return team_fault(t, "no socket for process %c: %s", role, strerror(errno));
	fflush(stdout);
	m->role = role;
	m->user = user_of(t, role);
	m->pid = fork();
	if (m->pid == 0)
		become_role(m, parent, ends[1], t->file, partner);
	close(ends[1]);
	if (m->pid < 0) {
		m->pid = 0;
		close(ends[0]);
		return team_fault(t, "no process %c: %s", role, strerror(errno));
	}
	if (partner >= 0)
		close(partner);
	m->orders = ends[0];
	t->size++;
	return 0;
}

void team_join(struct team *t, char role, int orders, pid_t pid, const char *host)
{
	struct member *m = &t->member[t->size++];

	*m = (struct member){.role = role, .pid = pid, .orders = orders};
	memcpy(m->host, host, sizeof(m->host));
}

struct member *team_find(struct team *t, char role)
{
	for (unsigned int i = 0; i < t->size; i++) {
		if (t->member[i].role == role)
			return &t->member[i];
	}
	return NULL;
}

static bool has_ended(const struct member *m, int *status)
{
	ssize_t got;
	char byte;

	if (!m->host[0])
		return waitpid(m->pid, status, WNOHANG) != 0;
	*status = 0;
	/* it may have said something before */
	got = recv(m->orders, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return got == 0 || (got < 0 && errno != EAGAIN);
}

/* Wait up to @wait_ms for the role to end; false when it lives on. */
static bool reap(struct member *m, int wait_ms, int *status)
{
	for (int waited = 0; !has_ended(m, status); waited += 10) {
		if (waited >= wait_ms)
			return false;
		poll(NULL, 0, 10);
	}
	m->pid = 0;
	close(m->orders);
	return true;
}

/* A role may have ended against the plan: if so, how is the fault. */
static bool ended(struct team *t, struct member *m, int wait_ms)
{
	int pid = (int)m->pid, status;

	if (!reap(m, wait_ms, &status))
		return false;
	if (m->host[0])
		team_fault(t, "process %c on %s has gone; its output there may say why", m->role, m->host);
	else if (WIFSIGNALED(status))
		team_fault(t, "process %c (pid %d) was killed by signal %d (%s)", m->role, pid,
			   WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		team_fault(t, "process %c (pid %d) ended too early with status %d", m->role, pid,
			   WEXITSTATUS(status));
	return true;
}

/* @m reported a failure.  Often that is the echo of a death: name the cause. */
static int blame(struct team *t, const struct member *m)
{
	for (int waited = 0; waited < GRACE_MS; waited += 10) {
		for (unsigned int i = 0; i < t->size; i++) {
			if (t->member[i].pid && ended(t, &t->member[i], 0))
				return -1;
		}
		poll(NULL, 0, 10);
	}
	return team_fault(t, "process %c (pid %d): %s", m->role, (int)m->pid, m->report.fault);
}

int team_order(struct team *t, char role, const struct order *o)
{
	struct member *m = team_find(t, role);

	if (send(m->orders, o, sizeof(*o), MSG_NOSIGNAL) == (ssize_t)sizeof(*o))
		return 0;
	if (ended(t, m, GRACE_MS))
		return -1;
	return team_fault(t, "process %c (pid %d) takes no orders: %s", role, (int)m->pid, strerror(errno));
}

/*
 * One message of @m, or its end.  Returns -1 on failure, 1 when its order is
 * done, 0 when it only said that it is alive.
 */
static int hear(struct team *t, struct member *m)
{
	struct report report;

	if (recv(m->orders, &report, sizeof(report), MSG_WAITALL) != (ssize_t)sizeof(report)) {
		if (ended(t, m, GRACE_MS))
			return -1;
		return team_fault(t, "process %c (pid %d) has closed its socket", m->role, (int)m->pid);
	}
	if (report.kind == REPORT_ALIVE)
		return 0;
	m->report = report;
	m->report.fault[sizeof(m->report.fault) - 1] = 0;
	return report.kind == REPORT_FAILED ? blame(t, m) : 1;
}

int team_await(struct team *t, const char *roles)
{
	const struct timespec limit = {.tv_sec = DEMO_STEP_MS / 1000};
	sigset_t awake;
	char left[TEAM_MAX + 1];

	/* Signals are blocked but here: none is missed between the look and the sleep. */
	sigemptyset(&awake);
	snprintf(left, sizeof(left), "%s", roles);
	for (size_t open = strlen(left); open;) {
		struct pollfd wait[TEAM_MAX];
		int n;

		for (unsigned int i = 0; i < t->size; i++)
			wait[i] = (struct pollfd){.fd = t->member[i].pid ? t->member[i].orders : -1,
						  .events = POLLIN};
		n = ppoll(wait, t->size, &limit, &awake);
		if (team_interrupted)
			return team_fault(t, "interrupted by signal %d (%s)", (int)team_interrupted,
					  strsignal(team_interrupted));
		if (n == 0)
			return team_fault(t, "process %c (pid %d) has said nothing for %d s", left[0],
					  (int)team_find(t, left[0])->pid, DEMO_STEP_MS / 1000);
		for (unsigned int i = 0; n > 0 && i < t->size; i++) {
			char *at;
			int heard;

			if (!wait[i].revents)
				continue;
			heard = hear(t, &t->member[i]);
			if (heard < 0)
				return -1;
			at = heard ? strchr(left, t->member[i].role) : NULL;
			if (at) {
				memmove(at, at + 1, strlen(at));
				open--;
			}
		}
	}
	return 0;
}

int team_do(struct team *t, char role, enum order_kind kind, char peer)
{
	const struct order o = {.kind = kind, .peer = peer};
	const char roles[2] = {role, 0};

	return team_order(t, role, &o) || team_await(t, roles) ? -1 : 0;
}

int team_leave(struct team *t, char role)
{
	struct member *m = team_find(t, role);
	int pid = (int)m->pid, status;

	if (!reap(m, TOOL_PATIENCE_MS, &status))
		return team_fault(t, "process %c (pid %d) does not end", role, pid);
	if (status)
		return team_fault(t, "process %c (pid %d) ended badly, wait status 0x%x", role, pid, status);
	return 0;
}

void team_kill(struct team *t)
{
	for (unsigned int i = 0; i < t->size; i++) {
		if (!t->member[i].pid)
			continue;
		if (!t->member[i].host[0]) {
			kill(t->member[i].pid, SIGKILL);
			waitpid(t->member[i].pid, NULL, 0);
		}
		close(t->member[i].orders);
		t->member[i].pid = 0;
	}
}
