// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_pin.c - pages that stay where they are, and copying to and from them.
 *
 * Invariant: pinned_vm of the process counts exactly the pages of its pins.
 */
#include <linux/capability.h>
#include <linux/highmem.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "kagent/ka_last_word.h"
#include "kagent/linux/vipka.h"

#define BATCH 1024ul /* pages; between two of them one looks for signals */

static u64 kib(u64 pages)
{
	return pages << (PAGE_SHIFT - 10);
}

static int charge(struct mm_struct *mm, unsigned long npages, char *text)
{
	u64 limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	u64 pinned = atomic64_add_return(npages, &mm->pinned_vm);

	if (pinned <= limit || capable(CAP_IPC_LOCK))
		return 0;
	atomic64_sub(npages, &mm->pinned_vm);
	ka_text(text, KA_TEXT,
		"cannot pin %llu KiB: RLIMIT_MEMLOCK is %llu KiB, and the process has %llu KiB "
		"pinned; raise it ('ulimit -l'), or deregister some",
		kib(npages), kib(limit), kib(pinned - npages));
	return -ENOMEM;
}

/* Pin what comes next; how many pages, or negative errno. */
static long pin_some(const struct vipka_pin *pin, unsigned long done)
{
	unsigned long at = pin->start + (done << PAGE_SHIFT), n = min(pin->npages - done, BATCH);
	long got;

	got = pin_user_pages_fast(at, (int)n, FOLL_LONGTERM | FOLL_WRITE, pin->pages + done);
	/* One page, for the next may be writable; then it must not stay a page of zeros that all share. */
	if (got == -EFAULT && !pin->write)
		got = pin_user_pages_fast(at, 1, FOLL_LONGTERM, pin->pages + done);
	return got ? got : -EFAULT;
}

static int refuse(const struct vipka_pin *pin, unsigned long done, long err, char *text)
{
	unsigned long long at = pin->start + (done << PAGE_SHIFT);

	switch (err) {
	case -EFAULT:
		ka_text(text, KA_TEXT,
			"the memory at 0x%llx cannot be pinned: nothing is mapped there, its file ends "
			"before, or it is secret",
			at);
		return -EFAULT;
	case -EINTR:
		ka_text(text, KA_TEXT, "the process is being killed");
		return -EINTR;
	case -EOPNOTSUPP:
		ka_text(text, KA_TEXT, "the memory at 0x%llx cannot be pinned for long; use other memory",
			at);
		return -EOPNOTSUPP;
	default:
		ka_text(text, KA_TEXT,
			"cannot pin %llu KiB: the kernel has no memory for it (error %u at 0x%llx); register "
			"less",
			kib(pin->npages), (unsigned int)-err, at);
		return -ENOMEM;
	}
}

int vipka_pin(struct vipka_pin *pin, unsigned long start, unsigned long npages, bool write, char *text)
{
	unsigned long done = 0;
	long got;
	int err;

	*pin = (struct vipka_pin){.mm = current->mm, .start = start, .npages = npages, .write = write};
	err = charge(pin->mm, npages, text);
	if (err)
		goto none;
	pin->pages = kvmalloc_array(npages, sizeof(*pin->pages), GFP_KERNEL_ACCOUNT);
	if (!pin->pages) {
		err = refuse(pin, 0, -ENOMEM, text);
		goto uncharge;
	}
	while (done < npages) {
		got = fatal_signal_pending(current) ? -EINTR : pin_some(pin, done);
		if (got < 0) {
			err = refuse(pin, done, got, text);
			goto unpin;
		}
		done += got;
		cond_resched();
	}
	mmgrab(pin->mm);
	return 0;

unpin:
	unpin_user_pages(pin->pages, done);
	kvfree(pin->pages);
uncharge:
	atomic64_sub(npages, &pin->mm->pinned_vm);
none:
	*pin = (struct vipka_pin){};
	return err;
}

void vipka_unpin(struct vipka_pin *pin)
{
	unsigned long done, n;

	if (!pin->mm)
		return;
	for (done = 0; done < pin->npages; done += n) {
		n = min(pin->npages - done, BATCH);
		unpin_user_pages_dirty_lock(pin->pages + done, n, pin->write);
		cond_resched();
	}
	kvfree(pin->pages);
	atomic64_sub(pin->npages, &pin->mm->pinned_vm);
	mmdrop(pin->mm);
	*pin = (struct vipka_pin){};
}

/* ---- copying ---- */

static u8 *map_page(const struct vipka_pin *pin, u64 addr)
{
	return kmap_local_page(pin->pages[(addr - pin->start) >> PAGE_SHIFT]);
}

static u64 in_page(u64 addr, u64 n)
{
	return min_t(u64, n, PAGE_SIZE - offset_in_page(addr));
}

void vipka_pin_get(const struct vipka_pin *pin, u64 addr, void *to, u64 n)
{
	u64 part;
	u8 *page;

	for (; n; addr += part, to += part, n -= part) {
		part = in_page(addr, n);
		page = map_page(pin, addr);
		memcpy(to, page + offset_in_page(addr), part);
		kunmap_local(page);
	}
}

/* Within a page; @last: with the end of all that is written, @tail bytes. */
static void write_part(u8 *to, const u8 *from, u64 n, u64 tail)
{
	memmove(to, from, n - tail);
	ka_put_last(to + (n - tail), from + (n - tail), tail);
}

void vipka_pin_put(const struct vipka_pin *pin, u64 addr, const void *from, u64 n)
{
	u64 part, last = ka_last_word(addr, n);
	u8 *page;

	for (; n; addr += part, from += part, n -= part) {
		part = in_page(addr, n);
		page = map_page(pin, addr);
		write_part(page + offset_in_page(addr), from, part, part == n ? last : 0);
		kunmap_local(page);
	}
}

void vipka_pin_copy(const struct vipka_pin *to, u64 to_addr, const struct vipka_pin *from, u64 from_addr,
		    u64 n)
{
	u64 part, last = ka_last_word(to_addr, n), rest = n - last;
	u8 *source, *target, word[8];

	for (; rest; to_addr += part, from_addr += part, rest -= part) {
		part = in_page(from_addr, in_page(to_addr, rest));
		source = map_page(from, from_addr);
		target = map_page(to, to_addr);
		memmove(target + offset_in_page(to_addr), source + offset_in_page(from_addr), part);
		kunmap_local(target);
		kunmap_local(source);
	}
	/* Its source may lie on two pages. */
	vipka_pin_get(from, from_addr, word, last);
	vipka_pin_put(to, to_addr, word, last);
}
