/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kills.c [-n KILLS] [-s SEED] [-t SECONDS] - pairs of processes that open ka0, register, connect, transfer,
 * disconnect and deregister, over and over; each is killed at random, and begins anew.
 *
 * Every other kill comes after a delay that is uniform over a whole round; the others at a random moment of
 * a random phase, so that short phases are hit, too.  After each kill the other one must end its round
 * within a bounded time, the dead one must be gone from the agent's tables, and around the area of either
 * nothing may have changed.
 *
 * Exit status 1: one of these was not so, or a phase was never hit.
 */
#include "tests/linux/storm/kills.h"
#include "tests/linux/storm/storm.h"
#include "tests/linux/vka.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vipl_ext.h"

#define PAIRS  3u
#define NOTICE 60.0  /* seconds, and some rounds' time; the calls of a member end within a few */
#define FIRST  600.0 /* for the first round, where it is not known how long one takes */
#define ENOUGH 200u  /* kills from which on each phase must have been hit */
#define TELL   50u   /* kills between two lines */
#define CANARY 0xC5

const char *const kills_phase[KILLS_PHASES] = {"start",	     "open",	   "register", "create VI",
					       "connect",    "send",	   "RDMA",     "disconnect",
					       "destroy VI", "deregister", "close"};

/* What all share. */
static struct {
	struct kills_member member[PAIRS * 2];
	uint64_t hits[KILLS_PHASES], kills;
	double slowest[PAIRS];
} * all;
static pid_t pids[PAIRS * 2];
static struct storm_options asked = {.count = 1000, .seed = 1, .seconds = 1e9};
static uint64_t seed; /* what the next random number comes of */
static double began;
static struct vka agent;

