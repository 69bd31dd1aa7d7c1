/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * shared_receive - one transfer over VIA, received by two processes.
 *
 * Two processes A and B attach one System V segment.  A registers it and
 * receives into it what C sends; B sees the same bytes with no VI at all.
 * Then B registers the segment too, A leaves, and B goes on receiving into
 * the segment, which has stayed locked.  Last, the same job is done with two
 * connections and private buffers, and the bytes moved are compared.
 *
 * This file has the options and what is checked before anything starts; the
 * steps are in acts.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "examples/shared_receive/shared_receive.h"

#define MIN_PAGES 4u

static void usage(FILE *to)
{
	fprintf(to,
		"usage: " DEMO " [options] FILE\n"
		"       " DEMO " [options] --receive\n"
		"       " DEMO " [--device NAME] --to HOST FILE\n"
		"\n"
		"C sends FILE once over one VI; A and B, who share a segment, both receive it.\n"
		"\n"
		"  -r, --receive        A and B here; C comes from another host (TCP port " DEMO_PORT ")\n"
		"  -t, --to HOST        C here; A and B are on HOST\n"
		"  -d, --device NAME    NIC (default " TOOL_DEVICE ")\n"
		"  -s, --segment BYTES  size of the shared segment, k and m allowed (default 4m)\n"
		"  -l, --level LEVEL    unreliable, delivery (default) or reception\n"
		"  -u, --users A,B,C    A, B and C as these three users; for root, with --device ka0\n"
		"  -j, --json           the results as one JSON object\n"
		"  -h, --help           this text\n"
		"  -V, --version        version\n"
		"\n"
		"The first step prints the process ids: kill one to see how the others take it.\n"
		"exit status: 0 all hashes and byte counts are right, 1 failure, 2 usage\n");
}

/* The file and its hash.  The roles inherit the descriptor. */
static int open_file(struct demo *d)
{
	struct stat st;

	d->team.file = open(d->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (d->team.file < 0 || fstat(d->team.file, &st))
		return vnic_fault(&d->n, "cannot read %s: %s", d->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return vnic_fault(&d->n, "cannot send %s: %s, not a regular file", d->path,
				  S_ISDIR(st.st_mode) ? "it is a directory" : "it is a device or a pipe");
	d->plan.file_bytes = (uint64_t)st.st_size;
	return file_sha(&d->n, d->team.file, d->plan.file_bytes, d->sha);
}

static int check_sizes(struct demo *d)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), most = d->n.attr.MaxRegisterBlockBytes;
	struct plan *p = &d->plan;

	if (p->segment < MIN_PAGES * page)
		return vnic_fault(&d->n,
				  "a segment of %llu bytes is too small: at least %u pages, %llu bytes, "
				  "are needed; give --segment %lluk",
				  (unsigned long long)p->segment, MIN_PAGES,
				  (unsigned long long)(MIN_PAGES * page),
				  (unsigned long long)(MIN_PAGES * page >> 10));
	if (p->segment > most)
		return vnic_fault(&d->n,
				  "a segment of %llu bytes is too large: the NIC's MaxRegisterBlockBytes is "
				  "%llu; give --segment %lluk or less",
				  (unsigned long long)p->segment, (unsigned long long)most,
				  (unsigned long long)(most >> 10));
	p->segment = (p->segment + page - 1) / page * page;
	p->piece = p->segment / DEMO_SLOTS;
	if (p->piece > d->n.attr.MaxTransferSize)
		p->piece = d->n.attr.MaxTransferSize;
	return 0;
}

/* A name for this run: several demos can run at once. */
static void name_run(struct plan *p)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		random = (uint32_t)tool_now_ns();
	snprintf(p->run, sizeof(p->run), "demo:%d:%08x", (int)getpid(), random);
}

static void on_signal(int signal)
{
	team_interrupted = signal;
}

/* The signals that end us: seen while we wait for the roles, blocked elsewhere. */
static void take_signals(void)
{
	static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction act = {.sa_handler = on_signal};
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++) {
		sigaction(ending[i], &act, NULL);
		sigaddset(&blocked, ending[i]);
	}
	sigprocmask(SIG_BLOCK, &blocked, NULL);
}

static void unblock_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool find_user(const char *name, size_t n, struct user *u)
{
	const struct passwd *p;

	if (n >= sizeof(u->name))
		return false;
	memcpy(u->name, name, n);
	u->name[n] = 0;
	p = getpwnam(u->name);
	if (!p)
		return false;
	u->uid = p->pw_uid;
	u->gid = p->pw_gid;
	u->ngroups = USER_GROUPS;
	return getgrouplist(u->name, u->gid, u->group, &u->ngroups) > 0;
}

/* Three names, by commas. */
static bool parse_users(struct team *t, const char *text)
{
	for (int i = 0; i < 3; i++) {
		size_t n = strcspn(text, ",");

		if (!find_user(text, n, &t->user[i]) || (text[n] == ',') != (i < 2))
			return false;
		text += n + 1;
	}
	t->users = true;
	return true;
}

/* Read before any process is started: they would but fail to meet. */
static bool users_apart(void)
{
	FILE *f = fopen("/sys/module/vipka/parameters/cross_user", "re");
	bool apart = f && fgetc(f) == 'N';

	if (f)
		fclose(f);
	return apart;
}

