/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_forbidden.c - what containers forbid, io_uring and userfaultfd: the
 * library does without what it does not get, says so and what to do, refuses
 * what nobody could answer for, and transfers are as good as ever.  A seccomp
 * filter of our own takes the part of the container's.
 */
#include "tests/vipl/memory.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cap-ng.h>

#include <cmocka.h>

/* What is forbidden. */
enum { RING = 1, WATCH = 2 };

static const long calls[] = {SYS_io_uring_setup, SYS_userfaultfd}; /* by bit */

#define REGION (128u << 10)

/* Of the test that runs: its children find it here. */
static struct world {
	unsigned int forbidden;
	const char *level; /* VIPL_LOCK_LEVEL, NULL: none */
} here;

/* The call @nr returns EPERM from now on, in this process and its children. */
static bool forbid(long nr)
{
	struct sock_filter lines[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(lines) / sizeof(lines[0]), lines};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

/* In a child, before it opens a NIC. */
static bool enter_world(void)
{
	unsigned int i;

	set_level(here.level);
	for (i = 0; i < 2; i++) {
		if (!(here.forbidden & 1u << i))
			continue;
		if (!forbid(calls[i]))
			return false;
		/* whatever the arguments: an allowed call would not like these */
		CHECK_EQ(syscall(calls[i], -1, NULL), -1);
		CHECK_EQ(errno, EPERM);
	}
	return true;
}

static void must_enter(void)
{
	if (here.forbidden & WATCH && under_valgrind())
		cannot("valgrind does not know userfaultfd, and lets no such call through to the filter");
	if (!enter_world())
		cannot("no seccomp filter: %s", strerror(errno));
}

/* Without the filter the call fails in another way, or else the filter changes nothing. */
static void try_child(void)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		if (here.forbidden & 1u << i && syscall(calls[i], -1, NULL) == -1 && errno == EPERM)
			printf("system call %ld is forbidden here even without a filter\n", calls[i]);
	}
	must_enter();
}

static bool says(const char *text, const char *a, const char *b, const char *c)
{
	bool all = strstr(text, a) && strstr(text, b) && strstr(text, c);

	if (!all)
		fprintf(stderr, "'%s', '%s' and '%s' should be in: %s\n", a, b, c, text);
	return all;
}

/* What the library tells of itself; the text fits. */
static struct vipx_hold check_told(VIP_NIC_HANDLE nic)
{
	struct vipx_hold h = hold_of(nic);

	CHECK(memchr(h.level_why, 0, sizeof(h.level_why)) && strlen(h.level_why) < sizeof(h.level_why) - 1);
	CHECK(memchr(h.watched_why, 0, sizeof(h.watched_why)) &&
	      strlen(h.watched_why) < sizeof(h.watched_why) - 1);
	CHECK_EQ(h.chosen, here.level != NULL);
	if (here.forbidden & RING) {
		CHECK(h.level <= VIPX_LOCKED);
		if (!here.level && h.level == VIPX_LOCKED) {
			CHECK(says(h.level_why, "io_uring", "kernel.io_uring_disabled", "container"));
			CHECK(strstr(h.level_why, strerror(EPERM)));
		}
	}
	if (here.forbidden & WATCH) {
		CHECK_EQ(h.watched, 0);
		CHECK(says(h.watched_why, "userfaultfd", strerror(EPERM),
			   h.level == VIPX_MAPPED ? "not registered" : "slower"));
	}
	return h;
}

/* ---- transfers ---- */

static const uint32_t sizes[] = {1, 64, 5000, REGION};

/* To and fro, from and into a region of its own. */
static void exchange(struct end *e, uint8_t *p, VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN r;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(p, 0, REGION);
		fill_pattern(p + REGION, sizes[i], (unsigned int)(i + 1 + 10 * (unsigned int)e->server));
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 0, p, sizes[i], mem), e->mem), VIP_SUCCESS);
		end_sync(e);
		CHECK_EQ(VipPostSend(e->vi, end_fill(e, 1, p + REGION, sizes[i], mem), e->mem), VIP_SUCCESS);
		CHECK(end_sent(e, &r) == end_desc(e, 1));
		CHECK_EQ(r, VIP_SUCCESS);
		d = end_recv(e, &r);
		CHECK(d == end_desc(e, 0));
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(d->CS.Length, sizes[i]);
		CHECK_EQ(diff_pattern(p, sizes[i], (unsigned int)(i + 1 + 10 * (unsigned int)!e->server)),
			 -1);
		end_sync(e);
	}
}

