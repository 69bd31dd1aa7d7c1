/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_start.c - the threads of a NIC handle: that do not start, and what the device reports while not all
 * of them run yet, or not any more.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "scene.h"

#define PAUSE_MS 100

static int setup(void **state)
{
	(void)state;
	fake_reset();
	return 0;
}

static _Thread_local unsigned int fail_thread; /* the nth that this thread starts from now on; 0: none */

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	if (fail_thread && --fail_thread == 0)
		return EAGAIN;
	*(void **)&real = dlsym(RTLD_NEXT, __func__);
	return real(thread, attr, fn, arg);
}

static void test_no_threads(void **state)
{
	unsigned int nth, n = 0;
	VIP_NIC_HANDLE nic;
	VIP_RETURN r;

	(void)state;
	for (nth = 1;; nth++) {
		fail_thread = nth;
		r = VipOpenNic(FAKE_NAME, &nic);
		if (fail_thread) {
			fail_thread = 0;
			break;
		}
		if (r == VIP_SUCCESS) /* not all are needed */
			OK(VipCloseNic(nic));
		else
			n += strstr(VipxErrorText(), "cannot start a thread") != NULL;
		nothing_left("a thread that does not start");
	}
	OK(r);
	OK(VipCloseNic(nic));
	assert_true(n >= 3); /* of the progress and of the connection manager */
}

/* What fails then, fails: but the handle is whole, or it is not there. */
static void test_fatal_early(void **state)
{
	VIP_NIC_HANDLE nic;

	(void)state;
	fake_report_in("rdma_create_event_channel", IBV_EVENT_DEVICE_FATAL, PAUSE_MS, 0);
	OK(VipOpenNic(FAKE_NAME, &nic));
	OK(VipCloseNic(nic));
	nothing_left("a device that fails while it is opened");
	fake_reset();
	fake_report_in("rdma_create_event_channel", IBV_EVENT_DEVICE_FATAL, PAUSE_MS, 0);
	fake_fail("rdma_create_event_channel", 1, EIO);
	assert_int_equal(VipOpenNic(FAKE_NAME, &nic), VIP_ERROR_RESOURCE);
	nothing_left("a device that fails, and no connection manager");
}

static void test_fatal_late(void **state)
{
	VIP_NIC_HANDLE nic;

	(void)state;
	OK(VipOpenNic(FAKE_NAME, &nic));
	fake_report_in("rdma_destroy_event_channel", IBV_EVENT_DEVICE_FATAL, PAUSE_MS, 2 * PAUSE_MS);
	OK(VipCloseNic(nic));
	nothing_left("a device that fails while it is closed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_no_threads, setup),
		cmocka_unit_test_setup(test_fatal_early, setup),
		cmocka_unit_test_setup(test_fatal_late, setup),
	};

	alarm(100);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
