/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_memory.c - memory that the kernel module registers: of which kinds, what is pinned and charged for
 * it, attachments.
 */
#include "tests/linux/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "include/vipl_ext.h"

/* ---- kinds ---- */

static void private_memory(void **state)
{
	uint8_t *at = anon(16 * PAGE);
	uint32_t h = must_reg(at + 100, 3 * PAGE), h2;
	struct ka_tpt_entry e = entry(h);

	(void)state;
	assert_int_equal(pinned(), 4);
	assert_int_equal(e.start, (uintptr_t)at + 100);
	assert_int_equal(e.length, 3 * PAGE);
	assert_int_equal(e.rights, KA_R_WRITE | KA_R_RDMA_WRITE);
	assert_int_equal(e.kind, LMM_PRIVATE);
	h2 = must_reg(at + 100, 3 * PAGE);
	assert_int_not_equal(h, h2);
	assert_int_equal(pinned(), 8);
	dereg(at + 100, h);
	assert_int_equal(pinned(), 4);
	assert_int_equal(vka_dereg(&agent, at + 100, h), -EINVAL);
	dereg(at + 100, h2);
	assert_int_equal(pinned(), 0);
	munmap(at, 16 * PAGE);
}

static void read_only_memory(void **state)
{
	uint8_t *at = anon(4 * PAGE);
	uint32_t h;

	(void)state;
	/* untouched, and half of it may be written: that half must not be a page of zeros */
	mprotect(at, 2 * PAGE, PROT_READ);
	h = must_reg(at, 4 * PAGE);
	assert_int_equal(entry(h).rights, 0);
	at[3 * PAGE] = 1;
	usleep(300000);
	assert_int_not_equal(entry(h).tag, 0);
	dereg(at, h);
	munmap(at, 4 * PAGE);
}

static void memory_objects(void **state)
{
	int fd = memfd(8 * PAGE, 0);
	uint8_t *at = shared(fd, 8 * PAGE),
		*shm = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t h = must_reg(at + PAGE, PAGE), h2 = must_reg(shm, PAGE);
	struct ka_tpt_entry e = entry(h);

	(void)state;
	assert_int_equal(e.kind, LMM_SHMEM);
	assert_int_equal(e.offset, PAGE);
	assert_int_equal(e.object_bytes, 8 * PAGE);
	assert_int_equal(entry(h2).kind, LMM_SHMEM);
	assert_int_equal(pinned(), 1 + 1);
	dereg(at + PAGE, h);
	assert_int_equal(pinned(), 1);
	dereg(shm, h2);
	munmap(at, 8 * PAGE);
	munmap(shm, PAGE);
	close(fd);
}

static void huge_pages(void **state)
{
	size_t huge = 2 << 20;
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "we");
	uint8_t *at;
	uint32_t h;
	int fd;

	(void)state;
	if (f) {
		fputs("4\n", f);
		fclose(f);
	}
	fd = memfd(2 * huge, MFD_HUGETLB);
	at = fd >= 0 ? mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
	if (at == MAP_FAILED) {
		print_message("no huge pages to be had: %s\n", strerror(errno));
		skip();
	}
	h = must_reg(at + PAGE, huge);
	assert_int_equal(entry(h).kind, LMM_SHMEM);
	madvise(at, 2 * huge, 25); /* MADV_COLLAPSE */
	usleep(300000);
	assert_int_not_equal(entry(h).tag, 0);
	munmap(at + huge, huge);
	while (pinned())
		usleep(1000);
	assert_int_equal(entry(h).tag, 0);
	dereg(at + PAGE, h);
	munmap(at, huge);
	close(fd);
	at = mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	assert_true(at != MAP_FAILED);
	h = must_reg(at, huge);
	assert_int_equal(entry(h).kind, LMM_PRIVATE);
	assert_int_equal(pinned(), 512);
	dereg(at, h);
	munmap(at, huge);
}

static void files(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	uint8_t *own = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	uint8_t *disk = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	uint32_t h;

	(void)state;
	assert_true(own != MAP_FAILED && disk != MAP_FAILED);
	h = must_reg(own, PAGE);
	assert_int_equal(entry(h).kind, LMM_PRIVATE);
	dereg(own, h);
	refuses(disk, PAGE, -EOPNOTSUPP, "file on a disk");
	munmap(own, PAGE);
	munmap(disk, PAGE);
	close(fd);
}

static uint64_t mapping_of(const char *name)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, name)) {
			sscanf(line, "%lx-", &start);
			break;
		}
	}
	if (f)
		fclose(f);
	return start;
}

static void refused_memory(void **state)
{
	uint8_t *at = anon(4 * PAGE), *past;
	int fd = memfd(PAGE, 0), secret;

	(void)state;
	mprotect(at, PAGE, PROT_NONE);
	refuses(at, PAGE, -EINVAL, "may not be read");
	munmap(at + 2 * PAGE, PAGE);
	refuses(at + PAGE, 3 * PAGE, -EINVAL, "nothing is mapped");
	refuses(at + PAGE, 0, -EINVAL, "length is 0");
	refuses(at + PAGE, UINT64_MAX, -EINVAL, "wraps");
	refuses(at + PAGE, 2ul << 30, -EFBIG, "one registration takes at most");
	refuses((void *)0xffffffff81000000, PAGE, -EINVAL, "no address");
	assert_true(mapping_of("[vvar]"));
	refuses((void *)mapping_of("[vvar]"), PAGE, -EINVAL, "device or to the kernel");
	refuses((void *)mapping_of("[vdso]"), PAGE, -EINVAL, "device or to the kernel");
	past = shared(fd, 4 * PAGE);
	refuses(past, 2 * PAGE, -EFAULT, "file ends before");
	secret = (int)syscall(447, 0); /* memfd_secret */
	if (secret >= 0) {
		assert_int_equal(ftruncate(secret, PAGE), 0);
		refuses(shared(secret, PAGE), PAGE, -EINVAL, "memfd_secret");
		close(secret);
	} else {
		print_message("no memfd_secret here: %s\n", strerror(errno));
	}
	munmap(at, 4 * PAGE);
	munmap(past, 4 * PAGE);
	close(fd);
}

