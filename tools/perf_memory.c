/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_memory.c - memory of each kind.  A name that it needs for a moment is
 * removed at once, so that nothing is left however the program ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "tools/perf.h"

const char *const perf_kind_name[PERF_KINDS] = {"private", "segment", "memfd", "shm"};

static void *segment(size_t bytes, const char **what)
{
	int id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600);
	void *memory;

	*what = "shmget";
	if (id < 0)
		return NULL;
	*what = "shmat";
	memory = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	return memory == (void *)-1 ? NULL : memory; /* NOLINT(performance-no-int-to-ptr) */
}

/* A file that has just been made, mapped and closed. */
static void *mapped(int fd, bool seal, size_t bytes, const char **what)
{
	void *memory = MAP_FAILED;
	int error;

	/* not ftruncate: where there is no room for the pages it says so now, not by a signal later */
	*what = "fallocate";
	if (fallocate(fd, 0, 0, (off_t)bytes) == 0) {
		/* memory that cannot shrink under a reader need not be touched with care */
		*what = "fcntl(F_ADD_SEALS)";
		if (!seal || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0) {
			*what = "mmap";
			memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		}
	}
	error = errno;
	close(fd);
	errno = error;
	return memory == MAP_FAILED ? NULL : memory;
}

static void *memfd(size_t bytes, const char **what)
{
	int fd = memfd_create(PERF, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	*what = "memfd_create";
	return fd < 0 ? NULL : mapped(fd, true, bytes, what);
}

static void *posix_shm(size_t bytes, const char **what)
{
	char name[48];
	int fd;

	snprintf(name, sizeof(name), "/" PERF ".%d.%p", (int)getpid(), (void *)name);
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	*what = "shm_open";
	if (fd < 0)
		return NULL;
	shm_unlink(name);
	return mapped(fd, false, bytes, what);
}

void *perf_memory(enum perf_kind kind, size_t bytes, const char **what)
{
	void *memory;

	switch (kind) {
	case PERF_SEGMENT:
		memory = segment(bytes, what);
		break;
	case PERF_MEMFD:
		memory = memfd(bytes, what);
		break;
	case PERF_SHM:
		memory = posix_shm(bytes, what);
		break;
	default:
		*what = "mmap";
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			memory = NULL;
		break;
	}
	if (memory)
		memset(memory, 0, bytes);
	return memory;
}

void perf_memory_free(enum perf_kind kind, void *memory, size_t bytes)
{
	if (kind == PERF_SEGMENT)
		shmdt(memory);
	else
		munmap(memory, bytes);
}
