/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_notify_life.c - notifications and fork, the death of the agent, and
 * everything at once for a sanitizer.
 */
#include "tests/vipl/idle.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

/* ---- fork ---- */

static void on_fork(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	static int again;
	pid_t pid = fork();
	int status;

	(void)d;
	CHECK(pid >= 0);
	if (pid == 0) {
		struct world own;
		int n = 0;

		alarm(20 + PATIENCE_MS / 1000);
		CHECK_EQ(VipSendNotify(vi, c, on_fork), VIP_INVALID_PARAMETER);
		CHECK_EQ(VipCloseNic(nic), VIP_INVALID_PARAMETER);
		own = open_world();
		vi = new_vi(&own, NULL);
		CHECK_EQ(VipSendNotify(vi, &n, on_count), VIP_SUCCESS);
		complete(&own, vi, 5);
		await(&n, 1);
		CHECK_EQ(VipCloseNic(own.nic), VIP_SUCCESS);
		/* they would miss what the child has lost: the first thread's stack */
		if (under_valgrind())
			_exit(0);
		return; /* the child's only thread ends here, and so the child */
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	add(c);
	if (!again++)
		CHECK_EQ(VipSendNotify(vi, c, on_fork), VIP_SUCCESS);
}

static void test_fork(void **state)
{
	int n = 0, pending = 0;
	VIP_VI_HANDLE vi;
	struct world w;

	(void)state;
	if (no_threads_in_child()) {
		print_message("SKIP: %s\n", no_threads_in_child());
		skip();
	}
	w = open_world();
	vi = new_vi(&w, NULL);
	CHECK_EQ(VipRecvNotify(vi, &pending, on_count), VIP_SUCCESS); /* asleep while the other forks */
	CHECK_EQ(VipSendNotify(vi, &n, on_fork), VIP_SUCCESS);
	complete(&w, vi, 0);
	complete(&w, vi, 1);
	await(&n, 2);
	CHECK_EQ(VipCloseNic(w.nic), VIP_SUCCESS);
	CHECK_EQ(get(&pending), 0);
}

/* ---- the agent dies ---- */

static void on_flushed(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	(void)nic, (void)vi;
	CHECK_EQ(d->CS.Status, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE | VIP_STATUS_DESC_FLUSHED_ERROR);
	add(c);
}

static void post_recv(const struct world *w, VIP_VI_HANDLE vi, int i)
{
	VIP_DESCRIPTOR *d = (VIP_DESCRIPTOR *)(room + (size_t)i * 64);

	memset(d, 0, sizeof(*d));
	CHECK_EQ(VipPostRecv(vi, d, w->mem), VIP_SUCCESS);
}

static VIP_VI_HANDLE new_recv_vi(const struct world *w, VIP_CQ_HANDLE cq)
{
	VIP_VI_ATTRIBUTES va = {VIP_SERVICE_UNRELIABLE, 4096, 0, NULL, 0, 0};
	VIP_VI_HANDLE vi;

	CHECK_EQ(VipCreateVi(w->nic, &va, NULL, cq, &vi), VIP_SUCCESS);
	return vi;
}

static void *cq_waiter(void *arg)
{
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;
	VIP_CQ_HANDLE cq = arg;

	CHECK_EQ(VipCQWait(cq, VIP_INFINITE, &vi, &recv), VIP_SUCCESS); /* the flushed one's */
	CHECK_EQ(VipCQWait(cq, VIP_INFINITE, &vi, &recv), VIP_ERROR_RESOURCE);
	return NULL;
}

static void test_agent_dies(void **state)
{
	struct world w = open_world();
	VIP_VI_HANDLE vi = new_vi(&w, NULL), on_cq, on_cq2;
	int n = 0, entries = 0, idle = 0, i;
	VIP_CQ_HANDLE cq, cq2;
	pid_t agent = agent_pid();
	pthread_t thread;

	(void)state;
	CHECK_EQ(VipCreateCQ(w.nic, 10, &cq), VIP_SUCCESS);
	CHECK_EQ(VipCreateCQ(w.nic, 10, &cq2), VIP_SUCCESS);
	on_cq = new_recv_vi(&w, cq);
	on_cq2 = new_recv_vi(&w, cq2);
	for (i = 0; i < 3; i++) {
		post_recv(&w, vi, i);
		CHECK_EQ(VipRecvNotify(vi, &n, on_flushed), VIP_SUCCESS);
	}
	CHECK_EQ(VipSendNotify(vi, &idle, on_count), VIP_SUCCESS);
	post_recv(&w, on_cq, 10);
	post_recv(&w, on_cq2, 11);
	for (i = 0; i < 3; i++)
		CHECK_EQ(VipCQNotify(cq, &entries, on_cq_count), VIP_SUCCESS);
	pthread_create(&thread, NULL, cq_waiter, cq2);
	usleep(20000);
	CHECK(agent > 0);
	CHECK_EQ(kill(agent, SIGKILL), 0);
	await(&n, 3);
	await(&entries, 1);
	pthread_join(thread, NULL);
	CHECK_EQ(VipCloseNic(w.nic), VIP_SUCCESS);
	CHECK_EQ(get(&idle), 0);
	CHECK_EQ(get(&entries), 1);
	/* the next agent clears up after the one that was killed */
	w = open_world();
	CHECK_EQ(VipCloseNic(w.nic), VIP_SUCCESS);
}

/* ---- everything at once: what a sanitizer may find ---- */

static int storm_ends;

static void on_storm(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	uintptr_t kind = (uintptr_t)c % 5;

	(void)nic, (void)d;
	if (kind == 0)
		VipDestroyVi(vi);
	else if (kind == 1)
		VipSendNotify(vi, c, on_storm);
	else if (kind == 2)
		usleep(200);
}

static void *storm(void *arg)
{
	struct world w = open_world();
	int own = (int)(intptr_t)arg; /* its descriptor */
	uint32_t seed = (uint32_t)own;
	uintptr_t i;

	for (i = 0; !get(&storm_ends); i++) {
		VIP_VI_HANDLE vi = new_vi(&w, NULL);
		VIP_DESCRIPTOR *d;
		VIP_RETURN r;

		seed = seed * 1103515245 + 12345;
		CHECK_EQ(VipSendNotify(vi, (VIP_PVOID)(uintptr_t)(seed >> 16), on_storm), VIP_SUCCESS);
		CHECK_EQ(VipRecvNotify(vi, (VIP_PVOID)1, on_storm), VIP_SUCCESS);
		complete(&w, vi, own);
		if (seed & 0x400)
			usleep(100);
		while (VipSendDone(vi, &d) != VIP_INVALID_PARAMETER && d)
			;
		r = VipDestroyVi(vi);
		CHECK(r == VIP_SUCCESS || r == VIP_INVALID_PARAMETER);
		if (i % 64 == 63) {
			vi = new_vi(&w, NULL);
			VipSendNotify(vi, (VIP_PVOID)1, on_storm);
			complete(&w, vi, own);
			CHECK_EQ(VipCloseNic(w.nic), VIP_SUCCESS);
			w = open_world();
		}
	}
	CHECK_EQ(VipCloseNic(w.nic), VIP_SUCCESS);
	return NULL;
}

static void test_storm(void **state)
{
	pthread_t t[4];
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, storm, (void *)(i + 1)); /* NOLINT */
	sleep(3);
	add(&storm_ends);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_agent_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
