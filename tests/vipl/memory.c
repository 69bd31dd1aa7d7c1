/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memory.c - see memory.h. */
#include "tests/vipl/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <cap-ng.h>

#include <cmocka.h>

struct held held_now(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	struct held h = {0, 0, 0};
	char line[128];

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmLck: %lu kB", &h.lck) == 1 || sscanf(line, "VmPin: %lu kB", &h.pin) == 1)
			continue;
		sscanf(line, "VmSwap: %lu kB", &h.swap);
	}
	fclose(f);
	return h;
}

void check_held(struct held is, unsigned long lck, unsigned long pin, const char *file, int line)
{
	check_eq((long long)is.lck, (long long)lck, "VmLck", file, line);
	check_eq((long long)is.pin, (long long)pin, "VmPin", file, line);
}

bool unlimited(void)
{
	capng_get_caps_process();
	return capng_have_capability(CAPNG_EFFECTIVE, CAP_IPC_LOCK);
}

struct vipx_hold hold_of(VIP_NIC_HANDLE nic)
{
	struct vipx_hold h;

	CHECK_EQ(VipxHold(nic, &h), VIP_SUCCESS);
	return h;
}

bool pages_held(uint8_t *p, size_t n)
{
	size_t i;

	/* this advice changes nothing that a program could see; the kernel refuses it for locked pages */
	for (i = 0; i < n; i += PAGE) {
		if (madvise(p + i, PAGE, MADV_COLD) == 0 || errno != EINVAL)
			return false;
	}
	return true;
}

/* ---- the agent's tables ---- */

struct search {
	const void *at;
	VIP_MEM_HANDLE mem;
	struct vipx_rec *row;
	uint32_t n;
};

static void one_row(void *context, const struct vipx_rec *r)
{
	struct search *s = context;
	uint64_t at = (uintptr_t)s->at;
	bool match = r->pid == (uint32_t)getpid();

	if (s->at && r->kind == VIPX_TPT)
		match = match && r->u.tpt.start == at && r->u.tpt.handle == s->mem;
	else if (s->at && r->kind == VIPX_LMA)
		match = match && at - r->u.lma.start < r->u.lma.length;
	else if (s->at && r->kind == VIPX_SEG)
		match = match && at - r->u.seg.start < r->u.seg.length;
	if (!match)
		return;
	s->n++;
	if (s->row)
		*s->row = *r;
}

static uint32_t search_rows(VIP_NIC_HANDLE nic, int kind, struct search s)
{
	CHECK_EQ(VipxInspect(nic, kind, one_row, &s), VIP_SUCCESS);
	return s.n;
}

bool find_tpt(VIP_NIC_HANDLE nic, const void *start, VIP_MEM_HANDLE mem, struct vipx_rec *row)
{
	return search_rows(nic, VIPX_TPT, (struct search){start, mem, row, 0}) > 0;
}

bool find_lma(VIP_NIC_HANDLE nic, const void *at, struct vipx_rec *row)
{
	return search_rows(nic, VIPX_LMA, (struct search){at, 0, row, 0}) > 0;
}

bool find_seg(VIP_NIC_HANDLE nic, const void *at, struct vipx_rec *row)
{
	return search_rows(nic, VIPX_SEG, (struct search){at, 0, row, 0}) > 0;
}

struct nth {
	struct vipx_rec row;
	uint32_t skip;
};

static void nth_row(void *context, const struct vipx_rec *r)
{
	struct nth *n = context;

	if (r->pid == (uint32_t)getpid() && n->row.kind == 0 && n->skip-- == 0)
		n->row = *r;
}

struct vipx_rec nic_row(VIP_NIC_HANDLE nic, uint32_t skip)
{
	struct nth n = {.skip = skip}; /* the agent's newest is first */

	CHECK_EQ(VipxInspect(nic, VIPX_NIC, nth_row, &n), VIP_SUCCESS);
	CHECK_EQ(n.row.kind, VIPX_NIC);
	return n.row;
}

