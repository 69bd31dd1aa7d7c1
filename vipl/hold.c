/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hold.c - see hold.h.
 *
 * The level is found by trying: a page is locked, a page is pinned.  What a
 * container or a limit forbids shows as the error of the attempt, and that is
 * what vip_info tells.
 */
#include "vipl/hold.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kagent/host/limit.h"
#include "kagent/host/pages.h"
#include "vipl/env.h"
#include "vipl/internal.h"

#define PINS	 16384u	      /* the kernel's limit of buffers in one ring */
#define PIN_MOST (1ull << 30) /* and of bytes in a buffer */

static const char *const names[] = {"mapped", "locked", "pinned"};

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vipx_hold found;
static bool opened;
static bool ring_there;
static struct io_uring ring;
static uint64_t used[PINS / 64]; /* bit 0 of word 0: no slot, "none" */

static void *at(uint64_t addr)
{
	return (void *)(uintptr_t)addr; /* NOLINT(performance-no-int-to-ptr) */
}

static int pin_into(uint32_t slot, uint64_t start, uint64_t length)
{
	struct iovec iov = {at(start), length};
	__u64 tag = 0;
	int n = io_uring_register_buffers_update_tag(&ring, slot, &iov, &tag, 1);

	return n < 0 ? n : 0;
}

/* Both probes use one page of our own. */
static int try_lock(uint64_t page, uint64_t bytes)
{
	int err = pages_lock(page, bytes);

	if (!err)
		pages_unlock(page, bytes);
	return err;
}

static int try_pin(uint64_t page, uint64_t bytes)
{
	int err = io_uring_queue_init(1, &ring, 0);

	if (err)
		return err;
	io_uring_ring_dontfork(&ring);
	err = io_uring_register_buffers_sparse(&ring, PINS);
	if (!err)
		err = pin_into(0, page, bytes);
	if (err) {
		io_uring_queue_exit(&ring);
		return err;
	}
	pin_into(0, 0, 0);
	ring_there = true;
	return 0;
}

static int wanted(uint32_t *level)
{
	int choice = vip_env_choice(VIP_ENV_LOCK_LEVEL);
	char why[200];

	if (choice < 0) {
		vip_why("%s", vip_env_why(VIP_ENV_LOCK_LEVEL, why, sizeof(why)));
		return -EINVAL;
	}
	found.chosen = choice <= LMM_PINNED;
	*level = found.chosen ? (uint32_t)choice : LMM_PINNED;
	return 0;
}

/* The limit as a text can name it. */
static const char *limit_text(char *text, size_t n)
{
	uint64_t kib = limit_kib();

	if (kib == UINT64_MAX)
		snprintf(text, n, "RLIMIT_MEMLOCK is unlimited");
	else
		snprintf(text, n, "RLIMIT_MEMLOCK is %llu KiB: raise it with 'ulimit -l'",
			 (unsigned long long)kib);
	return text;
}

static void try_level(uint32_t level, uint64_t page, uint64_t bytes)
{
	size_t n = sizeof(found.level_why);
	char limit[80];
	int err;

	found.level = LMM_MAPPED;
	snprintf(found.level_why, n, "VIPL_LOCK_LEVEL asks for no more");
	if (level == LMM_MAPPED)
		return;
	err = try_lock(page, bytes);
	if (err) {
		snprintf(found.level_why, n, "mlock of one page: %s; %s", strerror(-err),
			 limit_text(limit, sizeof(limit)));
		return;
	}
	found.level = LMM_LOCKED;
	if (level == LMM_LOCKED)
		return;
	err = try_pin(page, bytes);
	if (!err) {
		found.level = LMM_PINNED;
		snprintf(found.level_why, n, "pinned by io_uring's registered buffers, and locked by mlock");
	} else if (err == -ENOMEM) {
		snprintf(found.level_why, n,
			 "locked by mlock; no pin by io_uring: %s; pins are charged apart from locks, and %s",
			 strerror(ENOMEM), limit_text(limit, sizeof(limit)));
	} else {
		snprintf(
			found.level_why, n,
			"locked by mlock; no pin by io_uring: %s; is kernel.io_uring_disabled set, or does a "
			"container forbid it?",
			strerror(-err));
	}
}

static int probe(uint32_t level)
{
	uint64_t bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED) {
		vip_why("no memory for a page: %s", strerror(errno));
		return -ENOMEM;
	}
	try_level(level, (uintptr_t)page, bytes);
	munmap(page, bytes);
	if (!found.chosen || found.level == level)
		return 0;
	vip_why("VIPL_LOCK_LEVEL=%s cannot be had (%s); unset it, or ask for %s", names[level],
		found.level_why, names[found.level]);
	if (ring_there)
		io_uring_queue_exit(&ring);
	ring_there = false;
	return -ENOTSUP;
}

int vip_hold_open(void)
{
	uint32_t level;
	int err = 0;

	pthread_mutex_lock(&open_lock);
	if (!opened) {
		err = wanted(&level);
		if (!err)
			err = probe(level);
		opened = !err;
		used[0] = 1;
	}
	pthread_mutex_unlock(&open_lock);
	return err;
}

/* The child has neither the parent's locks nor its pins; its descriptor of the ring would keep the pins. */
void vip_hold_forked(void)
{
	pthread_mutex_init(&open_lock, NULL);
	if (ring_there)
		close(ring.ring_fd);
	ring_there = opened = false;
	memset(used, 0, sizeof(used));
}

enum lmm_level vip_hold_level(void)
{
	return (enum lmm_level)found.level;
}

bool vip_hold_strict(void)
{
	return found.chosen;
}

void vip_hold_tell(struct vipx_hold *hold)
{
	hold->level = found.level;
	hold->chosen = found.chosen;
	memcpy(hold->level_why, found.level_why, sizeof(hold->level_why));
}

int vip_hold_lock(uint64_t start, uint64_t length)
{
	return found.level >= LMM_LOCKED ? pages_lock(start, length) : pages_populate(start, length);
}

int vip_hold_segment(uint64_t start, uint64_t length)
{
	return found.level >= LMM_LOCKED ? pages_lock_on_fault(start, length) : 0;
}

void vip_hold_unlock(uint64_t start, uint64_t length)
{
	if (found.level >= LMM_LOCKED)
		pages_unlock(start, length);
}

int vip_hold_pin(uint64_t start, uint64_t length, uint16_t *slot)
{
	uint32_t i, n;
	int err;

	if (length > PIN_MOST)
		return -EFBIG;
	for (i = 0; i < PINS / 64 && !~used[i]; i++)
		;
	if (i == PINS / 64)
		return -ENOSPC;
	n = i * 64 + (uint32_t)__builtin_ctzll(~used[i]);
	err = pin_into(n, start, length);
	if (err)
		return err;
	used[i] |= 1ull << n % 64;
	*slot = (uint16_t)n;
	return 0;
}

void vip_hold_unpin(uint16_t slot)
{
	if (!slot || !ring_there)
		return;
	pin_into(slot, 0, 0);
	used[slot / 64] &= ~(1ull << slot % 64);
}
