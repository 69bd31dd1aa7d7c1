// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_reg.c - registered regions: pinned, watched, and found by their handles.
 *
 * The MMU notifier tells of each change of the page tables behind a region.  That memory is unmapped or
 * moved ends the region at once.  Other changes may have given the process other pages at these addresses
 * (MADV_DONTNEED, a file that is cut) or may not (reclaim that failed, fork, compaction): a worker, or the
 * next request about memory, compares what is mapped with what is pinned.  Either way the core is told
 * then, which takes the region out of the TPT.  (Of huge pages Linux 6.1 says that they were unmapped when
 * MADV_DONTNEED has taken them out of the page tables: that ends their region, too.)
 *
 * Invariants: the notifier takes a spinlock and waits for nothing; a region whose `gone` is set stays in its
 * place until it is deregistered, and `gone` is never cleared; the pages of a region that may be found are
 * pinned as long as regs of its NIC handle is held.
 */
#include <linux/kthread.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "kagent/linux/vipka.h"

#define LOOK_PAGES 64	     /* compared at once */
#define DOUBT	   (10 * HZ) /* how long a page is looked at again that a file may be about to drop */

/* ---- what the kernel tells of a region's memory ---- */

static void extend(u64 *start, u64 *end, u64 from, u64 to)
{
	if (!*end || from < *start)
		*start = from;
	if (to > *end)
		*end = to;
}

static bool invalidate(struct mmu_interval_notifier *watch, const struct mmu_notifier_range *range,
		       unsigned long seq)
{
	struct vipka_reg *r = container_of(watch, struct vipka_reg, watch);
	u64 from = max_t(u64, range->start, watch->interval_tree.start);
	u64 to = min_t(u64, range->end, watch->interval_tree.last + 1);
	struct vipka_file *f = r->file;

	spin_lock(&f->news_lock);
	mmu_interval_set_seq(watch, seq);
	switch (range->event) {
	case MMU_NOTIFY_RELEASE: /* all of the process ends: `life` tells of it */
		WRITE_ONCE(r->gone, true);
		break;
	case MMU_NOTIFY_PROTECTION_VMA:
	case MMU_NOTIFY_PROTECTION_PAGE:
	case MMU_NOTIFY_SOFT_DIRTY: /* the pages are the same */
		break;
	case MMU_NOTIFY_UNMAP:
		WRITE_ONCE(r->gone, true);
		extend(&r->unmapped.start, &r->unmapped.end, from, to);
		break;
	default:
		extend(&r->changed.start, &r->changed.end, from, to);
	}
	if ((r->unmapped.end || r->changed.end) && list_empty(&r->news)) {
		list_add_tail(&r->news, &f->news);
		mod_delayed_work(vipka_wq, &f->settle, 0);
	}
	spin_unlock(&f->news_lock);
	return true;
}

static const struct mmu_interval_notifier_ops watch_ops = {
	.invalidate = invalidate,
};

/* ---- comparing ---- */

/*
 * Is @page, which the page tables do not show at @addr, still what a touch would bring there?
 * Memory of a process's own is there as long as it is pinned.  A page of a file may have been taken out of
 * the page tables by reclaim, and is the file's as long as that has not dropped it.
 */
static bool still_the_files(unsigned long addr, struct page *page)
{
	struct folio *folio = page_folio(page);
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	bool same = false;

	if (folio_test_anon(folio))
		return false;
	mmap_read_lock(mm);
	vma = find_vma(mm, addr);
	if (vma && vma->vm_start <= addr && vma->vm_file)
		same = READ_ONCE(folio->mapping) == vma->vm_file->f_mapping || folio_test_swapcache(folio);
	mmap_read_unlock(mm);
	return same;
}

/*
 * The first page from @addr on that is another than the pinned one, or @end.
 * @doubt: set when a page is not in the page tables.  A hole that is punched into a file takes it out of
 * those first, which the notifier tells, and then out of the file, which nobody tells.
 */
