/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_lmm - what registering memory costs: tables 1 and 2 and figures 7 and 8
 * of Seifert and Rehm, "Reliably Locking System V Shared Memory", on this
 * machine, and the same work done by hand beside it; or, on the kernel module's
 * device, the same memory given to an RDMA device.
 *
 * The library reads its lock level when it is opened, so there is a process for
 * each level, and one more that is "another process".  This one tells them
 * when: for each size, round after round, every process does a few calls of
 * each kind, by the library and by hand, so that what disturbs the machine
 * disturbs all alike.  Nothing runs beside the one whose turn it is.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/vip_lmm.h"
#include "tools/common.h"

#define HOLDER	    LEVELS /* the worker that is "another process" */
#define WORKERS	    (LEVELS + 1)
#define SECONDS	    130
#define QUICK	    5
#define MAX_CORE    4 /* files of rows to append */
#define MIN_ROUNDS  2
#define MAX_ROUNDS  250 /* more would only tell the same again */
#define MAX_SAMPLES (MAX_ROUNDS * TURN_MAX)

struct options {
	struct subject subject;
	const char *csv, *json, *core[MAX_CORE];
	unsigned int ncore;
	unsigned int seconds;
};

struct conductor {
	struct options o;
	struct results r;
	pid_t agent;
	pid_t pid[WORKERS];
	int sock[WORKERS];     /* -1: the level cannot be had */
	bool left_out[LEVELS]; /* a limit forbids the size, and all larger ones */
	uint32_t n[LEVELS][KINDS][WHATS];
	uint64_t ns[LEVELS][KINDS][WHATS][MAX_SAMPLES];
};

static struct conductor all;

static void usage(FILE *to)
{
	fprintf(to,
		"usage: %s [options]\n"
		"\n"
		"times VipRegisterMem and VipDeregisterMem for 4 KiB to 16 MiB of private memory\n"
		"and of a System V segment, at each lock level, beside what the kernel takes for\n"
		"the same locks and the agent for an empty request; with -d ka0 with and without the\n"
		"program's own mlock, beside ibv_reg_mr of the same memory\n"
		"\n"
		"  -d, --device NAME   emu0 (default) or ka0\n"
		"  -r, --rdma NAME     RDMA device beside ka0 (default rxe0)\n"
		"  -c, --csv FILE      write medians, 10%% and 90%% of all that was timed\n"
		"  -j, --json FILE     write comparisons, with their targets\n"
		"  -m, --core FILE     and append the rows of this JSON file, judging them too;\n"
		"                      up to %d of them\n"
		"  -t, --seconds N     how long, about (default %d)\n"
		"  -q, --quick         %d s: shows that it works, not how fast\n"
		"  -h, --help          this text\n"
		"  -V, --version       version\n"
		"\n"
		"takes real-time priority if it may; the agent and the process that registers share\n"
		"a processor, so that waking takes the same time each time\n"
		"\n"
		"exit status: 0 done, whether or not targets are met; 1 failure, 2 usage\n",
		PROGRAM, MAX_CORE, SECONDS, QUICK);
}

