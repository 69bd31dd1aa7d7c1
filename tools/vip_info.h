/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_info.h - the parts of vip_info.
 */
#ifndef TOOLS_VIP_INFO_H
#define TOOLS_VIP_INFO_H

#include <stdbool.h>

/* vip_info_env.c: the environment variables, as text or as JSON. */
void env_print(bool json);
/* vip_info_list.c: the devices, the same way. */
void list_print(bool json);

#endif
