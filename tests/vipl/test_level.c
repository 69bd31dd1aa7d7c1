/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_level.c - mapped, locked, pinned: that each level holds what it promises
 * is read from the page frames, and from what the kernel counts; and which level
 * holds where, and why.
 */
#include "tests/vipl/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cap-ng.h>

#include <cmocka.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define SWAP_PAGES 512u

static VIP_NIC_HANDLE nic;

/* A level that was asked for and cannot be had is no failure of the test. */
static void open_nic(void)
{
	VIP_RETURN r = VipOpenNic("emu0", &nic);

	if (r != VIP_SUCCESS && strstr(VipxErrorText(), "VIPL_LOCK_LEVEL cannot be had"))
		cannot("%s", VipxErrorText());
	CHECK_EQ(r, VIP_SUCCESS);
}

static VIP_MEM_HANDLE reg(void *p, size_t n)
{
	VIP_MEM_HANDLE mem;

	CHECK_EQ(VipRegisterMem(nic, p, n, NULL, &mem), VIP_SUCCESS);
	return mem;
}

static uint32_t level_of(const void *p, VIP_MEM_HANDLE mem)
{
	struct vipx_rec row;

	CHECK(find_tpt(nic, p, mem, &row));
	return row.u.tpt.level;
}

static void without_capabilities(unsigned long limit)
{
	struct rlimit lim = {limit, limit};

	capng_clear(CAPNG_SELECT_BOTH);
	CHECK_EQ(capng_apply(CAPNG_SELECT_CAPS), 0);
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &lim), 0);
}

/* ---- which level ---- */

