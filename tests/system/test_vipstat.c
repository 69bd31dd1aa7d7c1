/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_vipstat.c - vipstat as its user sees it: it tells of real processes what
 * they hold, by JSON and by text, and it starts no agent to find out.
 */
#include "proc.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#define MS    60000
#define BYTES (64 * 1024) /* of the leaver's segment and of its private memory */

/* Runs to its end with exit code 0; what it said, to be freed. */
static char *output(const struct room *r, const char *const argv[], pid_t *pid)
{
	struct proc p;
	char *out, *err;
	int code;

	proc_start(&p, r, NULL, argv);
	code = proc_wait(&p, MS);
	out = proc_out(&p);
	err = proc_err(&p);
	if (code || *err)
		fail_msg("%s: exit code %d, %s", argv[0], code, err);
	free(err);
	if (pid)
		*pid = p.pid;
	proc_drop(&p);
	return out;
}

static json_t *parse(const char *text, size_t length)
{
	json_error_t why;
	json_t *all = json_loadb(text, length, 0, &why);

	if (!all)
		fail_msg("not JSON: %s line %d: %.*s", why.text, why.line, (int)length, text);
	return all;
}

static json_t *look(const struct room *r, const char *const argv[], pid_t *pid)
{
	char *out = output(r, argv, pid);
	json_t *all = parse(out, strlen(out));

	free(out);
	return all;
}

static json_int_t number(const json_t *row, const char *key)
{
	const json_t *value = json_object_get(row, key);

	if (!json_is_integer(value))
		fail_msg("no number %s", key);
	return json_integer_value(value);
}

static const char *word(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	if (!text)
		fail_msg("no string %s", key);
	return text;
}

/* The first row of @table with this pid and, unless @kind is NULL, of this kind of memory. */
static json_t *row_of(const json_t *all, const char *table, pid_t pid, const char *kind)
{
	json_t *rows = json_object_get(all, table), *row;
	size_t i;

	if (!json_is_array(rows))
		fail_msg("no table %s", table);
	json_array_foreach(rows, i, row)
	{
		if (number(row, "pid") == pid && (!kind || strcmp(word(row, "kind"), kind) == 0))
			return row;
	}
	return NULL;
}

/* The same, and it is there. */
static json_t *row(const json_t *all, const char *table, pid_t pid, const char *kind)
{
	json_t *found = row_of(all, table, pid, kind);

	if (!found)
		fail_msg("no row of pid %d, %s, in %s", (int)pid, kind ? kind : "any kind", table);
	return found;
}

/* Two connected processes that have one segment and private memory registered, and stay. */
struct pair {
	struct proc server, client;
	int shmid;
};

static void start_pair(struct pair *p, const struct room *r)
{
	char id[16];
	const char *server[] = {VIPL_LEAVER, "server", "pause", id, NULL};
	const char *client[] = {VIPL_LEAVER, "client", "pause", id, NULL};

	p->shmid = shmget(IPC_PRIVATE, BYTES, IPC_CREAT | 0600);
	assert_true(p->shmid >= 0);
	snprintf(id, sizeof(id), "%d", p->shmid);
	proc_start(&p->server, r, NULL, server);
	proc_await(&p->server, "listening", MS);
	proc_start(&p->client, r, NULL, client);
	proc_await(&p->server, "connected", MS);
	proc_await(&p->client, "connected", MS);
	shmctl(p->shmid, IPC_RMID, NULL); /* both are attached: it goes with them */
}

static void end_pair(struct pair *p, const struct room *r)
{
	proc_drop(&p->server);
	proc_drop(&p->client);
	room_assert_empty(r);
}

/* ---- no agent ---- */

static void no_agent(void **state)
{
	const char *text[] = {"vipstat", NULL}, *json[] = {"vipstat", "--all", "--json", NULL};
	struct room *r = *state;
	char *out = output(r, text, NULL);
	json_t *all, *agent;

	assert_non_null(strstr(out, "no agent is running"));
	free(out);
	assert_int_equal(access(r->dir, F_OK), -1);
	assert_int_equal(errno, ENOENT);

	all = look(r, json, NULL);
	agent = json_object_get(all, "agent");
	assert_true(json_is_null(agent));
	assert_int_equal(json_array_size(json_object_get(all, "processes")), 0);
	json_decref(all);
	assert_int_equal(room_find(r, "vipkad"), -1);
	assert_int_equal(access(r->dir, F_OK), -1);
}

/* ---- an agent with two clients ---- */

