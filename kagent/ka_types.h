/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ka_types.h - the fixed-width types, errno values and atomics that the parts
 * without libc share between user space and the kernel.
 */
#ifndef KA_TYPES_H
#define KA_TYPES_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/stddef.h>
#include <linux/types.h>
#ifndef UINT64_MAX
#define INT32_MAX  S32_MAX
#define UINT16_MAX U16_MAX
#define UINT32_MAX U32_MAX
#define UINT64_MAX U64_MAX
#endif
#else
#include <asm/errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

/* Compiler builtins: the same code in the kernel, the daemon and the library. */
#define ka_load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define ka_load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define ka_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define ka_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

#endif
