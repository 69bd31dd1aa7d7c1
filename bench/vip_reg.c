/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_reg - the time of VipRegisterMem and VipDeregisterMem, for private
 * memory and for a System V segment, beside a bare mlock and munlock of the
 * same bytes: the kernel's own part.
 *
 * The two are measured in turn, so that what disturbs one disturbs the other.
 * All memory has been touched before: no page is made while the clock runs.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>

#include "tools/common.h"

#define PROGRAM	  "vip_reg"
#define WARM_UP	  20 /* iterations that are not measured */
#define MIN_BYTES (4u << 10)
#define MAX_BYTES (16u << 20)
#define MAX_SIZES 16
#define MAX_ITERS 1000000

enum memory {
	PRIVATE,
	SEGMENT_FIRST,	 /* nothing of the segment is registered: it is locked and unlocked as a whole */
	SEGMENT_FURTHER, /* another registration holds the segment locked */
	MEMORY_KINDS
};

static const char *const memory_name[MEMORY_KINDS] = {"private", "segment", "segment, held"};
static const char *const memory_key[MEMORY_KINDS] = {"private", "segment_first", "segment_further"};

/* What is timed. */
enum part { REGISTER, DEREGISTER, BOTH, BARE, PARTS };

struct options {
	bool json;
	uint32_t iters;
	uint32_t nsizes;
	uint32_t sizes[MAX_SIZES];
};

struct bench {
	struct vnic n;
	uint32_t iters;
	uint64_t *ns[PARTS]; /* iters times each */
	json_t *rows;	     /* NULL: text */
	json_t *left_out;    /* sizes, for JSON */
	bool headed;
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: %s [options]\n"
		"\n"
		"times VipRegisterMem and VipDeregisterMem, in microseconds, of\n"
		"  private        private memory\n"
		"  segment        a System V segment of which nothing else is registered\n"
		"  segment, held  the same while another registration holds the segment\n"
		"beside a bare mlock and munlock of the same bytes, which were not locked\n"
		"\n"
		"  -s, --size BYTES  %u to %u, k and m allowed; several -s, or all\n"
		"                    for powers of four (default 4k and 16m)\n"
		"  -n, --iters N     measured calls of each kind and size (default 200)\n"
		"  -j, --json        results as one JSON object\n"
		"  -h, --help        this text\n"
		"  -V, --version     version\n"
		"\n"
		"a size that RLIMIT_MEMLOCK does not allow is left out\n"
		"exit status: 0 done, 1 failure, 2 usage\n",
		PROGRAM, MIN_BYTES, MAX_BYTES);
}

static bool add_size(struct options *o, const char *text)
{
	uint64_t number;

	if (strcmp(text, "all") == 0) {
		o->nsizes = 0;
		for (uint32_t bytes = MIN_BYTES; bytes <= MAX_BYTES; bytes *= 4)
			o->sizes[o->nsizes++] = bytes;
		return true;
	}
	if (!tool_parse_size(text, &number) || number < MIN_BYTES || number > MAX_BYTES ||
	    o->nsizes == MAX_SIZES)
		return false;
	o->sizes[o->nsizes++] = (uint32_t)number;
	return true;
}

/* Returns 0 to go on, or the exit status + 1 to leave with. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"size", required_argument, NULL, 's'}, {"iters", required_argument, NULL, 'n'},
		{"json", no_argument, NULL, 'j'},	{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},	{0},
	};
	uint64_t number;
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":s:n:jhV", longs, NULL)) != -1) {
		switch (opt) {
		case 's':
			if (!add_size(o, optarg))
				return 1 + tool_bad_usage(PROGRAM,
							  "not a size from 4k to 16m, or more than 16 sizes",
							  optarg);
			break;
		case 'n':
			if (!tool_parse_size(optarg, &number) || number < 1 || number > MAX_ITERS)
				return 1 + tool_bad_usage(PROGRAM, "not a number of calls from 1 to 1000000",
							  optarg);
			o->iters = (uint32_t)number;
			break;
		case 'j':
			o->json = true;
			break;
		case 'h':
			usage(stdout);
			return 1;
		case 'V':
			puts(PROGRAM " (softvia) " TOOL_VERSION);
			return 1;
		default:
			return 1 + tool_bad_option(PROGRAM, opt, argv);
		}
	}
	if (optind < argc)
		return 1 + tool_bad_usage(PROGRAM, "no argument is taken", argv[optind]);
	if (o->nsizes == 0) {
		o->sizes[o->nsizes++] = MIN_BYTES;
		o->sizes[o->nsizes++] = MAX_BYTES;
	}
	return 0;
}

/* ---- results ---- */

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Microseconds at the place @hundredths of the sorted times. */
static double at(const struct bench *b, enum part part, unsigned int hundredths)
{
	uint64_t place = (uint64_t)(b->iters - 1) * hundredths / 100;

	return (double)b->ns[part][place] / 1000.0;
}