static void check_one(const json_t *all, pid_t pid, pid_t peer, int shmid)
{
	json_t *at;

	at = row(all, "processes", pid, NULL);
	assert_string_equal(word(at, "command"), "system_leaver");
	assert_int_equal(number(at, "nics"), 1);
	assert_int_equal(number(at, "vis"), 1);
	assert_int_equal(number(at, "regions"), 2);
	assert_int_equal(number(at, "segments"), 1);
	assert_true(number(at, "lmas") >= 2);
	assert_true(number(at, "locked_bytes") >= 2 * BYTES);

	at = row(all, "nics", pid, NULL);
	assert_int_equal(number(at, "regions"), 2);
	assert_int_equal(number(at, "registered_bytes"), 2 * BYTES);

	at = row(all, "segments", pid, "sysv");
	assert_int_equal(number(at, "object"), shmid);
	assert_true(json_is_null(json_object_get(at, "device")));
	assert_int_equal(number(at, "bytes"), BYTES);
	assert_true(number(at, "locks") >= 1);
	assert_true(number(at, "lockers") >= 2);
	assert_true(json_is_boolean(json_object_get(at, "whole")));

	at = row(all, "lmas", pid, "sysv");
	assert_int_equal(number(at, "object"), shmid);
	assert_int_equal(number(at, "bytes"), BYTES);
	assert_int_equal(number(at, "pages"), BYTES / sysconf(_SC_PAGESIZE));
	at = row(all, "lmas", pid, "private");
	assert_true(json_is_true(json_object_get(at, "physical")));
	assert_non_null(strstr("mapped locked pinned", word(at, "level")));
	assert_true(json_is_null(json_object_get(at, "object")));

	at = row(all, "tpt", pid, "sysv");
	assert_int_equal(number(at, "object"), shmid);
	assert_int_equal(number(at, "offset"), 0);
	assert_int_equal(number(at, "bytes"), BYTES);
	assert_true(number(at, "handle") != 0);
	assert_true(json_is_false(json_object_get(at, "gone")));
	assert_int_equal(word(at, "rights")[0], 'w');
	assert_non_null(strstr("mapped locked pinned", word(at, "level")));
	at = row(all, "tpt", pid, "private");
	assert_true(json_is_null(json_object_get(at, "offset")));

	at = row(all, "connections", pid, NULL);
	assert_true(json_is_true(json_object_get(at, "connected")));
	assert_string_equal(word(at, "reliability"), "delivery");
	assert_int_equal(number(at, "peer_pid"), peer);
	assert_int_equal(number(at, "peer_vi"), number(row(all, "connections", peer, NULL), "vi"));
}

static void tables_as_json(void **state)
{
	const char *argv[] = {"vipstat", "-a", "-j", NULL};
	struct room *r = *state;
	struct pair p;
	json_t *all;
	pid_t own;

	start_pair(&p, r);
	all = look(r, argv, &own);
	assert_string_equal(word(json_object_get(all, "agent"), "directory"), r->dir);
	check_one(all, p.server.pid, p.client.pid, p.shmid);
	check_one(all, p.client.pid, p.server.pid, p.shmid);
	assert_true(json_array_size(json_object_get(all, "counters")) > 0);
	word(json_array_get(json_object_get(all, "counters"), 0), "name");
	number(json_array_get(json_object_get(all, "counters"), 0), "value");
	/* who looks is not part of the picture */
	assert_null(row_of(all, "processes", own, NULL));
	assert_null(row_of(all, "nics", own, NULL));
	json_decref(all);
	end_pair(&p, r);
}

static void one_process(void **state)
{
	static const char *const names[] = {"processes", "nics", "segments", "lmas", "tpt", "connections"};
	char pid[16];
	const char *argv[] = {"vipstat", "-a", "-j", "--pid", pid, NULL};
	const char *few[] = {"vipstat", "-l", "-j", NULL};
	struct room *r = *state;
	struct pair p;
	json_t *all;

	start_pair(&p, r);
	snprintf(pid, sizeof(pid), "%d", (int)p.client.pid);
	all = look(r, argv, NULL);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		row(all, names[i], p.client.pid, NULL);
		assert_null(row_of(all, names[i], p.server.pid, NULL));
	}
	json_decref(all);

	/* one table asked for, one table told */
	all = look(r, few, NULL);
	row(all, "lmas", p.client.pid, NULL);
	row(all, "lmas", p.server.pid, NULL);
	assert_null(json_object_get(all, "processes"));
	json_decref(all);
	end_pair(&p, r);
}

