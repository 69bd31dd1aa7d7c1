/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fuzz_area.c - see fuzz.h. */
#include "tests/linux/storm/fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#define AREA_PAGES 6u

static uint64_t canary(uintptr_t at)
{
	return at * 0x9e3779b97f4a7c15ull ^ 0xc5c5c5c5c5c5c5c5ull;
}

/* Memory of another kind each time; behind it a page that nobody may touch. */
static void map_kind(struct fuzz_area *a, uint32_t kind, size_t bytes)
{
	uint8_t *room = mmap(NULL, bytes + FUZZ_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int id, rw = PROT_READ | PROT_WRITE;

	vka_must(room != MAP_FAILED);
	a->fd = -1;
	a->bytes = bytes;
	switch (kind % 5) {
	case 0:
	case 1:
		a->base = mmap(room, bytes, rw, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		break;
	case 2:
	case 3:
		a->fd = memfd_create("fuzz", MFD_CLOEXEC);
		vka_must(a->fd >= 0 && ftruncate(a->fd, (off_t)bytes) == 0);
		a->base = mmap(room, bytes, rw, MAP_FIXED | (kind % 5 == 2 ? MAP_SHARED : MAP_PRIVATE), a->fd,
			       0);
		break;
	default:
		id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600);
		vka_must(id >= 0);
		a->base = shmat(id, room, SHM_REMAP);
		shmctl(id, IPC_RMID, NULL);
	}
	vka_must(a->base == room);
}

static void fill(const struct fuzz_area *a)
{
	uint8_t *p, *end = a->base + a->bytes;

	for (p = a->base; p < end; p += 8)
		*(uint64_t *)(void *)p = canary((uintptr_t)p);
}

void fuzz_make_areas(struct fuzz_life *l)
{
	uint32_t i;

	for (i = 0; i < FUZZ_FIXED; i++) {
		struct fuzz_area *a = &l->fixed[i];

		map_kind(a, i, AREA_PAGES * FUZZ_PAGE);
		a->at = a->base + FUZZ_PAGE + fuzz_below(l, FUZZ_PAGE);
		a->len = 1 + fuzz_below(l, (AREA_PAGES - 3) * FUZZ_PAGE - 1);
		fill(a);
	}
	for (i = 0; i < FUZZ_LOOSE; i++) {
		map_kind(&l->loose[i], i + fuzz_below(l, 2), AREA_PAGES * FUZZ_PAGE);
		l->loose[i].at = l->loose[i].base;
		l->loose[i].len = AREA_PAGES * FUZZ_PAGE;
	}
	l->edge = mmap(NULL, 2 * FUZZ_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	l->constant = mmap(NULL, FUZZ_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	vka_must(l->edge != MAP_FAILED && l->constant != MAP_FAILED);
	l->edge += FUZZ_PAGE;
	vka_must(mprotect(l->edge, FUZZ_PAGE, PROT_NONE) == 0);
}

/* The bytes at [@from, @to) are those that were put there. */
static void look(const struct fuzz_life *l, const uint8_t *from, const uint8_t *to)
{
	for (; from < to && (uintptr_t)from % 8; from++)
		if (*from != (uint8_t)(canary((uintptr_t)from & ~7ul) >> (uintptr_t)from % 8 * 8))
			fuzz_wrong(l, "a byte outside of a registered area has changed", (uintptr_t)from);
	for (; from + 8 <= to; from += 8)
		if (*(const uint64_t *)(const void *)from != canary((uintptr_t)from))
			fuzz_wrong(l, "a word outside of a registered area has changed", (uintptr_t)from);
	for (; from < to; from++)
		if (*from != (uint8_t)(canary((uintptr_t)from & ~7ul) >> (uintptr_t)from % 8 * 8))
			fuzz_wrong(l, "a byte outside of a registered area has changed", (uintptr_t)from);
}

void fuzz_look_around(struct fuzz_life *l)
{
	const struct fuzz_area *a;

	for (a = l->fixed; a < l->fixed + FUZZ_FIXED; a++) {
		look(l, a->base, a->at);
		look(l, a->at + a->len, a->base + a->bytes);
	}
	__atomic_add_fetch(&l->board->checked, 1, __ATOMIC_RELAXED);
}

/* No memory there any more; but nothing else of ours shall come to lie there, and be registered by mistake.
 */
static void take_away(uint8_t *at)
{
	munmap(at, FUZZ_PAGE);
	vka_must(mmap(at, FUZZ_PAGE, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == at);
}

/* Something happens to a loose area, registered or not. */
void fuzz_disturb(struct fuzz_life *l)
{
	struct fuzz_area *a = &l->loose[fuzz_below(l, FUZZ_LOOSE)];
	uint8_t *at = a->base + fuzz_below(l, AREA_PAGES) * FUZZ_PAGE;
	int rw = PROT_READ | PROT_WRITE;

	switch (fuzz_below(l, 9)) {
	case 0:
		take_away(at);
		break;
	case 1:
		madvise(at, FUZZ_PAGE, MADV_DONTNEED);
		break;
	case 2:
		mprotect(at, FUZZ_PAGE, fuzz_once_in(l, 2) ? PROT_READ : rw);
		break;
	case 3:
		if (a->fd >= 0)
			fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at - a->base, FUZZ_PAGE);
		break;
	case 4:
		if (a->fd >= 0 && ftruncate(a->fd, at - a->base) == 0)
			vka_must(ftruncate(a->fd, (off_t)a->bytes) == 0);
		break;
	case 5:
		madvise(at, FUZZ_PAGE, MADV_REMOVE);
		break;
	case 6:
		if (at != l->loose[0].base && mremap(at, FUZZ_PAGE, FUZZ_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
						     l->loose[0].base) != MAP_FAILED)
			take_away(at);
		break;
	default: /* as new */
		mmap(a->base, a->bytes, rw, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
}
