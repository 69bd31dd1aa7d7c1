/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_crc.c - the CRC of the wire's frames, beside one that goes bit by bit.
 */
#include "nic-emu/core/emu_crc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint32_t crc_bit_by_bit(const uint8_t *p, size_t n)
{
	uint32_t crc = ~0u;
	int k;

	for (; n; n--) {
		crc ^= *p++;
		for (k = 0; k < 8; k++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
	}
	return ~crc;
}

static void test_values(void **state)
{
	struct emu_crc c;
	uint8_t buf[300];
	size_t i, n;

	(void)state;
	emu_crc_init(&c);
	assert_int_equal(emu_crc(&c, "123456789", 9), 0xcbf43926); /* the check value of the catalogues */
	for (i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * i + 3 * i);
	for (i = 0; i < 9; i++) {
		for (n = 0; i + n <= sizeof(buf); n++)
			assert_int_equal(emu_crc(&c, buf + i, n), crc_bit_by_bit(buf + i, n));
	}
}

/* Every burst of up to 32 bits, wherever it begins, is found: what the wire damages always is. */
static void test_bursts(void **state)
{
	enum { BYTES = 40 };
	uint8_t good[BYTES + 4], bad[BYTES + 4];
	uint32_t burst = 1, crc, i, at, round;
	struct emu_crc c;

	(void)state;
	emu_crc_init(&c);
	for (i = 0; i < BYTES; i++)
		good[i] = (uint8_t)(7 * i + 1);
	crc = emu_crc(&c, good, BYTES);
	for (i = 0; i < 4; i++)
		good[BYTES + i] = (uint8_t)(crc >> 8 * i);
	for (at = 0; at < 8 * sizeof(good); at++) {
		for (round = 0; round < 1000; round++) {
			burst = burst * 1664525u + 1013904223u;
			memcpy(bad, good, sizeof(bad));
			for (i = 0; i < 32 && at + i < 8 * sizeof(bad); i++)
				bad[(at + i) / 8] ^= (uint8_t)(((burst | 1) >> i & 1) << (at + i) % 8);
			crc = emu_crc(&c, bad, BYTES);
			for (i = 0; i < 4 && bad[BYTES + i] == (uint8_t)(crc >> 8 * i); i++)
				;
			assert_true(i < 4);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_bursts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
