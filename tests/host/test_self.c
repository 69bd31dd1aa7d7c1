/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_self.c - liblmm with the real mlock: what is locked is read from the
 * kernel, in sum (VmLck) and page by page (/proc/self/smaps), never from the
 * manager alone.
 */
#include "tests/host/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cap-ng.h>

#include "lmm_self.h"

/* In a child, where cmocka's assertions would go on with the parent's tests. */
#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			_exit(1);                                                  \
		}                                                                  \
	} while (0)

static struct lmm *lmm;

static int setup(void **state)
{
	(void)state;
	return lmm_self_open(LMM_LOCKED, &lmm);
}

static int teardown(void **state)
{
	(void)state;
	lmm_self_close(lmm);
	lmm = NULL;
	return 0;
}

static unsigned long vm_lck_kib(void)
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
 * Which of the @n pages from @p on are locked: a digit each, '1' for a mapping
 * with the flag "lo".
 */
static const char *locked_pages(const char *p, size_t n)
{
	static char map_of[64];
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long long start = 0, end = 0, a, b;
	char line[512];
	size_t i;

	memset(map_of, '0', n);
	map_of[n] = '\0';
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%llx-%llx ", &a, &b) == 2) {
			start = a;
			end = b;
		}
		if (strncmp(line, "VmFlags:", 8) != 0 || strstr(line, " lo") == NULL)
			continue;
		for (i = 0; i < n; i++)
			if (at(p) + i * PAGE >= start && at(p) + i * PAGE < end)
				map_of[i] = '1';
	}
	if (f != NULL)
		fclose(f);
	return map_of;
}

static lmm_handle lock_as(const void *p, size_t bytes, enum lmm_level level, int verdict)
{
	lmm_handle h = 0;
	int got = lmm_lock_area(lmm, at(p), bytes, level, &h, text);

	if (got < 0)
		print_error("refused: %s / %s\n", text, lmm_self_why());
	assert_int_equal(got, verdict);
	assert_string_equal(lmm_self_why(), "");
	return h;
}

static lmm_handle lock(const void *p, size_t bytes, int verdict)
{
	return lock_as(p, bytes, LMM_LOCKED, verdict);
}

static char *segment(size_t bytes, void *where)
{
	int id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600);
	char *p = shmat(id, where, where != NULL ? SHM_REMAP : 0);

	assert_ptr_not_equal(p, (void *)-1);
	shmctl(id, IPC_RMID, NULL);
	return p;
}

static void test_private(void **state)
{
	char *p = map(10 * PAGE, RW, MAP_PRIVATE, -1);
	unsigned long before = vm_lck_kib();
	lmm_handle low, high, same;

	(void)state;
	assert_string_equal(locked_pages(p, 10), "0000000000");
	low = lock(p + 1, 6 * PAGE - 2, LMM_MLOCK_NOP); /* pages 0-5 */
	assert_string_equal(locked_pages(p, 10), "1111110000");
	high = lock(p + 4 * PAGE, 4 * PAGE, LMM_MLOCK_NOP);
	same = lock(p + 4 * PAGE, PAGE, LMM_MLOCK_NOP);
	assert_string_equal(locked_pages(p, 10), "1111111100");
	assert_int_equal(vm_lck_kib() - before, 32);
	assert_int_equal(lmm_unlock_area(lmm, low), LMM_MLOCK_UNLOCK);
	assert_string_equal(locked_pages(p, 10), "0000111100");
	assert_int_equal(lmm_unlock_area(lmm, same), LMM_MLOCK_NOP);
	assert_string_equal(locked_pages(p, 10), "0000111100");
	assert_int_equal(lmm_unlock_area(lmm, same), -EINVAL);
	assert_int_equal(lmm_unlock_area(lmm, high), LMM_MLOCK_UNLOCK);
	assert_string_equal(locked_pages(p, 10), "0000000000");
	assert_int_equal(vm_lck_kib(), before);
	munmap(p, 10 * PAGE);
}

