// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * via_naive.c - see naive.h.
 */
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "naive.h"

struct region {
	unsigned int lock; /* how; 0: not registered */
	int n;
	struct page *page[NAIVE_PAGES];
	/* by what the frame is known to be still the process's */
	void *mapping[NAIVE_PAGES];
	pgoff_t index[NAIVE_PAGES];
};

static DEFINE_XARRAY(flagged); /* pages that NAIVE_FLAG has locked, by frame */

/* The page at @at is locked, unless it is already. */
static int flag(unsigned long at, struct page *page)
{
	unsigned long frame = page_to_pfn(page);
	int err;

	if (xa_load(&flagged, frame))
		return 0;
	if (pin_user_pages_fast(at, 1, FOLL_WRITE | FOLL_LONGTERM, &page) != 1)
		return -EFAULT;
	err = xa_err(xa_store(&flagged, frame, page, GFP_KERNEL));
	if (err)
		unpin_user_page(page);
	return err;
}

static int reg(struct region *r, unsigned int lock, unsigned long at)
{
	int i, err = 0;

	r->lock = lock;
	for (i = 0; i < NAIVE_PAGES && !err; i++, at += PAGE_SIZE) {
		if (get_user_pages_fast(at, 1, FOLL_WRITE, &r->page[i]) != 1)
			return -EFAULT;
		r->n++;
		r->mapping[i] = page_folio(r->page[i])->mapping;
		r->index[i] = page_folio(r->page[i])->index;
		if (lock == NAIVE_FLAG)
			err = flag(at, r->page[i]);
		if (lock != NAIVE_REFERENCE)
			put_page(r->page[i]);
	}
	return err;
}

static long comes(const struct region *r, const u8 __user *from)
{
	long lost = 0, err = 0;
	struct page *page;
	u8 *to;
	int i;

	for (i = 0; i < r->n && !err; i++, from += PAGE_SIZE) {
		page = r->page[i];
		if (!get_page_unless_zero(page)) {
			lost++;
			continue;
		}
		if (page_folio(page)->mapping == r->mapping[i] && page_folio(page)->index == r->index[i]) {
			to = kmap_local_page(page);
			err = copy_from_user(to, from, PAGE_SIZE) ? -EFAULT : 0;
			kunmap_local(to);
		} else {
			lost++;
		}
		put_page(page);
	}
	return err ?: lost;
}

static int naive_open(struct inode *inode, struct file *file)
{
	file->private_data = kvzalloc(sizeof(struct region), GFP_KERNEL);
	return file->private_data ? 0 : -ENOMEM;
}

static long naive_ioctl(struct file *file, unsigned int cmd, unsigned long at)
{
	struct region *r = file->private_data;

	if (cmd == NAIVE_COMES)
		return comes(r, (const u8 __user *)at);
	if ((cmd == NAIVE_NOTHING || cmd == NAIVE_FLAG || cmd == NAIVE_REFERENCE) && !r->lock)
		return reg(r, cmd, at);
	return -EINVAL;
}

static int naive_release(struct inode *inode, struct file *file)
{
	struct region *r = file->private_data;
	struct page *locked;
	int i;

	for (i = 0; i < r->n; i++) {
		if (r->lock == NAIVE_REFERENCE)
			put_page(r->page[i]);
		locked = r->lock == NAIVE_FLAG ? xa_erase(&flagged, page_to_pfn(r->page[i])) : NULL;
		if (locked)
			unpin_user_page(locked);
	}
	kvfree(r);
	return 0;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.open = naive_open,
	.unlocked_ioctl = naive_ioctl,
	.release = naive_release,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "via_naive",
	.mode = 0600,
	.fops = &fops,
};
module_misc_device(device);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("softvia: memory locked as it must not be, for a test");
