/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* frames.c - see frames.h. */
#include "tests/linux/frames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "tests/linux/vka.h"

#define FRAME_BITS  ((1ull << 55) - 1) /* of a word of pagemap */
#define PRESENT	    (1ull << 63)
#define SWAP_WANTED (64ul << 10) /* KiB */
#define CHUNK	    (8ul << 20)

static const struct {
	const char *name;
	bool shared, huge;
} kinds[FRAMES_KINDS] = {
	[FRAMES_PRIVATE] = {"private memory", false, false},
	[FRAMES_TRANSPARENT] = {"private memory in a transparent huge page", false, false},
	[FRAMES_SYSV] = {"System V segment", true, false},
	[FRAMES_MEMFD] = {"memfd", true, false},
	[FRAMES_TMPFS] = {"file on tmpfs", true, false},
	[FRAMES_HUGE_PRIVATE] = {"private huge page", false, true},
	[FRAMES_HUGE_SYSV] = {"System V segment of a huge page", true, true},
};

const char *frames_name(enum frames_kind kind)
{
	return kinds[kind].name;
}

bool frames_shared(enum frames_kind kind)
{
	return kinds[kind].shared;
}

bool frames_huge(enum frames_kind kind)
{
	return kinds[kind].huge;
}

static unsigned long meminfo(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			kib = strtoul(line + strlen(name), NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static void say_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void frames_huge_pages(bool wanted)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
	static char had[16];
	char text[64] = "", count[24], *from, *to;
	FILE *f;

	/* Half of what is free, so that the other half is soon too little. */
	snprintf(count, sizeof(count), "%lu", wanted ? meminfo("MemFree:") / 2 / (FRAMES_HUGE >> 10) : 0);
	say_to("/proc/sys/vm/nr_hugepages", count);
	if (!wanted) {
		say_to(path, had);
		return;
	}
	f = fopen(path, "re");
	vka_must(f && fgets(text, sizeof(text), f));
	fclose(f);
	from = strchr(text, '[');
	to = strchr(text, ']');
	vka_must(from && to && to - from <= (long)sizeof(had));
	memcpy(had, from + 1, (size_t)(to - from - 1));
	say_to(path, "madvise");
}

/* ---- memory ---- */

/* An address where a huge page would fit, and nothing is. */
static uint8_t *aligned(void)
{
	uint8_t *at = mmap(NULL, 2 * FRAMES_HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before = -(uintptr_t)at % FRAMES_HUGE;

	vka_must(at != MAP_FAILED);
	if (before)
		munmap(at, before);
	munmap(at + before + FRAMES_HUGE, FRAMES_HUGE - before);
	return at + before;
}

static bool made(struct frames_area *a, int flags)
{
	uint8_t *at = aligned();

	a->at = mmap(at, FRAMES_HUGE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, a->object, 0);
	if (a->at != MAP_FAILED)
		return true;
	a->at = NULL;
	munmap(at, FRAMES_HUGE);
	return false;
}

uint8_t *frames_attach(const struct frames_area *a)
{
	struct frames_area other = *a;
	uint8_t *at;

	if (a->kind != FRAMES_SYSV && a->kind != FRAMES_HUGE_SYSV)
		return made(&other, MAP_SHARED) ? other.at : NULL;
	at = shmat(a->object, aligned(), SHM_REMAP);
	return at == (void *)-1 ? NULL : at;
}

static bool segment(struct frames_area *a, int flags)
{
	a->object = shmget(IPC_PRIVATE, FRAMES_HUGE, 0600 | flags);
	if (a->object < 0)
		return false;
	a->at = frames_attach(a);
	shmctl(a->object, IPC_RMID, NULL);
	return a->at != NULL;
}

static bool file(struct frames_area *a)
{
	if (a->kind == FRAMES_MEMFD)
		a->object = memfd_create("frames", MFD_CLOEXEC);
	else
		a->object = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return a->object >= 0 && ftruncate(a->object, FRAMES_HUGE) == 0 && made(a, MAP_SHARED);
}

bool frames_make(struct frames_area *a, enum frames_kind kind)
{
	*a = (struct frames_area){.kind = kind, .object = -1};
	switch (kind) {
	case FRAMES_SYSV:
		return segment(a, 0);
	case FRAMES_HUGE_SYSV:
		return segment(a, SHM_HUGETLB);
	case FRAMES_MEMFD:
	case FRAMES_TMPFS:
		return file(a);
	case FRAMES_HUGE_PRIVATE:
		return made(a, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
	case FRAMES_TRANSPARENT:
		return made(a, MAP_PRIVATE | MAP_ANONYMOUS) &&
		       madvise(a->at, FRAMES_HUGE, MADV_HUGEPAGE) == 0;
	default:
		return made(a, MAP_PRIVATE | MAP_ANONYMOUS);
	}
}

void frames_free(struct frames_area *a)
{
	if (a->at && (a->kind == FRAMES_SYSV || a->kind == FRAMES_HUGE_SYSV))
		shmdt(a->at);
	else if (a->at)
		munmap(a->at, FRAMES_HUGE);
	if (a->kind == FRAMES_MEMFD || a->kind == FRAMES_TMPFS)
		close(a->object);
	a->at = NULL;
}

/* ---- frames ---- */

void frames_read(const uint8_t *at)
{
	size_t i;

	for (i = 0; i < FRAMES_PAGES; i++)
		(void)*(const volatile uint8_t *)(at + i * FRAMES_PAGE);
}

static void look(pid_t pid, const uint8_t *at, uint64_t *frame, size_t n)
{
	off_t from = (off_t)((uintptr_t)at / FRAMES_PAGE * sizeof(*frame));
	char path[64];
	size_t i;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	vka_must(fd >= 0);
	vka_must(pread(fd, frame, n * sizeof(*frame), from) == (ssize_t)(n * sizeof(*frame)));
	close(fd);
	for (i = 0; i < n; i++) {
		vka_must(!(frame[i] & PRESENT) || frame[i] & FRAME_BITS); /* root is shown it */
		frame[i] = frame[i] & PRESENT ? frame[i] & FRAME_BITS : 0;
	}
}

void frames_look(pid_t pid, const uint8_t *at, uint64_t frame[FRAMES_PAGES])
{
	look(pid, at, frame, FRAMES_PAGES);
}

static size_t moved(const uint64_t *was, const uint64_t *now, size_t n)
{
	size_t i, count = 0;

	for (i = 0; i < n; i++)
		count += was[i] != now[i];
	return count;
}

bool frames_there(const uint64_t frame[FRAMES_PAGES])
{
	static const uint64_t none[FRAMES_PAGES];

	return moved(none, frame, FRAMES_PAGES) == FRAMES_PAGES;
}

size_t frames_moved(const uint64_t was[FRAMES_PAGES], const uint64_t now[FRAMES_PAGES])
{
	return moved(was, now, FRAMES_PAGES);
}

/* ---- what makes a kernel change them ---- */

bool frames_can_swap(void)
{
	return meminfo("SwapFree:") > 2 * SWAP_WANTED;
}

void frames_pressure(void)
{
	unsigned long n, most = (meminfo("MemTotal:") + meminfo("SwapTotal:")) / (CHUNK >> 10);
	unsigned long until = meminfo("SwapFree:") - SWAP_WANTED;
	uint8_t **chunk = calloc(most, sizeof(*chunk));
	size_t at;

	vka_must(chunk);
	for (n = 0; n < most && meminfo("SwapFree:") > until; n++) {
		chunk[n] = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		vka_must(chunk[n] != MAP_FAILED);
		/* Pages of one word take nearly no memory when they are compressed. */
		for (at = 0; at < CHUNK; at += FRAMES_PAGE)
			*(uint64_t *)(void *)(chunk[n] + at) = n * CHUNK + at + 1;
	}
	while (n--)
		munmap(chunk[n], CHUNK);
	free(chunk);
}

void *frames_fragment(size_t bytes)
{
	uint8_t *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	vka_must(at != MAP_FAILED);
	memset(at, 1, bytes);
	for (i = 0; i < bytes; i += 2 * FRAMES_PAGE)
		vka_must(madvise(at + i, FRAMES_PAGE, MADV_DONTNEED) == 0);
	return at;
}

size_t frames_compact(void *fragments, size_t bytes)
{
	size_t n = bytes / FRAMES_PAGE, count;
	uint64_t *was = malloc(n * sizeof(*was)), *now = malloc(n * sizeof(*now));

	vka_must(was && now);
	look(getpid(), fragments, was, n);
	say_to("/proc/sys/vm/compact_memory", "1");
	look(getpid(), fragments, now, n);
	count = moved(was, now, n);
	free(was);
	free(now);
	return count;
}
