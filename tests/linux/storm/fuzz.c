/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz.c [-n CALLS] [-s SEED] [-t SECONDS] - random, mutated and raced calls of /dev/vipka by processes of
 * a user without rights, beside a decent one of another user; as root, for it becomes those users.
 *
 * Exit status 1: a byte changed that nobody had registered, the decent one had something to suffer, a call
 * did not come back, or the calls were not what they are meant to be: half of them must get past the first
 * check, and each sort must have succeeded.
 *
 * The number of a life and SEED say what it does, but for the order in which processes and threads meet.
 */
#include "tests/linux/storm/fuzz.h"
#include "tests/linux/storm/storm.h"
#include "tests/op_names.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 200u
#define STILL_S 180.0 /* without a call coming back: it hangs, also where the processor is slow */
#define TELL_S	30.0
#define ENOUGH	100000u /* calls from which on one can say what is never reached */
#define TOP	5	/* outcomes that are told of each sort */

const char *const fuzz_name[FUZZ_TYPES] = {
	OP_NAMES,
	[FUZZ_NO_OP] = "no such request",
	[FUZZ_SEND] = "send",
	[FUZZ_WRITE] = "RDMA write",
	[FUZZ_REFUSED] = "read refused",
	[FUZZ_READ] = "RDMA read",
	[FUZZ_EVENT] = "read()",
	[FUZZ_POLL] = "poll()",
	[FUZZ_MMAP] = "mmap()",
	[FUZZ_CHILD] = "a child's",
	[FUZZ_OTHER] = "other calls",
};

static struct fuzz_board *board;
static struct storm_options asked = {.count = 100000, .seed = 1, .seconds = 1e9};
static uint32_t lives;
static struct {
	pid_t pid;
	uint64_t beat;
	double at; /* of the last change of beat */
} watched[FUZZ_LANES + 1];

static uint64_t beat(uint32_t i)
{
	return ka_load_relaxed(i < FUZZ_LANES ? &board->lane[i].beat : &board->bystander.beat);
}

static void start(uint32_t i)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	vka_must(pid >= 0);
	if (pid == 0 && i == FUZZ_LANES)
		bystander(board);
	if (pid == 0)
		fuzz_live(board, i, lives, asked.seed);
	if (i < FUZZ_LANES)
		lives++;
	watched[i].pid = pid;
	watched[i].beat = beat(i);
	watched[i].at = storm_now();
}

static int tell_stuck(uint32_t i)
{
	char command[200];
	uint32_t type = i < FUZZ_LANES ? ka_load_relaxed(&board->lane[i].type) : 0;

	printf("FAIL: process %d %s has not come back for %.0f s; its call: %s, its second thread's: %u\n",
	       watched[i].pid, i < FUZZ_LANES ? "" : "(the decent one)", STILL_S,
	       type && type < FUZZ_TYPES ? fuzz_name[type] : "?",
	       i < FUZZ_LANES ? ka_load_relaxed(&board->lane[i].helper) : 0);
	fflush(stdout);
	snprintf(command, sizeof(command),
		 "for t in /proc/%d/task/*; do echo $t; cat $t/syscall $t/stack; done; echo w "
		 ">/proc/sysrq-trigger",
		 watched[i].pid);
	return system(command) ? 1 : 1; /* NOLINT(cert-env33-c) */
}

