/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_notify.c - VipSendNotify, VipRecvNotify, VipCQNotify: what a handler
 * gets, how often, in which order and in which thread.
 */
#include "tests/vipl/pair.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MAX_CALLS 64

/* What handlers were told, in order; under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	void *context;
	VIP_NIC_HANDLE nic;
	VIP_VI_HANDLE vi;
	VIP_DESCRIPTOR *desc;
	pthread_t thread;
	VIP_BOOLEAN recv;
	uint32_t status; /* as the handler read it */
} call[MAX_CALLS];
static int calls;

static void on_vi(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *desc)
{
	sigset_t blocked;
	int sig;

	CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
	for (sig = 1; sig < 32; sig++)
		CHECK(sigismember(&blocked, sig) || sig == SIGKILL || sig == SIGSTOP);
	pthread_mutex_lock(&lock);
	CHECK(calls < MAX_CALLS);
	call[calls].context = context;
	call[calls].nic = nic;
	call[calls].vi = vi;
	call[calls].desc = desc;
	call[calls].thread = pthread_self();
	call[calls].status = desc->CS.Status;
	calls++;
	pthread_mutex_unlock(&lock);
}

static void on_cq(VIP_PVOID context, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_BOOLEAN recv)
{
	pthread_mutex_lock(&lock);
	CHECK(calls < MAX_CALLS);
	call[calls].context = context;
	call[calls].nic = nic;
	call[calls].vi = vi;
	call[calls].recv = recv;
	calls++;
	pthread_mutex_unlock(&lock);
}

static int calls_now(void)
{
	int n;

	pthread_mutex_lock(&lock);
	n = calls;
	pthread_mutex_unlock(&lock);
	return n;
}

/* @n calls come, and in the next 50 ms no more. */
static void await_calls(int n)
{
	int i;

	for (i = 0; i < PATIENCE_MS && calls_now() < n; i++)
		usleep(1000);
	usleep(50000);
	CHECK_EQ(calls_now(), n);
}

static void *context(int i)
{
	return (void *)(uintptr_t)(1000 + i); /* no address: the provider hands it through */
}

static int threads(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;

	CHECK(d != NULL);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n - 2;
}

/* ---- a VI's queue ---- */

