/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * perf_row.c - statistics of a row, and rows as a table, CSV or JSON.
 *
 * A percentile is the smallest sample that so many percent of the samples do
 * not exceed.  The one at 99.9 % is left out below 1000 samples.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/perf.h"

#define ENOUGH_FOR_P999 1000

enum { MIN, MEDIAN, P90, P99, P999, MAX, MEAN, STATS };

static const char *const stat_name[STATS] = {"min", "median", "p90", "p99", "p999", "max", "mean"};

static struct {
	bool csv, table, progress;
	bool headed;
	json_t *rows; /* NULL: no JSON */
} out;

/* ---- statistics ---- */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double percentile(const double *sample, size_t n, unsigned int per_mille)
{
	size_t rank = (n * per_mille + 999) / 1000;

	return sample[rank ? rank - 1 : 0];
}

/* NAN: absent. */
static void digest(double *sample, size_t n, double stat[STATS])
{
	double sum = 0;

	qsort(sample, n, sizeof(*sample), ascending);
	for (size_t i = 0; i < n; i++)
		sum += sample[i];
	stat[MIN] = sample[0];
	stat[MEDIAN] = percentile(sample, n, 500);
	stat[P90] = percentile(sample, n, 900);
	stat[P99] = percentile(sample, n, 990);
	stat[P999] = n < ENOUGH_FOR_P999 ? NAN : percentile(sample, n, 999);
	stat[MAX] = sample[n - 1];
	stat[MEAN] = sum / (double)n;
}

struct perf_row perf_row_of(const struct perf_plan *p, uint64_t bytes)
{
	bool windowed = p->test == PERF_BW || p->test == PERF_RATE || p->test == PERF_WRITE_BW ||
			p->test == PERF_READ_BW;

	return (struct perf_row){
		.test = perf_test_name[p->test],
		.has_bytes = true,
		.bytes = bytes,
		.memory = perf_kind_name[p->memory],
		.level = tool_level_name((VIP_RELIABILITY_LEVEL)p->level),
		.cq = p->cq,
		.wait = p->wait,
		.segs = p->segs,
		.vis = p->vis,
		.buffers = p->buffers,
		.window = windowed ? p->window : 1,
		.receivers = p->receivers,
		.idle = p->idle,
		.batch = 1,
	};
}

/* ---- JSON ---- */

static json_t *count_or_null(uint64_t count)
{
	return count ? json_integer((json_int_t)count) : json_null();
}

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static void add_json(const struct perf_row *r, const double stat[STATS])
{
	json_t *row = json_object();

	json_object_set_new(row, "test", json_string(r->test));
	json_object_set_new(row, "bytes", r->has_bytes ? json_integer((json_int_t)r->bytes) : json_null());
	json_object_set_new(row, "memory", text_or_null(r->memory));
	json_object_set_new(row, "level", text_or_null(r->level));
	json_object_set_new(row, "cq", json_boolean(r->cq));
	json_object_set_new(row, "wait", json_boolean(r->wait));
	json_object_set_new(row, "segs", count_or_null(r->segs));
	json_object_set_new(row, "vis", count_or_null(r->vis));
	json_object_set_new(row, "idle", json_integer(r->idle));
	json_object_set_new(row, "buffers", count_or_null(r->buffers));
	json_object_set_new(row, "window", count_or_null(r->window));
	json_object_set_new(row, "receivers", count_or_null(r->receivers));
	json_object_set_new(row, "n", json_integer((json_int_t)r->n));
	json_object_set_new(row, "batch", json_integer((json_int_t)r->batch));
	for (int i = 0; i < STATS; i++)
		json_object_set_new(row, stat_name[i], isnan(stat[i]) ? json_null() : json_real(stat[i]));
	json_object_set_new(row, "unit", json_string(r->unit));
	json_array_append_new(out.rows, row);
}

/* ---- CSV and the table ---- */

