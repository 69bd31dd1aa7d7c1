/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_kinds.c - every kind of memory that a process can have is registered,
 * held, sent from and received into, byte for byte, between two processes; what
 * the kernel has locked and what the agent's tables say of it is right; and
 * what no NIC may reach is refused with its cause, and leaves no lock behind.
 */
#include "tests/vipl/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static const struct kind *now; /* the kind under test; the ends are forked with it */
static const char *now_level;

/* ---- traffic ---- */

static const uint32_t sizes[] = {1, 240, PAGE + 3, 300000};

/* Each size both ways at once, from @out to the peer's @in; @done is called for what has come. */
static void exchange(struct end *e, VIP_MEM_HANDLE mem, uint8_t *in, uint8_t *out,
		     void (*done)(void *arg, const uint8_t *in, size_t n, unsigned int seed), void *arg)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t n = sizes[i];
		unsigned int mine = (unsigned int)(2 * i) + !e->server, its = mine ^ 1;

		fill_pattern(out, n, mine);
		in[-1] = 0xdd;
		memset(in, 0xee, n + 1);
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 0, in, n, mem), e->mem), VIP_SUCCESS);
		if (end_state(e) == VIP_STATE_IDLE)
			end_connect(e);
		end_sync(e);
		CHECK_EQ(VipPostSend(e->vi, end_fill(e, 1, out, n, mem), e->mem), VIP_SUCCESS);
		d = end_recv(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK(d == end_desc(e, 0));
		CHECK_EQ(d->CS.Length, n);
		d = end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK(d == end_desc(e, 1));
		CHECK_EQ(diff_pattern(in, n, its), -1);
		CHECK_EQ(diff_pattern(out, n, mine), -1);
		CHECK_EQ(in[-1], 0xdd);
		CHECK_EQ(in[n], 0xee);
		if (done)
			done(arg, in, n, its);
	}
}

/* ---- what is held, and what the tables say ---- */

/* All but the first page and a bit, and the last bytes: no boundary is a page's. */
static uint8_t *part_of(const struct area *a, size_t *n)
{
	*n = a->len - PAGE - 3 - 9;
	return a->p + PAGE + 3;
}

static void check_levels(struct end *e, const struct vipx_rec *row, unsigned int flags, unsigned long pin)
{
	uint32_t best = hold_of(e->nic).level, least = best;

	if (best == VIPX_PINNED && (flags & UNPINNED || !unlimited()))
		least = VIPX_LOCKED;
	CHECK(row->u.tpt.level >= least && row->u.tpt.level <= best);
	/* a huge page counts as a whole */
	CHECK(row->u.tpt.level == VIPX_PINNED ? pin >= row->u.tpt.length / 1024 : pin == 0);
}

struct sum {
	const struct area *a;
	uint64_t lmas, locked; /* bytes */
};

static void one_part(void *context, const struct vipx_rec *r)
{
	struct sum *s = context;
	uint64_t start = (uintptr_t)s->a->p, end = start + s->a->len;

	if (r->pid != (uint32_t)getpid())
		return;
	if (r->kind == VIPX_LMA && r->u.lma.start >= start && r->u.lma.start < end) {
		s->lmas += r->u.lma.length;
		s->locked += r->u.lma.physical ? r->u.lma.length : 0;
	} else if (r->kind == VIPX_SEG && r->u.seg.start >= start && r->u.seg.start < end) {
		s->locked += r->u.seg.whole ? r->u.seg.length : 0;
	}
}

/* By the agent's tables: bytes of LMAs in the area, and of what is to be locked for them. */
static struct sum sum_of(struct end *e, const struct area *a)
{
	struct sum s = {.a = a};

	CHECK_EQ(VipxInspect(e->nic, VIPX_LMA, one_part, &s), VIP_SUCCESS);
	CHECK_EQ(VipxInspect(e->nic, VIPX_SEG, one_part, &s), VIP_SUCCESS);
	return s;
}

