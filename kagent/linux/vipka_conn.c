// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_conn.c - a connection's region and its descriptors.
 *
 * The region has the layout of struct emu_region, but only the pages that are
 * needed: the control page at once, of each direction the lines, the posted
 * receives and the cells, some 320 KiB, with the first message that goes there, and
 * whatever a process touches before.  Each process maps those that vipka_ioctl.h
 * names; the engine of each side has its view of them, made at its first doorbell, with
 * one and the same page in all the holes, so that nothing it might do there could fault.
 *
 * Invariants: a page that is there stays until the last reference to the
 * connection goes; processes have references of their own to what they have
 * mapped.  A connection that the core has ended is dead in the kernel's own
 * memory, whatever the processes write to the control page: no doorbell does
 * anything any more.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "kagent/linux/vipka_compat.h"
#include "kagent/linux/vipka_conn.h"
#include "kagent/linux/vipka_ioctl.h"

#define CTL_AT	    offsetof(struct emu_region, ctl)
#define LINES_AT(s) offsetof(struct emu_region, to[s])
#define MORE_AT(s)  offsetof(struct emu_region, to[s].more)
#define MORE_END(s) offsetof(struct emu_region, to[s].lost)

static_assert(sizeof(struct emu_region) % PAGE_SIZE == 0 && KA_CONN_CTL_BYTES == PAGE_SIZE &&
		      EMU_LINES == PAGE_SIZE && sizeof(((struct emu_dir *)0)->more[0]) == PAGE_SIZE &&
		      offsetof(struct emu_dir, more) % PAGE_SIZE == 0,
	      "what is mapped by itself is whole pages");

/* ---- pages ---- */

/* The page at this offset, which is made if it is not there. */
static struct page *have_page(struct vipka_conn *c, size_t offset)
{
	struct page *fresh, *old = vipka_conn_page(c, offset);

	if (old)
		return old;
	fresh = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!fresh)
		return NULL;
	old = cmpxchg(&c->page[offset / PAGE_SIZE], NULL, fresh);
	if (!old)
		return fresh;
	put_page(fresh);
	return old;
}

static bool show_pages(struct vipka_conn *c, struct page **all, size_t from, size_t to)
{
	for (; from < to; from += PAGE_SIZE) {
		all[from / PAGE_SIZE] = have_page(c, from);
		if (!all[from / PAGE_SIZE])
			return false;
	}
	return true;
}

int vipka_conn_view(struct vipka_side *s)
{
	struct page **all = kvmalloc_array(VIPKA_REGION_PAGES, sizeof(*all), GFP_KERNEL);
	u32 peer = 1 - s->link.side;
	size_t i;

	if (!all)
		return -ENOMEM;
	for (i = 0; i < VIPKA_REGION_PAGES; i++)
		all[i] = s->conn->hole;
	if (show_pages(s->conn, all, CTL_AT, KA_CONN_CTL_BYTES) &&
	    show_pages(s->conn, all, LINES_AT(peer), MORE_AT(peer)))
		s->link.region = vmap(all, VIPKA_REGION_PAGES, VM_MAP, PAGE_KERNEL);
	kvfree(all);
	return s->link.region ? 0 : -ENOMEM;
}

/* ---- lifetime ---- */

static void conn_free(struct kref *ref)
{
	struct vipka_conn *c = container_of(ref, struct vipka_conn, ref);
	size_t i;

	for (i = 0; i < 2; i++)
		vunmap(c->side[i].link.region);
	for (i = 0; i < VIPKA_REGION_PAGES; i++) {
		if (c->page[i])
			put_page(c->page[i]);
	}
	if (c->hole)
		put_page(c->hole);
	for (i = 0; i < 2; i++) {
		vipka_nic_put(c->side[i].nic);
		mutex_destroy(&c->side[i].tx);
	}
	kvfree(c);
}

void vipka_conn_get(struct vipka_conn *c)
{
	kref_get(&c->ref);
}

void vipka_conn_put(struct vipka_conn *c)
{
	kref_put(&c->ref, conn_free);
}

