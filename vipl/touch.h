/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * touch.h - the consumer's memory, touched with care: where it may have gone,
 * or may shrink (a file that is truncated raises SIGBUS), and where a thread
 * of the provider touches it while the consumer's own are free to unmap it.
 *
 * The kernel copies for us: bytes go through a file in memory with read and
 * write calls, which return an error where a touch would raise a signal.  For
 * what is small that takes less than half the time of process_vm_readv.
 */
#ifndef VIPL_TOUCH_H
#define VIPL_TOUCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How to find out whether the memory is still what was registered. */
enum vip_look {
	VIP_LOOK_NOT, /* its loss is noticed; it may only shrink */
	/* By its lock: what was mapped there anew is not locked. */
	VIP_LOOK_ONE,  /* a System V segment: shmdt, which nobody tells of, takes all of it */
	VIP_LOOK_ALL,  /* nothing is noticed: page by page, and by the mappings */
	VIP_LOOK_MAP,  /* by the process's mappings: the kernel names the file (a segment, huge pages) */
	VIP_LOOK_GONE, /* it is not */
};

/* What the memory of a region was when it was registered. */
struct vip_seen {
	uint8_t look; /* enum vip_look */
	bool steady;  /* it cannot shrink: as long as it is there, it may be touched */
	bool uniform; /* all of it is of one file, or of none: */
	uint32_t dev;
	uint64_t inode;	  /* 0: none */
	uint64_t address; /* where the file's first byte would be */
};

/* Find out of which file these @n bytes are. */
void vip_touch_see(uintptr_t user, size_t n, struct vip_seen *seen);

/* Bytes of the mapping from @at on, @least when the kernel does not answer; allocates nothing. */
uint64_t vip_touch_extent(uint64_t at, uint64_t least);

/* Are these @n bytes still what was @seen? */
bool vip_touch_same(uintptr_t user, size_t n, const struct vip_seen *seen);

/*
 * Let the kernel copy, between begin and end.  False: the memory is not there,
 * and nothing was read; or only a part was written.
 */
bool vip_touch_read(void *to, uintptr_t user, size_t n);
bool vip_touch_write(uintptr_t user, const void *from, size_t n);

/* The same where either may be missing; false: @gone: that was the source. */
bool vip_touch_window(uintptr_t to, const void *from, size_t n, bool *gone);

/*
 * Whoever takes memory away waits for vip_touch_end() before the loss is
 * known; so nobody may allocate, free or wait in between.
 */
void vip_touch_begin(void);
void vip_touch_end(void);

/* Get what it takes, once for a process.  0 or negative errno, with vip_why(). */
int vip_touch_open(void);
void vip_touch_forked(void);

#endif
