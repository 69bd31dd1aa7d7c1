/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * choices.h - where the specification leaves a question open, or real
 * providers were lenient: the one table of what the library does, by default
 * and with VIPL_STRICT=1.  docs/spec-choices.md is the same for people.
 */
#ifndef VIPL_CHOICES_H
#define VIPL_CHOICES_H

#include <stdbool.h>
#include <stdint.h>

#include "vipl/inside.h"

struct vip_choices {
	bool null_ptag;	    /* K-6: a NULL tag is the NIC handle's default tag; else VIP_INVALID_PTAG */
	bool null_mem_attr; /* K-16: NULL memory attributes are that and no RDMA; else VIP_INVALID_PARAMETER
			     */
	bool any_length;    /* K-5: Length of a send need not be the sum of its segments; else FORMAT_ERROR */
	bool overrun_code;  /* a descriptor too many: VIP_ERROR_RESOURCE; else VIP_ERROR_VI_OVERRUN later */
	uint32_t grace_ms;  /* K-25: how long a request that finds nobody waiting is held */
};

/* What holds in this process; it does not change. */
VIP_INSIDE const struct vip_choices *vip_choices(void);

#endif
