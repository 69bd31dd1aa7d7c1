/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_async.c - VipErrorCallback: which handler is called, with what; the
 * default one; the descriptor too many; and VipQuerySystemManagementInfo.
 */
#include "tests/vipl/memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static VIP_VI_ATTRIBUTES va = {VIP_SERVICE_UNRELIABLE, 4096, 0, NULL, 0, 0};

struct told {
	int n;
	VIP_ERROR_DESCRIPTOR last;
};

static void on_error(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *d)
{
	struct told *t = context;

	t->last = *d;
	__atomic_add_fetch(&t->n, 1, __ATOMIC_SEQ_CST);
}

static int count(const struct told *t)
{
	return __atomic_load_n(&t->n, __ATOMIC_SEQ_CST);
}

/* Told @n times, and no more. */
static void await(const struct told *t, int n)
{
	int i;

	for (i = 0; i < PATIENCE_MS && count(t) < n; i++)
		usleep(1000);
	usleep(20000);
	CHECK_EQ(count(t), n);
}

static uint8_t room[4096] __attribute__((aligned(4096)));

/* A descriptor in a bad place. */
static void misplaced(VIP_VI_HANDLE vi)
{
	CHECK_EQ(VipPostRecv(vi, (VIP_DESCRIPTOR *)(room + 1), 1), VIP_SUCCESS);
}

static void test_handlers(void **state)
{
	struct told a = {0}, b = {0}, c = {0};
	VIP_NIC_HANDLE nic[2];
	VIP_VI_HANDLE vi[2];
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		CHECK_EQ(VipOpenNic("emu0", &nic[i]), VIP_SUCCESS);
		CHECK_EQ(VipCreateVi(nic[i], &va, NULL, NULL, &vi[i]), VIP_SUCCESS);
	}
	CHECK_EQ(VipErrorCallback(nic[0], &a, on_error), VIP_SUCCESS);
	CHECK_EQ(VipErrorCallback(nic[1], &b, on_error), VIP_SUCCESS);
	check_doing = "each handle's errors go to its own handler, with what is known";
	misplaced(vi[0]);
	await(&a, 1);
	CHECK(a.last.NicHandle == nic[0] && a.last.ViHandle == vi[0] && a.last.CQHandle == NULL);
	CHECK(a.last.DescriptorPtr == (VIP_DESCRIPTOR *)(room + 1));
	CHECK_EQ(a.last.OpCode, 0);
	CHECK_EQ(a.last.ErrorCode, VIP_ERROR_POST_DESC);
	CHECK_EQ(a.last.ResourceCode, VIP_RESOURCE_DESCRIPTOR);
	misplaced(vi[1]);
	await(&b, 1);
	check_doing = "a new handler takes the place of the old";
	CHECK_EQ(VipErrorCallback(nic[0], &c, on_error), VIP_SUCCESS);
	for (i = 0; i < 10; i++)
		misplaced(vi[0]);
	await(&c, 10);
	await(&a, 1);
	check_doing = "none: the default one";
	CHECK_EQ(VipErrorCallback(nic[0], &c, NULL), VIP_SUCCESS);
	misplaced(vi[0]);
	await(&c, 10);
	for (i = 0; i < 2; i++)
		CHECK_EQ(VipCloseNic(nic[i]), VIP_SUCCESS);
	check_doing = NULL;
}

/* ---- never called once VipErrorCallback has returned, 2000 times while errors come ---- */

static int over;

static void *complain(void *arg)
{
	while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST)) {
		misplaced(arg);
		usleep(5);
	}
	return NULL;
}

static void on_error_live(VIP_PVOID context, VIP_ERROR_DESCRIPTOR *d)
{
	(void)d;
	CHECK_EQ(*(volatile int *)context, 1);
	usleep(20);
	CHECK_EQ(*(volatile int *)context, 1);
}

static void test_replaced(void **state)
{
	static int live[2000];
	VIP_NIC_HANDLE nic;
	VIP_VI_HANDLE vi;
	pthread_t t;
	int i;

	(void)state;
	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	CHECK_EQ(VipCreateVi(nic, &va, NULL, NULL, &vi), VIP_SUCCESS);
	live[0] = 1;
	CHECK_EQ(VipErrorCallback(nic, &live[0], on_error_live), VIP_SUCCESS);
	pthread_create(&t, NULL, complain, vi);
	for (i = 1; i < 2000; i++) {
		live[i] = 1;
		CHECK_EQ(VipErrorCallback(nic, &live[i], on_error_live), VIP_SUCCESS);
		live[i - 1] = 0;
		usleep(50);
	}
	__atomic_store_n(&over, 1, __ATOMIC_SEQ_CST);
	pthread_join(t, NULL);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
	live[1999] = 0;
	usleep(20000);
}

/* ---- the default handler says it, and not too often ---- */

static void logger(struct end *e)
{
	char line[512], path[] = "/tmp/vipl-log.XXXXXX";
	time_t start = time(NULL);
	int i, lines = 0, fd = mkstemp(path);
	VIP_NIC_HANDLE nic;
	VIP_VI_HANDLE vi;
	FILE *f;

	CHECK(fd >= 0);
	setenv("VIPL_LOG_FILE", path, 1);
	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	CHECK_EQ(VipCreateVi(nic, &va, NULL, NULL, &vi), VIP_SUCCESS);
	f = fdopen(fd, "r");
	CHECK(f != NULL);
	for (i = 0; i < 500; i++)
		misplaced(vi);
	for (i = 0; i < PATIENCE_MS && (i < 200 || !lines); i++) {
		while (fgets(line, sizeof(line), f))
			lines += strstr(line, "VIP_ERROR_POST_DESC") != NULL;
		clearerr(f);
		usleep(1000);
	}
	fclose(f);
	unlink(path);
	CHECK(lines >= 1);
	CHECK(lines <= 10 + time(NULL) - start); /* one a second */
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
	end_sync(e);
}