static void told_child(void)
{
	static const char *const names[] = {"mapped", "locked", "pinned"};
	const char *asked = getenv("VIPL_LOCK_LEVEL");
	struct vipx_hold h;
	VIP_MEM_HANDLE mem;
	uint8_t *p;

	open_nic();
	h = hold_of(nic);
	CHECK_EQ(h.chosen, asked && *asked);
	CHECK(h.level <= VIPX_PINNED);
	if (asked && *asked)
		CHECK_EQ(strcmp(names[h.level], asked), 0);
	CHECK(h.level_why[0] && memchr(h.level_why, 0, sizeof(h.level_why)));
	CHECK(h.watched_why[0] && memchr(h.watched_why, 0, sizeof(h.watched_why)));
	CHECK_EQ(VipxHold(nic, NULL), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipxHold(NULL, &h), VIP_INVALID_PARAMETER);
	p = map_aligned(4 * PAGE, PAGE);
	mem = reg(p, 4 * PAGE);
	if (unlimited())
		CHECK_EQ(level_of(p, mem), h.level);
	printf("%s: level %s (%s), watched %u (%s)\n", asked ? asked : "no level asked for", names[h.level],
	       h.level_why, h.watched, h.watched_why);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static void test_told(void **state)
{
	if (*state && *(const char *)*state && !level_works(*state))
		skip();
	run_child(*state, told_child);
}

static void wrong_child(void)
{
	VIP_NIC_HANDLE h = (VIP_NIC_HANDLE)&nic;

	CHECK_EQ(VipOpenNic("emu0", &h), VIP_INVALID_PARAMETER);
	CHECK(h == (VIP_NIC_HANDLE)&nic);
	CHECK(strstr(VipxErrorText(), "VIPL_LOCK_LEVEL"));
	CHECK(strstr(VipxErrorText(), "mapped") && strstr(VipxErrorText(), "locked") &&
	      strstr(VipxErrorText(), "pinned"));
	/* it was read, for good */
	setenv("VIPL_LOCK_LEVEL", "mapped", 1);
	CHECK_EQ(VipOpenNic("emu0", &h), VIP_INVALID_PARAMETER);
}

static void test_wrong(void **state)
{
	run_child(*state, wrong_child);
}

/* ---- page frames ---- */

#define NPAGES (HUGE / PAGE)

struct probe {
	uint8_t *p;
	uint64_t before[NPAGES];
	VIP_MEM_HANDLE mem;
	struct held held;
};

/* Small pages with pattern 1; they may become a huge one only after their frames were read. */
static void probe_map(struct probe *x)
{
	x->p = map_aligned(HUGE, HUGE);
	fill_pattern(x->p, HUGE, 1);
}

static void probe_read(struct probe *x)
{
	read_pagemap(x->p, NPAGES, x->before);
	CHECK_EQ(frames_moved(x->before, x->before, NPAGES), 0); /* all are present */
	madvise(x->p, HUGE, MADV_HUGEPAGE);
}

static void probe_begin(struct probe *x, const char *want)
{
	if (!frames_told())
		exit(SKIPPED);
	open_nic();
	CHECK_EQ(hold_of(nic).level, strcmp(want, "pinned") == 0 ? VIPX_PINNED : VIPX_LOCKED);
	probe_map(x);
	x->held = held_now();
	x->mem = reg(x->p, HUGE);
	probe_read(x);
}

static size_t moved(const struct probe *x)
{
	uint64_t after[NPAGES];

	CHECK_EQ(diff_pattern(x->p, HUGE, 1), -1);
	read_pagemap(x->p, NPAGES, after);
	return frames_moved(x->before, after, NPAGES);
}

static void probe_end(struct probe *x)
{
	CHECK_EQ(VipDeregisterMem(nic, x->p, x->mem), VIP_SUCCESS);
	CHECK_HELD(x->held);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static int collapse(const struct probe *x)
{
	int i, done = 0;

	for (i = 0; i < 5; i++)
		done += madvise(x->p, HUGE, MADV_COLLAPSE) == 0;
	return done;
}

/* The child keeps the pages that it was born with until the parent has written to its own. */
static void fork_and_write(const struct probe *x)
{
	int down[2], status;
	pid_t pid;
	char c;
	size_t i;

	CHECK_EQ(pipe(down), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(down[1]);
		while (read(down[0], &c, 1) < 0)
			;
		_exit(diff_pattern(x->p, HUGE, 1) != -1); /* what the parent has written since is not here */
	}
	close(down[0]);
	for (i = 0; i < HUGE; i += PAGE)
		x->p[i] ^= 0xff;
	close(down[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	for (i = 0; i < HUGE; i += PAGE)
		x->p[i] ^= 0xff;
}

static bool compact(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (!write_text("/proc/sys/vm/compact_memory", "1"))
			return false;
	}
	return true;
}

/*
 * Beside what is registered lies as much that is not: what is tried does give
 * that other frames, or else nothing would have been tried.
 */
static void pinned_child(void)
{
	struct probe x, other;
	struct held with;

	probe_begin(&x, "pinned");
	with = held_now();
	CHECK_EQ(with.lck - x.held.lck, HUGE / 1024);
	CHECK_EQ(with.pin - x.held.pin, HUGE / 1024);
	probe_map(&other);
	probe_read(&other);
	if (collapse(&other))
		CHECK_EQ(moved(&other), NPAGES);
	else
		left_out("MADV_COLLAPSE moves no other memory either: %s", strerror(errno));
	collapse(&x);
	CHECK_EQ(moved(&x), 0);
	CHECK_EQ(huge_kib(x.p), 0);
	probe_read(&other);
	fork_and_write(&other);
	CHECK_EQ(moved(&other), NPAGES);
	fork_and_write(&x);
	CHECK_EQ(moved(&x), 0);
	if (!compact())
		left_out("memory cannot be compacted: %s", strerror(errno));
	CHECK_EQ(moved(&x), 0);
	madvise(x.p, HUGE, MADV_PAGEOUT);
	CHECK_EQ(moved(&x), 0);
	CHECK_HELD(with);
	munmap(other.p, HUGE);
	probe_end(&x);
}

static void test_pinned(void **state)
{
	(void)state;
	run_child("pinned", pinned_child);
}

/* What a lock does not promise: that is seen, not demanded. */
static void moves_child(void)
{
	struct probe x;

	probe_begin(&x, "locked");
	CHECK_EQ(held_now().lck - x.held.lck, HUGE / 1024);
	CHECK_EQ(held_now().pin, x.held.pin);
	if (!compact())
		left_out("memory cannot be compacted: %s", strerror(errno));
	printf("locked: %zu of %u frames have changed by compaction\n", moved(&x), NPAGES);
	read_pagemap(x.p, NPAGES, x.before);
	fork_and_write(&x);
	printf("locked: %zu of %u frames have changed by fork and write\n", moved(&x), NPAGES);
	read_pagemap(x.p, NPAGES, x.before);
	collapse(&x);
	printf("locked: %zu of %u frames have changed by MADV_COLLAPSE; %lu KiB are in huge pages\n",
	       moved(&x), NPAGES, huge_kib(x.p));
	CHECK_EQ(held_now().lck - x.held.lck, HUGE / 1024);
	probe_end(&x);
}

static void test_moves(void **state)
{
	(void)state;
	run_child("locked", moves_child);
}

/* ---- swap ---- */

static bool there_is_swap(void)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[256];
	int lines = 0;

	while (f && fgets(line, sizeof(line), f))
		lines++;
	if (f)
		fclose(f);
	return lines > 1;
}

static size_t swapped(const void *p)
{
	uint64_t entry[SWAP_PAGES];
	size_t i, n = 0;

	read_pagemap(p, SWAP_PAGES, entry);
	for (i = 0; i < SWAP_PAGES; i++)
		n += PTE_SWAPPED(entry[i]);
	return n;
}

/* A memory cgroup of our own, of version 1 or 2. */
static const struct {
	const char *root, *limit;
} groups[] = {{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.high"}};

static const char *group_path(int i, int owner, const char *file)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/vipl-level.%d/%s", groups[i].root, owner, file);
	return path;
}

/* Be alone in a memory cgroup, which is the parent's to remove; -1: not allowed. */
static int join_group(void)
{
	char pid[16];
	int i;

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	for (i = 0; i < 2; i++) {
		if (mkdir(group_path(i, getppid(), ""), 0700) == 0 &&
		    access(group_path(i, getppid(), groups[i].limit), W_OK) == 0 &&
		    write_text(group_path(i, getppid(), "cgroup.procs"), pid))
			return i;
	}
	return -1;
}

static int remove_group(void **state)
{
	(void)state;
	rmdir(group_path(0, getpid(), ""));
	rmdir(group_path(1, getpid(), ""));
	return 0;
}

/* Beside what is registered lies as much that is not: that goes to swap. */
static void swap_child(void)
{
	size_t n = SWAP_PAGES * PAGE;
	VIP_MEM_HANDLE mem;
	uint8_t *p, *other;
	int i, group;

	open_nic(); /* before the group: it may start the agent */
	group = join_group();
	p = map_aligned(n, PAGE);
	other = map_aligned(n, PAGE);
	fill_pattern(p, n, 3);
	fill_pattern(other, n, 3);
	mem = reg(p, n);
	for (i = 0; i < 3; i++) {
		madvise(p, n, MADV_PAGEOUT);
		CHECK_EQ(swapped(p), 0);
	}
	if (!there_is_swap()) {
		left_out("there is no swap (/proc/swaps)");
	} else {
		CHECK_EQ(held_now().swap, 0);
		CHECK_EQ(madvise(other, n, MADV_PAGEOUT), 0);
		CHECK(swapped(other) > SWAP_PAGES / 2);
		CHECK_EQ(diff_pattern(other, n, 3), -1);
		if (group < 0 || !write_text(group_path(group, getppid(), groups[group].limit), "3000000"))
			left_out("no memory cgroup can be made");
		else
			CHECK(swapped(other) > 0);
		CHECK_EQ(swapped(p), 0);
	}
	CHECK_EQ(diff_pattern(p, n, 3), -1);
	CHECK_EQ(VipDeregisterMem(nic, p, mem), VIP_SUCCESS);
	if (there_is_swap()) { /* it was the lock that kept it */
		CHECK_EQ(madvise(p, n, MADV_PAGEOUT), 0);
		CHECK(swapped(p) > 0);
		CHECK_EQ(diff_pattern(p, n, 3), -1);
	}
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static void test_swap(void **state)
{
	run_child(*state, swap_child);
}

/* ---- mapped ---- */

static void mapped_end(struct end *e)
{
	uint8_t *p = mmap(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char there[100];
	struct held before;
	VIP_MEM_HANDLE mem;
	struct vipx_rec row;
	VIP_RETURN r;
	size_t i;

	set_level("mapped");
	before = held_now();
	end_open(e);
	CHECK_EQ(hold_of(e->nic).level, VIPX_MAPPED);
	CHECK_EQ(VipRegisterMem(e->nic, p, 100 * PAGE, NULL, &mem), VIP_SUCCESS);
	CHECK_HELD(before);
	CHECK(find_tpt(e->nic, p, mem, &row));
	CHECK_EQ(row.u.tpt.level, VIPX_MAPPED);
	CHECK_EQ(mincore(p, 100 * PAGE, there), 0);
	for (i = 0; i < 100; i++)
		CHECK_EQ(there[i] & 1, 1);
	CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 0, p, 50 * PAGE, mem), e->mem), VIP_SUCCESS);
	end_connect(e);
	fill_pattern(p + 50 * PAGE, 50 * PAGE, (unsigned int)e->server);
	CHECK_EQ(VipPostSend(e->vi, end_fill(e, 1, p + 50 * PAGE, 50 * PAGE, mem), e->mem), VIP_SUCCESS);
	end_recv(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	end_sent(e, &r);
	CHECK_EQ(r, VIP_SUCCESS);
	CHECK_EQ(diff_pattern(p, 50 * PAGE, !e->server), -1);
	CHECK_HELD(before);
	end_sync(e);
	end_close(e);
	CHECK_HELD(before);
}

static void test_mapped(void **state)
{
	(void)state;
	if (!level_works("mapped"))
		skip();
	run_pair(mapped_end, mapped_end, VIP_SERVICE_RELIABLE_DELIVERY, 20);
}

/* ---- a region may have less ---- */

static void region_child(void)
{
	uint8_t *p = map_aligned(4 * PAGE, PAGE), *ro = map_aligned(4 * PAGE, PAGE);
	VIP_MEM_HANDLE mem, less = 77;
	struct held before;

	CHECK_EQ(mprotect(ro, 4 * PAGE, PROT_READ), 0);
	open_nic();
	if (hold_of(nic).level != VIPX_PINNED)
		cannot("nothing is pinned here: %s", hold_of(nic).level_why);
	mem = reg(p, 4 * PAGE);
	CHECK_EQ(level_of(p, mem), unlimited() ? VIPX_PINNED : level_of(p, mem));
	before = held_now();
	if (!getenv("VIPL_LOCK_LEVEL")) {
		less = reg(ro, 4 * PAGE);
		CHECK_EQ(level_of(ro, less), VIPX_LOCKED);
		CHECK_EQ(held_now().lck - before.lck, 16);
		CHECK_EQ(held_now().pin, before.pin);
		CHECK_EQ(VipDeregisterMem(nic, ro, less), VIP_SUCCESS);
	} else {
		CHECK_EQ(VipRegisterMem(nic, ro, 4 * PAGE, NULL, &less), VIP_ERROR_RESOURCE);
		CHECK(strstr(VipxErrorText(), "pin") && strstr(VipxErrorText(), "read-only"));
		CHECK_EQ(less, 77);
		CHECK_EQ(count_rows(nic, VIPX_TPT), 1);
	}
	CHECK_HELD(before);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static void test_region(void **state)
{
	run_child(*state, region_child);
}

/* ---- limits ---- */

static void limit_child(void)
{
	uint8_t *p = map_aligned(256 * PAGE, PAGE), *s;
	int id = shmget(IPC_PRIVATE, 256 * PAGE, 0600);
	struct vipx_rec seg;
	struct held before;
	VIP_MEM_HANDLE mem;

	s = shmat(id, NULL, 0);
	CHECK(s != (void *)-1);
	shmctl(id, IPC_RMID, NULL);
	without_capabilities(64 << 10);
	open_nic();
	before = held_now();
	CHECK_EQ(VipRegisterMem(nic, p, 256 * PAGE, NULL, &mem), VIP_ERROR_RESOURCE);
	CHECK(strstr(VipxErrorText(), "RLIMIT_MEMLOCK") && strstr(VipxErrorText(), "64 KiB") &&
	      strstr(VipxErrorText(), "ulimit -l"));
	CHECK_HELD(before);
	/* a page of a segment that is larger than the limit: by itself */
	mem = reg(s + 7 * PAGE, PAGE);
	CHECK_EQ(held_now().lck - before.lck, 4);
	CHECK(find_seg(nic, s + 7 * PAGE, &seg));
	CHECK_EQ(seg.u.seg.whole, 0);
	CHECK_EQ(seg.u.seg.length, 256 * PAGE);
	CHECK_EQ(VipDeregisterMem(nic, s + 7 * PAGE, mem), VIP_SUCCESS);
	CHECK_HELD(before);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static void test_limit(void **state)
{
	run_child(*state, limit_child);
}

/* Locks are counted for a process, pins for a user: another process has none left, and says so. */
static void other_child(void)
{
	uint8_t *p = map_aligned(192 * PAGE, PAGE);
	VIP_MEM_HANDLE mem = 77;
	VIP_RETURN r;

	open_nic();
	r = VipRegisterMem(nic, p, 192 * PAGE, NULL, &mem);
	if (getenv("VIPL_LOCK_LEVEL")) {
		CHECK_EQ(r, VIP_ERROR_RESOURCE);
		CHECK(strstr(VipxErrorText(), "RLIMIT_MEMLOCK") && strstr(VipxErrorText(), "user") &&
		      strstr(VipxErrorText(), "ulimit -l"));
		CHECK_EQ(held_now().lck + held_now().pin, 0);
		CHECK_EQ(count_rows(nic, VIPX_TPT), 0);
	} else {
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(level_of(p, mem), VIPX_LOCKED);
		CHECK_EQ(held_now().lck, 192 * PAGE / 1024);
		CHECK_EQ(held_now().pin, 0);
	}
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
	exit(0);
}

static void user_child(void)
{
	uint8_t *p = map_aligned(192 * PAGE, PAGE);
	int go[2], status;
	VIP_MEM_HANDLE mem;
	pid_t pid;
	char c;

	without_capabilities(1 << 20);
	CHECK_EQ(pipe(go), 0);
	fflush(NULL);
	pid = fork(); /* before there are threads */
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) != 1)
			_exit(0); /* nothing to be seen here */
		other_child();
	}
	open_nic();
	CHECK_EQ(VipRegisterMem(nic, p, 192 * PAGE, NULL, &mem), VIP_SUCCESS);
	if (level_of(p, mem) != VIPX_PINNED)
		cannot("nothing is pinned here, or others of this user have pinned all that may be");
	CHECK_EQ(write(go[1], "", 1), 1);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static void test_user(void **state)
{
	run_child(*state, user_child);
}

static void nothing_child(void)
{
	uint8_t *p = map_aligned(4 * PAGE, PAGE);
	struct vipx_hold h;
	struct held before;
	VIP_MEM_HANDLE mem;
	VIP_RETURN r;

	without_capabilities(0);
	if (getenv("VIPL_LOCK_LEVEL")) {
		CHECK(VipOpenNic("emu0", &nic) != VIP_SUCCESS);
		CHECK(strstr(VipxErrorText(), "VIPL_LOCK_LEVEL") && strstr(VipxErrorText(), "ulimit -l"));
		return;
	}
	open_nic();
	h = hold_of(nic);
	CHECK_EQ(h.level, VIPX_MAPPED);
	CHECK_EQ(h.chosen, 0);
	CHECK(strstr(h.level_why, "RLIMIT_MEMLOCK") && strstr(h.level_why, "ulimit -l"));
	before = held_now();
	r = VipRegisterMem(nic, p, 4 * PAGE, NULL, &mem);
	CHECK_EQ(r, h.watched ? VIP_SUCCESS : VIP_ERROR_RESOURCE);
	if (r == VIP_SUCCESS)
		CHECK_EQ(level_of(p, mem), VIPX_MAPPED);
	CHECK_HELD(before);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static void test_nothing(void **state)
{
	run_child(*state, nothing_child);
}

int main(void)
{
	static char mapped[] = "mapped", locked[] = "locked", pinned[] = "pinned", none[] = "",
		    wrong[] = "welded", longer[] = "pinned!", upper[] = "Locked";
	const struct CMUnitTest tests[] = {
		{"the default is told", test_told, NULL, NULL, NULL},
		{"an empty choice is none", test_told, NULL, NULL, none},
		{"mapped is told", test_told, NULL, NULL, mapped},
		{"locked is told", test_told, NULL, NULL, locked},
		{"pinned is told", test_told, NULL, NULL, pinned},
		{"no level", test_wrong, NULL, NULL, wrong},
		{"no level, longer", test_wrong, NULL, NULL, longer},
		{"no level, upper case", test_wrong, NULL, NULL, upper},
		cmocka_unit_test(test_pinned),
		cmocka_unit_test(test_moves),
		{"swap, locked", test_swap, NULL, remove_group, locked},
		{"swap, pinned", test_swap, NULL, remove_group, pinned},
		cmocka_unit_test(test_mapped),
		{"a region may have less", test_region, NULL, NULL, NULL},
		{"unless pinned was asked for", test_region, NULL, NULL, pinned},
		{"limit", test_limit, NULL, NULL, NULL},
		{"limit, locked", test_limit, NULL, NULL, locked},
		{"the user's limit", test_user, NULL, NULL, NULL},
		{"the user's limit, pinned", test_user, NULL, NULL, pinned},
		{"limit of 0", test_nothing, NULL, NULL, NULL},
		{"limit of 0, locked", test_nothing, NULL, NULL, locked},
		{"limit of 0, pinned", test_nothing, NULL, NULL, pinned},
	};

	setenv("VIPL_LOG", "none", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
