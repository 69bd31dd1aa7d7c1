/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * poll_yields.c - preloaded (LD_PRELOAD) to a program of verbs that polls: when a completion queue has
 * nothing, it gives its processor away.  So perftest's two ends can share one, as vip_perf's do by
 * themselves.
 */
#include <dlfcn.h>
#include <infiniband/verbs.h>
#include <sched.h>
#include <string.h>

static int (*poll_cq)(struct ibv_cq *cq, int n, struct ibv_wc *wc);

static int poll_or_yield(struct ibv_cq *cq, int n, struct ibv_wc *wc)
{
	int got = poll_cq(cq, n, wc);

	if (got == 0)
		sched_yield();
	return got;
}

/* In place of libibverbs'. */
__attribute__((visibility("default"))) struct ibv_context *ibv_open_device(struct ibv_device *device)
{
	void *real = dlsym(RTLD_NEXT, "ibv_open_device");
	struct ibv_context *(*open_device)(struct ibv_device *);
	struct ibv_context *ctx;

	if (!real)
		return NULL;
	memcpy(&open_device, &real, sizeof(open_device));
	ctx = open_device(device);
	if (ctx) {
		poll_cq = ctx->ops.poll_cq;
		ctx->ops.poll_cq = poll_or_yield;
	}
	return ctx;
}
