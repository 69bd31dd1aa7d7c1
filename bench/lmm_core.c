/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm_core - what the core costs alone, without a process, a kernel or an
 * agent: the time of the Locked Memory Manager among few and among a million
 * LMAs, the time of a check in the Translation and Protection Table, and the
 * memory of both.
 *
 * Times are medians of batches.  Few and many are measured in turn, so that
 * what disturbs one disturbs the other.  The host is one that always says yes:
 * all memory is private, and locking does nothing.
 *
 * Built with LMM_MERGE, and with a core built so, it measures the manager that
 * joins neighbouring LMAs.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lmm_core.h"

#define MAX_ROWS   24
#define MAX_ROUNDS 1000u

uint32_t rounds = 20;

void die(const char *what)
{
	fprintf(stderr, PROGRAM ": %s\n", what);
	exit(EXIT_FAILURE);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* splitmix64 */
uint32_t random_below(uint32_t n)
{
	static uint64_t state = 1;
	uint64_t z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)(((z ^ z >> 31) >> 32) * n >> 32);
}

/* The core's source of randomness, for the first generation of a table. */
uint32_t ka_host_random(void)
{
	return random_below(UINT32_MAX);
}

/* ---- results ---- */

static struct row {
	char name[120];
	const char *unit;
	double ours, baseline, target; /* baseline, target: 0: there is none */
} rows[MAX_ROWS];
static uint32_t nrows;

void add_row(const char *name, const char *unit, double ours, double baseline, double target)
{
	struct row *r = &rows[nrows++];

	if (nrows > MAX_ROWS)
		die("too many rows");
	snprintf(r->name, sizeof(r->name), "%s" VARIANT, name);
	r->unit = unit;
	r->ours = ours;
	r->baseline = baseline;
	r->target = target;
}

static void print_table(void)
{
	printf("%-58s %9s %9s %-5s %6s %6s\n", "", "ours", "baseline", "unit", "ratio", "target");
	for (uint32_t i = 0; i < nrows; i++) {
		const struct row *r = &rows[i];

		printf("%-58s %9.2f ", r->name, r->ours);
		if (r->baseline > 0)
			printf("%9.2f %-5s %6.2f", r->baseline, r->unit, r->ours / r->baseline);
		else
			printf("%9s %-5s %6s", "-", r->unit, "-");
		if (r->target > 0)
			printf(" %6.2f %s", r->target, r->ours / r->baseline <= r->target ? "met" : "MISSED");
		putchar('\n');
	}
}

static json_t *number_or_null(double value)
{
	return value > 0 ? json_real(value) : json_null();
}

static void print_json(void)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < nrows; i++) {
		const struct row *r = &rows[i];

		json_array_append_new(all,
				      json_pack("{s:s, s:s, s:f, s:o, s:s, s:o, s:o, s:b}", "bench", "lmm",
						"case", r->name, "ours", r->ours, "baseline",
						number_or_null(r->baseline), "unit", r->unit, "ratio",
						number_or_null(r->baseline > 0 ? r->ours / r->baseline : 0),
						"target", number_or_null(r->target), "higher_is_better", 0));
	}
	json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(all);
}

/* ---- samples ---- */

struct samples samples_new(void)
{
	struct samples s = {calloc((size_t)rounds * BATCHES, sizeof(*s.ns)), 0};

	if (!s.ns)
		die("no memory");
	return s;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double samples_median(struct samples *s)
{
	double ns;

	qsort(s->ns, s->n, sizeof(*s->ns), ascending);
	ns = s->ns[s->n / 2];
	free(s->ns);
	return ns;
}

/* ---- options ---- */

static void usage(FILE *to)
{
	fprintf(to,
		"usage: %s [options]\n"
		"\n"
		"times the Locked Memory Manager among few and among a million LMAs, and checks in\n"
		"the Translation and Protection Table, and counts the memory of both\n"
		"\n"
		"  -r, --rounds N  rounds of %u batches of each kind, 1 to %u (default %u)\n"
		"  -q, --quick     one round: shows that it works, not how fast\n"
		"  -j, --json      results as a JSON list\n"
		"  -h, --help      this text\n"
		"\n"
		"times are medians of batches, in ns for a call; memory is what the heap gives:\n"
		"an LMA's is the difference between areas that are an LMA each and as many that\n"
		"share one\n"
		"exit status: 0 done, whether or not targets are met; 1 failure, 2 usage\n",
		PROGRAM, BATCHES, MAX_ROUNDS, rounds);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"quick", no_argument, NULL, 'q'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	bool json = false;
	char *end;
	int opt;

	while ((opt = getopt_long(argc, argv, "r:qjh", longs, NULL)) != -1) {
		switch (opt) {
		case 'r':
			rounds = (uint32_t)strtoul(optarg, &end, 10);
			if (end == optarg || *end || rounds < 1 || rounds > MAX_ROUNDS) {
				fprintf(stderr, PROGRAM ": not a number of rounds from 1 to %u: %s\n",
					MAX_ROUNDS, optarg);
				return 2;
			}
			break;
		case 'q':
			rounds = 1;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return 2;
	}
	measure_lmm_memory();
	measure_lmm_times();
	measure_tpt();
	if (json)
		print_json();
	else
		print_table();
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, PROGRAM ": results cannot be written: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