/* Others can be started by root alone, and meet at an agent that is not one user's. */
static int check_users(const struct demo *d, const char *to)
{
	if (!d->team.users)
		return 0;
	if (d->apart || to)
		return tool_bad_usage(DEMO, "--users is for A, B and C on one host", NULL);
	if (!tool_module_of(d->plan.device))
		return tool_bad_usage(DEMO, "--users needs --device ka0, not", d->plan.device);
	if (geteuid() != 0)
		return tool_bad_usage(DEMO, "--users: only root can start processes of other users", NULL);
	if (users_apart())
		return tool_bad_usage(
			DEMO,
			"--users: the module vipka is loaded with cross_user=0; load it with cross_user=1",
			NULL);
	return 0;
}

/* Returns 0 to go on, or the exit status + 1 to leave with. */
static int parse_options(int argc, char **argv, struct demo *d, bool *json, const char **to)
{
	static const struct option longs[] = {
		{"device", required_argument, NULL, 'd'}, {"segment", required_argument, NULL, 's'},
		{"level", required_argument, NULL, 'l'},  {"users", required_argument, NULL, 'u'},
		{"receive", no_argument, NULL, 'r'},	  {"to", required_argument, NULL, 't'},
		{"json", no_argument, NULL, 'j'},	  {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},	  {0},
	};
	VIP_RELIABILITY_LEVEL level;
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":d:s:l:u:rt:jhV", longs, NULL)) != -1) {
		switch (opt) {
		case 'd':
			if (strlen(optarg) >= sizeof(d->plan.device))
				return 1 + tool_bad_usage(DEMO, "not a device", optarg);
			memcpy(d->plan.device, optarg, strlen(optarg) + 1);
			break;
		case 's':
			if (!tool_parse_size(optarg, &d->plan.segment))
				return 1 + tool_bad_usage(DEMO, "not a number of bytes", optarg);
			break;
		case 'l':
			if (!tool_parse_level(optarg, &level))
				return 1 + tool_bad_usage(DEMO, "not a reliability level", optarg);
			d->plan.level = level;
			break;
		case 'u':
			if (!parse_users(&d->team, optarg))
				return 1 + tool_bad_usage(DEMO, "not three users", optarg);
			break;
		case 'r':
			d->apart = true;
			break;
		case 't':
			*to = optarg;
			break;
		case 'j':
			*json = true;
			break;
		default:
			return 1 + tool_other_option(DEMO, opt, argv, usage);
		}
	}
	return 0;
}

/* This program again, as one of the demo's processes? */
static bool is_role(int argc, char **argv)
{
	struct stat st;

	return argc == 3 && strcmp(argv[1], "--role") == 0 && fstat(FD_ORDERS, &st) == 0 &&
	       S_ISSOCK(st.st_mode);
}

static int coordinate(struct demo *d, bool json)
{
	const char *fault = NULL;

	d->team.file = -1;
	take_signals();
	if ((d->path && open_file(d)) || vnic_open(&d->n, d->plan.device) || check_sizes(d) ||
	    (d->apart && apart_listen(d))) {
		fprintf(stderr, DEMO ": %s\n", d->n.fault);
		vnic_close(&d->n);
		return EXIT_FAILURE;
	}
	name_run(&d->plan);
	d->show = show_begin(json, d->plan.device);
	if (demo_run(d)) {
		/* What the team says comes first: we look at the tables of living roles only. */
		fault = d->team.fault[0] ? d->team.fault : d->n.fault;
		fprintf(stderr, DEMO ": %s\n", fault);
	}
	team_kill(&d->team);
	show_end(d->show, fault);
	vnic_close(&d->n);
	if (team_interrupted) {
		/* End as the signal would have ended us. */
		signal(team_interrupted, SIG_DFL);
		raise(team_interrupted);
		unblock_signals();
	}
	return fault ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* C, for receivers on another host. */
static int send_afar(struct demo *d, const char *host)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!open_file(d) && !apart_send(d, host))
		return EXIT_SUCCESS;
	fprintf(stderr, DEMO ": %s\n", d->n.fault);
	return EXIT_FAILURE;
}

static int run(int argc, char **argv)
{
	static struct demo d = {
		.plan = {.segment = 4 << 20, .level = VIP_SERVICE_RELIABLE_DELIVERY, .device = TOOL_DEVICE},
	};
	const char *to = NULL;
	bool json = false;
	int err;

	tool_quiet_library();
	if (is_role(argc, argv))
		return role_main(argv[2][0]);
	err = parse_options(argc, argv, &d, &json, &to);
	if (err)
		return err - 1;
	if (d.apart ? to || optind != argc : optind + 1 != argc)
		return tool_bad_usage(DEMO, d.apart ? "--receive takes no FILE and no --to" : "give one FILE",
				      NULL);
	err = check_users(&d, to);
	if (err)
		return err;
	d.path = argv[optind]; /* NULL: of C, who is on another host */
	d.rdma = strcmp(d.plan.device, TOOL_DEVICE) != 0 && !tool_module_of(d.plan.device);
	return to ? send_afar(&d, to) : coordinate(&d, json);
}

int main(int argc, char **argv)
{
	prctl(PR_SET_NAME, "shared_receive"); /* the roles are started as /proc/self/exe */
	return tool_finish("shared_receive", run(argc, argv));
}
