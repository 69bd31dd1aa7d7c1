/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_info_env.c - vip_info --env: each environment variable with what holds,
 * what is allowed, and what it is for.
 */
#include <jansson.h>
#include <stdio.h>

#include "tools/vip_info.h"
#include "vipl_ext.h"

static void text_row(void *context, const struct vipx_variable *v)
{
	(void)context;
	if (v->value)
		printf("%s=%s\n", v->name, v->value);
	else
		printf("%s %s\n", v->name, v->given ? "(refused)" : "(none)");
	printf("    %s\n    %s%s%s", v->help, v->type, *v->allowed ? ": " : "", v->allowed);
	if (v->by_default)
		printf("; default %s", v->by_default);
	if (v->given)
		printf("; set to '%s'\n", v->given);
	else
		printf("; not set\n");
}

/* No key when the environment's text is no UTF-8. */
static void json_row(void *context, const struct vipx_variable *v)
{
	const struct {
		const char *key, *text;
	} texts[] = {
		{"name", v->name},   {"type", v->type},	  {"allowed", v->allowed}, {"default", v->by_default},
		{"given", v->given}, {"value", v->value}, {"help", v->help},
	};
	json_t *row = json_object();

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		json_object_set_new(row, texts[i].key,
				    texts[i].text ? json_string(texts[i].text) : json_null());
	json_array_append_new(context, row);
}

void env_print(bool json)
{
	json_t *all;

	if (!json) {
		VipxEnvironment(text_row, NULL);
		return;
	}
	all = json_array();
	VipxEnvironment(json_row, all);
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}
