/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_info.c - vip_info as its user sees it: the lines it promises, JSON that
 * says the same, and the lock level that the environment asks for.
 */
#include "proc.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MS 60000

/* Runs to its end with exit code 0; what it said, to be freed. */
static char *output(const struct room *r, const struct proc_opts *o, const char *option)
{
	const char *argv[] = {"vip_info", option, NULL};
	struct proc p;
	char *out, *err;
	int code;

	proc_start(&p, r, o, argv);
	code = proc_wait(&p, MS);
	out = proc_out(&p);
	err = proc_err(&p);
	if (code || *err)
		fail_msg("vip_info: exit code %d, %s", code, err);
	free(err);
	proc_drop(&p);
	return out;
}

static json_t *info(const struct room *r, const struct proc_opts *o)
{
	char *out = output(r, o, "--json");
	json_error_t why;
	json_t *all = json_loads(out, 0, &why);

	if (!all)
		fail_msg("not JSON: %s line %d: %s", why.text, why.line, out);
	free(out);
	return all;
}

static const char *word(const json_t *all, const char *key)
{
	const char *text = json_string_value(json_object_get(all, key));

	if (!text || !*text)
		fail_msg("no text %s", key);
	return text;
}

static void lines(void **state)
{
	static const char *const keys[] = {
		"device: emu0\n",	  "\nversion: ",      "\nreliability levels: ",
		"\nmax transfer size: ",  "\nmax vis: ",      "\nlock level: ",
		"\nlock level why: ",	  "\nrevocation: ",   "\nrevocation why: ",
		"\nmemlock soft: ",	  "\nmemlock hard: ", "\nagent directory: ",
		"\nagent was running: no"};
	char *few = output(*state, NULL, NULL), *all = output(*state, NULL, "-v");

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!strstr(few, keys[i]))
			fail_msg("no \"%s\" in: %s", keys[i], few);
		/* by then the agent of the first may still be there */
		if (i + 1 < sizeof(keys) / sizeof(keys[0]))
			assert_non_null(strstr(all, keys[i]));
	}
	assert_null(strstr(few, "max completion queues"));
	assert_non_null(strstr(all, "\nmax completion queues: "));
	free(few);
	free(all);
	room_assert_empty(*state);
}

static void as_json(void **state)
{
	struct room *r = *state;
	struct rlimit lim;
	json_t *all = info(r, NULL), *soft = json_object_get(all, "memlock_soft");

	assert_string_equal(word(all, "device"), "emu0");
	assert_string_equal(word(all, "agent_directory"), r->dir);
	assert_int_equal(json_array_size(json_object_get(all, "reliability_levels")), 3);
	assert_true(json_integer_value(json_object_get(all, "max_transfer_size")) >= 32768);
	assert_true(json_is_boolean(json_object_get(all, "lock_level_chosen")));
	assert_true(json_is_false(json_object_get(all, "agent_was_running")));
	word(all, "lock_level_why");
	word(all, "revocation_why");
	assert_non_null(strstr("userfaultfd none look at each use", word(all, "revocation")));
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &lim), 0);
	if (lim.rlim_cur == RLIM_INFINITY)
		assert_true(json_is_null(soft));
	else
		assert_int_equal(json_integer_value(soft), lim.rlim_cur);
	json_decref(all);
	room_assert_empty(r);
}

static void agent_there(void **state)
{
	const char *argv[] = {"vip_pingpong", NULL};
	struct room *r = *state;
	int64_t end = now_ms() + MS * SLOWER;
	struct proc server;
	json_t *all;

	proc_start(&server, r, NULL, argv);
	while (room_find(r, "vipkad") < 0 && now_ms() < end)
		sleep_ms(10);
	all = info(r, NULL);
	assert_true(json_is_true(json_object_get(all, "agent_was_running")));
	json_decref(all);
	proc_drop(&server);
	room_assert_empty(r);
}

static void chosen_level(void **state)
{
	static const struct {
		const char *env, *level;
	} given[] = {{"VIPL_LOCK_LEVEL=mapped", "mapped"}, {"VIPL_LOCK_LEVEL=locked", "locked"}};

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		const struct proc_opts o = {.env = given[i].env};
		json_t *all = info(*state, &o);

		assert_string_equal(word(all, "lock_level"), given[i].level);
		assert_true(json_is_true(json_object_get(all, "lock_level_chosen")));
		json_decref(all);
	}
	room_assert_empty(*state);
}

static void refused(struct room *r, const struct proc_opts *o, const char *device, const char *cause)
{
	const char *argv[] = {"vip_info", "-d", device, NULL};
	struct proc p;

	proc_start(&p, r, o, argv);
	proc_assert_refusal(&p, MS, cause);
	proc_drop(&p);
	room_assert_empty(r);
}

