/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_tpt.c - the TPT: what its writer enters is what a reader is granted,
 * and nothing else.
 */
#include "tests/unit/fake_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct ka_tpt_entry table[KA_TPT_ENTRIES];
static const uint64_t idle[KA_TPT_ENTRIES / 64];
static struct tpt tpt;

static int setup(void **state)
{
	(void)state;
	memset(table, 0, sizeof(table));
	tpt_init(&tpt, table);
	return 0;
}

static uint32_t enter(uint64_t start, uint64_t length, uint32_t tag, uint16_t rights)
{
	struct ka_tpt_entry e = {.start = start,
				 .length = length,
				 .tag = tag,
				 .rights = rights,
				 .kind = LMM_SHMEM,
				 .dev = 9,
				 .offset = 7};

	return tpt_publish(&tpt, &e);
}

static bool may(uint32_t handle, uint64_t addr, uint64_t len, uint32_t tag, uint32_t rights)
{
	struct ka_tpt_entry e;

	return ka_tpt_check(table, idle, handle, addr, len, tag, rights, &e);
}

static void test_bounds(void **state)
{
	uint32_t h = enter(1000, 100, 5, KA_R_WRITE);

	(void)state;
	assert_true(may(h, 1000, 100, 5, 0));
	assert_true(may(h, 1099, 1, 5, 0));
	assert_false(may(h, 999, 1, 5, 0));
	assert_false(may(h, 1100, 1, 5, 0));
	assert_false(may(h, 1000, 101, 5, 0));
	assert_false(may(h, 1050, UINT64_MAX - 49, 5, 0));
	assert_false(may(h, 1050, UINT64_MAX, 5, 0));
	assert_true(may(h, 3, 0, 5, 0));
	h = enter(UINT64_MAX - 100, 100, 5, 0);
	assert_true(may(h, UINT64_MAX - 1, 1, 5, 0));
	assert_false(may(h, UINT64_MAX - 1, 2, 5, 0));
	assert_false(may(h, UINT64_MAX - 1, 200, 5, 0));
	assert_false(may(h, 0, 1, 5, 0));
}

static void test_rights_and_tag(void **state)
{
	uint32_t h = enter(1000, 100, 5, KA_R_WRITE | KA_R_RDMA_READ);
	struct ka_tpt_entry e = {0};

	(void)state;
	assert_true(may(h, 1000, 1, 5, KA_R_WRITE));
	assert_true(may(h, 1000, 1, 5, KA_R_WRITE | KA_R_RDMA_READ));
	assert_false(may(h, 1000, 1, 5, KA_R_RDMA_WRITE));
	assert_false(may(h, 1000, 1, 6, KA_R_WRITE));
	assert_false(may(h, 1000, 0, 0, 0));
	tpt_set(&tpt, h, 6, KA_R_RDMA_WRITE);
	assert_true(may(h, 1000, 1, 6, KA_R_RDMA_WRITE));
	assert_false(may(h, 1000, 1, 5, 0));
	assert_false(may(h, 1000, 1, 6, KA_R_WRITE));
	assert_true(ka_tpt_get(table, h, &e));
	assert_int_equal(e.offset, 7);
	assert_int_equal(e.kind, LMM_SHMEM);
	assert_int_equal(e.dev, 9);
	assert_int_equal(e.seq % 2, 0);
}

/* Memory that has gone: the handle stays, and nobody's tag matches. */
static void test_gone(void **state)
{
	uint32_t h = enter(1000, 100, 5, KA_R_WRITE);
	struct ka_tpt_entry e = {0};

	(void)state;
	tpt_set(&tpt, h, 0, 0);
	assert_non_null(tpt_find(&tpt, h));
	assert_false(may(h, 1000, 1, 5, 0));
	assert_false(may(h, 1000, 1, 0, KA_R_WRITE));
	assert_true(ka_tpt_get(table, h, &e));
	assert_int_equal(e.length, 100);
	tpt_clear(&tpt, h);
	assert_null(tpt_find(&tpt, h));
}

static void test_being_changed(void **state)
{
	uint32_t h = enter(1000, 100, 5, 0);

	(void)state;
	table[tpt_index(h)].seq++;
	assert_false(may(h, 1000, 1, 5, 0));
	table[tpt_index(h)].seq++;
	assert_true(may(h, 1000, 1, 5, 0));
}