static void check_tpt(struct end *e, const struct area *a, const void *p, size_t n, VIP_MEM_HANDLE mem,
		      unsigned long pin)
{
	struct vipx_rec row, lma;
	struct map_line m;

	CHECK(find_tpt(e->nic, p, mem, &row));
	CHECK_EQ(row.u.tpt.start, (uintptr_t)p);
	CHECK_EQ(row.u.tpt.length, n);
	CHECK_EQ(row.u.tpt.object_kind, now->object);
	CHECK_EQ(row.u.tpt.rights & VIPX_R_WRITE, now->flags & READ_ONLY ? 0 : VIPX_R_WRITE);
	CHECK(row.u.tpt.tag != 0);
	check_levels(e, &row, now->flags, pin);
	CHECK(find_lma(e->nic, p, &lma));
	CHECK_EQ(lma.u.lma.count, 1);
	CHECK_EQ(lma.u.lma.level, row.u.tpt.level);
	CHECK_EQ(sum_of(e, a).lmas, (((uintptr_t)p + n - 1) / PAGE - (uintptr_t)p / PAGE + 1) * PAGE);
	if (now->object == VIPX_OBJ_MIXED)
		return;
	CHECK_EQ(lma.u.lma.object_kind, now->object);
	CHECK_EQ(row.u.tpt.object, lma.u.lma.object);
	if (now->object == VIPX_OBJ_PRIVATE) {
		CHECK_EQ(row.u.tpt.object, 0);
		return;
	}
	CHECK(find_map(p, NULL, &m));
	CHECK_EQ(row.u.tpt.object, now->object == VIPX_OBJ_SYSV ? (uint64_t)a->id : m.inode);
	if (now->object != VIPX_OBJ_SYSV)
		CHECK_EQ(row.u.tpt.dev, m.dev);
	CHECK_EQ(row.u.tpt.offset, (uintptr_t)p - (uintptr_t)a->p);
}

/* KiB that must be locked for a part of @a: memory objects are locked as whole attachments. */
static unsigned long lock_of(struct end *e, const struct area *a, const uint8_t *p, size_t n)
{
	unsigned long first = (uintptr_t)p / PAGE, last = ((uintptr_t)p + n - 1) / PAGE;

	if (hold_of(e->nic).level < VIPX_LOCKED || now->flags & HUGE_PAGES)
		return 0;
	if (now->object == VIPX_OBJ_MIXED) /* which of its attachments as a whole is for the agent to say */
		return sum_of(e, a).locked / 1024;
	if (now->object == VIPX_OBJ_SYSV || now->object == VIPX_OBJ_SHMEM)
		return a->len / 1024;
	return (last - first + 1) * (PAGE / 1024);
}

static void check_segment(struct end *e, const struct area *a, const void *p, uint32_t count)
{
	bool shared = now->object == VIPX_OBJ_SYSV || now->object == VIPX_OBJ_SHMEM;
	struct vipx_rec seg;

	if (!shared && now->object != VIPX_OBJ_PRIVATE)
		return;
	CHECK_EQ(find_seg(e->nic, p, &seg), shared && count > 0);
	if (!shared || count == 0)
		return;
	CHECK_EQ(seg.u.seg.start, (uintptr_t)a->p);
	CHECK_EQ(seg.u.seg.length, a->len);
	CHECK_EQ(seg.u.seg.count, count);
	CHECK_EQ(seg.u.seg.whole, 1);
	CHECK_EQ(seg.u.seg.object_kind, now->object);
}

/* Register a part of the area, and a part of the part again, which changes nothing. */
static VIP_MEM_HANDLE check_register(struct end *e, const struct area *a)
{
	VIP_MEM_HANDLE mem, again;
	struct held before = held_now(), with;
	struct vipx_rec row;
	uint8_t *p;
	size_t n;

	p = part_of(a, &n);
	CHECK_EQ(VipRegisterMem(e->nic, p, n, NULL, &mem), VIP_SUCCESS);
	with = held_now();
	CHECK_EQ(with.lck - before.lck, lock_of(e, a, p, n));
	check_tpt(e, a, p, n, mem, with.pin - before.pin);
	check_segment(e, a, p, 1);
	CHECK_EQ(VipRegisterMem(e->nic, p + 2 * PAGE, 3 * PAGE, NULL, &again), VIP_SUCCESS);
	CHECK_EQ(held_now().lck, with.lck);
	check_segment(e, a, p, 2);
	CHECK(find_lma(e->nic, p + 3 * PAGE, &row));
	CHECK_EQ(row.u.lma.count, 2);
	CHECK_EQ(VipDeregisterMem(e->nic, p + 2 * PAGE, again), VIP_SUCCESS);
	check_segment(e, a, p, 1);
	CHECK_HELD(with);
	return mem;
}

