/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * host.c - see host.h.
 */
#include "tests/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kagent/host/maps.h"

#define HUGE_FILE "/proc/sys/vm/nr_hugepages"

struct lmm_run runs[LMM_MAX_RUNS];
char text[LMM_TEXT];

static long huge_before = -1;

/* Since 6.11 the first way must be the kernel's answers, or both would be the same. */
static bool kernel_answers(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	return major > 6 || (major == 6 && minor >= 11);
}

int look(pid_t pid, const void *p, size_t bytes)
{
	struct lmm_run again[LMM_MAX_RUNS];
	char other[LMM_TEXT];
	struct maps m;
	int n, n2, i;

	assert_int_equal(maps_open(&m, pid), 0);
	n = maps_resolve(&m, at(p), at(p) + bytes, runs, LMM_MAX_RUNS, text);
	if (kernel_answers())
		assert_false(m.text);
	m.text = true;
	n2 = maps_resolve(&m, at(p), at(p) + bytes, again, LMM_MAX_RUNS, other);
	maps_close(&m);
	assert_int_equal(n, n2);
	if (n < 0)
		assert_string_equal(text, other);
	for (i = 0; i < n; i++) {
		assert_int_equal(runs[i].start, again[i].start);
		assert_int_equal(runs[i].end, again[i].end);
		assert_int_equal(runs[i].kind, again[i].kind);
		assert_int_equal(runs[i].dev, again[i].dev);
		assert_int_equal(runs[i].object, again[i].object);
		assert_int_equal(runs[i].offset, again[i].offset);
		assert_int_equal(runs[i].object_bytes, again[i].object_bytes);
		assert_int_equal(runs[i].seg_start, again[i].seg_start);
		assert_int_equal(runs[i].seg_end, again[i].seg_end);
		assert_int_equal(runs[i].writable, again[i].writable);
		assert_int_equal(runs[i].can_shrink, again[i].can_shrink);
		/* what holds for every answer */
		assert_int_equal(runs[i].start, i == 0 ? at(p) : runs[i - 1].end);
		assert_true(runs[i].start < runs[i].end);
		if (runs[i].kind == LMM_PRIVATE) {
			assert_int_equal(runs[i].offset, runs[i].start);
			assert_int_equal(runs[i].seg_end, 0);
		} else {
			assert_true(runs[i].seg_start <= runs[i].start && runs[i].end <= runs[i].seg_end);
		}
	}
	if (n > 0)
		assert_int_equal(runs[n - 1].end, at(p) + bytes);
	return n;
}

struct lmm_run look_one(const void *p, size_t bytes)
{
	int n = look(0, p, bytes);

	if (n < 0)
		print_error("refused: %s\n", text);
	assert_int_equal(n, 1);
	return runs[0];
}

void refused(pid_t pid, const void *p, size_t bytes, int err, const char *word, const void *where)
{
	char address[24];

	snprintf(address, sizeof(address), "0x%" PRIx64, at(where));
	assert_int_equal(look(pid, p, bytes), err);
	if (strstr(text, word) == NULL || strstr(text, address) == NULL)
		fail_msg("'%s' and %s are not both in: %s", word, address, text);
}

void *map(size_t bytes, int prot, int flags, int fd)
{
	void *p = mmap(NULL, bytes, prot, flags | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

int memfd_of(size_t bytes, unsigned int flags)
{
	int fd = memfd_create("test", MFD_CLOEXEC | flags);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

int file_in(const char *dir, size_t bytes)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/lmm-test-XXXXXX", dir);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

char *room(size_t bytes)
{
	return map(bytes, PROT_NONE, MAP_PRIVATE, -1);
}

static long huge_pages(void)
{
	FILE *f = fopen(HUGE_FILE, "re");
	long n = -1;

	if (f == NULL)
		return -1;
	if (fscanf(f, "%ld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

static void set_huge_pages(long n)
{
	FILE *f = fopen(HUGE_FILE, "we");

	if (f == NULL)
		return;
	fprintf(f, "%ld\n", n);
	fclose(f);
}

void need_huge(unsigned int n)
{
	long have = huge_pages();
	void *p;

	if (have >= 0) {
		huge_before = have;
		set_huge_pages(have + (long)n);
	}
	p = mmap(NULL, n * HUGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (p == MAP_FAILED)
		skip_because("no %u huge pages of 2 MiB can be had (%s; " HUGE_FILE " is %ld)", n,
			     strerror(errno), huge_pages());
	munmap(p, n * HUGE);
}

int huge_teardown(void **state)
{
	(void)state;
	if (huge_before >= 0)
		set_huge_pages(huge_before);
	huge_before = -1;
	return 0;
}