static uint64_t any(void)
{
	uint64_t z = (seed += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static double fraction(void)
{
	return (double)(any() >> 11) / (double)(1ull << 53);
}

static void wait_s(double s)
{
	struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};

	nanosleep(&t, NULL);
}

static double mean(const struct kills_member *m, uint32_t phase)
{
	uint64_t n = ka_load_relaxed(&m->times[phase].n);

	return n ? (double)ka_load_relaxed(&m->times[phase].ns) / (double)n / 1e9 : 0.01;
}

static double whole_round(const struct kills_member *m)
{
	double sum = 0;
	uint32_t i;

	for (i = 0; i < KILLS_PHASES; i++)
		sum += mean(m, i);
	return sum;
}

/* How long may it take to notice?  A guest that gets little of its processor takes longer for all. */
static double patience(uint32_t i)
{
	return ka_load_relaxed(&all->member[i].round) ? NOTICE + 20 * whole_round(&all->member[i]) : FIRST;
}

static void start(uint32_t i)
{
	pid_t parent = getpid();

	fflush(stdout);
	ka_store_relaxed(&all->member[i].phase, KILLS_START);
	pids[i] = fork();
	vka_must(pids[i] >= 0);
	if (pids[i] != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it had gone before that */
		_exit(0);
	vka_close(&agent);
	kills_member(&all->member[i], &all->member[i ^ 1], i / 2, i % 2);
}

/* ---- what must be so after a kill ---- */

static int wrong(uint32_t i, const char *what)
{
	printf("FAIL: member %u (process %d, phase %s): %s\n", i, pids[i],
	       kills_phase[ka_load_relaxed(&all->member[i].phase)], what);
	return 1;
}

static bool only(const uint8_t *at, size_t n)
{
	return at[0] == CANARY && memcmp(at, at + 1, n - 1) == 0;
}

static int look_around(uint32_t i)
{
	const struct kills_member *m = &all->member[i];

	if (only(m->before, sizeof(m->before)) && only(m->after, sizeof(m->after)))
		return 0;
	return wrong(i, "memory around its area has changed");
}

/* Rows of process @pid (0: of any but this one) in that table. */
static uint32_t rows(uint32_t kind, pid_t pid)
{
	static struct vipx_rec rec[KA_MAX_RECS];
	struct ka_req req = {.op = KA_OP_INSPECT, .u.inspect.kind = kind};
	struct ka_rep rep;
	struct vipka_call call = {.req = (uintptr_t)&req,
				  .rep = (uintptr_t)&rep,
				  .tail = (uintptr_t)rec,
				  .tail_bytes = sizeof(rec)};
	uint32_t i, n = 0;

	do {
		vka_must(ioctl(agent.dev, VIPKA_CALL, &call) == 0 && rep.err == 0);
		for (i = 0; i < rep.nrecs; i++)
			n += pid ? rec[i].pid == (uint32_t)pid : rec[i].pid != (uint32_t)getpid();
		req.u.inspect.cursor = rep.u.inspect.cursor;
	} while (rep.u.inspect.cursor);
	return n;
}

static int gone(uint32_t i, pid_t pid)
{
	double end = storm_now() + patience(i);
	uint32_t kind;

	for (kind = VIPX_PROC; kind <= VIPX_NIC; kind++)
		while (rows(kind, pid)) {
			if (storm_now() > end)
				return wrong(i, "it is dead, and still in the agent's tables");
			wait_s(0.002);
		}
	return 0;
}

/* Where are its threads, and does it get on at all? */
static int tell_stuck(uint32_t i, uint64_t round)
{
	double begin = storm_now();
	char command[160];

	snprintf(command, sizeof(command),
		 "for t in /proc/%d/task/*; do echo $t; cat $t/comm $t/syscall $t/stack; done", pids[i]);
	wrong(i, "the other one is dead, and it does not notice");
	fflush(stdout);
	if (system(command) != 0) /* NOLINT(cert-env33-c) */
		printf("its threads cannot be looked at\n");
	while (storm_now() < begin + 3 * NOTICE && ka_load_relaxed(&all->member[i].round) == round)
		wait_s(0.1);
	printf("it %s after %.0f s more\n",
	       ka_load_relaxed(&all->member[i].round) == round ? "still hangs" : "has noticed",
	       storm_now() - begin);
	return 1;
}

/* The other one has noticed when it is in another round than @round. */
static int noticed(uint32_t i, uint64_t round)
{
	double begin = storm_now(), most = patience(i);

	while (ka_load_relaxed(&all->member[i].round) == round) {
		if (storm_now() > begin + most)
			return tell_stuck(i, round);
		if (waitpid(pids[i], NULL, WNOHANG) == pids[i])
			return wrong(i, "it has ended by itself");
		wait_s(0.001);
	}
	if (storm_now() - begin > all->slowest[i / 2])
		all->slowest[i / 2] = storm_now() - begin;
	return 0;
}

/* ---- the kills ---- */

static void choose_moment(const struct kills_member *m)
{
	double end = storm_now() + 4 * whole_round(m) + 0.1;
	uint32_t phase = 1 + (uint32_t)any() % (KILLS_PHASES - 1), at;

	if (any() % 2) {
		wait_s(fraction() * whole_round(m));
		return;
	}
	while ((at = ka_load_relaxed(&m->phase)) != phase && storm_now() < end) {
		if (at + 1 == phase)
			sched_yield(); /* it comes next, and may be short */
		else
			wait_s(0.0002);
	}
	wait_s(fraction() * mean(m, phase));
}

static int kill_one(uint32_t i)
{
	pid_t pid = pids[i];
	uint64_t round;
	int status;

	choose_moment(&all->member[i]);
	kill(pid, SIGKILL);
	vka_must(waitpid(pid, &status, 0) == pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		return wrong(i, "it has ended by itself");
	round = ka_load_relaxed(&all->member[i ^ 1].round);
	__atomic_add_fetch(&all->hits[ka_load_relaxed(&all->member[i].phase) % KILLS_PHASES], 1,
			   __ATOMIC_RELAXED);
	if (noticed(i ^ 1, round) || gone(i, pid) || look_around(i) || look_around(i ^ 1))
		return 1;
	start(i);
	/* half of them shall have been round once before one of the two is killed */
	round = ka_load_relaxed(&all->member[i].round);
	return any() % 2 ? noticed(i, round) : 0;
}

static void tell(uint64_t n)
{
	uint64_t good = 0, rounds = 0;
	double slowest = 0;
	uint32_t i;

	for (i = 0; i < PAIRS * 2; i++) {
		good += ka_load_relaxed(&all->member[i].good);
		rounds += ka_load_relaxed(&all->member[i].round);
		slowest = all->slowest[i / 2] > slowest ? all->slowest[i / 2] : slowest;
	}
	printf("%5.0f s: %llu killed; %llu rounds, %llu of them to their end; noticed after %.0f ms at "
	       "most\n",
	       storm_now() - began, (unsigned long long)n, (unsigned long long)rounds,
	       (unsigned long long)good, slowest * 1e3);
	fflush(stdout);
}

static int storm(uint32_t pair, uint64_t kills)
{
	uint64_t n;
	uint32_t i;

	for (i = pair * 2; i < pair * 2 + 2; i++)
		start(i);
	for (i = pair * 2; i < pair * 2 + 2; i++)
		if (noticed(i, 0)) /* it has been round once, and the phases are measured */
			return 1;
	while (ka_load_relaxed(&all->kills) < kills && storm_now() < began + asked.seconds) {
		if (kill_one(pair * 2 + (uint32_t)any() % 2))
			return 1;
		n = __atomic_add_fetch(&all->kills, 1, __ATOMIC_RELAXED);
		if (n % TELL == 0)
			tell(n);
	}
	return 0;
}

/* Each pair has a process that kills there; 1: something is wrong. */
static int storms(uint64_t kills)
{
	pid_t pid[PAIRS];
	int status, bad = 0;
	uint32_t i;

	for (i = 0; i < PAIRS; i++) {
		fflush(stdout);
		pid[i] = fork();
		vka_must(pid[i] >= 0);
		if (pid[i] != 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		agent = vka_open();
		seed = seed * 1000003 + i;
		bad = storm(i, kills);
		fflush(stdout);
		if (bad) /* let the others end, too */
			ka_store_relaxed(&all->kills, kills + PAIRS);
		_exit(bad); /* and with it its members */
	}
	for (i = 0; i < PAIRS; i++) {
		vka_must(waitpid(pid[i], &status, 0) == pid[i]);
		bad |= status != 0;
	}
	return bad;
}

static int account(uint64_t kills)
{
	uint32_t i;
	int bad = 0;

	tell(ka_load_relaxed(&all->kills));
	for (i = 0; i < KILLS_PHASES; i++) {
		printf("killed in phase %-11s %5llu\n", kills_phase[i], (unsigned long long)all->hits[i]);
		bad |= kills >= ENOUGH && i != KILLS_START &&
		       !all->hits[i]; /* between two rounds is nothing */
	}
	if (bad)
		printf("FAIL: a phase was never hit\n");
	if (kills < ENOUGH)
		printf("note: with fewer than %u kills it is not asked whether each phase was hit\n", ENOUGH);
	for (i = VIPX_PROC; i <= VIPX_NIC; i++) {
		double end = storm_now() + NOTICE;

		while (rows(i, 0) && storm_now() < end)
			wait_s(0.01);
		if (!rows(i, 0))
			continue;
		printf("FAIL: %u rows of the dead are left in table %u\n", rows(i, 0), i);
		bad = 1;
	}
	return bad;
}

int main(int argc, char **argv)
{
	int bad;
	uint32_t i;

	storm_read_options(argc, argv, "KILLS", &asked);
	seed = asked.seed;
	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	vka_must(all != MAP_FAILED);
	for (i = 0; i < PAIRS * 2; i++) {
		memset(all->member[i].before, CANARY, sizeof(all->member[i].before));
		memset(all->member[i].after, CANARY, sizeof(all->member[i].after));
	}
	began = storm_now();
	bad = storms(asked.count);
	agent = vka_open();
	bad |= account(ka_load_relaxed(&all->kills));
	vka_close(&agent);
	printf("%s\n", bad ? "FAIL" : "ok");
	return bad;
}