static void check_deregister(struct end *e, const struct area *a, VIP_MEM_HANDLE mem, struct held before)
{
	struct vipx_rec row;
	uint8_t *p;
	size_t n;

	p = part_of(a, &n);
	CHECK_EQ(VipDeregisterMem(e->nic, p, mem), VIP_SUCCESS);
	CHECK_HELD(before);
	CHECK(!find_tpt(e->nic, p, mem, &row));
	CHECK(!find_lma(e->nic, p, &row));
	check_segment(e, a, p, 0);
	CHECK_EQ(VipDeregisterMem(e->nic, p, mem), VIP_INVALID_PARAMETER);
}

/* ---- what others see ---- */

/* Another process, which has mapped the object by itself before anything is registered. */
struct witness {
	int sock;
	pid_t pid;
};

struct question {
	size_t at, n, seed;
};

static void *map_again(const struct area *a)
{
	if (now->how == SYSV)
		return shmat(a->id, NULL, SHM_RDONLY);
	return a->fd < 0 ? a->p : mmap(NULL, a->len, PROT_READ, MAP_SHARED, a->fd, 0);
}

static void witness_start(struct witness *w, const struct area *a)
{
	struct question q;
	long differs;
	uint8_t *p;
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	w->sock = sv[0];
	w->pid = fork();
	if (w->pid == 0) {
		close(sv[0]);
		p = map_again(a);
		while (recv(sv[1], &q, sizeof(q), MSG_WAITALL) == sizeof(q)) {
			differs = p == (void *)-1 ? -2 : diff_pattern(p + q.at, q.n, (unsigned int)q.seed);
			send(sv[1], &differs, sizeof(differs), MSG_NOSIGNAL);
		}
		_exit(0);
	}
	close(sv[1]);
}

static long witness_ask(const struct witness *w, size_t at, size_t n, unsigned int seed)
{
	struct question q = {at, n, seed};
	long differs = -3;

	CHECK_EQ(send(w->sock, &q, sizeof(q), MSG_NOSIGNAL), sizeof(q));
	CHECK_EQ(recv(w->sock, &differs, sizeof(differs), MSG_WAITALL), sizeof(differs));
	return differs;
}

static void witness_end(const struct witness *w)
{
	int status;

	close(w->sock);
	CHECK_EQ(waitpid(w->pid, &status, 0), w->pid);
	CHECK_EQ(status, 0);
}

/* Where the file differs from the pattern, or -1. */
static long file_differs(const struct area *a, size_t at, size_t n, unsigned int seed)
{
	uint8_t *content = malloc(n);
	long differs;

	CHECK_EQ(pread(a->fd, content, n, (off_t)at), n);
	differs = diff_pattern(content, n, seed);
	free(content);
	return differs;
}

struct arrival {
	struct area *a;
	struct witness w;
};

static void arrived(void *arg, const uint8_t *in, size_t n, unsigned int seed)
{
	struct arrival *v = arg;
	size_t at = (size_t)(in - v->a->p);

	if (now->flags & SHARED)
		CHECK_EQ(witness_ask(&v->w, at, n, seed), -1);
	if (now->object == VIPX_OBJ_FILE) {
		CHECK_EQ(msync(v->a->p, v->a->len, MS_SYNC), 0);
		CHECK_EQ(file_differs(v->a, at, n, seed), -1);
	}
	if (now->flags & FILE_STAYS)
		CHECK_EQ(file_differs(v->a, 0, v->a->len, 99), -1);
}

/* ---- each kind ---- */

static void use_area(struct end *e, struct area *a)
{
	struct arrival v = {.a = a};
	VIP_MEM_HANDLE mem;
	struct held before;
	uint8_t *p;
	size_t n;

	if (now->flags & SHARED)
		witness_start(&v.w, a);
	set_level(now_level);
	end_open(e);
	before = held_now();
	mem = check_register(e, a);
	p = part_of(a, &n);
	/* what leaves and what comes each run across an inner boundary */
	exchange(e, mem, p + 5, p + a->len / 2 - 1000, arrived, &v);
	exchange(e, mem, p + a->len / 2 - 100, p + 7, arrived, &v);
	end_sync(e);
	check_deregister(e, a, mem, before);
	end_sync(e);
	end_close(e);
	if (now->flags & SHARED)
		witness_end(&v.w);
}

