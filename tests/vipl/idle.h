/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * idle.h - completions without a peer: a send on an idle VI completes flushed
 * at once.  And handlers that count.
 */
#ifndef TESTS_IDLE_H
#define TESTS_IDLE_H

#include "tests/vipl/memory.h"

static uint8_t room[64 * 64] __attribute__((aligned(4096)));

struct world {
	VIP_NIC_HANDLE nic;
	VIP_MEM_HANDLE mem;
};

static inline struct world open_world(void)
{
	struct world w;

	CHECK_EQ(VipOpenNic("emu0", &w.nic), VIP_SUCCESS);
	CHECK_EQ(VipRegisterMem(w.nic, room, sizeof(room), NULL, &w.mem), VIP_SUCCESS);
	return w;
}

static inline VIP_VI_HANDLE new_vi(const struct world *w, VIP_CQ_HANDLE send_cq)
{
	VIP_VI_ATTRIBUTES va = {VIP_SERVICE_UNRELIABLE, 4096, 0, NULL, 0, 0};
	VIP_VI_HANDLE vi;

	CHECK_EQ(VipCreateVi(w->nic, &va, send_cq, NULL, &vi), VIP_SUCCESS);
	return vi;
}

/* A completion on the VI's send queue. */
static inline void complete(const struct world *w, VIP_VI_HANDLE vi, int i)
{
	VIP_DESCRIPTOR *d = (VIP_DESCRIPTOR *)(room + (size_t)i * 64);

	memset(d, 0, sizeof(*d));
	CHECK_EQ(VipPostSend(vi, d, w->mem), VIP_SUCCESS);
}

static inline int get(const int *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static inline void add(int *p)
{
	__atomic_add_fetch(p, 1, __ATOMIC_SEQ_CST);
}

static inline void await(const int *p, int n)
{
	int i;

	for (i = 0; i < PATIENCE_MS && get(p) < n; i++)
		usleep(1000);
	CHECK_EQ(get(p), n);
}

static inline void on_count(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	(void)nic, (void)vi, (void)d;
	add(c);
}

static inline void on_cq_count(VIP_PVOID c, VIP_NIC_HANDLE nic, VIP_VI_HANDLE vi, VIP_BOOLEAN recv)
{
	(void)nic, (void)vi, (void)recv;
	add(c);
}

#endif
