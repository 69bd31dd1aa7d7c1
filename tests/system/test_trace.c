/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_trace.c - vip_trace: what a traced program calls is there, in order, in
 * whole lines and with the right codes, and the program does not notice.
 */
#include "proc.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS 60000

/* Of a build with sanitizers: their runtime need not be first, for the trace has none. */
#define ENV_SANITIZER "ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0"

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, 1 << 20);

	assert_non_null(f);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 20) - 1, f) < (1 << 20) - 1);
	fclose(f);
	return text;
}

/* The trace of "traced WHAT", which ends with code 0; to be freed. */
static char *trace(const struct room *r, const char *what, bool json)
{
	const struct proc_opts o = {.env = ENV_SANITIZER};
	char file[128], *text, *err;
	const char *argv[] = {"vip_trace", "-o", file, VIPL_TRACED, what, NULL, NULL};
	struct proc p;
	int code;

	snprintf(file, sizeof(file), "%s/trace", r->base);
	if (json) {
		argv[3] = "--json";
		argv[4] = VIPL_TRACED;
		argv[5] = what;
	}
	proc_start(&p, r, &o, argv);
	code = proc_wait(&p, MS * SLOWER);
	err = proc_err(&p);
	if (code)
		fail_msg("traced %s: exit code %d, %s", what, code, err);
	free(err);
	proc_drop(&p);
	text = slurp(file);
	unlink(file);
	room_assert_empty(r);
	return text;
}

/* Cut off the next line of *@text: it has the pieces @a, @b and @c (NULL: no matter). */
static void next_line(char **text, const char *a, const char *b, const char *c)
{
	char *line = *text, *end = strchr(line, '\n');

	if (!end)
		fail_msg("no line with %s", a);
	*end = 0;
	*text = end + 1;
	if (!strstr(line, a) || (b && !strstr(line, b)) || (c && !strstr(line, c)))
		fail_msg("not '%s', '%s', '%s' in: %s", a, b ? b : "", c ? c : "", line);
}

static void good(void **state)
{
	static const char *const calls[][3] = {
		{" VipOpenNic(DeviceName=\"emu0\") = VIP_SUCCESS, NicHandle=0x", " us>"},
		{" VipRegisterMem(", "Length=4096, MemAttribs=NULL) = VIP_SUCCESS, MemoryHandle=0x"},
		{" VipCreateVi(", "ReliabilityLevel=RELIABLE_DELIVERY, MaxTransferSize=4096",
		 ") = VIP_SUCCESS, ViHandle=0x"},
		{" VipRecvDone(", " = VIP_DESCRIPTOR_ERROR, DescriptorPtr=NULL <"},
		{" VipPostRecv(", "control=SENDRECV, length=100, segcount=1, segments=[{data=0x",
		 ") = VIP_SUCCESS <"},
		{" VipRecvDone(", ") = VIP_NOT_DONE <"},
		{" VipPostSend(",
		 "control=RDMAWRITE|IMMEDIATE, length=0, immediate=0xabcd, segcount=1, "
		 "segments=[{remote=0x12340, handle=0x77}]",
		 ") = VIP_SUCCESS <"},
		{" VipSendWait(", "TimeOut=infinite) = VIP_DESCRIPTOR_ERROR, DescriptorPtr={at=0x",
		 "status=DONE|"},
		{" VipDisconnect(", ") = VIP_SUCCESS <"},
		{" VipRecvDone(", ") = VIP_DESCRIPTOR_ERROR, DescriptorPtr={at=0x",
		 "status=DONE|DESC_FLUSHED_ERROR|OP_RECEIVE, length=0}"},
		{" VipDestroyVi(", ") = VIP_SUCCESS <"},
		{" VipDeregisterMem(", ") = VIP_SUCCESS <"},
		{" VipCloseNic(", ") = VIP_SUCCESS <"},
	};
	char *text = trace(*state, "good", false), *at = text;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		next_line(&at, calls[i][0], calls[i][1], calls[i][2]);
	assert_string_equal(at, "");
	free(text);
}

static void as_json(void **state)
{
	char *text = trace(*state, "good", true), *at = text;
	json_t *line, *in;
	json_error_t why;

	line = json_loads(at, JSON_DISABLE_EOF_CHECK, &why);
	if (!line)
		fail_msg("not JSON: %s: %s", why.text, at);
	in = json_object_get(line, "in");
	assert_string_equal(json_string_value(json_object_get(line, "call")), "VipOpenNic");
	assert_string_equal(json_string_value(json_object_get(line, "result")), "VIP_SUCCESS");
	assert_int_equal(json_integer_value(json_object_get(line, "code")), 0);
	assert_true(json_number_value(json_object_get(line, "us")) > 0);
	assert_string_equal(json_string_value(json_object_get(in, "DeviceName")), "emu0");
	json_decref(line);
	for (; *at; at = strchr(at, '\n') + 1) {
		line = json_loads(at, JSON_DISABLE_EOF_CHECK, &why);
		if (!line)
			fail_msg("not JSON: %s: %s", why.text, at);
		json_decref(line);
	}
	free(text);
}

