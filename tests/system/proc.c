/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * proc.c - see proc.h.
 */
#include "proc.h"

#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEFT_MS 60000

/* What was there before the first test. */
static char *shm_before;
static char *sysv_before;

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void sleep_ms(int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

static char *slurp(int fd)
{
	char *text = NULL;
	size_t room = 0, used = 0;
	ssize_t n;

	do {
		room += 65536;
		text = realloc(text, room);
		if (!text)
			abort();
		n = pread(fd, text + used, room - used - 1, (off_t)used);
		if (n > 0)
			used += (size_t)n;
	} while (n > 0);
	text[used] = 0;
	return text;
}

static void add_line(char **list, const char *line)
{
	char *longer;

	if (asprintf(&longer, "%s%s\n", *list ? *list : "", line) < 0)
		abort();
	free(*list);
	*list = longer;
}

static bool has_line(const char *list, const char *line)
{
	size_t n = strlen(line);

	for (const char *at = list; at && *at; at = strchr(at, '\n') + 1) {
		if (strncmp(at, line, n) == 0 && at[n] == '\n')
			return true;
	}
	return false;
}

static char *list_shm(void)
{
	char *list = NULL;
	DIR *d = opendir("/dev/shm");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] != '.')
			add_line(&list, e->d_name);
	}
	if (d)
		closedir(d);
	return list;
}

/* "shmid of pid N": one line a segment. */
static char *list_sysv(void)
{
	char *list = NULL, *line = NULL, name[64];
	size_t n = 0;
	FILE *f = fopen("/proc/sysvipc/shm", "re");
	long shmid, cpid;

	while (f && getline(&line, &n, f) > 0) {
		if (sscanf(line, "%*d %ld %*o %*u %ld", &shmid, &cpid) == 2) {
			snprintf(name, sizeof(name), "%ld of pid %ld", shmid, cpid);
			add_line(&list, name);
		}
	}
	free(line);
	if (f)
		fclose(f);
	return list;
}

void room_isolate(void)
{
	/* Needs privilege; without, new segments of others would be blamed on us. */
	if (unshare(CLONE_NEWIPC))
		print_message("no IPC namespace of our own (%s): segments of others may disturb\n",
			      strerror(errno));
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"))
		print_message("no /dev/shm of our own (%s): names of others may disturb\n", strerror(errno));
	shm_before = list_shm();
	sysv_before = list_sysv();
}

int room_setup(void **state)
{
	struct room *r = calloc(1, sizeof(*r));

	if (!r)
		return -1;
	strcpy(r->base, "/tmp/vipl-test.XXXXXX");
	if (!mkdtemp(r->base)) {
		free(r);
		return -1;
	}
	/* Programs run as another user must get through. */
	if (chmod(r->base, 0777)) {
		free(r);
		return -1;
	}
	snprintf(r->dir, sizeof(r->dir), "%s/agent", r->base);
	*state = r;
	return 0;
}

/* Does /proc/PID/environ hold the room's VIPL_AGENT_DIR?  Zombies have none. */
static bool in_room(const struct room *r, const char *pid)
{
	char path[64], want[128], *env;
	size_t used = 0, n = 65536;
	bool found = false;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
	snprintf(want, sizeof(want), "VIPL_AGENT_DIR=%s", r->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	env = malloc(n);
	while (env && used < n - 1 && (got = read(fd, env + used, n - 1 - used)) > 0)
		used += (size_t)got;
	close(fd);
	if (env) {
		env[used] = 0;
		for (size_t at = 0; at < used && !found; at += strlen(env + at) + 1)
			found = strcmp(env + at, want) == 0;
	}
	free(env);
	return found;
}

static void comm_of(const char *pid, char comm[32])
{
	char path[64];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, comm, 31);
		close(fd);
	}
	comm[n > 0 ? n - 1 : 0] = 0;
}

/* Calls @fn for each process of the room until it returns true. */
static bool each_process(const struct room *r, bool (*fn)(pid_t pid, const char *comm, void *arg), void *arg)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	bool done = false;
	char comm[32];

	while (d && !done && (e = readdir(d))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (pid <= 0 || pid == getpid() || !in_room(r, e->d_name))
			continue;
		comm_of(e->d_name, comm);
		done = fn(pid, comm, arg);
	}
	if (d)
		closedir(d);
	return done;
}

