/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stage.c - see stage.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bench/multicast/stage.h"

#define LINE	  64u
#define SPACE_NS  100000u /* all are ready, and wait */
#define MOST_RUNS 1000
#define LOOK_S	  2 /* sleepers look whether somebody has failed */

_Static_assert(sizeof(struct stage_page) <= STAGE_FILE, "the file is too small for a page");

/* The steps of an operation, as what page->step is modulo STEPS. */
enum { STEP_OVER, STEP_MOVE, STEP_CHECK, STEP_RELEASE, STEPS };

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void stage_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

int stage_fault(struct stage_page *page, const char *fmt, ...)
{
	va_list args;

	if (__atomic_exchange_n(&page->failed, 1, __ATOMIC_ACQ_REL))
		return -1;
	va_start(args, fmt);
	vsnprintf(page->why, sizeof(page->why), fmt, args);
	va_end(args);
	stage_wake(&page->told);
	stage_wake(&page->step);
	return -1;
}

struct stage_page *stage_map(const char *path)
{
	struct stage_page *page = MAP_FAILED;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && st.st_size == STAGE_FILE)
		page = mmap(NULL, STAGE_FILE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		fprintf(stderr, "%s is no file of %d bytes to share\n", path, STAGE_FILE);
	if (fd >= 0)
		close(fd);
	return page == MAP_FAILED ? NULL : page;
}

/* ---- taking turns ---- */

bool stage_sleep(struct stage_page *page, uint32_t *word, uint32_t value)
{
	const struct timespec limit = {.tv_sec = LOOK_S};
	uint64_t end = now_ns(CLOCK_MONOTONIC) + STAGE_STALL_MS * 1000000ull;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
		if (__atomic_load_n(&page->failed, __ATOMIC_ACQUIRE) || now_ns(CLOCK_MONOTONIC) > end)
			return false;
		syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0);
	}
	return true;
}

/* The sender: all receivers have ended the step. */
static int await_all(struct stage_page *page)
{
	uint32_t told;

	sched_yield(); /* as in await_step() */
	while ((told = __atomic_load_n(&page->told, __ATOMIC_ACQUIRE)) != page->receivers) {
		if (!stage_sleep(page, &page->told, told))
			return stage_fault(page, "%u of %u receivers have said nothing for %d s",
					   page->receivers - told, page->receivers, STAGE_STALL_MS / 1000);
	}
	return 0;
}

static void begin(struct stage_page *page)
{
	__atomic_store_n(&page->told, 0, __ATOMIC_RELAXED);
	__atomic_add_fetch(&page->step, 1, __ATOMIC_RELEASE);
	stage_wake(&page->step);
}

/* A receiver has ended the step; the last one wakes the sender. */
static void tell(struct stage_page *page)
{
	if (__atomic_add_fetch(&page->told, 1, __ATOMIC_ACQ_REL) == page->receivers)
		stage_wake(&page->told);
}

/*
 * A receiver: the step after the one it has seen.  An operation may be long in coming.  Others
 * may share the processor and still be busy: they have it before this one takes the time to sleep.
 */
static int await_step(struct stage_page *page, uint32_t *seen)
{
	sched_yield();
	while (!stage_sleep(page, &page->step, *seen)) {
		if (page->failed)
			return -1;
		if (*seen % STEPS != STEP_OVER || kill(page->place[0].pid, 0))
			return stage_fault(page, "the sender has said nothing for %d s",
					   STAGE_STALL_MS / 1000);
	}
	++*seen;
	return 0;
}

void stage_take_processor(unsigned int at)
{
	const struct sched_param urgent = {.sched_priority = 1};
	cpu_set_t mine, one;
	int left;

	if (sched_getaffinity(0, sizeof(mine), &mine))
		return;
	left = (int)(at % (unsigned int)CPU_COUNT(&mine));
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &mine) && left-- == 0)
			CPU_SET(cpu, &one);
	}
	sched_setaffinity(0, sizeof(one), &one);
	/* Round robin: one that does not yield gives way to the others, too. */
	sched_setscheduler(0, SCHED_RR, &urgent);
}

