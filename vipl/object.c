/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * object.c - see object.h.
 *
 * What is opened is compared with what is looked for, and then the mapping is
 * looked at once more: as long as the file is open its inode is no other's, so
 * it is the one that the process has there.
 */
#include "vipl/object.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "kagent/host/vma.h"

#define DIR_ROOM 24 /* /proc/PID */

static bool same(const struct vip_object *o, const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_ino == o->inode &&
	       st->st_dev == makedev(o->dev >> 20, o->dev & 0xfffff);
}

/* Nothing but the file that is looked for is opened: others may not like it. */
static int try(const struct vip_object *o, const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st) || !same(o, &st))
		return -1;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && (fstat(fd, &st) || !same(o, &st))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int by_descriptor(const struct vip_object *o, const char *dir)
{
	char path[DIR_ROOM + 300];
	const struct dirent *d;
	int fd = -1;
	DIR *fds;

	snprintf(path, sizeof(path), "%s/fd", dir);
	fds = opendir(path);
	while (fds && fd < 0 && (d = readdir(fds))) {
		snprintf(path, sizeof(path), "%s/fd/%s", dir, d->d_name);
		fd = try(o, path);
	}
	if (fds)
		closedir(fds);
	return fd;
}

/* Does the process have it mapped at that address? */
static bool mapped(const struct vip_object *o, struct vma_look *look, struct vma *v)
{
	return vma_find(look, o->start, true, v) == 0 && v->start <= o->start && (v->flags & VMA_SHARED) &&
	       v->dev == o->dev && v->inode == o->inode && v->offset + (o->start - v->start) == o->offset;
}

static bool look_at(const struct vip_object *o, int maps, struct vma_look *look, struct vma *v)
{
	static _Thread_local bool text; /* the kernel answers no questions */

	vma_look_begin(look, maps, &text);
	return mapped(o, look, v);
}

int vip_object_open(const struct vip_object *o)
{
	char dir[DIR_ROOM], path[DIR_ROOM + sizeof(((struct vma_look *)0)->name) + 8];
	struct vma_look look;
	int maps, fd = -1;
	struct vma v;
	bool there;

	if (o->pid)
		snprintf(dir, sizeof(dir), "/proc/%d", (int)o->pid);
	else
		snprintf(dir, sizeof(dir), "/proc/self");
	snprintf(path, sizeof(path), "%s/maps", dir);
	maps = open(path, O_RDONLY | O_CLOEXEC);
	if (maps < 0)
		return -1;
	if (look_at(o, maps, &look, &v)) {
		snprintf(path, sizeof(path), "%s/map_files/%lx-%lx", dir, v.start, v.end);
		fd = try(o, path);
		if (fd < 0)
			fd = by_descriptor(o, dir);
		if (fd < 0 && v.name[0] == '/') {
			snprintf(path, sizeof(path), "%s/root%s", dir, v.name);
			fd = try(o, path);
		}
	}
	vma_look_end(&look);
	if (fd >= 0) {
		there = look_at(o, maps, &look, &v);
		vma_look_end(&look);
		if (!there) {
			close(fd);
			fd = -1;
		}
	}
	close(maps);
	return fd;
}

bool vip_object_sealed(int fd)
{
	struct statfs fs;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK) && fstatfs(fd, &fs) == 0 && fs.f_type != HUGETLBFS_MAGIC;
}
