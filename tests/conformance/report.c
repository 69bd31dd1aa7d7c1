/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* report.c - the checks and their results, for people and as JSON. */
#include "harness.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

const char *rank_name(enum rank rank)
{
	static const char *const names[] = {"EARLY", "FUNCTIONAL", "FULL"};

	return names[rank];
}

const char *level_name(VIP_RELIABILITY_LEVEL level)
{
	switch (level) {
	case VIP_SERVICE_UNRELIABLE:
		return "U";
	case VIP_SERVICE_RELIABLE_DELIVERY:
		return "RD";
	case VIP_SERVICE_RELIABLE_RECEPTION:
		return "RR";
	default:
		return "-";
	}
}

static const char *flags_text(const struct check *c)
{
	static const char *const text[] = {"-", "RL", "2P", "RL 2P"};

	return text[c->flags & (RL | TWO)];
}

void list_checks(const struct options *o)
{
	const struct check *const *g, *c;

	if (o->markdown)
		puts("| no. | level | flags | from | check |\n|---|---|---|---|---|");
	for (g = groups; *g; g++) {
		for (c = *g; c->number; c++) {
			if (!is_chosen(o, c))
				continue;
			if (o->markdown)
				printf("| %d | %s | %s | %s | %s |\n", c->number, rank_name(c->rank),
				       flags_text(c), c->rule, c->what);
			else
				printf("%4d  %-10s  %-5s  %s (%s)\n", c->number, rank_name(c->rank),
				       flags_text(c), c->what, c->rule);
		}
	}
}

void report_line(const struct result *res)
{
	static const char *const words[] = {"ok", "FAIL", "skip"};
	const struct check *c = res->check;
	const char *line, *end;

	printf("%-4s %4d %-2s  %-10s  %s (%s)  %.2f s%s%s\n", words[res->outcome], c->number,
	       level_name(res->level), rank_name(c->rank), c->what, c->rule, res->seconds,
	       res->note[0] ? "; " : "", res->note);
	for (line = res->reason; *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			end = line + strlen(line) - 1;
		printf("      %.*s\n", (int)(end - line), line);
	}
	fflush(stdout);
}

static void count(const struct result *res, size_t n, int rank, int counts[3])
{
	size_t i;

	counts[PASSED] = counts[FAILED] = counts[SKIPPED] = 0;
	for (i = 0; i < n; i++) {
		if (rank < 0 || res[i].check->rank == (enum rank)rank)
			counts[res[i].outcome]++;
	}
}

/* Which ran with a tenth of their counts. */
static void report_reduced(const struct result *res, size_t n)
{
	int last = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		if (!(res[i].check->flags & LONG) || res[i].check->number == last)
			continue;
		printf("%s%d", last ? ", " : "REDUCED: to a tenth of the count, checks ",
		       res[i].check->number);
		last = res[i].check->number;
	}
	if (last)
		puts(" (--seconds 1)");
}

void report_summary(const struct options *o, const struct result *res, size_t n)
{
	int rank, counts[3];

	puts("");
	if (o->seconds == 1)
		report_reduced(res, n);
	for (rank = EARLY; rank <= FULL; rank++) {
		count(res, n, rank, counts);
		if (counts[PASSED] + counts[FAILED] + counts[SKIPPED])
			printf("%-10s  %d passed, %d failed, %d skipped\n", rank_name(rank), counts[PASSED],
			       counts[FAILED], counts[SKIPPED]);
	}
	count(res, n, -1, counts);
	printf("%d passed, %d failed, %d skipped\n", counts[PASSED], counts[FAILED], counts[SKIPPED]);
}

int report_json(const struct options *o, const struct result *res, size_t n)
{
	static const char *const words[] = {"passed", "failed", "skipped"};
	json_t *doc, *list = json_array();
	int counts[3], rc;
	size_t i;

	for (i = 0; i < n; i++) {
		const struct check *c = res[i].check;

		json_array_append_new(
			list, json_pack("{si ss ss ss ss ss sf ss ss}", "number", c->number, "rank",
					rank_name(c->rank), "level", level_name(res[i].level), "rule",
					c->rule, "check", c->what, "result", words[res[i].outcome], "seconds",
					res[i].seconds, "reason", res[i].reason, "note", res[i].note));
	}
	count(res, n, -1, counts);
	doc = json_pack("{ss sb si so si si si}", "device", o->device, "strict", o->strict, "seconds",
			o->seconds, "checks", list, "passed", counts[PASSED], "failed", counts[FAILED],
			"skipped", counts[SKIPPED]);
	rc = doc ? json_dumpf(doc, stdout, JSON_INDENT(2)) : -1;
	puts("");
	json_decref(doc);
	return rc;
}
