/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps.c - what a client has mapped at an area, from /proc/PID/maps.
 *
 * Invariant: an area counts as part of a System V segment only if the kernel's
 * own words agree: the mapping's name, the device on which the kernel keeps
 * segments, the segment's existence in the agent's IPC namespace, and that the
 * client lives in the same one.  Everything else is private memory.
 */
#include "kagent/daemon/daemon.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct vma {
	uint64_t start, end, offset;
	unsigned int major, minor;
	unsigned long long inode;
	char perms[8];
	char name[16]; /* the beginning: enough to know a segment by */
};

/* Neighbouring mappings of one attachment; mlock of a part splits them. */
struct run {
	struct vma first;
	uint64_t end;
};

/* The device of the kernel's internal tmpfs, on which memfds and segments live. */
static dev_t segment_device(void)
{
	static dev_t dev;
	struct stat st;
	int fd;

	if (dev != 0)
		return dev;
	fd = memfd_create("vipl-probe", MFD_CLOEXEC);
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0)
		dev = st.st_dev;
	close(fd);
	return dev;
}

static bool same_ipc_namespace(pid_t pid)
{
	struct stat ours, theirs;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/ipc", (int)pid);
	return stat("/proc/self/ns/ipc", &ours) == 0 && stat(path, &theirs) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

static bool is_segment(const struct vma *v)
{
	return strncmp(v->name, "/SYSV", 5) == 0 && makedev(v->major, v->minor) == segment_device() &&
	       v->inode <= INT32_MAX;
}

/* The size of segment @v in bytes, whole pages; 0: not a segment of our namespace. */
static uint64_t segment_bytes(const struct vma *v, pid_t pid)
{
	uint64_t mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1;
	struct shmid_ds ds;

	if (!same_ipc_namespace(pid) || shmctl((int)v->inode, IPC_STAT, &ds) != 0)
		return 0;
	return (ds.shm_segsz + mask) & ~mask;
}

static bool parse(const char *line, struct vma *v)
{
	unsigned long long start, end, offset;

	v->name[0] = '\0';
	if (sscanf(line, "%llx-%llx %7s %llx %x:%x %llu %15[^\n]", &start, &end, v->perms, &offset, &v->major,
		   &v->minor, &v->inode, v->name) < 7)
		return false;
	v->start = start;
	v->end = end;
	v->offset = offset;
	return true;
}

static bool continues(const struct run *run, const struct vma *v)
{
	const struct vma *f = &run->first;

	return is_segment(v) && is_segment(f) && v->start == run->end && v->inode == f->inode &&
	       v->offset == f->offset + (v->start - f->start);
}

/* State of the walk over the mappings that cover [pos, end). */
struct walk {
	struct run run;	     /* the mappings seen last that belong together */
	uint64_t start, end; /* the area */
	uint64_t pos;	     /* covered so far */
	uint64_t att_start;  /* of the attachment in which the area lies, 0: none */
	bool any;	     /* a mapping covers the area's start */
	bool segment;	     /* and is one of a segment */
	struct ka_map *map;
	pid_t pid;
	char *text;
};

static int mixed(struct walk *w, uint64_t at)
{
	ka_text(w->text, KA_TEXT,
		"the area spans mappings of different kinds, or two attachments, at 0x%llx; "
		"register the parts one by one",
		(unsigned long long)at);
	return -EINVAL;
}

/* The first mapping that covers the area says what kind it is. */
static void begin(struct walk *w, const struct vma *v)
{
	uint64_t bytes = is_segment(v) ? segment_bytes(v, w->pid) : 0;

	w->any = true;
	w->segment = bytes > 0;
	if (!w->segment)
		return;
	w->att_start = w->run.first.start;
	*w->map = (struct ka_map){.kind = KA_OBJ_SYSV,
				  .writable = true,
				  .object = v->inode,
				  .att_start = w->att_start,
				  .offset = v->offset + (w->start - v->start),
				  .object_bytes = bytes};
}

/* One mapping; 0: go on, 1: nothing further matters, or negative errno. */
static int step(struct walk *w, const struct vma *v)
{
	bool part;

	if (continues(&w->run, v))
		w->run.end = v->end;
	else
		w->run = (struct run){*v, v->end};
	part = w->att_start != 0 && w->run.first.start == w->att_start;
	if (part)
		w->map->att_length = w->run.end - w->att_start;
	if (w->pos >= w->end)
		return !part;
	if (v->end <= w->pos)
		return 0;
	if (v->start > w->pos)
		return 1;
	if (v->perms[0] != 'r') {
		ka_text(w->text, KA_TEXT, "the memory at 0x%llx may not be read; mprotect it first",
			(unsigned long long)w->pos);
		return -EINVAL;
	}
	if (!w->any)
		begin(w, v);
	else if (w->segment ? !part : is_segment(v) && segment_bytes(v, w->pid) > 0)
		return mixed(w, w->pos);
	if (w->segment)
		w->map->att_length = w->run.end - w->att_start;
	if (v->perms[1] != 'w')
		w->map->writable = false;
	w->pos = v->end;
	return 0;
}

static int walk(struct walk *w, FILE *maps)
{
	char *line = NULL;
	size_t room = 0;
	struct vma v;
	int err = 0;

	while (err == 0 && getline(&line, &room, maps) > 0)
		if (parse(line, &v))
			err = step(w, &v);
	free(line);
	if (err < 0)
		return err;
	if (w->pos >= w->end)
		return 0;
	ka_text(w->text, KA_TEXT, "nothing is mapped at 0x%llx", (unsigned long long)w->pos);
	return -EINVAL;
}

int ka_host_resolve(void *proc, uint64_t start, uint64_t length, struct ka_map *map, char *text)
{
	const struct client *c = proc;
	struct pollfd gone = {.fd = c->exit.fd, .events = POLLIN};
	struct walk w = {
		.start = start, .end = start + length, .pos = start, .map = map, .pid = c->pid, .text = text};
	char path[32];
	FILE *maps;
	int err;

	*map = (struct ka_map){.kind = KA_OBJ_PRIVATE, .writable = true};
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)c->pid);
	maps = fopen(path, "re");
	if (maps == NULL) {
		err = -errno;
		ka_text(text, KA_TEXT, "the agent cannot read %s (error %u); is the process not dumpable?",
			path, (unsigned int)-err);
		return err;
	}
	err = walk(&w, maps);
	fclose(maps);
	/* Only while the process lives does its number name it. */
	if (poll(&gone, 1, 0) != 0) {
		ka_text(text, KA_TEXT, "the process has ended");
		return -ESRCH;
	}
	return err;
}
