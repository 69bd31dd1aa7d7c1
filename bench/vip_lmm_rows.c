/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vip_lmm_rows.c - the results as rows of "ours" against "baseline", some with
 * a target for their ratio, and what became of the targets.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "bench/vip_lmm.h"
#include "tools/common.h"

static const char *const memory[KINDS] = {"private", "shared, first process",
					  "shared, registered by another process", "shared, further area"};

/* What is held against what, at which level. */
struct comparison {
	enum vipx_level level;
	enum what ours;
	enum vipx_level base_level;
	enum what base;
	const char *name;
	const char *further; /* the name for further areas, of which nothing is unlocked; NULL: no such row */
};

static const struct comparison comparisons[] = {
	{VIPX_LOCKED, REGISTER, VIPX_LOCKED, LOCK, "bare mlock", "bare mlock"},
	{VIPX_LOCKED, REGISTER, VIPX_LOCKED, BARE_REGISTER, "bare mlock + one round trip",
	 "bare mlock + one round trip"},
	{VIPX_LOCKED, REGISTER, VIPX_MAPPED, REGISTER, "the same without the user-level lock (mapped)",
	 "the same without the user-level lock (mapped)"},
	{VIPX_LOCKED, DEREGISTER, VIPX_LOCKED, UNLOCK, "bare munlock", NULL},
	{VIPX_LOCKED, DEREGISTER, VIPX_LOCKED, BARE_DEREGISTER, "one round trip + bare munlock",
	 "one round trip"},
	{VIPX_PINNED, REGISTER, VIPX_PINNED, PIN, "bare io_uring registration", "bare io_uring registration"},
	{VIPX_PINNED, REGISTER, VIPX_PINNED, BARE_REGISTER, "bare mlock + io_uring + one round trip",
	 "bare mlock + io_uring + one round trip"},
	{VIPX_PINNED, DEREGISTER, VIPX_PINNED, UNPIN, "bare io_uring unregistration",
	 "bare io_uring unregistration"},
	{VIPX_PINNED, DEREGISTER, VIPX_PINNED, BARE_DEREGISTER, "one round trip + bare munlock + io_uring",
	 "one round trip + bare io_uring"},
	{VIPX_MAPPED, REGISTER, VIPX_MAPPED, BARE_REGISTER, "bare populate + one round trip",
	 "bare populate + one round trip"},
	{VIPX_MAPPED, DEREGISTER, VIPX_MAPPED, BARE_DEREGISTER, "one round trip", "one round trip"},
	{VIPX_MAPPED, CACHED, VIPX_MAPPED, PAIR, "the same without a cache", "the same without a cache"},
	{VIPX_LOCKED, CACHED, VIPX_LOCKED, PAIR, "the same without a cache", "the same without a cache"},
	{VIPX_PINNED, CACHED, VIPX_PINNED, PAIR, "the same without a cache", "the same without a cache"},
};

/* Beside the kernel module; whether the program locks is in the names. */
static const struct comparison of_module[] = {
	{VIPX_MAPPED, REGISTER, VIPX_MAPPED, PIN, "ibv_reg_mr", "ibv_reg_mr"},
	{VIPX_MAPPED, DEREGISTER, VIPX_MAPPED, UNPIN, "ibv_dereg_mr", "ibv_dereg_mr"},
	{VIPX_LOCKED, REGISTER, VIPX_LOCKED, BARE_REGISTER, "mlock + ibv_reg_mr", "mlock + ibv_reg_mr"},
	{VIPX_LOCKED, DEREGISTER, VIPX_LOCKED, BARE_DEREGISTER, "ibv_dereg_mr + munlock",
	 "ibv_dereg_mr + munlock"},
	{VIPX_LOCKED, REGISTER, VIPX_MAPPED, REGISTER, "the same without mlock", "the same without mlock"},
};

#define CACHED_BYTES (64u << 10) /* the target's */

static double target_of(const struct results *r, uint32_t size, enum kind kind, const struct comparison *c)
{
	uint64_t bytes = r->bytes[size];

	if (r->subject.rdma)
		return c->ours == REGISTER && c->base == PIN && (bytes == MIN_BYTES || bytes == MAX_BYTES)
			       ? 1.0
			       : 0;
	if (size == ELSEWHERE || kind != PRIVATE || c->level != VIPX_LOCKED)
		return 0;
	if (c->ours == CACHED)
		return bytes == CACHED_BYTES ? 0.02 : 0;
	if (c->ours != REGISTER)
		return 0;
	if (bytes == MAX_BYTES && c->base == LOCK)
		return 1.10;
	if (bytes == MIN_BYTES && c->base == BARE_REGISTER)
		return 1.30;
	return 0;
}

