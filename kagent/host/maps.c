/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps.c - what a process has mapped at an area, in the words of the Locked
 * Memory Manager.
 *
 * Invariants: an area counts as part of a System V segment only if the kernel's
 * own words agree: the mapping's name, the device on which the kernel keeps
 * segments, the segment's existence in our IPC namespace, and that the process
 * lives in the same one.  What a device must not reach is refused as far as it
 * can be told; a process that hides it harms itself alone.
 */
#include "kagent/host/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kagent/core/lmm_run.h"
#include "kagent/host/mounts.h"
#include "kagent/host/vma.h"

int maps_open(struct maps *m, pid_t pid)
{
	char path[sizeof(m->dir) + 8];

	memset(m, 0, sizeof(*m));
	m->mount_fd = -1;
	m->self = pid == 0;
	if (m->self)
		snprintf(m->dir, sizeof(m->dir), "/proc/self");
	else
		snprintf(m->dir, sizeof(m->dir), "/proc/%d", (int)pid);
	snprintf(path, sizeof(path), "%s/maps", m->dir);
	m->fd = open(path, O_RDONLY | O_CLOEXEC);
	return m->fd < 0 ? -errno : 0;
}

void maps_close(struct maps *m)
{
	if (m->fd >= 0)
		close(m->fd);
	if (m->mount_fd >= 0)
		close(m->mount_fd);
	m->fd = -1;
	m->mount_fd = -1;
}

/* Say why; the value is @err. */
__attribute__((format(printf, 3, 4))) static int refuse(char *text, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, LMM_TEXT, fmt, ap);
	va_end(ap);
	return err;
}

static bool begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

static uint64_t whole_pages(uint64_t bytes)
{
	uint64_t mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1;

	return (bytes + mask) & ~mask;
}

/* Is @b the mapping after @a of the same object, without a gap in either? */
static bool follows(const struct vma *a, const struct vma *b)
{
	return (a->flags & b->flags & VMA_SHARED) != 0 && a->end == b->start && a->dev == b->dev &&
	       a->inode == b->inode && b->offset == a->offset + (a->end - a->start);
}

/* ---- what memory is ---- */

static bool same_ipc_namespace(const struct maps *m)
{
	static struct stat ours; /* we never change ours, and it is never inode 0 */
	char path[sizeof(m->dir) + 8];
	struct stat theirs;

	if (m->self)
		return true;
	if (ours.st_ino == 0 && stat("/proc/self/ns/ipc", &ours) != 0)
		return false;
	snprintf(path, sizeof(path), "%s/ns/ipc", m->dir);
	return stat(path, &theirs) == 0 && ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* On one of the kernel's own tmpfs and hugetlbfs: memory and nothing else. */
static void internal(const struct maps *m, const struct vma *v, struct lmm_run *r)
{
	struct shmid_ds ds;

	r->can_shrink = begins(v->name, "/memfd:");
	if ((v->flags & VMA_SHARED) == 0)
		return;
	r->kind = LMM_SHMEM;
	if (begins(v->name, "/SYSV") && v->inode <= INT32_MAX && same_ipc_namespace(m) &&
	    shmctl((int)v->inode, IPC_STAT, &ds) == 0) {
		r->kind = LMM_SYSV;
		r->object_bytes = whole_pages(ds.shm_segsz);
	}
}

static int no_device(const struct vma *v, uint64_t at, char *text)
{
	return refuse(
		text, -EINVAL,
		"the memory at 0x%llx (%.64s) belongs to a device or to the kernel; copy what is in it and "
		"register the copy",
		(unsigned long long)at, v->name);
}

/* The mapped file itself, unless it has been removed or renamed. */
static bool file_stat(const struct maps *m, const struct vma *v, struct stat *st)
{
	char path[sizeof(m->dir) + PATH_MAX + 8];

	if (v->name[0] != '/')
		return false;
	snprintf(path, sizeof(path), "%s/root%s", m->dir, v->name);
	return stat(path, st) == 0 && st->st_ino == v->inode;
}

/* A file with a name in the file system. */
static int file(struct maps *m, const struct vma *v, uint64_t at, struct lmm_run *r, char *text)
{
	enum mount_fs fs = mounts_fs(m, v->dev);
	struct stat st;

	if (fs == FS_HIDDEN && begins(v->name, "/secretmem"))
		return refuse(text, -EINVAL,
			      "the memory at 0x%llx is secret (memfd_secret), which no device may reach; use "
			      "other memory",
			      (unsigned long long)at);
	/* anon_inode:[io_uring], socket:[1234] and others are rings that the kernel shares. */
	if (fs == FS_KERNEL || v->name[0] != '/' ||
	    (fs == FS_HIDDEN && (begins(v->name, "/[aio]") || begins(v->name, "/dmabuf:"))))
		return no_device(v, at, text);
	r->can_shrink = true;
	if ((v->flags & VMA_SHARED) != 0)
		r->kind = fs == FS_MEMORY ? LMM_SHMEM : LMM_FILE;
	if ((fs != FS_MEMORY && fs != FS_LOCAL) || !file_stat(m, v, &st))
		return 0;
	if (S_ISREG(st.st_mode)) {
		if (r->kind != LMM_PRIVATE)
			r->object_bytes = whole_pages((uint64_t)st.st_size);
		return 0;
	}
	/* A private mapping of /dev/zero is anonymous memory; a shared one has another name. */
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 5))
		return no_device(v, at, text);
	r->can_shrink = false;
	return 0;
}

