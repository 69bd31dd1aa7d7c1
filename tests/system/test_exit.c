/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_exit.c - every way to leave.  Whoever stays is told within one second,
 * nothing hangs, nothing is left behind, and the next start works.
 */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOLD_MS	 1000
#define TRIES	 5 /* a busy machine tells late for once, but not every time */
#define START_MS 60000

static const char *const stays[] = {"recvwait", "cqwait", "callback", "poll"};

/* A start after whatever happened: a short exchange in the same room. */
static void next_start_works(const struct room *r)
{
	const char *argv[] = {"vip_pingpong", "--local", "-n", "100", "-c", NULL};
	struct proc p;
	int code;

	proc_start(&p, r, NULL, argv);
	code = proc_wait(&p, START_MS);
	if (code) {
		char *err = proc_err(&p);

		print_error("%s", err);
		free(err);
	}
	assert_int_equal(code, 0);
	proc_drop(&p);
}

/*
 * Two ends are connected; one leaves by @how, or is killed when it is "pause".
 * @server_leaves: which of the two.  Returns how long it took until the other was told, ms.
 */
static int64_t leave_once(const struct room *r, const char *how, const char *stay, bool server_leaves)
{
	const char *server[] = {VIPL_LEAVER, "server", server_leaves ? how : stay, NULL};
	const char *client[] = {VIPL_LEAVER, "client", server_leaves ? stay : how, NULL};
	struct proc ps, pc, *leaver = server_leaves ? &ps : &pc, *survivor = server_leaves ? &pc : &ps;
	bool lives = strcmp(how, "close") == 0 || strcmp(how, "disconnect") == 0;
	int64_t start, took;
	char *out;

	proc_start(&ps, r, NULL, server);
	proc_await(&ps, "listening", START_MS);
	proc_start(&pc, r, NULL, client);
	proc_await(&ps, "connected", START_MS);
	proc_await(&pc, "connected", START_MS);
	if (strcmp(how, "pause") == 0) {
		/* The other has fallen asleep by now. */
		sleep_ms(200);
		kill(leaver->pid, SIGKILL);
	}
	start = now_ms();
	if (lives)
		/* It leaves 200 ms after it was connected. */
		start += 200;
	else
		proc_wait(leaver, START_MS);
	if (proc_wait(survivor, TOLD_MS + START_MS)) {
		char *err = proc_err(survivor);

		print_error("%s leaves by %s, the other in %s: %s\n", server_leaves ? "server" : "client",
			    how, stay, err);
		free(err);
		fail();
	}
	took = now_ms() - start;
	out = proc_out(survivor);
	assert_non_null(strstr(out, "told:"));
	free(out);
	proc_drop(&ps);
	proc_drop(&pc);
	room_assert_empty(r);
	return took;
}

static void one_leaves(const struct room *r, const char *how, const char *stay, bool server_leaves)
{
	int64_t took = 0;

	for (int i = 0; i < TRIES; i++) {
		took = leave_once(r, how, stay, server_leaves);
		/* _exit and the like come up to 200 ms after the start of the measurement. */
		if (took <= (TOLD_MS + 200) * SLOWER)
			return;
	}
	fail_msg("%s, %s: told after %lld ms, and late each time before", how, stay, (long long)took);
}

static void every_stay(const struct room *r, const char *how)
{
	for (size_t i = 0; i < sizeof(stays) / sizeof(stays[0]); i++)
		one_leaves(r, how, stays[i], i % 2);
	one_leaves(r, how, "recvwait", true);
}

static void exit_with_all_open(void **state)
{
	every_stay(*state, "_exit");
}

static void return_with_all_open(void **state)
{
	one_leaves(*state, "return", "recvwait", true);
	one_leaves(*state, "return", "callback", false);
}

static void killed_by_signal(void **state)
{
	every_stay(*state, "pause");
}

static void aborted(void **state)
{
	one_leaves(*state, "abort", "cqwait", true);
	one_leaves(*state, "abort", "recvwait", false);
}

static void closed_nic(void **state)
{
	every_stay(*state, "close");
}

