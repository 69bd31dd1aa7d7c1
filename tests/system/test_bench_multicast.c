/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_bench_multicast.c - ./vip bench multicast without its peers, for two seconds
 * and two receivers: the rows that it promises, with the bytes that one send and
 * two sends move; stopped in the middle; and nothing is left behind.
 */
#include "proc.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS    60000
#define TIMES (4 * 3) /* sizes, and what is timed */

static void need_python(void)
{
	if (system("python3 -c 'import statistics' >/dev/null 2>&1") == 0)
		return;
	print_message("SKIP: ./vip bench multicast: no python3 here\n");
	skip();
}

static void run(struct proc *p, const struct room *r, const char *seconds)
{
	const char *argv[] = {"/usr/bin/env", "python3",   VIPL_BENCH "/multicast.py",
			      "--bin",	      VIPL_BINDIR, "--out",
			      r->base,	      "--only",	   "softvia",
			      "--receivers",  "2",	   "--seconds",
			      seconds,	      NULL};

	proc_start(p, r, NULL, argv);
}

static double field(const json_t *row, const char *key)
{
	const json_t *value = json_object_get(row, key);

	if (!json_is_number(value))
		fail_msg("a row has no number %s", key);
	return json_number_value(value);
}

/* Returns 1 when the row is about bytes moved: one send instead of two. */
static int check_row(const json_t *row)
{
	const char *unit = json_string_value(json_object_get(row, "unit"));

	assert_string_equal(json_string_value(json_object_get(row, "bench")), "multicast");
	assert_non_null(json_string_value(json_object_get(row, "case")));
	assert_true(json_is_null(json_object_get(row, "target")));
	assert_true(json_is_false(json_object_get(row, "higher_is_better")));
	assert_true(field(row, "ours") > 0);
	assert_non_null(unit);
	if (strcmp(unit, "bytes") == 0) {
		assert_true(field(row, "baseline") == 2 * field(row, "ours"));
		assert_true(field(row, "ratio") == 0.5);
		return 1;
	}
	assert_string_equal(unit, "us");
	assert_true(field(row, "baseline") > 0);
	assert_true(field(row, "ratio") > 0);
	return 0;
}

static void remove_results(const struct room *r)
{
	static const char *const ends[] = {".json", ".csv", ".md", "-time.svg", "-work.svg"};
	char path[128];

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(path, sizeof(path), "%s/multicast%s", r->base, ends[i]);
		unlink(path);
	}
}

static void rows(void **state)
{
	const struct room *r = *state;
	size_t moved = 0;
	json_error_t why;
	struct proc p;
	char path[128];
	json_t *all;
	int code;

	need_python();
	run(&p, r, "2");
	code = proc_wait(&p, MS);
	if (code) {
		char *err = proc_err(&p), *out = proc_out(&p);

		fail_msg("exit code %d: %s%s", code, out, err);
	}
	proc_drop(&p);
	snprintf(path, sizeof(path), "%s/multicast.json", r->base);
	all = json_load_file(path, 0, &why);
	if (!all)
		fail_msg("%s line %d: %s", path, why.line, why.text);
	for (size_t i = 0; i < json_array_size(all); i++)
		moved += (size_t)check_row(json_array_get(all, i));
	/* Against N sends into N segments and into N private buffers; bytes against the latter. */
	assert_int_equal(json_array_size(all), 2 * TIMES + 4);
	assert_int_equal(moved, 4);
	json_decref(all);
	remove_results(r);
	room_assert_empty(r);
}

static void stopped(void **state)
{
	const struct room *r = *state;
	struct proc p;

	need_python();
	run(&p, r, "60");
	proc_await(&p, "3 of 3 contenders are ready", MS);
	sleep_ms(500);
	assert_false(proc_ended(&p, 0));
	kill(p.pid, SIGTERM);
	assert_int_equal(proc_wait(&p, MS), 130);
	proc_drop(&p);
	room_assert_empty(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(stopped, room_setup, room_teardown),
	};

	room_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
