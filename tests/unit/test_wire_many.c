/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_wire_many.c - a million frames at each level over a wire with all faults
 * at once.
 */
#include "wire_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#else
#define UNDER_ASAN 0
#endif

static struct world v;
static uint64_t frames = 1000000;

static struct emu_link_model faults(uint64_t percent, uint64_t seed)
{
	return (struct emu_link_model){.latency_ns = 5 * US,
				       .bandwidth = 250 * 1000 * 1000,
				       .loss = percent * PERCENT,
				       .dup = percent * PERCENT,
				       .reorder = percent * PERCENT,
				       .corrupt = percent * PERCENT,
				       .cut_ns = EMU_WIRE_NEVER,
				       .seed = seed};
}

static void faults_happened(void)
{
	const struct emu_wire_stats *s = &v.w.stats;

	assert_true(s->lost && s->duplicated && s->delayed && s->damaged && s->discarded);
}

/* One frame in a hundred, and each acknowledgement: eight tries in vain do not happen. */
static void test_one_percent(void **state)
{
	struct emu_link_model m = faults(1, 7);
	size_t i;

	(void)state;
	for (i = 1; i < 3; i++) {
		world_begin(&v, &m, world_levels[i], frames);
		world_many(&v, frames, 100);
		assert_false(v.w.broken);
		assert_int_equal(v.got, frames);
		assert_int_equal(v.w.taken, frames);
		faults_happened();
		assert_true(v.w.stats.resent > frames / 100);
		world_end(&v);
	}
}

/*
 * One in five: some frame loses all its eight tries every few thousand.  Until
 * then all is as it should be (world_many checks that it did not break early),
 * and a new wire goes on.
 */
static void test_twenty_percent(void **state)
{
	uint64_t done, broken, seed = 0;
	size_t i;

	(void)state;
	for (i = 1; i < 3; i++) {
		for (done = broken = 0; done < frames; done += v.got) {
			struct emu_link_model m = faults(20, ++seed);

			if (v.had)
				world_end(&v);
			world_begin(&v, &m, world_levels[i], frames - done);
			world_many(&v, frames - done, 100);
			assert_true(v.w.broken || v.got == frames - done);
			/* delivered, but not known to be: at most what was on the wire */
			assert_in_range(v.got, v.w.taken, v.w.taken + EMU_WIRE_FRAMES);
			broken += v.w.broken;
		}
		world_end(&v);
		printf("%llu frames at 20 %%: the wire broke %llu times\n", (unsigned long long)frames,
		       (unsigned long long)broken);
		assert_in_range(broken, frames / 100000, frames / 500);
	}
}

static void test_unreliable(void **state)
{
	static const uint64_t percent[] = {1, 20};
	const struct emu_wire_stats *s = &v.w.stats;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct emu_link_model m = faults(percent[i], 3);
		uint64_t p = percent[i], expected;

		world_begin(&v, &m, world_levels[0], frames);
		world_many(&v, frames, 100);
		faults_happened();
		assert_true(v.overtaken > 0);
		/* one or two copies, of which none must come through for a frame to be lost */
		expected = 10000 - (100 - p) * (100 - p); /* a copy is lost or damaged, of 10000 */
		expected = frames * expected / 10000 * (100 - p) / 100 +
			   frames * expected / 10000 * expected / 10000 * p / 100;
		assert_in_range(frames - v.got, expected * 9 / 10, expected * 11 / 10);
		assert_int_equal(v.got, s->arrived - s->discarded);
		assert_int_equal(v.damaged, s->damaged);
		world_end(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_percent),
		cmocka_unit_test(test_twenty_percent),
		cmocka_unit_test(test_unreliable),
	};

	if (RUNNING_ON_VALGRIND) {
		frames /= 20;
		printf("REDUCED: to %llu frames: valgrind\n", (unsigned long long)frames);
	} else if (UNDER_ASAN) {
		frames /= 5;
		printf("REDUCED: to %llu frames: AddressSanitizer\n", (unsigned long long)frames);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