static u64 compare(const struct vipka_pin *pin, u64 addr, u64 end, bool *doubt)
{
	struct page *now[LOOK_PAGES], **was;
	int i, n;

	while (addr < end) {
		was = pin->pages + ((addr - pin->start) >> PAGE_SHIFT);
		n = min_t(u64, (end - addr) >> PAGE_SHIFT, LOOK_PAGES);
		/* Nothing is brought in: that could wait for somebody, and cost the process memory. */
		n = get_user_pages_fast(addr, n, FOLL_FORCE | FOLL_NOFAULT, now);
		for (i = 0; i < n; i++)
			put_page(now[i]);
		for (i = 0; i < n; i++)
			if (now[i] != was[i])
				return addr + ((u64)i << PAGE_SHIFT);
		if (n <= 0) {
			if (!still_the_files(addr, *was))
				return addr;
			*doubt = true;
			n = 1;
		}
		addr += (u64)n << PAGE_SHIFT;
		cond_resched();
	}
	return end;
}

/* ---- regions ---- */

static void unpin_region(struct vipka_reg *r)
{
	struct vipka_pin pin;

	if (r->nic)
		down_write(&r->nic->regs);
	pin = r->pin;
	r->pin.mm = NULL;
	if (r->nic)
		up_write(&r->nic->regs);
	vipka_unpin(&pin);
}

static void free_region(struct vipka_reg *r)
{
	struct vipka_file *f = r->file;

	mmu_interval_notifier_remove(&r->watch);
	spin_lock(&f->news_lock);
	list_del(&r->news);
	spin_unlock(&f->news_lock);
	list_del(&r->doubts);
	list_del(&r->list);
	vipka_unpin(&r->pin);
	kfree(r);
}

/* The process has no longer what @r has pinned at [@start, @end). */
static void tell_gone(struct vipka_file *f, struct vipka_reg *r, u64 start, u64 end)
{
	struct ka_req req = {.op = KA_OP_MEM_GONE};
	struct ka_rep rep;

	req.u.reg.start = start;
	req.u.reg.length = end - start;
	WRITE_ONCE(r->gone, true);
	vipka_ask(f, &req, &rep);
	unpin_region(r);
}

static struct vipka_reg *take_news(struct vipka_file *f, u64 unmapped[2], u64 changed[2])
{
	struct vipka_reg *r;

	spin_lock(&f->news_lock);
	r = list_first_entry_or_null(&f->news, struct vipka_reg, news);
	if (r) {
		list_del_init(&r->news);
		unmapped[0] = r->unmapped.start;
		unmapped[1] = r->unmapped.end;
		changed[0] = r->changed.start;
		changed[1] = r->changed.end;
		r->unmapped.end = r->changed.end = 0;
	}
	spin_unlock(&f->news_lock);
	return r;
}

/* Look at what has changed of @r; is it to be looked at once more? */
static bool in_doubt(struct vipka_file *f, struct vipka_reg *r)
{
	bool doubt = false;
	u64 at;

	if (READ_ONCE(r->gone))
		return false;
	/* The notifier is asked before the page tables change: wait until they have. */
	mmu_interval_read_begin(&r->watch);
	at = compare(&r->pin, r->doubt.start, r->doubt.end, &doubt);
	if (at < r->doubt.end) {
		tell_gone(f, r, at, at + PAGE_SIZE);
		return false;
	}
	return doubt && time_before(jiffies, r->since + DOUBT);
}

/* Do what the notifier has left; current->mm is the process's, and its `mem` is held. */
static void settle(struct vipka_file *f)
{
	unsigned long again = MAX_JIFFY_OFFSET;
	u64 unmapped[2], changed[2];
	struct vipka_reg *r, *next;

	while ((r = take_news(f, unmapped, changed)) != NULL) {
		if (unmapped[1])
			tell_gone(f, r, unmapped[0], unmapped[1]);
		if (!changed[1])
			continue;
		extend(&r->doubt.start, &r->doubt.end, changed[0], changed[1]);
		r->since = jiffies;
		list_move(&r->doubts, &f->doubts);
	}
	list_for_each_entry_safe(r, next, &f->doubts, doubts) {
		if (in_doubt(f, r)) {
			again = min(again, HZ / 100 + (jiffies - r->since) / 2);
			continue;
		}
		list_del_init(&r->doubts);
		r->doubt.end = 0;
	}
	if (!list_empty(&f->doubts))
		queue_delayed_work(vipka_wq, &f->settle, again);
}

