// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_map.c - what a process has mapped at an area, in the words of the Locked Memory Manager.
 *
 * Invariant: the rules are those of kagent/host/maps.c, which asks /proc for what is known here.
 */
#include <linux/hugetlb.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/sched/mm.h>

#include "kagent/core/lmm_run.h"
#include "kagent/linux/vipka.h"

#ifndef SECRETMEM_MAGIC
#define SECRETMEM_MAGIC 0x5345434d /* "SECM" */
#endif

struct walk {
	struct mm_struct *mm;
	struct lmm_run *runs;
	u32 n, max;
	struct vm_area_struct *last; /* the mapping seen last */
	char *text;
};

static struct inode *inode_of(const struct vm_area_struct *vma)
{
	return vma->vm_file ? file_inode(vma->vm_file) : NULL;
}

static u64 offset_of(const struct vm_area_struct *vma)
{
	return (u64)vma->vm_pgoff << PAGE_SHIFT;
}

/* Is @b the mapping after @a of the same object, without a gap in either? */
static bool follows(const struct vm_area_struct *a, const struct vm_area_struct *b)
{
	return (a->vm_flags & b->vm_flags & VM_MAYSHARE) && a->vm_end == b->vm_start &&
	       inode_of(a) == inode_of(b) && offset_of(b) == offset_of(a) + (a->vm_end - a->vm_start);
}

static bool named(const struct vm_area_struct *vma, const char *begin)
{
	const struct qstr *name = &vma->vm_file->f_path.dentry->d_name;

	/* Of a file that the kernel made: it is never renamed. */
	return !strncmp((const char *)name->name, begin, strlen(begin));
}

static int no_device(u64 at, char *text)
{
	ka_text(text, KA_TEXT,
		"the memory at 0x%llx belongs to a device or to the kernel; copy what is in it "
		"and register the copy",
		at);
	return -EINVAL;
}

static int classify_file(const struct vm_area_struct *vma, u64 at, struct lmm_run *r, char *text)
{
	bool internal = vma->vm_file->f_path.mnt->mnt_flags & MNT_INTERNAL, memory = false;
	struct inode *inode = inode_of(vma);

	switch (inode->i_sb->s_magic) {
	case SECRETMEM_MAGIC:
		ka_text(text, KA_TEXT,
			"the memory at 0x%llx is secret (memfd_secret), which no device may reach; use other "
			"memory",
			at);
		return -EINVAL;
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
		return no_device(at, text);
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
	case HUGETLBFS_MAGIC:
		memory = true;
	}
	if (!S_ISREG(inode->i_mode))
		return no_device(at, text);
	r->can_shrink = !(internal && memory) || named(vma, "memfd:");
	if (!(vma->vm_flags & VM_MAYSHARE))
		return 0;
	r->kind = memory ? LMM_SHMEM : LMM_FILE;
	if (internal && memory && named(vma, "SYSV"))
		r->kind = LMM_SYSV; /* whose inode number is the shmid */
	r->object = inode->i_ino;
	r->object_bytes = PAGE_ALIGN(i_size_read(inode));
	if (r->kind != LMM_SYSV)
		r->dev = MAJOR(inode->i_sb->s_dev) << 20 | MINOR(inode->i_sb->s_dev);
	return 0;
}

/* The kind and the object of @vma, of which the area has the part from @at on. */
static int classify(struct vm_area_struct *vma, u64 at, struct lmm_run *r, char *text)
{
	*r = (struct lmm_run){.kind = LMM_PRIVATE};
	if (vma->vm_flags & (VM_IO | VM_PFNMAP | VM_MIXEDMAP))
		return no_device(at, text);
	if (vma_is_anonymous(vma)) /* a private mapping of /dev/zero too */
		return 0;
	return vma->vm_file ? classify_file(vma, at, r, text) : no_device(at, text);
}

/* The bounds of the attachment that @vma is part of: mlock and mprotect of a part split mappings. */
static void find_bounds(struct walk *w, struct vm_area_struct *vma, struct lmm_run *r)
{
	struct vm_area_struct *low = vma, *high = vma, *next;

	while (low->vm_start) {
		next = find_vma(w->mm, low->vm_start - 1);
		if (!next || !follows(next, low))
			break;
		low = next;
	}
	for (;;) {
		next = find_vma(w->mm, high->vm_end);
		if (!next || !follows(high, next))
			break;
		high = next;
	}
	r->seg_start = low->vm_start;
	r->seg_end = high->vm_end;
	if (!r->object_bytes)
		r->object_bytes = offset_of(low) + (high->vm_end - low->vm_start);
}

/* The part of the mapping @vma in [@start, @end), which begins with it or before. */
static int add(struct walk *w, struct vm_area_struct *vma, u64 start, u64 end)
{
	struct lmm_run r;
	int err;

	if (!(vma->vm_flags & VM_READ)) {
		ka_text(w->text, KA_TEXT, "the memory at 0x%llx may not be read; mprotect it first", start);
		return -EINVAL;
	}
	if (w->last && follows(w->last, vma)) {
		r = w->runs[w->n - 1];
	} else {
		err = classify(vma, start, &r, w->text);
		if (err)
			return err;
	}
	w->last = vma;
	r.start = start;
	r.end = min_t(u64, end, vma->vm_end);
	r.offset = r.kind == LMM_PRIVATE ? start : offset_of(vma) + (start - vma->vm_start);
	r.writable = vma->vm_flags & VM_WRITE;
	if (w->n > 0 && lmm_run_join(&w->runs[w->n - 1], &r))
		return 0;
	if (w->n == w->max) {
		ka_text(w->text, KA_TEXT,
			"the area has more than %u mappings of different memory, the next one at "
			"0x%llx; register it in parts",
			w->max, start);
		return -E2BIG;
	}
	if (r.kind != LMM_PRIVATE)
		find_bounds(w, vma, &r);
	w->runs[w->n++] = r;
	return 0;
}

static int walk(struct walk *w, u64 start, u64 end)
{
	struct vm_area_struct *vma;
	u64 pos = start;
	int err;

	while (pos < end) {
		vma = find_vma(w->mm, pos);
		if (!vma || vma->vm_start > pos) {
			ka_text(w->text, KA_TEXT,
				"nothing is mapped at 0x%llx; map it first, or register less", pos);
			return -EINVAL;
		}
		err = add(w, vma, pos, end);
		if (err)
			return err;
		pos = vma->vm_end;
	}
	return (int)w->n;
}

int vipka_map_look(u64 start, u64 end, struct lmm_run *runs, u32 max, char *text)
{
	struct walk w = {.mm = current->mm, .runs = runs, .max = max, .text = text};
	int n;

	text[0] = '\0';
	if (mmap_read_lock_killable(w.mm)) {
		ka_text(text, KA_TEXT, "the process is being killed");
		return -EINTR;
	}
	n = walk(&w, start, end);
	mmap_read_unlock(w.mm);
	return n;
}
