/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_version.c - a library of another version than the module: libvipl, but with the part that says
 * HELLO built anew for that version; the linker leaves the library's own out.
 */
#include "kagent/ka_proto.h"

enum { MODULE_VERSION = KA_VERSION };
#undef KA_VERSION
#define KA_VERSION 77u
#include "kagent/client/device.c" /* NOLINT(bugprone-suspicious-include) */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "vipl_ext.h"

static void refused(void **state)
{
	VIP_NIC_HANDLE nic;
	char has[40];

	(void)state;
	assert_int_equal(VipOpenNic("ka0", &nic), VIP_ERROR_RESOURCE);
	snprintf(has, sizeof(has), "speaks version %d,", MODULE_VERSION);
	print_message("%s\n", VipxErrorText());
	assert_non_null(strstr(VipxErrorText(), has));
	assert_non_null(strstr(VipxErrorText(), "this library speaks version 77"));
	assert_non_null(strstr(VipxErrorText(), "load the one that was built with the library"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