static void server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	int i, before;

	end_open(e);
	CHECK_EQ(VipRecvNotify(e->vi, NULL, NULL), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipSendNotify(e->vi, NULL, NULL), VIP_INVALID_PARAMETER);
	for (i = 0; i < 2; i++)
		end_post_recv(e, i, end_data(e), 100);
	end_connect(e);
	end_sync(e); /* two messages are there */
	usleep(20000);
	before = threads();
	check_doing = "the head is complete: a call at once, from another thread, for it alone";
	CHECK_EQ(VipRecvNotify(e->vi, context(0), on_vi), VIP_SUCCESS);
	await_calls(1);
	CHECK(call[0].context == context(0) && call[0].nic == e->nic && call[0].vi == e->vi);
	CHECK(call[0].desc == end_desc(e, 0));
	CHECK_EQ(call[0].status, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
	CHECK(!pthread_equal(call[0].thread, pthread_self()));
	CHECK_EQ(VipRecvDone(e->vi, &d), VIP_SUCCESS);
	CHECK(d == end_desc(e, 1));
	CHECK_EQ(VipRecvDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
	CHECK(d == NULL);

	check_doing = "the thread goes when nothing is registered";
	for (i = 0; i < PATIENCE_MS / 10 && threads() > before; i++)
		usleep(10000);
	CHECK_EQ(threads(), before);

	check_doing = "registered with nothing posted; several, each with its context, in order";
	for (i = 1; i <= 10; i++)
		CHECK_EQ(VipRecvNotify(e->vi, context(i), on_vi), VIP_SUCCESS);
	usleep(50000);
	CHECK_EQ(calls_now(), 1);
	for (i = 0; i < 12; i++)
		end_post_recv(e, i, end_data(e), 100);
	end_sync(e); /* ten messages come */
	await_calls(11);
	for (i = 1; i <= 10; i++) {
		CHECK(call[i].context == context(i));
		CHECK(call[i].desc == end_desc(e, i - 1));
	}

	check_doing = "a completion in error, and flushed ones, are told as well";
	CHECK_EQ(VipRecvNotify(e->vi, context(11), on_vi), VIP_SUCCESS);
	CHECK_EQ(VipRecvNotify(e->vi, context(12), on_vi), VIP_SUCCESS);
	CHECK_EQ(VipRecvNotify(e->vi, context(13), on_vi), VIP_SUCCESS);
	end_sync(e); /* a message that is too long */
	end_hear(e);
	if (e->level == VIP_SERVICE_UNRELIABLE)
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	await_calls(13);
	CHECK_EQ(call[11].status, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE | VIP_STATUS_LENGTH_ERROR);
	CHECK_EQ(call[12].status, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE | VIP_STATUS_DESC_FLUSHED_ERROR);
	CHECK(call[12].desc == end_desc(e, 11));
	CHECK_EQ(VipRecvDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
	CHECK(d == NULL);
	end_sync(e);
	end_close(e);
}

static void client(struct end *e)
{
	int i;

	end_open(e);
	end_connect(e);
	for (i = 0; i < 2; i++)
		end_post_send(e, i, end_data(e), 100);
	end_sync(e);
	end_sync(e);
	/* the same for sends */
	for (i = 0; i < 10; i++)
		CHECK_EQ(VipSendNotify(e->vi, context(i), on_vi), VIP_SUCCESS);
	await_calls(2);
	for (i = 2; i < 12; i++)
		end_post_send(e, i, end_data(e), 100);
	await_calls(10);
	for (i = 0; i < 10; i++) {
		CHECK(call[i].context == context(i) && call[i].vi == e->vi);
		CHECK(call[i].desc == end_desc(e, i));
		CHECK_EQ(call[i].status, VIP_STATUS_DONE | VIP_STATUS_OP_SEND);
	}
	for (i = 10; i < 12; i++) {
		VIP_RETURN r;

		CHECK(end_sent(e, &r) == end_desc(e, i));
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_sync(e);
	end_post_send(e, 0, end_data(e), 101);
	end_tell(e, 1);
	end_sync(e);
	end_close(e);
}

static void test_queue(void **state)
{
	int level;

	(void)state;
	for (level = VIP_SERVICE_UNRELIABLE; level <= VIP_SERVICE_RELIABLE_RECEPTION; level <<= 1)
		run_pair(server, client, level, 30);
}

/* ---- a completion queue ---- */

static void cq_server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	VIP_VI_HANDLE vi;
	VIP_BOOLEAN recv;
	int i;

	end_nic(e);
	CHECK_EQ(VipCreateCQ(e->nic, 32, &e->rcq), VIP_SUCCESS);
	e->scq = e->rcq;
	end_open(e);
	CHECK_EQ(VipCQNotify(e->rcq, NULL, NULL), VIP_INVALID_PARAMETER);
	check_doing = "not on a queue that is attached to a completion queue";
	CHECK_EQ(VipRecvNotify(e->vi, NULL, on_vi), VIP_ERROR_RESOURCE);
	CHECK_EQ(VipSendNotify(e->vi, NULL, on_vi), VIP_ERROR_RESOURCE);
	for (i = 0; i < 8; i++)
		end_post_recv(e, i, end_data(e), 100);
	end_connect(e);
	end_sync(e); /* two messages are there */
	check_doing = "an entry is there: it is taken, and told once";
	CHECK_EQ(VipCQNotify(e->rcq, context(0), on_cq), VIP_SUCCESS);
	await_calls(1);
	CHECK(call[0].context == context(0) && call[0].nic == e->nic && call[0].vi == e->vi);
	CHECK_EQ(call[0].recv, VIP_TRUE);
	CHECK_EQ(VipCQDone(e->rcq, &vi, &recv), VIP_SUCCESS);
	CHECK_EQ(VipCQDone(e->rcq, &vi, &recv), VIP_NOT_DONE);
	for (i = 0; i < 2; i++) {
		CHECK_EQ(VipRecvDone(e->vi, &d), VIP_SUCCESS);
		CHECK(d == end_desc(e, i));
	}
	check_doing = "registrations are served in the order of entries, of both queues";
	for (i = 1; i <= 3; i++)
		CHECK_EQ(VipCQNotify(e->rcq, context(i), on_cq), VIP_SUCCESS);
	end_post_send(e, 20, end_data(e), 100);
	await_calls(2);
	end_sync(e);
	end_sync(e); /* two messages more */
	await_calls(4);
	for (i = 1; i <= 3; i++) {
		CHECK(call[i].context == context(i));
		CHECK_EQ(call[i].recv, i > 1);
	}
	check_doing = "flushed descriptors have entries, too";
	CHECK_EQ(VipCQNotify(e->rcq, context(4), on_cq), VIP_SUCCESS);
	CHECK_EQ(VipCQNotify(e->rcq, context(5), on_cq), VIP_SUCCESS);
	CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	await_calls(6);
	CHECK_EQ(VipCQDone(e->rcq, &vi, &recv), VIP_SUCCESS);
	CHECK_EQ(VipCQDone(e->rcq, &vi, &recv), VIP_SUCCESS);
	CHECK_EQ(VipCQDone(e->rcq, &vi, &recv), VIP_NOT_DONE);
	end_sync(e);
	end_close(e);
}

static void cq_client(struct end *e)
{
	VIP_RETURN r;
	int i;

	end_open(e);
	end_post_recv(e, 30, end_data(e), 100);
	end_connect(e);
	for (i = 0; i < 2; i++)
		end_post_send(e, i, end_data(e), 100);
	end_sync(e);
	end_sync(e);
	CHECK(end_recv(e, &r) == end_desc(e, 30));
	for (i = 2; i < 4; i++)
		end_post_send(e, i, end_data(e), 100);
	end_sync(e);
	end_sync(e);
	end_close(e);
}

static void test_cq(void **state)
{
	(void)state;
	run_pair(cq_server, cq_client, VIP_SERVICE_RELIABLE_DELIVERY, 30);
}

/* ---- limits ---- */

static void test_limit(void **state)
{
	VIP_VI_ATTRIBUTES va = {VIP_SERVICE_UNRELIABLE, 4096, 0, NULL, 0, 0};
	VIP_NIC_HANDLE nic;
	VIP_CQ_HANDLE cq;
	VIP_VI_HANDLE vi;
	int i;

	(void)state;
	assert_int_equal(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	assert_int_equal(VipCreateVi(nic, &va, NULL, NULL, &vi), VIP_SUCCESS);
	assert_int_equal(VipCreateCQ(nic, 1, &cq), VIP_SUCCESS);
	for (i = 0; i < 1024; i++) {
		assert_int_equal(VipSendNotify(vi, NULL, on_vi), VIP_SUCCESS);
		assert_int_equal(VipRecvNotify(vi, NULL, on_vi), VIP_SUCCESS);
		assert_int_equal(VipCQNotify(cq, NULL, on_cq), VIP_SUCCESS);
	}
	assert_int_equal(VipSendNotify(vi, NULL, on_vi), VIP_ERROR_RESOURCE);
	assert_int_equal(VipRecvNotify(vi, NULL, on_vi), VIP_ERROR_RESOURCE);
	assert_int_equal(VipCQNotify(cq, NULL, on_cq), VIP_ERROR_RESOURCE);
	assert_int_equal(VipDestroyVi(vi), VIP_SUCCESS);
	assert_int_equal(VipDestroyCQ(cq), VIP_SUCCESS);
	assert_int_equal(VipCloseNic(nic), VIP_SUCCESS);
	assert_int_equal(calls_now(), 0);
}

/* ---- one at a time for each queue, but queues do not wait for each other ---- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static int inside, most, blocked_calls;

static void on_blocking(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	int now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);

	(void)c, (void)nic, (void)vi, (void)d;
	if (now > __atomic_load_n(&most, __ATOMIC_SEQ_CST))
		__atomic_store_n(&most, now, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	__atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&blocked_calls, 1, __ATOMIC_SEQ_CST);
}

static void block_server(struct end *e)
{
	VIP_DESCRIPTOR *d;
	int i;

	end_open(e);
	for (i = 0; i < 4; i++)
		end_post_recv(e, i, end_data(e), 100);
	end_connect(e);
	pthread_mutex_lock(&gate);
	for (i = 0; i < 3; i++)
		CHECK_EQ(VipRecvNotify(e->vi, NULL, on_blocking), VIP_SUCCESS);
	end_sync(e); /* four messages come */
	for (i = 0; i < PATIENCE_MS && !__atomic_load_n(&inside, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	usleep(50000);
	check_doing = "one receive handler blocks: none beside it, but the send queue's and errors";
	CHECK_EQ(__atomic_load_n(&inside, __ATOMIC_SEQ_CST), 1);
	CHECK_EQ(VipSendNotify(e->vi, context(0), on_vi), VIP_SUCCESS);
	end_post_send(e, 20, end_data(e), 100);
	await_calls(1);
	CHECK_EQ(VipPostRecv(e->vi, (VIP_DESCRIPTOR *)((char *)end_desc(e, 0) + 1), e->mem), VIP_SUCCESS);
	end_error(e, VIP_ERROR_POST_DESC, 1);
	check_doing = "Done is not held up by it, either";
	for (i = 1; i < 4; i++) {
		CHECK_EQ(VipRecvDone(e->vi, &d), VIP_SUCCESS);
		CHECK(d == end_desc(e, i));
	}
	pthread_mutex_unlock(&gate);
	for (i = 0; i < PATIENCE_MS && !__atomic_load_n(&blocked_calls, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	check_doing = "the completions that Done took are not told";
	usleep(50000);
	CHECK_EQ(__atomic_load_n(&blocked_calls, __ATOMIC_SEQ_CST), 1);
	CHECK_EQ(__atomic_load_n(&most, __ATOMIC_SEQ_CST), 1);
	end_sync(e);
	end_close(e);
}

static void block_client(struct end *e)
{
	VIP_RETURN r;
	int i;

	end_open(e);
	end_post_recv(e, 30, end_data(e), 100);
	end_connect(e);
	for (i = 0; i < 4; i++)
		end_post_send(e, i, end_data(e), 100);
	end_sync(e);
	CHECK(end_recv(e, &r) == end_desc(e, 30));
	end_sync(e);
	end_close(e);
}

static void test_block(void **state)
{
	(void)state;
	run_pair(block_server, block_client, VIP_SERVICE_RELIABLE_DELIVERY, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_cq),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