static void stack_end(struct end *e)
{
	uint8_t room[300 * PAGE];
	struct area a = {.p = room + (PAGE - (uintptr_t)room % PAGE) % PAGE, .len = 299 * PAGE};

	memset(room, 1, sizeof(room));
	use_area(e, &a);
}

static void kind_end(struct end *e)
{
	struct area a;

	if (now->how == STACK) {
		stack_end(e);
		return;
	}
	CHECK(area_make(&a, now, e->server));
	use_area(e, &a);
	area_drop(&a);
}

/* Read-only: sent from; what comes for it is a protection error, and not a byte changes. */
static void read_only_end(struct end *e)
{
	VIP_MEM_HANDLE mem;
	struct held before;
	VIP_DESCRIPTOR *d;
	struct area a;
	VIP_RETURN r;
	uint8_t *p;
	size_t n, i;

	CHECK(area_make(&a, now, e->server));
	CHECK_EQ(diff_pattern(a.p, a.len, 99), -1);
	set_level(now_level);
	end_open(e);
	before = held_now();
	p = part_of(&a, &n);
	if (now->flags & UNWATCHED && hold_of(e->nic).level == VIPX_MAPPED) {
		/* nothing would tell that it goes away */
		CHECK_EQ(VipRegisterMem(e->nic, p, n, NULL, &mem), VIP_ERROR_RESOURCE);
		CHECK(strstr(VipxErrorText(), "watched"));
		end_close(e);
		area_drop(&a);
		return;
	}
	mem = check_register(e, &a);
	for (i = 0; i < 4; i++)
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, (int)i, end_data(e) + i * 400000, sizes[i], e->mem),
				     e->mem),
			 VIP_SUCCESS);
	CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 4, p, 240, mem), e->mem), VIP_SUCCESS);
	CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 5, p + 1000, 300000, mem), e->mem), VIP_SUCCESS);
	end_connect(e);
	for (i = 0; i < 6; i++) {
		uint32_t len = i < 4 ? sizes[i] : i == 4 ? 240 : 300000;

		CHECK_EQ(VipPostSend(e->vi, end_fill(e, 8, p + i, len, mem), e->mem), VIP_SUCCESS);
		end_sent(e, &r);
		if (i < 4)
			CHECK_EQ(r, VIP_SUCCESS);
		d = end_recv(e, &r);
		CHECK(d == end_desc(e, (int)i));
		if (i < 4) {
			CHECK_EQ(r, VIP_SUCCESS);
			CHECK_EQ(d->CS.Length, len);
			CHECK_EQ(memcmp(end_data(e) + i * 400000, p + i, len), 0);
		} else {
			CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
			CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
		}
		end_sync(e);
	}
	CHECK_EQ(diff_pattern(a.p, a.len, 99), -1);
	check_deregister(e, &a, mem, before);
	end_sync(e);
	end_close(e);
	area_drop(&a);
}

static void test_kind(void **state)
{
	static const char *const levels[] = {NULL, "locked", "mapped"};
	static int works[3] = {1, -1, -1}; /* -1: not asked yet */
	struct area a;
	size_t i;

	now = *state;
	if (!area_make(&a, now, 0)) {
		print_message("SKIP: %s: %s%s\n", now->name, strerror(errno),
			      now->flags & HUGE_PAGES ? " (/proc/sys/vm/nr_hugepages)" : "");
		areas_forget();
		skip();
	}
	area_drop(&a);
	for (i = 0; i < (UNDER_TSAN || under_valgrind() ? 1 : 3); i++) { /* they take their time */
		now_level = levels[i];
		if (works[i] < 0)
			works[i] = level_works(now_level);
		if (!works[i])
			continue;
		if (now->flags & READ_ONLY)
			run_pair(read_only_end, read_only_end, VIP_SERVICE_UNRELIABLE, 20);
		else
			run_pair(kind_end, kind_end, VIP_SERVICE_RELIABLE_DELIVERY, 20);
	}
}

/* ---- what is refused ---- */

enum refusal {
	LENGTH_0,
	WRAPS,
	ENDLESS,
	OF_THE_KERNEL,
	HOLE_AT_START,
	HOLE_WITHIN,
	HOLE_AT_END,
	HOLE_BEHIND_SEGMENT,
	NO_ACCESS,
	NO_ACCESS_WITHIN,
	BEHIND_FILE,
	SECRET,
	VVAR,
	DEVICE,
	SYSFS,
	URING,
	AIO
};

