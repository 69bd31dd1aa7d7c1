/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_perf.c - vip_perf as its user sees it: each test with each kind of
 * memory, what it prints, what it refuses, a server and a client, and that
 * nothing is left whoever is killed.  How fast anything is, is not looked at.
 */
#include "proc.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS	 40000
#define TOLD_MS	 2000
#define MAX_ARGS 32
#define SMALL	 "--time", "0.001", "--warmup", "1", "-q"

static const char *const kinds[] = {"private", "segment", "memfd", "shm"};

/* Runs to its end with exit code 0 and nothing on stderr; what it printed, to be freed. */
static char *run(const struct room *r, const char *const argv[])
{
	struct proc p;
	char *out, *err;
	int code;

	proc_start(&p, r, NULL, argv);
	code = proc_wait(&p, MS);
	out = proc_out(&p);
	err = proc_err(&p);
	if (code || *err)
		fail_msg("%s %s: exit code %d, %s", argv[0], argv[1], code, err);
	free(err);
	proc_drop(&p);
	return out;
}

/* As JSON: "vip_perf TEST --json" with what is short, and @more. */
static json_t *rows(const struct room *r, const char *test, const char *const more[])
{
	const char *argv[MAX_ARGS] = {"vip_perf", test, "--json", SMALL};
	json_error_t why;
	json_t *all;
	char *out;
	int n = 8;

	for (; *more; more++)
		argv[n++] = *more;
	out = run(r, argv);
	all = json_loads(out, 0, &why);
	if (!json_is_array(all) || !json_array_size(all))
		fail_msg("%s: no array of rows: %s line %d: %s", test, why.text, why.line, out);
	free(out);
	return all;
}

static double number(const json_t *row, const char *key)
{
	const json_t *value = json_object_get(row, key);

	if (!json_is_number(value))
		fail_msg("no number %s", key);
	return json_number_value(value);
}

static const char *word(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	if (!text)
		fail_msg("no text %s", key);
	return text;
}

/* What holds of each row whatever was measured. */
static void check_row(const json_t *row, const char *test)
{
	static const char *const ascending[] = {"min", "median", "p90", "p99", "max"};
	double n = number(row, "n"), batch = number(row, "batch"), last = 0;
	const json_t *p999 = json_object_get(row, "p999");

	if (strncmp(word(row, "test"), test, strlen(test)) != 0)
		fail_msg("a row of %s in the results of %s", word(row, "test"), test);
	assert_int_equal(json_object_size(row), 22);
	assert_true(batch >= 1 && n >= batch && (uint64_t)n % (uint64_t)batch == 0);
	for (size_t i = 0; i < sizeof(ascending) / sizeof(ascending[0]); i++) {
		if (number(row, ascending[i]) < last)
			fail_msg("%s: %s is less than what comes before it", test, ascending[i]);
		last = number(row, ascending[i]);
	}
	assert_true(number(row, "mean") >= number(row, "min") && number(row, "mean") <= last);
	assert_true(n / batch >= 1000 ? json_is_number(p999) : json_is_null(p999));
	assert_true(*word(row, "unit") != 0);
}

static void check_rows(const json_t *all, const char *test, size_t count)
{
	assert_int_equal(json_array_size(all), count);
	for (size_t i = 0; i < count; i++)
		check_row(json_array_get(all, i), test);
}

/* ---- each test ---- */

static void each_kind(const struct room *r, const char *test, size_t count, const char *const more[])
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const char *args[MAX_ARGS] = {"--memory", kinds[i]};
		json_t *all;

		for (int n = 0; more[n]; n++)
			args[2 + n] = more[n];
		all = rows(r, test, args);
		check_rows(all, test, count);
		assert_string_equal(word(json_array_get(all, 0), "memory"), kinds[i]);
		assert_true(number(json_array_get(all, 0), "median") > 0);
		json_decref(all);
	}
	room_assert_empty(r);
}