int ka_host_region_create(struct ka_region *region, const struct ka_end end[2])
{
	struct vipka_conn *c = kvzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);
	struct page *ctl;
	u32 i;

	if (!c)
		return -ENOMEM;
	kref_init(&c->ref);
	for (i = 0; i < 2; i++) {
		c->side[i].conn = c;
		c->side[i].nic = vipka_nic_of(end[i].nic);
		vipka_nic_get(c->side[i].nic);
		mutex_init(&c->side[i].tx);
	}
	c->hole = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	ctl = have_page(c, CTL_AT);
	if (!c->hole || !ctl) {
		vipka_conn_put(c);
		return -ENOMEM;
	}
	for (i = 0; i < 2; i++)
		vipka_engine_begin(c, i, end);
	region->ctl = page_address(ctl);
	region->host[0] = (long)c;
	return 0;
}

void ka_host_region_destroy(struct ka_region *region)
{
	struct vipka_conn *c = vipka_conn_of(region);

	WRITE_ONCE(c->dead, true);
	/* both engines hold it while they copy: they are done, and the next ones see that it is dead */
	down_write(&c->side[0].nic->regs);
	up_write(&c->side[0].nic->regs);
	vipka_conn_put(c);
}

/* ---- the descriptor ---- */

struct conn_fd {
	struct vipka_side *side;
	struct mm_struct *mm; /* only compared: the process that it was given to */
};

static bool is_owner(const struct conn_fd *f)
{
	return current->mm == f->mm;
}

static vm_fault_t conn_fault(struct vm_fault *vmf)
{
	struct vipka_conn *c = vmf->vma->vm_private_data;
	/* conn_mmap() lets nobody come here but for what he may have */
	struct page *page = have_page(c, (size_t)vmf->pgoff << PAGE_SHIFT);

	if (!page)
		return VM_FAULT_OOM;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct conn_vm_ops = {.fault = conn_fault};

static bool within(struct vm_area_struct *vma, size_t from, size_t to)
{
	unsigned long first = from >> PAGE_SHIFT, n = (to - from) >> PAGE_SHIFT;

	return vma->vm_pgoff >= first && vma->vm_pgoff - first < n &&
	       vma_pages(vma) <= n - (vma->vm_pgoff - first);
}

static int conn_mmap(struct file *file, struct vm_area_struct *vma)
{
	const struct conn_fd *f = file->private_data;
	u32 own = f->side->link.side, peer = 1 - own;

	if (!is_owner(f))
		return -EPERM;
	if (!(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC))
		return -EINVAL;
	if (within(vma, LINES_AT(peer), LINES_AT(peer) + EMU_LINES)) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYWRITE);
	} else if (!within(vma, CTL_AT, KA_CONN_CTL_BYTES) && !within(vma, LINES_AT(own), MORE_END(own))) {
		return -EINVAL;
	}
	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY);
	vma->vm_private_data = f->side->conn; /* the mapping holds the file, and that the connection */
	vma->vm_ops = &conn_vm_ops;
	return 0;
}

static long conn_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct conn_fd *f = file->private_data;

	if (!is_owner(f))
		return -EPERM;
	return vipka_engine_ring(f->side, cmd, (void __user *)arg);
}

static void fd_free(struct conn_fd *f)
{
	vipka_conn_put(f->side->conn);
	mmdrop(f->mm);
	kfree(f);
}

static int conn_release(struct inode *inode, struct file *file)
{
	fd_free(file->private_data);
	return 0;
}

static const struct file_operations conn_fops = {
	.owner = THIS_MODULE,
	.mmap = conn_mmap,
	.unlocked_ioctl = conn_ioctl,
	.release = conn_release,
};

struct file *vipka_conn_file(struct vipka_conn *c, u32 side)
{
	struct conn_fd *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	struct file *file;

	if (!f)
		return ERR_PTR(-ENOMEM);
	f->side = &c->side[side];
	f->mm = current->mm;
	mmgrab(f->mm);
	vipka_conn_get(c);
	file = anon_inode_getfile("[vipka-conn]", &conn_fops, f, O_RDWR);
	if (IS_ERR(file))
		fd_free(f);
	return file;
}