/* What was found is not looked for again, but holds no longer than the entry stays as it is. */
static void test_kept(void **state)
{
	static const uint64_t idle[KA_TPT_ENTRIES / 64];
	uint32_t h = enter(1000, 100, 5, 0), none = 0;
	struct ka_tpt_entry kept = {0};

	(void)state;
	assert_false(ka_tpt_check_kept(table, idle, none, 0, 0, 5, 0, &kept));
	assert_true(ka_tpt_check_kept(table, idle, h, 1000, 100, 5, 0, &kept));
	assert_int_equal(kept.handle, h);
	assert_true(ka_tpt_check_kept(table, idle, h, 1099, 1, 5, 0, &kept));
	assert_false(ka_tpt_check_kept(table, idle, h, 1099, 2, 5, 0, &kept));
	assert_false(ka_tpt_check_kept(table, idle, h, 999, 1, 5, 0, &kept));
	assert_false(ka_tpt_check_kept(table, idle, h, 0, UINT64_MAX, 5, 0, &kept));
	tpt_set(&tpt, h, 6, 0);
	assert_false(ka_tpt_check_kept(table, idle, h, 1000, 1, 5, 0, &kept));
	assert_true(ka_tpt_check_kept(table, idle, h, 1000, 1, 6, 0, &kept));
	tpt_clear(&tpt, h);
	assert_false(ka_tpt_check_kept(table, idle, h, 1000, 1, 6, 0, &kept));
}

static void test_stale(void **state)
{
	uint32_t h = enter(1000, 100, 5, 0), next = 0, i;

	(void)state;
	tpt_clear(&tpt, h);
	assert_null(tpt_find(&tpt, h));
	assert_false(may(h, 1000, 1, 5, 0));
	/* The index comes back last, with another generation. */
	for (i = 0; i < KA_TPT_ENTRIES; i++) {
		next = enter(1000, 100, 5, 0);
		assert_int_equal(tpt_index(next) == tpt_index(h), i == KA_TPT_ENTRIES - 1);
	}
	assert_int_not_equal(next, h);
	assert_null(tpt_find(&tpt, h));
	assert_false(may(h, 1000, 1, 5, 0));
	assert_true(may(next, 1000, 1, 5, 0));
}

static void test_nonsense_handles(void **state)
{
	uint32_t h = enter(1000, 100, 5, 0), i;

	(void)state;
	assert_false(may(0, 1000, 1, 5, 0));
	assert_false(may(UINT32_MAX, 1000, 1, 5, 0));
	assert_false(may(h + KA_TPT_ENTRIES, 1000, 1, 5, 0));
	assert_null(tpt_find(&tpt, 0));
	assert_null(tpt_find(&tpt, UINT32_MAX));
	assert_null(tpt_find(&tpt, h + KA_TPT_ENTRIES));
	for (i = 0; i < 70000; i++) {
		assert_true(may(h, 1000, 1, 5, 0) == (i == 0));
		/* The one index that goes round all its generations. */
		while (tpt.used < KA_TPT_ENTRIES)
			assert_int_not_equal(enter(1, 1, 1, 0), 0);
		h = table[3].handle;
		assert_true(h != 0 && h != UINT32_MAX);
		assert_true(h >> 16 >= 1 && h >> 16 <= 0xFFFE);
		tpt_clear(&tpt, h);
	}
}

static void test_exhaustion(void **state)
{
	static uint32_t handle[KA_TPT_ENTRIES];
	uint32_t i;

	(void)state;
	for (i = 0; i < KA_TPT_ENTRIES; i++) {
		handle[i] = enter(i * 10, 10, 1, 0);
		assert_true(handle[i] != 0 && handle[i] != UINT32_MAX);
	}
	assert_int_equal(enter(1, 1, 1, 0), 0);
	for (i = 0; i < KA_TPT_ENTRIES; i++)
		assert_true(may(handle[i], i * 10, 10, 1, 0));
	tpt_clear(&tpt, handle[77]);
	assert_int_not_equal(enter(1, 1, 1, 0), 0);
	assert_int_equal(enter(1, 1, 1, 0), 0);
	assert_int_equal(tpt.used, KA_TPT_ENTRIES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_bounds, setup),
		cmocka_unit_test_setup(test_rights_and_tag, setup),
		cmocka_unit_test_setup(test_gone, setup),
		cmocka_unit_test_setup(test_being_changed, setup),
		cmocka_unit_test_setup(test_kept, setup),
		cmocka_unit_test_setup(test_stale, setup),
		cmocka_unit_test_setup(test_nonsense_handles, setup),
		cmocka_unit_test_setup(test_exhaustion, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