static void test_segment(void **state)
{
	char *p = segment(8 * PAGE, NULL);
	unsigned long before = vm_lck_kib();
	lmm_handle a, b;

	(void)state;
	a = lock(p + 2 * PAGE, PAGE, LMM_MLOCK_LOCK);
	assert_string_equal(locked_pages(p, 8), "11111111");
	b = lock(p + 6 * PAGE, PAGE, LMM_MLOCK_NOP);
	assert_int_equal(lmm_unlock_area(lmm, a), LMM_MLOCK_NOP);
	assert_string_equal(locked_pages(p, 8), "11111111");
	assert_int_equal(lmm_unlock_area(lmm, b), LMM_MLOCK_UNLOCK);
	assert_string_equal(locked_pages(p, 8), "00000000");
	assert_int_equal(vm_lck_kib(), before);
	shmdt(p);
}

/* Private memory, a memfd and a segment in one area. */
static void test_mixed(void **state)
{
	int fd = memfd_of(4 * PAGE, 0);
	unsigned long before = vm_lck_kib();
	char *p = map(12 * PAGE, RW, MAP_PRIVATE, -1);
	struct lmm_area_info info;
	lmm_handle all, part;

	(void)state;
	segment(4 * PAGE, p + 4 * PAGE);
	assert_ptr_equal(mmap(p + 8 * PAGE, 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0), p + 8 * PAGE);
	close(fd);
	all = lock(p + 3 * PAGE, 6 * PAGE, LMM_MLOCK_LOCK);
	assert_string_equal(locked_pages(p, 12), "000111111111");
	assert_int_equal(lmm_get_area(lmm, all, &info), 0);
	assert_int_equal(info.nruns, 3);
	assert_int_equal(info.first.kind, LMM_MIXED);
	assert_true(info.can_shrink);
	part = lock(p + 7 * PAGE, PAGE, LMM_MLOCK_NOP);
	assert_int_equal(lmm_unlock_area(lmm, all), LMM_MLOCK_UNLOCK);
	assert_string_equal(locked_pages(p, 12), "000011110000");
	assert_int_equal(lmm_unlock_area(lmm, part), LMM_MLOCK_UNLOCK);
	assert_int_equal(vm_lck_kib(), before);
	munmap(p, 12 * PAGE);
}

static void test_refused(void **state)
{
	char *p = map(8 * PAGE, RW, MAP_PRIVATE, -1);
	unsigned long before = vm_lck_kib();
	lmm_handle h, kept;

	(void)state;
	munmap(p + 4 * PAGE, PAGE);
	kept = lock(p + 2 * PAGE, PAGE, LMM_MLOCK_NOP);
	assert_int_equal(lmm_lock_area(lmm, at(p), 8 * PAGE, LMM_LOCKED, &h, text), -EINVAL);
	assert_non_null(strstr(lmm_self_why(), "nothing is mapped"));
	assert_string_equal(locked_pages(p, 8), "00100000");
	/* memory that mlock takes, and the manager does not */
	assert_int_equal(lmm_lock_area(lmm, getauxval(AT_SYSINFO_EHDR), PAGE, LMM_LOCKED, &h, text), -EINVAL);
	assert_non_null(strstr(text, "to the kernel"));
	assert_string_equal(lmm_self_why(), "");
	assert_int_equal(lmm_unlock_area(lmm, kept), LMM_MLOCK_UNLOCK);
	assert_int_equal(vm_lck_kib(), before);
	munmap(p, 8 * PAGE);
}

