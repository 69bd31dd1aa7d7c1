/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* main.c - vip_conformance: the conformance suite as a program.  docs/conformance.md tells about it. */
#include "apart.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2
#define LEVELS	   3 /* reliability levels that there can be */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SLOWDOWN 5
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SLOWDOWN 5
#endif
#endif
#ifndef SLOWDOWN
#define SLOWDOWN 1
#endif

const struct check *const groups[] = {
	nic_checks,  memory_checks, vi_checks,	  cq_checks,	connect_checks, peer_checks,	 state_checks,
	send_checks, rdma_checks,   fault_checks, async_checks, robust_checks,	consumer_checks, NULL};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: vip_conformance [options] DEVICE\n"
		"Runs the checks of the VIPL conformance suite on DEVICE, such as emu0, one line each.\n"
		"\n"
		"  --list         show number, level and text of each check instead\n"
		"  --markdown     with --list: as a table of a Markdown page\n"
		"  --only LIST    these checks: 75-97,140\n"
		"  --level E|F|U  only those of the conformance level Early Adopter, or of Functional and\n"
		"                 Early Adopter; U: all (default)\n"
		"  --strict       expect what the specification says to the letter; VIPL_STRICT=1 is set\n"
		"  --seconds N    how long checks under load run (default 5); with 1 long counts are cut, "
		"too\n"
		"  --slowdown N   all may take N times as long, as under valgrind\n"
		"  --json         the results as one JSON document\n"
		"  --with HOST    only the checks of two processes; the other one is on HOST, where\n"
		"                 vip_conformance --serve DEVICE runs\n"
		"  --serve        run those for another host's --with, once; anybody who reaches the port\n"
		"                 can ask for checks\n"
		"  --port N       of TCP, for both (default " APART_PORT ")\n"
		"  -h, --help     this\n"
		"\n"
		"Exit status: 0 when none failed and one passed, 1 otherwise, 2 for wrong usage or a\n"
		"device that cannot be opened.\n");
}

static int bad_usage(const char *what, const char *value)
{
	fprintf(stderr, "vip_conformance: %s%s%s; vip_conformance --help tells more\n", what,
		value ? ": " : "", value ? value : "");
	return EXIT_USAGE;
}

/* One "N" or "N-M" of @text at *@text, which moves on; false when it is none. */
static bool next_range(const char **text, long *from, long *to)
{
	char *end;

	*from = *to = strtol(*text, &end, 10);
	if (end == *text || *from <= 0)
		return false;
	if (*end == '-') {
		*text = end + 1;
		*to = strtol(*text, &end, 10);
		if (end == *text || *to < *from)
			return false;
	}
	if (*end == ',' && end[1])
		end++;
	else if (*end)
		return false;
	*text = end;
	return true;
}

bool is_chosen(const struct options *o, const struct check *c)
{
	const char *text = o->only;
	long from, to;

	if (c->rank > o->up_to || (o->with && !(c->flags & TWO)))
		return false;
	if (!text)
		return true;
	while (*text && next_range(&text, &from, &to)) {
		if (c->number >= from && c->number <= to)
			return true;
	}
	return false;
}

static bool is_list(const char *text)
{
	long from, to;

	do {
		if (!next_range(&text, &from, &to))
			return false;
	} while (*text);
	return true;
}

static bool parse_number(const char *text, int *value)
{
	char *end;
	long n = strtol(text, &end, 10);

	*value = (int)n;
	return *text && !*end && n > 0 && n <= 86400;
}

