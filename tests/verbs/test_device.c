/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_device.c - which RDMA devices can be used, why others cannot, and what
 * VipOpenNic leaves when something fails, without a device.
 */
#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"

#define MEMLOCK (1u << 20) /* less than a handle needs */

/* What VipxDevices said of FAKE_NAME, or of there being none. */
static struct {
	int rows;
	bool usable;
	char why[512];
} seen;

static void look(void *context, const char *name, const char *why)
{
	(void)context;
	if (name && strcmp(name, "ka0") == 0)
		return; /* whether its module is loaded is not the plug-in's affair */
	if (name && strcmp(name, "emu0") == 0) {
		assert_null(why);
		return;
	}
	assert_true(!name || strcmp(name, FAKE_NAME) == 0);
	assert_true(name || why);
	seen.rows++;
	seen.usable = !why;
	snprintf(seen.why, sizeof(seen.why), "%s", why ? why : "");
}

static void list(void)
{
	memset(&seen, 0, sizeof(seen));
	OK(VipxDevices(look, NULL));
	assert_int_equal(seen.rows, 1);
	nothing_left("VipxDevices");
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	return 0;
}

static void test_usable(void **state)
{
	static const uint8_t v4[16] = {[10] = 0xff, 0xff, 10, 0, 0, 1};
	VIP_NIC_ATTRIBUTES a;
	VIP_NIC_HANDLE nic;

	(void)state;
	list();
	assert_string_equal(seen.why, "");
	OK(VipOpenNic(FAKE_NAME, &nic));
	OK(VipQueryNic(nic, &a));
	assert_string_equal(a.Name, FAKE_NAME);
	assert_int_equal(a.NicAddressLen, sizeof(v4));
	assert_memory_equal(a.LocalNicAddress, v4, sizeof(v4));
	assert_true(a.ThreadSafe);
	assert_int_equal(a.NativeMTU, 1024);
	/* no more than the device has */
	assert_true(a.MaxVI > 0 && a.MaxVI < 1000);
	assert_true(a.MaxRegisterRegions > 0 && a.MaxRegisterRegions < 500);
	assert_true(a.MaxRegisterBlockBytes > 0 && a.MaxRegisterBlockBytes <= 1u << 30);
	OK(VipCloseNic(nic));
	nothing_left("VipCloseNic");
}

/* ---- devices that cannot be used ---- */

static void absent(void)
{
	fake.absent = true;
}

static void not_listed(void)
{
	fake.list_error = EMFILE;
}

static void no_access(void)
{
	fake.open_error = EACCES;
}

static void no_file(void)
{
	fake.open_error = ENOENT;
}

static void iwarp(void)
{
	fake.transport = IBV_TRANSPORT_IWARP;
}

static void no_rc(void)
{
	fake.transport = IBV_TRANSPORT_USNIC_UDP;
}

static void no_srq(void)
{
	fake.max_srq_wr = 0;
}

static void small_srq(void)
{
	fake.max_srq_wr = 100;
}

static void no_reads(void)
{
	fake.reads = 0;
}

static void no_port(void)
{
	fake.ports = 0;
}

static void port_down(void)
{
	fake.state = IBV_PORT_DOWN;
}

static void ib_port_down(void)
{
	fake.state = IBV_PORT_INIT;
	fake.link_layer = IBV_LINK_LAYER_INFINIBAND;
}

static void no_gids(void)
{
	fake.no_gids = true;
}

static void no_answer(void)
{
	fake.address_error = EIO;
}

static void both_ports_down(void)
{
	fake.ports = 2;
	fake.port = 2;
	fake.state = IBV_PORT_DOWN;
}

static void link_local(void)
{
	memset(fake.gid, 0, sizeof(fake.gid));
	fake.gid[0] = 0xfe;
	fake.gid[1] = 0x80;
	fake.gid[15] = 1;
}

static void old_roce(void)
{
	fake.gid_type = IBV_GID_TYPE_ROCE_V1;
}

static void no_ipoib(void)
{
	fake.link_layer = IBV_LINK_LAYER_INFINIBAND;
}

static void memlock(void)
{
	struct rlimit limit = {MEMLOCK, 0};
	struct rlimit was;

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &was), 0);
	limit.rlim_max = was.rlim_max;
	if (was.rlim_max < MEMLOCK)
		limit.rlim_cur = was.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	fake.memory_error = ENOMEM;
}

static void memory(void)
{
	fake.memory_error = EFAULT;
}

