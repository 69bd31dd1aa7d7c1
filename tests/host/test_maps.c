/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_maps.c - what memory is, told from real memory of every kind.
 */
#include "tests/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kagent/host/maps.h"

#define TMPFS_MAGIC 0x01021994

static uint32_t device_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return major(st.st_dev) << 20 | minor(st.st_dev);
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/* A segment that goes with its last attachment. */
static int segment(size_t bytes, void *where, int flags, char **p)
{
	int id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600 | flags);

	assert_true(id >= 0);
	*p = shmat(id, where, where != NULL ? SHM_REMAP : 0);
	assert_ptr_not_equal(*p, (void *)-1);
	assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
	return id;
}

/* All of private memory looks the same but for can_shrink. */
static void is_private(const void *p, size_t bytes, bool writable, bool can_shrink)
{
	struct lmm_run r = look_one(p, bytes);

	assert_int_equal(r.kind, LMM_PRIVATE);
	assert_int_equal(r.writable, writable);
	assert_int_equal(r.can_shrink, can_shrink);
	assert_int_equal(r.object, 0);
	assert_int_equal(r.dev, 0);
	assert_int_equal(r.object_bytes, 0);
	assert_int_equal(r.seg_start, 0);
}

static void *page_of(const void *p)
{
	return (void *)(uintptr_t)(at(p) & ~(PAGE - 1));
}

static void test_private(void **state)
{
	char *p = map(4 * PAGE, RW, MAP_PRIVATE, -1), *heap = sbrk(2 * PAGE);
	int fd = file_in("/tmp", 4 * PAGE), zero = open("/dev/zero", O_RDWR), mem = memfd_of(4 * PAGE, 0);

	(void)state;
	is_private(p, 4 * PAGE, true, false);
	is_private(p + PAGE, PAGE, true, false);
	assert_int_equal(mprotect(p + PAGE, PAGE, PROT_READ), 0);
	is_private(p + PAGE, PAGE, false, false);
	is_private(p, 4 * PAGE, false, false); /* three mappings, one run */
	assert_ptr_not_equal(heap, (void *)-1);
	is_private(page_of(heap + PAGE), PAGE, true, false);
	is_private(page_of(state), PAGE, true, false); /* the stack */
	is_private(map(4 * PAGE, RW, MAP_PRIVATE, fd), 4 * PAGE, true, true);
	is_private(map(4 * PAGE, PROT_READ, MAP_PRIVATE, fd), 4 * PAGE, false, true);
	is_private(map(4 * PAGE, RW, MAP_PRIVATE, mem), 4 * PAGE, true, true);
	is_private(page_of((void *)(uintptr_t)&test_private), PAGE, false, true); /* the program's own file */
	if (zero >= 0)
		is_private(map(4 * PAGE, RW, MAP_PRIVATE, zero), 4 * PAGE, true, false);
	close(fd);
	close(zero);
	close(mem);
}

static void test_transparent_huge(void **state)
{
	char *p = map(3 * HUGE, RW, MAP_PRIVATE, -1);

	(void)state;
	madvise(p, 3 * HUGE, MADV_HUGEPAGE);
	memset(p, 1, 3 * HUGE);
	is_private(p + PAGE, 3 * HUGE - 2 * PAGE, true, false);
	munmap(p, 3 * HUGE);
}

static void is_segment(const void *p, size_t bytes, int id, const void *start, size_t whole)
{
	struct lmm_run r = look_one(p, bytes);

	assert_int_equal(r.kind, LMM_SYSV);
	assert_int_equal(r.object, id);
	assert_int_equal(r.dev, 0);
	assert_int_equal(r.offset, at(p) - at(start));
	assert_int_equal(r.object_bytes, whole);
	assert_int_equal(r.seg_start, at(start));
	assert_int_equal(r.seg_end, at(start) + whole);
	assert_false(r.can_shrink);
}