/* Returns 0 to go on, or the exit status + 1 to leave with. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"csv", required_argument, NULL, 'c'},	  {"json", required_argument, NULL, 'j'},
		{"device", required_argument, NULL, 'd'}, {"rdma", required_argument, NULL, 'r'},
		{"core", required_argument, NULL, 'm'},	  {"seconds", required_argument, NULL, 't'},
		{"quick", no_argument, NULL, 'q'},	  {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},	  {0},
	};
	const char *rdma = "rxe0";
	uint64_t number;
	int opt;

	o->subject.device = TOOL_DEVICE;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":c:d:j:m:r:t:qhV", longs, NULL)) != -1) {
		switch (opt) {
		case 'c':
			o->csv = optarg;
			break;
		case 'd':
			o->subject.device = optarg;
			break;
		case 'r':
			rdma = optarg;
			break;
		case 'j':
			o->json = optarg;
			break;
		case 'm':
			if (o->ncore == MAX_CORE)
				return 1 + tool_bad_usage(PROGRAM, "too many files of rows", optarg);
			o->core[o->ncore++] = optarg;
			break;
		case 't':
			if (!tool_parse_size(optarg, &number) || number < 1 || number > 3600)
				return 1 + tool_bad_usage(PROGRAM, "not a number of seconds from 1 to 3600",
							  optarg);
			o->seconds = (unsigned int)number;
			break;
		case 'q':
			o->seconds = QUICK;
			break;
		default:
			return 1 + tool_other_option(PROGRAM, opt, argv, usage);
		}
	}
	if (optind < argc)
		return 1 + tool_bad_usage(PROGRAM, "no argument is taken", argv[optind]);
	if (tool_module_of(o->subject.device))
		o->subject.rdma = rdma;
	else if (strcmp(o->subject.device, TOOL_DEVICE) != 0)
		return 1 + tool_bad_usage(PROGRAM, "not emu0 or ka0", o->subject.device);
	return 0;
}

/* ---- workers ---- */

static int complain(const char *what, const char *why)
{
	fprintf(stderr, PROGRAM ": %s: %s\n", what, why);
	return -1;
}

static int get_reply(int who, struct reply *reply)
{
	if (recv(all.sock[who], reply, sizeof(*reply), 0) == (ssize_t)sizeof(*reply))
		return 0;
	return complain("a worker has ended", who == HOLDER ? "the other process" : level_name[who]);
}

static int start_worker(int who, int cpu)
{
	int pair[2], level = who == HOLDER ? VIPX_LOCKED : who;
	static struct reply hello;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return complain("socketpair", strerror(errno));
	all.pid[who] = fork();
	if (all.pid[who] < 0)
		return complain("fork", strerror(errno));
	if (all.pid[who] == 0) {
		/* each ends when its socket is closed: none may keep another's open */
		close(pair[0]);
		for (int i = 0; i < WORKERS; i++) {
			if (all.sock[i] >= 0)
				close(all.sock[i]);
		}
		worker(pair[1], &all.o.subject, (enum vipx_level)level, cpu);
		_exit(EXIT_SUCCESS);
	}
	close(pair[1]);
	all.sock[who] = pair[0];
	if (get_reply(who, &hello))
		return -1;
	if (hello.agent)
		all.agent = hello.agent;
	if (hello.verdict == FAILED)
		return complain("a worker does not start", hello.text);
	if (hello.verdict == NO_ROOM) {
		complain("left out", hello.text);
		close(all.sock[who]);
		all.sock[who] = -1;
	}
	return 0;
}

static void end_workers(void)
{
	for (int i = 0; i < WORKERS; i++) {
		if (all.sock[i] >= 0)
			close(all.sock[i]);
	}
	for (int i = 0; i < WORKERS; i++) {
		if (all.pid[i] > 0)
			waitpid(all.pid[i], NULL, 0);
	}
}

/* The last processor of @set below @below; -1: none. */
static int choose_cpu(const cpu_set_t *set, int below)
{
	for (int cpu = below - 1; cpu >= 0; cpu--) {
		if (CPU_ISSET(cpu, set))
			return cpu;
	}
	return -1;
}

static int place_agent(int cpu)
{
	cpu_set_t set;

	if (all.o.subject.rdma)
		return 0; /* it is where they are */
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(all.agent, sizeof(set), &set)
		       ? complain("pinning the agent to a processor", strerror(errno))
		       : 0;
}

/* @cpu: where they run; @other: another processor, -1: there is none. */
static int start_workers(int *cpu, int *other)
{
	struct utsname name;
	char dir[4096];
	cpu_set_t set;

	if (!all.o.subject.rdma && VipxAgentRuns(dir, sizeof(dir)))
		return complain("an agent that others use would be moved; VIPL_AGENT_DIR names another place",
				dir);
	if (sched_getaffinity(0, sizeof(set), &set))
		return complain("sched_getaffinity", strerror(errno));
	*cpu = choose_cpu(&set, CPU_SETSIZE);
	*other = choose_cpu(&set, *cpu);
	for (int who = 0; who < WORKERS; who++) {
		if (all.o.subject.rdma && who == VIPX_PINNED)
			continue;
		if (start_worker(who, *cpu))
			return -1;
	}
	uname(&name);
	snprintf(all.r.method, sizeof(all.r.method), "Linux %.60s, %d processors, %s", name.release,
		 CPU_COUNT(&set),
		 sched_getscheduler(all.pid[0]) == SCHED_FIFO ? "real-time priority"
							      : "no real-time priority");
	return 0;
}

