/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipka.h - what the files of the module share.
 *
 *   vipka_main.c    the module: parameters, the device, loading and unloading
 *   vipka_file.c    an open file: who it belongs to, VIPKA_CALL, events, release
 *   vipka_host.c    the core's hooks (kagent/core/host.h): memory, random, TPT and wake words
 *   vipka_map.c     what a process has mapped: resolve of the LMM's host, by its VMAs
 *   vipka_pin.c     pinned pages, what is charged for them, and what copies to and from them
 *   vipka_reg.c     registered regions: pinned, watched (MMU notifier), found by their handles
 *   vipka_conn.c    a connection's region and its descriptor: mmap, the doorbells
 *   vipka_engine.c  the host of nic-emu/core: windows are regions, copies go page to page
 *
 * Locks, outermost first:
 *   core_lock (mutex)        the agent's core and all that it owns
 *   vipka_conn.tx (mutex)    the sender's half of one side; never taken with core_lock held,
 *                            nor core_lock under it
 *   vipka_nic.regs (rwsem)   its table of regions: read while an engine copies, write to change it;
 *                            of two, the one with the lower address first
 *   mmap_lock of the caller  is not taken under regs: pinning comes before
 *   vipka_nic.gone (spinlock) what the MMU notifier has to say; taken alone
 */
#ifndef VIPKA_H
#define VIPKA_H

#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/rwsem.h>

#include "kagent/core/core.h"

/* ---- vipka_pin.c ---- */

/* Pinned whole pages of one process. */
struct vipka_pin {
	struct mm_struct *mm; /* charged: pinned_vm */
	unsigned long start;  /* page aligned */
	unsigned long npages;
	struct page **pages;
};

/*
 * vipka_pin - pin [@start, @start + @npages pages) of the current process for long, writable if
 * @write.  0; -ENOMEM, -EFAULT, -EOPNOTSUPP, -EINTR, with @text (KA_TEXT bytes) saying why.
 */
int vipka_pin(struct vipka_pin *pin, unsigned long start, unsigned long npages, bool write, char *text);
void vipka_unpin(struct vipka_pin *pin);

/* Copy @n bytes at address @addr of the pinned area, in which they lie: to or from kernel memory, ... */
void vipka_pin_get(const struct vipka_pin *pin, u64 addr, void *to, u64 n);
void vipka_pin_put(const struct vipka_pin *pin, u64 addr, const void *from, u64 n);
/* ... or from one pinned area to another.  An aligned word of up to 8 bytes is written at once. */
void vipka_pin_copy(const struct vipka_pin *to, u64 to_addr, const struct vipka_pin *from, u64 from_addr, u64 n);

/* ---- vipka_reg.c ---- */

struct vipka_nic;

/* A registered region; under regs of its NIC handle. */
struct vipka_reg {
	u32 handle; /* 0: the place is free */
	bool gone;  /* the process has no longer this memory there: nobody may use it */
	struct vipka_pin pin;
	struct mmu_interval_notifier watch;
	struct vipka_nic *nic;
};

/* The host's part of a NIC handle: ka_nicmem.host[0].  Counted: its connections hold it as well. */
struct vipka_nic {
	struct kref ref;
	struct rw_semaphore regs;
	struct vipka_reg **reg; /* KA_TPT_ENTRIES, by index of the handle */
	struct ka_tpt_entry *tpt;
	struct ka_wake *wake;
	struct file *tpt_file, *wake_file;
	struct list_head segments; /* whole attachments that are pinned besides, by the LMM's verdict */
};

static inline struct vipka_nic *vipka_nic_of(const struct ka_nicmem *mem)
{
	return (struct vipka_nic *)mem->host[0];
}
void vipka_nic_get(struct vipka_nic *nic);
void vipka_nic_put(struct vipka_nic *nic);

/* The region with this handle that may be used; regs is held.  NULL: there is none. */
static inline struct vipka_reg *vipka_reg_find(struct vipka_nic *nic, u32 handle)
{
	struct vipka_reg *r = (handle & 0xffff) < KA_TPT_ENTRIES ? nic->reg[handle & 0xffff] : NULL;

	return handle && r && r->handle == handle && !READ_ONCE(r->gone) ? r : NULL;
}

/* ---- vipka_conn.c ---- */

/*
 * The hooks ka_host_region_create() and _destroy() are there; region->host[0] is the
 * connection, which lives as long as the core, a descriptor or a mapping of it does.
 * vipka_conn_file - a new file for side @side of it, for the current process; ERR_PTR.
 */
struct file *vipka_conn_file(struct ka_region *region, u32 side);

#endif
