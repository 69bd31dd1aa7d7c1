/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emu_link_env.c - see emu_link_env.h.
 *
 * Numbers are decimal and exact, read digit by digit: strtod would depend on
 * the locale of the application.
 */
#include "nic-emu/emu_link_env.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NANO 1000000000ull /* also: digits behind the point are counted in it */

const struct emu_link_preset emu_link_presets[] = {
	{"firmvia", 18200, 101400000, "FirmVIA on the IBM SP switch, Windows NT",
	 "Banikazemi, Moorthy, Herger, Panda, Abali, IPDPS 2000"},
	{"myvia", 8460, 250000000, "MyVIA on Myrinet; bandwidth at 4 KB", "Chen et al., IEEE Cluster 2002"},
	{"clan", 14200, 87700000, "Giganet cLAN, Windows NT; latency at 288 bytes",
	 "Jacobson, MacDonald, Du, report of the University of Minnesota, March 2000"},
	{"hvia-ge", 11900, 93700000, "HVIA-GE, VIA in an FPGA on Gigabit Ethernet, 32-bit/33 MHz PCI",
	 "Park, Chung, Yoon 2004"},
	{"hw-via", 8200, 112100000, "hardware VIA on Gigabit Ethernet, 64-bit/66 MHz PCI",
	 "Park, Chung, Lee, J. Syst. Arch. 2005"},
	{"mvia-ge", 57000, 62000000,
	 "M-VIA on Gigabit Ethernet; derived from HVIA-GE: 4.8 times the latency, bandwidth / 1.504",
	 "Park, Chung, Yoon 2004"},
	{.name = NULL},
};

struct unit {
	const char *name;
	uint64_t scale; /* of the model's own unit */
};

