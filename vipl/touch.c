/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * touch.c - see touch.h.
 */
#include "vipl/touch.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vipl/internal.h"

#define ROOM (64u << 10)

/* One for the process: the careful way is the slow one. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int file = -1;
static uint8_t *room;

void vip_touch_forked(void)
{
	pthread_mutex_init(&lock, NULL);
	if (file >= 0) {
		close(file);
		munmap(room, ROOM);
	}
	file = -1;
}

static bool prepare(void)
{
	if (file >= 0)
		return true;
	file = memfd_create("vipl-touch", MFD_CLOEXEC);
	if (file < 0)
		return false;
	room = ftruncate(file, ROOM) == 0
		       ? mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0)
		       : MAP_FAILED;
	if (room != MAP_FAILED)
		return true;
	close(file);
	file = -1;
	return false;
}

/* MADV_COLD does nothing that a program can see; on locked memory the kernel refuses it. */
static bool still_locked(uintptr_t user, size_t n, enum vip_look look)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = user & ~(page - 1),
		  end = look == VIP_LOOK_ONE ? at + 1 : user + n;

	for (; look != VIP_LOOK_NOT && at < end; at += page) {
		if (madvise((void *)at, page, MADV_COLD) == 0 || errno != EINVAL) /* NOLINT */
			return false;
	}
	return true;
}

bool vip_touch_read(void *to, uintptr_t user, size_t n, enum vip_look look, bool foreign)
{
	bool ok = still_locked(user, n, look);

	if (!foreign) {
		if (ok)
			memcpy(to, (const void *)user, n); /* NOLINT */
		return ok;
	}
	pthread_mutex_lock(&lock);
	ok = ok && prepare();
	while (ok && n) {
		size_t part = n < ROOM ? n : ROOM;

		ok = pwrite(file, (const void *)user, part, 0) == (ssize_t)part; /* NOLINT */
		if (ok)
			memcpy(to, room, part);
		to = (uint8_t *)to + part;
		user += part;
		n -= part;
	}
	pthread_mutex_unlock(&lock);
	return ok;
}

bool vip_touch_write(uintptr_t user, const void *from, size_t n, enum vip_look look, bool foreign)
{
	bool ok = still_locked(user, n, look);

	if (!foreign) {
		if (ok)
			memcpy((void *)user, from, n); /* NOLINT */
		return ok;
	}
	pthread_mutex_lock(&lock);
	ok = ok && prepare();
	while (ok && n) {
		size_t part = n < ROOM ? n : ROOM;

		memcpy(room, from, part);
		ok = pread(file, (void *)user, part, 0) == (ssize_t)part; /* NOLINT */
		from = (const uint8_t *)from + part;
		user += part;
		n -= part;
	}
	pthread_mutex_unlock(&lock);
	return ok;
}
