/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_refused.c - memory that is not there or that no device may reach is
 * refused, and the text says what, where and what to do.
 */
#include "tests/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kagent/host/maps.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static void test_hole(void **state)
{
	char *p = map(8 * PAGE, RW, MAP_PRIVATE, -1);
	void *high = (void *)(uintptr_t)UINT64_C(0xffffffffff600000);

	(void)state;
	munmap(p + 3 * PAGE, PAGE);
	refused(0, p, 8 * PAGE, -EINVAL, "nothing is mapped", p + 3 * PAGE);
	refused(0, p + 3 * PAGE, PAGE, -EINVAL, "map it first", p + 3 * PAGE);
	refused(0, p + 3 * PAGE, 2 * PAGE, -EINVAL, "nothing is mapped", p + 3 * PAGE);
	munmap(p + 7 * PAGE, PAGE);
	refused(0, p + 4 * PAGE, 4 * PAGE, -EINVAL, "nothing is mapped", p + 7 * PAGE);
	refused(0, NULL, PAGE, -EINVAL, "nothing is mapped", NULL);
	refused(0, high, PAGE, -EINVAL, "nothing is mapped", high); /* vsyscall */
	munmap(p, 8 * PAGE);
}

static void test_unreadable(void **state)
{
	char *p = map(4 * PAGE, RW, MAP_PRIVATE, -1), *q = map(2 * PAGE, PROT_NONE, MAP_SHARED, -1);

	(void)state;
	assert_int_equal(mprotect(p + 2 * PAGE, PAGE, PROT_NONE), 0);
	refused(0, p, 4 * PAGE, -EINVAL, "may not be read", p + 2 * PAGE);
	refused(0, q, PAGE, -EINVAL, "mprotect it first", q);
	munmap(p, 4 * PAGE);
	munmap(q, 2 * PAGE);
}

/* The kernel's own pages: [vvar], [vdso]. */
static void test_kernel_pages(void **state)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long long start;
	unsigned int n = 0;
	char line[512];

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strstr(line, "[vvar") == NULL && strstr(line, "[vdso") == NULL)
			continue;
		assert_int_equal(sscanf(line, "%llx-", &start), 1);
		refused(0, (void *)(uintptr_t)start, PAGE, -EINVAL, "to the kernel",
			(void *)(uintptr_t)start);
		n++;
	}
	fclose(f);
	assert_true(n >= 1);
}

static void test_secret(void **state)
{
	int fd = (int)syscall(SYS_memfd_secret, 0);
	char *p;

	(void)state;
	if (fd < 0)
		skip_because("memfd_secret: %s", strerror(errno));
	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	p = map(2 * PAGE, RW, MAP_SHARED, fd);
	refused(0, p, 2 * PAGE, -EINVAL, "secret", p);
	munmap(p, 2 * PAGE);
	close(fd);
}

static void test_io_uring(void **state)
{
	struct io_uring_params params = {0};
	int fd = (int)syscall(SYS_io_uring_setup, 4, &params);
	char *p;

	(void)state;
	if (fd < 0)
		skip_because("io_uring_setup: %s", strerror(errno));
	p = map(PAGE, RW, MAP_SHARED, fd);
	refused(0, p, PAGE, -EINVAL, "anon_inode:[io_uring]", p);
	munmap(p, PAGE);
	close(fd);
}

static void test_aio(void **state)
{
	aio_context_t ring = 0;

	(void)state;
	if (syscall(SYS_io_setup, 8, &ring) != 0)
		skip_because("io_setup: %s", strerror(errno));
	refused(0, (void *)(uintptr_t)ring, PAGE, -EINVAL, "/[aio]", (void *)(uintptr_t)ring);
	syscall(SYS_io_destroy, ring);
}

