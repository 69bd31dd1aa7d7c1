/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_options.c - the command line.  One table has each option with the tests
 * that take it, for parsing and for --help.
 */
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tools/perf.h"

#define T(test)	 (1u << PERF_##test)
#define RDMA	 (T(WRITE_LAT) | T(WRITE_BW) | T(READ_LAT) | T(READ_BW))
#define BURSTS	 (T(BW) | T(RATE) | T(WRITE_BW) | T(READ_BW))
#define LATS	 (T(LAT) | T(WRITE_LAT) | T(READ_LAT))
#define TRANSFER (LATS | BURSTS)
#define DATA	 (TRANSFER | T(OVERLAP))
#define ALL	 (DATA | T(MULTICAST) | T(COST))

#define ALL_MAX	   (4u << 20) /* "-s all" */
#define MAX_TIME   3600
#define COST_BYTES 64 /* of a message that is never sent */

static const struct {
	const char *name, *about;
	const char *unit; /* of its rows */
	uint64_t bytes, warmup;
} tests[PERF_TESTS] = {
	[PERF_LAT] = {"lat", "half a round trip of a message", "us", 64, 100},
	[PERF_BW] = {"bw", "bandwidth of messages, until the last is acknowledged", "MB/s", 65536, 100},
	[PERF_RATE] = {"rate", "messages in a second", "msg/s", 8, 100},
	[PERF_WRITE_LAT] = {"write-lat", "half a round trip of RDMA writes, the target's last byte polled",
			    "us", 64, 100},
	[PERF_WRITE_BW] = {"write-bw", "bandwidth of RDMA writes, until the target answers", "MB/s", 65536,
			   100},
	[PERF_READ_LAT] = {"read-lat", "an RDMA read", "us", 64, 100},
	[PERF_READ_BW] = {"read-bw", "bandwidth of RDMA reads", "MB/s", 65536, 100},
	[PERF_OVERLAP] = {"overlap", "how much of a transfer computing hides", "us and %", 1u << 20, 20},
	[PERF_MULTICAST] = {"multicast", "one sender, until all receivers have seen the data", "us", 4096,
			    20},
	[PERF_COST] = {"cost", "open, create, connect, register, and their opposites", "us", 0, 3},
};

static const uint64_t cost_sizes[] = {4096, 65536, 1u << 20, 4u << 20};

const char *const perf_test_name[PERF_TESTS] = {"lat",	    "bw",      "rate",	  "write-lat", "write-bw",
						"read-lat", "read-bw", "overlap", "multicast", "cost"};

/* Above all letters: what has no short name. */
enum {
	O_TIME = 256,
	O_WARMUP,
	O_SEGS,
	O_VIS,
	O_IDLE,
	O_CQ,
	O_WAIT,
	O_PAUSE,
	O_BUFFERS,
	O_MEMORY,
	O_LEVEL,
	O_WINDOW,
	O_RECEIVERS,
	O_EACH,
	O_CHECK,
	O_CPUS,
	O_SERVER,
	O_CSV,
	O_JSON,
};