/* 70000 bytes are in no cell of the rings, and in three pieces that are not alike. */
static void transfers(void **state)
{
	static const char *const lats[] = {"lat", "write-lat", "read-lat"};
	static const char *const bursts[] = {"bw", "rate", "write-bw", "read-bw"};
	const char *const lat[] = {"--check", "-s", "8,70000", "--vis", "2", "--buffers", "3", NULL};
	const char *const burst[] = {"--check", "-s", "70000",	   "--window", "4",
				     "--vis",	"2",  "--buffers", "3",	       NULL};

	for (size_t i = 0; i < sizeof(lats) / sizeof(lats[0]); i++)
		each_kind(*state, lats[i], 2, lat);
	for (size_t i = 0; i < sizeof(bursts) / sizeof(bursts[0]); i++)
		each_kind(*state, bursts[i], 1, burst);
}

static void other_ways(void **state)
{
	const char *const queue[] = {"--cq",  "--idle", "3",	   "--segs",	"3",
				     "--vis", "2",	"--check", "--buffers", "2",
				     "-n",    "40",	"--level", "reception", NULL};
	const char *const sleeping[] = {"--wait", "--check", "--level", "reception", NULL};
	const char *const both[] = {"--wait", "--cq", "--segs", "2", NULL};
	const char *const pause[] = {"--wait", "--pause", "100", "-n", "5", NULL};
	static const char *const tests[] = {"lat",	"bw",	    "rate",   "write-lat",
					    "write-bw", "read-lat", "read-bw"};
	json_t *all;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		const char *const *const ways[] = {queue, sleeping, both};

		for (size_t way = 0; way < 3; way++) {
			all = rows(*state, tests[i], ways[way]);
			check_rows(all, tests[i], 1);
			if (way == 0) {
				assert_int_equal(number(json_array_get(all, 0), "idle"), 3);
				assert_true(json_is_true(json_object_get(json_array_get(all, 0), "cq")));
			}
			json_decref(all);
		}
	}
	all = rows(*state, "lat", pause);
	check_rows(all, "wakeup", 1);
	assert_int_equal(number(json_array_get(all, 0), "n"), 5);
	json_decref(all);
	room_assert_empty(*state);
}

static void overlap(void **state)
{
	const char *const more[] = {"-s", "300k", "-n", "5", NULL};

	each_kind(*state, "overlap", 4, more);
}

static void multicast(void **state)
{
	const char *const more[] = {"--each", "--check",     "-s", "1,70000", "-n",
				    "4",      "--receivers", "3",  NULL};
	const char *const once[] = {"--check", "-s", "1,70000", "-n", "4", "--receivers", "3", NULL};
	const char *const sleeping[] = {"--memory", "memfd", "--wait", "-n", "4", NULL};
	json_t *all;

	each_kind(*state, "multicast", 2, more);
	all = rows(*state, "multicast", once);
	check_rows(all, "multicast", 2);
	assert_int_equal(number(json_array_get(all, 0), "receivers"), 3);
	assert_string_equal(word(json_array_get(all, 0), "memory"), "segment");
	json_decref(all);
	all = rows(*state, "multicast", sleeping);
	check_rows(all, "multicast", 1);
	json_decref(all);
	room_assert_empty(*state);
}

static void cost(void **state)
{
	static const char *const names[] = {"open",	 "close",      "create-vi", "destroy-vi",
					    "create-cq", "destroy-cq", "connect",   "disconnect",
					    "register",	 "deregister"};
	const char *const more[] = {"-s", "4k", "-n", "2", NULL};
	const char *const one[] = {"-s", "4k,8k", "-n", "2", "--memory", "shm", NULL};
	json_t *all = rows(*state, "cost", more);

	assert_int_equal(json_array_size(all), 8 + 2 * 4);
	for (size_t i = 0; i < json_array_size(all); i++)
		check_row(json_array_get(all, i), names[i < 8 ? i : 8 + i % 2]);
	json_decref(all);
	all = rows(*state, "cost", one);
	assert_int_equal(json_array_size(all), 8 + 2 * 2);
	json_decref(all);
	room_assert_empty(*state);
}

/* ---- output ---- */

static int fields(const char *line)
{
	int n = 1;

	for (; *line && *line != '\n'; line++)
		n += *line == ',';
	return n;
}

