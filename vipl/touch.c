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
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kagent/host/limit.h"
#include "kagent/host/vma.h"
#include "vipl/internal.h"

#define ROOM (64u << 10)

/* One for the process: the careful way is the slow one. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int file = -1;
static uint8_t *room;
static int maps = -1; /* /proc/self/maps */

void vip_touch_forked(void)
{
	pthread_mutex_init(&lock, NULL);
	if (file >= 0) {
		close(file);
		munmap(room, ROOM);
		close(maps); /* the parent's */
	}
	file = maps = -1;
}

static int no_file(int err, const char *what)
{
	char why[200];

	limit_files(why, sizeof(why), err, what);
	vip_why("%s", why);
	return -err;
}

int vip_touch_open(void)
{
	int err = 0;

	pthread_mutex_lock(&lock);
	if (file >= 0)
		goto out;
	maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (maps < 0) {
		err = no_file(errno, "/proc/self/maps");
		goto out;
	}
	file = memfd_create("vipl-touch", MFD_CLOEXEC);
	if (file >= 0 && ftruncate(file, ROOM) == 0)
		room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
	else
		room = MAP_FAILED;
	if (room == MAP_FAILED) {
		err = no_file(errno, "a file in memory");
		close(maps);
		if (file >= 0)
			close(file);
		file = maps = -1;
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

bool vip_touch_read(void *to, uintptr_t user, size_t n)
{
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

/*
 * An aligned word of 4 bytes, by one store; false: it was not written.  The kernel tells how much of the
 * file is behind its position as an int, and a position says any of these, modulo 2^32.
 */
static bool store_word(uintptr_t to, const void *from)
{
	uint32_t word;

	memcpy(&word, from, sizeof(word));
	if (syscall(SYS_lseek, file, (long)(uint32_t)(ROOM - word), SEEK_SET) < 0)
		return false;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return syscall(SYS_ioctl, file, FIONREAD, to) == 0;
}

/*
 * The first @n bytes of the room to where they belong.  The kernel copies words of 8 bytes, and what is less
 * byte by byte: who watches a smaller word would see half of it.
 */
static bool put_room(uintptr_t to, size_t n)
{
	size_t at = 0, part;

	if (n >= 8)
		return syscall(SYS_pread64, file, to, n, 0L) == (long)n;
	for (; at < n; at += part) {
		part = 4 - (to + at) % 4;
		if (part > n - at)
			part = n - at;
		if (part == 4 && store_word(to + at, room + at))
			continue;
		if (syscall(SYS_pread64, file, to + at, part, (long)at) != (long)part)
			return false;
	}
	return true;
}

bool vip_touch_window(uintptr_t to, const void *from, size_t n, bool *gone)
{
	*gone = false;
	while (n) {
		size_t part = n < ROOM ? n : ROOM;

		if (syscall(SYS_pwrite64, file, from, part, 0L) != (long)part) {
			*gone = true;
			return false;
		}
		if (!put_room(to, part))
			return false;
		from = (const uint8_t *)from + part;
		to += part;
		n -= part;
	}
	return true;
}

bool vip_touch_write(uintptr_t user, const void *from, size_t n)
{
	while (n) {
		size_t part = n < ROOM ? n : ROOM;

		memcpy(room, from, part);
		if (!put_room(user, part))
			return false;
		from = (const uint8_t *)from + part;
		user += part;
		n -= part;
	}
	return true;
}
