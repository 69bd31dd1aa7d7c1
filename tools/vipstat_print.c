/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipstat_print.c - the tables on standard output: for people, with columns as
 * wide as what is in them, or as one JSON object.
 */
#include <stdio.h>
#include <string.h>

#include "tools/vipstat.h"

static void print_cells(const struct table *t, const int *width, const struct vipx_rec *rec)
{
	char text[CELL_TEXT];
	int owed = 0; /* blanks, which the end of the line does not get */

	for (size_t i = 0; i < t->ncolumns; i++) {
		const struct column *c = &t->columns[i];
		int blank;

		if (!c->title)
			continue;
		if (rec)
			cell_text(c, rec, text);
		else
			snprintf(text, sizeof(text), "%s", c->title);
		blank = width[i] - (int)strlen(text);
		owed += 2;
		if (cell_left(c)) {
			printf("%*s%s", owed, "", text);
			owed = blank;
		} else {
			printf("%*s%s", owed + blank, "", text);
			owed = 0;
		}
	}
	putchar('\n');
}

static void print_table(const struct table *t, const struct rows *rows)
{
	int width[MOST_COLUMNS] = {0};
	char text[CELL_TEXT];

	printf("\n%s\n", t->title);
	if (!rows->n) {
		puts("  none");
		return;
	}
	for (size_t i = 0; i < t->ncolumns; i++) {
		const struct column *c = &t->columns[i];

		if (!c->title)
			continue;
		width[i] = (int)strlen(c->title);
		for (size_t row = 0; row < rows->n; row++) {
			cell_text(c, &rows->rec[row], text);
			if ((int)strlen(text) > width[i])
				width[i] = (int)strlen(text);
		}
	}
	print_cells(t, width, NULL);
	for (size_t row = 0; row < rows->n; row++)
		print_cells(t, width, &rows->rec[row]);
}

void print_text(const struct look *l, unsigned int kinds)
{
	if (!l->running) {
		printf("no agent is running (in %s)\n", l->dir);
		return;
	}
	printf("Agent in %s\n", l->dir);
	for (size_t i = 0; i < TABLES; i++) {
		if (kinds & 1u << tables[i].kind)
			print_table(&tables[i], &l->table[tables[i].kind]);
	}
}

static json_t *table_json(const struct table *t, const struct rows *rows)
{
	json_t *list = json_array();

	for (size_t row = 0; row < rows->n; row++) {
		json_t *object = json_object();

		for (size_t i = 0; i < t->ncolumns; i++) {
			const struct column *c = &t->columns[i];

			if (c->key)
				json_object_set_new(object, c->key, cell_json(c, &rows->rec[row]));
		}
		json_array_append_new(list, object);
	}
	return list;
}

void print_json(const struct look *l, unsigned int kinds, bool compact)
{
	json_t *all = json_object(), *agent = json_null();

	if (l->running) {
		agent = json_object();
		/* no key when the name is no UTF-8 */
		json_object_set_new(agent, "directory", json_string(l->dir));
	}
	json_object_set_new(all, "agent", agent);
	for (size_t i = 0; i < TABLES; i++) {
		if (kinds & 1u << tables[i].kind)
			json_object_set_new(all, tables[i].key,
					    table_json(&tables[i], &l->table[tables[i].kind]));
	}
	json_dumpf(all, stdout, compact ? JSON_COMPACT : JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}
