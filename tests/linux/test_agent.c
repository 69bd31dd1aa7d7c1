/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_agent.c - /dev/vipka as an agent: who may call, what a call refuses, the tables
 * of a NIC handle, events, users.
 */
#include "tests/linux/vka.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "include/vipl_ext.h"

#define PAGE 4096

static void *volatile nowhere = (void *)16;

static int errno_of(int result)
{
	return result < 0 ? errno : 0;
}

static int call_errno(int dev, const void *req, void *rep, void *tail, uint32_t tail_bytes)
{
	struct vipka_call call = {.req = (uintptr_t)req,
				  .rep = (uintptr_t)rep,
				  .tail = (uintptr_t)tail,
				  .tail_bytes = tail_bytes};

	return errno_of(ioctl(dev, VIPKA_CALL, &call));
}

static void hello_comes_first(void **state)
{
	struct vka v = {.dev = open(VIPKA_PATH, O_RDWR | O_CLOEXEC)};
	struct ka_req req = {.op = KA_OP_OPEN};
	struct vipka_event ev;
	struct ka_rep rep;

	(void)state;
	assert_true(v.dev >= 0);
	assert_int_equal(call_errno(v.dev, &req, &rep, NULL, 0), EPROTO);
	assert_int_equal(errno_of((int)read(v.dev, &ev, sizeof(ev))), EPERM);
	req = (struct ka_req){.op = KA_OP_HELLO, .u.hello = {KA_MAGIC, KA_VERSION + 1}};
	assert_int_equal(vka_call(&v, &req, &rep, NULL), -EPROTO);
	assert_int_equal(rep.u.hello.version, KA_VERSION);
	req.u.hello.version = KA_VERSION;
	assert_int_equal(vka_call(&v, &req, &rep, NULL), 0);
	assert_int_equal(rep.u.hello.pid, 0);
	assert_int_equal(call_errno(v.dev, &req, &rep, NULL, 0), EPROTO);
	assert_int_equal(errno_of(ioctl(v.dev, _IO('V', 0x7f))), ENOTTY);
	close(v.dev);
}

/* What a refused HELLO leaves behind does not end the process that the next one makes. */
static void hello_again(void **state)
{
	struct ka_req req = {.op = KA_OP_HELLO, .u.hello = {KA_MAGIC, KA_VERSION + 1}};
	struct ka_rep rep;
	struct vka v;
	int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		v = (struct vka){.dev = open(VIPKA_PATH, O_RDWR | O_CLOEXEC)};
		assert_true(v.dev >= 0);
		assert_int_equal(vka_call(&v, &req, &rep, NULL), -EPROTO);
		vka_hello(&v);
		usleep(2000);
		vka_tag(&v);
		vka_close(&v);
	}
}

static void bad_addresses(void **state)
{
	struct vka v = vka_open();
	struct ka_req req = {.op = KA_OP_INSPECT, .u.inspect = {.kind = VIPX_STAT}};
	struct ka_rep rep;
	char tail[8];

	(void)state;
	assert_int_equal(errno_of(ioctl(v.dev, VIPKA_CALL, (void *)16)), EFAULT);
	assert_int_equal(call_errno(v.dev, (void *)16, &rep, NULL, 0), EFAULT);
	assert_int_equal(call_errno(v.dev, &req, (void *)16, tail, 1 << 20), EFAULT);
	assert_int_equal(call_errno(v.dev, &req, &rep, (void *)16, 1 << 20), EFAULT);
	assert_int_equal(call_errno(v.dev, &req, &rep, tail, sizeof(tail)), EMSGSIZE);
	/* kernel addresses */
	assert_int_equal(call_errno(v.dev, (void *)0xffffffff81000000, &rep, NULL, 0), EFAULT);
	assert_int_equal(call_errno(v.dev, &req, (void *)0xffffffff81000000, tail, 1 << 20), EFAULT);
	req = (struct ka_req){.op = 4711, .nic = v.nic};
	assert_int_equal(vka_call(&v, &req, &rep, NULL), -ENOSYS);
	vka_close(&v);
}

/* A value of the agent's statistics. */
static uint64_t stat_of(const struct vka *v, const char *name)
{
	static struct vipx_rec rec[KA_MAX_RECS];
	struct ka_req req = {.op = KA_OP_INSPECT, .u.inspect = {.kind = VIPX_STAT}};
	struct ka_rep rep;
	uint32_t i;

	assert_int_equal(call_errno(v->dev, &req, &rep, rec, sizeof(rec)), 0);
	for (i = 0; i < rep.nrecs; i++)
		if (!strcmp(rec[i].u.stat.name, name))
			return rec[i].u.stat.value;
	fail_msg("no %s", name);
	return 0;
}

