/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer_main.c - the processes of a contender and their talk with the coordinator.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/peers/peer_measure.h"

#define PRIORITY  11
#define PATIENCE  20  /* seconds that a case may take: then something hangs, and the rank ends */
#define OPEN_TIME 120 /* the same for the start: a thousand connections on a busy machine */

static struct {
	FILE *in; /* the coordinator */
	int fd;
} me = {.fd = -1};

/* ---- small things that drivers use, too ---- */

static void answer(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void answer(const char *fmt, ...)
{
	char line[600];
	va_list args;
	int length;

	va_start(args, fmt);
	length = vsnprintf(line, sizeof(line) - 1, fmt, args);
	va_end(args);
	if (length > (int)sizeof(line) - 2)
		length = (int)sizeof(line) - 2;
	for (int i = 0; i < length; i++) {
		if (line[i] == '\n')
			line[i] = ' ';
	}
	line[length++] = '\n';
	/* a coordinator that has gone is noticed by the next read */
	if (send(me.fd, line, (size_t)length, MSG_NOSIGNAL) < 0)
		return;
}

void peer_die(const char *fmt, ...)
{
	char text[500];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (me.fd < 0)
		fprintf(stderr, "%s: %s\n", peer_ops.name, text);
	else
		answer("fail %s", text);
	_exit(1);
}

void peer_swap(struct peer *p, const void *mine, void *theirs, size_t bytes)
{
	if (send(p->other, mine, bytes, MSG_NOSIGNAL) != (ssize_t)bytes ||
	    recv(p->other, theirs, bytes, MSG_WAITALL) != (ssize_t)bytes)
		peer_die("the other rank has gone");
}

void *peer_memory(size_t bytes)
{
	void *memory;

	if (posix_memalign(&memory, 4096, bytes))
		peer_die("no memory for a buffer of %zu bytes", bytes);
	memset(memory, 1, bytes);
	return memory;
}

uint64_t peer_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- commands ---- */

static const struct {
	const char *name;
	enum peer_test test;
	int numbers;
} tests[] = {
	{"latency", PEER_LATENCY, 3}, {"touched", PEER_TOUCHED, 3}, {"bandwidth", PEER_BANDWIDTH, 3},
	{"wake", PEER_WAKE, 3},	      {"cold", PEER_COLD, 2},	    {"local", PEER_LOCAL, 2},
};

static void parse(struct peer *p, const char *line)
{
	unsigned long number[3] = {0};
	struct peer_case *c = &p->now;
	char name[32];
	int n = sscanf(line, "%31s %lu %lu %lu", name, &number[0], &number[1], &number[2]);
	size_t i = 0;

	while (i < sizeof(tests) / sizeof(tests[0]) && (n < 1 || strcmp(tests[i].name, name) != 0))
		i++;
	if (i == sizeof(tests) / sizeof(tests[0]) || n - 1 != tests[i].numbers)
		peer_die("no such command: %s", line);
	*c = (struct peer_case){.test = tests[i].test, .bytes = number[0], .per = 1, .batches = 1};
	if (c->test <= PEER_BANDWIDTH)
		c->per = (unsigned int)number[1];
	else
		c->batches = (unsigned int)number[1];
	if (c->test < PEER_BANDWIDTH)
		c->batches = (unsigned int)number[2];
	else
		c->window = (unsigned int)number[2];
	if (!c->bytes || c->bytes > p->max_bytes || !c->per || !c->batches || c->batches > PEER_MAX_SAMPLES)
		peer_die("out of bounds: %s", line);
	if (c->test == PEER_BANDWIDTH &&
	    (c->window < 2 || c->window > PEER_MAX_WINDOW || c->window % 2 || c->per < 2 * c->window))
		peer_die("the window must be even, 2 to %d, and fill twice: %s", PEER_MAX_WINDOW, line);
	if ((c->test == PEER_WAKE || c->test == PEER_COLD) && !p->common)
		peer_die("this contender has no memory that both ranks share: %s", line);
	if (c->test == PEER_LOCAL && !peer_ops.local)
		peer_die("this contender does nothing alone: %s", line);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The first sample has the start of both ranks in it. */
static void tell_samples(void)
{
	double *s = peer_samples.ns;
	size_t n = peer_samples.n;

	if (n > 1) {
		s++;
		n--;
	}
	qsort(s, n, sizeof(*s), ascending);
	answer("ok %.2f %.2f %.2f %zu", s[n / 2], s[n / 10], s[n - 1 - n / 10], n);
}

static void serve(struct peer *p)
{
	char line[200];
	uint64_t unposted;

	while (fgets(line, sizeof(line), me.in)) {
		alarm(PATIENCE);
		parse(p, line);
		peer_samples.n = 0;
		unposted = peer_set(p);
		answer("set");
		if (!fgets(line, sizeof(line), me.in))
			break;
		peer_run(p, unposted);
		alarm(0);
		if (p->rank)
			answer("ok");
		else
			tell_samples();
	}
	alarm(PATIENCE);
}

/* ---- start ---- */

static void call_coordinator(const char *path, const char *name, int rank)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		peer_die("the socket's path is too long: %s", path);
	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		peer_die("cannot reach the coordinator at %s: %s", path, strerror(errno));
	me.fd = fd;
	me.in = fdopen(fd, "r");
	peer_samples.ns = malloc(PEER_MAX_SAMPLES * sizeof(*peer_samples.ns));
	if (!me.in || !peer_samples.ns)
		peer_die("no memory");
	answer("hello %s %d %d", name, rank, (int)getpid());
}

static void pin(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		peer_die("processor %d cannot be used: %s", processor, strerror(errno));
}

/* As high as the limits allow: idle connections need descriptors, registered memory is locked. */
static void raise_limits(void)
{
	static const int limits[] = {RLIMIT_NOFILE, RLIMIT_MEMLOCK};
	struct rlimit l;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (getrlimit(limits[i], &l))
			continue;
		l.rlim_cur = l.rlim_max;
		setrlimit(limits[i], &l);
	}
}

