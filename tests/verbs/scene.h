/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * scene.h - what the tests of nic-verbs without a device share: the fake device
 * (fake/fake.h), opened as any NIC is.
 */
#ifndef SCENE_H
#define SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake/fake.h"
#include "vipl_ext.h"

/* The call succeeds. */
#define OK(call)                                                                            \
	do {                                                                                \
		VIP_RETURN r_ = (call);                                                     \
		if (r_ != VIP_SUCCESS)                                                      \
			fail_msg("%s: %s: %s", #call, VipxReturnName(r_), VipxErrorText()); \
	} while (0)

/* Nothing of the fake device is left. */
void nothing_left(const char *after);

#endif
