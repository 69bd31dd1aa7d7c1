/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mounts.h - on what kind of file system a mapped file lies, by its device.
 */
#ifndef KA_HOST_MOUNTS_H
#define KA_HOST_MOUNTS_H

#include "kagent/host/maps.h"

enum mount_fs {
	FS_HIDDEN = 1, /* not mounted where the process looks */
	FS_KERNEL,     /* the kernel's own files: proc, sysfs */
	FS_MEMORY,     /* files live in memory alone: tmpfs, hugetlbfs */
	FS_LOCAL,      /* on a disk of this machine */
	FS_OTHER       /* elsewhere; a question about a file could take forever */
};

/* mounts_fs - the kind of device @dev, as the process of @m sees it. */
enum mount_fs mounts_fs(struct maps *m, uint32_t dev);

/*
 * mounts_is_internal - is @dev one of those on which the kernel keeps memfds,
 * System V segments and shared anonymous memory?
 */
bool mounts_is_internal(uint32_t dev);

#endif