/* ---- turns ---- */

static int command(int who, const struct command *c, struct reply *reply)
{
	if (send(all.sock[who], c, sizeof(*c), MSG_NOSIGNAL) != (ssize_t)sizeof(*c))
		return complain("a worker has ended", strerror(errno));
	if (get_reply(who, reply))
		return -1;
	return reply->verdict == FAILED ? complain("a measurement failed", reply->text) : 0;
}

static bool belongs(enum order order, enum vipx_level level, enum what what)
{
	if (order == OURS)
		return what < LOCK && (what != CACHED || !all.o.subject.rdma);
	if (all.o.subject.rdma)
		return what >= LOCK && what != TRIP && (level == VIPX_LOCKED || what == PIN || what == UNPIN);
	return what >= LOCK && (level == VIPX_PINNED || (what != PIN && what != UNPIN));
}

static int turn(enum vipx_level level, enum kind kind, uint64_t bytes, enum order order)
{
	struct command c = {.order = order, .kind = kind, .bytes = bytes};
	static struct reply reply;
	char size[TOOL_BYTES_TEXT];

	c.calls = bytes <= 256u << 10 ? 8 : bytes <= 2u << 20 ? 4 : 2;
	if (all.left_out[level])
		return 0;
	if (command((int)level, &c, &reply))
		return -1;
	if (reply.verdict == NO_ROOM) {
		all.left_out[level] = true;
		fprintf(stderr, PROGRAM ": from %s on, left out: %s\n", tool_bytes_text(bytes, size),
			reply.text);
		return 0;
	}
	for (enum what what = 0; what < WHATS; what++) {
		uint32_t *n = &all.n[level][kind][what];

		for (uint32_t i = 0; i < c.calls && belongs(order, level, what) && *n < MAX_SAMPLES; i++)
			all.ns[level][kind][what][(*n)++] = reply.ns[what][i];
	}
	return 0;
}

/* The order changes from round to round: nobody always comes after the same one. */
static int turns(uint32_t round, enum kind from, enum kind to, uint64_t bytes)
{
	enum order first = round % 2 ? OURS : BARE, second = round % 2 ? BARE : OURS;

	for (uint32_t i = 0; i < LEVELS; i++) {
		enum vipx_level level = (enum vipx_level)((i + round) % LEVELS);

		for (enum kind kind = from; kind <= to && all.sock[level] >= 0; kind++) {
			if (turn(level, kind, bytes, first) || turn(level, kind, bytes, second))
				return -1;
		}
	}
	return 0;
}

static int one_round(uint32_t round, uint64_t bytes)
{
	const struct command hold = {.order = HOLD}, release = {.order = RELEASE};
	static struct reply reply;

	if (turns(round, PRIVATE, FIRST, bytes) || turns(round, FURTHER, FURTHER, bytes))
		return -1;
	if (all.sock[HOLDER] < 0)
		return 0;
	if (command(HOLDER, &hold, &reply))
		return -1;
	if (reply.verdict == NO_ROOM) {
		complain("the other process, left out", reply.text);
		close(all.sock[HOLDER]);
		all.sock[HOLDER] = -1;
		return 0;
	}
	return turns(round, OTHER, OTHER, bytes) || command(HOLDER, &release, &reply) ? -1 : 0;
}

/* ---- sizes ---- */

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Microseconds at the place @tenths of the @n sorted times. */
static double at(const uint64_t *ns, uint32_t n, uint32_t tenths)
{
	uint32_t place = (n - 1) * tenths / 10;

	return (double)ns[place] / 1000;
}