uint32_t count_rows(VIP_NIC_HANDLE nic, int kind)
{
	return search_rows(nic, kind, (struct search){NULL, 0, NULL, 0});
}

/* ---- the kernel's tables ---- */

bool find_map(const void *at, const char *name, struct map_line *m)
{
	FILE *f = fopen("/proc/self/maps", "re");
	bool found = false;
	char line[512];

	CHECK(f != NULL);
	while (!found && fgets(line, sizeof(line), f)) {
		unsigned long start, end, offset, inode;
		unsigned int major, minor;

		*m = (struct map_line){.name = ""};
		if (sscanf(line, "%lx-%lx %*s %lx %x:%x %lu %127[^\n]", &start, &end, &offset, &major, &minor,
			   &inode, m->name) < 6)
			continue;
		m->start = start;
		m->end = end;
		m->offset = offset;
		m->inode = inode;
		m->dev = major << 20 | minor;
		found = at ? (uintptr_t)at >= start && (uintptr_t)at < end : strcmp(m->name, name) == 0;
	}
	fclose(f);
	return found;
}

void read_pagemap(const void *p, size_t npages, uint64_t *entry)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_EQ(pread(fd, entry, npages * 8, (off_t)((uintptr_t)p / PAGE * 8)), npages * 8);
	close(fd);
}

bool frames_told(void)
{
	volatile uint8_t here = 1;
	uint64_t entry;

	read_pagemap((const void *)&here, 1, &entry);
	if (PTE_FRAME(entry))
		return true;
	left_out("the kernel tells page frames to CAP_SYS_ADMIN alone");
	return false;
}

size_t frames_moved(const uint64_t *before, const uint64_t *after, size_t npages)
{
	size_t i, n = 0;

	for (i = 0; i < npages; i++)
		n += !PTE_PRESENT(after[i]) || PTE_FRAME(before[i]) != PTE_FRAME(after[i]);
	return n;
}

/* KiB of the mapping at @at that are in transparent huge pages. */
unsigned long huge_kib(const void *at)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end, kib = 0;
	bool here = false;
	char line[512];

	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = (uintptr_t)at >= start && (uintptr_t)at < end;
		else if (here && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
			break;
	}
	fclose(f);
	return kib;
}

uint8_t *map_aligned(size_t n, size_t align)
{
	uint8_t *p = mmap(NULL, n + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before = (align - (uintptr_t)p % align) % align;

	CHECK(p != MAP_FAILED);
	if (before)
		munmap(p, before);
	munmap(p + before + n, align - before);
	/* a huge page that is there from the start would hide what the kernel makes of small ones */
	madvise(p + before, n, MADV_NOHUGEPAGE);
	memset(p + before, 1, n);
	return p + before;
}

bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

long read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	long value = -1;

	if (f && fscanf(f, "%ld", &value) != 1)
		value = -1;
	if (f)
		fclose(f);
	return value;
}

/* ---- children ---- */

void set_level(const char *level)
{
	if (level)
		setenv("VIPL_LOCK_LEVEL", level, 1);
	else
		unsetenv("VIPL_LOCK_LEVEL");
}

void not_for_ever(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(60 + PATIENCE_MS / 1000);
}