static void tables_as_text(void **state)
{
	static const char *const summary[] = {"Processes\n", "NICs\n", "Segments\n", "VIs and connections\n",
					      "Counters\n"};
	static const char *const more[] = {"Locked memory areas\n", "Translation and protection tables\n"};
	const char *all[] = {"vipstat", "--all", NULL}, *plain[] = {"vipstat", NULL};
	struct room *r = *state;
	struct pair p;
	char *out, *few, id[32];

	start_pair(&p, r);
	out = output(r, all, NULL);
	few = output(r, plain, NULL);
	for (size_t i = 0; i < sizeof(summary) / sizeof(summary[0]); i++) {
		assert_non_null(strstr(out, summary[i]));
		assert_non_null(strstr(few, summary[i]));
	}
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		assert_non_null(strstr(out, more[i]));
		assert_null(strstr(few, more[i]));
	}
	snprintf(id, sizeof(id), "sysv  %*d  ", 2, p.shmid);
	assert_non_null(strstr(out, id));
	assert_non_null(strstr(out, "64 KiB"));
	assert_non_null(strstr(out, "system_leaver"));
	assert_null(strstr(out, " \n")); /* no blanks at the end of a line */
	free(out);
	free(few);
	end_pair(&p, r);
}

/* ---- --watch ---- */

/* The @n first lines of what it has said; to be freed. */
static char *lines(struct proc *p, int n)
{
	int64_t end = now_ms() + MS * SLOWER;

	for (;;) {
		char *out = proc_out(p), *at = out;
		int found = 0;

		while (found < n && (at = strchr(at, '\n'))) {
			at++;
			found++;
		}
		if (found == n)
			return out;
		free(out);
		if (now_ms() > end || proc_ended(p, 10))
			fail_msg("%d lines, want %d", found, n);
	}
}

static void interrupt(struct proc *p, int signal)
{
	kill(p->pid, signal);
	assert_int_equal(proc_wait(p, MS), 0);
	proc_drop(p);
}

static void watched(void **state)
{
	const char *server[] = {"vip_pingpong", "-w", NULL};
	const char *client[] = {"vip_pingpong", "-w", "-n", "100000000", "localhost", NULL};
	const char *argv[] = {"vipstat", "-c", "-j", "-w", "0.5", NULL};
	struct proc ps, pc, watching;
	struct room *r = *state;
	json_t *first, *second;
	char *out, *next;
	pid_t own;

	proc_start(&ps, r, NULL, server);
	proc_start(&pc, r, NULL, client);
	room_await_connection(r);
	proc_start(&watching, r, NULL, argv);
	own = watching.pid;
	out = lines(&watching, 6);
	next = strchr(out, '\n');
	for (int line = 2; line < 5; line++)
		next = strchr(next + 1, '\n');
	next++;
	first = parse(next, (size_t)(strchr(next, '\n') - next));
	next = strchr(next, '\n') + 1;
	second = parse(next, (size_t)(strchr(next, '\n') - next));
	free(out);
	assert_true(number(row(second, "connections", pc.pid, NULL), "messages") >
		    number(row(first, "connections", pc.pid, NULL), "messages"));
	assert_null(row_of(second, "connections", own, NULL));
	json_decref(first);
	json_decref(second);
	interrupt(&watching, SIGINT);
	proc_drop(&ps);
	proc_drop(&pc);
	room_assert_empty(r);
}

/* Nobody there: it goes on looking, and still starts no agent. */
static void watched_without_agent(void **state)
{
	const char *json[] = {"vipstat", "--json", "--watch=0.5", NULL};
	const char *text[] = {"vipstat", "-w", NULL};
	struct room *r = *state;
	struct proc p;
	json_t *all;
	char *out;

	proc_start(&p, r, NULL, json);
	out = lines(&p, 2);
	all = parse(out, (size_t)(strchr(out, '\n') - out));
	assert_true(json_is_null(json_object_get(all, "agent")));
	json_decref(all);
	free(out);
	assert_int_equal(access(r->dir, F_OK), -1);
	interrupt(&p, SIGINT);

	proc_start(&p, r, NULL, text);
	proc_await(&p, "no agent is running", MS);
	interrupt(&p, SIGTERM);
	room_assert_empty(r);
}

/* ---- what a user gets wrong ---- */

static void usage(void **state)
{
	const char *const wrong[][3] = {{"vipstat", "--nosuch"}, {"vipstat", "processes"},
					{"vipstat", "-w0"},	 {"vipstat", "--watch=soon"},
					{"vipstat", "--pid"},	 {"vipstat", "--pid=me"}};
	const char *help[] = {"vipstat", "-h", NULL}, *version[] = {"vipstat", "-V", NULL};
	struct proc p;
	char *text;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		proc_start(&p, *state, NULL, wrong[i]);
		assert_int_equal(proc_wait(&p, MS), 2);
		text = proc_err(&p);
		assert_non_null(strstr(text, "vipstat --help"));
		free(text);
		proc_drop(&p);
	}
	text = output(*state, help, NULL);
	assert_non_null(strstr(text, "usage: vipstat"));
	free(text);
	text = output(*state, version, NULL);
	assert_non_null(strstr(text, "softvia"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_agent, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(tables_as_json, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(one_process, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(tables_as_text, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(watched, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(watched_without_agent, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(usage, room_setup, room_teardown),
	};

	room_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