/* The kind and the object of @v, of which the area has the part from @at on. */
static int classify(struct maps *m, const struct vma *v, uint64_t at, struct lmm_run *r, char *text)
{
	int err;

	*r = (struct lmm_run){.kind = LMM_PRIVATE};
	if (v->dev == 0) {
		if (v->name[0] != '[' || begins(v->name, "[heap]") || begins(v->name, "[stack") ||
		    begins(v->name, "[anon:"))
			return 0;
		return no_device(v, at, text);
	}
	if (mounts_is_internal(v->dev)) {
		internal(m, v, r);
	} else {
		err = file(m, v, at, r, text);
		if (err != 0)
			return err;
	}
	if (r->kind != LMM_PRIVATE)
		r->object = v->inode;
	if (r->kind == LMM_SHMEM || r->kind == LMM_FILE)
		r->dev = v->dev;
	return 0;
}

/* ---- the pieces of an area ---- */

struct walk {
	struct maps *m;
	struct vma_look look;
	struct lmm_run *runs;
	uint32_t n;
	uint32_t max;
	struct vma last; /* the mapping seen last, all zero before the first */
	char *text;
};

/* The bounds of the attachment that @v is part of: mlock and mprotect of a part split mappings. */
static int find_bounds(struct walk *w, const struct vma *v, struct lmm_run *r)
{
	struct vma low = *v, high = *v, next;
	int err = 0;

	while (low.start > 0 && err == 0) {
		err = vma_find(&w->look, low.start - 1, false, &next);
		if (err != 0 || !follows(&next, &low))
			break;
		low = next;
	}
	while (err == 0) {
		err = vma_find(&w->look, high.end, false, &next);
		if (err != 0 || !follows(&high, &next))
			break;
		high = next;
	}
	if (err != 0 && err != -ENOENT)
		return err;
	r->seg_start = low.start;
	r->seg_end = high.end;
	if (r->object_bytes == 0)
		r->object_bytes = low.offset + (high.end - low.start);
	return 0;
}

/* The part of the mapping @v in [@start, @end), which begins with it or before. */
static int add(struct walk *w, const struct vma *v, uint64_t start, uint64_t end)
{
	struct lmm_run r;
	int err;

	if ((v->flags & VMA_READ) == 0)
		return refuse(w->text, -EINVAL, "the memory at 0x%llx may not be read; mprotect it first",
			      (unsigned long long)start);
	if (follows(&w->last, v)) {
		r = w->runs[w->n - 1]; /* what has been found out for one part of an object holds for all */
	} else {
		err = classify(w->m, v, start, &r, w->text);
		if (err != 0)
			return err;
	}
	w->last = *v;
	r.start = start;
	r.end = end < v->end ? end : v->end;
	r.offset = r.kind == LMM_PRIVATE ? start : v->offset + (start - v->start);
	r.writable = (v->flags & VMA_WRITE) != 0;
	if (w->n > 0 && lmm_run_join(&w->runs[w->n - 1], &r))
		return 0;
	if (w->n == w->max)
		return refuse(
			w->text, -E2BIG,
			"the area has more than %u mappings of different memory, the next one at 0x%llx; "
			"register it in parts",
			w->max, (unsigned long long)start);
	if (r.kind != LMM_PRIVATE) {
		err = find_bounds(w, v, &r);
		if (err != 0)
			return err;
	}
	w->runs[w->n++] = r;
	return 0;
}

static int walk(struct walk *w, uint64_t start, uint64_t end)
{
	uint64_t pos = start;
	struct vma v;
	int err;

	while (pos < end) {
		err = vma_find(&w->look, pos, true, &v);
		if (err == -ENOENT || (err == 0 && v.start > pos))
			return refuse(w->text, -EINVAL,
				      "nothing is mapped at 0x%llx; map it first, or register less",
				      (unsigned long long)pos);
		if (err == 0)
			err = add(w, &v, pos, end);
		if (err != 0)
			return err;
		pos = v.end;
	}
	return (int)w->n;
}

int maps_resolve(struct maps *m, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max, char *text)
{
	struct walk w = {.m = m, .runs = runs, .max = max, .text = text};
	int n;

	text[0] = '\0';
	vma_look_begin(&w.look, m->fd, &m->text);
	n = walk(&w, start, end);
	vma_look_end(&w.look);
	if (n == -ESRCH)
		refuse(text, n, "the process of %s has ended, or executes another program", m->dir);
	else if (n < 0 && text[0] == '\0')
		refuse(text, n, "the mappings in %s/maps cannot be read: %s", m->dir, strerror(-n));
	return n;
}
