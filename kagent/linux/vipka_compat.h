/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipka_compat.h - what kernels have in different ways, each as the newer ones have it.  Kbuild looks into
 * the kernel's headers and defines VIPKA_HAS_* for what it finds there.
 */
#ifndef VIPKA_COMPAT_H
#define VIPKA_COMPAT_H

#include <linux/mm.h>

#ifndef VIPKA_HAS_VM_FLAGS_SET
/* Both for a mapping that nobody else sees yet. */
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

#endif