static void test_sysv(void **state)
{
	char *p, *again, *rooms = room(16 * PAGE);
	int id = segment(8 * PAGE - 100, NULL, 0, &p);

	(void)state;
	is_segment(p, 8 * PAGE, id, p, 8 * PAGE);
	is_segment(p + 3 * PAGE, 2 * PAGE, id, p, 8 * PAGE);
	/* locks and protections of parts do not change what the attachment is */
	assert_int_equal(mlock(p + 2 * PAGE, PAGE), 0);
	assert_int_equal(mprotect(p + 4 * PAGE, PAGE, PROT_READ), 0);
	assert_int_equal(mprotect(p + 7 * PAGE, PAGE, PROT_NONE), 0);
	is_segment(p, 2 * PAGE, id, p, 8 * PAGE);
	is_segment(p + 5 * PAGE, 2 * PAGE, id, p, 8 * PAGE);
	is_segment(p, 7 * PAGE, id, p, 8 * PAGE);
	assert_false(runs[0].writable);
	is_segment(p + 5 * PAGE, PAGE, id, p, 8 * PAGE);
	assert_true(runs[0].writable);
	refused(0, p, 8 * PAGE, -EINVAL, "may not be read", p + 7 * PAGE);
	/* two attachments side by side are two */
	again = shmat(id, rooms, SHM_REMAP);
	assert_ptr_equal(again, rooms);
	assert_ptr_equal(shmat(id, rooms + 8 * PAGE, SHM_REMAP), rooms + 8 * PAGE);
	assert_int_equal(look(0, again, 16 * PAGE), 2);
	assert_int_equal(runs[0].object, runs[1].object);
	assert_int_equal(runs[0].seg_end, runs[1].seg_start);
	assert_int_equal(runs[1].offset, 0);
	/* a piece of an attachment that has lost its middle */
	munmap(again + 3 * PAGE, PAGE);
	assert_int_equal(look(0, again + PAGE, PAGE), 1);
	assert_int_equal(runs[0].seg_start, at(again));
	assert_int_equal(runs[0].seg_end, at(again) + 3 * PAGE);
	refused(0, again, 8 * PAGE, -EINVAL, "nothing is mapped", again + 3 * PAGE);
	shmdt(p);
	munmap(rooms, 16 * PAGE);
}

static struct lmm_run is_object(const void *p, size_t bytes, enum lmm_kind kind, int fd, bool can_shrink)
{
	struct lmm_run r = look_one(p, bytes);

	assert_int_equal(r.kind, kind);
	assert_int_equal(r.seg_start, at(p));
	assert_int_equal(r.seg_end, at(p) + bytes);
	assert_int_equal(r.can_shrink, can_shrink);
	if (fd >= 0) {
		assert_int_equal(r.object, inode_of(fd));
		assert_int_equal(r.dev, device_of(fd));
	}
	return r;
}

static void test_shmem(void **state)
{
	int mem = memfd_of(8 * PAGE, 0), zero = open("/dev/zero", O_RDWR), posix, gone;
	char *p = map(8 * PAGE, RW, MAP_SHARED, mem), *q;
	char name[32];

	(void)state;
	is_object(p, 8 * PAGE, LMM_SHMEM, mem, true);
	/* the second half, mapped alone, is another attachment of the same object */
	q = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, mem, 4 * PAGE);
	assert_ptr_not_equal(q, MAP_FAILED);
	assert_int_equal(is_object(q, 4 * PAGE, LMM_SHMEM, mem, true).offset, 4 * PAGE);
	assert_int_equal(runs[0].object_bytes, 8 * PAGE);
	assert_false(runs[0].writable);
	assert_int_equal(mlock(p + PAGE, 2 * PAGE), 0);
	assert_int_equal(look_one(p + 2 * PAGE, PAGE).seg_end, at(p) + 8 * PAGE);

	is_object(map(2 * PAGE, RW, MAP_SHARED, -1), 2 * PAGE, LMM_SHMEM, -1, false);
	if (zero >= 0)
		is_object(map(2 * PAGE, RW, MAP_SHARED, zero), 2 * PAGE, LMM_SHMEM, -1, false);

	snprintf(name, sizeof(name), "/lmm-test-%d", (int)getpid());
	posix = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
	assert_true(posix >= 0);
	assert_int_equal(ftruncate(posix, 8 * PAGE), 0);
	q = map(4 * PAGE, RW, MAP_SHARED, posix);
	/* while it has a name, its size is known, not just how much is mapped */
	assert_int_equal(is_object(q, 4 * PAGE, LMM_SHMEM, posix, true).object_bytes, 8 * PAGE);
	shm_unlink(name);
	assert_int_equal(is_object(q, 4 * PAGE, LMM_SHMEM, posix, true).object_bytes, 4 * PAGE);
	gone = file_in("/dev/shm", 2 * PAGE);
	is_object(map(2 * PAGE, RW, MAP_SHARED, gone), 2 * PAGE, LMM_SHMEM, gone, true);
	close(mem);
	close(zero);
	close(posix);
	close(gone);
}

