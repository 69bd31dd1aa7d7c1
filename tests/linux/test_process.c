/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_process.c - processes of the kernel module that end: by exit, kill and exec, with the device held
 * open by others; and one whose threads change their mappings while they register.
 */
#include "tests/linux/vka.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "include/vipl_ext.h"

#define PAGE  4096ul
#define PAGES 256ul
#define NOTED 20000 /* ms within which an end must have been noticed */

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static uint64_t stat_of(const struct vka *v, const char *name)
{
	static struct vipx_rec rec[KA_MAX_RECS];
	struct ka_req req = {.op = KA_OP_INSPECT, .u.inspect = {.kind = VIPX_STAT}};
	struct vipka_call call = {.req = (uintptr_t)&req, .tail = (uintptr_t)rec, .tail_bytes = sizeof(rec)};
	struct ka_rep rep;
	uint32_t i;

	call.rep = (uintptr_t)&rep;
	assert_int_equal(ioctl(v->dev, VIPKA_CALL, &call), 0);
	for (i = 0; i < rep.nrecs; i++)
		if (!strcmp(rec[i].u.stat.name, name))
			return rec[i].u.stat.value;
	fail_msg("no %s", name);
	return 0;
}

/* Pages that the kernel has pinned for anybody. */
static long all_pinned(void)
{
	long acquired = 0, released = 0;
	char line[128];
	FILE *f = fopen("/proc/sys/vm/stat_refresh", "re");

	/* Each processor counts for itself until it is asked. */
	vka_must(f != NULL);
	(void)!fgets(line, sizeof(line), f);
	fclose(f);
	f = fopen("/proc/vmstat", "re");
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "nr_foll_pin_acquired %ld", &acquired);
		sscanf(line, "nr_foll_pin_released %ld", &released);
	}
	if (f)
		fclose(f);
	return acquired - released;
}

/* The watcher is the only process again, and nothing is pinned but what was before. */
static void alone(const struct vka *watcher, long pinned_before)
{
	long long end = now_ms() + NOTED;

	while ((stat_of(watcher, "processes") != 1 || all_pinned() != pinned_before) && now_ms() < end)
		usleep(5000);
	assert_int_equal(stat_of(watcher, "processes"), 1);
	assert_int_equal(stat_of(watcher, "regions"), 0);
	assert_int_equal(all_pinned(), pinned_before);
}

static void *memory(void)
{
	return mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* A child that has registered memory, which says so in the pipe; then @then(). */
static pid_t child(int told, void (*then)(const struct vka *v))
{
	pid_t pid = fork();
	struct vka v;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	v = vka_open();
	vka_reg(&v, memory(), PAGES * PAGE, v.tag, 0);
	vka_must(write(told, "", 1) == 1);
	then(&v);
	_exit(0);
}

static void wait_to_be_killed(const struct vka *v)
{
	(void)v;
	for (;;)
		pause();
}

static void leave_to_a_child(const struct vka *v)
{
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, 0);
		sleep(5);
		_exit(0);
	}
	(void)v;
}

static void execute(const struct vka *v)
{
	dup(v->dev); /* without close-on-exec */
	execl("/bin/sleep", "sleep", "5", NULL);
}

static void register_for_ever(const struct vka *v)
{
	void *at;

	for (;;) {
		at = memory();
		vka_reg(v, at, PAGES * PAGE, v->tag, 0);
		munmap(at, PAGES * PAGE);
	}
}

static void ends(void (*then)(const struct vka *v), int signum)
{
	struct vka watcher = vka_open();
	long before = all_pinned();
	int told[2], status;
	char byte;
	pid_t pid;

	vka_must(pipe(told) == 0);
	pid = child(told[1], then);
	close(told[1]);
	assert_int_equal(read(told[0], &byte, 1), 1);
	if (signum) {
		usleep(200000);
		kill(pid, signum);
	}
	/* Others hold the device, or the program runs on: its memory has gone all the same. */
	alone(&watcher, before);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(told[0]);
	vka_close(&watcher);
}

