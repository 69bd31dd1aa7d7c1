/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check_robust.c - what consumers and their neighbours may do wrong; exits, and other processes' memory. */
#include "robust.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- 199: exits ---- */

#define EXITS  1000
#define BATCH  8
#define ROUNDS 5 /* of EXITS, at most */

/* What the whole machine has, and others use too: each exit that leaves something adds to it. */
struct machine {
	long files, locked_kib, shm, sysv;
};

static long lines_or_entries(const char *path, bool dir)
{
	DIR *d = dir ? opendir(path) : NULL;
	FILE *f = dir ? NULL : fopen(path, "r");
	long n = 0;
	int c;

	while (d && readdir(d))
		n++;
	while (f && (c = getc(f)) != EOF)
		n += c == '\n';
	if (d)
		closedir(d);
	if (f)
		fclose(f);
	return n;
}

static struct machine machine(void)
{
	struct machine m = {.shm = lines_or_entries("/dev/shm", true),
			    .sysv = lines_or_entries("/proc/sysvipc/shm", false)};
	FILE *f = fopen("/proc/sys/fs/file-nr", "r");
	char line[128];

	if (!f || fscanf(f, "%ld", &m.files) != 1)
		m.files = 0;
	if (f)
		fclose(f);
	f = fopen("/proc/meminfo", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Mlocked: %ld kB", &m.locked_kib) == 1)
			break;
	}
	if (f)
		fclose(f);
	return m;
}

#define LEFT_KIB 256 /* of registered memory */

static void leave(struct run *r, int n)
{
	VIP_MEM_ATTRIBUTES a = {0};
	VIP_VI_HANDLE vi[2];
	VIP_CQ_HANDLE cq;

	EXPECT(VipOpenNic(r->device, &r->nic), VIP_SUCCESS);
	EXPECT(VipQueryNic(r->nic, &r->attr), VIP_SUCCESS);
	EXPECT(VipCreatePtag(r->nic, &r->tag), VIP_SUCCESS);
	r->block = mmap(NULL, LEFT_KIB * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(r->block, MAP_FAILED);
	a.Ptag = r->tag;
	EXPECT(VipRegisterMem(r->nic, r->block, LEFT_KIB * 1024, &a, &r->mem), VIP_SUCCESS);
	EXPECT(VipCreateCQ(r->nic, 16, &cq), VIP_SUCCESS);
	vi[0] = another_vi(r);
	vi[1] = another_vi(r);
	EXPECT(VipPostRecv(vi[0], fill(r, 0, r->block + 8192, 100, r->mem), r->mem), VIP_SUCCESS);
	if (n % 4 < 2)
		connect_here(r, r->nic, vi[0], vi[1]);
	if (n % 2)
		exit(0);
	_exit(0);
}

/* Is what is there now as good as what was there before?  Others on the machine may come and go. */
static bool as_before(const struct machine *was, long exits)
{
	struct machine is = machine();

	doing("after %d exits: files %ld -> %ld, locked KiB %ld -> %ld, /dev/shm %ld -> %ld, System V %ld -> "
	      "%ld",
	      (int)exits, was->files, is.files, was->locked_kib, is.locked_kib, was->shm, is.shm, was->sysv,
	      is.sysv);
	return is.files < was->files + exits / 2 && is.shm < was->shm + exits / 2 &&
	       is.sysv < was->sysv + exits / 2 && is.locked_kib < was->locked_kib + exits / 2 * LEFT_KIB;
}

static bool leaves_nothing(struct run *r)
{
	struct machine was = machine();
	int exits = (int)share(r, EXITS), i, j, status;
	uint64_t end;
	pid_t pid;

	for (i = 0; i < exits; i += BATCH) {
		doing("exit no. %d", i);
		for (j = 0; j < BATCH; j++) {
			pid = fork();
			assert_true(pid >= 0);
			if (pid == 0)
				leave(r, i + j);
		}
		for (j = 0; j < BATCH; j++) {
			assert_true(wait(&status) > 0);
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		}
	}
	for (end = now_ms() + SOON_MS / 4; !as_before(&was, exits) && now_ms() < end;)
		pause_ms(100);
	return as_before(&was, exits);
}

static void check_exits(struct run *r)
{
	VIP_VI_HANDLE vi;
	int i;

	/* a leak shows each time, what others have come to hold meanwhile does not */
	for (i = 0; i < ROUNDS && !leaves_nothing(r); i++)
		;
	assert_true(i < ROUNDS);
	run_vi(r);
	vi = run_pair_here(r);
	talk(r, r->vi, vi, 1000);
	drop_vi(vi);
	run_close(r);
}

/* ---- 200: another process's handles ---- */

#define THEIRS	((void *)0x1d0000000000) /* an address where nothing is, unless one puts it there */
#define GUESSES 5000

/* A send from [at, at + 8) in @mem over a new pair of this process: PROTECTION, and nothing comes. */
static void guess(struct run *r, void *at, VIP_MEM_HANDLE mem)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;

	EXPECT(VipPostRecv(other, fill(r, 0, data(r), 8, r->mem), r->mem), VIP_SUCCESS);
	memset(data(r), 0, 8);
	d = fill(r, 1, at, 8, mem);
	EXPECT(VipPostSend(r->vi, d, r->mem), VIP_SUCCESS);
	assert_ptr_equal(next_sent(r->vi, &code), d);
	assert_int_equal(code, VIP_DESCRIPTOR_ERROR);
	assert_true(d->CS.Status & VIP_STATUS_PROTECTION_ERROR);
	assert_int_equal(*(uint64_t *)data(r), 0);
	drop_vi(other);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	drain(r->vi);
}

