/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_lmm_mr.c - the same memory registered with an RDMA device, by libibverbs:
 * what the kernel's own way of pinning memory for a device takes.
 */
#include <errno.h>
#include <infiniband/verbs.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/vip_lmm.h"
#include "tools/common.h"

static struct ibv_context *open_device(const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *ctx = NULL;

	errno = ENODEV;
	for (int i = 0; list && list[i]; i++) {
		if (!strcmp(ibv_get_device_name(list[i]), name))
			ctx = ibv_open_device(list[i]);
	}
	if (list)
		ibv_free_device_list(list);
	return ctx;
}

int mr_open(struct bare *b, const char *rdma)
{
	struct ibv_context *ctx = open_device(rdma);

	*b = (struct bare){.sock = -1, .events = -1};
	if (!ctx)
		return bare_fault(b, 0, "RDMA device %s: %s", rdma, strerror(errno));
	b->pd = ibv_alloc_pd(ctx);
	if (b->pd)
		return 0;
	bare_fault(b, 0, "RDMA device %s: no protection domain: %s", rdma, strerror(errno));
	ibv_close_device(ctx);
	return -1;
}

void mr_close(struct bare *b)
{
	struct ibv_context *ctx;

	if (!b->pd)
		return;
	ctx = b->pd->context;
	ibv_dealloc_pd(b->pd);
	ibv_close_device(ctx);
}

int mr_once(struct bare *b, enum vipx_level level, void *area, uint64_t bytes, uint64_t ns[WHATS])
{
	bool lock = level == VIPX_LOCKED;
	struct ibv_mr *mr;
	uint64_t t[5];

	t[0] = tool_now_ns();
	if (lock && mlock(area, bytes))
		return bare_fault(b, errno, "locking %llu bytes: %s", (unsigned long long)bytes,
				  strerror(errno));
	t[1] = tool_now_ns();
	mr = ibv_reg_mr(b->pd, area, bytes, IBV_ACCESS_LOCAL_WRITE);
	if (!mr)
		return bare_fault(b, errno, "ibv_reg_mr of %llu bytes: %s", (unsigned long long)bytes,
				  strerror(errno));
	t[2] = tool_now_ns();
	if (ibv_dereg_mr(mr))
		return bare_fault(b, 0, "ibv_dereg_mr: %s", strerror(errno));
	t[3] = tool_now_ns();
	if (lock)
		munlock(area, bytes);
	t[4] = tool_now_ns();

	ns[LOCK] = t[1] - t[0];
	ns[PIN] = t[2] - t[1];
	ns[BARE_REGISTER] = t[2] - t[0];
	ns[UNPIN] = t[3] - t[2];
	ns[UNLOCK] = t[4] - t[3];
	ns[BARE_DEREGISTER] = t[4] - t[2];
	return 0;
}