static void exits(void **state)
{
	(void)state;
	ends(leave_to_a_child, 0);
}

static void executes(void **state)
{
	(void)state;
	ends(execute, 0);
}

static void killed(void **state)
{
	(void)state;
	ends(wait_to_be_killed, SIGKILL);
}

static void killed_while_it_registers(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 5; i++)
		ends(register_for_ever, SIGKILL);
}

/* A peer learns of a kill. */
static void peer_killed(void **state)
{
	struct vka watcher = vka_open();
	struct vka_conn c = vka_vi(&watcher, 2, 0);
	struct vipka_event ev;
	struct ka_event e;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct vka v = vka_open();
		struct vka_conn mine = vka_vi(&v, 2, 0);

		vka_request(&v, &mine, 77);
		wait_to_be_killed(&v);
	}
	vka_accept(&watcher, &c, 77);
	kill(pid, SIGKILL);
	assert_true(vka_event(&watcher, &ev, NOTED));
	memcpy(&e, ev.event, sizeof(e));
	assert_int_equal(e.type, KA_EV_LOST);
	assert_int_equal(e.info.vi, c.vi);
	assert_int_equal(e.down & 0xff, KA_DOWN_DEAD);
	waitpid(pid, NULL, 0);
	vka_close(&watcher);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS	1000

static struct vka shared;
static uint8_t *area;

/* Registers, unmaps, maps anew, gives back and forks, all in one area. */
static void *anything(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg, done, registered = 0;
	uint32_t handle[8] = {0}, i;
	uint8_t *at[8] = {NULL};
	struct ka_rep rep;
	struct ka_req req;
	pid_t pid;

	for (done = 0; done < ROUNDS; done++) {
		uint8_t *p = area + (size_t)rand_r(&seed) % PAGES * PAGE;
		size_t len = ((size_t)rand_r(&seed) % 8 + 1) * PAGE;

		i = (uint32_t)rand_r(&seed) % 8;
		switch (rand_r(&seed) % 16) {
		case 0:
			munmap(p, len);
			/* fall through */
		case 1:
			mmap(p, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			break;
		case 2:
			madvise(p, len, MADV_DONTNEED);
			break;
		case 3:
			if (done % 64)
				break;
			pid = fork();
			if (pid == 0)
				_exit(0);
			waitpid(pid, NULL, 0);
			break;
		default:
			if (handle[i]) {
				vka_must(vka_dereg(&shared, at[i], handle[i]) == 0);
				handle[i] = 0;
				break;
			}
			req = (struct ka_req){.op = KA_OP_MEM_REG,
					      .nic = shared.nic,
					      .u.reg = {(uintptr_t)p, len, shared.tag, 0, 0, 0}};
			if (vka_call(&shared, &req, &rep, NULL) == 0) {
				handle[i] = rep.u.mem.handle;
				at[i] = p;
				registered++;
			} else {
				vka_must(rep.err == -EINVAL || rep.err == -EFAULT);
			}
		}
	}
	for (i = 0; i < 8; i++)
		if (handle[i])
			vka_must(vka_dereg(&shared, at[i], handle[i]) == 0);
	return (void *)(uintptr_t)registered;
}

static void threads(void **state)
{
	pthread_t thread[THREADS];
	long before = all_pinned();
	void *registered;
	int i;

	(void)state;
	shared = vka_open();
	area = mmap(NULL, (PAGES + 8) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < THREADS; i++)
		vka_must(pthread_create(&thread[i], NULL, anything, (void *)(uintptr_t)(i + 1)) == 0);
	for (i = 0; i < THREADS; i++) {
		pthread_join(thread[i], &registered);
		assert_true((uintptr_t)registered > ROUNDS / 10);
	}
	assert_int_equal(stat_of(&shared, "regions"), 0);
	assert_int_equal(all_pinned(), before);
	munmap(area, (PAGES + 8) * PAGE);
	vka_close(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exits),       cmocka_unit_test(executes),
		cmocka_unit_test(killed),      cmocka_unit_test(killed_while_it_registers),
		cmocka_unit_test(peer_killed), cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