static const struct {
	int val;
	unsigned int tests;
	const char *name; /* NULL: a letter alone */
	const char *arg;
	const char *help;
} options[] = {
	{'d', ALL, "device", "NAME", "NIC (default " TOOL_DEVICE ")"},
	{'s', ALL, NULL, "SIZE,...|all", "bytes, k and m allowed; all: 1, 2, 4 .. 4m"},
	{'n', ALL, NULL, "COUNT", "messages for a row (default: as many as fit in --time)"},
	{O_TIME, ALL, "time", "SECONDS", "for a row, about (default 0.3)"},
	{O_WARMUP, ALL, "warmup", "N", "messages before that are not timed (default: some)"},
	{O_SEGS, TRANSFER | T(OVERLAP), "segs", "N", "data segments of a descriptor (default 1)"},
	{O_VIS, TRANSFER, "vis", "N", "VIs, used in turn (default 1)"},
	{O_IDLE, DATA, "idle", "N", "more VIs, connected, with a receive posted, never used"},
	{O_CQ, DATA, "cq", NULL, "completions through a completion queue"},
	{O_WAIT, DATA | T(MULTICAST), "wait", NULL, "sleep until something completes; else poll"},
	{O_PAUSE, T(LAT), "pause", "US", "with --wait: answer so much later, and tell the waking"},
	{O_BUFFERS, DATA, "buffers", "N", "use so many buffers in turn (default 1)"},
	{O_MEMORY, ALL, "memory", "KIND", "segment, memfd, shm or private"},
	{O_LEVEL, DATA | T(MULTICAST), "level", "LEVEL", "unreliable, delivery (default) or reception"},
	{O_WINDOW, BURSTS, "window", "N", "messages under way (default 64)"},
	{O_RECEIVERS, T(MULTICAST), "receivers", "N", "processes that receive (default 2)"},
	{O_EACH, T(MULTICAST), "each", NULL, "a connection and a transfer for each receiver"},
	{O_CHECK, TRANSFER | T(MULTICAST), "check", NULL, "verify contents, beside the timing"},
	{O_CPUS, ALL, "cpus", "A,B,...", "processors of the client and of the others"},
	{O_SERVER, ALL, "server", NULL, "be the server; the client has the options"},
	{O_CSV, ALL, "csv", NULL, "results as CSV"},
	{O_JSON, ALL, "json", NULL, "results as a JSON array"},
	{'q', ALL, NULL, NULL, "no progress, no notes"},
	{'h', ALL, "help", NULL, "this text"},
	{'V', ALL, "version", NULL, "version"},
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* ---- help ---- */

static void list_options(FILE *to, unsigned int mask)
{
	for (size_t i = 0; i < OPTIONS; i++) {
		char left[64] = "", letter[8] = "    ";

		if (!(options[i].tests & mask))
			continue;
		if (options[i].val < 256)
			snprintf(letter, sizeof(letter), "-%c%s", options[i].val,
				 options[i].name ? ", " : "");
		snprintf(left, sizeof(left), "%s%s%s%s%s", letter, options[i].name ? "--" : "",
			 options[i].name ? options[i].name : "", options[i].arg ? " " : "",
			 options[i].arg ? options[i].arg : "");
		fprintf(to, "  %-22s %s\n", left, options[i].help);
	}
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: " PERF
		" TEST [options]        both ends, each in a process on a processor of its own\n"
		"       " PERF " TEST --server         the server: waits for a client\n"
		"       " PERF " TEST [options] HOST   the client; HOST is localhost for " TOOL_DEVICE "\n"
		"\n");
	for (int i = 0; i < PERF_TESTS; i++)
		fprintf(to, "  %-10s %s (%s)\n", tests[i].name, tests[i].about, tests[i].unit);
	fputs("\noptions; " PERF " TEST --help lists those of a test\n", to);
	list_options(to, ALL);
	fputs("\nexit status: 0 done, 1 failure or data mismatch, 2 usage\n", to);
}

static void test_usage(enum perf_test test)
{
	printf("usage: " PERF " %s [options] [HOST | --server]\n\n%s (%s)\n\n", tests[test].name,
	       tests[test].about, tests[test].unit);
	list_options(stdout, 1u << test);
}

/* ---- parsing ---- */

static int bad(const char *what, const char *value)
{
	return 1 + tool_bad_usage(PERF, what, value);
}

/* Returns 0, or the exit status + 1. */
static int number(const char *option, uint64_t least, uint64_t most, uint64_t *value)
{
	char what[96];

	if (tool_parse_size(optarg, value) && *value >= least && *value <= most)
		return 0;
	snprintf(what, sizeof(what), "%s takes a number from %llu to %llu", option, (unsigned long long)least,
		 (unsigned long long)most);
	return bad(what, optarg);
}

static int number32(const char *option, uint32_t least, uint32_t most, uint32_t *value)
{
	uint64_t wide;
	int err = number(option, least, most, &wide);

	if (!err)
		*value = (uint32_t)wide;
	return err;
}

static int parse_sizes(struct perf_options *o)
{
	char *list = optarg, *save, *word;
	uint64_t most = o->plan.test == PERF_COST ? 1u << 30 : UINT32_MAX;

	o->all = strcmp(optarg, "all") == 0;
	o->nsizes = 0;
	if (o->all)
		return 0;
	for (word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (o->nsizes == PERF_MAX_SIZES)
			return bad("more than 32 sizes", word);
		if (!tool_parse_size(word, &o->sizes[o->nsizes]) || o->sizes[o->nsizes] > most)
			return bad("not a size", word);
		o->nsizes++;
	}
	return o->nsizes ? 0 : bad("-s takes sizes", "none is given");
}

static int parse_seconds(struct perf_options *o)
{
	char *end;

	o->seconds = strtod(optarg, &end);
	if (end == optarg || *end || !(o->seconds > 0) || o->seconds > MAX_TIME)
		return bad("--time takes seconds, more than 0, at most 3600", optarg);
	return 0;
}

static int parse_memory(struct perf_options *o)
{
	for (uint32_t kind = 0; kind < PERF_KINDS; kind++) {
		if (strcmp(optarg, perf_kind_name[kind]) == 0) {
			o->plan.memory = kind;
			o->memory_given = true;
			return 0;
		}
	}
	return bad("--memory takes segment, memfd, shm or private", optarg);
}

