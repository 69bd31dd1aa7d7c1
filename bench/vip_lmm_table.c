/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_lmm_table.c - the results as tables for people, and all of them as CSV.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bench/vip_lmm.h"

const char *const level_name[LEVELS] = {"mapped", "locked", "pinned"};

static const char *const kind_name[KINDS] = {"private", "first", "other", "further"};
static const char *const what_name[WHATS] = {"register", "deregister", "pair",		 "cached",
					     "lock",	 "pin",	       "trip",		 "bare_register",
					     "unlock",	 "unpin",      "bare_deregister"};

/* The paper's order, then what it has no table of. */
static const struct {
	enum kind kind;
	const char *title;
} tables[KINDS] = {
	{OTHER, "Table 1: a System V segment that another process has registered"},
	{FIRST, "Table 2: a System V segment, registered for the first time"},
	{FURTHER, "A further area in a segment that this process has locked already"},
	{PRIVATE, "Private memory"},
};

static const struct {
	enum vipx_level level;
	enum what what;
} columns[] = {
	{VIPX_LOCKED, REGISTER}, {VIPX_LOCKED, DEREGISTER}, {VIPX_LOCKED, LOCK},
	{VIPX_LOCKED, UNLOCK},	 {VIPX_LOCKED, TRIP},	    {VIPX_LOCKED, CACHED},
	{VIPX_PINNED, REGISTER}, {VIPX_PINNED, DEREGISTER}, {VIPX_PINNED, PIN},
	{VIPX_PINNED, UNPIN},	 {VIPX_MAPPED, REGISTER},   {VIPX_MAPPED, DEREGISTER},
};

static void print_line(const struct results *r, uint32_t size, enum kind kind)
{
	printf("%6" PRIu64, r->bytes[size] >> 10);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		const struct stat_us *s = &r->at[size][columns[i].level][kind][columns[i].what];

		if (s->n)
			printf(" %9.*f", columns[i].what == CACHED ? 2 : 1, s->median);
		else
			printf(" %9s", "-");
	}
	putchar('\n');
}

static void print_head(void)
{
	printf("%6s %19s %29s %9s %19s %19s %19s\n", "", "locked", "by hand", "", "pinned", "by hand",
	       "mapped");
	printf("%6s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s\n", "KiB", "register", "dereg.", "mlock",
	       "munlock", "trip", "cached", "register", "dereg.", "pin", "unpin", "register", "dereg.");
}

void table_print(const struct results *r)
{
	printf("%s\nmedians in microseconds; pages of 4 KiB, touched before; agent and process on one "
	       "processor\n",
	       r->method);
	for (int t = 0; t < KINDS; t++) {
		printf("\n%s\n", tables[t].title);
		print_head();
		for (uint32_t i = 0; i < r->sizes; i++)
			print_line(r, i, tables[t].kind);
	}
	if (r->bytes[ELSEWHERE]) {
		puts("\nPrivate memory, the agent on another processor");
		print_head();
		print_line(r, ELSEWHERE, PRIVATE);
	}
	putchar('\n');
}

static void csv_line(FILE *f, const struct results *r, uint32_t size, int level, int kind, int what)
{
	const struct stat_us *s = &r->at[size][level][kind][what];

	if (s->n)
		fprintf(f, "%s,%s,%s,%s,%" PRIu64 ",%" PRIu32 ",%.3f,%.3f,%.3f\n",
			size == ELSEWHERE ? "other" : "same", level_name[level], kind_name[kind],
			what_name[what], r->bytes[size], s->n, s->median, s->p10, s->p90);
}

int table_csv(const struct results *r, const char *path)
{
	FILE *f = fopen(path, "we");
	bool bad;

	if (!f)
		return -1;
	fprintf(f,
		"# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause\n"
		"# %s\n"
		"agent,level,memory,what,bytes,calls,median_us,p10_us,p90_us\n",
		r->method);
	for (int level = 0; level < LEVELS; level++) {
		for (int kind = 0; kind < KINDS; kind++) {
			for (int what = 0; what < WHATS; what++) {
				for (uint32_t i = 0; i < r->sizes; i++)
					csv_line(f, r, i, level, kind, what);
				csv_line(f, r, ELSEWHERE, level, kind, what);
			}
		}
	}
	bad = ferror(f);
	return fclose(f) || bad ? -1 : 0;
}
