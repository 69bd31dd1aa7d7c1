/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_stream.h - a copy to memory that another processor reads next.
 *
 * An ordinary store first fetches the line, which the other processor has in its
 * cache from the message before, and takes it away there: when the two share no
 * cache, 1 MiB takes three to four times as long as the copy itself.  What is
 * stored past the caches needs neither, but goes to memory, which takes half as
 * long again as an ordinary copy when they do share one.  Nobody says which it is,
 * and the peer may move; so one looks how long a line takes that the peer has written.
 * Such stores are not ordered with others; the fence at the end orders them before
 * whatever tells of them.
 */
#ifndef NIC_EMU_CORE_EMU_STREAM_H
#define NIC_EMU_CORE_EMU_STREAM_H

#include "kagent/ka_types.h"

#define EMU_STREAM_LEAST 8192u /* bytes; below that it makes no difference */
#define EMU_FAR_TICKS \
	250u /* of the processor's clock, some 100 ns: longer than any cache that is shared takes */

/* How far away the peer is. */
struct emu_far {
	uint64_t seen;	/* in the line */
	uint32_t ticks; /* that it took to get it from there; 0: not known */
};

/* It took so long, once.  Up only slowly: somebody else may have run meanwhile. */
static inline void emu_far_learn(struct emu_far *f, uint64_t ticks)
{
	uint64_t most = f->ticks + f->ticks / 8u + 1;

	f->ticks = (uint32_t)(f->ticks && ticks > most ? most
			      : ticks > UINT32_MAX / 2 ? UINT32_MAX / 2
						       : ticks);
}

#if defined(__x86_64__) && defined(__SSE2__)

typedef long long emu_v2 __attribute__((vector_size(16), may_alias));
typedef long long emu_v2u __attribute__((vector_size(16), aligned(1), may_alias));

static inline void emu_past_caches(uint8_t *to, const uint8_t *from, uint64_t n)
{
	uint64_t head = -(uintptr_t)to & 63;

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

/* Nothing before it is after it, nor the other way round. */
static inline uint64_t emu_ticks(void)
{
	uint64_t t;

	__asm__ volatile("lfence" ::: "memory");
	t = __builtin_ia32_rdtsc();
	__asm__ volatile("lfence" ::: "memory");
	return t;
}

/* Is the peer so far away that stores are to go past the caches?  @word: it changes it with each message. */
static inline bool emu_is_far(struct emu_far *f, const uint64_t *word)
{
	uint64_t begin = emu_ticks(), now = ka_load_relaxed(word), took = emu_ticks() - begin;

	if (now != f->seen)
		emu_far_learn(f, took);
	f->seen = now;
	return f->ticks > EMU_FAR_TICKS;
}

#else

static inline void emu_past_caches(uint8_t *to, const uint8_t *from, uint64_t n)
{
	__builtin_memcpy(to, from, n);
}

static inline bool emu_is_far(struct emu_far *f, const uint64_t *word)
{
	(void)f;
	(void)word;
	return false;
}

#endif

/* @past: past the caches. */
static inline void emu_stream(bool past, uint8_t *to, const uint8_t *from, uint64_t n)
{
	if (past && n >= EMU_STREAM_LEAST)
		emu_past_caches(to, from, n);
	else
		__builtin_memcpy(to, from, n);
}

#endif