static int parse_cpus(struct perf_options *o)
{
	char *save, *word;
	cpu_set_t allowed;
	uint64_t cpu;

	CPU_ZERO(&allowed);
	sched_getaffinity(0, sizeof(allowed), &allowed);
	o->plan.ncpus = 0;
	for (word = strtok_r(optarg, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (o->plan.ncpus == PERF_MAX_CPUS)
			return bad("more than 32 processors", word);
		if (!tool_parse_size(word, &cpu) || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &allowed))
			return bad("not a processor that this process may use", word);
		o->plan.cpu[o->plan.ncpus++] = (int32_t)cpu;
	}
	return o->plan.ncpus ? 0 : bad("--cpus takes processors", "none is given");
}

static int parse_level(struct perf_options *o)
{
	VIP_RELIABILITY_LEVEL level;

	if (!tool_parse_level(optarg, &level))
		return bad("not a reliability level", optarg);
	o->plan.level = level;
	return 0;
}

static int parse_numeric(int opt, struct perf_options *o)
{
	struct perf_plan *p = &o->plan;

	switch (opt) {
	case 'n':
		return number("-n", 1, PERF_MAX_COUNT, &o->count);
	case O_WARMUP:
		o->warmup_given = true;
		return number("--warmup", 0, PERF_MAX_COUNT, &o->warmup);
	case O_SEGS:
		return number32("--segs", 1, PERF_MAX_SEGS, &p->segs);
	case O_VIS:
		return number32("--vis", 1, PERF_MAX_VIS, &p->vis);
	case O_IDLE:
		return number32("--idle", 0, PERF_MAX_VIS, &p->idle);
	case O_PAUSE:
		return number32("--pause", 1, 1000000, &p->pause_us);
	case O_BUFFERS:
		return number32("--buffers", 1, PERF_MAX_BUFFERS, &p->buffers);
	case O_WINDOW:
		return number32("--window", 1, PERF_MAX_WINDOW, &p->window);
	default:
		return number32("--receivers", 1, PERF_MAX_RECEIVERS, &p->receivers);
	}
}

static int parse_one(int opt, struct perf_options *o)
{
	switch (opt) {
	case 's':
		return parse_sizes(o);
	case O_TIME:
		return parse_seconds(o);
	case O_MEMORY:
		return parse_memory(o);
	case O_LEVEL:
		return parse_level(o);
	case O_CPUS:
		return parse_cpus(o);
	case O_CQ:
		o->plan.cq = 1;
		return 0;
	case O_WAIT:
		o->plan.wait = 1;
		return 0;
	case O_EACH:
		o->plan.each = 1;
		return 0;
	case O_CHECK:
		o->plan.check = 1;
		return 0;
	case O_SERVER:
		o->server = true;
		return 0;
	case 'd':
		o->device = optarg;
		return 0;
	case O_CSV:
		o->csv = true;
		return 0;
	case O_JSON:
		o->json = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	default:
		return parse_numeric(opt, o);
	}
}

/* ---- what is right by itself, but not together ---- */

static int check_sizes(struct perf_options *o)
{
	const struct perf_plan *p = &o->plan;
	bool may_be_empty = p->segs == 1 && ((1u << p->test) & (T(LAT) | T(BW) | T(RATE)));
	uint64_t least = may_be_empty ? 0 : p->segs;

	if (o->all) {
		for (uint64_t bytes = 1; bytes <= ALL_MAX; bytes *= 2) {
			if (bytes >= least)
				o->sizes[o->nsizes++] = bytes;
		}
	} else if (!o->nsizes && p->test == PERF_COST) {
		memcpy(o->sizes, cost_sizes, sizeof(cost_sizes));
		o->nsizes = sizeof(cost_sizes) / sizeof(cost_sizes[0]);
	} else if (!o->nsizes) {
		o->sizes[o->nsizes++] = tests[p->test].bytes > least ? tests[p->test].bytes : least;
	}
	for (uint32_t i = 0; i < o->nsizes; i++) {
		char what[80];

		if (o->sizes[i] >= least)
			continue;
		snprintf(what, sizeof(what), "%s with %u segments needs messages of %llu bytes at least",
			 tests[p->test].name, p->segs, (unsigned long long)least);
		return bad(what, NULL);
	}
	return 0;
}