int stage_enter(struct stage_page *page, unsigned int at, unsigned int receivers)
{
	page->receivers = receivers;
	__atomic_store_n(&page->place[at].pid, getpid(), __ATOMIC_RELEASE);
	for (unsigned int i = 0; i <= receivers; i++) {
		for (int waited = 0; !__atomic_load_n(&page->place[i].pid, __ATOMIC_ACQUIRE); waited++) {
			if (page->failed || waited > STAGE_STALL_MS)
				return stage_fault(page, "process %u of %u has not begun", i, 1 + receivers);
			usleep(1000);
		}
	}
	return 0;
}

/* ---- the data ---- */

/* All bytes, as numbers of 64 bits. */
static uint64_t sum_words(const uint8_t *data, uint32_t bytes)
{
	const uint64_t *words = (const uint64_t *)data;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < bytes / 8; i++)
		sum += words[i];
	return sum;
}

static void fill(uint8_t *data)
{
	uint64_t x = 88172645463325252ull;

	for (uint32_t i = 0; i < STAGE_MOST / 8; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		((uint64_t *)data)[i] = x;
	}
}

/* Make the data others than those of the operation before: each line of the cache. */
static void stamp(uint8_t *data, uint32_t bytes, uint64_t number)
{
	for (uint32_t i = 0; i < bytes; i += LINE)
		*(uint64_t *)(data + i) = number * 0x9e3779b97f4a7c15ull + i;
}

/* ---- the sender ---- */

struct lead {
	struct stage_page *page;
	struct contender *c;
	uint64_t number;
};

/* Pollers that share this processor go on while the sender lets the time pass. */
static void let_them_wait(void)
{
	uint64_t end = now_ns(CLOCK_MONOTONIC) + SPACE_NS;

	while (now_ns(CLOCK_MONOTONIC) < end)
		sched_yield();
}

static int check(struct lead *l, uint64_t sum)
{
	for (unsigned int i = 1; i <= l->page->receivers; i++) {
		if (l->page->place[i].sum != sum)
			return stage_fault(l->page, "%s: receiver %u has other data than were sent",
					   l->c->name, i);
	}
	return 0;
}

/* The step "move". */
static int move(struct lead *l, uint64_t *start)
{
	struct stage_page *page = l->page;
	struct stage_place *mine = &page->place[0];

	begin(page);
	if (page->mode != STAGE_WORK) {
		if (await_all(page))
			return -1;
		page->told = 0;
		let_them_wait();
	}
	/* A system call, on this processor before those who share it see the data. */
	if (page->mode == STAGE_WORK)
		mine->work = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	*start = now_ns(CLOCK_MONOTONIC);
	if (l->c->send(l->c, page->bytes))
		return -1;
	if (page->mode == STAGE_WORK)
		mine->work = now_ns(CLOCK_PROCESS_CPUTIME_ID) - mine->work;
	return await_all(page);
}

static int release(struct lead *l)
{
	struct stage_place *mine = &l->page->place[0];
	uint64_t before;

	begin(l->page);
	before = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (l->c->sent && l->c->sent(l->c))
		return -1;
	mine->work += now_ns(CLOCK_PROCESS_CPUTIME_ID) - before;
	return await_all(l->page);
}

/* One operation; in ns, the time it took, or for STAGE_WORK the processor time. */
static int operate(struct lead *l, uint64_t *result)
{
	struct stage_page *page = l->page;
	uint64_t start, sum, last = 0, work = 0;

	stamp(l->c->source, page->bytes, ++l->number);
	sum = sum_words(l->c->source, page->bytes);
	if (move(l, &start))
		return -1;
	begin(page);
	if (await_all(page) || check(l, sum) || release(l))
		return -1;
	for (unsigned int i = 0; i <= page->receivers; i++) {
		work += page->place[i].work;
		if (i && page->place[i].end > last)
			last = page->place[i].end;
	}
	*result = page->mode == STAGE_WORK ? work : last - start;
	begin(page);
	return 0;
}

