/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lock.c - see lock.h. */
#include "vipl/lock.h"

#include <unistd.h>

/* Rounds of looking before it sleeps, and for how long: the holder may be of lower priority on this
 * processor.
 */
#define ROUNDS	 200u
#define SLEEP_US 20u

static void pause_a_bit(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

void vip_lock_wait(struct vip_lock *l)
{
	unsigned int round = 0;

	do {
		while (ka_load_relaxed(&l->held)) {
			if (round++ < ROUNDS)
				pause_a_bit();
			else
				usleep(SLEEP_US);
		}
	} while (!vip_trylock(l));
}