/* A hundred mappings of different objects. */
static void many_mappings(void **state)
{
	uint8_t *at = anon(100 * PAGE);
	uint32_t h;
	int i, fd;

	(void)state;
	for (i = 0; i < 100; i++) {
		fd = memfd(PAGE, 0);
		assert_true(mmap(at + (size_t)i * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				 fd, 0) != MAP_FAILED);
		close(fd);
	}
	refuses(at, 100 * PAGE, -E2BIG, "more than 64 mappings");
	h = must_reg(at, 64 * PAGE);
	assert_int_equal(entry(h).kind, LMM_MIXED);
	dereg(at, h);
	munmap(at, 100 * PAGE);
}

/* ---- limits ---- */

static void lock_cap(bool on)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	assert_int_equal(syscall(SYS_capget, &head, data), 0);
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	data[0].effective |= on ? data[0].permitted & 1u << CAP_IPC_LOCK : 0;
	assert_int_equal(syscall(SYS_capset, &head, data), 0);
}

static void limit(void **state)
{
	struct rlimit old, mib = {1 << 20, 1 << 20};
	uint8_t *at = anon(2 << 20), *seg;
	int id = shmget(IPC_PRIVATE, 2 << 20, 0600);
	uint32_t h, hs;
	struct ka_rep rep;

	(void)state;
	getrlimit(RLIMIT_MEMLOCK, &old);
	mib.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_MEMLOCK, &mib);
	lock_cap(false);
	refuses(at, 2 << 20, -ENOMEM, "RLIMIT_MEMLOCK is 1024 KiB, and the process has 0 KiB pinned");
	h = must_reg(at, 1 << 20);
	assert_int_equal(pinned(), 256);
	assert_int_equal(reg(at + (1 << 20), 1, &rep), -ENOMEM);
	assert_non_null(strstr(rep.text, "has 1024 KiB pinned"));
	dereg(at, h);

	/* Of a segment that is larger than the limit, as much as fits. */
	seg = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	hs = must_reg(seg, 512 << 10);
	assert_int_equal(pinned(), 128);
	h = must_reg(at, 512 << 10);
	assert_int_equal(pinned(), 128 + 128);
	assert_int_equal(reg(seg + (1 << 20), 1, &rep), -ENOMEM);
	lock_cap(true);
	setrlimit(RLIMIT_MEMLOCK, &old);
	dereg(at, h);
	dereg(seg, hs);
	shmdt(seg);
	munmap(at, 2 << 20);
}

/* ---- attachments ---- */

static bool whole(const void *start)
{
	static struct vipx_rec rec[KA_MAX_RECS];
	struct ka_req req = {.op = KA_OP_INSPECT, .u.inspect = {.kind = VIPX_SEG}};
	struct vipka_call call = {.req = (uintptr_t)&req, .tail = (uintptr_t)rec, .tail_bytes = sizeof(rec)};
	struct ka_rep rep;
	uint32_t i;

	call.rep = (uintptr_t)&rep;
	assert_int_equal(ioctl(agent.dev, VIPKA_CALL, &call), 0);
	for (i = 0; i < rep.nrecs; i++)
		if (rec[i].u.seg.start == (uintptr_t)start)
			return rec[i].u.seg.whole;
	fail_msg("no segment");
	return false;
}

/* Each registration pins what it names, and is charged for that alone. */
static void attachment(void **state)
{
	int id = shmget(IPC_PRIVATE, 64 * PAGE, 0600);
	uint8_t *at = shmat(id, NULL, 0);
	uint32_t a, b, c;

	(void)state;
	shmctl(id, IPC_RMID, NULL);
	a = must_reg(at + 10 * PAGE, PAGE);
	assert_int_equal(entry(a).kind, LMM_SYSV);
	assert_int_equal(entry(a).object, id);
	assert_int_equal(entry(a).object_bytes, 64 * PAGE);
	assert_int_equal(pinned(), 1);
	assert_false(whole(at));
	b = must_reg(at + 10 * PAGE, 3 * PAGE);
	assert_int_equal(pinned(), 1 + 3);
	dereg(at + 10 * PAGE, a);
	assert_int_equal(pinned(), 3);
	dereg(at + 10 * PAGE, b);
	assert_int_equal(pinned(), 0);
	/* it leaves with the process's mapping */
	c = must_reg(at, PAGE);
	assert_int_equal(pinned(), 1);
	shmdt(at);
	while (pinned())
		usleep(1000);
	assert_int_equal(entry(c).tag, 0);
	dereg(at, c);
}

/* A registration makes no page of an object but its own. */
static void sparse(void **state)
{
	int fd = memfd(64 * PAGE, 0);
	uint8_t *at = shared(fd, 64 * PAGE);
	uint32_t h = must_reg(at + 10 * PAGE, PAGE);
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_blocks, PAGE / 512);
	dereg(at + 10 * PAGE, h);
	munmap(at, 64 * PAGE);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEMORY_TEST(private_memory), MEMORY_TEST(read_only_memory),
		MEMORY_TEST(memory_objects), MEMORY_TEST(huge_pages),
		MEMORY_TEST(files),	     MEMORY_TEST(refused_memory),
		MEMORY_TEST(many_mappings),  MEMORY_TEST(limit),
		MEMORY_TEST(attachment),     MEMORY_TEST(sparse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