void run_child(const char *level, void (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		not_for_ever();
		set_level(level);
		fn();
		exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
		skip();
	assert_int_equal(status, 0);
}

bool level_works(const char *level)
{
	VIP_RETURN r;
	VIP_NIC_HANDLE nic;
	VIP_MEM_HANDLE mem;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		set_level(level);
		r = VipOpenNic("emu0", &nic);
		if (r == VIP_SUCCESS)
			r = VipRegisterMem(nic, map_aligned(PAGE, PAGE), PAGE, NULL, &mem);
		if (r != VIP_SUCCESS)
			left_out("level %s: %s", level, VipxErrorText());
		_exit(r != VIP_SUCCESS);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return status == 0;
}

bool watch_works(void)
{
	struct vipx_hold hold;
	VIP_NIC_HANDLE nic;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
		hold = hold_of(nic);
		if (!hold.watched)
			left_out("%s", hold.watched_why);
		_exit(!hold.watched);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return status == 0;
}

bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

const char *no_threads_in_child(void)
{
	if (UNDER_TSAN)
		return "ThreadSanitizer's run time cannot start a thread in the child of a process with "
		       "threads";
	if (UNDER_ASAN)
		return "AddressSanitizer's run time takes no lock of its allocator at fork: in the child of "
		       "a "
		       "process with threads it may be held for ever";
	return NULL;
}

uint32_t fewer(uint32_t n, uint32_t less, const char *what)
{
	const char *slow = UNDER_TSAN	      ? "ThreadSanitizer"
			   : UNDER_ASAN	      ? "AddressSanitizer"
			   : under_valgrind() ? "valgrind"
					      : NULL;

	if (!slow)
		return n;
	printf("REDUCED: %u %s instead of %u: %s\n", less, what, n, slow);
	fflush(stdout); /* before children have a copy */
	return less;
}

static void say(const char *fmt, va_list ap)
{
	printf("SKIP: ");
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
}

void cannot(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	exit(SKIPPED);
}

void left_out(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

/* ---- memory of every kind ---- */

static char disk[64]; /* a folder on a disk, "": there is none */
static int owner;     /* whose names they are: the program's */

const struct kind kinds[] = {
	{"private anonymous", ANONYMOUS, VIPX_OBJ_PRIVATE, 0},
	{"heap", HEAP, VIPX_OBJ_PRIVATE, 0},
	{"stack", STACK, VIPX_OBJ_PRIVATE, 0},
	{"private file", DISK, VIPX_OBJ_PRIVATE, FILE_STAYS},
	{"System V", SYSV, VIPX_OBJ_SYSV, SHARED},
	{"POSIX", POSIX, VIPX_OBJ_SHMEM, SHARED},
	{"POSIX, name removed", POSIX, VIPX_OBJ_SHMEM, SHARED | REMOVED},
	{"memfd", MEMFD, VIPX_OBJ_SHMEM, SHARED},
	{"private memfd", MEMFD, VIPX_OBJ_PRIVATE, FILE_STAYS},
	{"shared anonymous", ANONYMOUS, VIPX_OBJ_SHMEM, SHARED},
	{"file", DISK, VIPX_OBJ_FILE, SHARED | IN_FILE | UNPINNED},
	{"file, removed", DISK, VIPX_OBJ_FILE, SHARED | IN_FILE | REMOVED | UNPINNED},
	{"huge pages", ANONYMOUS, VIPX_OBJ_PRIVATE, HUGE_PAGES},
	{"huge shared anonymous", ANONYMOUS, VIPX_OBJ_SHMEM, SHARED | HUGE_PAGES},
	{"huge memfd", MEMFD, VIPX_OBJ_SHMEM, SHARED | HUGE_PAGES},
	{"huge System V", SYSV, VIPX_OBJ_SYSV, SHARED | HUGE_PAGES},
	{"transparent huge pages", TRANSPARENT, VIPX_OBJ_PRIVATE, 0},
	{"read-only", ANONYMOUS, VIPX_OBJ_PRIVATE, READ_ONLY | UNPINNED},
	{"private file, read-only", DISK, VIPX_OBJ_PRIVATE, READ_ONLY | UNPINNED},
	{"System V, read-only", SYSV, VIPX_OBJ_SYSV, SHARED | READ_ONLY | UNPINNED | UNWATCHED},
	{"file, read-only", DISK, VIPX_OBJ_FILE, SHARED | READ_ONLY | UNPINNED | UNWATCHED},
	{"neighbours", NEIGHBOURS, VIPX_OBJ_MIXED, 0},
	{"neighbours, one a file", NEIGHBOURS, VIPX_OBJ_MIXED, IN_FILE | UNPINNED},
};
const size_t nkinds = sizeof(kinds) / sizeof(kinds[0]);

static int new_file(struct area *a, const struct kind *k)
{
	unsigned int huge = k->flags & HUGE_PAGES ? MFD_HUGETLB | 21u << MAP_HUGE_SHIFT : 0;

	switch (k->how) {
	case DISK:
		return open(a->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	case POSIX:
		return shm_open(a->path, O_RDWR | O_CREAT | O_EXCL, 0600);
	default:
		return memfd_create("kinds", MFD_CLOEXEC | huge);
	}
}

/* What the checks of read-only and of private memory look for; nothing there otherwise. */
static bool put_content(struct area *a, const struct kind *k)
{
	uint8_t *content = calloc(1, a->len);
	bool done;

	if (k->flags & (READ_ONLY | FILE_STAYS))
		fill_pattern(content, a->len, 99);
	/* huge pages have no write() */
	done = k->flags & HUGE_PAGES ? ftruncate(a->fd, (off_t)a->len) == 0
				     : pwrite(a->fd, content, a->len, 0) == (ssize_t)a->len;
	free(content);
	return done;
}

static bool map_file(struct area *a, const struct kind *k)
{
	int prot = PROT_READ | (k->flags & READ_ONLY ? 0 : PROT_WRITE);
	char path[32];
	int fd;

	a->fd = new_file(a, k);
	if (a->fd < 0 || !put_content(a, k))
		return false;
	if (k->flags & READ_ONLY) { /* for good, then */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", a->fd);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		close(a->fd);
		a->fd = fd;
	}
	a->p = mmap(NULL, a->len, prot, k->flags & SHARED ? MAP_SHARED : MAP_PRIVATE, a->fd, 0);
	if (k->flags & REMOVED && k->how == DISK)
		unlink(a->path);
	else if (k->flags & REMOVED)
		shm_unlink(a->path);
	return a->p != MAP_FAILED;
}

static bool map_anonymous(struct area *a, const struct kind *k)
{
	int huge = k->flags & HUGE_PAGES ? MAP_HUGETLB | 21 << MAP_HUGE_SHIFT : 0;

	a->p = mmap(NULL, a->len, PROT_READ | PROT_WRITE,
		    MAP_ANONYMOUS | huge | (k->flags & SHARED ? MAP_SHARED : MAP_PRIVATE), -1, 0);
	if (a->p == MAP_FAILED)
		return false;
	if (k->flags & READ_ONLY) {
		fill_pattern(a->p, a->len, 99);
		mprotect(a->p, a->len, PROT_READ);
	}
	return true;
}

static bool attach(struct area *a, const struct kind *k)
{
	int huge = k->flags & HUGE_PAGES ? SHM_HUGETLB | 21 << MAP_HUGE_SHIFT : 0;
	void *written;

	if (huge && under_valgrind()) { /* which ignores SHM_HUGETLB */
		errno = ENOTSUP;
		return false;
	}
	a->id = shmget(IPC_PRIVATE, a->len, 0600 | huge);
	if (a->id < 0)
		return false;
	a->p = written = shmat(a->id, NULL, 0);
	if (k->flags & READ_ONLY) {
		fill_pattern(written, a->len, 99);
		a->p = shmat(a->id, NULL, SHM_RDONLY);
		shmdt(written);
	}
	shmctl(a->id, IPC_RMID, NULL); /* it can be attached by its number all the same */
	return a->p != (void *)-1;
}

/* From the heap, and not by mmap. */
static bool take_heap(struct area *a)
{
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	a->heap = calloc(1, a->len + PAGE);
	if (!a->heap)
		return false;
	a->p = (uint8_t *)a->heap + (PAGE - (uintptr_t)a->heap % PAGE) % PAGE;
	return true;
}

static bool map_transparent(struct area *a)
{
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	a->p = map_aligned(a->len, HUGE);
	madvise(a->p, a->len, MADV_DONTNEED);
	if (madvise(a->p, a->len, MADV_HUGEPAGE))
		return false;
	memset(a->p, 1, a->len);
	errno = ENOMEM;
	return huge_kib(a->p) == a->len / 1024;
}

/* Private memory, a part of a memfd, a System V segment, and shared anonymous memory or a file. */
static bool map_neighbours(struct area *a, const struct kind *k)
{
	size_t part = a->len / 4;
	struct area memfd = {.len = part + 5 * PAGE}, sysv = {.len = part};
	int prot = PROT_READ | PROT_WRITE;
	bool done;

	if (k->flags & IN_FILE && (!map_file(a, &(struct kind){.how = DISK}) || munmap(a->p, a->len)))
		return false;
	if (!map_anonymous(a, &(struct kind){.flags = 0}) || !map_file(&memfd, &(struct kind){.how = MEMFD}))
		return false;
	sysv.id = shmget(IPC_PRIVATE, part, 0600);
	done = mmap(a->p + part, part, prot, MAP_SHARED | MAP_FIXED, memfd.fd, 5 * PAGE) != MAP_FAILED &&
	       shmat(sysv.id, a->p + 2 * part, SHM_REMAP) != (void *)-1 &&
	       mmap(a->p + 3 * part, part, prot,
		    MAP_SHARED | MAP_FIXED | (k->flags & IN_FILE ? 0 : MAP_ANONYMOUS), a->fd,
		    0) != MAP_FAILED;
	shmctl(sysv.id, IPC_RMID, NULL);
	munmap(memfd.p, memfd.len);
	close(memfd.fd);
	return done;
}

bool area_make(struct area *a, const struct kind *k, int end)
{
	*a = (struct area){.len = 256 * PAGE, .fd = -1, .id = -1};
	if (k->flags & HUGE_PAGES || k->how == TRANSPARENT)
		a->len = unlimited() ? 2 * HUGE : HUGE; /* the usual RLIMIT_MEMLOCK is 8 MiB */
	snprintf(a->path, sizeof(a->path), "%s/vipl-kinds.%d.%d", k->how == POSIX ? "" : disk, owner, end);
	errno = 0;
	if ((k->how == DISK || k->flags & IN_FILE) && !disk[0]) {
		errno = EROFS;
		return false;
	}
	switch (k->how) {
	case ANONYMOUS:
		return map_anonymous(a, k);
	case HEAP:
		return take_heap(a);
	case SYSV:
		return attach(a, k);
	case TRANSPARENT:
		return map_transparent(a);
	case NEIGHBOURS:
		return map_neighbours(a, k);
	case STACK:
		return true; /* the caller's */
	default:
		return map_file(a, k);
	}
}

void area_drop(struct area *a)
{
	free(a->heap);
	if (a->id >= 0)
		shmdt(a->p);
	else if (a->p && !a->heap)
		munmap(a->p, a->len);
	if (a->fd >= 0)
		close(a->fd);
	unlink(a->path);
	shm_unlink(a->path);
}

void areas_begin(void)
{
	const char *const folders[] = {getenv("TMPDIR"), "/var/tmp", "/tmp", "."};
	struct statfs fs;
	size_t i;

	owner = getpid();
	for (i = 0; i < 4 && !disk[0]; i++) {
		if (folders[i] && strlen(folders[i]) < sizeof(disk) && access(folders[i], W_OK) == 0 &&
		    statfs(folders[i], &fs) == 0 && fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
			snprintf(disk, sizeof(disk), "%s", folders[i]);
	}
}

void areas_forget(void)
{
	char path[96];
	int end;

	for (end = 0; end < 2; end++) {
		snprintf(path, sizeof(path), "%s/vipl-kinds.%d.%d", disk, owner, end);
		unlink(path);
		snprintf(path, sizeof(path), "/vipl-kinds.%d.%d", owner, end);
		shm_unlink(path);
	}
}
