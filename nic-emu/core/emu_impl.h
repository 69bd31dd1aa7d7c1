/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_impl.h - what both halves of the engine need.
 */
#ifndef EMU_IMPL_H
#define EMU_IMPL_H

#include "include/vipl.h"
#include "nic-emu/core/emu_engine.h"

#define MEMCPY(d, s, n) __builtin_memcpy((d), (s), (n))

static inline uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Own memory by its address: checked against the own TPT before. */
static inline void *own(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

/* @direct: cleared when the segment must be touched with care.  The range of 0 bytes is not looked at. */
static inline bool own_ok(const struct emu_link *l, struct ka_tpt_entry *kept, const struct emu_seg *s,
			  uint32_t rights, bool *direct)
{
	if (ka_load_acquire(l->revoking))
		l->host->settle();
	if (!ka_tpt_check_kept(l->own_tpt, s->handle, s->addr, s->len, l->own_tag, rights, kept))
		return false;
	if (!(kept->rights & KA_R_DIRECT))
		*direct = false;
	return true;
}

/*
 * The end of an RDMA write that must be seen last: a program may watch the
 * word behind its data.  What lies in the aligned word of 8 bytes that holds
 * the last byte.
 */
static inline uint64_t last_word(uint64_t addr, uint64_t len)
{
	return len ? min64(len, ((addr + len - 1) & 7) + 1) : 0;
}

/* Up to 8 bytes within an aligned word, in as large pieces as are aligned, after all that was written before.
 */
static inline void put_last(uint8_t *to, const uint8_t *from, uint64_t n)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
	while (n) {
		uintptr_t at = (uintptr_t)to;
		uint64_t v64 = 0;
		uint32_t v32 = 0;
		uint16_t v16 = 0;
		uint64_t part = 1;

		if ((at & 7) == 0 && n >= 8) {
			MEMCPY(&v64, from, 8);
			ka_store_relaxed((uint64_t *)(void *)to, v64);
			part = 8;
		} else if ((at & 3) == 0 && n >= 4) {
			MEMCPY(&v32, from, 4);
			ka_store_relaxed((uint32_t *)(void *)to, v32);
			part = 4;
		} else if ((at & 1) == 0 && n >= 2) {
			MEMCPY(&v16, from, 2);
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