static const struct unit times[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", NANO}, {NULL, 0}};
static const struct unit rates[] = {{"B/s", 1}, {"kB/s", 1000}, {"MB/s", 1000000}, {"GB/s", NANO}, {NULL, 0}};
static const struct unit chances[] = {{"%", EMU_WIRE_CERTAIN / 100}, {"", EMU_WIRE_CERTAIN}, {NULL, 0}};
static const struct unit plain[] = {{"", 1}, {NULL, 0}};

#define TIME_UNITS   ", with unit ns, us, ms or s, in whole nanoseconds"
#define CHANCE_TEXT  "0% to 100%, or 0 to 1, in steps of a thousand-millionth"
#define FIELD(field) offsetof(struct emu_link_model, field)

static const struct key {
	const char *name;
	size_t field; /* a uint64_t */
	const struct unit *units;
	uint64_t min, max;
	const char *allowed;
} keys[] = {
	{"latency", FIELD(latency_ns), times, 0, 10 * NANO, "0ns to 10s" TIME_UNITS},
	{"bandwidth", FIELD(bandwidth), rates, 1000, 1000 * NANO,
	 "1kB/s to 1000GB/s, with unit B/s, kB/s, MB/s or GB/s, of 1000 each"},
	{"loss", FIELD(loss), chances, 0, EMU_WIRE_CERTAIN, CHANCE_TEXT},
	{"dup", FIELD(dup), chances, 0, EMU_WIRE_CERTAIN, CHANCE_TEXT},
	{"reorder", FIELD(reorder), chances, 0, EMU_WIRE_CERTAIN, CHANCE_TEXT},
	{"corrupt", FIELD(corrupt), chances, 0, EMU_WIRE_CERTAIN, CHANCE_TEXT},
	{"cut", FIELD(cut_ns), times, 0, 3600 * NANO, "0ns to 3600s" TIME_UNITS},
	{"seed", FIELD(seed), plain, 0, UINT32_MAX, "a whole number from 0 to 4294967295"},
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

/* One item of the list: not ended by NUL. */
struct item {
	const char *s;
	size_t n;
};

/* How much of an item an error shows. */
static int shown(const struct item *i)
{
	return i->n < 40 ? (int)i->n : 40;
}

static bool equal(const struct item *i, const char *name)
{
	return strlen(name) == i->n && memcmp(i->s, name, i->n) == 0;
}

/* Take digits off @i; false: there are none, or more than @max. */
static bool digits(struct item *i, unsigned int max, uint64_t *value, unsigned int *count)
{
	*value = 0;
	for (*count = 0; i->n && *i->s >= '0' && *i->s <= '9'; ++*count, i->s++, i->n--) {
		if (*count == max)
			return false;
		*value = *value * 10 + (uint64_t)(*i->s - '0');
	}
	return *count > 0;
}

/* "1.5ms" in the unit of the model; false: not a number in that unit, or not a whole one. */
static bool number(struct item i, const struct unit *unit, uint64_t *value)
{
	uint64_t whole, part = 0;
	unsigned int n;

	if (!digits(&i, 10, &whole, &n)) /* ten of them fit into 64 bits with every unit */
		return false;
	if (i.n && *i.s == '.') {
		i.s++;
		i.n--;
		if (!digits(&i, 9, &part, &n))
			return false;
		for (; n < 9; n++)
			part *= 10;
	}
	for (; unit->name; unit++) {
		if (!equal(&i, unit->name))
			continue;
		*value = whole * unit->scale + part * unit->scale / NANO;
		return part * unit->scale % NANO == 0;
	}
	return false;
}

static int no_such(const struct item *i, bool first, char *text, size_t size)
{
	const struct emu_link_preset *p;
	size_t at, k;

	at = (size_t)snprintf(text, size, "VIPL_EMU_LINK: '%.*s' is no key=value%s; keys:", shown(i), i->s,
			      first ? " and no preset" : "");
	for (k = 0; k < KEYS && at < size; k++)
		at += (size_t)snprintf(text + at, size - at, " %s", keys[k].name);
	if (at < size)
		at += (size_t)snprintf(text + at, size - at, "; presets, to begin with:");
	for (p = emu_link_presets; p->name && at < size; p++)
		at += (size_t)snprintf(text + at, size - at, " %s", p->name);
	if (at < size)
		snprintf(text + at, size - at, "; or 'off' alone");
	return -EINVAL;
}

static const struct key *find_key(const struct item *name)
{
	size_t k;

	for (k = 0; k < KEYS; k++) {
		if (equal(name, keys[k].name))
			return &keys[k];
	}
	return NULL;
}

/* @seen: a bit for each key that was given. */
static int parse_key(const struct item *i, bool first, struct emu_link_model *m, uint32_t *seen, char *text,
		     size_t size)
{
	const char *equals = memchr(i->s, '=', i->n);
	struct item name = {i->s, equals ? (size_t)(equals - i->s) : 0}, value;
	const struct key *k = find_key(&name);
	uint64_t v;

	if (!equals || !k)
		return no_such(i, first, text, size);
	if (*seen & 1u << (k - keys)) {
		snprintf(text, size, "VIPL_EMU_LINK: %s is given twice; leave one", k->name);
		return -EINVAL;
	}
	*seen |= 1u << (k - keys);
	value = (struct item){equals + 1, i->n - name.n - 1};
	if (!number(value, k->units, &v) || v < k->min || v > k->max) {
		snprintf(text, size, "VIPL_EMU_LINK: %s is '%.*s'; allowed is %s", k->name, shown(&value),
			 value.s, k->allowed);
		return -EINVAL;
	}
	memcpy((char *)m + k->field, &v, sizeof(v));
	return 0;
}

static bool parse_preset(const struct item *i, struct emu_link_model *m)
{
	const struct emu_link_preset *p;

	for (p = emu_link_presets; p->name; p++) {
		if (!equal(i, p->name))
			continue;
		m->latency_ns = p->latency_ns;
		m->bandwidth = p->bandwidth;
		return true;
	}
	return false;
}

int emu_link_parse(const char *value, struct emu_link_model *m, char *text, size_t size)
{
	struct emu_link_model model = {.cut_ns = EMU_WIRE_NEVER, .seed = 1};
	uint32_t seen = 0;
	bool first = true;
	int err;

	if (!value || !*value || strcmp(value, "off") == 0)
		return 0;
	for (;; first = false) {
		struct item i = {value, strcspn(value, ",")};

		if (!first || !parse_preset(&i, &model)) {
			err = parse_key(&i, first, &model, &seen, text, size);
			if (err)
				return err;
		}
		if (!value[i.n])
			break;
		value += i.n + 1;
	}
	*m = model;
	return 1;
}
