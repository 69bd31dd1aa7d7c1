/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hostmem.c - the memory that the agent makes for its clients, as memfds.
 *
 * Invariants: none can be shrunk, so that touching one never raises SIGBUS; a
 * TPT is written through the agent's mapping alone, for the seal allows no new
 * writable mapping and no write, and what clients get is opened read-only.
 */
#include "kagent/daemon/daemon.h"
#include "kagent/host/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Places in ka_nicmem.host and ka_region.host. */
enum { TPT_FD, WAKE_FD };
enum { REGION_FD };

void *ka_host_alloc(size_t bytes)
{
	return alloc_zeroed(bytes);
}

void ka_host_free(void *mem)
{
	free(mem);
}

uint32_t ka_host_random(void)
{
	uint32_t value = 0;

	/* Never fails for so few bytes once the system is up; a fixed value only makes stale handles
	 * likelier. */
	if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != sizeof(value))
		value = (uint32_t)getpid();
	return value;
}

/*
 * Make a memfd of @bytes, of which @mapped are mapped to @mem, and then seal it.
 * Returns the descriptor or negative errno.
 */
static int make(const char *name, size_t bytes, size_t mapped, int seals, void **mem)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) != 0)
		goto close_fd;
	*mem = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*mem == MAP_FAILED)
		goto close_fd;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | seals) == 0)
		return fd;
	err = -errno;
	munmap(*mem, mapped);
	close(fd);
	return err;

close_fd:
	err = -errno;
	close(fd);
	return err;
}

/* Another open file of @fd's memory, which can only be read. */
static int read_only(int fd)
{
	char path[32];
	int ro;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	return ro < 0 ? -errno : ro;
}

int ka_host_nic_create(struct ka_nicmem *mem)
{
	void *tpt = NULL, *wake = NULL;
	int tpt_fd, wake_fd, err;

	tpt_fd = make("vipl-tpt", KA_TPT_BYTES, KA_TPT_BYTES, F_SEAL_FUTURE_WRITE, &tpt);
	if (tpt_fd < 0)
		return tpt_fd;
	err = read_only(tpt_fd);
	close(tpt_fd);
	if (err < 0)
		goto unmap_tpt;
	tpt_fd = err;
	wake_fd = make("vipl-wake", KA_WAKE_BYTES, KA_WAKE_BYTES, 0, &wake);
	if (wake_fd < 0) {
		err = wake_fd;
		goto close_tpt;
	}
	mem->tpt = tpt;
	mem->wake = wake;
	mem->host[TPT_FD] = tpt_fd;
	mem->host[WAKE_FD] = wake_fd;
	return 0;

close_tpt:
	close(tpt_fd);
unmap_tpt:
	munmap(tpt, KA_TPT_BYTES);
	return err;
}

void ka_host_nic_destroy(struct ka_nicmem *mem)
{
	munmap(mem->tpt, KA_TPT_BYTES);
	munmap(mem->wake, KA_WAKE_BYTES);
	close((int)mem->host[TPT_FD]);
	close((int)mem->host[WAKE_FD]);
}

int nicmem_tpt_fd(const struct ka_nicmem *mem)
{
	return (int)mem->host[TPT_FD];
}

int nicmem_wake_fd(const struct ka_nicmem *mem)
{
	return (int)mem->host[WAKE_FD];
}

int ka_host_region_create(struct ka_region *region, const struct ka_end end[2])
{
	void *ctl = NULL;
	int fd = make("vipl-conn", KA_CONN_BYTES, KA_CONN_CTL_BYTES, 0, &ctl);

	(void)end; /* the NICs are in the processes */
	if (fd < 0)
		return fd;
	region->ctl = ctl;
	region->host[REGION_FD] = fd;
	return 0;
}

void ka_host_region_destroy(struct ka_region *region)
{
	region_forget_fd(region);
	munmap(region->ctl, KA_CONN_CTL_BYTES);
}

int region_fd(const struct ka_region *region)
{
	return (int)region->host[REGION_FD];
}

void region_forget_fd(struct ka_region *region)
{
	if (region->host[REGION_FD] >= 0)
		close((int)region->host[REGION_FD]);
	region->host[REGION_FD] = -1;
}

void ka_host_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
