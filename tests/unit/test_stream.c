/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_stream.c - the copy past the caches, and how far away the peer is held to be.
 */
#include "nic-emu/core/emu_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ROOM (3 * EMU_STREAM_LEAST)
#define EDGE 64u

/* Each alignment of both ends, and lengths around what the loop does at a time: all bytes, and no other. */
static void test_copy(void **state)
{
	static const uint64_t lengths[] = {0,
					   1,
					   127,
					   128,
					   129,
					   EMU_STREAM_LEAST - 1,
					   EMU_STREAM_LEAST,
					   EMU_STREAM_LEAST + 1,
					   EMU_STREAM_LEAST + 127,
					   2 * EMU_STREAM_LEAST + 65};
	static uint8_t from[ROOM], to[ROOM], want[ROOM];

	(void)state;
	for (uint32_t i = 0; i < ROOM; i++)
		from[i] = (uint8_t)(i * 7 + i / 251);
	for (uint32_t at = 0; at < EDGE; at++) {
		for (uint32_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			uint64_t n = lengths[i], src = at * 13 % EDGE;

			memset(to, 0xA5, sizeof(to));
			memset(want, 0xA5, sizeof(want));
			memcpy(want + EDGE + at, from + src, n);
			emu_stream(true, to + EDGE + at, from + src, n);
			assert_memory_equal(to, want, sizeof(to));
		}
	}
}

/* The first look counts as it is, a quicker one at once, a slower one little by little. */
static void test_learn(void **state)
{
	struct emu_far f = {0};
	uint32_t looks;

	(void)state;
	emu_far_learn(&f, 80);
	assert_int_equal(f.ticks, 80);
	emu_far_learn(&f, 1000000); /* the process was not running */
	assert_in_range(f.ticks, 81, 100);
	emu_far_learn(&f, 70);
	assert_int_equal(f.ticks, 70);
	for (looks = 0; f.ticks <= EMU_FAR_TICKS && looks < 100; looks++)
		emu_far_learn(&f, 2 * EMU_FAR_TICKS);
	assert_in_range(looks, 3, 30);
	for (looks = 0; looks < 100; looks++)
		emu_far_learn(&f, 2 * EMU_FAR_TICKS);
	assert_int_equal(f.ticks, 2 * EMU_FAR_TICKS);
	emu_far_learn(&f, UINT64_MAX);
	assert_in_range(f.ticks, 2 * EMU_FAR_TICKS, 3 * EMU_FAR_TICKS);
}

/* A word that has not changed since is in this processor's cache, and says nothing. */
static void test_unchanged(void **state)
{
	struct emu_far f = {0};
	uint64_t word = 0;

	(void)state;
	assert_false(emu_is_far(&f, &word));
	assert_int_equal(f.ticks, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_learn),
		cmocka_unit_test(test_unchanged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
