/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipka_conn.h - a connection in the kernel: what vipka_conn.c and vipka_engine.c share.
 *
 * Who writes what: the pages of the region are mapped by both processes and by the
 * kernel, each believing nothing that it reads there; everything else here is the
 * kernel's alone.
 */
#ifndef VIPKA_CONN_H
#define VIPKA_CONN_H

#include <linux/kref.h>
#include <linux/mutex.h>

#include "kagent/linux/vipka.h"
#include "nic-emu/core/emu_engine.h"

#define VIPKA_REGION_PAGES (sizeof(struct emu_region) / PAGE_SIZE)

/* One end: the sender's half of its engine. */
struct vipka_side {
	struct emu_link
		link; /* under tx; its receiver's half is in the process; no region before a doorbell */
	struct mutex tx;
	struct vipka_conn *conn;
	struct vipka_nic *nic;
	struct ka_seg seg[KA_MAX_SEGS]; /* of the doorbell that is rung; under tx */
};

struct vipka_conn {
	struct kref ref;
	bool dead; /* the core has ended it: set before regs is held for writing, looked at with it held */
	struct page *hole; /* what an engine sees where nothing is */
	struct vipka_side side[2];
	struct page *page[VIPKA_REGION_PAGES]; /* by offset; NULL: not there, or not yet */
};

/* vipka_conn.c: the page of the region at this offset, or NULL.  No lock: a page that is there stays. */
static inline struct page *vipka_conn_page(struct vipka_conn *c, size_t offset)
{
	/* Against cmpxchg() in make_page(): who sees the page sees that it is zeroed. */
	return smp_load_acquire(&c->page[offset / PAGE_SIZE]);
}

/*
 * vipka_conn.c: the region for the engine of @s; its tx is held.  0, or -ENOMEM, and another doorbell
 * may try again.
 */
int vipka_conn_view(struct vipka_side *s);

/* vipka_engine.c: make ready side @side of @c, whose NIC handles are there. */
void vipka_engine_begin(struct vipka_conn *c, u32 side, const struct ka_end end[2]);

/* vipka_engine.c: the ioctls VIPKA_SEND and VIPKA_READ by who may ring them. */
long vipka_engine_ring(struct vipka_side *s, unsigned int cmd, void __user *arg);

#endif