/* 1: something is wrong. */
static int look(uint32_t i, bool over)
{
	int status;

	if (!watched[i].pid)
		return 0;
	if (beat(i) != watched[i].beat) {
		watched[i].beat = beat(i);
		watched[i].at = storm_now();
	}
	if (waitpid(watched[i].pid, &status, WNOHANG) != watched[i].pid)
		return storm_now() > watched[i].at + STILL_S ? tell_stuck(i) : 0;
	watched[i].pid = 0;
	if (status && !(i < FUZZ_LANES && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
		printf("FAIL: %s %u ended with status 0x%x\n", i < FUZZ_LANES ? "life" : "the decent one",
		       i < FUZZ_LANES ? board->lane[i].life : 0, status);
		return 1;
	}
	if (!over)
		start(i);
	return 0;
}

static void tell(double begin)
{
	uint64_t calls = ka_load_relaxed(&board->calls);

	printf("%5.0f s: %llu calls (%llu of them by second threads), %.0f a second; %u lives, %llu "
	       "connections, %llu of them with another "
	       "process; all looked at %llu times; the decent one: %llu rounds, the slowest %.1f ms, "
	       "connected %llu times\n",
	       storm_now() - begin, (unsigned long long)calls, (unsigned long long)board->raced,
	       (double)calls / (storm_now() - begin), lives, (unsigned long long)board->conns,
	       (unsigned long long)board->across, (unsigned long long)board->checked,
	       (unsigned long long)board->bystander.messages, (double)board->bystander.slowest_us / 1e3,
	       (unsigned long long)board->bystander.reconnected);
	fflush(stdout);
}

/* Until it is over, or something is wrong. */
static int watch(void)
{
	double begin = storm_now(), told = begin;
	bool over = false, running = true;
	uint32_t i;
	int bad = 0;

	while (running && !bad) {
		usleep(TICK_MS * 1000);
		if (!over &&
		    (ka_load_relaxed(&board->calls) >= asked.count || storm_now() > begin + asked.seconds)) {
			over = true;
			ka_store_relaxed(&board->over, 1);
		}
		if (storm_now() > told + TELL_S) {
			told = storm_now();
			tell(begin);
		}
		running = false;
		for (i = 0; i <= FUZZ_LANES; i++) {
			bad |= look(i, over);
			running |= watched[i].pid != 0;
		}
	}
	for (i = 0; i <= FUZZ_LANES; i++)
		if (watched[i].pid && kill(watched[i].pid, SIGKILL) == 0)
			waitpid(watched[i].pid, NULL, 0);
	tell(begin);
	return bad;
}

/* ---- the account ---- */

static const char *outcome(uint32_t o)
{
	static const char *const sent[] = {"sent",	 "unreaped",	"held",	       "streaming",
					   "not ready",	 "no receive",	"bad receive", "bad target",
					   "bad source", "source gone", "down"};
	static char text[40];

	if (o >= FUZZ_ENGINE)
		return o - FUZZ_ENGINE < 11 ? sent[o - FUZZ_ENGINE] : "?";
	if (o == 0)
		return "ok";
	snprintf(text, sizeof(text), "%s%s", o > FUZZ_DOOR ? "says " : "",
		 strerrorname_np((int)(o > FUZZ_DOOR ? o - FUZZ_DOOR : o)));
	return text;
}

static uint64_t tell_type(uint32_t t, uint64_t *all)
{
	uint64_t n[FUZZ_OUTCOME], sum = 0, door = 0;
	uint32_t o, best, k;

	memcpy(n, board->count[t], sizeof(n));
	for (o = 0; o < FUZZ_OUTCOME; o++) {
		sum += n[o];
		door += o && o < FUZZ_DOOR ? n[o] : 0;
	}
	printf("%-16s %9llu ", fuzz_name[t], (unsigned long long)sum);
	for (k = 0; k < TOP && sum; k++) {
		for (best = 0, o = 1; o < FUZZ_OUTCOME; o++)
			best = n[o] > n[best] ? o : best;
		if (n[best])
			printf("  %s %.1f%%", outcome(best), 100.0 * (double)n[best] / (double)sum);
		n[best] = 0;
	}
	printf("\n");
	*all += sum;
	return sum - door;
}

static int account(void)
{
	uint64_t in = 0, all = 0;
	uint32_t t;
	int bad = 0;

	for (t = 1; t < FUZZ_TYPES; t++)
		in += tell_type(t, &all);
	all = all ? all : 1;
	printf("%llu calls counted, %llu of them by second threads; %.1f%% got past the first check\n",
	       (unsigned long long)all, (unsigned long long)board->raced, 100.0 * (double)in / (double)all);
	if (all < ENOUGH) {
		printf("note: of fewer than %u calls it is not asked whether each sort succeeded\n", ENOUGH);
		return 0;
	}
	for (t = 1; t < FUZZ_TYPES; t++) {
		if (board->count[t][0] || board->count[t][FUZZ_ENGINE + EMU_SENT_UNREAPED] || t == FUZZ_NO_OP)
			continue;
		printf("FAIL: %s never succeeded\n", fuzz_name[t]);
		bad = 1;
	}
	if (in * 2 < all || !board->across || !board->bystander.messages) {
		printf("FAIL: too few calls got past the first check, or none met another process\n");
		bad = 1;
	}
	return bad;
}

int main(int argc, char **argv)
{
	int bad;
	uint32_t i;

	storm_read_options(argc, argv, "CALLS", &asked);
	if (geteuid() != 0) {
		fprintf(stderr, "%s: only root can become the users that this is about\n", argv[0]);
		return 2;
	}
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	vka_must(board != MAP_FAILED);
	printf("seed %llu, %llu calls\n", (unsigned long long)asked.seed, (unsigned long long)asked.count);
	for (i = 0; i <= FUZZ_LANES; i++)
		start(i);
	bad = watch();
	bad |= account();
	printf("%s\n", bad ? "FAIL" : "ok");
	return bad;
}