static const struct refused {
	const char *name;
	enum refusal what;
	const char *cause[2]; /* either is in the text */
} refused[] = {
	{"length 0", LENGTH_0, {"0 bytes", "length 0"}},
	{"a range that wraps", WRAPS, {"no memory", "wrap"}},
	{"a range without end", ENDLESS, {"no memory", "wrap"}},
	{"the kernel's addresses", OF_THE_KERNEL, {"no memory", "mapped"}},
	{"a hole at the start", HOLE_AT_START, {"mapped", "mapped"}},
	{"a hole within", HOLE_WITHIN, {"mapped", "mapped"}},
	{"a hole at the end", HOLE_AT_END, {"mapped", "mapped"}},
	{"a hole behind a segment", HOLE_BEHIND_SEGMENT, {"mapped", "mapped"}},
	{"no access", NO_ACCESS, {"accessible", "may not be read"}},
	{"no access within", NO_ACCESS_WITHIN, {"accessible", "may not be read"}},
	{"behind the end of the file", BEHIND_FILE, {"accessible", "file ends"}},
	{"secret memory", SECRET, {"secret", "secret"}},
	{"[vvar]", VVAR, {"device", "kernel"}},
	{"a device", DEVICE, {"device", "kernel"}},
	{"a file of sysfs", SYSFS, {"device", "kernel"}},
	{"a ring of io_uring", URING, {"device", "kernel"}},
	{"a ring of aio", AIO, {"device", "kernel"}},
};

static int special_file(enum refusal what, size_t n)
{
	static const char *const devices[] = {"/dev/mem", "/dev/hpet", "/dev/fb0", "/dev/dri/card0"};
	struct io_uring_params params = {.flags = 0};
	int fd = -1;
	size_t i;

	if (what == URING)
		return (int)syscall(SYS_io_uring_setup, 4, &params);
	if (what == SYSFS)
		return open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
	for (i = 0; what == DEVICE && i < 4 && fd < 0; i++)
		fd = open(devices[i], O_RDONLY | O_CLOEXEC);
	if (what == SECRET)
		fd = (int)syscall(SYS_memfd_secret, 0);
	if (what == BEHIND_FILE)
		fd = memfd_create("short", MFD_CLOEXEC);
	if (fd >= 0 && (what == SECRET || what == BEHIND_FILE))
		CHECK_EQ(ftruncate(fd, (off_t)(what == SECRET ? n : n / 2)), 0);
	return fd;
}

static uint8_t *map_special(enum refusal what, size_t *n)
{
	bool own = what == SECRET || what == BEHIND_FILE;
	int fd = special_file(what, *n), err;
	uint8_t *p;

	*n = own ? *n : PAGE;
	p = fd < 0 ? MAP_FAILED
		   : mmap(NULL, *n, PROT_READ | (own || what == URING ? PROT_WRITE : 0),
			  what == SYSFS ? MAP_PRIVATE : MAP_SHARED, fd, 0);
	err = errno;
	if (fd >= 0)
		close(fd);
	errno = err;
	return p == MAP_FAILED ? NULL : p;
}

/* Where @n bytes of it are, of which *@n are asked for; NULL: there is none here. */
static uint8_t *make_refused(enum refusal what, size_t *n)
{
	uint8_t *p = map_aligned(*n, PAGE);
	unsigned long ring = 0;
	struct map_line m;
	int id;

	switch (what) {
	case LENGTH_0:
		*n = 0;
		return p;
	case WRAPS:
		*n = 128;
		return (uint8_t *)-64l;
	case ENDLESS:
		*n = SIZE_MAX;
		return p;
	case OF_THE_KERNEL:
		return (uint8_t *)0xffff888000000000ul;
	case HOLE_BEHIND_SEGMENT:
		id = shmget(IPC_PRIVATE, 4 * PAGE, 0600);
		CHECK(shmat(id, p, SHM_REMAP) == p);
		shmctl(id, IPC_RMID, NULL);
		munmap(p + 4 * PAGE, PAGE);
		return p;
	case HOLE_AT_START:
	case HOLE_WITHIN:
	case HOLE_AT_END:
		munmap(p + (what == HOLE_WITHIN ? 3 * PAGE : what == HOLE_AT_END ? *n - PAGE : 0), PAGE);
		return p;
	case NO_ACCESS:
		mprotect(p, *n, PROT_NONE);
		return p;
	case NO_ACCESS_WITHIN:
		mprotect(p + 3 * PAGE, PAGE, PROT_NONE);
		return p;
	case VVAR:
		*n = PAGE;
		errno = ENOENT;
		return find_map(NULL, "[vvar]", &m) ? (uint8_t *)m.start : NULL;
	case AIO:
		*n = PAGE;
		return syscall(SYS_io_setup, 1, &ring) ? NULL : (uint8_t *)ring;
	default:
		return map_special(what, n);
	}
}