static void open_end(struct end *e)
{
	CHECK(enter_world()); /* test_transfer has tried it */
	end_open(e);
	check_told(e->nic);
	end_connect(e);
}

static void transfer_end(struct end *e)
{
	struct held before;
	struct vipx_rec row;
	VIP_MEM_HANDLE mem;
	uint8_t *p;
	uint32_t level;

	open_end(e);
	level = hold_of(e->nic).level;
	p = map_aligned(2 * REGION, PAGE);
	before = held_now();
	CHECK_EQ(VipRegisterMem(e->nic, p, 2 * REGION, NULL, &mem), VIP_SUCCESS);
	CHECK(find_tpt(e->nic, p, mem, &row));
	CHECK(row.u.tpt.level <= level && row.u.tpt.level >= VIPX_LOCKED);
	CHECK_EQ(held_now().lck - before.lck, 2 * REGION / 1024);
	CHECK_EQ(held_now().pin - before.pin, row.u.tpt.level == VIPX_PINNED ? 2 * REGION / 1024 : 0);
	exchange(e, p, mem);
	CHECK_EQ(VipDeregisterMem(e->nic, p, mem), VIP_SUCCESS);
	CHECK_HELD(before);
	end_sync(e);
	end_close(e);
}

/*
 * The receive is posted @late, that is, when the memory has gone, or before;
 * what comes in its place is registered @again, or not.
 */
