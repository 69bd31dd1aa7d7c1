/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipstat.h - the parts of vipstat: what the agent's tables hold now
 * (vipstat_look.c), how a cell of them reads (vipstat_cell.c), and how the
 * tables are laid out for people or as JSON (vipstat_print.c).
 */
#ifndef TOOLS_VIPSTAT_H
#define TOOLS_VIPSTAT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vipl_ext.h"

#define KINDS	  (VIPX_STAT + 1) /* of tables: an array's size, enum vipx_kind its index */
#define CELL_TEXT 64		  /* bytes of a cell's text, with NUL */

/* ---- vipstat_look.c ---- */

struct rows {
	struct vipx_rec *rec;
	size_t n, room;
};

struct look {
	bool running;	 /* false: no agent, and all tables are empty */
	char dir[256];	 /* of the agent; or its device */
	char fault[512]; /* the last failure, one line */
	struct rows table[KINDS];
};

/*
 * look_take - fill the tables of @kinds (bits, 1 << enum vipx_kind) anew; without
 * the caller's own rows.  Starts no agent.
 * @device: the NIC whose agent it is.  @pid: not 0: only this process's rows, and all counters.
 * Returns 0, or -1 with l->fault.
 */
int look_take(struct look *l, const char *device, unsigned int kinds, uint32_t pid);
void look_free(struct look *l);

/* ---- vipstat_cell.c ---- */

/* How a value reads. */
enum cell {
	CELL_NUMBER,
	CELL_BYTES,	  /* text: 4 KiB */
	CELL_PAGES,	  /* bytes, told in pages */
	CELL_ADDRESS,	  /* text: hexadecimal */
	CELL_END,	  /* of a start that is followed by a length */
	CELL_WORD,	  /* characters in the record */
	CELL_LEVEL,	  /* enum vipx_level */
	CELL_RELIABILITY, /* VIP_SERVICE_* */
	CELL_KIND,	  /* enum vipx_object */
	CELL_OBJECT,	  /* text: shmid, or device:inode; JSON: shmid or inode */
	CELL_OFFSET,	  /* in such an object */
	CELL_DEVICE,	  /* of an inode */
	CELL_RIGHTS,	  /* enum vipx_rights as letters */
	CELL_TAG,	  /* text: "gone" for 0 */
	CELL_GONE,	  /* JSON: a tag of 0 */
	CELL_HELD,	  /* text: by its pages' locks, or by its segment's */
	CELL_WHOLE,	  /* text: whole, or by page */
	CELL_STATE,	  /* text: of a connection */
	CELL_PEER	  /* a number that counts while the VI is connected */
};

struct column {
	const char *title; /* NULL: JSON only */
	const char *key;   /* NULL: text only */
	enum cell cell;
	size_t at, size; /* of the value in struct vipx_rec */
};

struct table {
	int kind;	   /* enum vipx_kind */
	const char *title; /* text */
	const char *key;   /* JSON */
	const struct column *columns;
	size_t ncolumns;
};

/* In the order in which they are shown. */
#define TABLES	     7
#define MOST_COLUMNS 16
extern const struct table tables[TABLES];

bool cell_left(const struct column *c); /* aligned to the left? */
void cell_text(const struct column *c, const struct vipx_rec *rec, char text[CELL_TEXT]);
json_t *cell_json(const struct column *c, const struct vipx_rec *rec);

/* ---- vipstat_print.c ---- */

void print_text(const struct look *l, unsigned int kinds);
/* One object; @compact: in one line. */
void print_json(const struct look *l, unsigned int kinds, bool compact);

#endif
