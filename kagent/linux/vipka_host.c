// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_host.c - the core's hooks for memory, and the tables of a NIC handle.
 *
 * Those are shmem files, which no process gets as such: a descriptor is a view of one, which lets itself
 * be mapped as far and with such rights as its holder has.  Nobody can change their size or punch
 * holes into them; the kernel holds the pages besides.
 */
#include <linux/anon_inodes.h>
#include <linux/pagemap.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "kagent/linux/vipka.h"
#include "kagent/linux/vipka_compat.h"

#define PEER_WAKE_BYTES (KA_WAKE_WORDS * KA_WAKE_STRIDE)

void *ka_host_alloc(size_t bytes)
{
	return kvzalloc(bytes, GFP_KERNEL_ACCOUNT);
}

void ka_host_free(void *mem)
{
	kvfree(mem);
}

uint32_t ka_host_random(void)
{
	return get_random_u32();
}

/* A module cannot wake futexes: who reads the event does it (vipka_ioctl.h). */
void ka_host_wake(uint32_t *word)
{
}

/* ---- memory that processes map ---- */

static void shm_free(struct vipka_shm *shm)
{
	if (shm->mem)
		vunmap(shm->mem);
	while (shm->npages)
		put_page(shm->pages[--shm->npages]);
	kvfree(shm->pages);
	if (shm->file)
		fput(shm->file);
	*shm = (struct vipka_shm){};
}

/* @bytes of zeroes.  What it has made before it fails is for shm_free(). */
static int shm_make(struct vipka_shm *shm, const char *name, size_t bytes)
{
	unsigned int n = PAGE_ALIGN(bytes) >> PAGE_SHIFT;
	struct file *file = shmem_file_setup(name, bytes, 0);
	struct page *page;

	if (IS_ERR(file))
		return PTR_ERR(file);
	shm->file = file;
	/* Or MADV_REMOVE would take pages away from those who share them. */
	file_inode(file)->i_flags |= S_IMMUTABLE;
	mapping_set_unevictable(file->f_mapping);
	shm->pages = kvcalloc(n, sizeof(*shm->pages), GFP_KERNEL_ACCOUNT);
	if (!shm->pages)
		return -ENOMEM;
	for (; shm->npages < n; shm->npages++) {
		page = shmem_read_mapping_page(file->f_mapping, shm->npages);
		if (IS_ERR(page))
			return PTR_ERR(page);
		set_page_dirty(page);
		shm->pages[shm->npages] = page;
	}
	shm->mem = vmap(shm->pages, n, VM_MAP, PAGE_KERNEL);
	return shm->mem ? 0 : -ENOMEM;
}

/* What a descriptor shows of such memory. */
struct view {
	struct vipka_nic *nic;
	struct file *file;
	unsigned long npages;
};

static int view_mmap(struct file *file, struct vm_area_struct *vma)
{
	const struct view *v = file->private_data;

	if (!(vma->vm_flags & VM_MAYSHARE) || vma->vm_pgoff > v->npages ||
	    vma_pages(vma) > v->npages - vma->vm_pgoff)
		return -EINVAL;
	vma_set_file(vma, v->file);
	vm_flags_set(vma, VM_DONTEXPAND);
	return call_mmap(v->file, vma);
}

static int view_release(struct inode *inode, struct file *file)
{
	struct view *v = file->private_data;

	vipka_nic_put(v->nic);
	kfree(v);
	return 0;
}

static const struct file_operations view_fops = {
	.owner = THIS_MODULE,
	.mmap = view_mmap,
	.release = view_release,
	.llseek = noop_llseek,
};

static struct file *view_make(const char *name, struct vipka_nic *nic, const struct vipka_shm *shm,
			      size_t bytes, int flags)
{
	struct view *v = kmalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);
	struct file *file;

	if (!v)
		return ERR_PTR(-ENOMEM);
	*v = (struct view){nic, shm->file, PAGE_ALIGN(bytes) >> PAGE_SHIFT};
	vipka_nic_get(nic);
	file = anon_inode_getfile(name, &view_fops, v, flags);
	if (IS_ERR(file)) {
		vipka_nic_put(nic);
		kfree(v);
	}
	return file;
}