static void refused_child(void)
{
	size_t n, count = sizeof(refused) / sizeof(refused[0]);
	const struct refused *x;
	VIP_MEM_HANDLE mem;
	VIP_NIC_HANDLE nic;
	struct held before;
	const char *text;
	VIP_RETURN r;
	int bad = 0;
	uint8_t *p;

	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	for (x = refused; x < refused + count; x++) {
		n = 8 * PAGE;
		p = make_refused(x->what, &n);
		if (!p) {
			left_out("there is not %s here: %s", x->name, strerror(errno));
			continue;
		}
		before = held_now();
		mem = 77;
		r = VipRegisterMem(nic, p, n, NULL, &mem);
		text = VipxErrorText();
		if (r != VIP_INVALID_PARAMETER ||
		    (!strstr(text, x->cause[0]) && !strstr(text, x->cause[1]))) {
			fprintf(stderr, "%s: %s, '%s'; wanted VIP_INVALID_PARAMETER, '%s' or '%s'\n", x->name,
				VipxReturnName(r), text, x->cause[0], x->cause[1]);
			bad++;
		}
		CHECK_EQ(mem, 77);
		CHECK_HELD(before);
		CHECK_EQ(count_rows(nic, VIPX_TPT) + count_rows(nic, VIPX_LMA) + count_rows(nic, VIPX_SEG),
			 0);
	}
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
	CHECK_EQ(bad, 0);
}

static void test_refused(void **state)
{
	if (*state && !level_works(*state))
		skip();
	run_child(*state, refused_child);
}

/* ---- huge pages ---- */

#define NR_HUGEPAGES "/proc/sys/vm/nr_hugepages"

/*
 * Have @n more of them, as long as the pipe is open whose end is returned: a
 * process restores the number, even when this one is killed.
 */
static int more_huge_pages(long n, pid_t *restorer)
{
	int pipefd[2], fd = open(NR_HUGEPAGES, O_RDWR | O_CLOEXEC);
	char was[24], is[24], c;

	*restorer = -1;
	if (fd < 0 || pipe2(pipefd, O_CLOEXEC))
		return -1;
	flock(fd, LOCK_EX); /* one program at a time */
	snprintf(was, sizeof(was), "%ld", read_number(NR_HUGEPAGES));
	snprintf(is, sizeof(is), "%ld", read_number(NR_HUGEPAGES) + n);
	*restorer = fork();
	if (*restorer == 0) {
		close(pipefd[1]);
		while (read(pipefd[0], &c, 1) < 0 && errno == EINTR)
			;
		write_text(NR_HUGEPAGES, was);
		_exit(0);
	}
	write_text(NR_HUGEPAGES, is);
	close(pipefd[0]);
	close(fd);
	return pipefd[1];
}

int main(void)
{
	static char locked[] = "locked", mapped[] = "mapped";
	const struct CMUnitTest refusals[] = {
		{"refused", test_refused, NULL, NULL, NULL},
		{"refused, locked", test_refused, NULL, NULL, locked},
		{"refused, mapped", test_refused, NULL, NULL, mapped},
	};
	struct CMUnitTest each[32] = {{0}};
	pid_t restorer;
	size_t i;
	int huge, failed;

	setenv("VIPL_LOG", "none", 0);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* small pages are counted one by one */
	areas_begin();
	huge = more_huge_pages(12, &restorer);
	for (i = 0; i < nkinds; i++)
		each[i] = (struct CMUnitTest){kinds[i].name, test_kind, NULL, NULL, (void *)&kinds[i]};
	failed = _cmocka_run_group_tests("kinds", each, nkinds, NULL, NULL);
	areas_forget(); /* what ends that failed have left */
	if (huge >= 0) {
		close(huge);
		waitpid(restorer, NULL, 0);
	}
	return failed + cmocka_run_group_tests_name("refused", refusals, NULL, NULL);
}