/* Returns -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option table[] = {
		{"list", no_argument, NULL, 'l'},
		{"markdown", no_argument, NULL, 'm'},
		{"only", required_argument, NULL, 'o'},
		{"level", required_argument, NULL, 'r'},
		{"strict", no_argument, NULL, 's'},
		{"seconds", required_argument, NULL, 'n'},
		{"json", no_argument, NULL, 'j'},
		{"slowdown", required_argument, NULL, 'd'},
		{"with", required_argument, NULL, 'w'},
		{"serve", no_argument, NULL, 'S'},
		{"port", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *letter;
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
		switch (opt) {
		case 'l':
			o->list = true;
			break;
		case 'm':
			o->markdown = true;
			break;
		case 'o':
			o->only = optarg;
			if (!is_list(optarg))
				return bad_usage("--only takes numbers such as 75-97,140", optarg);
			break;
		case 'r':
			letter = strchr("EFU", *optarg);
			if (!*optarg || optarg[1] || !letter)
				return bad_usage("--level takes E, F or U", optarg);
			o->up_to = *letter == 'E' ? EARLY : *letter == 'F' ? FUNCTIONAL : FULL;
			break;
		case 's':
			o->strict = true;
			break;
		case 'n':
			if (!parse_number(optarg, &o->seconds))
				return bad_usage("--seconds takes a number from 1 to 86400", optarg);
			break;
		case 'd':
			if (!parse_number(optarg, &o->slowdown))
				return bad_usage("--slowdown takes a number from 1 to 86400", optarg);
			break;
		case 'j':
			o->json = true;
			break;
		case 'w':
			o->with = optarg;
			break;
		case 'S':
			o->serve = true;
			break;
		case 'p':
			o->port = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case ':':
			return bad_usage("a value is missing after", argv[optind - 1]);
		default:
			return bad_usage("no such option", argv[optind - 1]);
		}
	}
	if (o->list)
		return optind == argc ? -1 : bad_usage("--list takes no device", argv[optind]);
	if (optind + 1 != argc)
		return bad_usage(optind == argc ? "name a device, such as emu0" : "only one device, not also",
				 argv[optind] ? argv[optind + 1] : NULL);
	if (o->serve && (o->with || o->only || o->json))
		return bad_usage("--serve does what the other host asks for: it takes --port alone", NULL);
	o->device = argv[optind];
	return -1;
}

/* The runs that are to be made: each check once, or once at each level that the device has. */
static size_t plan(const struct options *o, struct result *res)
{
	const struct check *const *g, *c;
	VIP_RELIABILITY_LEVEL l;
	size_t n = 0;

	for (g = groups; *g; g++) {
		for (c = *g; c->number; c++) {
			if (!is_chosen(o, c))
				continue;
			for (l = VIP_SERVICE_UNRELIABLE; l <= VIP_SERVICE_RELIABLE_RECEPTION; l <<= 1) {
				if (!(c->flags & RL) ? l > VIP_SERVICE_UNRELIABLE
						     : !(board->attr.ReliabilityLevelSupport & l))
					continue;
				res[n].check = c;
				res[n++].level = c->flags & RL ? l : 0;
			}
		}
	}
	return n;
}

static size_t count_checks(void)
{
	const struct check *const *g, *c;
	size_t n = 0;

	for (g = groups; *g; g++) {
		for (c = *g; c->number; c++)
			n++;
	}
	return n;
}

static int run_all(const struct options *o)
{
	struct result *res = calloc(LEVELS * count_checks() + 1, sizeof(*res));
	size_t n = res ? plan(o, res) : 0, i, passed = 0, failed = 0;
	int rc = 0;

	if (!res) {
		fprintf(stderr, "vip_conformance: no memory\n");
		return 1;
	}
	if (n == 0)
		rc = bad_usage("no check has such a number at this level", o->only);
	for (i = 0; i < n; i++) {
		run_check(o, &res[i]);
		passed += res[i].outcome == PASSED;
		failed += res[i].outcome == FAILED;
		if (!o->json)
			report_line(&res[i]);
	}
	if (n && o->json)
		rc = report_json(o, res, n) ? 1 : 0;
	else if (n)
		report_summary(o, res, n);
	free(res);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "vip_conformance: the results could not be written\n");
		return 1;
	}
	return rc ? rc : !(passed && !failed);
}

int main(int argc, char **argv)
{
	struct options o = {.up_to = FULL, .seconds = 5, .slowdown = SLOWDOWN, .port = APART_PORT};
	static char reason[4096];
	int rc = parse(argc, argv, &o);

	if (rc >= 0)
		return rc;
	if (o.list) {
		list_checks(&o);
		return 0;
	}
	if (harness_start(&o)) {
		fprintf(stderr, "vip_conformance: %s\n", strerror(errno));
		return 1;
	}
	if (!probe(&o, reason, sizeof(reason))) {
		fprintf(stderr, "vip_conformance: the device %s cannot be used:\n%s", o.device, reason);
		return EXIT_USAGE;
	}
	if (o.serve)
		return apart_serve(&o);
	if (o.with && !apart_connect(&o, reason, sizeof(reason))) {
		fprintf(stderr, "vip_conformance: --with %s: %s", o.with, reason);
		return EXIT_USAGE;
	}
	return run_all(&o);
}