void vipka_reg_settle_work(struct work_struct *work)
{
	struct vipka_file *f = container_of(to_delayed_work(work), struct vipka_file, settle);

	if (!mmget_not_zero(f->mm))
		return; /* the process ends */
	kthread_use_mm(f->mm);
	/* A request may wait long for its memory, from a file server, say: the workers are for all. */
	if (mutex_trylock(&f->mem)) {
		settle(f);
		mutex_unlock(&f->mem);
	} else {
		queue_delayed_work(vipka_wq, &f->settle, HZ / 100);
	}
	kthread_unuse_mm(f->mm);
	mmput(f->mm);
}

/* ---- registering ---- */

/* The whole pages of the area; false: there are none, or too many, and the core says so. */
static bool whole_pages(const struct ka_req *req, u64 *start, u64 *end)
{
	u64 from = req->u.reg.start, length = req->u.reg.length;

	if (!length || length > KA_MAX_BLOCK_BYTES || from > TASK_SIZE_MAX - length)
		return false;
	*start = from & PAGE_MASK;
	*end = PAGE_ALIGN(from + length);
	return true;
}

static int look(struct vipka_file *f, u64 start, u64 end)
{
	f->look.start = start;
	f->look.end = end;
	f->look.n = vipka_map_look(start, end, f->look.runs, LMM_MAX_RUNS, f->look.text);
	return f->look.n;
}

int ka_host_resolve(void *proc, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max, char *text)
{
	const struct vipka_file *f = proc;

	if (start != f->look.start || end != f->look.end) {
		ka_text(text, KA_TEXT, "0x%llx is no address that a process can have", start);
		return -EINVAL;
	}
	if (f->look.n < 0)
		ka_text(text, KA_TEXT, "%s", f->look.text);
	else
		memcpy(runs, f->look.runs, f->look.n * sizeof(*runs));
	return f->look.n;
}

/* Pin what look() has seen. */
static int pin_region(struct vipka_file *f, struct vipka_pin *pin, char *text)
{
	bool write = true;
	int i;

	for (i = 0; i < f->look.n; i++) {
		write &= f->look.runs[i].writable;
		if (f->look.runs[i].kind != LMM_FILE)
			continue;
		ka_text(text, KA_TEXT,
			"the memory at 0x%llx is a file on a disk, mapped shared, which cannot be "
			"pinned for long; use other memory",
			f->look.runs[i].start);
		return -EOPNOTSUPP;
	}
	return vipka_pin(pin, f->look.start, (f->look.end - f->look.start) >> PAGE_SHIFT, write, text);
}

static struct vipka_reg *new_region(struct vipka_file *f, u64 start, u64 end)
{
	struct vipka_reg *r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);

	if (!r)
		return NULL;
	r->file = f;
	INIT_LIST_HEAD(&r->news);
	INIT_LIST_HEAD(&r->doubts);
	if (mmu_interval_notifier_insert(&r->watch, f->mm, start, end - start, &watch_ops)) {
		kfree(r);
		return NULL;
	}
	list_add(&r->list, &f->regs);
	return r;
}

static struct vipka_nic *find_nic(struct vipka_file *f, u32 id)
{
	struct vipka_nic *found = NULL;
	struct ka_nic *nic;

	vipka_core_enter();
	nic = f->proc ? ka_find_nic(f->proc, id) : NULL;
	if (nic)
		found = vipka_nic_of(&nic->mem);
	vipka_core_leave();
	return found; /* which stays, for only requests about memory close it */
}