static json_t *number_or_null(double value)
{
	return value > 0 ? json_real(value) : json_null();
}

static void add_row(json_t *rows, const struct results *r, uint32_t size, enum kind kind,
		    const struct comparison *c)
{
	const struct stat_us *ours = &r->at[size][c->level][kind][c->ours],
			     *base = &r->at[size][c->base_level][kind][c->base];
	const char *against = kind == FURTHER ? c->further : c->name;
	double target = target_of(r, size, kind, c);
	char bytes[TOOL_BYTES_TEXT], name[200];

	if (!r->bytes[size] || !against)
		return;
	snprintf(name, sizeof(name), "%s %s %s, %s%s, against %s",
		 c->ours == REGISTER ? "register"
		 : c->ours == CACHED ? "cached pair,"
				     : "deregister",
		 tool_bytes_text(r->bytes[size], bytes), memory[kind],
		 !r->subject.rdma	   ? level_name[c->level]
		 : c->level == VIPX_LOCKED ? "ka0 with mlock"
					   : "ka0",
		 size == ELSEWHERE ? ", agent on another processor" : "", against);
	if (!ours->n || !base->n || base->median <= 0) {
		if (target > 0)
			printf("  not measured  %s, target %.3g\n", name, target);
		return;
	}
	json_array_append_new(rows, json_pack("{s:s, s:s, s:f, s:f, s:s, s:f, s:o, s:b}", "bench",
					      r->subject.rdma ? "lmm-ka0" : "lmm", "case", name, "ours",
					      ours->median, "baseline", base->median, "unit", "us", "ratio",
					      ours->median / base->median, "target", number_or_null(target),
					      "higher_is_better", 0));
}

/* A target without a row is told at once: nothing else will mention it. */
static json_t *make_rows(const struct results *r)
{
	size_t n = sizeof(comparisons) / sizeof(comparisons[0]);
	const struct comparison *c = comparisons;
	json_t *rows = json_array();

	if (r->subject.rdma) {
		c = of_module;
		n = sizeof(of_module) / sizeof(of_module[0]);
	}
	for (size_t i = 0; i < n; i++) {
		for (enum kind kind = 0; kind < KINDS; kind++) {
			for (uint32_t size = 0; size < r->sizes; size++)
				add_row(rows, r, size, kind, &c[i]);
			add_row(rows, r, ELSEWHERE, kind, &c[i]);
		}
	}
	return rows;
}

static int append_file(json_t *rows, const char *path)
{
	json_error_t error;
	json_t *more = json_load_file(path, 0, &error);
	int err = json_is_array(more) ? json_array_extend(rows, more) : -1;

	if (err)
		fprintf(stderr, PROGRAM ": %s is no JSON list of rows: %s\n", path,
			more ? "it is something else" : error.text);
	json_decref(more);
	return err;
}

/* A target is one for the ratio where there is one, else for the value itself. */
static void judge(const json_t *row)
{
	const json_t *ratio = json_object_get(row, "ratio"), *target = json_object_get(row, "target"),
		     *ours = json_object_get(row, "ours"), *base = json_object_get(row, "baseline");
	const char *unit = json_string_value(json_object_get(row, "unit")),
		   *name = json_string_value(json_object_get(row, "case"));
	bool higher = json_is_true(json_object_get(row, "higher_is_better")), met;
	double value = json_number_value(json_is_number(ratio) ? ratio : ours),
	       goal = json_number_value(target);

	if (!json_is_number(target))
		return;
	met = higher ? value >= goal : value <= goal;
	printf("  %-6s  %s: %.4g %s", met ? "met" : "MISSED", name ? name : "?", json_number_value(ours),
	       unit ? unit : "");
	if (json_is_number(ratio))
		printf(" against %.4g, ratio %.3g", json_number_value(base), value);
	printf(", target %.3g\n", goal);
}

int rows_write(const struct results *r, const char *json, const char *const *core, unsigned int n)
{
	json_t *rows, *row;
	int err = 0;
	size_t i;

	puts("Targets");
	rows = make_rows(r);
	for (i = 0; i < n && !err; i++)
		err = append_file(rows, core[i]);
	json_array_foreach(rows, i, row) judge(row);
	if (!err && json && json_dump_file(rows, json, JSON_INDENT(1) | JSON_REAL_PRECISION(6))) {
		fprintf(stderr, PROGRAM ": %s cannot be written: %s\n", json, strerror(errno));
		err = -1;
	}
	json_decref(rows);
	return err;
}