static json_t *times(const struct bench *b, enum part part)
{
	return json_pack("{s:f, s:f, s:f}", "min_us", at(b, part, 0), "median_us", at(b, part, 50), "p99_us",
			 at(b, part, 99));
}

static void show(struct bench *b, enum memory memory, uint32_t bytes)
{
	double ratio;

	for (int part = 0; part < PARTS; part++)
		qsort(b->ns[part], b->iters, sizeof(*b->ns[part]), ascending);
	ratio = at(b, BARE, 50) > 0 ? at(b, BOTH, 50) / at(b, BARE, 50) : 0;
	if (b->rows) {
		json_array_append_new(b->rows, json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:f}", "memory",
							 memory_key[memory], "bytes", (json_int_t)bytes,
							 "register", times(b, REGISTER), "deregister",
							 times(b, DEREGISTER), "both", times(b, BOTH), "bare",
							 times(b, BARE), "ratio", ratio));
		return;
	}
	if (!b->headed) {
		printf("%24s %29s %29s %9s %9s\n", "", "register, usec", "deregister, usec", "both", "bare");
		printf("%-14s %9s %9s %9s %9s %9s %9s %9s %9s %9s %6s\n", "memory", "bytes", "min", "median",
		       "99%", "min", "median", "99%", "median", "median", "ratio");
		b->headed = true;
	}
	printf("%-14s %9" PRIu32 " %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f %6.2f\n",
	       memory_name[memory], bytes, at(b, REGISTER, 0), at(b, REGISTER, 50), at(b, REGISTER, 99),
	       at(b, DEREGISTER, 0), at(b, DEREGISTER, 50), at(b, DEREGISTER, 99), at(b, BOTH, 50),
	       at(b, BARE, 50), ratio);
	fflush(stdout);
}

/* ---- one size ---- */

/* A bare lock and unlock.  @held: the area is locked, and shall be so afterwards. */
static int bare_once(struct bench *b, void *area, size_t bytes, bool held, uint64_t *ns)
{
	uint64_t start;

	if (held && munlock(area, bytes))
		return vnic_fault(&b->n, "munlock: %s", strerror(errno));
	start = tool_now_ns();
	if (mlock(area, bytes) || munlock(area, bytes))
		return vnic_fault(&b->n, "mlock, munlock: %s", strerror(errno));
	*ns = tool_now_ns() - start;
	if (held && mlock(area, bytes))
		return vnic_fault(&b->n, "mlock: %s", strerror(errno));
	return 0;
}

static int register_once(struct bench *b, void *area, size_t bytes, uint64_t ns[PARTS])
{
	uint64_t start = tool_now_ns(), registered, end;
	VIP_MEM_HANDLE handle;
	VIP_RETURN rc;

	if (vnic_register(&b->n, area, bytes, &handle))
		return -1;
	registered = tool_now_ns();
	rc = VipDeregisterMem(b->n.nic, area, handle);
	end = tool_now_ns();
	if (rc != VIP_SUCCESS)
		return vnic_failed(&b->n, "VipDeregisterMem", rc);
	ns[REGISTER] = registered - start;
	ns[DEREGISTER] = end - registered;
	ns[BOTH] = end - start;
	return 0;
}