/* Put @r into the place of @handle, or take what is there out; what was there. */
static struct vipka_reg *exchange(struct vipka_nic *nic, u32 handle, struct vipka_reg *r)
{
	struct vipka_reg *old;

	down_write(&nic->regs);
	old = nic->reg[handle & 0xffff];
	nic->reg[handle & 0xffff] = r;
	if (r) {
		r->handle = handle;
		r->nic = nic;
	}
	up_write(&nic->regs);
	return old;
}

static int deregister(struct vipka_file *f, const struct ka_req *req, struct ka_rep *rep)
{
	int err = vipka_ask(f, req, rep);
	struct vipka_nic *nic;
	struct vipka_reg *r;

	if (err || rep->err)
		return err;
	nic = find_nic(f, req->nic);
	r = nic ? exchange(nic, req->u.mem.handle, NULL) : NULL;
	if (r)
		free_region(r);
	return 0;
}

/* The core has taken @r, with the answer @rep. */
static void enter(struct vipka_file *f, const struct ka_req *req, struct ka_rep *rep, struct vipka_reg *r)
{
	struct ka_req undo = {.op = KA_OP_MEM_DEREG, .nic = req->nic};
	struct vipka_nic *nic = find_nic(f, req->nic);
	struct ka_rep ignored;

	if (!nic) { /* the process was let go meanwhile */
		free_region(r);
		return;
	}
	exchange(nic, rep->u.mem.handle, r);
	if (!READ_ONCE(r->gone))
		return;
	undo.u.mem.start = req->u.reg.start;
	undo.u.mem.handle = rep->u.mem.handle;
	deregister(f, &undo, &ignored);
	ka_fail(rep, -EFAULT, "the memory at 0x%llx went away while it was being registered",
		req->u.reg.start);
}

static int reg(struct vipka_file *f, struct ka_req *req, struct ka_rep *rep)
{
	struct vipka_reg *r;
	u64 start, end;
	int err;

	req->u.reg.level = LMM_PINNED;
	req->u.reg.watched = 0; /* nobody touches it by its address: no KA_R_DIRECT */
	if (!whole_pages(req, &start, &end))
		return vipka_ask(f, req, rep);
	settle(f);
	r = new_region(f, start, end);
	if (!r) {
		ka_fail(rep, -ENOMEM, "the agent has no memory for a region");
		return 0;
	}
	if (look(f, start, end) >= 0)
		rep->err = pin_region(f, &r->pin, rep->text);
	err = rep->err ? 0 : vipka_ask(f, req, rep);
	if (err || rep->err)
		free_region(r);
	else
		enter(f, req, rep, r);
	return err;
}

/* Engines that have looked at the TPT before are done when this returns. */
static int set_rights(struct vipka_file *f, const struct ka_req *req, struct ka_rep *rep)
{
	int err = vipka_ask(f, req, rep);
	struct vipka_nic *nic = find_nic(f, req->nic);

	if (nic) {
		down_write(&nic->regs);
		up_write(&nic->regs);
	}
	return err;
}

int vipka_reg_request(struct vipka_file *f, struct ka_req *req, struct ka_rep *rep)
{
	u64 start, end;

	switch (req->op) {
	case KA_OP_MEM_REG:
		return reg(f, req, rep);
	case KA_OP_MEM_DEREG:
		return deregister(f, req, rep);
	case KA_OP_MEM_SET:
		return set_rights(f, req, rep);
	case KA_OP_MEM_UNCOVERED:
		if (whole_pages(req, &start, &end))
			look(f, start, end);
		fallthrough;
	default:
		return vipka_ask(f, req, rep);
	}
}

/* ---- the end ---- */

void vipka_reg_close(struct vipka_nic *nic)
{
	struct vipka_reg *r;
	u32 i;

	for (i = 0; i < KA_TPT_ENTRIES; i++) {
		r = exchange(nic, i, NULL);
		if (r)
			free_region(r);
		cond_resched();
	}
}