static void test_refused(void **state)
{
	static const struct {
		void (*make)(void);
		VIP_RETURN code;
		const char *list, *open; /* part of the text; open NULL: the same */
	} cases[] = {
		{absent, VIP_INVALID_PARAMETER, "RDMA device",
		 "there is no device 'fake0' but emu0 and ka0: "},
		{not_listed, VIP_INVALID_PARAMETER, "libibverbs lists no devices: Too many open files", NULL},
		{no_access, VIP_ERROR_RESOURCE,
		 "/dev/infiniband/uverbs77 cannot be opened: Permission denied: its owner, group and mode",
		 NULL},
		{no_file, VIP_ERROR_RESOURCE,
		 "/dev/infiniband/uverbs77 cannot be opened: No such file or directory", NULL},
		{iwarp, VIP_ERROR_RESOURCE, "it is an iWARP device", NULL},
		{no_rc, VIP_ERROR_RESOURCE, "it has no reliable queue pairs (RC)", NULL},
		{no_srq, VIP_ERROR_RESOURCE, "no shared receive queues of 128 entries (it has 0 of 0)", NULL},
		{small_srq, VIP_ERROR_RESOURCE, "no shared receive queues of 128 entries (it has 10 of 100)",
		 NULL},
		{no_reads, VIP_ERROR_RESOURCE, "its queue pairs do no RDMA reads (0 may come, 0 may go)",
		 NULL},
		{no_port, VIP_ERROR_RESOURCE, "it has no port", NULL},
		{port_down, VIP_ERROR_RESOURCE, "port 1 is not active (down): ip link set its interface up",
		 NULL},
		{ib_port_down, VIP_ERROR_RESOURCE,
		 "port 1 is not active (down): is its cable in, and does a subnet", NULL},
		{both_ports_down, VIP_ERROR_RESOURCE, "port 1 is not active (down)", NULL},
		{no_gids, VIP_ERROR_RESOURCE, "port 1 has no IP address: ip address add", NULL},
		{no_answer, VIP_ERROR_RESOURCE, "port 1 does not tell its addresses: Input/output error",
		 NULL},
		{link_local, VIP_ERROR_RESOURCE, "port 1 has no IP address: ip address add ADDRESS/BITS dev",
		 NULL},
		{old_roce, VIP_ERROR_RESOURCE, "port 1 has only GIDs of RoCE version 1", NULL},
		{no_ipoib, VIP_ERROR_RESOURCE, "port 1 has no IPoIB interface", NULL},
		{memory, VIP_ERROR_RESOURCE, "KiB cannot be registered with it: Bad address", NULL},
		{memlock, VIP_ERROR_RESOURCE, "RLIMIT_MEMLOCK is ", NULL},
	};
	VIP_NIC_HANDLE nic;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *want = cases[i].open ? cases[i].open : cases[i].list;
		VIP_RETURN r;

		fake_reset();
		cases[i].make();
		list();
		if (seen.usable || !strstr(seen.why, cases[i].list))
			fail_msg("VipxDevices says '%s', not '%s'", seen.why, cases[i].list);
		r = VipOpenNic(FAKE_NAME, &nic);
		if (r != cases[i].code || !strstr(VipxErrorText(), want))
			fail_msg("VipOpenNic: %s: '%s', not '%s'", VipxReturnName(r), VipxErrorText(), want);
		nothing_left(want);
	}
}

static void test_other_name(void **state)
{
	VIP_NIC_HANDLE nic;

	(void)state;
	assert_int_equal(VipOpenNic("fake1", &nic), VIP_INVALID_PARAMETER);
	assert_string_equal(VipxErrorText(), "there is no device 'fake1', but emu0, ka0, fake0");
	nothing_left("a wrong name");
}

/* Of several ports it is the first that will do. */
static void test_second_port(void **state)
{
	VIP_NIC_ATTRIBUTES a;
	VIP_NIC_HANDLE nic;

	(void)state;
	fake.ports = 2;
	fake.port = 2;
	list();
	assert_true(seen.usable);
	OK(VipOpenNic(FAKE_NAME, &nic));
	OK(VipQueryNic(nic, &a));
	assert_memory_equal(a.LocalNicAddress, fake.gid, sizeof(fake.gid));
	OK(VipCloseNic(nic));
	nothing_left("a device with two ports");
}

static void test_v6(void **state)
{
	static const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 7};
	VIP_NIC_ATTRIBUTES a;
	VIP_NIC_HANDLE nic;

	(void)state;
	memcpy(fake.gid, v6, sizeof(v6));
	OK(VipOpenNic(FAKE_NAME, &nic));
	OK(VipQueryNic(nic, &a));
	assert_memory_equal(a.LocalNicAddress, v6, sizeof(v6));
	OK(VipCloseNic(nic));
}