static bool describe(pid_t pid, const char *comm, void *arg)
{
	char line[96];

	snprintf(line, sizeof(line), "process %d %s", (int)pid, comm);
	add_line(arg, line);
	return false;
}

struct wanted {
	const char *comm;
	pid_t *pids;
	int n, max;
};

static bool is_wanted(pid_t pid, const char *comm, void *arg)
{
	struct wanted *w = arg;

	if (!w->comm || strcmp(comm, w->comm) == 0)
		w->pids[w->n++] = pid;
	return w->n == w->max;
}

static bool kill_one(pid_t pid, const char *comm, void *arg)
{
	(void)comm;
	(void)arg;
	kill(pid, SIGKILL);
	return false;
}

int room_pids(const struct room *r, const char *comm, pid_t *pids, int max)
{
	struct wanted w = {.comm = comm, .pids = pids, .max = max};

	each_process(r, is_wanted, &w);
	return w.n;
}

pid_t room_find(const struct room *r, const char *comm)
{
	pid_t pid;

	return room_pids(r, comm, &pid, 1) ? pid : -1;
}

/* Never -1, which would be everybody. */
void room_kill_agent(const struct room *r)
{
	pid_t agent = room_find(r, "vipkad");

	assert_true(agent > 0);
	kill(agent, SIGKILL);
}

void room_await_connection(const struct room *r)
{
	static const char *const argv[] = {"vipstat", "-c", "-j", NULL}, *const yes = "\"connected\": true";
	int64_t end = now_ms() + LEFT_MS * SLOWER;
	char *out, *at;
	struct proc p;
	int n;

	do {
		proc_start(&p, r, NULL, argv);
		assert_int_equal(proc_wait(&p, LEFT_MS), 0);
		out = proc_out(&p);
		proc_drop(&p);
		for (n = 0, at = out; (at = strstr(at, yes)); at++)
			n++;
		free(out);
	} while (n < 2 && now_ms() < end);
	if (n < 2)
		fail_msg("%d of two VIs are connected", n);
}