static void as_csv_and_table(void **state)
{
	const char *csv[] = {"vip_perf", "bw", "--csv", "-s", "all", "-n", "1", "--window", "1", SMALL, NULL};
	const char *table[] = {"vip_perf", "bw", "-s", "1,2", SMALL, NULL};
	char *out = run(*state, csv), *line = out;
	int lines = 0;

	assert_int_equal(strncmp(out, "test,bytes,memory,", 18), 0);
	for (; *line; line = strchr(line, '\n') + 1, lines++)
		assert_int_equal(fields(line), 22);
	assert_int_equal(lines, 1 + 23); /* 1, 2, 4 .. 4 MiB */
	assert_non_null(strstr(out, "\nbw,4194304,private,delivery,0,0,1,1,0,1,1,1,1,1,"));
	free(out);
	out = run(*state, table);
	assert_non_null(strstr(out, "median"));
	assert_non_null(strstr(out, "MB/s\n"));
	free(out);
	room_assert_empty(*state);
}

/* ---- what is refused ---- */

static void usage(void **state)
{
	static const char *const wrong[][6] = {
		{"which test"},
		{"no such test: nosuch", "nosuch"},
		{"cost takes no --window", "cost", "--window", "3"},
		{"lat takes no --window", "lat", "--window", "3"},
		{"--server takes no other options", "bw", "--server", "-s", "8"},
		{"--server takes no host", "bw", "--server", "localhost"},
		{"--pause needs --wait", "lat", "--pause", "5"},
		{"from 1 to 1000000", "lat", "--wait", "--pause", "0"},
		{"--memory takes", "lat", "--memory", "paper"},
		{"reliability level", "lat", "--level", "high"},
		{"not a size: 1x", "lat", "-s", "8,1x"},
		{"1 bytes at least", "write-lat", "-s", "0"},
		{"4 bytes at least", "lat", "-s", "2", "--segs=4"},
		{"--buffers", "bw", "--check", "--vis", "2"},
		{"processor", "lat", "--cpus", "1023"},
		{"--time takes seconds", "lat", "--time", "0"},
		{"private memory", "multicast", "--memory", "private"},
		{"not both", "lat", "--csv", "--json"},
		{"100000 at most", "overlap", "-n", "100001"},
		{"no such option: --nosuch", "lat", "--nosuch"},
		{"no such option: --cq=1", "lat", "--cq=1"},
	};
	struct room *r = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *argv[] = {"vip_perf",  wrong[i][1], wrong[i][2], wrong[i][3],
				      wrong[i][4], wrong[i][5], NULL};
		struct proc p;
		char *err;

		proc_start(&p, r, NULL, argv);
		assert_int_equal(proc_wait(&p, MS), 2);
		err = proc_err(&p);
		if (!strstr(err, wrong[i][0]) || strchr(err, '\n') != err + strlen(err) - 1)
			fail_msg("want one line with \"%s\": %s", wrong[i][0], err);
		free(err);
		proc_drop(&p);
	}
	room_assert_empty(r);
}

static void refused(struct room *r, const struct proc_opts *o, const char *const argv[], const char *cause)
{
	struct proc p;

	proc_start(&p, r, o, argv);
	proc_assert_refusal(&p, MS, cause);
	proc_drop(&p);
	room_assert_empty(r);
}

static void limits(void **state)
{
	const struct proc_opts little = {.plain = true, .memlock = 65536};
	const char *large[] = {"vip_perf", "lat", "-s", "8m", "-q", NULL};
	const char *segs[] = {"vip_perf", "bw", "--segs", "1000", "-q", NULL};
	const char *window[] = {"vip_perf", "bw", "--window", "5000", "-q", NULL};
	const char *idle[] = {"vip_perf", "lat", "--idle", "2000", "-q", NULL};
	const char *buffers[] = {"vip_perf", "lat", "-s", "1m", "--buffers", "60000", "-q", NULL};
	const char *level[] = {"vip_perf", "read-lat", "--level", "unreliable", "-q", NULL};
	const char *memlock[] = {"vip_perf", "lat", "-s", "1m", "-q", NULL};

	refused(*state, NULL, large, "4194304");
	refused(*state, NULL, segs, "252");
	refused(*state, NULL, window, "1024");
	refused(*state, NULL, idle, "1024");
	refused(*state, NULL, buffers, "1073741824");
	refused(*state, NULL, level, "VIP_INVALID_RDMAREAD");
	refused(*state, &little, memlock, "RLIMIT_MEMLOCK");
}