static void test_file(void **state)
{
	int fd = file_in("/tmp", 8 * PAGE);
	struct statfs fs;

	(void)state;
	assert_int_equal(fstatfs(fd, &fs), 0);
	if (fs.f_type == TMPFS_MAGIC) {
		close(fd);
		skip_because("/tmp is no file system on a disk");
	}
	is_object(map(8 * PAGE, RW, MAP_SHARED, fd), 8 * PAGE, LMM_FILE, fd, true);
	is_object(map(8 * PAGE, PROT_READ, MAP_SHARED, fd), 8 * PAGE, LMM_FILE, fd, true);
	close(fd);
}

static void test_huge(void **state)
{
	char *p;
	int fd, id;

	(void)state;
	need_huge(6);
	is_private(map(2 * HUGE, RW, MAP_PRIVATE | MAP_HUGETLB, -1), 2 * HUGE, true, false);
	is_object(map(HUGE, RW, MAP_SHARED | MAP_HUGETLB, -1), HUGE, LMM_SHMEM, -1, false);
	fd = memfd_of(2 * HUGE, MFD_HUGETLB);
	p = map(2 * HUGE, RW, MAP_SHARED, fd);
	is_object(p, 2 * HUGE, LMM_SHMEM, fd, true);
	assert_int_equal(look_one(p + 3 * PAGE, PAGE).offset, 3 * PAGE);
	close(fd);
	id = segment(HUGE, NULL, SHM_HUGETLB, &p);
	is_segment(p, HUGE, id, p, HUGE);
	shmdt(p);
}

static void test_mixed(void **state)
{
	char *p = room(20 * PAGE), *seg;
	int mem = memfd_of(4 * PAGE, 0), fd = file_in("/tmp", 4 * PAGE), id;

	(void)state;
	/* 0-3 private, 4-7 segment, 8-9 private, 10-13 memfd, 14-17 private file, 18-19 private */
	assert_int_equal(mprotect(p, 20 * PAGE, RW), 0);
	id = segment(4 * PAGE, p + 4 * PAGE, 0, &seg);
	assert_ptr_equal(mmap(p + 10 * PAGE, 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, mem, 0), p + 10 * PAGE);
	assert_ptr_equal(mmap(p + 14 * PAGE, 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0), p + 14 * PAGE);
	assert_int_equal(look(0, p, 20 * PAGE), 5);
	assert_int_equal(runs[0].end, at(p) + 4 * PAGE);
	assert_int_equal(runs[1].kind, LMM_SYSV);
	assert_int_equal(runs[1].object, id);
	assert_int_equal(runs[2].kind, LMM_PRIVATE);
	assert_int_equal(runs[3].kind, LMM_SHMEM);
	assert_int_equal(runs[3].start, at(p) + 10 * PAGE);
	assert_int_equal(runs[4].kind, LMM_PRIVATE);
	assert_int_equal(runs[4].end, at(p) + 20 * PAGE);
	assert_true(runs[4].can_shrink);
	assert_false(runs[0].can_shrink);
	/* the middle of it, with parts locked */
	assert_int_equal(mlock(p + 3 * PAGE, 2 * PAGE), 0);
	assert_int_equal(mlock(p + 11 * PAGE, PAGE), 0);
	assert_int_equal(look(0, p + 2 * PAGE, 10 * PAGE), 4);
	assert_int_equal(runs[1].seg_start, at(seg));
	assert_int_equal(runs[1].seg_end, at(seg) + 4 * PAGE);
	assert_int_equal(runs[3].end, at(p) + 12 * PAGE);
	assert_int_equal(runs[3].seg_end, at(p) + 14 * PAGE);
	munmap(p, 20 * PAGE);
	close(mem);
	close(fd);
}

/* More pieces than there is room for: a page of one memfd and of another, in turn. */
static void test_many(void **state)
{
	int mem[2] = {memfd_of(PAGE, 0), memfd_of(PAGE, 0)};
	size_t n = LMM_MAX_RUNS + 1, i;
	char *p = room(n * PAGE);

	(void)state;
	for (i = 0; i < n; i++)
		assert_ptr_equal(mmap(p + i * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, mem[i % 2], 0),
				 p + i * PAGE);
	assert_int_equal(look(0, p, (n - 1) * PAGE), LMM_MAX_RUNS);
	refused(0, p, n * PAGE, -E2BIG, "in parts", p + (n - 1) * PAGE);
	munmap(p, n * PAGE);
	close(mem[0]);
	close(mem[1]);
}