static void lose(struct end *e, bool late, bool again)
{
	uint8_t *p = map_aligned(REGION, PAGE), *q;
	VIP_DESCRIPTOR *d;
	VIP_MEM_HANDLE mem, fresh;
	VIP_RETURN r;

	CHECK_EQ(VipRegisterMem(e->nic, p, REGION, NULL, &mem), VIP_SUCCESS);
	d = end_fill(e, 0, p, REGION, mem);
	if (!late)
		CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
	CHECK_EQ(munmap(p, REGION), 0);
	q = mmap(p, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(q == p);
	fill_pattern(q, REGION, 2);
	if (again)
		CHECK_EQ(VipRegisterMem(e->nic, q, REGION, NULL, &fresh), VIP_SUCCESS);
	if (late)
		CHECK_EQ(VipPostRecv(e->vi, d, e->mem), VIP_SUCCESS);
	end_sync(e); /* the client sends */
	CHECK(end_recv(e, &r) == d);
	CHECK_EQ(r, VIP_DESCRIPTOR_ERROR);
	CHECK_EQ(d->CS.Status & VIP_STATUS_ERROR_MASK, VIP_STATUS_PROTECTION_ERROR);
	CHECK_EQ(diff_pattern(q, REGION, 2), -1);
	CHECK_EQ(VipDeregisterMem(e->nic, p, mem), VIP_SUCCESS);
	if (again) { /* and that can be used */
		CHECK_EQ(VipPostRecv(e->vi, end_fill(e, 0, q, REGION, fresh), e->mem), VIP_SUCCESS);
		end_sync(e);
		CHECK(end_recv(e, &r) == d);
		CHECK_EQ(r, VIP_SUCCESS);
		CHECK_EQ(diff_pattern(q, REGION, 3), -1);
		CHECK_EQ(VipDeregisterMem(e->nic, q, fresh), VIP_SUCCESS);
	}
	munmap(q, REGION);
}

static void losing_end(struct end *e)
{
	struct held before;
	int i;

	open_end(e);
	before = held_now();
	for (i = 0; i < 4; i++)
		lose(e, i & 1, i & 2);
	CHECK_HELD(before);
	end_sync(e);
	end_close(e);
}

static void sending_end(struct end *e)
{
	VIP_RETURN r;
	int i;

	open_end(e);
	fill_pattern(end_data(e), REGION, 3);
	for (i = 0; i < 6; i++) { /* what is registered again gets two */
		end_sync(e);
		end_post_send(e, 1, end_data(e), REGION);
		end_sent(e, &r);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_sync(e);
	end_close(e);
}

/* Can the test be run here?  Its ends have no way to say that it cannot. */
static void prepare(const struct world *w)
{
	here = *w;
	run_child(NULL, try_child);
	if (!level_works("locked"))
		skip();
	printf("forbidden:%s%s; level asked for: %s\n", w->forbidden & RING ? " io_uring" : "",
	       w->forbidden & WATCH ? " userfaultfd" : "", w->level ? w->level : "none");
}

static void test_transfer(void **state)
{
	prepare(*state);
	run_pair(transfer_end, transfer_end, VIP_SERVICE_RELIABLE_DELIVERY, 20);
}

static void test_loss(void **state)
{
	prepare(*state);
	run_pair(losing_end, sending_end, VIP_SERVICE_UNRELIABLE, 20);
}

/* ---- the level ---- */

static void fall_child(void)
{
	struct vipx_hold h;
	VIP_NIC_HANDLE nic;

	must_enter();
	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	h = check_told(nic);
	CHECK_EQ(h.level, VIPX_LOCKED);
	printf("%s; %s\n", h.level_why, h.watched_why);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static void test_fall(void **state)
{
	prepare(*state);
	run_child(NULL, fall_child);
}

static void locked_child(void)
{
	VIP_NIC_HANDLE nic;

	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	CHECK_EQ(check_told(nic).level, VIPX_LOCKED);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static void pinned_child(void)
{
	VIP_NIC_HANDLE nic = (VIP_NIC_HANDLE)&here;

	must_enter();
	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_ERROR_RESOURCE);
	CHECK(nic == (VIP_NIC_HANDLE)&here);
	printf("%s\n", VipxErrorText());
	CHECK(says(VipxErrorText(), "VIPL_LOCK_LEVEL=pinned", "io_uring", strerror(EPERM)));
	CHECK(says(VipxErrorText(), "kernel.io_uring_disabled", "container", "ask for locked"));
	CHECK_EQ(held_now().lck + held_now().pin, 0);
	here.level = "locked"; /* what the text says is of help */
	run_child(here.level, locked_child);
}

static void test_pinned(void **state)
{
	prepare(*state);
	run_child(NULL, pinned_child);
}

/* ---- nothing at all: it could not be locked, and nobody would notice its loss ---- */

static void nothing_child(void)
{
	static const struct rlimit none = {0, 0};
	uint8_t *p = map_aligned(4 * PAGE, PAGE);
	struct vipx_hold h;
	struct held before;
	VIP_MEM_HANDLE mem = 77;
	VIP_NIC_HANDLE nic;

	capng_clear(CAPNG_SELECT_BOTH);
	CHECK_EQ(capng_apply(CAPNG_SELECT_CAPS), 0);
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	must_enter();
	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	h = check_told(nic);
	CHECK_EQ(h.level, VIPX_MAPPED);
	CHECK(says(h.level_why, "mlock", "RLIMIT_MEMLOCK is 0 KiB", "ulimit -l"));
	before = held_now();
	CHECK_EQ(VipRegisterMem(nic, p, 4 * PAGE, NULL, &mem), VIP_ERROR_RESOURCE);
	printf("%s\n", VipxErrorText());
	CHECK(says(VipxErrorText(), "RLIMIT_MEMLOCK", "ulimit -l", "userfaultfd"));
	CHECK_EQ(mem, 77);
	CHECK_EQ(count_rows(nic, VIPX_TPT) + count_rows(nic, VIPX_LMA), 0);
	CHECK_HELD(before);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static void test_nothing(void **state)
{
	here = *(const struct world *)*state;
	run_child(NULL, nothing_child);
}

int main(void)
{
	static struct world ring = {RING, NULL}, ring_pinned = {RING, "pinned"}, watch = {WATCH, NULL},
			    watch_locked = {WATCH, "locked"}, both = {RING | WATCH, NULL};
	/* the last one starts an agent that has no capability, which should not serve others */
	const struct CMUnitTest tests[] = {
		{"io_uring: the level falls to locked", test_fall, NULL, NULL, &ring},
		{"io_uring: pinned cannot be had", test_pinned, NULL, NULL, &ring_pinned},
		{"io_uring: transfer", test_transfer, NULL, NULL, &ring},
		{"userfaultfd: transfer", test_transfer, NULL, NULL, &watch},
		{"userfaultfd: memory that goes away", test_loss, NULL, NULL, &watch},
		{"userfaultfd: memory that goes away, locked", test_loss, NULL, NULL, &watch_locked},
		{"both: the level falls to locked", test_fall, NULL, NULL, &both},
		{"both: transfer", test_transfer, NULL, NULL, &both},
		{"both: memory that goes away", test_loss, NULL, NULL, &both},
		{"both, and no lock", test_nothing, NULL, NULL, &both},
	};

	setenv("VIPL_LOG", "none", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
