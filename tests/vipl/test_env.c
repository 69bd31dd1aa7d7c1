/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_env.c - the environment: read once in a process, warned of when a value
 * or a name is wrong, and the same for any number of threads.  Each test runs
 * in a child, with its log in a file.
 */
#include "tests/vipl/memory.h"
#include "tests/vipl/pair.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static char log_file[] = "/tmp/vipl-env.XXXXXX";

/* What was logged so far. */
static const char *logged(void)
{
	static char text[16384];
	FILE *f = fopen(log_file, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = 0;
	return text;
}

static int lines_with(const char *what)
{
	const char *at = logged();
	int n = 0;

	while ((at = strstr(at, what))) {
		n++;
		at += strlen(what);
	}
	return n;
}

static void row_value(void *context, const struct vipx_variable *v)
{
	const char **wanted = context;

	if (strcmp(v->name, wanted[0]) == 0)
		wanted[1] = v->value; /* of the library's: stays */
}

static const char *value(const char *name)
{
	const char *wanted[2] = {name, "no such variable"};

	CHECK_EQ(VipxEnvironment(row_value, wanted), VIP_SUCCESS);
	return wanted[1];
}

static void open_close(void)
{
	VIP_NIC_HANDLE nic;

	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

/* ---- one of each ---- */

static void unknown_child(void)
{
	char longer[4096];

	memset(longer, 'X', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	memcpy(longer, "VIPL_", 5);
	setenv("VIPL_LOGFILE", "x", 1);
	setenv("VIPL_LOCKLEVEL", "x", 1);
	setenv("VIPL_NOTHING_LIKE_IT", "x", 1);
	setenv("VIPL_", "x", 1);
	setenv("VIPLX", "x", 1);
	setenv(longer, "x", 1);
	open_close();
	open_close();
	CHECK_EQ(lines_with("VIPL_LOGFILE is not known: is VIPL_LOG_FILE meant?"), 1);
	CHECK_EQ(lines_with("VIPL_LOCKLEVEL is not known: is VIPL_LOCK_LEVEL meant?"), 1);
	CHECK_EQ(lines_with("VIPL_NOTHING_LIKE_IT is not known; 'vip_info -e'"), 1);
	CHECK_EQ(lines_with("VIPL_ is not known;"), 1);
	CHECK_EQ(lines_with("VIPL_XXXXX"), 1);
	CHECK_EQ(lines_with("VIPLX"), 0);
	CHECK_EQ(lines_with("\n"), 5);
}

static void wrong_child(void)
{
	setenv("VIPL_LOG", "loud", 1);
	setenv("VIPL_WATCH", "perhaps", 1);
	setenv("VIPL_STRICT", "off", 1);
	open_close();
	open_close();
	CHECK_EQ(
		lines_with("VIPL_LOG is 'loud': it may be none, error, warn, info or debug; warn is taken\n"),
		1);
	CHECK_EQ(lines_with("VIPL_WATCH is 'perhaps': it may be 0 or 1; 1 is taken\n"), 1);
	CHECK(strcmp(value("VIPL_LOG"), "warn") == 0);
	CHECK(strcmp(value("VIPL_WATCH"), "1") == 0);
	CHECK(strcmp(value("VIPL_STRICT"), "0") == 0);
	CHECK_EQ(lines_with("\n"), 2);
}

/* Read once; anew in the child of a process that has opened a NIC. */
static void once_child(void)
{
	int status;
	pid_t pid;

	setenv("VIPL_EMU_LINK", "clan", 1);
	setenv("VIPL_STRICT", "1", 1);
	open_close();
	CHECK(strcmp(value("VIPL_EMU_LINK"), "clan") == 0);
	setenv("VIPL_EMU_LINK", "myvia", 1);
	setenv("VIPL_STRICT", "0", 1);
	CHECK(strcmp(value("VIPL_EMU_LINK"), "clan") == 0);
	CHECK(strcmp(value("VIPL_STRICT"), "1") == 0);
	pid = fork();
	if (pid == 0) {
		alarm(20 + PATIENCE_MS / 1000);
		CHECK(strcmp(value("VIPL_EMU_LINK"), "myvia") == 0);
		CHECK(strcmp(value("VIPL_STRICT"), "0") == 0);
		open_close();
		exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK(strcmp(value("VIPL_EMU_LINK"), "clan") == 0);
}

static void *ask(void *arg)
{
	pthread_barrier_wait(arg);
	return (void *)value("VIPL_EMU_LINK");
}

/* All threads get one text, and a wrong value is told once. */
static void threads_child(void)
{
	pthread_barrier_t start;
	pthread_t t[16];
	void *got, *first = NULL;
	int i;

	setenv("VIPL_EMU_LINK", "10g", 1);
	setenv("VIPL_WATCH", "perhaps", 1);
	pthread_barrier_init(&start, NULL, 16);
	for (i = 0; i < 16; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, ask, &start), 0);
	for (i = 0; i < 16; i++) {
		CHECK_EQ(pthread_join(t[i], &got), 0);
		CHECK(strcmp(got, "10g") == 0);
		CHECK(!first || got == first);
		first = got;
	}
	CHECK_EQ(lines_with("VIPL_WATCH is 'perhaps'"), 1);
}

/* A log that cannot be written goes to standard error, and the reason once. */
static void no_file_child(void)
{
	char text[4096];
	ssize_t n;
	int fd[2];

	setenv("VIPL_LOG_FILE", "/nonexistent/log", 1);
	setenv("VIPL_LOGS", "x", 1);
	setenv("VIPL_AGENTS", "x", 1);
	CHECK_EQ(pipe(fd), 0);
	CHECK_EQ(dup2(fd[1], STDERR_FILENO), STDERR_FILENO);
	open_close();
	n = read(fd[0], text, sizeof(text) - 1);
	CHECK(n > 0);
	text[n] = 0;
	CHECK(strstr(text, "VIPL_LOG_FILE is '/nonexistent/log', which cannot be written: "));
	CHECK(!strstr(strstr(text, "cannot be written") + 1, "cannot be written"));
	CHECK(strstr(text, "VIPL_LOGS is not known: is VIPL_LOG meant?"));
	CHECK(strstr(text, "VIPL_AGENTS is not known: is VIPL_AGENT meant?"));
}

static void private_child(void)
{
	struct stat st;

	CHECK_EQ(unlink(log_file), 0);
	CHECK_EQ(VipxEnvironment(NULL, NULL), VIP_INVALID_PARAMETER);
	setenv("VIPL_LOGS", "x", 1);
	open_close();
	CHECK_EQ(lines_with(" error: the environment variable VIPL_LOGS"), 1);
	CHECK_EQ(stat(log_file, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0600);
}

static void in_child(void **state)
{
	CHECK_EQ(truncate(log_file, 0), 0);
	run_child(getenv("VIPL_LOCK_LEVEL"), *(void (**)(void))state); /* as valgrind wants it */
}

static int remove_log(void **state)
{
	(void)state;
	return unlink(log_file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"unknown names", in_child, NULL, NULL, unknown_child},
		{"wrong values", in_child, NULL, NULL, wrong_child},
		{"read once", in_child, NULL, NULL, once_child},
		{"many threads", in_child, NULL, NULL, threads_child},
		{"no file", in_child, NULL, NULL, no_file_child},
		{"a private file", in_child, NULL, NULL, private_child},
	};
	int fd = mkstemp(log_file);

	CHECK(fd >= 0);
	close(fd);
	setenv("VIPL_LOG_FILE", log_file, 1);
	unsetenv("VIPL_LOG");
	return cmocka_run_group_tests(tests, NULL, remove_log);
}