static void disconnected(void **state)
{
	every_stay(*state, "disconnect");
}

/* In the middle of transfers, asleep or polling; how long it took until the survivor had ended, ms. */
static int64_t kill_once(const struct room *r, bool server_dies, bool sleeping)
{
	const char *server[] = {"vip_pingpong", sleeping ? "-w" : "-d", sleeping ? NULL : "emu0", NULL};
	const char *client[] = {"vip_pingpong",		"-n", "100000000", "-s", "64k", "localhost",
				sleeping ? "-w" : NULL, NULL};
	struct proc ps, pc, *dies = server_dies ? &ps : &pc, *survivor = server_dies ? &pc : &ps;
	int64_t start, took;
	int code;

	proc_start(&ps, r, NULL, server);
	proc_start(&pc, r, NULL, client);
	room_await_connection(r);
	sleep_ms(100);
	assert_false(proc_ended(&ps, 0));
	assert_false(proc_ended(&pc, 0));
	start = now_ms();
	kill(dies->pid, SIGKILL);
	code = proc_wait(survivor, START_MS);
	took = now_ms() - start;
	assert_int_equal(code, 1);
	proc_assert_refusal(survivor, 0, "vip_pingpong:");
	proc_drop(&ps);
	proc_drop(&pc);
	room_assert_empty(r);
	return took;
}

static void pingpong_killed(const struct room *r, bool server_dies, bool sleeping)
{
	int64_t took = 0;

	for (int i = 0; i < TRIES; i++) {
		took = kill_once(r, server_dies, sleeping);
		if (took <= TOLD_MS * SLOWER)
			return;
	}
	fail_msg("the survivor was told after %lld ms, and late each time before", (long long)took);
}

static void killed_in_a_transfer(void **state)
{
	for (int i = 0; i < 4; i++)
		pingpong_killed(*state, i & 1, i & 2);
	next_start_works(*state);
	room_assert_empty(*state);
}

/* The @nth process of the demo but the first one; -1 when there are fewer. */
static pid_t demo_child(const struct room *r, const struct proc *demo, int nth)
{
	pid_t pids[16], agent = room_find(r, "vipkad");
	int n = room_pids(r, NULL, pids, 16);

	/* Before the agent runs, a process may be about to become it. */
	for (int i = 0; i < n && agent > 0; i++) {
		if (pids[i] != demo->pid && pids[i] != agent && nth-- == 0)
			return pids[i];
	}
	return -1;
}

/* @nth: which process of the demo is killed, -1: the one that was started. */
static bool demo_killed(const struct room *r, int nth)
{
	char path[128];
	const char *argv[] = {"shared_receive", "--json", path, NULL};
	int64_t end = now_ms() + 2 * START_MS;
	struct proc p;
	pid_t victim;
	int fd;

	/* Holes take no room; a second or more of work for each step of the demo. */
	snprintf(path, sizeof(path), "%s/data", r->base);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1ll << 30), 0);
	close(fd);

	proc_start(&p, r, NULL, argv);
	do
		victim = nth < 0 ? (demo_child(r, &p, 0) < 0 ? -1 : p.pid) : demo_child(r, &p, nth);
	while (victim < 0 && now_ms() < end && !proc_ended(&p, 5));
	if (victim < 0) {
		proc_drop(&p);
		unlink(path);
		return false;
	}
	sleep_ms(300);
	assert_false(proc_ended(&p, 0));
	kill(victim, SIGKILL);
	if (nth < 0) {
		proc_wait(&p, START_MS);
	} else {
		char *err;

		assert_int_not_equal(proc_wait(&p, START_MS), 0);
		err = proc_err(&p);
		assert_true(err[0] != 0);
		free(err);
	}
	proc_drop(&p);
	unlink(path);
	room_assert_empty(r);
	return true;
}

static void demo_processes_killed(void **state)
{
	int n = 0;

	while (n < 3 && demo_killed(*state, n))
		n++;
	/* Two that share the segment and one that sends. */
	assert_int_equal(n, 3);
	assert_true(demo_killed(*state, -1));
	next_start_works(*state);
	room_assert_empty(*state);
}

