/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_stream.h - a copy to memory that another processor reads next.
 *
 * An ordinary store first fetches the line, which the other processor has in its
 * cache from the message before, and takes it away there: 1 MiB takes three to
 * four times as long as the copy itself when the two processors share no cache.
 * What is stored past the caches needs neither.  Such stores are not ordered with
 * others; the fence at the end orders them before whatever tells of them.
 */
#ifndef NIC_EMU_CORE_EMU_STREAM_H
#define NIC_EMU_CORE_EMU_STREAM_H

#include <stdint.h>

#define EMU_STREAM_LEAST 8192u /* bytes; below that it makes no difference */

#if defined(__x86_64__) && defined(__SSE2__)

typedef long long emu_v2 __attribute__((vector_size(16), may_alias));
typedef long long emu_v2u __attribute__((vector_size(16), aligned(1), may_alias));

static inline void emu_stream(uint8_t *to, const uint8_t *from, uint64_t n)
{
	uint64_t head = -(uintptr_t)to & 63;

	if (n < EMU_STREAM_LEAST) {
		__builtin_memcpy(to, from, n);
		return;
	}
	__builtin_memcpy(to, from, head);
	to += head;
	from += head;
	/* Two lines at a time: first all that is read, then all that is written. */
	for (n -= head; n >= 128; n -= 128, to += 128, from += 128) {
		const emu_v2u *f = (const emu_v2u *)from;
		emu_v2 *t = (emu_v2 *)to;
		emu_v2 a = f[0], b = f[1], c = f[2], d = f[3], e = f[4], g = f[5], h = f[6], i = f[7];

		__asm__("movntdq %8, %0\n\tmovntdq %9, %1\n\tmovntdq %10, %2\n\tmovntdq %11, %3\n\t"
			"movntdq %12, %4\n\tmovntdq %13, %5\n\tmovntdq %14, %6\n\tmovntdq %15, %7"
			: "=m"(t[0]), "=m"(t[1]), "=m"(t[2]), "=m"(t[3]), "=m"(t[4]), "=m"(t[5]), "=m"(t[6]),
			  "=m"(t[7])
			: "x"(a), "x"(b), "x"(c), "x"(d), "x"(e), "x"(g), "x"(h), "x"(i));
	}
	__asm__ volatile("sfence" ::: "memory");
	__builtin_memcpy(to, from, n);
}

#else

static inline void emu_stream(uint8_t *to, const uint8_t *from, uint64_t n)
{
	__builtin_memcpy(to, from, n);
}

#endif
#endif
