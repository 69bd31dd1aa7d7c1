/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_link_env.c - the link's model as text: each key, unit and preset, and
 * for what is wrong an error that names it and says what is allowed.
 */
#include "nic-emu/emu_link_env.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static char text[320]; /* what the library has for a cause */

static struct emu_link_model parsed(const char *value)
{
	struct emu_link_model m;

	memset(&m, 0xa5, sizeof(m));
	if (emu_link_parse(value, &m, text, sizeof(text)) != 1)
		fail_msg("'%s': %s", value, text);
	return m;
}

static void test_all_keys(void **state)
{
	struct emu_link_model m = parsed("latency=10us,bandwidth=100MB/s,loss=1%,dup=0.02,reorder=0.5%,"
					 "corrupt=1,cut=500ms,seed=7");

	(void)state;
	assert_int_equal(m.latency_ns, 10000);
	assert_int_equal(m.bandwidth, 100000000);
	assert_int_equal(m.loss, EMU_WIRE_CERTAIN / 100);
	assert_int_equal(m.dup, EMU_WIRE_CERTAIN / 50);
	assert_int_equal(m.reorder, EMU_WIRE_CERTAIN / 200);
	assert_int_equal(m.corrupt, EMU_WIRE_CERTAIN);
	assert_int_equal(m.cut_ns, 500000000);
	assert_int_equal(m.seed, 7);
}

static void test_defaults(void **state)
{
	struct emu_link_model m = parsed("seed=0");

	(void)state;
	assert_int_equal(m.latency_ns | m.bandwidth | m.loss | m.dup | m.reorder | m.corrupt | m.seed, 0);
	assert_true(m.cut_ns == EMU_WIRE_NEVER);
	assert_int_equal(parsed("loss=0%").seed, 1);
}

static void test_units(void **state)
{
	(void)state;
	assert_int_equal(parsed("latency=7ns").latency_ns, 7);
	assert_int_equal(parsed("latency=8.46us").latency_ns, 8460);
	assert_int_equal(parsed("latency=0.000001ms").latency_ns, 1);
	assert_int_equal(parsed("latency=10s").latency_ns, 10000000000ull);
	assert_int_equal(parsed("cut=3600s").cut_ns, 3600000000000ull);
	assert_int_equal(parsed("cut=0ns").cut_ns, 0);
	assert_int_equal(parsed("bandwidth=1000B/s").bandwidth, 1000);
	assert_int_equal(parsed("bandwidth=64kB/s").bandwidth, 64000);
	assert_int_equal(parsed("bandwidth=101.4MB/s").bandwidth, 101400000);
	assert_int_equal(parsed("bandwidth=1000GB/s").bandwidth, 1000000000000ull);
	assert_int_equal(parsed("loss=0.0000001%").loss, 1);
	assert_int_equal(parsed("loss=0.000000001").loss, 1);
	assert_int_equal(parsed("loss=100%").loss, EMU_WIRE_CERTAIN);
	assert_int_equal(parsed("seed=4294967295").seed, 4294967295u);
}

static void test_presets(void **state)
{
	static const struct {
		const char *name;
		uint64_t latency_ns, bandwidth;
	} is[] = {{"firmvia", 18200, 101400000}, {"myvia", 8460, 250000000},  {"clan", 14200, 87700000},
		  {"hvia-ge", 11900, 93700000},	 {"hw-via", 8200, 112100000}, {"mvia-ge", 57000, 62000000}};
	struct emu_link_model m;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(is) / sizeof(is[0]); i++) {
		const struct emu_link_preset *p = &emu_link_presets[i];

		assert_string_equal(p->name, is[i].name);
		assert_true(strlen(p->what) && strlen(p->source));
		m = parsed(p->name);
		assert_int_equal(m.latency_ns, is[i].latency_ns);
		assert_int_equal(m.bandwidth, is[i].bandwidth);
		assert_int_equal(m.loss | m.dup | m.reorder | m.corrupt, 0);
		assert_true(m.cut_ns == EMU_WIRE_NEVER);
	}
	assert_null(emu_link_presets[i].name);
	m = parsed("clan,loss=1%,latency=1us");
	assert_int_equal(m.latency_ns, 1000);
	assert_int_equal(m.bandwidth, 87700000);
	assert_int_equal(m.loss, EMU_WIRE_CERTAIN / 100);
}

static void test_off(void **state)
{
	struct emu_link_model m = {.seed = 99};

	(void)state;
	assert_int_equal(emu_link_parse(NULL, &m, text, sizeof(text)), 0);
	assert_int_equal(emu_link_parse("", &m, text, sizeof(text)), 0);
	assert_int_equal(emu_link_parse("off", &m, text, sizeof(text)), 0);
	assert_int_equal(m.seed, 99);
}