/* A block device that can be mapped, in /dev and under a name of our own on a disk. */
static void test_device(void **state)
{
	char dir[] = "/tmp/lmm-test-XXXXXX", path[64];
	int fd = open("/dev/loop0", O_RDONLY | O_CLOEXEC);
	char *p = MAP_FAILED;

	(void)state;
	if (fd >= 0)
		p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		skip_because("/dev/loop0 cannot be mapped: %s", strerror(errno));
	refused(0, p, PAGE, -EINVAL, "/dev/loop0", p);
	munmap(p, PAGE);
	p = map(PAGE, PROT_READ, MAP_PRIVATE, fd);
	refused(0, p, PAGE, -EINVAL, "to a device", p);
	munmap(p, PAGE);
	close(fd);

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/node", dir);
	fd = mknod(path, S_IFBLK | 0600, makedev(7, 0)) == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		p = map(PAGE, PROT_READ, MAP_SHARED, fd);
		refused(0, p, PAGE, -EINVAL, "/node", p);
		munmap(p, PAGE);
		close(fd);
	}
	unlink(path);
	rmdir(dir);
}

/* A file of the kernel's that can be mapped. */
static void test_kernel_file(void **state)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
	char *p = MAP_FAILED;

	(void)state;
	if (fd >= 0)
		p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		skip_because("/sys/kernel/btf/vmlinux cannot be mapped: %s", strerror(errno));
	refused(0, p, PAGE, -EINVAL, "/sys/kernel/btf/vmlinux", p);
	munmap(p, PAGE);
	close(fd);
}

/* The kind of a shared mapping of @path, by @m alone, which remembers file systems; its device. */
static uint32_t kind_by(struct maps *m, const char *path, uint32_t *dev)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *p;

	assert_true(fd >= 0);
	p = map(PAGE, PROT_READ, MAP_SHARED, fd);
	close(fd);
	assert_int_equal(maps_resolve(m, at(p), at(p) + PAGE, runs, 1, text), 1);
	munmap(p, PAGE);
	*dev = runs[0].dev;
	return runs[0].kind;
}

static void make_page(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	close(fd);
}

/* The kernel gives device numbers out again: one that was a tmpfs is soon a file system on a disk. */
static void test_mounts_change(void **state)
{
	char dir[] = "/tmp/lmm-test-XXXXXX", lower[64], file[64], top[64], mounted[64], layers[160];
	uint32_t memory = 0, disk = 1;
	struct maps m;
	int err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(lower, sizeof(lower), "%s/lower", dir);
	snprintf(file, sizeof(file), "%s/lower/file", dir);
	snprintf(top, sizeof(top), "%s/top", dir);
	snprintf(mounted, sizeof(mounted), "%s/top/file", dir);
	snprintf(layers, sizeof(layers), "lowerdir=%s:/usr", lower);
	assert_true(mkdir(lower, 0700) == 0 && mkdir(top, 0700) == 0);
	make_page(file);
	assert_int_equal(maps_open(&m, 0), 0);
	err = mount("none", top, "tmpfs", 0, NULL) == 0 ? 0 : errno;
	if (err == 0) {
		make_page(mounted);
		assert_int_equal(kind_by(&m, mounted, &memory), LMM_SHMEM);
		assert_int_equal(umount(top), 0);
		err = mount("none", top, "overlay", 0, layers) == 0 ? 0 : errno;
	}
	if (err == 0) {
		assert_int_equal(kind_by(&m, mounted, &disk), LMM_FILE);
		assert_int_equal(umount(top), 0);
	}
	maps_close(&m);
	unlink(file);
	rmdir(lower);
	rmdir(top);
	rmdir(dir);
	if (err != 0)
		skip_because("mount: %s", strerror(err));
	if (memory != disk)
		skip_because("the device number was not used again");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hole),	      cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_kernel_pages),  cmocka_unit_test(test_secret),
		cmocka_unit_test(test_io_uring),      cmocka_unit_test(test_aio),
		cmocka_unit_test(test_device),	      cmocka_unit_test(test_kernel_file),
		cmocka_unit_test(test_mounts_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
