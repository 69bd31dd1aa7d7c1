/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ka_last_word.h - how an RDMA write ends, whatever NIC does it. */
#ifndef KA_LAST_WORD_H
#define KA_LAST_WORD_H

#include "kagent/ka_types.h"

/*
 * The end of an RDMA write that must be seen last: a program may watch the
 * word behind its data.  What lies in the aligned word of 8 bytes that holds
 * the last byte.
 */
static inline uint64_t ka_last_word(uint64_t addr, uint64_t len)
{
	uint64_t n = len ? ((addr + len - 1) & 7) + 1 : 0;

	return n < len ? n : len;
}

/* Up to 8 bytes within an aligned word, in as large pieces as are aligned, after all that was written before.
 */
static inline void ka_put_last(uint8_t *to, const uint8_t *from, uint64_t n)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
	while (n) {
		uintptr_t at = (uintptr_t)to;
		uint64_t v64 = 0;
		uint32_t v32 = 0;
		uint16_t v16 = 0;
		uint64_t part = 1;

		if ((at & 7) == 0 && n >= 8) {
			__builtin_memcpy(&v64, from, 8);
			ka_store_relaxed((uint64_t *)(void *)to, v64);
			part = 8;
		} else if ((at & 3) == 0 && n >= 4) {
			__builtin_memcpy(&v32, from, 4);
			ka_store_relaxed((uint32_t *)(void *)to, v32);
			part = 4;
		} else if ((at & 1) == 0 && n >= 2) {
			__builtin_memcpy(&v16, from, 2);
			ka_store_relaxed((uint16_t *)(void *)to, v16);
			part = 2;
		} else {
			ka_store_relaxed(to, *from);
		}
		to += part;
		from += part;
		n -= part;
	}
}

#endif
