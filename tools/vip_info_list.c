/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_info_list.c - vip_info --list: each device, and whether it can be used.
 */
#include <jansson.h>
#include <stdio.h>

#include "tools/vip_info.h"
#include "vipl_ext.h"

static void text_row(void *context, const char *name, const char *why)
{
	(void)context;
	if (!name)
		printf("RDMA: %s\n", why);
	else if (why)
		printf("%s: cannot be used: %s\n", name, why);
	else
		printf("%s: usable\n", name);
}

static void json_row(void *context, const char *name, const char *why)
{
	json_t *row = json_object();

	json_object_set_new(row, "device", name ? json_string(name) : json_null());
	json_object_set_new(row, "usable", json_boolean(name && !why));
	json_object_set_new(row, "why", why ? json_string(why) : json_null());
	json_array_append_new(context, row);
}

void list_print(bool json)
{
	json_t *all;

	if (!json) {
		VipxDevices(text_row, NULL);
		return;
	}
	all = json_array();
	VipxDevices(json_row, all);
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}
