/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * touch.c - see touch.h.
 *
 * The calls are made without libc's wrappers: what the kernel reads and writes
 * on our behalf is as a NIC's DMA to those who look for races in a program.
 */
#include "vipl/touch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kagent/host/vma.h"
#include "vipl/internal.h"

#define ROOM (64u << 10)

/* One for the process: the careful way is the slow one. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int maps = -1; /* /proc/self/maps; -1: not opened */
static pid_t self;    /* 0: the kernel does not copy from process to process, so there is ... */
static int file = -1; /* ... a file of ROOM bytes, ... */
static uint8_t *room; /* ... mapped */

void vip_touch_forked(void)
{
	pthread_mutex_init(&lock, NULL);
	if (file >= 0) {
		close(file);
		munmap(room, ROOM);
	}
	if (maps >= 0)
		close(maps); /* the parent's */
	file = maps = -1;
	self = 0;
}

static bool copy(pid_t pid, void *to, uintptr_t from, size_t n)
{
	struct iovec local = {to, n}, remote = {(void *)from, n}; /* NOLINT(performance-no-int-to-ptr) */

	return syscall(SYS_process_vm_readv, pid, &local, 1L, &remote, 1L, 0L) == (long)n;
}

/* Containers may forbid it, to oneself, too. */
static pid_t try_copy(void)
{
	static const uint64_t from = 0x746f756368;
	uint64_t to = 0;

	return copy(getpid(), &to, (uintptr_t)&from, sizeof(to)) && to == from ? getpid() : 0;
}

static int make_room(void)
{
	int err = 0;

	file = memfd_create("vipl-touch", MFD_CLOEXEC);
	if (file >= 0 && ftruncate(file, ROOM) == 0)
		room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
	else
		room = MAP_FAILED;
	if (room == MAP_FAILED) {
		err = -errno;
		vip_why("cannot make a file in memory: %s", strerror(-err));
		if (file >= 0)
			close(file);
		file = -1;
	}
	return err;
}

int vip_touch_open(void)
{
	int err = 0;

	pthread_mutex_lock(&lock);
	if (maps >= 0)
		goto out;
	maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (maps < 0) {
		err = -errno;
		vip_why("cannot open /proc/self/maps: %s", strerror(-err));
		goto out;
	}
	self = try_copy();
	if (!self)
		err = make_room();
	if (err) {
		close(maps);
		maps = -1;
	}
out:
	pthread_mutex_unlock(&lock);
	return err;
}

/* MADV_COLD does nothing that a program can see; on locked memory the kernel refuses it. */
static bool still_locked(uintptr_t user, size_t n)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = user & ~(page - 1);

	for (; at < user + n; at += page) {
		if (madvise((void *)at, page, MADV_COLD) == 0 || errno != EINVAL) /* NOLINT */
			return false;
	}
	return true;
}

void vip_touch_see(uintptr_t user, size_t n, struct vip_seen *seen)
{
	static _Thread_local bool text; /* the kernel answers no questions */
	struct vma_look look;
	uint64_t at = user;
	struct vma v;

	seen->uniform = n > 0;
	seen->dev = 0;
	seen->inode = seen->address = 0;
	vma_look_begin(&look, maps, &text);
	while (seen->uniform && at < user + n) {
		seen->uniform = vma_find(&look, at, false, &v) == 0 && v.start <= at;
		if (!seen->uniform)
			break;
		if (at == user) {
			seen->dev = v.dev;
			seen->inode = v.inode;
			seen->address = v.inode ? v.start - v.offset : 0;
		}
		seen->uniform = v.dev == seen->dev && v.inode == seen->inode &&
				(v.inode ? v.start - v.offset : 0) == seen->address;
		at = v.end;
	}
	vma_look_end(&look);
}

uint64_t vip_touch_extent(uint64_t at, uint64_t least)
{
	bool text = false;
	struct vma_look look;
	struct vma v;
	bool there;

	vma_look_begin(&look, maps, &text);
	there = vma_ask(&look, at, &v) == 0 && v.start <= at;
	vma_look_end(&look);
	return there && v.end - at > least ? v.end - at : least;
}

static bool same_file(uintptr_t user, size_t n, const struct vip_seen *seen)
{
	struct vip_seen now;

	vip_touch_see(user, n, &now);
	return now.uniform && now.dev == seen->dev && now.inode == seen->inode &&
	       now.address == seen->address;
}

bool vip_touch_same(uintptr_t user, size_t n, const struct vip_seen *seen)
{
	switch (n ? (enum vip_look)ka_load_relaxed(&seen->look) : VIP_LOOK_NOT) {
	case VIP_LOOK_NOT:
		return true;
	case VIP_LOOK_ONE:
		return still_locked(user, 1);
	case VIP_LOOK_ALL:
		return still_locked(user, n) && (!seen->uniform || same_file(user, n, seen));
	case VIP_LOOK_MAP:
		return same_file(user, n, seen);
	case VIP_LOOK_GONE:
		break;
	}
	return false;
}

void vip_touch_begin(void)
{
	pthread_mutex_lock(&lock);
}

void vip_touch_end(void)
{
	pthread_mutex_unlock(&lock);
}

bool vip_touch_copies(void)
{
	return self != 0;
}

bool vip_touch_copy(void *to, uintptr_t from, size_t n)
{
	return copy(self, to, from, n);
}

bool vip_touch_read(void *to, uintptr_t user, size_t n)
{
	if (self)
		return copy(self, to, user, n);
	while (n) {
		size_t part = n < ROOM ? n : ROOM;

		if (syscall(SYS_pwrite64, file, user, part, 0L) != (long)part)
			return false;
		memcpy(to, room, part);
		to = (uint8_t *)to + part;
		user += part;
		n -= part;
	}
	return true;
}

bool vip_touch_write(uintptr_t user, const void *from, size_t n)
{
	if (self)
		return copy(self, (void *)user, (uintptr_t)from, n); /* NOLINT(performance-no-int-to-ptr) */
	while (n) {
		size_t part = n < ROOM ? n : ROOM;

		memcpy(room, from, part);
		if (syscall(SYS_pread64, file, user, part, 0L) != (long)part)
			return false;
		from = (const uint8_t *)from + part;
		user += part;
		n -= part;
	}
	return true;
}