/* ---- NIC handles ---- */

static LIST_HEAD(dead_nics); /* under core_lock */

static void nic_free(struct vipka_nic *nic)
{
	shm_free(&nic->tpt_shm);
	shm_free(&nic->wake_shm);
	kvfree(nic->reg);
	kfree(nic);
}

static void nic_released(struct kref *ref)
{
	nic_free(container_of(ref, struct vipka_nic, ref));
}

void vipka_nic_get(struct vipka_nic *nic)
{
	kref_get(&nic->ref);
}

void vipka_nic_put(struct vipka_nic *nic)
{
	kref_put(&nic->ref, nic_released);
}

int ka_host_nic_create(struct ka_nicmem *mem)
{
	struct vipka_nic *nic = kzalloc(sizeof(*nic), GFP_KERNEL_ACCOUNT);
	int err = -ENOMEM;

	if (!nic)
		return -ENOMEM;
	kref_init(&nic->ref);
	init_rwsem(&nic->regs);
	INIT_LIST_HEAD(&nic->dead);
	nic->reg = kvcalloc(KA_TPT_ENTRIES, sizeof(struct vipka_reg *), GFP_KERNEL_ACCOUNT);
	if (nic->reg)
		err = shm_make(&nic->tpt_shm, "vipka-tpt", KA_TPT_BYTES);
	if (!err)
		err = shm_make(&nic->wake_shm, "vipka-wake", KA_WAKE_BYTES);
	if (err) {
		nic_free(nic);
		return err;
	}
	mem->tpt = nic->tpt = nic->tpt_shm.mem;
	mem->wake = nic->wake = nic->wake_shm.mem;
	mem->host[0] = (long)nic;
	return 0;
}

/* Its regions can be many: they go when the core has been left. */
void ka_host_nic_destroy(struct ka_nicmem *mem)
{
	list_add(&vipka_nic_of(mem)->dead, &dead_nics);
}

void vipka_nic_take_dead(struct list_head *dead)
{
	list_splice_init(&dead_nics, dead);
}

/* ---- what goes with answers and events ---- */

void vipka_gift_take(struct vipka_gift *gift, const struct ka_give *give, u32 side)
{
	*gift = (struct vipka_gift){.side = side};
	if (!give->nic)
		return;
	gift->nic = vipka_nic_of(give->nic);
	vipka_nic_get(gift->nic);
	if (!give->region)
		return;
	gift->conn = vipka_conn_of(give->region);
	vipka_conn_get(gift->conn);
}

void vipka_gift_drop(struct vipka_gift *gift)
{
	if (gift->conn)
		vipka_conn_put(gift->conn);
	if (gift->nic)
		vipka_nic_put(gift->nic);
	*gift = (struct vipka_gift){};
}

unsigned int vipka_gift_fds(const struct vipka_gift *gift)
{
	return !gift->nic ? 0 : gift->conn ? 5 : 3;
}

int vipka_gift_open(const struct vipka_gift *gift, struct file *file[3])
{
	struct vipka_nic *nic = gift->nic;
	int i, err = 0;

	file[0] = file[1] = file[2] = NULL;
	if (gift->conn) {
		file[0] = vipka_conn_file(gift->conn, gift->side);
		file[2] = view_make("[vipka-wake]", nic, &nic->wake_shm, PEER_WAKE_BYTES, O_RDWR);
	} else if (nic) {
		file[0] = view_make("[vipka-tpt]", nic, &nic->tpt_shm, KA_TPT_BYTES, O_RDONLY);
		file[1] = view_make("[vipka-wake]", nic, &nic->wake_shm, KA_WAKE_BYTES, O_RDWR);
	}
	for (i = 0; i < 3; i++)
		if (IS_ERR(file[i]))
			err = PTR_ERR(file[i]);
	for (i = 0; i < 3 && err; i++)
		if (!IS_ERR_OR_NULL(file[i]))
			fput(file[i]);
	return err;
}
