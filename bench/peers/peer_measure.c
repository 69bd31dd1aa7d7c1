/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer_measure.c - see peer_measure.h: the processes of a contender, their talk
 * with the coordinator, and the loops with the clock.
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

#define PRIORITY  10
#define PATIENCE  20 /* seconds that a case may take: then something hangs, and the rank ends */
#define OPEN_TIME 60 /* the same for the start */
#define MAX_BATCH 100000

static struct {
	FILE *in; /* the coordinator */
	int fd;
	double *sample; /* nanoseconds */
	size_t samples;
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

static void keep(uint64_t ns, unsigned int messages)
{
	if (me.samples < MAX_BATCH)
		me.sample[me.samples++] = (double)ns / messages;
}

/* ---- latency ---- */

#define LINE 64 /* bytes of a cache line, or a part of one */

/* Every line: what an application does with a message, at the least. */
static void write_lines(const struct peer *p, uint8_t value)
{
	for (size_t i = 0; i < p->now.bytes; i += LINE)
		((volatile uint8_t *)p->from)[i] = value;
}

static void read_lines(const struct peer *p)
{
	for (size_t i = 0; i < p->now.bytes; i += LINE)
		(void)((volatile uint8_t *)p->to)[i];
}

/* Two receives are posted ahead: one for the next message while the other is put back. */
static void exchanges(struct peer *p, unsigned int n, uint64_t *unposted)
{
	size_t bytes = p->now.bytes;
	bool touched = p->now.test == PEER_TOUCHED;

	for (unsigned int i = 0; i < n; i++) {
		if (p->rank) {
			peer_ops.wait_recv(p);
			if (touched)
				read_lines(p);
		}
		if (touched)
			write_lines(p, (uint8_t)i);
		peer_ops.send(p, bytes);
		if (*unposted) {
			peer_ops.post_recv(p, bytes);
			--*unposted;
		}
		if (!p->rank) {
			peer_ops.wait_recv(p);
			if (touched)
				read_lines(p);
		}
		peer_ops.wait_sends(p, 0);
	}
}

static uint64_t latency_set(struct peer *p)
{
	uint64_t unposted = (uint64_t)p->now.per * p->now.batches;

	if (peer_ops.exchange)
		return 0;
	for (int i = 0; i < 2 && unposted; i++, unposted--)
		peer_ops.post_recv(p, p->now.bytes);
	return unposted;
}

static void latency_run(struct peer *p, uint64_t unposted)
{
	uint64_t start, end;

	start = peer_now_ns();
	for (unsigned int b = 0; b < p->now.batches; b++) {
		if (peer_ops.exchange)
			peer_ops.exchange(p, p->now.per);
		else
			exchanges(p, p->now.per, &unposted);
		end = peer_now_ns();
		keep(end - start, 2 * p->now.per);
		start = end;
	}
}

/* ---- bandwidth: a stream; rank 1 acknowledges each half of the window ---- */

/* All of a message's receives are posted before its sender can know: the window is never passed. */
static size_t ack_bytes(const struct peer *p)
{
	return p->now.bytes < PEER_MIN_BYTES ? p->now.bytes : PEER_MIN_BYTES;
}

static uint64_t bandwidth_set(struct peer *p)
{
	unsigned int half = p->now.window / 2, ahead = p->rank ? p->now.window : 2;
	uint64_t unposted;

	p->now.per = (p->now.per + half - 1) / half * half;
	unposted = p->rank ? p->now.per : p->now.per / half;
	for (; ahead && unposted; ahead--, unposted--)
		peer_ops.post_recv(p, p->rank ? p->now.bytes : ack_bytes(p));
	return unposted;
}

static void take_ack(struct peer *p, uint64_t *unposted)
{
	peer_ops.wait_recv(p);
	if (*unposted) {
		peer_ops.post_recv(p, ack_bytes(p));
		--*unposted;
	}
}

/* One sample, all but the first window: the sender may see several acknowledgements at once. */
static void stream_out(struct peer *p, uint64_t unposted)
{
	unsigned int window = p->now.window, half = window / 2, acks = p->now.per / half, sent = 0;
	uint64_t start = 0;

	for (unsigned int acked = 0; acked < acks;) {
		for (; sent < p->now.per && sent < acked * half + window; sent++) {
			peer_ops.wait_sends(p, window - 1);
			peer_ops.send(p, p->now.bytes);
		}
		take_ack(p, &unposted);
		if (++acked == 2)
			start = peer_now_ns();
	}
	keep(peer_now_ns() - start, p->now.per - window);
	peer_ops.wait_sends(p, 0);
}

static void stream_in(struct peer *p, uint64_t unposted)
{
	unsigned int half = p->now.window / 2;

	for (unsigned int got = 1; got <= p->now.per; got++) {
		peer_ops.wait_recv(p);
		if (unposted) {
			peer_ops.post_recv(p, p->now.bytes);
			unposted--;
		}
		if (got % half == 0) {
			peer_ops.send(p, ack_bytes(p));
			peer_ops.wait_sends(p, 1);
		}
	}
	peer_ops.wait_sends(p, 0);
}

/* ---- one way, by the clock that both processors share ---- */

static void pause_us(unsigned int us)
{
	uint64_t end = peer_now_ns() + us * 1000ull;

	while (peer_now_ns() < end)
		peer_relax();
}

/* Each waits so long before it answers that the other sleeps. */
static void wake_run(struct peer *p)
{
	struct peer_common *c = p->common;

	for (unsigned int i = 0; i < p->now.batches; i++) {
		if (p->rank) {
			peer_ops.wait_recv(p);
			pause_us(p->now.window);
		}
		peer_ops.post_recv(p, p->now.bytes);
		c->sent[p->rank][0] = peer_now_ns();
		peer_ops.send(p, p->now.bytes);
		if (!p->rank) {
			peer_ops.wait_recv(p);
			keep(peer_now_ns() - c->sent[1][0], 1);
			pause_us(p->now.window);
		}
		peer_ops.wait_sends(p, 0);
	}
	/* the receive that rank 1 has posted for a message that does not come */
	if (p->rank)
		peer_ops.wait_recv(p);
	else
		peer_ops.send(p, p->now.bytes), peer_ops.wait_sends(p, 0);
}

static void cold_out(struct peer *p)
{
	struct peer_common *c = p->common;
	uint64_t start, end;

	for (unsigned int i = 1; i <= p->now.batches; i++) {
		while (c->written != i)
			peer_relax();
		start = peer_now_ns();
		peer_ops.send(p, p->now.bytes);
		if (peer_ops.done_when_sent) {
			end = peer_now_ns();
		} else {
			peer_ops.wait_sends(p, 0);
			while (c->come != i)
				peer_relax();
			end = c->came;
		}
		keep(end - start, 1);
		c->word[0][0] = i;
	}
}

static void cold_in(struct peer *p)
{
	struct peer_common *c = p->common;

	for (unsigned int i = 1; i <= p->now.batches; i++) {
		memset(c->source, (int)i, p->now.bytes);
		c->written = i;
		if (!peer_ops.done_when_sent) {
			peer_ops.wait_recv(p);
			c->came = peer_now_ns();
			c->come = i;
			if (i < p->now.batches)
				peer_ops.post_recv(p, p->now.bytes);
		}
		while (c->word[0][0] != i)
			peer_relax();
	}
}

static void cold_set(struct peer *p)
{
	struct peer_common *c = p->common;

	c->written = c->come = c->word[0][0] = 0;
	if (p->rank && !peer_ops.done_when_sent)
		peer_ops.post_recv(p, p->now.bytes);
}

/* ---- a driver by itself ---- */

static void local_run(struct peer *p)
{
	uint64_t start;

	for (unsigned int i = 0; !p->rank && i < p->now.batches; i++) {
		start = peer_now_ns();
		peer_ops.local(p);
		keep(peer_now_ns() - start, 1);
		peer_ops.local_undo(p);
	}
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
	if (!c->bytes || c->bytes > p->max_bytes || !c->per || !c->batches || c->batches > MAX_BATCH)
		peer_die("out of bounds: %s", line);
	if (c->test == PEER_BANDWIDTH &&
	    (c->window < 2 || c->window > PEER_MAX_WINDOW || c->window % 2 || c->per < 2 * c->window))
		peer_die("the window must be even, 2 to %d, and fill twice: %s", PEER_MAX_WINDOW, line);
	if ((c->test == PEER_WAKE || c->test == PEER_COLD) && !p->common)
		peer_die("this contender has no memory that both ranks share: %s", line);
	if (c->test == PEER_LOCAL && !peer_ops.local)
		peer_die("this contender does nothing alone: %s", line);
}

static uint64_t set(struct peer *p)
{
	if (peer_ops.begin)
		peer_ops.begin(p);
	switch (p->now.test) {
	case PEER_LATENCY:
	case PEER_TOUCHED:
		return latency_set(p);
	case PEER_BANDWIDTH:
		return bandwidth_set(p);
	case PEER_WAKE:
		if (p->rank)
			peer_ops.post_recv(p, p->now.bytes);
		return 0;
	case PEER_COLD:
		cold_set(p);
		return 0;
	case PEER_LOCAL:
		return 0;
	}
	return 0;
}

static void run(struct peer *p, uint64_t unposted)
{
	switch (p->now.test) {
	case PEER_LATENCY:
	case PEER_TOUCHED:
		latency_run(p, unposted);
		break;
	case PEER_BANDWIDTH:
		if (p->rank)
			stream_in(p, unposted);
		else
			stream_out(p, unposted);
		break;
	case PEER_WAKE:
		wake_run(p);
		break;
	case PEER_COLD:
		if (p->rank)
			cold_in(p);
		else
			cold_out(p);
		break;
	case PEER_LOCAL:
		local_run(p);
		break;
	}
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The first sample has the start of both ranks in it. */
static void tell_samples(void)
{
	double *s = me.sample;
	size_t n = me.samples;

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
		me.samples = 0;
		unposted = set(p);
		answer("set");
		if (!fgets(line, sizeof(line), me.in))
			break;
		run(p, unposted);
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
	me.sample = malloc(MAX_BATCH * sizeof(*me.sample));
	if (!me.in || !me.sample)
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
	struct peer p = {.other = -1};
	pid_t child = 0;
	bool fifo;

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
	/* after what the library starts: its threads keep their own priority */
	fifo = sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
	alarm(0);
	answer("ready %s %s", fifo ? "real-time" : "normal", p.about);
	serve(&p);
	peer_ops.close(&p);
	if (child > 0)
		waitpid(child, NULL, 0);
	return 0;
}
