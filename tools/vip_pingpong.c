/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_pingpong - the time of a message between two processes over one VI.
 *
 * The server takes no host, the client names one.  --local runs both: the
 * server is this program again, forked and executed, on another processor.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tools/pingpong.h"

#define PROGRAM "vip_pingpong"

struct options {
	const char *device;
	const char *host; /* NULL: server */
	VIP_RELIABILITY_LEVEL level;
	unsigned int port;
	bool port_given;
	bool all;
	bool wait;
	bool json;
	bool local;
	struct pp_plan plan;
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: %s [options]          the server: waits for a client\n"
		"       %s [options] HOST     the client; HOST is localhost for emu0\n"
		"       %s [options] -L, --local  both, each on a processor of its own\n"
		"\n"
		"  -d, --device NAME   NIC (default %s)\n"
		"  -p, --port N        number to meet at (default 47592)\n"
		"  -w, --wait          sleep until a message comes; else poll\n"
		"  -j, --json          results as one JSON object\n"
		"  -h, --help          this text\n"
		"  -V, --version       version\n"
		"\n"
		"the client tells the server of these:\n"
		"  -s, --size BYTES    size of a message, k and m allowed (default 64)\n"
		"  -S, --sizes all     0, 1, 2, 4 .. 1m\n"
		"  -n, --iters N       messages to send of each size (default 1000)\n"
		"  -c, --check         both ends verify the contents of each message\n"
		"  -l, --level LEVEL   unreliable, delivery (default) or reception\n"
		"\n"
		"exit status: 0 done, 1 failure or data mismatch, 2 usage\n",
		PROGRAM, PROGRAM, PROGRAM, TOOL_DEVICE);
}

/* Returns 0 to go on, or the exit status + 1 to leave with. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"device", required_argument, NULL, 'd'},
		{"size", required_argument, NULL, 's'},
		{"sizes", required_argument, NULL, 'S'},
		{"iters", required_argument, NULL, 'n'},
		{"check", no_argument, NULL, 'c'},
		{"level", required_argument, NULL, 'l'},
		{"wait", no_argument, NULL, 'w'},
		{"port", required_argument, NULL, 'p'},
		{"json", no_argument, NULL, 'j'},
		{"local", no_argument, NULL, 'L'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	uint64_t number;
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":d:s:S:n:cl:wp:jLhV", longs, NULL)) != -1) {
		switch (opt) {
		case 'd':
			o->device = optarg;
			break;
		case 's':
			if (!tool_parse_size(optarg, &number) || number > PP_MAX_BYTES)
				return 1 + tool_bad_usage(PROGRAM, "not a size of at most 64m", optarg);
			o->plan.sizes[0] = (uint32_t)number;
			break;
		case 'S':
			if (strcmp(optarg, "all") != 0)
				return 1 + tool_bad_usage(PROGRAM, "--sizes takes only all", optarg);
			o->all = true;
			break;
		case 'n':
			if (!tool_parse_size(optarg, &number) || number < 1 || number > 100000000)
				return 1 + tool_bad_usage(PROGRAM,
							  "not a number of messages from 1 to 100000000",
							  optarg);
			o->plan.iters = (uint32_t)number;
			break;
		case 'c':
			o->plan.check = 1;
			break;
		case 'l':
			if (!tool_parse_level(optarg, &o->level))
				return 1 + tool_bad_usage(PROGRAM, "not a reliability level", optarg);
			break;
		case 'w':
			o->wait = true;
			break;
		case 'p':
			if (!tool_parse_size(optarg, &number) || number > UINT32_MAX)
				return 1 + tool_bad_usage(PROGRAM, "not a port", optarg);
			o->port = (unsigned int)number;
			o->port_given = true;
			break;
		case 'j':
			o->json = true;
			break;
		case 'L':
			o->local = true;
			break;
		default:
			return 1 + tool_other_option(PROGRAM, opt, argv, usage);
		}
	}
	if (optind < argc)
		o->host = argv[optind++];
	if (optind < argc)
		return 1 + tool_bad_usage(PROGRAM, "one host at most", argv[optind]);
	if (o->local && o->host)
		return 1 + tool_bad_usage(PROGRAM, "--local takes no host", o->host);
	return 0;
}

static int complain(const char *fault)
{
	fprintf(stderr, PROGRAM ": %s\n", fault);
	return EXIT_FAILURE;
}

/* ---- results ---- */

struct table {
	const struct options *o;
	json_t *rows; /* NULL: text */
	bool headed;
};

static double half_us(uint64_t round_ns)
{
	return (double)round_ns / 2000.0;
}

static void print_row(struct table *t, const struct pp_result *r, double seconds, double rate, double usec)
{
	if (!t->headed) {
		printf("%10s %10s %12s %12s %12s", "bytes", "#sent", "total time", "MB/sec", "usec/xfer");
		if (t->o->local)
			printf(" %10s %10s %10s", "min", "median", "99%");
		putchar('\n');
		t->headed = true;
	}
	printf("%10u %10u %11.3fs %12.2f %12.3f", r->bytes, r->iters, seconds, rate, usec);
	if (t->o->local)
		printf(" %10.3f %10.3f %10.3f", half_us(r->round_ns[0]), half_us(r->round_ns[r->iters / 2]),
		       half_us(r->round_ns[(uint64_t)r->iters * 99 / 100]));
	putchar('\n');
	fflush(stdout);
}

