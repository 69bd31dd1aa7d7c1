/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * naive.h - /dev/via_naive: a NIC whose memory is locked as it must not be, so that a test can be seen to
 * fail. It notes the page frames of what is registered, and what comes is written to these frames.
 *
 * An open file is a registration, of NAIVE_PAGES; closing it is deregistering.
 */
#ifndef NAIVE_H
#define NAIVE_H

#include <linux/ioctl.h>

#define NAIVE_PATH  "/dev/via_naive"
#define NAIVE_PAGES 512

/* Register what lies at the address that is the argument, once. */
#define NAIVE_NOTHING _IO('N', 1) /* the process locks by itself */
#define NAIVE_FLAG \
	_IO('N', 2) /* a page is locked or is not: registering locks it, deregistering unlocks it */
#define NAIVE_REFERENCE _IO('N', 3) /* each registration has a reference to the page, and no pin */

/*
 * What lies at the address comes in.  Returns how many pages are lost: their frames are another's by now,
 * and are not written to only because the machine has still to tell of it.
 */
#define NAIVE_COMES _IO('N', 4)

#endif