/* Frames are known to those with CAP_SYS_ADMIN; blocks and pages then agree. */
static void test_frames(void **state)
{
	char *p = map(6 * PAGE, RW, MAP_PRIVATE, -1);
	lmm_handle h = lock(p, 6 * PAGE, LMM_MLOCK_NOP);
	struct lmm_block blocks[6];
	struct lmm_page pages[6];
	uint64_t i, j = 0;
	int n;

	(void)state;
	assert_int_equal(lmm_get_pages(lmm, h, 0, pages, 6), 6);
	n = lmm_get_blocks(lmm, h, 0, blocks, 6);
	assert_true(n >= 1);
	for (i = 0; i < 6; i++) {
		if (pages[i].addr == blocks[j].addr + blocks[j].length)
			j++;
		assert_true(j < (uint64_t)n);
		if (blocks[j].frame != 0)
			assert_int_equal(pages[i].frame,
					 blocks[j].frame + (pages[i].addr - blocks[j].addr) / PAGE);
	}
	assert_int_equal(j, n - 1);
	lmm_unlock_area(lmm, h);
	munmap(p, 6 * PAGE);
	if (pages[0].frame == 0)
		skip_because("the kernel shows page frames to CAP_SYS_ADMIN alone");
}

static void test_one_manager(void **state)
{
	struct lmm *other = NULL;

	(void)state;
	assert_int_equal(lmm_self_open(LMM_LOCKED, &other), -EBUSY);
	assert_int_equal(lmm_self_open(LMM_PINNED, &other), -EINVAL);
	assert_null(other);
}

/* Closing unlocks what areas are left. */
static void test_close(void **state)
{
	char *p = map(4 * PAGE, RW, MAP_PRIVATE, -1), *s = segment(4 * PAGE, NULL);
	unsigned long before = vm_lck_kib();

	lock(p, 2 * PAGE, LMM_MLOCK_NOP);
	lock(p + PAGE, 3 * PAGE, LMM_MLOCK_NOP);
	lock(s, PAGE, LMM_MLOCK_LOCK);
	assert_int_equal(vm_lck_kib() - before, 32);
	teardown(state);
	assert_int_equal(vm_lck_kib(), before);
	assert_int_equal(setup(state), 0);
	munmap(p, 4 * PAGE);
	shmdt(s);
}

/* LMM_MAPPED: pages are there, and nothing is locked. */
static void test_mapped(void **state)
{
	char *p = map(4 * PAGE, RW, MAP_PRIVATE, -1);
	unsigned long before = vm_lck_kib();
	unsigned char there[4] = {0};
	lmm_handle h;

	teardown(state);
	assert_int_equal(lmm_self_open(LMM_MAPPED, &lmm), 0);
	assert_int_equal(mprotect(p + 3 * PAGE, PAGE, PROT_READ), 0);
	assert_int_equal(mincore(p, 4 * PAGE, there), 0);
	assert_int_equal(there[1] & 1, 0);
	h = lock_as(p + PAGE, 3 * PAGE, LMM_MAPPED, LMM_MLOCK_NOP);
	assert_int_equal(mincore(p, 4 * PAGE, there), 0);
	assert_int_equal(there[0] & 1, 0);
	assert_int_equal(there[1] & there[2] & there[3] & 1, 1);
	assert_int_equal(vm_lck_kib(), before);
	assert_int_equal(lmm_unlock_area(lmm, h), LMM_MLOCK_UNLOCK);
	teardown(state);
	assert_int_equal(setup(state), 0);
	munmap(p, 4 * PAGE);
}

