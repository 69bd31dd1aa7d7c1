/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipstat - what the kernel agent holds: processes, NIC handles, shared
 * segments, locked memory areas, translation and protection tables,
 * connections.  For the agent's tables what ipcs is for those of System V.
 *
 * It never starts an agent: that none runs is an answer, too.
 */
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tools/common.h"
#include "tools/vipstat.h"

#define PROGRAM "vipstat"

#define BIT(kind) (1u << (kind))
#define SUMMARY	  (BIT(VIPX_PROC) | BIT(VIPX_NIC) | BIT(VIPX_SEG) | BIT(VIPX_VI) | BIT(VIPX_STAT))
#define ALL	  (SUMMARY | BIT(VIPX_LMA) | BIT(VIPX_TPT))

/* The agent outlives each look by a quarter of a second: quicker looks would keep it from leaving. */
#define LEAST_SECONDS 0.5
#define MOST_SECONDS  86400.0

struct options {
	unsigned int kinds; /* bits */
	const char *device; /* the agent is its */
	uint32_t pid;	    /* 0: all */
	double seconds;	    /* 0: once */
	bool json;
};

static void usage(FILE *to)
{
	fprintf(to, "usage: " PROGRAM " [options]\n"
		    "\n"
		    "what the kernel agent of this user holds; without one of these a summary:\n"
		    "  -a, --all            everything\n"
		    "  -p, --processes      processes\n"
		    "  -n, --nics           NIC handles\n"
		    "  -s, --segments       shared segments and files, and who holds them\n"
		    "  -l, --lmas           locked memory areas\n"
		    "  -t, --tpt            entries of the translation and protection tables\n"
		    "  -c, --connections    VIs and their peers\n"
		    "  -C, --counters       what the agent has counted\n"
		    "\n"
		    "  -d, --device NAME    the agent of this NIC: ka0 for the kernel module\n"
		    "                       (default emu0: this user's process)\n"
		    "  -P, --pid N          only this process (counters are the agent's)\n"
		    "  -j, --json           one JSON object\n"
		    "  -w, --watch[=SECONDS]  again every 1 s or SECONDS, at least 0.5, until Ctrl-C;\n"
		    "                       with --json one object a line\n"
		    "  -h, --help           this text\n"
		    "  -V, --version        version\n"
		    "\n"
		    "rights: w the owner may write, W and R RDMA write and read, d direct.\n"
		    "No agent is started: that none runs is told, with exit status 0.\n"
		    "exit status: 0 done, 1 failure, 2 usage\n");
}

/* -w 2 as well as -w2 and --watch=2: there is nothing else that a number could be. */
static const char *watch_argument(int argc, char **argv)
{
	if (!optarg && optind < argc && argv[optind][0] >= '0' && argv[optind][0] <= '9')
		return argv[optind++];
	return optarg;
}

static bool parse_seconds(const char *text, double *seconds)
{
	char *end;

	if (!text) {
		*seconds = 1;
		return true;
	}
	*seconds = strtod(text, &end);
	return end != text && !*end && *seconds >= LEAST_SECONDS && *seconds <= MOST_SECONDS;
}

/* Returns 0 to go on, or the exit status + 1 to leave with. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"all", no_argument, NULL, 'a'},
		{"processes", no_argument, NULL, 'p'},
		{"nics", no_argument, NULL, 'n'},
		{"segments", no_argument, NULL, 's'},
		{"lmas", no_argument, NULL, 'l'},
		{"tpt", no_argument, NULL, 't'},
		{"connections", no_argument, NULL, 'c'},
		{"counters", no_argument, NULL, 'C'},
		{"device", required_argument, NULL, 'd'},
		{"pid", required_argument, NULL, 'P'},
		{"json", no_argument, NULL, 'j'},
		{"watch", optional_argument, NULL, 'w'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	const char *text;
	uint64_t number;
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":apnsltcCd:P:jw::hV", longs, NULL)) != -1) {
		switch (opt) {
		case 'a':
			o->kinds |= ALL;
			break;
		case 'p':
			o->kinds |= BIT(VIPX_PROC);
			break;
		case 'n':
			o->kinds |= BIT(VIPX_NIC);
			break;
		case 's':
			o->kinds |= BIT(VIPX_SEG);
			break;
		case 'l':
			o->kinds |= BIT(VIPX_LMA);
			break;
		case 't':
			o->kinds |= BIT(VIPX_TPT);
			break;
		case 'c':
			o->kinds |= BIT(VIPX_VI);
			break;
		case 'C':
			o->kinds |= BIT(VIPX_STAT);
			break;
		case 'd':
			o->device = optarg;
			break;
		case 'P':
			if (!tool_parse_size(optarg, &number) || number < 1 || number > INT_MAX)
				return 1 + tool_bad_usage(PROGRAM, "not a process id", optarg);
			o->pid = (uint32_t)number;
			break;
		case 'j':
			o->json = true;
			break;
		case 'w':
			text = watch_argument(argc, argv);
			if (!parse_seconds(text, &o->seconds))
				return 1 +
				       tool_bad_usage(PROGRAM, "not a time from 0.5 to 86400 seconds", text);
			break;
		default:
			return 1 + tool_other_option(PROGRAM, opt, argv, usage);
		}
	}
	if (optind < argc)
		return 1 + tool_bad_usage(PROGRAM, "it takes options only", argv[optind]);
	if (!o->kinds)
		o->kinds = SUMMARY;
	return 0;
}

/* ---- showing ---- */

static void on_end(int signal)
{
	(void)signal;
	_exit(EXIT_SUCCESS);
}

/* One look.  Ctrl-C ends the look at once, but the output only when it is whole. */
static int show(const struct options *o, struct look *l)
{
	bool again = o->seconds > 0, terminal = isatty(STDOUT_FILENO);
	sigset_t ending;
	int err;

	if (look_take(l, o->device, o->kinds, o->pid)) {
		fprintf(stderr, PROGRAM ": %s\n", l->fault);
		return EXIT_FAILURE;
	}
	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigprocmask(SIG_BLOCK, &ending, NULL);
	if (o->json) {
		print_json(l, o->kinds, again);
	} else {
		if (again && terminal)
			fputs("\033[H\033[J", stdout); /* home, clear to the end */
		print_text(l, o->kinds);
		if (again && !terminal)
			putchar('\n');
	}
	err = fflush(stdout);
	sigprocmask(SIG_UNBLOCK, &ending, NULL);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int watch(const struct options *o, struct look *l)
{
	const time_t whole = (time_t)o->seconds;
	const struct timespec pause = {whole, (long)((o->seconds - (double)whole) * 1e9)};
	struct sigaction act = {.sa_handler = on_end};
	int rc;

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	while (!(rc = show(o, l)))
		nanosleep(&pause, NULL);
	return rc;
}

static int run(int argc, char **argv)
{
	static struct look look;
	struct options o = {.device = TOOL_DEVICE};
	int rc = parse_options(argc, argv, &o);

	if (rc)
		return rc - 1;
	tool_quiet_library();
	rc = o.seconds > 0 ? watch(&o, &look) : show(&o, &look);
	look_free(&look);
	return rc;
}

int main(int argc, char **argv)
{
	return tool_finish(PROGRAM, run(argc, argv));
}