/* Lines of @now that are not in @before, each after @what. */
static void add_new(char **left, const char *what, char *now, const char *before)
{
	char *line, *save, text[320];

	for (line = now ? strtok_r(now, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		if (has_line(before, line))
			continue;
		snprintf(text, sizeof(text), "%s %s", what, line);
		add_line(left, text);
	}
	free(now);
}

static char *leftovers(const struct room *r)
{
	char *left = NULL;

	each_process(r, describe, &left);
	if (access(r->dir, F_OK) == 0)
		add_line(&left, r->dir);
	add_new(&left, "segment", list_sysv(), sysv_before);
	add_new(&left, "/dev/shm name", list_shm(), shm_before);
	return left;
}

void room_assert_empty(const struct room *r)
{
	int64_t end = now_ms() + LEFT_MS * SLOWER;
	char *left;

	while ((left = leftovers(r)) && now_ms() < end) {
		free(left);
		sleep_ms(20);
	}
	if (left) {
		print_error("left behind:\n%s", left);
		free(left);
		fail();
	}
}

int room_teardown(void **state)
{
	struct room *r = *state;
	char path[128];

	/* Only after a failure is there anything to do. */
	each_process(r, kill_one, NULL);
	snprintf(path, sizeof(path), "%s/agent.sock", r->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/lock", r->dir);
	unlink(path);
	rmdir(r->dir);
	rmdir(r->base);
	free(r);
	return 0;
}

void need_nobody(void)
{
	int status = 1;
	pid_t pid;

	if (geteuid()) {
		print_message("SKIP: a test with another user: needs root\n");
		skip();
	}
	pid = fork();
	if (pid == 0)
		_exit(setresuid(NOBODY, NOBODY, NOBODY) || access(VIPL_LEAVER, X_OK));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		print_message("SKIP: a test with another user: uid %d cannot reach the build folder\n",
			      NOBODY);
		skip();
	}
}

static int anonymous(void)
{
	int fd = memfd_create("output", MFD_CLOEXEC);

	if (fd < 0)
		fail_msg("memfd_create: %s", strerror(errno));
	return fd;
}

/* In the child.  Errors show as an unexpected exit code and line. */
static void become(const struct proc_opts *o, pid_t parent)
{
	/* A test that dies takes its programs with it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(125);
	if (o->memlock) {
		struct rlimit lim = {o->memlock, o->memlock};

		if (setrlimit(RLIMIT_MEMLOCK, &lim)) {
			perror("setrlimit");
			_exit(125);
		}
	}
	if (o->plain && !geteuid()) {
		/* The bounding set too, or exec would give them back to root. */
		capng_clear(CAPNG_SELECT_BOTH);
		if (capng_apply(CAPNG_SELECT_BOTH)) {
			fprintf(stderr, "cannot drop the capabilities\n");
			_exit(125);
		}
	}
	if (o->uid) {
		if (setresgid(o->uid, o->uid, o->uid) || setresuid(o->uid, o->uid, o->uid)) {
			perror("setresuid");
			_exit(125);
		}
		/* A change of credentials clears it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
}

void proc_start(struct proc *p, const struct room *r, const struct proc_opts *o, const char *const argv[])
{
	static const struct proc_opts plain;
	pid_t parent = getpid();
	char path[512];
	int null;

	*p = (struct proc){.out = anonymous(), .err = anonymous()};
	snprintf(path, sizeof(path), "%s%s", strchr(argv[0], '/') ? "" : VIPL_BINDIR "/", argv[0]);
	fflush(NULL);
	p->pid = fork();
	if (p->pid < 0)
		fail_msg("fork: %s", strerror(errno));
	if (p->pid)
		return;

	signal(SIGINT, SIG_DFL); /* ignored, where the tests run in the background */
	null = open("/dev/null", O_RDONLY);
	dup2(null, 0);
	dup2(p->out, 1);
	dup2(p->err, 2);
	setenv("VIPL_AGENT_DIR", r->dir, 1);
	unsetenv("VIPL_LOG");
	unsetenv("VIPL_AGENT");
	if (o && o->env)
		putenv((char *)o->env);
	become(o ? o : &plain, parent);
	execv(path, (char *const *)argv);
	perror(path);
	_exit(126);
}

bool proc_ended(struct proc *p, int ms)
{
	int64_t end = now_ms() + ms;

	while (!p->ended) {
		pid_t got = waitpid(p->pid, &p->status, WNOHANG);

		if (got == p->pid)
			p->ended = true;
		else if (now_ms() >= end)
			break;
		else
			sleep_ms(2);
	}
	return p->ended;
}

static void show(const struct proc *p)
{
	char *out = proc_out(p), *err = proc_err(p);

	print_error("pid %d, standard output:\n%s\nstandard error:\n%s\n", (int)p->pid, out, err);
	free(out);
	free(err);
}

int proc_wait(struct proc *p, int ms)
{
	if (!proc_ended(p, ms * SLOWER)) {
		show(p);
		proc_drop(p);
		fail_msg("pid %d still runs after %d ms", (int)p->pid, ms * SLOWER);
	}
	return WIFEXITED(p->status) ? WEXITSTATUS(p->status) : 128 + WTERMSIG(p->status);
}

void proc_await(struct proc *p, const char *text, int ms)
{
	int64_t end = now_ms() + (int64_t)ms * SLOWER;
	bool ended, found;
	char *out;

	do {
		ended = proc_ended(p, 2); /* before the look: what it wrote last counts */
		out = proc_out(p);
		found = strstr(out, text) != NULL;
		free(out);
	} while (!found && !ended && now_ms() < end);
	if (!found) {
		show(p);
		fail_msg("no \"%s\" in the output of pid %d", text, (int)p->pid);
	}
}

char *proc_out(const struct proc *p)
{
	return slurp(p->out);
}

char *proc_err(const struct proc *p)
{
	return slurp(p->err);
}

void proc_drop(struct proc *p)
{
	if (!p->ended) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, &p->status, 0);
		p->ended = true;
	}
	close(p->out);
	close(p->err);
}

void proc_assert_refusal(struct proc *p, int ms, const char *cause)
{
	int code = proc_wait(p, ms);
	char *err = proc_err(p), *newline = strchr(err, '\n');

	if (code != 1 || !newline || newline[1] || !strstr(err, cause)) {
		show(p);
		free(err);
		fail_msg("exit code %d (want 1); want one line that contains \"%s\"", code, cause);
	}
	free(err);
}