static int check_together(struct perf_options *o)
{
	struct perf_plan *p = &o->plan;

	if (o->server && o->host)
		return bad("--server takes no host", o->host);
	if (o->csv && o->json)
		return bad("--csv or --json", "not both");
	if (o->count > PERF_MAX_TIMES && p->test >= PERF_OVERLAP)
		return bad("-n: 100000 at most for this test", NULL);
	if (p->pause_us && !p->wait)
		return bad("--pause needs --wait", NULL);
	if (p->check && ((1u << p->test) & BURSTS) && p->buffers < p->vis)
		return bad("--check needs as many --buffers as there are VIs: a buffer that is used again at "
			   "once cannot be looked at",
			   NULL);
	if (p->test == PERF_MULTICAST) {
		if (!o->memory_given)
			p->memory = PERF_SEGMENT;
		if (!p->each && p->memory == PERF_PRIVATE)
			return bad("private memory is seen by one process only: multicast needs another "
				   "--memory, or --each",
				   NULL);
		p->vis = p->each ? p->receivers : 1;
	}
	if (!p->ncpus)
		p->ncpus = (uint32_t)tool_processors(p->cpu, p->test == PERF_MULTICAST ? PERF_MAX_CPUS : 2);
	if (!o->warmup_given)
		o->warmup = p->pause_us ? 2 : tests[p->test].warmup;
	return check_sizes(o);
}

static void finish_plan(struct perf_options *o)
{
	o->plan.max_bytes = COST_BYTES;
	for (uint32_t i = 0; i < o->nsizes && o->plan.test != PERF_COST; i++) {
		if (i == 0 || o->sizes[i] > o->plan.max_bytes)
			o->plan.max_bytes = (uint32_t)o->sizes[i];
	}
}

/* ---- the command line ---- */

/* getopt's tables, of all options: what a test does not take it says itself. */
static void getopt_tables(struct option longs[OPTIONS + 1], char letters[2 * OPTIONS + 2])
{
	char *letter = letters;
	size_t n = 0;

	*letter++ = ':';
	for (size_t i = 0; i < OPTIONS; i++) {
		if (options[i].name)
			longs[n++] = (struct option){options[i].name,
						     options[i].arg ? required_argument : no_argument, NULL,
						     options[i].val};
		if (options[i].val < 256) {
			*letter++ = (char)options[i].val;
			if (options[i].arg)
				*letter++ = ':';
		}
	}
	*letter = 0;
	longs[n] = (struct option){0};
}

/* Does the test take it?  Nor does a server take what the client tells. */
static int check_taken(int opt, const struct perf_options *o, bool *others)
{
	char what[96];

	for (size_t i = 0; i < OPTIONS; i++) {
		if (options[i].val != opt || (options[i].tests & (1u << o->plan.test)))
			continue;
		snprintf(what, sizeof(what), "%s takes no --%s", tests[o->plan.test].name, options[i].name);
		return bad(what, NULL);
	}
	*others |= opt != O_SERVER && opt != 'q' && opt != 'd';
	return 0;
}

static int parse_options(int argc, char **argv, struct perf_options *o)
{
	struct option longs[OPTIONS + 1];
	char letters[2 * OPTIONS + 2];
	bool others = false;
	int opt, err;

	getopt_tables(longs, letters);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (opt == 'h') {
			test_usage((enum perf_test)o->plan.test);
			return 1 + EXIT_SUCCESS;
		}
		if (opt == 'V' || opt == ':' || opt == '?')
			return 1 + tool_other_option(PERF, opt, argv, usage);
		err = check_taken(opt, o, &others);
		if (!err)
			err = parse_one(opt, o);
		if (err)
			return err;
	}
	if (optind < argc)
		o->host = argv[optind++];
	if (optind < argc)
		return bad("one host at most", argv[optind]);
	if (o->server && others)
		return bad("--server takes no other options: the client has them", NULL);
	return 0;
}

int perf_parse(int argc, char **argv, struct perf_options *o)
{
	int err;

	*o = (struct perf_options){
		.device = TOOL_DEVICE,
		.plan = {.test = PERF_TESTS,
			 .memory = PERF_PRIVATE,
			 .level = VIP_SERVICE_RELIABLE_DELIVERY,
			 .segs = 1,
			 .vis = 1,
			 .buffers = 1,
			 .window = 64,
			 .receivers = 1},
		.seconds = 0.3,
	};
	if (argc < 2)
		return bad("which test", NULL);
	for (uint32_t i = 0; i < PERF_TESTS; i++) {
		if (strcmp(argv[1], tests[i].name) == 0)
			o->plan.test = i;
	}
	if (o->plan.test == PERF_TESTS) {
		if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
			return 1 + tool_other_option(PERF, 'h', argv, usage);
		if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0)
			return 1 + tool_other_option(PERF, 'V', argv, usage);
		return bad("no such test", argv[1]);
	}
	if (o->plan.test == PERF_MULTICAST)
		o->plan.receivers = 2;
	err = parse_options(argc - 1, argv + 1, o);
	if (!err)
		err = check_together(o);
	if (!err)
		finish_plan(o);
	return err;
}