static int decimals(const char *unit)
{
	if (strcmp(unit, "us") == 0)
		return 3;
	return strcmp(unit, "msg/s") == 0 ? 0 : 1;
}

static void csv_count(uint64_t count)
{
	if (count)
		printf("%llu", (unsigned long long)count);
	putchar(',');
}

static void add_csv(const struct perf_row *r, const double stat[STATS])
{
	if (!out.headed)
		puts("test,bytes,memory,level,cq,wait,segs,vis,idle,buffers,window,receivers,n,batch,"
		     "min,median,p90,p99,p999,max,mean,unit");
	out.headed = true;
	printf("%s,", r->test);
	if (r->has_bytes)
		printf("%llu", (unsigned long long)r->bytes);
	printf(",%s,%s,%d,%d,", r->memory ? r->memory : "", r->level ? r->level : "", r->cq, r->wait);
	csv_count(r->segs);
	csv_count(r->vis);
	printf("%u,", r->idle);
	csv_count(r->buffers);
	csv_count(r->window);
	csv_count(r->receivers);
	printf("%llu,%llu,", (unsigned long long)r->n, (unsigned long long)r->batch);
	for (int i = 0; i < STATS; i++) {
		if (!isnan(stat[i]))
			printf("%.*f", decimals(r->unit), stat[i]);
		putchar(',');
	}
	puts(r->unit);
}

static void table_head(const struct perf_row *r)
{
	printf("# level %s, %s, %s", r->level ? r->level : "-", r->wait ? "waiting" : "polling",
	       r->cq ? "completion queue" : "no completion queue");
	if (r->vis)
		printf(", segs %u, vis %u, idle %u, buffers %u, window %u, receivers %u", r->segs, r->vis,
		       r->idle, r->buffers, r->window, r->receivers);
	printf("\n%-18s %9s %-8s %9s %6s", "# test", "bytes", "memory", "n", "batch");
	for (int i = 0; i < STATS; i++)
		printf(" %10s", stat_name[i]);
	puts(" unit");
	out.headed = true;
}

static void add_line(const struct perf_row *r, const double stat[STATS])
{
	char bytes[24] = "-";

	if (!out.headed)
		table_head(r);
	if (r->has_bytes)
		snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)r->bytes);
	printf("%-18s %9s %-8s %9llu %6llu", r->test, bytes, r->memory ? r->memory : "-",
	       (unsigned long long)r->n, (unsigned long long)r->batch);
	for (int i = 0; i < STATS; i++) {
		if (isnan(stat[i]))
			printf(" %10s", "-");
		else
			printf(" %10.*f", decimals(r->unit), stat[i]);
	}
	printf(" %s\n", r->unit);
}

/* ---- all of them ---- */

static void clear_progress(void)
{
	if (out.progress)
		fputs("\r\033[K", stderr);
}

void perf_rows_begin(const struct perf_options *o)
{
	out.csv = o->csv;
	out.rows = o->json ? json_array() : NULL;
	out.table = !o->csv && !o->json;
	out.progress = !o->quiet && isatty(STDERR_FILENO);
}

void perf_row_add(const struct perf_row *row, double *sample, size_t samples)
{
	double stat[STATS];

	digest(sample, samples, stat);
	clear_progress();
	if (out.rows)
		add_json(row, stat);
	if (out.csv)
		add_csv(row, stat);
	if (out.table)
		add_line(row, stat);
	fflush(stdout);
}

void perf_rows_end(bool good)
{
	clear_progress();
	if (!out.rows)
		return;
	if (good) {
		json_dumpf(out.rows, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
		putchar('\n');
	}
	json_decref(out.rows);
	out.rows = NULL;
}

void perf_progress(const char *test, uint64_t bytes, uint32_t row, uint32_t rows)
{
	char size[TOOL_BYTES_TEXT];

	if (out.progress)
		fprintf(stderr, "\r\033[K  %s, %s, row %u of %u", test, tool_bytes_text(bytes, size), row,
			rows);
}
