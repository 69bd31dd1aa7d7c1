/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_regcache.c - the registration cache by itself: what is found again and
 * what is not, in which order it goes, within which bounds, and that it never
 * stands in the way of a registration.  test_stale.c: memory that goes away.
 */
#include "tests/vipl/memory.h"

#include <cap-ng.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#define BYTES (16u * PAGE)

static VIP_NIC_HANDLE open_nic(void)
{
	VIP_NIC_HANDLE nic;

	CHECK_EQ(VipOpenNic("emu0", &nic), VIP_SUCCESS);
	return nic;
}

/* A NIC handle that keeps no more than @regions. */
static VIP_NIC_HANDLE open_caching(VIP_ULONG regions)
{
	VIP_NIC_HANDLE nic = open_nic();

	CHECK_EQ(VipxRegCache(nic, regions, 64u << 20), VIP_SUCCESS);
	return nic;
}

static VIP_MEM_HANDLE reg(VIP_NIC_HANDLE nic, void *p, size_t n)
{
	VIP_MEM_HANDLE mem;

	CHECK_EQ(VipRegisterMem(nic, p, n, NULL, &mem), VIP_SUCCESS);
	return mem;
}

static void dereg(VIP_NIC_HANDLE nic, void *p, VIP_MEM_HANDLE mem)
{
	CHECK_EQ(VipDeregisterMem(nic, p, mem), VIP_SUCCESS);
}

/* Through the cache and out again. */
static void pass(VIP_NIC_HANDLE nic, void *p, size_t n)
{
	dereg(nic, p, reg(nic, p, n));
}

struct counts {
	uint64_t hits, misses, evictions, invalidations, regions, bytes, limit;
};

/* @skip: of the handles that this process has opened since. */
static struct counts counts_of(VIP_NIC_HANDLE nic, uint32_t skip)
{
	struct vipx_rec r = nic_row(nic, skip);

	return (struct counts){r.u.nic.hits,	      r.u.nic.misses,	    r.u.nic.evictions,
			       r.u.nic.invalidations, r.u.nic.kept_regions, r.u.nic.kept,
			       r.u.nic.cache_limit};
}

#define COUNTS(nic) counts_of(nic, 0)

static bool is_kept(VIP_NIC_HANDLE nic, void *p, size_t n)
{
	uint64_t hits = COUNTS(nic).hits;

	pass(nic, p, n);
	return COUNTS(nic).hits > hits;
}

/* ---- what is found again ---- */