static void add_row(void *context, const struct pp_result *r)
{
	struct table *t = context;
	double seconds = (double)r->total_ns / 1e9;
	double rate = seconds > 0 ? 2.0 * r->bytes * r->iters / seconds / 1e6 : 0;
	double usec = seconds * 1e6 / r->iters / 2;
	json_t *row;

	if (!t->rows) {
		print_row(t, r, seconds, rate, usec);
		return;
	}
	row = json_pack("{s:I, s:I, s:f, s:f, s:f}", "bytes", (json_int_t)r->bytes, "sent",
			(json_int_t)r->iters, "seconds", seconds, "mb_per_sec", rate, "usec_per_xfer", usec);
	if (r->round_ns)
		json_object_update_new(row,
				       json_pack("{s:f, s:f, s:f}", "min_us", half_us(r->round_ns[0]),
						 "median_us", half_us(r->round_ns[r->iters / 2]), "p99_us",
						 half_us(r->round_ns[(uint64_t)r->iters * 99 / 100])));
	json_array_append_new(t->rows, row);
}

static void print_json(const struct table *t, const struct pp_plan *plan, VIP_RELIABILITY_LEVEL level,
		       int cpus)
{
	json_t *all = json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:i, s:O}", "role",
				t->o->local  ? "local"
				: t->o->host ? "client"
					     : "server",
				"device", t->o->device, "level", tool_level_name(level), "mode",
				t->o->wait ? "wait" : "poll", "check", plan->check, "local", t->o->local,
				"processors", cpus, "sizes", t->rows);

	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

/* ---- --local: the server in a process of its own ---- */

static int start_server(struct tool_child *server, const struct options *o)
{
	char port[16];
	char *argv[] = {PROGRAM, "-d", (char *)o->device, "-p", port, o->wait ? "-w" : NULL, NULL};
	pid_t pid;

	snprintf(port, sizeof(port), "%u", o->port);
	pid = tool_child_start(server);
	if (pid == 0) {
		execv("/proc/self/exe", argv);
		_exit(EXIT_FAILURE);
	}
	return pid < 0 ? -1 : 0;
}

/* ---- the two roles ---- */

static int fill_plan(struct options *o, struct vnic *n)
{
	struct pp_plan *p = &o->plan;

	p->nsizes = 1;
	if (o->all) {
		p->sizes[0] = 0;
		for (uint32_t bytes = 1; bytes <= 1u << 20 && bytes <= n->attr.MaxTransferSize; bytes *= 2)
			p->sizes[p->nsizes++] = bytes;
	}
	if (pp_largest(p) > n->attr.MaxTransferSize)
		return vnic_fault(
			n,
			"a message of %zu bytes is larger than the MaxTransferSize of %s, %lu bytes; "
			"choose a smaller --size",
			pp_largest(p), o->device, n->attr.MaxTransferSize);
	return 0;
}

static int run_client(struct options *o, struct pp_link *l, const char *meeting, struct table *t, int cpus,
		      const int cpu[2], const struct tool_child *server)
{
	if (fill_plan(o, &l->n) || pp_connect(l, o->host, meeting, &o->plan, o->level))
		return -1;
	/*
	 * Only now, and only the two threads that exchange messages: an agent or
	 * a thread of the library that was started before must not inherit it.
	 */
	if (server->pid && cpus == 2) {
		tool_pin(0, cpu[0]);
		tool_pin(server->pid, cpu[1]);
	}
	if (pp_ask(l, &o->plan, add_row, t))
		return -1;
	if (t->rows)
		print_json(t, &o->plan, o->level, cpus);
	return 0;
}

static int run_server(struct options *o, struct pp_link *l, const char *meeting, struct table *t, int cpus)
{
	VIP_RELIABILITY_LEVEL level;

	if (pp_serve(l, meeting, &o->plan, &level) || pp_answer(l, &o->plan, add_row, t))
		return -1;
	if (t->rows)
		print_json(t, &o->plan, level, cpus);
	return 0;
}

static int run(int argc, char **argv)
{
	struct options o = {
		.device = TOOL_DEVICE,
		.level = VIP_SERVICE_RELIABLE_DELIVERY,
		.port = 47592,
		.plan = {.iters = 1000, .nsizes = 1, .sizes = {64}},
	};
	struct tool_child server = {0};
	struct table table = {.o = &o};
	struct pp_link link = {0};
	char meeting[TOOL_DISCRIMINATOR];
	int cpu[2], cpus, err;
	bool said;

	tool_quiet_library();
	err = parse_options(argc, argv, &o);
	if (err)
		return err - 1;
	if (o.local && !o.port_given)
		o.port = (unsigned int)getpid();
	snprintf(meeting, sizeof(meeting), "pingpong:%u", o.port);
	cpus = tool_processors(cpu, 2); /* 0: not known */
	link.wait = o.wait;
	link.yield = cpus < 2;

	if (vnic_open(&link.n, o.device))
		return complain(link.n.fault);
	if (o.local) {
		if (start_server(&server, &o)) {
			vnic_fault(&link.n, "cannot start the server: %s", strerror(errno));
			pp_close(&link);
			return complain(link.n.fault);
		}
		o.host = "localhost";
		if (cpus < 2)
			fputs(PROGRAM ": there is only one processor: both ends share it\n", stderr);
	}
	if (o.json)
		table.rows = json_array();

	err = o.host ? run_client(&o, &link, meeting, &table, cpus, cpu, &server)
		     : run_server(&o, &link, meeting, &table, cpus);
	/* before we hang up: what it says then is a cause, not a consequence */
	said = err && server.pid && tool_child_stop(&server, true);
	pp_close(&link);
	if (err && !said)
		complain(link.n.fault);
	if (!err && server.pid)
		tool_child_stop(&server, false);
	json_decref(table.rows);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	prctl(PR_SET_NAME, "vip_pingpong"); /* the local server is started as /proc/self/exe */
	return tool_finish("vip_pingpong", run(argc, argv));
}
