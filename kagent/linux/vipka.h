/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipka.h - what the files of the module share.
 *
 *   vipka_main.c    the module: parameters, the device, loading and unloading
 *   vipka_file.c    an open file: who it belongs to, VIPKA_CALL, release
 *   vipka_event.c   its events, and the descriptors that come with answers and events
 *   vipka_host.c    the core's hooks (kagent/core/host.h): memory, random, TPT and wake words
 *   vipka_map.c     what a process has mapped: resolve of the LMM's host, by its VMAs
 *   vipka_pin.c     pinned pages, what is charged for them, and what copies to and from them
 *   vipka_reg.c     registered regions: pinned, watched (MMU notifier), found by their handles
 *   vipka_conn.c    a connection's region and its descriptor: mmap, the doorbells
 *   vipka_engine.c  the host of nic-emu/core: windows are regions, copies go page to page
 *
 * A process is known by its memory, struct mm_struct: threads share it, a forked child has another.
 *
 * Locks, outermost first:
 *   vipka_file.mem (mutex)   the process's requests about memory, and its regions
 *   core_lock (mutex)        the agent's core and all that it owns.  Under it nothing waits for a process:
 *                            no page of user memory is touched, and what it has mapped was looked up before
 *   vipka_conn.tx (mutex)    the sender's half of one side; never taken with core_lock held,
 *                            nor core_lock under it
 *   vipka_nic.regs (rwsem)   its table of regions: read while an engine copies, write to change it;
 *                            of two, the one with the lower address first.  Who has taken a right
 *                            out of the TPT holds it for writing once: then no engine uses it any more
 *   mmap_lock of the process is taken under vipka_file.mem alone
 *   vipka_file.news_lock, events_lock (spinlocks), taken alone; the MMU notifier takes the former
 */
#ifndef VIPKA_H
#define VIPKA_H

#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "kagent/core/core.h"

/* ---- vipka_main.c ---- */

extern struct workqueue_struct *vipka_wq; /* what may have to wait for a process */
extern bool vipka_cross_user;

/* ---- vipka_pin.c ---- */

/* Pinned whole pages of one process. */
struct vipka_pin {
	struct mm_struct *mm; /* charged: pinned_vm; NULL: nothing is pinned */
	unsigned long start;  /* page aligned */
	unsigned long npages;
	struct page **pages;
	bool write;
};

/*
 * vipka_pin - pin [@start, @start + @npages pages) of the current process for long.
 * @write: all of it is to be written to; else what may be is.
 * 0; -ENOMEM, -EFAULT, -EOPNOTSUPP, -EINTR, with @text (KA_TEXT bytes) saying why.
 */
int vipka_pin(struct vipka_pin *pin, unsigned long start, unsigned long npages, bool write, char *text);
void vipka_unpin(struct vipka_pin *pin);

/* Copy @n bytes at address @addr of the pinned area, in which they lie: to or from kernel memory, ... */
void vipka_pin_get(const struct vipka_pin *pin, u64 addr, void *to, u64 n);
void vipka_pin_put(const struct vipka_pin *pin, u64 addr, const void *from, u64 n);
/*
 * ... or from one pinned area to another.  The end of what is written, ka_last_word() bytes of it, is
 * written after all else and, where it is an aligned word, at once.
 */
void vipka_pin_copy(const struct vipka_pin *to, u64 to_addr, const struct vipka_pin *from, u64 from_addr,
		    u64 n);

/* ---- vipka_map.c ---- */

/* What the current process has mapped at [@start, @end): resolve of struct lmm_host.  -EINTR besides. */
int vipka_map_look(u64 start, u64 end, struct lmm_run *runs, u32 max, char *text);

/* ---- vipka_file.c ---- */

/* An open file: a process, once it has said hello. */
struct vipka_file {
	struct mm_struct *mm;	  /* the process; NULL before HELLO */
	struct ka_proc *proc;	  /* under core_lock; NULL before HELLO and after the end */
	struct mmu_notifier life; /* tells when the process has gone */
	struct work_struct end;

	struct mutex mem;      /* one request about memory at a time, and all up to `look` */
	struct list_head regs; /* struct vipka_reg, published or not */
	struct {
		u64 start, end;
		int n;
		char text[KA_TEXT];
		struct lmm_run runs[LMM_MAX_RUNS];
	} look; /* what is mapped where the request under way wants to know it */

	spinlock_t news_lock;	 /* what the MMU notifier writes: news, and each region's own */
	struct list_head news;	 /* struct vipka_reg whose memory has changed */
	struct list_head doubts; /* struct vipka_reg to be looked at; under mem */
	struct delayed_work settle;

