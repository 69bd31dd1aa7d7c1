/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_cm.c - a request that ends with the server's process, a place where nobody
 * can wait, and a device that is removed.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "scene.h"

#define BYTES 1000u
#define SOON  2000 /* ms */

static struct side server, client;

static int setup(void **state)
{
	(void)state;
	fake_reset();
	assert_true(side_open(&server, VIP_SERVICE_RELIABLE_DELIVERY, BYTES));
	assert_true(side_open(&client, VIP_SERVICE_RELIABLE_DELIVERY, BYTES));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	side_close(&client);
	side_close(&server);
	nothing_left("the test");
	return 0;
}

static VIP_RETURN wait_at(uint8_t disc, VIP_ULONG ms, VIP_CONN_HANDLE *conn)
{
	struct address local, remote;
	VIP_VI_ATTRIBUTES attr;

	address(&local, disc);
	return VipConnectWait(server.nic, &local.a, ms, &remote.a, &attr, conn);
}

static void *request(void *arg)
{
	static const int never;

	*(VIP_RETURN *)arg = side_request(&client, &never);
	return NULL;
}

static void test_server_dies(void **state)
{
	VIP_CONN_HANDLE conn;
	VIP_RETURN code;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, request, &code), 0);
	OK(wait_at(7, SCENE_MS, &conn));
	fake_cm_die();
	pthread_join(thread, NULL);
	assert_int_equal(code, VIP_REJECT);
	assert_int_equal(state_of(&client), VIP_STATE_IDLE);
	assert_int_equal(VipConnectAccept(conn, server.vi), VIP_TIMEOUT);
	assert_int_equal(state_of(&server), VIP_STATE_IDLE);
}

static void test_no_place(void **state)
{
	uint64_t since = now_ms();
	struct address local, remote;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;

	(void)state;
	address(&local, 7);
	/* another host's */
	((uint8_t *)&local)[offsetof(VIP_NET_ADDRESS, HostAddress) + sizeof(fake.gid) - 1] ^= 0x55;
	assert_int_equal(VipConnectWait(server.nic, &local.a, SCENE_MS, &remote.a, &attr, &conn),
			 VIP_INVALID_PARAMETER);
	fake_fail("rdma_bind_addr", 1, EADDRNOTAVAIL);
	assert_int_equal(wait_at(9, SCENE_MS, &conn), VIP_INVALID_PARAMETER);
	fake_fail("rdma_listen", 1, EACCES);
	assert_int_equal(wait_at(10, SCENE_MS, &conn), VIP_ERROR_RESOURCE);
	assert_true(now_ms() - since < SOON);
	fake_fail_ever("rdma_bind_addr", 1, EADDRINUSE);
	assert_int_equal(wait_at(11, 200, &conn), VIP_TIMEOUT);
}

/* Nothing large could be read by such a client. */
static void test_no_reads(void **state)
{
	VIP_CONN_HANDLE conn;
	VIP_RETURN code;
	pthread_t thread;

	(void)state;
	fake.requests_read_none = true;
	assert_int_equal(pthread_create(&thread, NULL, request, &code), 0);
	assert_int_equal(wait_at(7, SCENE_MS / 2, &conn), VIP_TIMEOUT);
	pthread_join(thread, NULL);
	assert_int_not_equal(code, VIP_SUCCESS);
}

static void *wait_ever(void *arg)
{
	VIP_CONN_HANDLE conn;

	*(VIP_RETURN *)arg = wait_at(12, VIP_INFINITE, &conn);
	return NULL;
}

static void test_removed(void **state)
{
	uint64_t since;
	struct address local, remote;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	VIP_RETURN code;
	pthread_t thread;

	(void)state;
	sides_connect(&server, &client);
	assert_int_equal(pthread_create(&thread, NULL, wait_ever, &code), 0);
	usleep(50000);
	since = now_ms();
	fake_cm_remove();
	pthread_join(thread, NULL);
	assert_int_equal(code, VIP_ERROR_RESOURCE);
	has_come(&server, VIP_ERROR_CATASTROPHIC);
	has_come(&client, VIP_ERROR_CATASTROPHIC);
	assert_true(becomes(&server, VIP_STATE_ERROR));
	assert_true(becomes(&client, VIP_STATE_ERROR));
	OK(VipDisconnect(client.vi));
	address(&local, 8);
	address(&remote, 7);
	assert_int_equal(VipConnectRequest(client.vi, &local.a, &remote.a, SCENE_MS, &attr),
			 VIP_ERROR_RESOURCE);
	assert_int_equal(wait_at(7, SCENE_MS, &conn), VIP_ERROR_RESOURCE);
	OK(VipConnectPeerRequest(client.vi, &local.a, &remote.a, VIP_INFINITE));
	assert_int_equal(VipConnectPeerWait(client.vi, &attr), VIP_ERROR_RESOURCE);
	assert_true(in_time(since));
	fake_report(IBV_EVENT_DEVICE_FATAL); /* a second word for the same */
	usleep(100000);
	assert_int_equal(__atomic_load_n(&client.errors[VIP_ERROR_CATASTROPHIC], __ATOMIC_SEQ_CST), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_server_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
