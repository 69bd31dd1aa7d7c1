/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_gone.c - what becomes of memory that the kernel module has registered when the process changes its
 * mappings, or closes its NIC handle.
 */
#include "tests/linux/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOTED 10000 /* ms within which a change must have been noticed */

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

static void goes(uint32_t handle)
{
	int i;

	for (i = 0; entry(handle).tag && i < NOTED; i++)
		usleep(1000);
	assert_int_equal(entry(handle).tag, 0);
	assert_int_equal(entry(handle).rights, 0);
}

/* The pins of what has gone are given back after the TPT was changed. */
static void comes_to(long pages)
{
	int i;

	for (i = 0; pinned() != pages && i < NOTED; i++)
		usleep(1000);
	assert_int_equal(pinned(), pages);
}

static void stays(uint32_t handle)
{
	usleep(300000);
	assert_int_not_equal(entry(handle).tag, 0);
}

static void unmapped(void **state)
{
	uint8_t *at = anon(8 * PAGE), *to = anon(PAGE), *moved;
	uint32_t a = must_reg(at, 4 * PAGE), b = must_reg(at, PAGE), c = must_reg(at + 5 * PAGE, PAGE), d;
	struct ka_req set = {.op = KA_OP_MEM_SET, .nic = agent.nic};
	struct ka_rep rep;

	(void)state;
	munmap(at + 3 * PAGE, PAGE);
	goes(a);
	stays(b);
	stays(c);
	comes_to(2);
	set.u.mem.start = (uintptr_t)at;
	set.u.mem.handle = a;
	set.u.mem.tag = agent.tag;
	assert_int_equal(vka_call(&agent, &set, &rep, NULL), -EFAULT);
	/* something else in its place */
	assert_true(mmap(at + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) == at + 3 * PAGE);
	d = must_reg(at, 4 * PAGE);
	stays(d);
	assert_int_equal(entry(a).tag, 0);
	dereg(at, a);
	dereg(at, b);
	moved = mremap(at + 5 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	assert_true(moved == to);
	goes(c);
	stays(d);
	dereg(at + 5 * PAGE, c);
	assert_true(mmap(at, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	goes(d);
	comes_to(0);
	dereg(at, d);
	munmap(at, 8 * PAGE);
	munmap(moved, PAGE);
}

/* What the worker would find later must not be taken for the new region's. */
static void at_once_again(void **state)
{
	uint8_t *at = anon(4 * PAGE);
	uint32_t a, b;
	int i;

	(void)state;
	for (i = 0; i < 2000; i++) {
		a = must_reg(at, 4 * PAGE);
		if (i % 2) {
			munmap(at, 4 * PAGE);
			assert_true(mmap(at, 4 * PAGE, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at);
		} else {
			madvise(at + PAGE, PAGE, MADV_DONTNEED);
		}
		b = must_reg(at, 4 * PAGE);
		assert_int_equal(entry(a).tag, 0);
		assert_int_not_equal(entry(b).tag, 0);
		dereg(at, a);
		assert_int_not_equal(entry(b).tag, 0);
		dereg(at, b);
	}
	munmap(at, 4 * PAGE);
}

static void other_pages(void **state)
{
	uint8_t *at = anon(4 * PAGE), *file;
	int fd = memfd(4 * PAGE, 0);
	uint32_t h = must_reg(at, 2 * PAGE), near = must_reg(at + 2 * PAGE, 2 * PAGE);

	(void)state;
	madvise(at, PAGE, MADV_DONTNEED);
	goes(h);
	stays(near);
	dereg(at, h);
	dereg(at + 2 * PAGE, near);
	file = shared(fd, 4 * PAGE);
	h = must_reg(file, 4 * PAGE);
	madvise(file, 4 * PAGE, MADV_DONTNEED); /* the page tables' entries alone */
	stays(h);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE), 0);
	goes(h);
	dereg(file, h);
	h = must_reg(file, 4 * PAGE);
	assert_int_equal(ftruncate(fd, 0), 0);
	goes(h);
	dereg(file, h);
	munmap(at, 4 * PAGE);
	munmap(file, 4 * PAGE);
	close(fd);
}

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		print_message("%s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* What changes page tables and no page. */
static void same_pages(void **state)
{
	size_t len = 4 << 20;
	uint8_t *at = anon(len), *file;
	int fd = memfd(len, 0), status;
	uint32_t h, hf;
	pid_t pid;

	(void)state;
	madvise(at, len, MADV_HUGEPAGE);
	memset(at, 5, len);
	file = shared(fd, len);
	memset(file, 6, len);
	h = must_reg(at, len);
	hf = must_reg(file, len);
	mprotect(at, len, PROT_READ);
	mprotect(at, PAGE, PROT_NONE);
	mprotect(at, len, PROT_READ | PROT_WRITE);
	pid = fork();
	if (pid == 0) {
		at[0] = file[0] = 9;
		_exit(at[1] != 5);
	}
	at[PAGE] = 7; /* the parent keeps its page */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(at[0], 5);
	madvise(at, len, MADV_PAGEOUT);
	madvise(file, len, MADV_PAGEOUT);
	madvise(at, len, 25); /* MADV_COLLAPSE */
	madvise(file, len, 25);
	write_to("/proc/sys/vm/compact_memory", "1");
	write_to("/proc/sys/vm/drop_caches", "3");
	stays(h);
	stays(hf);
	assert_int_equal(file[0], 9);
	dereg(at, h);
	dereg(file, hf);
	munmap(at, len);
	munmap(file, len);
	close(fd);
}

static void closed(void **state)
{
	struct ka_req req = {.op = KA_OP_CLOSE, .nic = agent.nic};
	uint8_t *at = anon(300 * PAGE);
	struct ka_rep rep;
	int i;

	(void)state;
	for (i = 0; i < 300; i++)
		must_reg(at + (size_t)i * PAGE, PAGE);
	assert_int_equal(pinned(), 300);
	assert_int_equal(vka_call(&agent, &req, &rep, NULL), 0);
	assert_int_equal(pinned(), 0);
	munmap(at, 300 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEMORY_TEST(unmapped),	 MEMORY_TEST(at_once_again), MEMORY_TEST(other_pages),
		MEMORY_TEST(same_pages), MEMORY_TEST(closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