/* ---- a server and a client; whoever leaves ---- */

static void server_and_client(void **state)
{
	static const char *const tests[] = {"lat", "write-bw", "overlap", "multicast", "cost"};
	struct room *r = *state;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		const char *server[] = {"vip_perf", tests[i], "--server", NULL};
		const char *client[] = {"vip_perf", tests[i], "--csv", "-s",	    "4k",
					SMALL,	    "-n",     "3",     "localhost", NULL};
		struct proc ps, pc;
		char *out;

		proc_start(&ps, r, NULL, server);
		proc_start(&pc, r, NULL, client);
		assert_int_equal(proc_wait(&pc, MS), 0);
		assert_int_equal(proc_wait(&ps, MS), 0);
		out = proc_out(&pc);
		assert_non_null(strstr(out, ",4096,"));
		free(out);
		proc_drop(&ps);
		proc_drop(&pc);
	}
	room_assert_empty(r);
}

/* A first row that comes soon tells that both are at work, a second one that takes long. */
#define LONG "-n", "1000", "-s", "64,4m", "-q"

static void await_row(struct proc *p, const char *test)
{
	char line[32];

	snprintf(line, sizeof(line), "\n%s", test);
	proc_await(p, line, MS);
	assert_false(proc_ended(p, 0));
}

static void one_is_killed(const struct room *r, const char *test, const char *way, bool server_dies)
{
	const char *server[] = {"vip_perf", test, "--server", NULL};
	const char *client[] = {"vip_perf", test, LONG, "localhost", way, NULL};
	struct proc ps, pc, *dies = server_dies ? &ps : &pc, *stays = server_dies ? &pc : &ps;
	int64_t start;

	proc_start(&ps, r, NULL, server);
	proc_start(&pc, r, NULL, client);
	await_row(&pc, test);
	start = now_ms();
	kill(dies->pid, SIGKILL);
	proc_assert_refusal(stays, MS, "vip_perf:");
	if (now_ms() - start > TOLD_MS * SLOWER)
		fail_msg("%s: told after %lld ms", test, (long long)(now_ms() - start));
	proc_drop(&ps);
	proc_drop(&pc);
	room_assert_empty(r);
}

static void killed(void **state)
{
	one_is_killed(*state, "lat", NULL, true);
	one_is_killed(*state, "bw", "--wait", false);
	one_is_killed(*state, "write-lat", NULL, false);
	one_is_killed(*state, "read-bw", "--cq", true);
	one_is_killed(*state, "multicast", NULL, true);
}

/* Both ends in one command: SIGINT to the one that was started, and a receiver that is killed. */
static void interrupted(void **state)
{
	static const char *const tests[] = {"lat", "multicast"};
	struct room *r = *state;

	for (size_t i = 0; i < 3; i++) {
		const char *argv[] = {"vip_perf", tests[i > 0], LONG, NULL};
		pid_t pids[8];
		struct proc p;
		int n;

		proc_start(&p, r, NULL, argv);
		await_row(&p, tests[i > 0]);
		n = room_pids(r, "vip_perf", pids, 8);
		assert_int_equal(n, i > 0 ? 3 : 2);
		if (i < 2) {
			kill(p.pid, SIGINT);
			assert_int_equal(proc_wait(&p, MS), 128 + SIGINT);
		} else {
			pid_t last = pids[0];

			for (int k = 1; k < n; k++)
				last = pids[k] > last ? pids[k] : last;
			kill(last, SIGKILL);
			proc_assert_refusal(&p, MS, "receiver 2 has ended");
		}
		proc_drop(&p);
		room_assert_empty(r);
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test_setup_teardown(transfers, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(other_ways, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(overlap, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(multicast, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(cost, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(as_csv_and_table, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(usage, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(limits, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(server_and_client, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(killed, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(interrupted, room_setup, room_teardown),
	};

	room_isolate();
	return cmocka_run_group_tests(all, NULL, NULL);
}