/* All 41 functions with what is not there; the names in the order of the program. */
static void nothing_there(void **state)
{
	char *text = trace(*state, "null", false), *at;
	int n = 0;

	for (at = text; *at; n++)
		next_line(&at, " Vip", ") = VIP_INVALID_PARAMETER <", "=");
	assert_int_equal(n, 41);
	free(text);
}

static void wild(void **state)
{
	char *text = trace(*state, "wild", false), *at = text;
	int n = 0;

	next_line(&at, " VipConnectRequest(ViHandle=NULL", "{host=00, discriminator=0x", NULL);
	next_line(&at, " VipOpenNic(DeviceName=\"\\\"\\x0a\")", NULL, NULL);
	next_line(&at, " VipNSGetHostByName(", "Name=0x", "VIP_INVALID_PARAMETER");
	for (; *at; n++)
		next_line(&at, " Vip", ") = VIP_INVALID_PARAMETER <", NULL);
	assert_int_equal(n, 41);
	free(text);
	/* JSON of it is whole, too */
	text = trace(*state, "wild", true);
	for (at = text; *at; at = strchr(at, '\n') + 1) {
		json_t *line = json_loads(at, JSON_DISABLE_EOF_CHECK, NULL);

		assert_non_null(line);
		json_decref(line);
	}
	free(text);
}

/* Eight threads and a forked child: no line is lost or cut. */
static void many(void **state)
{
	char *text = trace(*state, "threads", false), *at = text;
	int queries = 0, closes = 0, opens = 0;

	while (*at) {
		char *line = at;

		next_line(&at, " Vip", " us>", ") = VIP_");
		assert_ptr_equal(strstr(strstr(line, " us>") + 1, " us>"), NULL);
		queries += strstr(line, "VipQueryNic(") != NULL;
		closes += strstr(line, "VipCloseNic(") != NULL;
		opens += strstr(line, "VipOpenNic(") != NULL;
	}
	assert_int_equal(queries, 8 * 200);
	assert_int_equal(closes, 2);
	assert_int_equal(opens, 1);
	free(text);
}

static void closes(void **state)
{
	char *text = trace(*state, "closes", false), *at = text;

	next_line(&at, " VipNSInit(", NULL, NULL);
	for (int i = 0; i < 3; i++)
		next_line(&at, " VipNSShutdown(", NULL, NULL);
	assert_string_equal(at, "");
	free(text);
}

/* Without -o the lines come on standard error; the code is the program's. */
static void plain(void **state)
{
	static const struct proc_opts o = {.env = ENV_SANITIZER};
	const char *argv[] = {"vip_trace", VIPL_TRACED, "null", NULL},
		   *code[] = {"vip_trace", VIPL_TRACED, NULL};
	struct proc p;
	char *err;

	proc_start(&p, *state, &o, argv);
	assert_int_equal(proc_wait(&p, MS * SLOWER), 0);
	err = proc_err(&p);
	assert_non_null(strstr(err, " VipNSShutdown(NicHandle=0x5eed) = VIP_INVALID_PARAMETER"));
	free(err);
	proc_drop(&p);
	proc_start(&p, *state, &o, code);
	assert_int_equal(proc_wait(&p, MS * SLOWER), 2);
	proc_drop(&p);
	room_assert_empty(*state);
}

static void refused(void **state)
{
	const char *none[] = {"vip_trace", "/nonexistent/program", NULL},
		   *file[] = {"vip_trace", "-o", "/nonexistent/file", "true", NULL},
		   *usage[] = {"vip_trace", NULL};
	struct proc p;

	proc_start(&p, *state, NULL, none);
	proc_assert_refusal(&p, MS, "/nonexistent/program");
	proc_drop(&p);
	proc_start(&p, *state, NULL, file);
	proc_assert_refusal(&p, MS, "/nonexistent/file");
	proc_drop(&p);
	proc_start(&p, *state, NULL, usage);
	assert_int_equal(proc_wait(&p, MS), 2);
	proc_drop(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(good, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(as_json, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(nothing_there, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(wild, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(many, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(closes, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(plain, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(refused, room_setup, room_teardown),
	};

	room_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