static void idle(struct end *e)
{
	end_sync(e);
}

static void test_default(void **state)
{
	(void)state;
	run_pair(logger, idle, 0, 30);
}

/* ---- a descriptor too many ---- */

static int strict;

static void overrun_server(struct end *e)
{
	VIP_ULONG max, i;
	struct told t = {0};
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	int broken;

	setenv("VIPL_STRICT", strict ? "1" : "0", 1);
	end_open(e);
	CHECK_EQ(VipErrorCallback(e->nic, &t, on_error), VIP_SUCCESS);
	max = e->attr.MaxDescriptorsPerQueue;
	end_connect(e);
	for (i = 0; i < max; i++) {
		d = (VIP_DESCRIPTOR *)(e->block + i * 64);
		*d = (VIP_DESCRIPTOR){0};
		CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
	}
	d = (VIP_DESCRIPTOR *)(e->block + max * 64);
	memset(d, 0x5a, sizeof(*d));
	broken = strict && e->level != VIP_SERVICE_UNRELIABLE;
	if (strict) {
		CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
		await(&t, 1);
		CHECK_EQ(t.last.ErrorCode, VIP_ERROR_VI_OVERRUN);
		CHECK_EQ(t.last.ResourceCode, VIP_RESOURCE_VI);
		CHECK(t.last.ViHandle == e->vi && t.last.DescriptorPtr == d);
		CHECK_EQ(t.last.OpCode, 0x5a5a & VIP_CONTROL_OP_MASK);
	} else {
		CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_ERROR_RESOURCE);
		await(&t, 0);
	}
	CHECK_EQ(d->CS.Status, 0x5a5a5a5a); /* not touched */
	end_sync(e);
	CHECK_EQ(end_state(e), broken ? VIP_STATE_ERROR : VIP_STATE_CONNECTED);
	if (!broken) { /* the rest is unharmed */
		CHECK(end_recv(e, &r) == (VIP_DESCRIPTOR *)e->block);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(VipDisconnect(e->vi), VIP_SUCCESS);
	}
	for (i = !broken; i < max; i++) {
		CHECK_EQ(VipRecvDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
		CHECK(d == (VIP_DESCRIPTOR *)(e->block + i * 64));
		CHECK_EQ(d->CS.Status,
			 VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE | VIP_STATUS_DESC_FLUSHED_ERROR);
	}
	CHECK_EQ(VipRecvDone(e->vi, &d), VIP_DESCRIPTOR_ERROR);
	CHECK(d == NULL);
	end_sync(e);
	end_close(e);
}

static void overrun_client(struct end *e)
{
	VIP_RETURN r;

	setenv("VIPL_STRICT", strict ? "1" : "0", 1);
	end_open(e);
	end_connect(e);
	if (strict && e->level != VIP_SERVICE_UNRELIABLE) {
		end_error(e, VIP_ERROR_CONN_LOST, 1);
		CHECK_EQ(end_state(e), VIP_STATE_ERROR);
		end_sync(e);
	} else {
		end_sync(e);
		end_post_send(e, 0, end_data(e), 0);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_sync(e);
	end_close(e);
}

static void test_overrun(void **state)
{
	int level;

	(void)state;
	for (strict = 0; strict < 2; strict++) {
		for (level = VIP_SERVICE_UNRELIABLE; level <= VIP_SERVICE_RELIABLE_RECEPTION; level <<= 1)
			run_pair(overrun_server, overrun_client, level, 30);
	}
}

/* ---- what the provider knows of its network ---- */

static void test_discovery(void **state)
{
	VIP_AUTODISCOVERY_LIST list, again;
	VIP_NIC_ATTRIBUTES attr;
	VIP_NIC_HANDLE nic;

	(void)state;
	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	CHECK_EQ(VipQueryNic(nic, &attr), VIP_SUCCESS);
	memset(&list, 0xff, sizeof(list));
	CHECK_EQ(VipQuerySystemManagementInfo(nic, 0, &list), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipQuerySystemManagementInfo(nic, 99, &list), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipQuerySystemManagementInfo(nic, VIP_SMI_AUTODISCOVERY, NULL), VIP_INVALID_PARAMETER);
	CHECK_EQ(list.NumAdAddrs, (VIP_ULONG)-1); /* not written */
	CHECK_EQ(VipQuerySystemManagementInfo(nic, VIP_SMI_AUTODISCOVERY, &list), VIP_SUCCESS);
	CHECK_EQ(list.NumberOfHops, 0);
	CHECK_EQ(list.NumAdAddrs, 1);
	CHECK_EQ(list.ADAddrArray[0]->HostAddressLen, attr.NicAddressLen);
	CHECK_EQ(list.ADAddrArray[0]->DiscriminatorLen, 0);
	CHECK_EQ(memcmp((char *)list.ADAddrArray[0] + 4, attr.LocalNicAddress, attr.NicAddressLen), 0);
	CHECK_EQ(VipQuerySystemManagementInfo(nic, VIP_SMI_AUTODISCOVERY, &again), VIP_SUCCESS);
	CHECK(again.ADAddrArray == list.ADAddrArray); /* the provider's, until the handle is closed */
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* first those whose children read the environment */
		cmocka_unit_test(test_default),	  cmocka_unit_test(test_overrun),
		cmocka_unit_test(test_discovery), cmocka_unit_test(test_handlers),
		cmocka_unit_test(test_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
