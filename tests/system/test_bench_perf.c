/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_bench_perf.c - the coordinator of ./vip bench perf, for two seconds and without
 * the peers: its rows are there and say what they should, and nothing is left,
 * also when it is interrupted.
 */
#include "proc.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MS (100000 * SLOWER) /* a thousand connections are made first */

/* Python is needed for this benchmark alone, and two processors by all that poll. */
static void need_python(void)
{
	const char *why = NULL;

	if (system("python3 -c 'import json, select, socket, subprocess' >/dev/null 2>&1") != 0)
		why = "there is no python3";
	else if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		why = "there is one processor only";
	if (!why)
		return;
	print_message("SKIP: %s\n", why);
	skip();
}

static void start(struct proc *p, const struct room *r, const char *out, const char *seconds)
{
	const char *argv[] = {"/usr/bin/env",  "python3", VIPL_BENCH "/perf.py", "--bin", VIPL_BINDIR,
			      "--out",	       out,	  "--seconds",		 seconds, "--only",
			      "softvia,limit", NULL};

	proc_start(p, r, NULL, argv);
}

static json_t *results(const char *folder)
{
	char path[160];
	json_error_t why;
	json_t *rows;

	snprintf(path, sizeof(path), "%s/perf.json", folder);
	rows = json_load_file(path, 0, &why);
	if (!json_is_array(rows))
		fail_msg("%s: not a list in JSON: %s", path, why.text);
	return rows;
}

static const json_t *row(const json_t *rows, const char *name)
{
	const json_t *r;
	size_t i;

	json_array_foreach(rows, i, r)
	{
		if (strcmp(json_string_value(json_object_get(r, "case")), name) == 0)
			return r;
	}
	fail_msg("no row \"%s\"", name);
	return NULL;
}

static double number(const json_t *r, const char *key)
{
	const json_t *value = json_object_get(r, key);

	if (!json_is_number(value))
		fail_msg("%s is not a number", key);
	return json_number_value(value);
}

static void assert_row(const json_t *rows, const char *name, double target)
{
	const json_t *r = row(rows, name);

	assert_int_equal(json_object_size(r), 8);
	assert_string_equal(json_string_value(json_object_get(r, "bench")), "perf");
	assert_string_equal(json_string_value(json_object_get(r, "unit")), "us");
	assert_true(json_is_false(json_object_get(r, "higher_is_better")));
	assert_true(number(r, "ours") > 0 && number(r, "baseline") > 0 && number(r, "ratio") > 0);
	if (target > 0)
		assert_float_equal(number(r, "target"), target, 1e-9);
	else
		assert_true(json_is_null(json_object_get(r, "target")));
}

/* Removes the folder's files; each must have something in it. */
static void take_file(const char *folder, const char *name)
{
	struct stat st;
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (stat(path, &st) || st.st_size == 0)
		fail_msg("%s is not there, or empty", path);
	unlink(path);
}

static void ours_alone(void **state)
{
	const struct room *r = *state;
	char out[100], *text;
	struct proc p;
	json_t *rows;
	int code;

	need_python();
	snprintf(out, sizeof(out), "%s/out", r->base);
	start(&p, r, out, "2");
	code = proc_wait(&p, MS);
	text = proc_out(&p);
	if (code || strstr(text, ": missing: "))
		fail_msg("perf.py: exit code %d, %s", code, text);
	free(text);
	rows = results(out);
	assert_row(rows, "latency of 8 B against the hand-over of a cache line", 1.5);
	assert_row(rows, "latency of 8 B with 1000 idle connected VIs against with 1", 1.1);
	assert_row(rows, "1 MiB into a shared segment against memcpy of the same cold data", 1.15);
	assert_row(rows, "waking: VipRecvWait against futex or eventfd", 0);
	json_decref(rows);
	proc_drop(&p);
	room_assert_empty(r);
	take_file(out, "perf.json");
	take_file(out, "perf.csv");
	take_file(out, "perf.md");
	unlink(strcat(strcpy(out, r->base), "/out/perf-latency.svg")); /* where there is gnuplot */
	unlink(strcat(strcpy(out, r->base), "/out/perf-bandwidth.svg"));
	assert_int_equal(rmdir(strcat(strcpy(out, r->base), "/out")), 0);
}

static void interrupted(void **state)
{
	const struct room *r = *state;
	char out[100], *text;
	struct proc p;

	need_python();
	snprintf(out, sizeof(out), "%s/out", r->base);
	start(&p, r, out, "300");
	for (int i = 0; i < 300 && room_find(r, "peer_vipl") < 0; i++)
		sleep_ms(100);
	assert_true(room_find(r, "peer_vipl") > 0);
	sleep_ms(1000);
	kill(p.pid, SIGINT);
	assert_int_equal(proc_wait(&p, MS), 130);
	text = proc_err(&p);
	assert_non_null(strstr(text, "stopped"));
	free(text);
	proc_drop(&p);
	room_assert_empty(r);
	assert_int_equal(rmdir(out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ours_alone, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(interrupted, room_setup, room_teardown),
	};

	room_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