/* The parent becomes rank 0, its child rank 1.  Returns the child. */
static pid_t pair(struct peer *p)
{
	size_t bytes = sizeof(*p->common) + p->max_bytes;
	int ends[2];
	pid_t child;

	p->common = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->common == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		peer_die("cannot make a pair of processes: %s", strerror(errno));
	child = fork();
	if (child < 0)
		peer_die("fork: %s", strerror(errno));
	p->rank = child == 0;
	p->other = ends[p->rank];
	close(ends[!p->rank]);
	if (child == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return child;
}

int main(int argc, char **argv)
{
	struct sched_param priority = {.sched_priority = PRIORITY};
	static struct peer p = {.other = -1}; /* what it points to stays until the process ends */
	pid_t child = 0;
	bool real_time;

	if (peer_ops.launched)
		p.rank = peer_ops.launched(&argc, &argv);
	if (argc != 8)
		peer_die("arguments: SOCKET NAME ROOM PROCESSOR-0 PROCESSOR-1 MAX-BYTES KIND");
	p.room = argv[3];
	p.max_bytes = strtoul(argv[6], NULL, 10);
	p.kind = argv[7];
	if (!peer_ops.launched)
		child = pair(&p);
	alarm(OPEN_TIME);
	call_coordinator(argv[1], argv[2], p.rank);
	raise_limits();
	pin(atoi(argv[4 + p.rank]));
	p.from = peer_memory(p.max_bytes);
	p.to = peer_memory(p.max_bytes);
	/* who copies straight from the other rank's memory needs its leave on some systems */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	peer_ops.open(&p);
	/*
	 * After what the library starts: its threads keep their own priority.  In turns with others of
	 * the same priority: two pairs that poll would wait for each other's processors for ever.
	 */
	real_time = sched_setscheduler(0, SCHED_RR, &priority) == 0;
	alarm(0);
	answer("ready %s %s", real_time ? "real-time" : "normal", p.about);
	serve(&p);
	peer_ops.close(&p);
	if (child > 0)
		waitpid(child, NULL, 0);
	return 0;
}