static struct stat_us digest(uint64_t *ns, uint32_t n)
{
	if (!n)
		return (struct stat_us){0};
	qsort(ns, n, sizeof(*ns), ascending);
	return (struct stat_us){.n = n, .median = at(ns, n, 5), .p10 = at(ns, n, 1), .p90 = at(ns, n, 9)};
}

/* All have the segment before its name is removed: it goes with us, however we end. */
static int have_areas(uint64_t bytes)
{
	struct command c = {.order = AREA, .bytes = bytes};
	static struct reply reply;
	int err = 0;

	c.shmid = shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600);
	if (c.shmid < 0)
		return complain("no System V segment", strerror(errno));
	for (int i = 0; i < WORKERS && !err; i++)
		err = all.sock[i] < 0 ? 0 : command(i, &c, &reply);
	shmctl(c.shmid, IPC_RMID, NULL);
	return err;
}

static void progress(uint64_t bytes, uint32_t round, uint64_t left_ns)
{
	char size[TOOL_BYTES_TEXT];

	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K  %s, round %" PRIu32 ", %d s left", tool_bytes_text(bytes, size),
			round, (int)(left_ns / 1000000000));
}

/* @slot: where the results go; @until: when to begin no other round. */
static int measure_size(uint32_t slot, uint64_t bytes, uint64_t until, uint64_t end)
{
	uint64_t now = tool_now_ns();

	memset(all.n, 0, sizeof(all.n));
	if (have_areas(bytes))
		return -1;
	for (uint32_t round = 0; round < MIN_ROUNDS || (round < MAX_ROUNDS && now < until); round++) {
		progress(bytes, round, now < end ? end - now : 0);
		if (one_round(round, bytes))
			return -1;
		now = tool_now_ns();
	}
	for (int level = 0; level < LEVELS; level++) {
		for (int kind = 0; kind < KINDS; kind++) {
			for (int what = 0; what < WHATS; what++)
				all.r.at[slot][level][kind][what] =
					digest(all.ns[level][kind][what], all.n[level][kind][what]);
		}
	}
	all.r.bytes[slot] = bytes;
	return 0;
}

/*
 * The agent runs where the workers do: waking it is a switch of processes then,
 * and takes the same time each time.  Waking another processor takes longer,
 * how long depends on how deep it sleeps; how much, the last measurement tells.
 */
static int measure(void)
{
	uint64_t now = tool_now_ns(), end = now + all.o.seconds * 1000000000ull;
	int cpu, other, err = start_workers(&cpu, &other);

	if (!err)
		err = place_agent(cpu);
	/* What a small size does not use of its share of the time, the larger ones get. */
	for (uint32_t i = 0; i < SIZES && !err; i++) {
		now = tool_now_ns();
		err = measure_size(i, (uint64_t)MIN_BYTES << i,
				   now < end ? now + (end - now) / (ELSEWHERE + 1 - i) : now, end);
		all.r.sizes = i + 1;
	}
	if (!err && other >= 0 && !all.o.subject.rdma) {
		memset(all.left_out, 0, sizeof(all.left_out));
		err = place_agent(other);
		if (!err)
			err = measure_size(ELSEWHERE, MIN_BYTES, end, end);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	end_workers();
	return err;
}

static int run(int argc, char **argv)
{
	int err;

	tool_quiet_library();
	all.o.seconds = SECONDS;
	err = parse_options(argc, argv, &all.o);
	if (err)
		return err - 1;
	all.r.subject = all.o.subject;
	for (int i = 0; i < WORKERS; i++)
		all.sock[i] = -1;
	if (measure())
		return EXIT_FAILURE;
	table_print(&all.r);
	if (all.o.csv && table_csv(&all.r, all.o.csv)) {
		complain(all.o.csv, strerror(errno));
		return EXIT_FAILURE;
	}
	return rows_write(&all.r, all.o.json, all.o.core, all.o.ncore) ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	return tool_finish(PROGRAM, run(argc, argv));
}
