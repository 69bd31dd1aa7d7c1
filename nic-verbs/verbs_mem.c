/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_mem.c - a memory region of the device for each registration, for what it
 * moves by itself (verbs_pull.c).  Memory that it does not take, which is read-only
 * or a file on a disk, has none: it is copied.
 */
#include "nic-verbs/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DROP_MS 200u /* how long a connection that is being taken down may keep its regions */
#define NAP_US	100u

#define SOFT_ROCE 0xffffffu /* vendor's number: nobody's */

int verbs_mem_open(struct verbs_nic *vn)
{
	vn->windows = vn->dev.device_cap_flags & IBV_DEVICE_MEM_WINDOW_TYPE_2B;
	vn->nic->beside = vn->windows;
	vn->binds_again = vn->dev.vendor_id == SOFT_ROCE;
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

static struct verbs_region *region_of(struct verbs_nic *vn, uint32_t handle)
{
	return &vn->region[(handle & 0xffff) % KA_TPT_ENTRIES];
}

int verbs_mem_add(struct vip_nic *nic, const struct ka_tpt_entry *e, uint64_t start, uint64_t length)
{
	struct verbs_nic *vn = verbs_nic(nic);
	struct verbs_region *r = region_of(vn, e->handle);

	if (!vn->windows)
		return 0;
	r->mr = ibv_reg_mr(vn->pd, (void *)(uintptr_t)start, length, /* NOLINT(performance-no-int-to-ptr) */
			   IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND);
	if (r->mr)
		ka_store_release(&r->handle, e->handle);
	else
		vip_log(VIP_LOG_DEBUG, "%s does not take 0x%lx..0x%lx (%s): it is copied", nic->device, start,
			start + length, strerror(errno));
	return 0;
}

void verbs_mem_drop(struct vip_nic *nic, uint32_t handle)
{
	struct verbs_nic *vn = verbs_nic(nic);
	struct verbs_region *r = region_of(vn, handle);
	uint64_t end = vip_now_ms() + DROP_MS;
	int err;

	if (ka_load_acquire(&r->handle) != handle)
		return;
	ka_store_release(&r->handle, 0);
	/* windows keep it until the queue pair of an end that is severed has gone */
	while ((err = ibv_dereg_mr(r->mr)) && vip_now_ms() < end) {
		verbs_poll_device(vn);
		usleep(NAP_US);
	}
	if (err)
		vip_log(VIP_LOG_WARN, "%s does not let go of a memory region: %s", nic->device,
			strerror(errno));
	r->mr = NULL;
}

bool verbs_mem_mr(struct verbs_nic *vn, uint32_t handle, struct ibv_mr **mr)
{
	const struct verbs_region *r = region_of(vn, handle);

	if (handle == 0 || ka_load_acquire(&r->handle) != handle)
		return false;
	*mr = r->mr;
	return true;
}

bool verbs_mem_device(struct vip_vi *vi, const struct ka_seg *s, uint32_t rights, struct ka_tpt_entry *kept)
{
	const void *at = (const void *)(uintptr_t)s->addr; /* NOLINT(performance-no-int-to-ptr) */
	uint8_t byte;

	switch (vip_mem_check(vi->nic, s->handle, s->addr, s->len, vi->attr.tag, rights, kept)) {
	case 0:
		return true;
	case 1:
		/* a segment goes as a whole; nobody tells of it, but one look does */
		return kept->kind == LMM_SYSV && vip_mem_get(vi->nic, s->handle, &byte, at, 1, true);
	default:
		return false;
	}
}