/* The text says what is wrong and what is allowed. */
static void test_errors(void **state)
{
	static const struct {
		const char *value, *wrong, *allowed;
	} bad[] = {
		{"loss=101%", "loss is '101%'", "0% to 100%"},
		{"loss=1.1", "loss is '1.1'", "0 to 1"},
		{"loss=-1%", "loss is '-1%'", "0% to 100%"},
		{"loss=", "loss is ''", "0% to 100%"},
		{"loss=0.00000001%", "loss is '0.00000001%'", "thousand-millionth"},
		{"loss=0.0000000001", "loss is '0.0000000001'", "thousand-millionth"},
		{"loss=1 %", "loss is '1 %'", "0% to 100%"},
		{"loss=.5", "loss is '.5'", "0 to 1"},
		{"loss=0.", "loss is '0.'", "0 to 1"},
		{"loss=0x1", "loss is '0x1'", "0 to 1"},
		{"dup=nan", "dup is 'nan'", "0 to 1"},
		{"reorder=1e-2", "reorder is '1e-2'", "0 to 1"},
		{"corrupt=2", "corrupt is '2'", "0% to 100%"},
		{"latency=10", "latency is '10'", "unit ns, us, ms or s"},
		{"latency=10.1s", "latency is '10.1s'", "0ns to 10s"},
		{"latency=1.5ns", "latency is '1.5ns'", "whole nanoseconds"},
		{"latency=us", "latency is 'us'", "0ns to 10s"},
		{"latency=10US", "latency is '10US'", "unit ns, us, ms or s"},
		{"latency=99999999999s", "latency is '99999999999s'", "0ns to 10s"},
		{"latency=18446744074s", "latency is '18446744074s'", "0ns to 10s"},
		{"cut=3601s", "cut is '3601s'", "0ns to 3600s"},
		{"bandwidth=0B/s", "bandwidth is '0B/s'", "1kB/s to 1000GB/s"},
		{"bandwidth=1001GB/s", "bandwidth is '1001GB/s'", "1kB/s to 1000GB/s"},
		{"bandwidth=100Mbit/s", "bandwidth is '100Mbit/s'", "unit B/s, kB/s, MB/s or GB/s"},
		{"bandwidth=9999999999GB/s", "bandwidth is '9999999999GB/s'", "1kB/s to 1000GB/s"},
		{"seed=4294967296", "seed is '4294967296'", "0 to 4294967295"},
		{"seed=1.5", "seed is '1.5'", "whole number"},
		{"loss=1%,loss=2%", "loss is given twice", "leave one"},
		{"lost=1%", "'lost=1%' is no key=value and no preset", "keys: latency bandwidth loss dup"},
		{"clan,myvia", "'myvia' is no key=value;", "presets, to begin with: firmvia myvia clan"},
		{"loss=1%,clan", "'clan' is no key=value;", "presets, to begin with"},
		{"Clan", "'Clan' is no key=value and no preset", "hvia-ge hw-via mvia-ge"},
		{"off,loss=1%", "'off' is no key=value", "'off' alone"},
		{"=5", "'=5' is no key=value", "keys:"},
		{"los=5%", "'los=5%' is no key=value", "keys:"},
		{",", "'' is no key=value", "keys:"},
		{"loss=1%,", "'' is no key=value", "keys:"},
		{"loss=1%, dup=1%", "' dup=1%' is no key=value", "keys:"},
		{"loss", "'loss' is no key=value", "keys:"},
	};
	struct emu_link_model m, before;
	size_t i;

	(void)state;
	memset(&m, 0x5a, sizeof(m));
	before = m;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (emu_link_parse(bad[i].value, &m, text, sizeof(text)) != -EINVAL)
			fail_msg("'%s' was accepted", bad[i].value);
		if (strncmp(text, "VIPL_EMU_LINK: ", 15) || !strstr(text, bad[i].wrong) ||
		    !strstr(text, bad[i].allowed) || strlen(text) + 1 >= sizeof(text))
			fail_msg("'%s': %s", bad[i].value, text);
		assert_memory_equal(&m, &before, sizeof(m));
	}
}

/* However long the value and short the buffer. */
static void test_bounds(void **state)
{
	struct emu_link_model m;
	char value[5000], small[64];
	size_t size;

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(emu_link_parse(value, &m, text, sizeof(text)), -EINVAL);
	assert_true(strlen(text) + 1 < sizeof(text));
	memcpy(value, "loss=", 5);
	for (size = 1; size < sizeof(small); size++) {
		memset(small, '#', sizeof(small));
		assert_int_equal(emu_link_parse(value, &m, small, size), -EINVAL);
		assert_int_equal(small[size], '#');
		assert_int_equal(strlen(small), size - 1);
		assert_int_equal(emu_link_parse("y", &m, small, size), -EINVAL);
		assert_int_equal(small[size], '#');
		assert_int_equal(strlen(small), size - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_keys), cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_units),	 cmocka_unit_test(test_presets),
		cmocka_unit_test(test_off),	 cmocka_unit_test(test_errors),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
