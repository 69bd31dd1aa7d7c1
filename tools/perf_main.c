/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_perf - latency, bandwidth, message rate, RDMA, overlap and multicast
 * between processes, and what it costs to come there.
 *
 * Alone it runs both ends: the server is a child, forked before the library is
 * used at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/perf.h"

static int complain(const char *fault)
{
	fprintf(stderr, PERF ": %s\n", fault);
	return EXIT_FAILURE;
}

static void share_processors(struct perf_link *l)
{
	uint32_t processors, processes = perf_processes(&l->plan, &processors);

	l->yield = processes > processors;
}

static void note_processors(const struct perf_options *o)
{
	uint32_t processors, processes = perf_processes(&o->plan, &processors);

	if (o->quiet || processes <= processors)
		return;
	fprintf(stderr, PERF ": %u processes share %u processor%s\n", processes, processors,
		processors == 1 ? "" : "s");
}

static int serve(struct perf_link *l, const struct perf_options *o, const char *meeting)
{
	l->device = o->device;
	if (vnic_open(&l->n, l->device) || perf_meet_client(l, meeting))
		return -1;
	if (l->plan.test != o->plan.test)
		return vnic_fault(&l->n, "the client wants another test than %s",
				  perf_test_name[o->plan.test]);
	share_processors(l);
	switch (l->plan.test) {
	case PERF_MULTICAST:
		return perf_setup(l, 1) || perf_multicast_serve(l) ? -1 : 0;
	case PERF_COST:
		return perf_setup(l, 1) || perf_cost_serve(l) ? -1 : 0;
	default:
		return perf_setup(l, l->plan.vis) || perf_ready(l) || perf_accept_all(l) || perf_answer(l)
			       ? -1
			       : 0;
	}
}

/* multicast --each: a VI for each receiver, which are processes of their own. */
static int connect_receivers(struct perf_link *l, const char *host)
{
	char name[TOOL_DISCRIMINATOR];

	for (uint32_t v = 0; v < l->nvis; v++) {
		perf_meeting(&l->plan, v, name);
		if (vnic_connect(&l->n, l->vi[v].vi, host, name))
			return -1;
	}
	perf_pin(&l->plan, 0);
	return 0;
}

static int ask(struct perf_link *l, const struct perf_options *o, const char *meeting)
{
	l->device = o->device;
	l->plan = o->plan;
	l->plan.session = (uint32_t)getpid();
	share_processors(l);
	if (vnic_open(&l->n, l->device) || perf_setup(l, l->plan.vis) ||
	    perf_meet_server(l, o->host, meeting))
		return -1;
	switch (l->plan.test) {
	case PERF_COST:
		perf_pin(&l->plan, 0);
		return perf_cost(l, o);
	case PERF_MULTICAST:
		return connect_receivers(l, o->host) || perf_multicast(l, o) ? -1 : 0;
	case PERF_OVERLAP:
		return perf_connect_all(l, o->host) || perf_overlap(l, o) ? -1 : 0;
	default:
		return perf_connect_all(l, o->host) || perf_drive(l, o) ? -1 : 0;
	}
}

static int run_server(const struct perf_options *o, const char *meeting)
{
	struct perf_link l = {0};
	int err = serve(&l, o, meeting);

	perf_close(&l);
	return err ? complain(l.n.fault) : EXIT_SUCCESS;
}

static int run_client(const struct perf_options *o, const char *meeting, struct tool_child *server)
{
	struct perf_link l = {0};
	bool said = false;
	int err;

	note_processors(o);
	perf_rows_begin(o);
	err = ask(&l, o, meeting);
	perf_rows_end(!err);
	/* before we hang up: what it says then is a cause, not a consequence */
	if (err && server->pid)
		said = tool_child_stop(server, true);
	perf_close(&l);
	if (!err)
		return server->pid && tool_child_stop(server, false) ? EXIT_FAILURE : EXIT_SUCCESS;
	return said ? EXIT_FAILURE : complain(l.n.fault);
}

static int run(int argc, char **argv)
{
	struct tool_child server = {0};
	char meeting[TOOL_DISCRIMINATOR];
	struct perf_options o;
	int err = perf_parse(argc, argv, &o);

	if (err)
		return err - 1;
	tool_quiet_library();
	snprintf(meeting, sizeof(meeting), "perf:%s", perf_test_name[o.plan.test]);
	if (o.server)
		return run_server(&o, meeting);
	if (!o.host) {
		snprintf(meeting, sizeof(meeting), "perf:%s:%d", perf_test_name[o.plan.test], (int)getpid());
		switch (tool_child_start(&server)) {
		case 0:
			return run_server(&o, meeting);
		case -1:
			fprintf(stderr, PERF ": cannot start the server: %s\n", strerror(errno));
			return EXIT_FAILURE;
		}
		o.host = "localhost";
	}
	return run_client(&o, meeting, &server);
}

int main(int argc, char **argv)
{
	return tool_finish(PERF, run(argc, argv));
}
