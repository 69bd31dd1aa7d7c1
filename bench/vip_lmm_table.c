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

struct column {
	enum vipx_level level;
	enum what what;
	const char *over, *head;
};

static const struct column of_levels[] = {
	{VIPX_LOCKED, REGISTER, "locked", "register"},
	{VIPX_LOCKED, DEREGISTER, "", "dereg."},
	{VIPX_LOCKED, LOCK, "by hand", "mlock"},
	{VIPX_LOCKED, UNLOCK, "", "munlock"},
	{VIPX_LOCKED, TRIP, "", "trip"},
	{VIPX_LOCKED, CACHED, "", "cached"},
	{VIPX_PINNED, REGISTER, "pinned", "register"},
	{VIPX_PINNED, DEREGISTER, "", "dereg."},
	{VIPX_PINNED, PIN, "by hand", "pin"},
	{VIPX_PINNED, UNPIN, "", "unpin"},
	{VIPX_MAPPED, REGISTER, "mapped", "register"},
	{VIPX_MAPPED, DEREGISTER, "", "dereg."},
	{0},
};
static const struct column of_module[] = {
	{VIPX_MAPPED, REGISTER, "no mlock", "register"},
	{VIPX_MAPPED, PIN, "", "reg_mr"},
	{VIPX_MAPPED, DEREGISTER, "", "dereg."},
	{VIPX_MAPPED, UNPIN, "", "dereg_mr"},
	{VIPX_LOCKED, REGISTER, "mlock", "register"},
	{VIPX_LOCKED, BARE_REGISTER, "", "reg_mr"},
	{VIPX_LOCKED, DEREGISTER, "munlock", "dereg."},
	{VIPX_LOCKED, BARE_DEREGISTER, "", "dereg_mr"},
	{0},
};

static void print_line(const struct results *r, uint32_t size, enum kind kind)
{
	const struct column *c;

	printf("%6" PRIu64, r->bytes[size] >> 10);
	for (c = r->subject.rdma ? of_module : of_levels; c->head; c++) {
		const struct stat_us *s = &r->at[size][c->level][kind][c->what];

		if (s->n)
			printf(" %9.*f", c->what == CACHED ? 2 : 1, s->median);
		else
			printf(" %9s", "-");
	}
	putchar('\n');
}

static void print_head(const struct results *r)
{
	const struct column *columns = r->subject.rdma ? of_module : of_levels, *c;

	printf("%6s", "");
	for (c = columns; c->head; c++)
		printf(" %9s", c->over);
	printf("\n%6s", "KiB");
	for (c = columns; c->head; c++)
		printf(" %9s", c->head);
	putchar('\n');
}

void table_print(const struct results *r)
{
	printf("%s\nmedians in microseconds; pages of 4 KiB, touched before; %s\n", r->method,
	       r->subject.rdma ? r->subject.device : "agent and process on one processor");
	if (r->subject.rdma)
		printf("reg_mr, dereg_mr: the same memory by libibverbs on %s; mlock, munlock: with these\n",
		       r->subject.rdma);
	for (int t = 0; t < KINDS; t++) {
		printf("\n%s\n", tables[t].title);
		print_head(r);
		for (uint32_t i = 0; i < r->sizes; i++)
			print_line(r, i, tables[t].kind);
	}
	if (r->bytes[ELSEWHERE]) {
		puts("\nPrivate memory, the agent on another processor");
		print_head(r);
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