static void no_such_level(void **state)
{
	const struct proc_opts o = {.env = "VIPL_LOCK_LEVEL=welded"};

	refused(*state, &o, "emu0", "VIPL_LOCK_LEVEL");
	refused(*state, &o, "emu0", "welded");
}

/* The row called @name of vip_info -e. */
static json_t *variable(json_t *all, const char *name)
{
	json_t *row;
	size_t i;

	json_array_foreach(all, i, row)
	{
		if (strcmp(word(row, "name"), name) == 0)
			return row;
	}
	fail_msg("no variable %s", name);
	return NULL;
}

static void environment(void **state)
{
	const struct proc_opts o = {.env = "VIPL_LOG=info"};
	struct room *r = *state;
	char *text = output(r, &o, "-e"), *json = output(r, &o, "-ej");
	json_t *all = json_loads(json, 0, NULL), *row;
	size_t i;

	assert_non_null(all);
	assert_non_null(strstr(text, "VIPL_LOG=info\n"));
	assert_string_equal(word(variable(all, "VIPL_LOG"), "given"), "info");
	assert_string_equal(word(variable(all, "VIPL_LOG"), "value"), "info");
	assert_string_equal(word(variable(all, "VIPL_LOG"), "default"), "warn");
	assert_string_equal(word(variable(all, "VIPL_LOG"), "type"), "choice");
	assert_string_equal(word(variable(all, "VIPL_AGENT_DIR"), "value"), r->dir);
	assert_true(json_is_null(json_object_get(variable(all, "VIPL_AGENT"), "value")));
	json_array_foreach(all, i, row) word(row, "help");
	json_decref(all);
	free(text);
	free(json);
	/* nothing was started for it */
	assert_int_equal(room_find(r, "vipkad"), -1);
	room_assert_empty(r);
}

/* emu0 first; what cannot be used has a cause, what can has none; text and JSON say the same. */
static void devices(void **state)
{
	struct room *r = *state;
	char *text = output(r, NULL, "-l"), *json = output(r, NULL, "-lj"), line[512];
	json_t *all = json_loads(json, 0, NULL), *row;
	size_t i;

	assert_non_null(all);
	assert_true(json_array_size(all) >= 2);
	assert_string_equal(word(json_array_get(all, 0), "device"), "emu0");
	json_array_foreach(all, i, row)
	{
		const char *name = json_string_value(json_object_get(row, "device"));
		bool usable = json_is_true(json_object_get(row, "usable"));

		assert_true(usable == json_is_null(json_object_get(row, "why")));
		assert_true(name || !usable);
		if (usable)
			snprintf(line, sizeof(line), "%s: usable\n", name);
		else
			snprintf(line, sizeof(line), "%s%s: %s\n", name ? name : "RDMA",
				 name ? ": cannot be used" : "", word(row, "why"));
		if (!strstr(text, line))
			fail_msg("no \"%s\" in: %s", line, text);
	}
	json_decref(all);
	free(text);
	free(json);
	/* nothing was started for it */
	assert_int_equal(room_find(r, "vipkad"), -1);
	room_assert_empty(r);
}

/* A value that is not allowed: the default holds, and one line says so. */
static void wrong_environment(void **state)
{
	static const struct {
		const char *env, *says;
	} wrong[] = {
		{"VIPL_LOG=loud",
		 "VIPL_LOG is 'loud': it may be none, error, warn, info or debug; warn is taken"},
		{"VIPL_STRICT=maybe", "VIPL_STRICT is 'maybe': it may be 0 or 1; 0 is taken"},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *argv[] = {"vip_info", "-e", NULL};
		const struct proc_opts o = {.env = wrong[i].env};
		struct proc p;
		char *err;

		proc_start(&p, *state, &o, argv);
		assert_int_equal(proc_wait(&p, MS), 0);
		err = proc_err(&p);
		if (!strstr(err, wrong[i].says) || strchr(err, '\n') != strrchr(err, '\n'))
			fail_msg("not the one line wanted: %s", err);
		free(err);
		proc_drop(&p);
	}
	room_assert_empty(*state);
}

static void no_such_device(void **state)
{
	refused(*state, NULL, "nosuch", "nosuch");
}

static void usage(void **state)
{
	const char *const wrong[][3] = {{"vip_info", "--nosuch"}, {"vip_info", "emu0"}, {"vip_info", "-d"}};
	struct proc p;
	char *text;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		proc_start(&p, *state, NULL, wrong[i]);
		assert_int_equal(proc_wait(&p, MS), 2);
		text = proc_err(&p);
		assert_non_null(strstr(text, "vip_info --help"));
		free(text);
		proc_drop(&p);
	}
	text = output(*state, NULL, "--help");
	assert_non_null(strstr(text, "usage: vip_info"));
	free(text);
	room_assert_empty(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(as_json, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(agent_there, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(chosen_level, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(no_such_level, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(environment, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(devices, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(wrong_environment, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(no_such_device, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(usage, room_setup, room_teardown),
	};

	room_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