/* ---- each call fails once ---- */

#define MOST_CALLS 400

static char names[64][40];
static unsigned int nnames;

static void note(const char *name, unsigned int calls)
{
	(void)calls;
	snprintf(names[nnames++], sizeof(names[0]), "%s", name);
}

/* The progress thread's own, which the handle does not fail for. */
static bool optional(const char *name)
{
	return strcmp(name, "ibv_req_notify_cq") == 0 || strcmp(name, "ibv_poll_cq") == 0;
}

/* Open, fail or not; returns whether the n-th call of @name was reached. */
static bool open_with(const char *name, unsigned int nth)
{
	VIP_NIC_HANDLE nic;
	VIP_RETURN r;

	fake_reset();
	fake_fail(name, nth, EIO);
	r = VipOpenNic(FAKE_NAME, &nic);
	if (!fake_failed() || optional(name)) {
		if (r != VIP_SUCCESS)
			fail_msg("%s, call %u: %s: %s", name, nth, VipxReturnName(r), VipxErrorText());
		OK(VipCloseNic(nic));
	} else {
		/* the list is asked for before anything is tried */
		if (r != (strcmp(name, "ibv_get_device_list") || nth > 1 ? VIP_ERROR_RESOURCE
									 : VIP_INVALID_PARAMETER))
			fail_msg("%s, call %u: %s", name, nth, VipxReturnName(r));
		if (!strstr(VipxErrorText(), FAKE_NAME) && !strstr(VipxErrorText(), "RDMA"))
			fail_msg("%s, call %u: whose fault is '%s'?", name, nth, VipxErrorText());
		if (!strstr(VipxErrorText(), strerror(EIO)))
			fail_msg("%s, call %u: '%s' hides the cause", name, nth, VipxErrorText());
	}
	nothing_left(name);
	return fake_failed();
}

static void test_each_call_fails(void **state)
{
	unsigned int i, nth, n = 0;
	VIP_NIC_HANDLE nic;

	(void)state;
	fake.fork = IBV_FORK_UNNEEDED;
	OK(VipOpenNic(FAKE_NAME, &nic));
	fake_each(note);
	OK(VipCloseNic(nic));
	for (i = 0; i < nnames; i++) {
		for (nth = 1; open_with(names[i], nth); nth++, n++)
			assert_true(nth < MOST_CALLS);
	}
	print_message("%u calls of %u names failed\n", n, nnames);
	assert_true(nnames >= 12 && n > nnames);
}

/* ---- forks ---- */

static void test_fork_init(void **state)
{
	VIP_NIC_HANDLE nic;

	(void)state;
	OK(VipOpenNic(FAKE_NAME, &nic));
	OK(VipCloseNic(nic));
	assert_int_equal(fake_calls("ibv_fork_init"), 0);
	fake.fork = IBV_FORK_DISABLED;
	OK(VipOpenNic(FAKE_NAME, &nic));
	OK(VipCloseNic(nic));
	assert_int_equal(fake_calls("ibv_fork_init"), 1);
	fake_fail("ibv_fork_init", 1, EINVAL);
	assert_int_equal(VipOpenNic(FAKE_NAME, &nic), VIP_ERROR_RESOURCE);
	assert_non_null(strstr(VipxErrorText(), "a fork's child: Invalid argument"));
	nothing_left("ibv_fork_init");
}

/* The child holds none of the descriptors by which the kernel knows that the parent lives. */
static void test_forked(void **state)
{
	VIP_NIC_HANDLE nic;
	int status;
	pid_t pid;

	(void)state;
	OK(VipOpenNic(FAKE_NAME, &nic));
	assert_int_equal(fake_fds(), 4);
	pid = fork();
	if (!pid)
		_exit((int)fake_fds());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(fake_fds(), 4);
	OK(VipCloseNic(nic));
	assert_int_equal(fake_fds(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_usable, setup),
		cmocka_unit_test_setup(test_refused, setup),
		cmocka_unit_test_setup(test_other_name, setup),
		cmocka_unit_test_setup(test_second_port, setup),
		cmocka_unit_test_setup(test_v6, setup),
		cmocka_unit_test_setup(test_each_call_fails, setup),
		cmocka_unit_test_setup(test_fork_init, setup),
		cmocka_unit_test_setup(test_forked, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