	spinlock_t events_lock; /* events, nevents */
	struct mutex reading;	/* one reader has the first event at a time */
	wait_queue_head_t readers;
	struct list_head events;
	unsigned int nevents;
	bool ended; /* no more events and no more requests */
};

/*
 * The core is entered and left.  Leaving it ends what is left of NIC handles that it has closed:
 * their process's `mem` is held.
 */
struct ka_core *vipka_core_enter(void);
void vipka_core_leave(void);

/*
 * vipka_ask - a request about memory in the name of the process; its `mem` is held.
 * 0, and the result is in rep->err; -ESHUTDOWN.
 */
int vipka_ask(struct vipka_file *f, const struct ka_req *req, struct ka_rep *rep);

struct vipka_conn;
struct vipka_nic;

/* What goes with an answer or an event, held until the process has descriptors of it. */
struct vipka_gift {
	struct vipka_conn *conn; /* with `side` of it; NULL: a NIC handle's own tables */
	struct vipka_nic *nic;	 /* whose tables; NULL: nothing is given */
	u32 side;
};

void vipka_gift_take(struct vipka_gift *gift, const struct ka_give *give, u32 side);
void vipka_gift_drop(struct vipka_gift *gift);

/* Which of the three descriptors there are, a bit for each. */
unsigned int vipka_gift_fds(const struct vipka_gift *gift);
/* Their files, for the current process; NULL: not given. */
int vipka_gift_open(const struct vipka_gift *gift, struct file *file[3]);

/* ---- vipka_reg.c ---- */

/* A registered region; under regs of its NIC handle. */
struct vipka_reg {
	u32 handle; /* 0: it has none yet */
	bool gone;  /* the process has no longer this memory there: nobody may use it */
	struct vipka_pin pin;
	struct mmu_interval_notifier watch;
	struct vipka_nic *nic; /* NULL: not yet in its table */
	struct vipka_file *file;
	struct list_head list; /* vipka_file.regs */

	/* under news_lock: what was unmapped, and what is to be looked at; end 0: nothing */
	struct list_head news;
	struct {
		u64 start, end;
	} unmapped, changed;

	struct list_head doubts;
	struct {
		u64 start, end;
	} doubt;	     /* what is to be looked at, once more perhaps */
	unsigned long since; /* jiffies, when that changed last */
};

/* MEM_REG and the other requests about memory; mem of @f is held.  As vipka_ask(). */
int vipka_reg_request(struct vipka_file *f, struct ka_req *req, struct ka_rep *rep);

/* The regions of @nic go, for it is closed. */
void vipka_reg_close(struct vipka_nic *nic);
void vipka_reg_settle_work(struct work_struct *work);

/* ---- vipka_host.c ---- */

/* Memory that processes map and the kernel sees too. */
struct vipka_shm {
	struct file *file;
	struct page **pages;
	unsigned int npages;
	void *mem;
};

/* The host's part of a NIC handle: ka_nicmem.host[0].  Counted: its connections hold it as well. */
struct vipka_nic {
	struct kref ref;
	struct rw_semaphore regs;
	struct vipka_reg **reg; /* KA_TPT_ENTRIES, by index of the handle */
	struct ka_tpt_entry *tpt;
	struct ka_wake *wake;
	struct vipka_shm tpt_shm, wake_shm;
	struct list_head dead; /* closed by the core, which is not left yet */
};

static inline struct vipka_nic *vipka_nic_of(const struct ka_nicmem *mem)
{
	return (struct vipka_nic *)mem->host[0];
}

void vipka_nic_get(struct vipka_nic *nic);
void vipka_nic_put(struct vipka_nic *nic);

/* The NIC handles that the core has closed since the last call; core_lock is held. */
void vipka_nic_take_dead(struct list_head *dead);

/* The region with this handle that may be used; regs is held.  NULL: there is none. */
static inline struct vipka_reg *vipka_reg_find(struct vipka_nic *nic, u32 handle)
{
	struct vipka_reg *r = nic->reg[handle % KA_TPT_ENTRIES];

	return handle && r && r->handle == handle && !READ_ONCE(r->gone) ? r : NULL;
}

/* ---- vipka_conn.c ---- */

/*
 * The hooks ka_host_region_create() and _destroy() are there; region->host[0] is the
 * connection.  Counted: the core, who has still to give it away, a descriptor or a mapping of it.
 */
static inline struct vipka_conn *vipka_conn_of(const struct ka_region *region)
{
	return (struct vipka_conn *)region->host[0];
}

void vipka_conn_get(struct vipka_conn *c);
void vipka_conn_put(struct vipka_conn *c);

/* vipka_conn_file - a new file for side @side of it, for the current process; ERR_PTR. */
struct file *vipka_conn_file(struct vipka_conn *c, u32 side);

#endif
