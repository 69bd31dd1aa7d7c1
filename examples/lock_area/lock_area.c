/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lock_area - the Locked Memory Manager at work, without VIA.
 *
 * Eighteen pages in a row, 0 to 9 private memory and 10 to 17 a System V
 * segment, and areas of them that are locked and unlocked.  After each step the
 * locked memory areas (LMAs) are shown: intervals of pages that equally many
 * areas cover.  mlock of Linux does not count: a page that was locked twice is
 * unlocked by one munlock.  The LMAs count for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include <lmm.h>
#include <lmm_self.h>

enum { PRIVATE_PAGES = 10, SEGMENT_PAGES = 8, PAGES = PRIVATE_PAGES + SEGMENT_PAGES };

static struct lmm *manager;
static uint64_t base; /* address of page 0 */
static uint64_t page; /* bytes */

static const char *const kinds[] = {"private", "System V", "shared", "file"};

static unsigned int page_number(uint64_t addr)
{
	return (unsigned int)((addr - base) / page);
}

/* What the kernel says is locked, in KiB. */
static unsigned long locked_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[128];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmLck: %lu", &kib) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kib;
}

/*
 * Private memory and then the segment, at addresses that follow each other.
 * The segment goes away with its last attachment, even when the program is killed.
 */
static int map_pages(void)
{
	int id = shmget(IPC_PRIVATE, SEGMENT_PAGES * page, IPC_CREAT | 0600), err;
	char *mem, *at = (char *)-1;

	if (id < 0)
		return -errno;
	mem = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem != MAP_FAILED)
		at = shmat(id, mem + PRIVATE_PAGES * page, SHM_REMAP);
	err = at == (char *)-1 ? -errno : 0;
	shmctl(id, IPC_RMID, NULL);
	base = (uintptr_t)mem;
	return err;
}

static void show_lma(void *arg, const struct lmm_lma *l)
{
	(void)arg;
	printf("    %2u-%-2u  %5u  %-8s  %s\n", page_number(l->start), page_number(l->end) - 1, l->count,
	       kinds[l->kind], l->physical ? "by itself" : "by the lock of the segment");
}

static void show_segment(void *arg, const struct lmm_segment *s)
{
	(void)arg;
	printf("    %2u-%-2u  %5u  segment   %s\n", page_number(s->start), page_number(s->end) - 1, s->count,
	       s->whole ? "locked as a whole" : "locked page by page");
}

static void show(void)
{
	struct lmm_counts c;

	lmm_get_counts(manager, &c);
	if (c.areas > 0) {
		printf("    pages  count  memory    locked\n");
		lmm_walk(manager, show_lma, show_segment, NULL);
	}
	printf("    the kernel has locked %lu KiB\n\n", locked_kib());
}

/* Lock pages @first to @last, or exit. */
static lmm_handle lock(unsigned int first, unsigned int last, const char *what)
{
	char text[LMM_TEXT];
	lmm_handle area;
	int verdict;

	printf("lock pages %u-%u: %s\n", first, last, what);
	verdict = lmm_lock_area(manager, base + first * page, (last - first + 1) * page, LMM_LOCKED, &area,
				text);
	if (verdict < 0) {
		fprintf(stderr, "lock_area: %s\n", *lmm_self_why() != '\0' ? lmm_self_why() : text);
		exit(1);
	}
	if (*lmm_self_why() != '\0')
		printf("    not the whole segment: %s\n", lmm_self_why());
	show();
	return area;
}

static void unlock(lmm_handle area, const char *what)
{
	int verdict = lmm_unlock_area(manager, area);

	printf("unlock %s: %s\n", what,
	       verdict == LMM_MLOCK_UNLOCK ? "some pages are covered no longer"
					   : "all its pages stay covered");
	show();
}

/* What a device would get: memory by address, object and, if we may know it, page frame. */
static void show_blocks(lmm_handle area)
{
	struct lmm_block blocks[PAGES];
	int n = lmm_get_blocks(manager, area, 0, blocks, PAGES), i;

	printf("its blocks, for a device's scatter/gather list:\n    pages  memory    object  offset  "
	       "frame\n");
	for (i = 0; i < n; i++) {
		printf("    %2u-%-2u  %-8s  ", page_number(blocks[i].addr),
		       page_number(blocks[i].addr + blocks[i].length) - 1, kinds[blocks[i].kind]);
		if (blocks[i].kind == LMM_PRIVATE)
			printf("%6s  %6s  ", "-", "-");
		else
			printf("%6llu  %6llu  ", (unsigned long long)blocks[i].object,
			       (unsigned long long)blocks[i].offset);
		if (blocks[i].frame == 0)
			printf("known to root alone\n");
		else
			printf("0x%llx\n", (unsigned long long)blocks[i].frame);
	}
	printf("\n");
}

static int usage(FILE *to)
{
	fprintf(to, "usage: lock_area [--help]\n"
		    "Lock and unlock overlapping areas of private memory and of a System V\n"
		    "segment, and show the locked memory areas after each step.\n"
		    "Exit status: 0 if nothing stays locked, 1 if something does or fails, 2 for\n"
		    "wrong arguments.\n");
	return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	lmm_handle low, high, segment, mixed;
	unsigned long before, after;
	int err;

	if (argc > 1)
		return usage(argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
	page = (uint64_t)sysconf(_SC_PAGESIZE);
	before = locked_kib();
	err = map_pages();
	if (err == 0)
		err = lmm_self_open(LMM_LOCKED, &manager);
	if (err != 0) {
		fprintf(stderr, "lock_area: %s\n", strerror(-err));
		return 1;
	}
	printf("pages %d-%d are private memory, %d-%d a System V segment\n\n", 0, PRIVATE_PAGES - 1,
	       PRIVATE_PAGES, PAGES - 1);
	low = lock(0, 5, "private memory");
	high = lock(4, 9, "overlaps the first area in pages 4-5");
	unlock(low, "the first area");
	segment = lock(11, 12, "the first area in the segment locks all of it");
	mixed = lock(8, 12, "private memory and the segment in one area");
	show_blocks(mixed);
	unlock(segment, "the area in the segment");
	unlock(mixed, "the mixed area");
	unlock(high, "the last area");
	lmm_self_close(manager);

	after = locked_kib();
	if (after != before)
		fprintf(stderr, "lock_area: %lu KiB were locked at the start, %lu are now\n", before, after);
	if (fflush(stdout) != 0) {
		perror("lock_area: standard output");
		return 1;
	}
	return after != before;
}
