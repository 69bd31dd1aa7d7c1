/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * touch.h - the consumer's memory, touched with care: where it may have gone,
 * or may shrink (a file that is truncated raises SIGBUS), and where a thread
 * of the provider touches it while the consumer's own are free to unmap it.
 *
 * The kernel copies for us: bytes go through a file in memory with read and
 * write calls, which return an error where a touch would raise a signal.
 */
#ifndef VIPL_TOUCH_H
#define VIPL_TOUCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Is the memory still what was registered?  It is asked for by its lock: what
 * was mapped there anew is not locked.
 */
enum vip_look {
	VIP_LOOK_NOT, /* its loss is noticed; it may only shrink */
	VIP_LOOK_ONE, /* a System V segment: shmdt, which nobody tells of, takes all of it */
	VIP_LOOK_ALL  /* nothing is noticed: page by page */
};

/*
 * @user: the consumer's memory.  @foreign: its threads may unmap it now, or
 * it may shrink: let the kernel copy.
 * False: it is not there, and nothing was read; or only a part was written.
 */
bool vip_touch_read(void *to, uintptr_t user, size_t n, enum vip_look look, bool foreign);
bool vip_touch_write(uintptr_t user, const void *from, size_t n, enum vip_look look, bool foreign);

void vip_touch_forked(void);

#endif