/* A process that has memory at @p and waits to be killed. */
static pid_t child_with(void *p, size_t bytes, int flags)
{
	int go[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(go), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (flags != 0 &&
		    (unshare(flags) != 0 || shmat(shmget(IPC_PRIVATE, bytes, 0600), p, SHM_REMAP) != p))
			_exit(1);
		if (write(go[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(go[1]);
	c = 0;
	if (read(go[0], &c, 1) != 1)
		pid = -1;
	close(go[0]);
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_other_process(void **state)
{
	char *p = room(8 * PAGE), *seg;
	int id;
	pid_t pid;

	(void)state;
	assert_int_equal(mprotect(p, 4 * PAGE, RW), 0);
	id = segment(4 * PAGE, p + 4 * PAGE, 0, &seg);
	pid = child_with(NULL, 0, 0);
	assert_true(pid > 0);
	munmap(p, 8 * PAGE); /* here, and not there */
	assert_int_equal(look(pid, p, 8 * PAGE), 2);
	assert_int_equal(runs[0].kind, LMM_PRIVATE);
	assert_int_equal(runs[1].kind, LMM_SYSV);
	assert_int_equal(runs[1].object, id);
	assert_int_equal(runs[1].object_bytes, 4 * PAGE);
	refused(0, p, 8 * PAGE, -EINVAL, "nothing is mapped", p);
	end_child(pid);
}

/* A segment of another IPC namespace has a number that means another one here, or none. */
static void test_other_namespace(void **state)
{
	char *p = room(4 * PAGE);
	pid_t pid;

	(void)state;
	pid = child_with(p, 4 * PAGE, CLONE_NEWIPC);
	if (pid < 0)
		skip_because("no IPC namespace can be made");
	assert_int_equal(look(pid, p, 4 * PAGE), 1);
	end_child(pid);
	assert_int_equal(runs[0].kind, LMM_SHMEM);
	assert_int_not_equal(runs[0].dev, 0);
	assert_int_equal(runs[0].object_bytes, 4 * PAGE);
	assert_false(runs[0].can_shrink);
	munmap(p, 4 * PAGE);
}

/* What was opened is of a program; neither the next one nor nothing is mistaken for it. */
static void test_gone(void **state)
{
	char *p = map(PAGE, RW, MAP_PRIVATE, -1);
	struct maps m, t;
	int go[2];
	pid_t pid;
	char c;

	(void)state;
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (read(go[0], &c, 1) == 1)
			execl("/bin/sleep", "sleep", "60", NULL);
		_exit(1);
	}
	assert_int_equal(maps_open(&m, pid), 0);
	assert_int_equal(maps_open(&t, pid), 0);
	t.text = true;
	assert_int_equal(maps_resolve(&m, at(p), at(p) + PAGE, runs, 1, text), 1);
	assert_int_equal(maps_resolve(&t, at(p), at(p) + PAGE, runs, 1, text), 1);
	assert_int_equal(write(go[1], "x", 1), 1);
	close(go[0]);
	close(go[1]);
	while (maps_resolve(&m, at(p), at(p) + PAGE, runs, 1, text) == 1)
		usleep(1000);
	assert_int_equal(maps_resolve(&m, at(p), at(p) + PAGE, runs, 1, text), -ESRCH);
	assert_non_null(strstr(text, "has ended, or executes another program"));
	assert_int_equal(maps_resolve(&t, at(p), at(p) + PAGE, runs, 1, text), -ESRCH);
	assert_int_equal(kill(pid, 0), 0); /* the process is there */
	end_child(pid);
	assert_int_equal(maps_resolve(&m, at(p), at(p) + PAGE, runs, 1, text), -ESRCH);
	assert_int_equal(maps_resolve(&t, at(p), at(p) + PAGE, runs, 1, text), -ESRCH);
	maps_close(&m);
	maps_close(&t);
	assert_int_equal(maps_open(&m, pid), -ENOENT);
	maps_close(&m);
	munmap(p, PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private),	      cmocka_unit_test(test_transparent_huge),
		cmocka_unit_test(test_sysv),	      cmocka_unit_test(test_shmem),
		cmocka_unit_test(test_file),	      cmocka_unit_test_teardown(test_huge, huge_teardown),
		cmocka_unit_test(test_mixed),	      cmocka_unit_test(test_many),
		cmocka_unit_test(test_other_process), cmocka_unit_test(test_other_namespace),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