static bool parse(const char *order, struct stage_page *page, unsigned int *skip, unsigned int *count)
{
	static const char *const modes[] = {"arrived", "read", "work"};
	char mode[8];

	if (sscanf(order, "run %7s %u %u %u", mode, &page->bytes, skip, count) != 4 || page->bytes == 0 ||
	    page->bytes % LINE || page->bytes > STAGE_MOST || *count > MOST_RUNS || *count == 0)
		return false;
	for (page->mode = 0; page->mode < 3 && strcmp(mode, modes[page->mode]); page->mode++)
		;
	return page->mode < 3;
}

static int ascending(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/*
 * "run MODE BYTES SKIP COUNT": COUNT operations after SKIP that do not count.  The
 * answer is "ok MEDIAN P10 P90 MOVED": nanoseconds, and bytes or -1.
 */
static int run(struct lead *l, int call, const char *order)
{
	uint64_t r[MOST_RUNS], before = 0, after = 0;
	unsigned int skip, count;
	double moved = -1;

	if (!parse(order, l->page, &skip, &count))
		return stage_fault(l->page, "no such order: %.80s", order);
	if (l->c->moved && l->c->moved(l->c, &before))
		return -1;
	for (unsigned int i = 0; i < skip + count; i++) {
		if (operate(l, &r[i < skip ? 0 : i - skip]))
			return -1;
	}
	if (l->c->moved) {
		if (l->c->moved(l->c, &after))
			return -1;
		moved = (double)(after - before) / (skip + count);
	}
	qsort(r, count, sizeof(r[0]), ascending);
	dprintf(call, "ok %llu %llu %llu %.1f\n", (unsigned long long)r[count / 2],
		(unsigned long long)r[count / 10], (unsigned long long)r[count - 1 - count / 10], moved);
	return 0;
}

int stage_call(struct stage_page *page, const char *socket_path, const char *name)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int call = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", socket_path);
	if (call < 0 || connect(call, (struct sockaddr *)&to, sizeof(to))) {
		stage_fault(page, "no coordinator at %s: %s", socket_path, strerror(errno));
		fprintf(stderr, "%s\n", page->why);
		return -1;
	}
	/* The coordinator may hang up while we answer. */
	signal(SIGPIPE, SIG_IGN);
	dprintf(call, "hello %s 0 %d\n", name, (int)getpid());
	return call;
}

int stage_lead(struct stage_page *page, struct contender *c, int call, const char *about)
{
	struct lead l = {.page = page, .c = c};
	FILE *orders = fdopen(dup(call), "r");
	char order[128];
	int err = 0;

	if (!orders)
		return stage_fault(page, "the coordinator cannot be heard: %s", strerror(errno));
	fill(c->source);
	dprintf(call, "ready %s\n", about);
	while (!err && fgets(order, sizeof(order), orders))
		err = run(&l, call, order);
	fclose(orders);
	return err;
}

void stage_end(struct stage_page *page, int call)
{
	if (page->failed)
		dprintf(call, "fail %.*s\n", (int)sizeof(page->why), page->why);
	page->quit = 1;
	begin(page);
	close(call);
}

/* ---- a receiver ---- */

static int take_part(struct stage_page *page, struct stage_place *mine, struct contender *c, uint32_t *step)
{
	const bool work = page->mode == STAGE_WORK;
	const uint8_t *data;
	uint64_t cpu = 0;

	if (work)
		cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	else
		tell(page);
	if (c->receive(c, page->bytes, &data))
		return -1;
	if (page->mode == STAGE_READ)
		mine->sum = sum_words(data, page->bytes);
	mine->end = now_ns(CLOCK_MONOTONIC);
	if (work)
		mine->work = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	tell(page);

	if (await_step(page, step))
		return -1;
	if (page->mode != STAGE_READ)
		mine->sum = sum_words(data, page->bytes);
	tell(page);

	if (await_step(page, step))
		return -1;
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (c->release && c->release(c))
		return -1;
	mine->work += now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	tell(page);
	return await_step(page, step);
}

/* From one operation to the next. */
int stage_follow(struct stage_page *page, unsigned int at, struct contender *c)
{
	uint32_t step = 0;

	for (;;) {
		if (await_step(page, &step))
			return -1;
		if (page->quit)
			return 0;
		if (take_part(page, &page->place[at], c, &step))
			return -1;
	}
}
