/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_touch.c - memory that is touched with care: each byte gets where it
 * belongs and none beside it, what is not there is told, and nobody sees half of
 * an aligned word.  Which words a processor copies in halves is its own choice.
 */
#include "vipl/touch.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "vipl/internal.h"

#define PAGE   4096u
#define ROUNDS 50000u

void vip_why(const char *fmt, ...)
{
	(void)fmt;
}

static void random_bytes(uint8_t *to, size_t n)
{
	static uint32_t random = 147;

	while (n--) {
		random = random * 1664525u + 1013904223u;
		*to++ = (uint8_t)(random >> 24);
	}
}

static void test_places(void **state)
{
	uint8_t memory[64], want[64], from[32], back[32];
	size_t at, n, i;

	(void)state;
	for (i = 0; i < 200; i++) {
		at = i % 16;
		for (n = 0; n <= 24; n++) {
			random_bytes(memory, sizeof(memory));
			random_bytes(from, sizeof(from));
			memcpy(want, memory, sizeof(want));
			memcpy(want + at, from, n);
			assert_true(vip_touch_write((uintptr_t)memory + at, from, n));
			assert_memory_equal(memory, want, sizeof(want));
			assert_true(vip_touch_read(back, (uintptr_t)memory + at, n));
			assert_memory_equal(back, from, n);
		}
	}
}

static void test_not_there(void **state)
{
	uint8_t *at = mmap(NULL, 2ul * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uint8_t from[16] = {0};
	bool gone;
	size_t n;

	(void)state;
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(munmap(at + PAGE, PAGE), 0);
	for (n = 1; n <= sizeof(from); n++) {
		assert_false(vip_touch_write((uintptr_t)at + PAGE, from, n));
		assert_false(vip_touch_write((uintptr_t)at + PAGE - n + 1, from, n));
		assert_true(vip_touch_write((uintptr_t)at + PAGE - n, from, n));
		assert_false(vip_touch_window((uintptr_t)at + PAGE, from, n, &gone));
		assert_false(gone);
		assert_false(vip_touch_window((uintptr_t)at, at + PAGE, n, &gone));
		assert_true(gone);
	}
	munmap(at, PAGE);
}

static struct {
	_Alignas(8) uint8_t at[16];
	uint32_t *flag;
	bool over;
	uint32_t half;
} watched;

static void *watch(void *unused)
{
	uint32_t is;

	(void)unused;
	while (!__atomic_load_n(&watched.over, __ATOMIC_ACQUIRE)) {
		is = __atomic_load_n(watched.flag, __ATOMIC_RELAXED);
		if (is && is != UINT32_MAX)
			watched.half++;
	}
	return NULL;
}

/* A flag at the end of @n bytes, byte @at of an aligned word of 8. */
static void watch_flag(size_t at, size_t n)
{
	uint8_t none[8], all[8];
	pthread_t thread;
	uint32_t i;
	bool gone;

	memset(none, 0, sizeof(none));
	memset(all, 0xff, sizeof(all));
	memset(&watched, 0, sizeof(watched));
	watched.flag = (uint32_t *)(void *)(watched.at + 8 + at);
	assert_int_equal(pthread_create(&thread, NULL, watch, NULL), 0);
	for (i = 0; i < ROUNDS; i++) {
		uintptr_t to = (uintptr_t)watched.flag + 4 - n;

		if (i & 1)
			assert_true(vip_touch_write(to, i & 2 ? all : none, n));
		else
			assert_true(vip_touch_window(to, i & 2 ? none : all, n, &gone));
	}
	__atomic_store_n(&watched.over, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(watched.half, 0);
}

static void test_flag(void **state)
{
	size_t n;

	(void)state;
	watch_flag(0, 4);
	for (n = 4; n <= 8; n++)
		watch_flag(4, n);
}

static int setup(void **state)
{
	(void)state;
	return vip_touch_open();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_flag),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