static int measure(struct bench *b, enum memory memory, void *area, uint32_t bytes)
{
	bool held = memory == SEGMENT_FURTHER;
	VIP_MEM_HANDLE holder;
	uint64_t ns[PARTS];
	int err = 0;

	/* one byte holds all of the segment */
	if (held && vnic_register(&b->n, area, 1, &holder))
		return -1;
	for (uint32_t i = 0; i < WARM_UP + b->iters && !err; i++) {
		err = bare_once(b, area, bytes, held, &ns[BARE]);
		if (!err)
			err = register_once(b, area, bytes, ns);
		for (int part = 0; part < PARTS && i >= WARM_UP && !err; part++)
			b->ns[part][i - WARM_UP] = ns[part];
	}
	if (held)
		VipDeregisterMem(b->n.nic, area, holder);
	if (!err)
		show(b, memory, bytes);
	return err;
}

/* Does the limit on locked memory leave room for @area?  If not, say so. */
static bool fits(struct bench *b, void *area, uint32_t bytes)
{
	struct rlimit limit;

	if (mlock(area, bytes) == 0) {
		munlock(area, bytes);
		return true;
	}
	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return true; /* another cause: the measurement will fail with it */
	fprintf(stderr,
		PROGRAM ": %" PRIu32 " bytes are left out: RLIMIT_MEMLOCK is %llu bytes; "
			"raise it with 'ulimit -l'\n",
		bytes, (unsigned long long)limit.rlim_cur);
	if (b->left_out)
		json_array_append_new(b->left_out, json_integer(bytes));
	return false;
}

/* @fit: does the limit allow the size? */
static int measure_private(struct bench *b, uint32_t bytes, bool *fit)
{
	void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err = 0;

	if (area == MAP_FAILED)
		return vnic_fault(&b->n, "no %" PRIu32 " bytes of memory: %s", bytes, strerror(errno));
	memset(area, 1, bytes);
	*fit = fits(b, area, bytes);
	if (*fit)
		err = measure(b, PRIVATE, area, bytes);
	munmap(area, bytes);
	return err;
}

static int measure_segment(struct bench *b, uint32_t bytes)
{
	int id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600), err;
	void *area;

	if (id < 0)
		return vnic_fault(&b->n, "no System V segment of %" PRIu32 " bytes: %s", bytes,
				  strerror(errno));
	area = shmat(id, NULL, 0);
	err = errno;
	shmctl(id, IPC_RMID, NULL); /* it goes when it is detached, or with us */
	if (area == (void *)-1)	    /* NOLINT(performance-no-int-to-ptr) */
		return vnic_fault(&b->n, "shmat of %" PRIu32 " bytes: %s", bytes, strerror(err));
	memset(area, 1, bytes);
	err = measure(b, SEGMENT_FIRST, area, bytes);
	if (!err)
		err = measure(b, SEGMENT_FURTHER, area, bytes);
	shmdt(area);
	return err;
}

/* A table without rows where nothing fits is a result too. */
static int run(struct bench *b, const struct options *o)
{
	b->iters = o->iters;
	for (int part = 0; part < PARTS; part++) {
		b->ns[part] = calloc(o->iters, sizeof(*b->ns[part]));
		if (!b->ns[part])
			return vnic_fault(&b->n, "no memory for %" PRIu32 " times", o->iters);
	}
	for (uint32_t i = 0; i < o->nsizes; i++) {
		bool fit = false;

		if (measure_private(b, o->sizes[i], &fit) || (fit && measure_segment(b, o->sizes[i])))
			return -1;
	}
	return 0;
}

static int run_bench(int argc, char **argv)
{
	struct options o = {.iters = 200};
	struct bench b = {0};
	int err;

	tool_quiet_library();
	err = parse_options(argc, argv, &o);
	if (err)
		return err - 1;
	err = vnic_open(&b.n, TOOL_DEVICE);
	if (!err) {
		if (o.json) {
			b.rows = json_array();
			b.left_out = json_array();
		}
		err = run(&b, &o);
		vnic_close(&b.n);
	}
	if (!err && o.json) {
		json_t *all = json_pack("{s:I, s:O, s:O}", "iterations", (json_int_t)o.iters, "rows", b.rows,
					"left_out", b.left_out);

		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(all);
	}
	if (err)
		fprintf(stderr, PROGRAM ": %s\n", b.n.fault);
	json_decref(b.rows);
	json_decref(b.left_out);
	for (int part = 0; part < PARTS; part++)
		free(b.ns[part]);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	return tool_finish("vip_reg", run_bench(argc, argv));
}
