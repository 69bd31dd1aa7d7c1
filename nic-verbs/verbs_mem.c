/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_mem.c - a memory region of the device for each registration, for what it
 * moves by itself (verbs_pull.c).  Memory that it does not take, which is read-only
 * or a file on a disk, has none: it is copied.
 */
#include "nic-verbs/verbs.h"

#include <errno.h>
#include <stdlib.h>

int verbs_mem_open(struct verbs_nic *vn)
{
	vn->region = calloc(KA_TPT_ENTRIES, sizeof(*vn->region)); /* pages come as they are used */
	if (vn->region)
		return 0;
	vip_why("no memory for the table of memory regions");
	return -ENOMEM;
}

void verbs_mem_close(struct verbs_nic *vn)
{
	free(vn->region);
}

int verbs_mem_add(struct vip_nic *nic, const struct ka_tpt_entry *e, uint64_t start, uint64_t length)
{
	(void)nic;
	(void)e;
	(void)start;
	(void)length;
	return 0;
}

void verbs_mem_drop(struct vip_nic *nic, uint32_t handle)
{
	(void)nic;
	(void)handle;
}

static void quiet_vi(void *obj, void *arg)
{
	struct vip_vi *vi = obj;
	int i;

	if (ka_load_relaxed(&vi->nic) != arg)
		return;
	for (i = VIP_SQ; i <= VIP_RQ; i++) {
		vip_lock(&vi->q[i].lock);
		vip_unlock(&vi->q[i].lock);
	}
}

void verbs_mem_quiet(struct vip_nic *nic)
{
	vip_obj_each(VIP_T_VI, quiet_vi, nic);
}