static void check_found(void)
{
	VIP_NIC_HANDLE nic = open_caching(100), other = open_caching(100);
	VIP_MEM_ATTRIBUTES a = {0}, got;
	uint8_t *p = map_aligned(2 * BYTES, PAGE);
	VIP_MEM_HANDLE one, two, three;
	struct counts c;

	one = reg(nic, p, BYTES);
	two = reg(nic, p, BYTES);
	CHECK(one != two); /* what is in use is nobody else's */
	dereg(nic, p, one);
	CHECK_EQ(VipQueryMem(nic, p, one, &got), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipDeregisterMem(nic, p, one), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipSetMemAttributes(nic, p, one, &a), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipQueryMem(nic, p, two, &got), VIP_SUCCESS);
	CHECK_EQ(reg(nic, p, BYTES), one);
	CHECK_EQ(VipQueryMem(nic, p, one, &got), VIP_SUCCESS);
	three = reg(nic, p, BYTES);
	CHECK(three != one && three != two);
	dereg(nic, p, one);
	dereg(nic, p, two);
	dereg(nic, p, three);
	c = counts_of(nic, 1);
	CHECK_EQ(c.hits, 1);
	CHECK_EQ(c.misses, 3);
	CHECK_EQ(c.regions, 3);
	CHECK_EQ(c.bytes, 3 * BYTES);
	CHECK_EQ(c.limit, 64u << 20);

	/* neither other bytes nor another handle's */
	pass(nic, p + 1, BYTES);
	pass(nic, p, BYTES - 1);
	pass(nic, p, 2 * BYTES);
	pass(other, p, BYTES);
	CHECK_EQ(counts_of(nic, 1).hits, 1);
	CHECK_EQ(counts_of(other, 0).hits, 0);
	CHECK_EQ(VipCloseNic(other), VIP_SUCCESS);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static void register_with(VIP_NIC_HANDLE nic, uint8_t *p, VIP_MEM_ATTRIBUTES *a, uint64_t hits)
{
	VIP_MEM_ATTRIBUTES got;
	VIP_MEM_HANDLE mem;

	CHECK_EQ(VipRegisterMem(nic, p, BYTES, a, &mem), VIP_SUCCESS);
	CHECK_EQ(COUNTS(nic).hits, hits);
	CHECK_EQ(VipQueryMem(nic, p, mem, &got), VIP_SUCCESS);
	CHECK(got.Ptag == a->Ptag && got.EnableRdmaWrite == a->EnableRdmaWrite &&
	      got.EnableRdmaRead == a->EnableRdmaRead);
	dereg(nic, p, mem);
}

/* Tags and rights are part of what is asked for, as they are when it is deregistered. */
static void check_attributes(void)
{
	VIP_NIC_HANDLE nic = open_caching(100);
	uint8_t *p = map_aligned(BYTES, PAGE);
	VIP_MEM_ATTRIBUTES a = {0};
	VIP_PROTECTION_HANDLE tag;
	VIP_MEM_HANDLE mem;

	CHECK_EQ(VipCreatePtag(nic, &tag), VIP_SUCCESS);
	register_with(nic, p, &a, 0);
	a.Ptag = tag;
	register_with(nic, p, &a, 0);
	a.EnableRdmaWrite = VIP_TRUE;
	register_with(nic, p, &a, 0);
	register_with(nic, p, &a, 1);
	a.EnableRdmaRead = VIP_TRUE;
	register_with(nic, p, &a, 1);
	register_with(nic, p, &a, 2);

	/* changed while it was registered */
	a = (VIP_MEM_ATTRIBUTES){.EnableRdmaRead = VIP_TRUE};
	mem = reg(nic, p, BYTES);
	CHECK_EQ(COUNTS(nic).hits, 3);
	CHECK_EQ(VipSetMemAttributes(nic, p, mem, &a), VIP_SUCCESS);
	dereg(nic, p, mem);
	mem = reg(nic, p, BYTES);
	CHECK_EQ(COUNTS(nic).hits, 3);
	dereg(nic, p, mem);
	register_with(nic, p, &a, 4);

	/* a tag that only kept regions have is in nobody's use; its successor gets none of them */
	CHECK_EQ(VipDestroyPtag(nic, tag), VIP_SUCCESS);
	CHECK_EQ(COUNTS(nic).evictions, 3);
	CHECK_EQ(VipCreatePtag(nic, &tag), VIP_SUCCESS);
	a.Ptag = tag;
	register_with(nic, p, &a, 4);
	mem = reg(nic, p, BYTES);
	a.EnableRdmaRead = VIP_FALSE;
	CHECK_EQ(VipSetMemAttributes(nic, p, mem, &a), VIP_SUCCESS);
	CHECK_EQ(VipDestroyPtag(nic, tag), VIP_ERROR_RESOURCE);
	dereg(nic, p, mem);
	CHECK_EQ(VipDestroyPtag(nic, tag), VIP_SUCCESS);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

/* ---- bounds ---- */

static void check_bounds(void)
{
	VIP_NIC_HANDLE nic = open_caching(3);
	uint8_t *p[6], *large = map_aligned(4 * BYTES, PAGE);
	struct held before = held_now();
	struct counts c;
	int i;

	for (i = 0; i < 6; i++)
		p[i] = map_aligned(BYTES, PAGE);
	for (i = 0; i < 3; i++)
		pass(nic, p[i], BYTES);
	CHECK(is_kept(nic, p[0], BYTES)); /* 1, 2, 0: the latest is last to go */
	pass(nic, p[3], BYTES);
	CHECK_EQ(COUNTS(nic).evictions, 1);
	CHECK(is_kept(nic, p[2], BYTES) && is_kept(nic, p[0], BYTES) && is_kept(nic, p[3], BYTES));
	CHECK(!is_kept(nic, p[1], BYTES));
	c = COUNTS(nic);
	CHECK_EQ(c.regions, 3);
	CHECK_EQ(c.bytes, 3 * BYTES);
	CHECK_EQ(c.evictions, 2);

	/* by bytes */
	CHECK_EQ(VipxRegCache(nic, 100, 2 * BYTES), VIP_SUCCESS);
	CHECK_EQ(COUNTS(nic).bytes, 2 * BYTES);
	CHECK_EQ(COUNTS(nic).evictions, 3);
	pass(nic, large, 4 * BYTES); /* not kept, and nothing makes room for it */
	CHECK_EQ(COUNTS(nic).regions, 2);
	CHECK(is_kept(nic, p[3], BYTES) && is_kept(nic, p[1], BYTES));
	pass(nic, large, BYTES + 1);
	CHECK_EQ(COUNTS(nic).regions, 1);
	CHECK_EQ(COUNTS(nic).bytes, BYTES + PAGE);
	CHECK_EQ(count_rows(nic, VIPX_TPT), 1);

	/* off, by either bound */
	CHECK_EQ(VipxRegCache(nic, 0, 1u << 20), VIP_SUCCESS);
	CHECK_EQ(COUNTS(nic).regions, 0);
	CHECK_EQ(COUNTS(nic).limit, 0);
	CHECK_EQ(count_rows(nic, VIPX_TPT), 0);
	CHECK_HELD(before);
	c = COUNTS(nic);
	pass(nic, p[0], BYTES);
	CHECK(!is_kept(nic, p[0], BYTES));
	CHECK_EQ(COUNTS(nic).misses, c.misses);
	CHECK_EQ(VipxRegCache(nic, 100, 0), VIP_SUCCESS);
	CHECK(!is_kept(nic, p[0], BYTES));

	/* what is in use stays */
	CHECK_EQ(VipxRegCache(nic, 100, 1u << 20), VIP_SUCCESS);
	pass(nic, p[0], BYTES);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
	CHECK_HELD(before);
	CHECK_EQ(VipxRegCache(nic, 1, 1), VIP_INVALID_PARAMETER);
	CHECK_EQ(VipxRegCache(NULL, 1, 1), VIP_INVALID_PARAMETER);
}

/* All regions of the NIC handle are kept, and one more is wanted. */
static void check_regions(void)
{
	VIP_NIC_HANDLE nic = open_nic();
	VIP_NIC_ATTRIBUTES attr;
	uint8_t *p = map_aligned(2 * PAGE, PAGE);
	VIP_MEM_HANDLE mem;
	VIP_ULONG i;

	CHECK_EQ(VipQueryNic(nic, &attr), VIP_SUCCESS);
	CHECK_EQ(VipxRegCache(nic, attr.MaxRegisterRegions, 64u << 20), VIP_SUCCESS);
	for (i = 0; i < attr.MaxRegisterRegions; i++)
		pass(nic, p, i + 1);
	CHECK_EQ(COUNTS(nic).regions, attr.MaxRegisterRegions);
	mem = reg(nic, p + PAGE, 1);
	CHECK_EQ(COUNTS(nic).evictions, 1);
	CHECK(is_kept(nic, p, 2));
	dereg(nic, p + PAGE, mem);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

/* ---- RLIMIT_MEMLOCK ---- */

static void limit_locks(size_t bytes)
{
	const struct rlimit lim = {bytes, bytes};

	capng_clear(CAPNG_SELECT_BOTH);
	CHECK_EQ(capng_apply(CAPNG_SELECT_CAPS), 0);
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &lim), 0);
}

#define LIMIT (1u << 20)

static uint32_t level_of(VIP_NIC_HANDLE nic, uint8_t *p, VIP_MEM_HANDLE mem)
{
	struct vipx_rec row;

	CHECK(find_tpt(nic, p, mem, &row));
	return row.u.tpt.level;
}

/* Register, as well held as it can be. */
static VIP_MEM_HANDLE reg_held(VIP_NIC_HANDLE nic, uint8_t *p, size_t n)
{
	VIP_MEM_HANDLE mem = reg(nic, p, n);

	CHECK_EQ(level_of(nic, p, mem), hold_of(nic).level);
	return mem;
}

/* What may be locked is all kept, here and with another NIC handle: a registration gets it, pinned and all.
 */
static void check_limit(void)
{
	uint8_t *p = map_aligned(LIMIT, PAGE), *q = map_aligned(LIMIT, PAGE), *s = map_aligned(LIMIT, PAGE),
		*t = map_aligned(LIMIT, PAGE);
	VIP_NIC_HANDLE nic, other;
	VIP_MEM_HANDLE mem;
	uint64_t before;
	size_t i;

	limit_locks(LIMIT);
	nic = open_caching(100);
	other = open_caching(100);
	if (hold_of(nic).level == VIPX_MAPPED)
		return; /* nothing is locked */
	if (VipRegisterMem(nic, t, 7 * LIMIT / 8, NULL, &mem) != VIP_SUCCESS ||
	    level_of(nic, t, mem) < hold_of(nic).level) {
		left_out("%s: other processes of the user have pins", check_doing ? check_doing : "best");
		return;
	}
	dereg(nic, t, mem);
	CHECK_EQ(VipxRegCache(nic, 0, 0), VIP_SUCCESS);
	CHECK_EQ(VipxRegCache(nic, 100, 64u << 20), VIP_SUCCESS);
	before = counts_of(nic, 1).evictions;
	for (i = 0; i < 4; i++)
		pass(i % 2 ? nic : other, p + i * LIMIT / 8, LIMIT / 8);
	mem = reg_held(nic, q, 3 * LIMIT / 8);
	CHECK_EQ(counts_of(nic, 1).evictions + counts_of(nic, 0).evictions, before);
	dereg(nic, q, mem);
	mem = reg_held(nic, s, LIMIT / 2);
	CHECK_EQ(counts_of(nic, 1).evictions, before + 3);
	CHECK_EQ(counts_of(nic, 0).evictions, 0); /* the own ones go first */
	dereg(nic, s, mem);
	reg_held(nic, t, 7 * LIMIT / 8);
	CHECK_EQ(counts_of(nic, 1).evictions, before + 4);
	CHECK_EQ(counts_of(nic, 0).evictions, 2);
	/* what is too much, is */
	CHECK_EQ(VipRegisterMem(nic, p, LIMIT / 4, NULL, &mem), VIP_ERROR_RESOURCE);
	CHECK(strstr(VipxErrorText(), "RLIMIT_MEMLOCK"));
	CHECK_EQ(VipCloseNic(other), VIP_SUCCESS);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

/* ---- fork, a dead agent, memory that is not kept ---- */

static void check_fork(void)
{
	VIP_NIC_HANDLE nic = open_caching(100), own;
	uint8_t *p = map_aligned(BYTES, PAGE);
	VIP_MEM_HANDLE mem;
	int status;
	pid_t pid;

	pass(nic, p, BYTES);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		not_for_ever();
		CHECK_EQ(VipxRegCache(nic, 100, BYTES), VIP_INVALID_PARAMETER);
		CHECK_EQ(VipRegisterMem(nic, p, BYTES, NULL, &mem), VIP_INVALID_PARAMETER);
		if (no_threads_in_child()) {
			left_out("%s", no_threads_in_child());
		} else {
			own = open_caching(100);
			pass(own, p, BYTES);
			CHECK_EQ(COUNTS(own).hits, 0);
			CHECK(is_kept(own, p, BYTES));
			CHECK_EQ(VipCloseNic(own), VIP_SUCCESS);
		}
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK(is_kept(nic, p, BYTES));
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

static void check_dead_agent(void)
{
	VIP_NIC_HANDLE nic = open_caching(100);
	uint8_t *p = map_aligned(BYTES, PAGE), *q = map_aligned(BYTES, PAGE);
	VIP_MEM_HANDLE mem, live = reg(nic, q, BYTES);
	VIP_RETURN r = VIP_SUCCESS;
	int i;

	pass(nic, p, BYTES);
	CHECK_EQ(kill(agent_pid(), SIGKILL), 0);
	for (i = 0; i < 500 && r == VIP_SUCCESS; i++) {
		r = VipRegisterMem(nic, p, BYTES, NULL, &mem);
		if (r == VIP_SUCCESS)
			VipDeregisterMem(nic, p, mem);
		usleep(10000);
	}
	CHECK_EQ(r, VIP_ERROR_RESOURCE);
	CHECK_EQ(VipDeregisterMem(nic, q, live), VIP_ERROR_RESOURCE);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
	nic = open_caching(100); /* an agent that leaves nothing behind */
	CHECK(!is_kept(nic, p, BYTES));
	CHECK(is_kept(nic, p, BYTES));
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

/* Memory that may only be read might be writable the next time. */
static void check_read_only(void)
{
	VIP_NIC_HANDLE nic = open_caching(100);
	uint8_t *p = map_aligned(BYTES, PAGE);
	struct vipx_rec row;
	VIP_MEM_HANDLE mem;

	if (hold_of(nic).chosen && hold_of(nic).level == VIPX_PINNED)
		return; /* such memory cannot be pinned */
	CHECK_EQ(mprotect(p, BYTES, PROT_READ), 0);
	mem = reg(nic, p, BYTES);
	CHECK(find_tpt(nic, p, mem, &row) && !(row.u.tpt.rights & VIPX_R_WRITE));
	dereg(nic, p, mem);
	CHECK_EQ(mprotect(p, BYTES, PROT_READ | PROT_WRITE), 0);
	mem = reg(nic, p, BYTES);
	CHECK(find_tpt(nic, p, mem, &row) && (row.u.tpt.rights & VIPX_R_WRITE));
	CHECK_EQ(COUNTS(nic).hits, 0);
	dereg(nic, p, mem);
	CHECK_EQ(VipCloseNic(nic), VIP_SUCCESS);
}

/* ---- VIPL_REG_CACHE ---- */

static void try_setting(const char *value, VIP_RETURN want, uint64_t limit)
{
	VIP_NIC_HANDLE nic;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		not_for_ever();
		check_doing = value;
		setenv("VIPL_REG_CACHE", value, 1);
		CHECK_EQ(VipOpenNic("emu0", &nic), want);
		if (want == VIP_SUCCESS) {
			pass(nic, map_aligned(BYTES, PAGE), BYTES);
			CHECK_EQ(COUNTS(nic).limit, limit);
			CHECK_EQ(COUNTS(nic).regions, limit >= BYTES);
		} else {
			CHECK(strstr(VipxErrorText(), "VIPL_REG_CACHE") && strstr(VipxErrorText(), value));
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_environment(void **state)
{
	static const char *const wrong[] = {
		"yes", "0", "-1", "1T", "16 M", "K", "99999999999999999999999", "17179869184G"};
	uint64_t half = 64u << 20;
	struct rlimit lim;
	size_t i;

	(void)state;
	if (!watch_works())
		skip();
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &lim), 0);
	if (!unlimited() && lim.rlim_cur != RLIM_INFINITY && lim.rlim_cur / 2 < half)
		half = lim.rlim_cur / 2;
	try_setting("off", VIP_SUCCESS, 0);
	try_setting("on", VIP_SUCCESS, half);
	try_setting("4096", VIP_SUCCESS, 4096);
	try_setting("300K", VIP_SUCCESS, 300u << 10);
	try_setting("5m", VIP_SUCCESS, 5u << 20);
	try_setting("2G", VIP_SUCCESS, 2ull << 30);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		try_setting(wrong[i], VIP_INVALID_PARAMETER, 0);
}

/* ---- at each level ---- */

static void at_each_level(void (*fn)(void))
{
	static const char *const levels[] = {NULL, "mapped", "locked", "pinned"};
	size_t i;

	if (!watch_works()) /* nothing is kept */
		skip();
	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (under_valgrind() && (!levels[i] || strcmp(levels[i], "pinned") == 0)) {
			left_out("valgrind does not know that a child has not its parent's rings: no pins");
			continue;
		}
		check_doing = levels[i];
		if (!levels[i] || level_works(levels[i]))
			run_child(levels[i], fn);
	}
	check_doing = NULL;
}

#define AT_EACH_LEVEL(name)                   \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		at_each_level(check_##name);  \
	}

AT_EACH_LEVEL(found)
AT_EACH_LEVEL(attributes)
AT_EACH_LEVEL(bounds)
AT_EACH_LEVEL(regions)
AT_EACH_LEVEL(limit)
AT_EACH_LEVEL(fork)
AT_EACH_LEVEL(dead_agent)
AT_EACH_LEVEL(read_only)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),	    cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_bounds),	    cmocka_unit_test(test_regions),
		cmocka_unit_test(test_limit),	    cmocka_unit_test(test_fork),
		cmocka_unit_test(test_environment), cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_dead_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