static void tables(void **state)
{
	struct vka v = vka_open();
	uint8_t *tpt, *wake;
	char path[64];

	(void)state;
	tpt = mmap(NULL, KA_TPT_BYTES, PROT_READ, MAP_SHARED, v.tpt_fd, 0);
	assert_true(tpt != MAP_FAILED);
	assert_int_equal(errno_of(mprotect(tpt, PAGE, PROT_READ | PROT_WRITE)), EACCES);
	assert_true(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, v.tpt_fd, 0) == MAP_FAILED && errno == EACCES);
	assert_true(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, v.tpt_fd, 0) == MAP_FAILED && errno == EINVAL);
	assert_true(mmap(NULL, KA_TPT_BYTES + 1, PROT_READ, MAP_SHARED, v.tpt_fd, 0) == MAP_FAILED &&
		    errno == EINVAL);
	assert_true(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, v.tpt_fd, 1l << 40) == MAP_FAILED &&
		    errno == EINVAL);
	assert_true(mremap(tpt, KA_TPT_BYTES, KA_TPT_BYTES + PAGE, MREMAP_MAYMOVE) == MAP_FAILED);

	wake = mmap(NULL, KA_WAKE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, v.wake_fd, 0);
	assert_true(wake != MAP_FAILED);
	wake[0] = wake[KA_WAKE_BYTES - 1] = 7;
	assert_true(mremap(wake, KA_WAKE_BYTES, KA_WAKE_BYTES + PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
	assert_int_equal(errno_of(madvise(wake, PAGE, MADV_REMOVE)), EPERM);
	assert_int_equal(errno_of(ftruncate(v.wake_fd, 0)), EINVAL);
	assert_true(fallocate(v.wake_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) != 0);
	assert_true(write(v.wake_fd, "x", 1) < 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", v.tpt_fd);
	assert_true(open(path, O_RDWR) < 0);
	assert_int_equal(wake[0], 7);
	/* They outlive the descriptors and the NIC handle. */
	vka_close(&v);
	assert_int_equal(tpt[0], 0);
	wake[PAGE] = 1;
	munmap(tpt, KA_TPT_BYTES);
	munmap(wake, KA_WAKE_BYTES);
}

static void no_descriptors(void **state)
{
	struct vka v = vka_open();
	struct ka_req req = {.op = KA_OP_OPEN};
	struct rlimit old, none;
	struct ka_rep rep;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = (rlim_t)v.wake_fd + 2; /* one is free */
	setrlimit(RLIMIT_NOFILE, &none);
	assert_int_equal(call_errno(v.dev, &req, &rep, NULL, 0), EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(stat_of(&v, "nics"), 1);
	assert_int_equal(dup(0), v.wake_fd + 1); /* none was left behind */
	close(v.wake_fd + 1);
	vka_close(&v);
}

static struct ka_addr address(char disc)
{
	return (struct ka_addr){
		.host_len = KA_NIC_ADDR_LEN, .disc_len = 1, .bytes = {KA_NIC_ADDR, (uint8_t)disc}};
}

static void time_out(void **state)
{
	struct vka v = vka_open();
	struct ka_req req = {.op = KA_OP_CONN_WAIT,
			     .nic = v.nic,
			     .u.wait = {.cookie = 99, .timeout_ms = 50, .local = address('t')}};
	struct vipka_event ev;
	struct ka_event e;
	struct ka_rep rep;

	(void)state;
	assert_int_equal(vka_call(&v, &req, &rep, NULL), 0);
	assert_int_equal(errno_of((int)read(v.dev, &ev, sizeof(ev) - 1)), EINVAL);
	assert_int_equal(fcntl(v.dev, F_SETFL, O_NONBLOCK), 0);
	req.u.wait.timeout_ms = KA_INFINITE;
	while (!vka_event(&v, &ev, 0))
		usleep(1000);
	memcpy(&e, ev.event, sizeof(e));
	assert_int_equal(e.type, KA_EV_WAIT);
	assert_int_equal(e.err, -ETIMEDOUT);
	assert_int_equal(e.cookie, 99);
	assert_true(ev.fd[0] == -1 && ev.fd[1] == -1 && ev.fd[2] == -1 && ev.pad == 0);
	assert_int_equal(errno_of((int)read(v.dev, &ev, sizeof(ev))), EAGAIN);
	vka_close(&v);
}

/* An event that cannot be written or whose descriptors cannot be had stays. */
static void event_stays(void **state)
{
	struct vka v = vka_open();
	struct ka_req req = {.op = KA_OP_CONN_WAIT,
			     .nic = v.nic,
			     .u.wait = {.cookie = 1, .timeout_ms = 0, .local = address('s')}};
	struct vipka_event ev;
	struct ka_rep rep;

	(void)state;
	assert_int_equal(vka_call(&v, &req, &rep, NULL), 0);
	assert_int_equal(errno_of((int)read(v.dev, nowhere, sizeof(ev))), EFAULT);
	assert_true(vka_event(&v, &ev, 0));
	assert_false(vka_event(&v, &ev, 0));
	vka_close(&v);
}

/* One that never reads its events is let go. */
static void never_reads(void **state)
{
	struct vka v = vka_open();
	struct ka_req req = {.op = KA_OP_CONN_WAIT,
			     .nic = v.nic,
			     .u.wait = {.cookie = 1, .timeout_ms = 0, .local = address('n')}};
	struct pollfd p = {.fd = v.dev, .events = POLLIN};
	struct vipka_event ev;
	struct ka_rep rep;
	int i, err = 0;

	(void)state;
	for (i = 0; i < 20000 && !err; i++)
		err = call_errno(v.dev, &req, &rep, NULL, 0);
	assert_true(i > 16384 && i < 20000);
	assert_int_equal(err, ESHUTDOWN);
	for (i = 0; read(v.dev, &ev, sizeof(ev)) == (ssize_t)sizeof(ev); i++)
		;
	assert_int_equal(i, 16384);
	assert_int_equal(read(v.dev, &ev, sizeof(ev)), 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(p.revents & POLLHUP);
	vka_close(&v);
}

static uint32_t procs_seen(const struct vka *v)
{
	static struct vipx_rec rec[KA_MAX_RECS];
	struct ka_req req = {.op = KA_OP_INSPECT, .u.inspect = {.kind = VIPX_PROC}};
	struct ka_rep rep;

	assert_int_equal(call_errno(v->dev, &req, &rep, rec, sizeof(rec)), 0);
	return rep.nrecs;
}

/* Another user sees not root's rows, and does not meet it. */
static void users(void **state)
{
	struct vka root = vka_open(), other;
	struct ka_req wait = {.op = KA_OP_CONN_WAIT,
			      .nic = root.nic,
			      .u.wait = {.timeout_ms = 300, .local = address('u')}},
		      ask = {.op = KA_OP_CONN_REQUEST,
			     .u.request = {.timeout_ms = 200, .grace_ms = 50, .remote = address('u')}};
	struct vipka_event ev;
	struct ka_event e;
	struct ka_rep rep;

	(void)state;
	assert_int_equal(open("/dev/null", O_RDONLY | O_CLOEXEC) < 0, 0);
	if (geteuid() != 0)
		skip();
	other.dev = open(VIPKA_PATH, O_RDWR | O_CLOEXEC);
	assert_int_equal(seteuid(1000), 0);
	vka_hello(&other);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(procs_seen(&root), 2);
	assert_int_equal(procs_seen(&other), 1);
	ask.nic = other.nic;
	ask.u.request.vi = vka_vi(&other, 2, 0).vi;
	assert_int_equal(vka_call(&root, &wait, &rep, NULL), 0);
	assert_int_equal(vka_call(&other, &ask, &rep, NULL), 0);
	assert_true(vka_event(&other, &ev, 20000));
	memcpy(&e, ev.event, sizeof(e));
	assert_int_equal(e.type, KA_EV_CONN);
	assert_int_equal(e.err, -ENOENT);
	assert_true(vka_event(&root, &ev, 20000));
	memcpy(&e, ev.event, sizeof(e));
	assert_int_equal(e.err, -ETIMEDOUT);
	vka_close(&other);
	vka_close(&root);
}

static void forked_child(void **state)
{
	struct vka v = vka_open();
	struct ka_req req = {.op = KA_OP_PTAG_CREATE, .nic = v.nic};
	struct pollfd p = {.fd = v.dev, .events = POLLIN};
	struct vipka_event ev;
	struct ka_rep rep;
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		if (call_errno(v.dev, &req, &rep, NULL, 0) != EPERM)
			_exit(1);
		if (errno_of((int)read(v.dev, &ev, sizeof(ev))) != EPERM)
			_exit(2);
		if (poll(&p, 1, 0) != 1 || !(p.revents & POLLERR))
			_exit(3);
		close(v.dev);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(vka_call(&v, &req, &rep, NULL), 0);
	vka_close(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_comes_first),
		cmocka_unit_test(hello_again),
		cmocka_unit_test(bad_addresses),
		cmocka_unit_test(tables),
		cmocka_unit_test(no_descriptors),
		cmocka_unit_test(time_out),
		cmocka_unit_test(event_stays),
		cmocka_unit_test(never_reads),
		cmocka_unit_test(users),
		cmocka_unit_test(forked_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
