/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * choices.c - see choices.h.
 */
#include "vipl/choices.h"

#include "vipl/env.h"

static const struct vip_choices by_default = {
	.null_ptag = true,
	.null_mem_attr = true,
	.any_length = true,
	.overrun_code = true,
	/* a server that turns up a moment later is found, and a client that loops on VIP_NO_MATCH does not
	   spin */
	.grace_ms = 100,
};

static const struct vip_choices strict = {0};

const struct vip_choices *vip_choices(void)
{
	return vip_env_flag(VIP_ENV_STRICT) ? &strict : &by_default;
}
