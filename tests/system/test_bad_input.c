/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_bad_input.c - what a user gets wrong, and what a machine lacks: one line
 * on standard error that names the cause, exit code 1, nothing left behind.
 */
#include "proc.h"

#include "kagent/ka_proto.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MS 60000

static void refused(struct room *r, const struct proc_opts *o, const char *const argv[], const char *cause)
{
	struct proc p;

	proc_start(&p, r, o, argv);
	proc_assert_refusal(&p, MS, cause);
	proc_drop(&p);
	room_assert_empty(r);
}

static void missing_file(void **state)
{
	const char *argv[] = {"shared_receive", "/nonexistent/file", NULL};

	refused(*state, NULL, argv, strerror(ENOENT));
}

static void unreadable_file(void **state)
{
	struct proc_opts o = {.plain = true};
	struct room *r = *state;
	char path[128];
	const char *argv[] = {"shared_receive", path, NULL};
	int fd;

	snprintf(path, sizeof(path), "%s/secret", r->base);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0);
	assert_true(fd >= 0);
	close(fd);
	refused(r, &o, argv, strerror(EACCES));
	unlink(path);
}

static void directory(void **state)
{
	const char *argv[] = {"shared_receive", "/tmp", NULL};

	refused(*state, NULL, argv, "directory");
}

static void segment_too_small(void **state)
{
	const char *argv[] = {"shared_receive", "--segment", "4096", "/proc/self/exe", NULL};

	refused(*state, NULL, argv, "4096");
}

static void unknown_device(void **state)
{
	const char *argv[] = {"vip_pingpong", "-d", "nosuch", NULL};

	refused(*state, NULL, argv, "nosuch");
}

static void agent_missing(void **state)
{
	struct proc_opts o = {.env = "VIPL_AGENT=/nonexistent"};
	const char *argv[] = {"vip_pingpong", NULL};

	refused(*state, &o, argv, "/nonexistent");
}

/* A program that is there but is no agent. */
static void agent_is_something_else(void **state)
{
	/* it complains of options that it does not know: nobody shall see that */
	struct proc_opts o = {.env = "VIPL_AGENT=/bin/cat"};
	const char *argv[] = {"vip_pingpong", NULL};
	struct room *r = *state;
	struct proc p;

	proc_start(&p, r, &o, argv);
	proc_assert_refusal(&p, MS, "agent");
	proc_drop(&p);
	room_assert_empty(r);
}

static void agent_dir_not_private(void **state)
{
	const char *argv[] = {"vip_pingpong", NULL};
	struct room *r = *state;
	struct proc p;

	assert_int_equal(mkdir(r->dir, 0700), 0);
	assert_int_equal(chmod(r->dir, 0755), 0);
	proc_start(&p, r, NULL, argv);
	proc_assert_refusal(&p, MS, r->dir);
	proc_drop(&p);
	assert_int_equal(rmdir(r->dir), 0);
	room_assert_empty(r);
}

/* An agent of version 999: refuses as kagent/ka_proto.h says. */
static void *other_agent(void *arg)
{
	int fd = *(int *)arg, conn = accept(fd, NULL, NULL);
	struct ka_rep rep = {.err = -EPROTO, .u.hello.version = 999};
	struct ka_req req;

	if (conn < 0)
		return NULL;
	if (recv(conn, &req, sizeof(req), 0) == (ssize_t)sizeof(req) && req.op == KA_OP_HELLO &&
	    req.u.hello.magic == KA_MAGIC && req.u.hello.version == KA_VERSION)
		send(conn, &rep, sizeof(rep), MSG_NOSIGNAL);
	close(conn);
	return NULL;
}

static void agent_of_another_version(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	const char *argv[] = {"vip_pingpong", NULL};
	struct room *r = *state;
	pthread_t thread;
	struct proc p;
	int fd;

	assert_int_equal(mkdir(r->dir, 0700), 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/agent.sock", r->dir);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(pthread_create(&thread, NULL, other_agent, &fd), 0);

	proc_start(&p, r, NULL, argv);
	proc_assert_refusal(&p, MS, "999");
	proc_drop(&p);
	shutdown(fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(fd);
	unlink(sa.sun_path);
	rmdir(r->dir);
	room_assert_empty(r);
}

/* The limit is named with its value, in bytes or KiB. */
static void locked_memory_limit(void **state)
{
	struct proc_opts o = {.plain = true, .memlock = 65536};
	const char *argv[] = {"vip_pingpong", "--local", "-s", "1m", "-n", "10", NULL};

	refused(*state, &o, argv, "RLIMIT_MEMLOCK");
}

static void locked_memory_limit_of_a_user(void **state)
{
	struct proc_opts o = {.uid = NOBODY, .memlock = 65536};
	const char *argv[] = {"vip_pingpong", "--local", "-s", "1m", "-n", "10", NULL};

	need_nobody();
	refused(*state, &o, argv, "RLIMIT_MEMLOCK");
}

/* A segment that belongs to us, for a receiver that is somebody else. */
static void segment_of_another_user(void **state)
{
	struct room *r = *state;
	struct proc_opts o = {.uid = NOBODY};
	char id[32], *err;
	const char *server[] = {VIPL_LEAVER, "server", "recvwait", id, NULL};
	const char *client[] = {VIPL_LEAVER, "client", "_exit", NULL};
	struct proc ps, pc;
	int shmid;

	need_nobody();
	shmid = shmget(IPC_PRIVATE, 65536, IPC_CREAT | 0600);
	assert_true(shmid >= 0);
	snprintf(id, sizeof(id), "%d", shmid);
	proc_start(&ps, r, &o, server);
	proc_assert_refusal(&ps, MS, strerror(EACCES));
	proc_drop(&ps);
	assert_int_equal(shmctl(shmid, IPC_RMID, NULL), 0);

	/* Lent to all, it can be registered and received into. */
	shmid = shmget(IPC_PRIVATE, 65536, IPC_CREAT | 0666);
	assert_true(shmid >= 0);
	snprintf(id, sizeof(id), "%d", shmid);
	proc_start(&ps, r, &o, server);
	proc_await(&ps, "listening", MS);
	proc_start(&pc, r, &o, client);
	proc_await(&ps, "connected", MS);
	assert_int_equal(proc_wait(&pc, MS), 0);
	if (proc_wait(&ps, MS)) {
		err = proc_err(&ps);
		print_error("%s", err);
		free(err);
		fail();
	}
	proc_drop(&ps);
	proc_drop(&pc);
	assert_int_equal(shmctl(shmid, IPC_RMID, NULL), 0);
	room_assert_empty(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(missing_file, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(unreadable_file, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(directory, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(segment_too_small, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(unknown_device, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(agent_missing, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(agent_is_something_else, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(agent_dir_not_private, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(agent_of_another_version, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(locked_memory_limit, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(locked_memory_limit_of_a_user, room_setup, room_teardown),
		cmocka_unit_test_setup_teardown(segment_of_another_user, room_setup, room_teardown),
	};

	room_isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
