/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mounts.c - file systems by device, from /proc/PID/mountinfo.
 *
 * Invariant: what is remembered is forgotten as soon as the kernel says that
 * the mounts have changed, for device numbers are used again.
 */
#include "kagent/host/mounts.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kagent/host/vma.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif
#define HUGE_SHIFT 26 /* MFD_HUGE_SHIFT: the page size's logarithm, in the flags */

enum { PAGE_SIZES = 8 };

static const struct {
	const char *type;
	enum mount_fs fs;
} types[] = {
	{"proc", FS_KERNEL},	  {"sysfs", FS_KERNEL},	  {"debugfs", FS_KERNEL}, {"tracefs", FS_KERNEL},
	{"tmpfs", FS_MEMORY},	  {"ramfs", FS_MEMORY},	  {"rootfs", FS_MEMORY},  {"devtmpfs", FS_MEMORY},
	{"hugetlbfs", FS_MEMORY}, {"ext2", FS_LOCAL},	  {"ext3", FS_LOCAL},	  {"ext4", FS_LOCAL},
	{"xfs", FS_LOCAL},	  {"btrfs", FS_LOCAL},	  {"f2fs", FS_LOCAL},	  {"zfs", FS_LOCAL},
	{"overlay", FS_LOCAL},	  {"squashfs", FS_LOCAL}, {"erofs", FS_LOCAL},	  {"vfat", FS_LOCAL},
	{"iso9660", FS_LOCAL},
};

static enum mount_fs type_fs(const char *type)
{
	size_t len = strcspn(type, " \n"), i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strlen(types[i].type) == len && strncmp(types[i].type, type, len) == 0)
			return types[i].fs;
	return FS_OTHER;
}

/* A line: id, parent's id, major:minor, root, mount point, options ..., " - ", type, ... */
static enum mount_fs search(const char *text, uint32_t dev)
{
	unsigned int major, minor;
	const char *line, *end, *dash;

	for (line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		if (sscanf(line, "%*u %*u %u:%u ", &major, &minor) != 2 || (major << 20 | minor) != dev)
			continue;
		dash = strstr(line, " - ");
		if (dash != NULL && dash < end)
			return type_fs(dash + 3);
	}
	return FS_HIDDEN;
}

static enum mount_fs read_fs(struct maps *m, uint32_t dev)
{
	enum mount_fs fs;
	char path[48];
	char *text;

	if (m->mount_fd < 0) {
		snprintf(path, sizeof(path), "%s/mountinfo", m->dir);
		m->mount_fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (m->mount_fd < 0 || vma_read_all(m->mount_fd, &text) < 0)
		return FS_HIDDEN;
	fs = search(text, dev);
	free(text);
	return fs;
}

enum mount_fs mounts_fs(struct maps *m, uint32_t dev)
{
	struct pollfd change = {.fd = m->mount_fd, .events = POLLPRI};
	uint32_t i;

	if (m->mount_fd >= 0 && poll(&change, 1, 0) != 0)
		memset(m->mounts, 0, sizeof(m->mounts));
	for (i = 0; i < MAPS_MOUNTS; i++)
		if (m->mounts[i].fs != 0 && m->mounts[i].dev == dev)
			return m->mounts[i].fs;
	i = m->next_mount++ % MAPS_MOUNTS;
	m->mounts[i].dev = dev;
	m->mounts[i].fs = read_fs(m, dev);
	return m->mounts[i].fs;
}

/* The device that memfds of @flags live on, 0: there are no such memfds. */
static uint32_t memfd_device(unsigned int flags)
{
	int fd = memfd_create("lmm-probe", MFD_CLOEXEC | flags);
	struct stat st;
	int err;

	if (fd < 0)
		return 0;
	err = fstat(fd, &st);
	close(fd);
	return err == 0 ? major(st.st_dev) << 20 | minor(st.st_dev) : 0;
}

bool mounts_is_internal(uint32_t dev)
{
	static uint32_t devs[1 + PAGE_SIZES];
	static uint32_t n;
	unsigned int bits, i;

	if (n == 0) {
		devs[n++] = memfd_device(0);
		/* each size of huge pages has a file system of its own */
		for (bits = 14; bits <= 34 && n <= PAGE_SIZES; bits++) {
			devs[n] = memfd_device(MFD_HUGETLB | bits << HUGE_SHIFT);
			n += devs[n] != 0;
		}
	}
	for (i = 0; i < n; i++)
		if (devs[i] == dev)
			return true;
	return false;
}
