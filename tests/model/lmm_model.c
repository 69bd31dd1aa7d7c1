/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lmm_model - millions of random calls of the Locked Memory Manager, each
 * compared with a naive model (model.h).
 *
 * Address spaces live for some ten thousand steps; then all is released, must
 * be gone without a trace, and is made anew.  So a disagreement always has a
 * history that is short enough to be replayed and shrunk.
 */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#define PROGRAM	    "lmm_model"
#define DISAGREED   9	   /* exit status of the child */
#define FEW_STEPS   20000u /* in most address spaces */
#define HANGS_AFTER 300u   /* seconds in one address space */

struct world *world;
struct shared *shared;
int broken;

static struct options {
	uint64_t seed, steps;
	uint32_t procs;
} options = {.steps = 10000000, .procs = 4};

void disagree(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(shared->why, sizeof(shared->why), fmt, args);
	va_end(args);
	fflush(stdout);
	_exit(DISAGREED);
}

void trace(const char *fmt, ...)
{
	va_list args;

	if (!world->trace)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	fflush(stdout);
}

/* ---- children ---- */

int run_child(void (*work)(bool show), bool show)
{
	pid_t child;
	int status;

	shared->why[0] = '\0';
	fflush(stdout);
	child = fork();
	if (child == 0) {
		if (!show && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
			_exit(1);
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* who else should end it? */
		work(show);
		fflush(stdout);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror(PROGRAM ": fork");
		exit(EXIT_FAILURE);
	}
	if (WIFSIGNALED(status))
		snprintf(shared->why, sizeof(shared->why), "signal %d: %s", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) && !shared->why[0])
		snprintf(shared->why, sizeof(shared->why), "the process ended with status %d",
			 WEXITSTATUS(status));
	return WIFSIGNALED(status) || WEXITSTATUS(status);
}

static void run_space(uint64_t *random, uint32_t nsteps)
{
	uint64_t choices = random_next(random);

	shared->space = random_next(random);
	shared->nops = nsteps;
	alarm(HANGS_AFTER);
	memset(world->locked_by, 0, nsteps * sizeof(world->locked_by[0]));
	world_create(shared->space, options.procs);
	for (shared->at = 0; shared->at < nsteps; shared->at++) {
		struct op *op = &shared->ops[shared->at];

		generate(op, shared->at, &choices);
		step(op);
	}
	world_end();
}

static void run_all(bool show)
{
	uint64_t random = options.seed, left = options.steps;

	(void)show;
	while (left) {
		uint32_t n = random_below(&random, 24) ? FEW_STEPS : MAX_STEPS;

		if (n > left)
			n = (uint32_t)left;
		run_space(&random, n);
		left -= n;
	}
}

/* ---- for people ---- */

static void print_tally(double seconds)
{
	const struct tally *t = &shared->tally;
	const uint64_t *ops = t->ops;

	printf("%" PRIu64 " steps, %" PRIu64 " calls in %.1f s: lock %" PRIu64 ", unlock %" PRIu64
	       ", undo %" PRIu64 ", bad %" PRIu64 ", stale %" PRIu64 ", refused %" PRIu64 ", gone %" PRIu64
	       ", remap %" PRIu64 ", cleanup %" PRIu64 ", destroy %" PRIu64 "\n",
	       t->steps, t->calls, seconds, ops[OP_LOCK], ops[OP_UNLOCK], ops[OP_UNDO], ops[OP_BAD],
	       ops[OP_STALE], ops[OP_REFUSED], ops[OP_GONE], ops[OP_REMAP], ops[OP_CLEANUP], ops[OP_DIE]);
	printf("locks: %" PRIu64 " areas, %" PRIu64 " of several pieces, %" PRIu64
	       " verdicts LOCK; failed: %" PRIu64 " EINVAL, %" PRIu64 " E2BIG, %" PRIu64 " ENOMEM, %" PRIu64
	       " by the host\n",
	       t->locked, t->mixed, t->verdict_lock, t->invalid, t->too_many, t->no_memory, t->refused);
	printf("verdicts UNLOCK %" PRIu64 ", attachments given up %" PRIu64
	       "; most LMAs %u, attachments %u, lock count %u\n",
	       t->verdict_unlock, t->part_segments, t->most_lmas, t->most_segs, t->most_count);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: %s [options]\n"
		"\n"
		"compares the Locked Memory Manager with a naive model after each of many\n"
		"random calls; on a disagreement prints a short sequence of calls that shows it\n"
		"\n"
		"  -s, --seed N   of the random numbers (default: another one each time)\n"
		"  -n, --steps N  steps (default %" PRIu64 ")\n"
		"  -p, --procs N  processes, 1 to %u (default %u)\n"
		"  -b, --break N  1: each 5th unlock does nothing; 2: a model that is wrong;\n"
		"                 3: a crash; 4: memory that is lost.  Must be found\n"
		"  -h, --help     this text\n"
		"\n"
		"exit status: 0 no disagreement, 1 one, 2 usage\n",
		PROGRAM, options.steps, MAX_PROCS, options.procs);
}

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || value < least || value > most) {
		fprintf(stderr, PROGRAM ": %s is not a number from %" PRIu64 " to %" PRIu64 "\n", text, least,
			most);
		exit(2);
	}
	return value;
}

static void parse_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{"seed", required_argument, NULL, 's'},	 {"steps", required_argument, NULL, 'n'},
		{"procs", required_argument, NULL, 'p'}, {"break", required_argument, NULL, 'b'},
		{"help", no_argument, NULL, 'h'},	 {0},
	};
	int opt;

	if (getrandom(&options.seed, sizeof(options.seed), 0) != sizeof(options.seed))
		options.seed = (uint64_t)time(NULL);
	while ((opt = getopt_long(argc, argv, "s:n:p:b:h", longs, NULL)) != -1) {
		switch (opt) {
		case 's':
			options.seed = number(optarg, 0, UINT64_MAX);
			break;
		case 'n':
			options.steps = number(optarg, 1, UINT64_MAX);
			break;
		case 'p':
			options.procs = (uint32_t)number(optarg, 1, MAX_PROCS);
			break;
		case 'b':
			broken = (int)number(optarg, 1, 4);
			break;
		case 'h':
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	double start = now();

	parse_options(argc, argv);
	world = calloc(1, sizeof(*world));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!world || shared == MAP_FAILED) {
		perror(PROGRAM);
		return EXIT_FAILURE;
	}
	printf(PROGRAM ": seed %" PRIu64 ", %" PRIu64 " steps, %u processes\n", options.seed, options.steps,
	       options.procs);
	if (run_child(run_all, true) == 0) {
		print_tally(now() - start);
		return EXIT_SUCCESS;
	}
	printf("disagreement at step %" PRIu64 ", number %u in its address spaces: %s\n", shared->tally.steps,
	       shared->at, shared->why);
	shrink(options.procs);
	return EXIT_FAILURE;
}