/* The agent dies: everybody ends with an error, within the time returned, and the next start has a new agent.
 */
static int64_t lose_agent(const struct room *r, const char *server_stays, const char *client_stays)
{
	const char *server[] = {VIPL_LEAVER, "server", server_stays, NULL};
	const char *client[] = {VIPL_LEAVER, "client", client_stays, NULL};
	struct proc ps, pc;
	int64_t start, took;

	proc_start(&ps, r, NULL, server);
	proc_await(&ps, "listening", START_MS);
	proc_start(&pc, r, NULL, client);
	proc_await(&ps, "connected", START_MS);
	proc_await(&pc, "connected", START_MS);
	sleep_ms(100);
	room_kill_agent(r);
	start = now_ms();
	if (!proc_ended(&ps, START_MS) || !proc_ended(&pc, START_MS))
		fail_msg("%s or %s still sleeps after the agent died", server_stays, client_stays);
	took = now_ms() - start;
	/* they end by themselves, not by a signal */
	assert_true(proc_wait(&ps, 0) >= 0 && proc_wait(&ps, 0) < 128);
	assert_true(proc_wait(&pc, 0) >= 0 && proc_wait(&pc, 0) < 128);
	proc_drop(&ps);
	proc_drop(&pc);
	next_start_works(r);
	room_assert_empty(r);
	return took;
}

static void agent_killed(void **state)
{
	for (size_t i = 0; i < sizeof(stays) / sizeof(stays[0]); i++) {
		int tries = 0;

		while (lose_agent(*state, stays[i], stays[(i + 1) % 4]) > TOLD_MS * SLOWER)
			assert_true(++tries < TRIES);
	}
}

/* The same in the middle of transfers, and while somebody waits for a connection. */
static void agent_killed_under_pingpong(void **state)
{
	const char *client[] = {"vip_pingpong", "-n", "100000000", "-w", "localhost", NULL};
	const char *server[] = {"vip_pingpong", "-w", NULL};
	struct room *r = *state;
	struct proc ps, pc;

	proc_start(&ps, r, NULL, server);
	proc_start(&pc, r, NULL, client);
	room_await_connection(r);
	room_kill_agent(r);
	assert_int_equal(proc_wait(&ps, START_MS), 1);
	assert_int_equal(proc_wait(&pc, START_MS), 1);
	proc_drop(&ps);
	proc_drop(&pc);

	proc_start(&ps, r, NULL, server);
	for (int64_t end = now_ms() + START_MS; room_find(r, "vipkad") < 0 && now_ms() < end;)
		sleep_ms(10);
	sleep_ms(300 * SLOWER); /* it waits by then, or is on its way: told in either case */
	room_kill_agent(r);
	proc_assert_refusal(&ps, START_MS, "vip_pingpong:");
	proc_drop(&ps);
	next_start_works(r);
	room_assert_empty(r);
}

/* And when nobody leaves before the end: all sizes, checked, between two processes. */
static void nobody_leaves(void **state)
{
	const char *server[] = {"vip_pingpong", NULL};
	const char *client[] = {"vip_pingpong", "-S", "all", "-n", "50", "-c", "--json", "localhost", NULL};
	struct room *r = *state;
	struct proc ps, pc;
	char *out;

	proc_start(&ps, r, NULL, server);
	proc_start(&pc, r, NULL, client);
	assert_int_equal(proc_wait(&pc, START_MS), 0);
	assert_int_equal(proc_wait(&ps, START_MS), 0);
	out = proc_out(&pc);
	assert_non_null(strstr(out, "1048576"));
	free(out);
	proc_drop(&ps);
	proc_drop(&pc);
	room_assert_empty(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_leaves, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(exit_with_all_open, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(return_with_all_open, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(killed_by_signal, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(aborted, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(closed_nic, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(disconnected, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(killed_in_a_transfer, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(demo_processes_killed, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(agent_killed, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(agent_killed_under_pingpong, room_setup, room_teardown),
	};

	room_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