/* Run @body in a child, which must end with 0. */
static void in_child(void (*body)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void limited(void)
{
	struct rlimit limit = {64 << 10, 64 << 10};
	char *p = mmap(NULL, 32 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *s;
	lmm_handle a, b;
	int id;

	capng_clear(CAPNG_SELECT_BOTH);
	CHECK(capng_apply(CAPNG_SELECT_CAPS) == 0);
	CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	CHECK(lmm_self_open(LMM_LOCKED, &lmm) == 0);
	CHECK(lmm_lock_area(lmm, at(p), 8 * PAGE, LMM_LOCKED, &a, text) == LMM_MLOCK_NOP);
	CHECK(lmm_lock_area(lmm, at(p), 32 * PAGE, LMM_LOCKED, &b, text) == -ENOMEM);
	CHECK(strstr(lmm_self_why(), "RLIMIT_MEMLOCK of this process is 64 KiB, of which 32 KiB") != NULL);
	CHECK(strstr(lmm_self_why(), "ulimit -l") != NULL);
	CHECK(strcmp(locked_pages(p, 32), "11111111000000000000000000000000") == 0);
	/* a part of a segment fits, the whole does not: it is locked by itself, and keeps so */
	id = shmget(IPC_PRIVATE, 32 * PAGE, 0600);
	s = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	CHECK(lmm_lock_area(lmm, at(s) + PAGE, 2 * PAGE, LMM_LOCKED, &b, text) >= 0);
	CHECK(strstr(lmm_self_why(), "cannot lock 128 KiB: the locked-memory limit RLIMIT_MEMLOCK") != NULL);
	CHECK(strcmp(locked_pages(s, 8), "01100000") == 0);
	CHECK(lmm_unlock_area(lmm, b) == LMM_MLOCK_UNLOCK);
	CHECK(vm_lck_kib() == 32);
	CHECK(lmm_unlock_area(lmm, a) == LMM_MLOCK_UNLOCK);
	CHECK(vm_lck_kib() == 0);
	/* no limit at all to lock within */
	limit = (struct rlimit){0, 0};
	CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	CHECK(lmm_lock_area(lmm, at(p), PAGE, LMM_LOCKED, &a, text) == -EPERM);
	CHECK(strstr(lmm_self_why(), "RLIMIT_MEMLOCK of this process is 0 KiB") != NULL);
	lmm_self_close(lmm);
}

static void test_limit(void **state)
{
	in_child(limited);
	(void)state;
}

/* A file that ends before its mapping does: no limit is to blame. */
static void test_beyond_end(void **state)
{
	int fd = memfd_of(2 * PAGE, 0);
	char *p = map(4 * PAGE, RW, MAP_SHARED, fd);
	unsigned long before = vm_lck_kib();
	lmm_handle h;

	(void)state;
	assert_true(lmm_lock_area(lmm, at(p), 4 * PAGE, LMM_LOCKED, &h, text) < 0);
	assert_non_null(strstr(lmm_self_why(), "file"));
	assert_null(strstr(lmm_self_why(), "RLIMIT"));
	assert_int_equal(vm_lck_kib(), before);
	munmap(p, 4 * PAGE);
	close(fd);
}

static char *parents;

static void child_of_fork(void)
{
	struct lmm *inherited = lmm;
	lmm_handle h;

	CHECK(vm_lck_kib() == 0);
	CHECK(lmm_lock_area(inherited, at(parents), PAGE, LMM_LOCKED, &h, text) == -ESRCH);
	CHECK(strstr(lmm_self_why(), "of the parent") != NULL);
	CHECK(lmm_self_open(LMM_LOCKED, &lmm) == 0);
	CHECK(lmm_lock_area(lmm, at(parents), PAGE, LMM_LOCKED, &h, text) == LMM_MLOCK_NOP);
	/* the copy covers this page, too: closing it leaves our lock alone */
	lmm_self_close(inherited);
	CHECK(strcmp(locked_pages(parents, 4), "1000") == 0);
	lmm_self_close(lmm);
	CHECK(vm_lck_kib() == 0);
}

static void test_fork(void **state)
{
	lmm_handle h;

	(void)state;
	parents = map(4 * PAGE, RW, MAP_PRIVATE, -1);
	h = lock(parents, 3 * PAGE, LMM_MLOCK_NOP);
	in_child(child_of_fork);
	assert_string_equal(locked_pages(parents, 4), "1110");
	assert_int_equal(lmm_unlock_area(lmm, h), LMM_MLOCK_UNLOCK);
	munmap(parents, 4 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_private, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mixed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_manager, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mapped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_beyond_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