/* An RDMA write to it, by way of a VI of this process. */
static void guess_write(struct run *r, uint64_t at, VIP_MEM_HANDLE mem)
{
	VIP_VI_HANDLE other = run_pair_here(r);
	VIP_RETURN code;
	int before = errors_of(r, VIP_ERROR_RDMAW_PROT);

	memset(data(r), 0xee, 8);
	post_rdma(r, 1, VIP_CONTROL_OP_RDMAWRITE, data(r), 8, at, mem);
	next_sent(r->vi, &code);
	if (is_reception(r)) {
		assert_int_equal(code, VIP_DESCRIPTOR_ERROR);
		assert_true(desc(r, 1)->CS.Status & VIP_STATUS_RDMA_PROT_ERROR);
	} else {
		await_error(r, VIP_ERROR_RDMAW_PROT, before + 1);
	}
	drop_vi(other);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	drain(r->vi);
}

static void check_strangers(struct run *r)
{
	VIP_MEM_ATTRIBUTES a = {.EnableRdmaWrite = VIP_TRUE};
	uint32_t seed = 200, i;
	VIP_MEM_HANDLE mem;
	uint8_t *page;

	if (r->side == 1) {
		run_vi(r);
		page = mmap(THEIRS, 65536, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		assert_ptr_equal(page, THEIRS);
		pattern(page, 65536, 200);
		a.Ptag = r->tag;
		EXPECT(VipRegisterMem(r->nic, page, 65536, &a, &mem), VIP_SUCCESS);
		tell(r, mem);
		meet(r);
		assert_int_equal(differs(page, 65536, 200), -1);
		return;
	}
	r->level = (VIP_RELIABILITY_LEVEL)(has_level(r, VIP_SERVICE_UNRELIABLE) ? VIP_SERVICE_UNRELIABLE
										: r->level);
	run_vi(r);
	mem = (VIP_MEM_HANDLE)hear(r);
	doing("the other's handle and address");
	guess(r, THEIRS, mem);
	guess_write(r, (uintptr_t)THEIRS, mem);
	doing("the other's address with the own handle");
	guess(r, THEIRS, r->mem);
	guess_write(r, (uintptr_t)THEIRS, r->mem);
	doing("the other's handle guessed");
	for (i = 0; i < share(r, GUESSES); i++)
		guess(r, THEIRS, i % 2 ? mem + (i << 16) : random32(&seed));
	meet(r);
}

const struct check robust_checks[] = {
	{191, EARLY, 0, "All calls",
	 "every handle argument of every call: NULL, random, of another kind, stale are refused",
	 check_bad_handles},
	{192, EARLY, 0, "All calls", "every OUT pointer that is NULL is VIP_INVALID_PARAMETER",
	 check_null_outs},
	{193, EARLY, 0, "K-26",
	 "VIP_INFINITE in 32 bits and in all bits of VIP_ULONG: no call comes back within a second",
	 check_for_ever},
	{194, EARLY, 0, "VIP_DESCRIPTOR", "the layout of a descriptor, to the byte", check_descriptor_layout},
	{195, EARLY, 0, "vipl.h", "the values of all constants", check_constants},
	{196, FUNCTIONAL, 0, "ThreadSafe", "16 threads with a VI each and no lock, 1000 messages each way",
	 check_thread_each},
	{197, FUNCTIONAL, SLOW, "ThreadSafe",
	 "4 threads post and reap at each of two VIs: 50000 messages, none lost, none twice",
	 check_threads_one},
	{198, FUNCTIONAL, SLOW, "All calls",
	 "a signal a millisecond: blocking calls neither fail nor end early", check_signals},
	{199, FUNCTIONAL, SLOW | LONG, "VipCloseNic",
	 "1000 processes exit without closing anything: files, locked and shared memory are free again",
	 check_exits},
	{200, FUNCTIONAL, TWO | SLOW | LONG, "VipRegisterMem",
	 "another process's memory handles are of no use: 5000 guesses", check_strangers},
	{0, 0, 0, NULL, NULL, NULL},
};
