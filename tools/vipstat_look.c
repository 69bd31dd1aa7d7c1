/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vipstat_look.c - a look at the agent's tables.
 *
 * The agent shows its tables to clients only, so each look opens a NIC handle
 * and closes it: between two looks the agent may leave, as if nobody watched.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common.h"
#include "tools/vipstat.h"

struct walk {
	struct rows *rows;
	uint32_t own, pid;
	bool full; /* no memory */
};

static void add_row(void *context, const struct vipx_rec *rec)
{
	struct walk *w = context;
	struct rows *r = w->rows;

	if (rec->kind != VIPX_STAT && (rec->pid == w->own || (w->pid && rec->pid != w->pid)))
		return;
	if (r->n == r->room) {
		size_t room = r->room ? 2 * r->room : 64;
		struct vipx_rec *larger = reallocarray(r->rec, room, sizeof(*larger));

		if (!larger) {
			w->full = true;
			return;
		}
		r->rec = larger;
		r->room = room;
	}
	r->rec[r->n++] = *rec;
}

/* The attachments of one segment side by side. */
static int by_segment(const void *one, const void *other)
{
	const struct vipx_rec *a = one, *b = other;
	const uint64_t left[] = {a->u.seg.object_kind, a->u.seg.dev, a->u.seg.object, a->pid, a->u.seg.start};
	const uint64_t right[] = {b->u.seg.object_kind, b->u.seg.dev, b->u.seg.object, b->pid,
				  b->u.seg.start};

	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		if (left[i] != right[i])
			return left[i] < right[i] ? -1 : 1;
	}
	return 0;
}

static int inspect(struct look *l, struct vnic *n, unsigned int kinds, uint32_t pid)
{
	for (int kind = 0; kind < KINDS; kind++) {
		struct walk w = {.rows = &l->table[kind], .own = (uint32_t)getpid(), .pid = pid};
		VIP_RETURN rc;

		if (!(kinds & 1u << kind))
			continue;
		rc = VipxInspect(n->nic, kind, add_row, &w);
		if (rc != VIP_SUCCESS)
			return vnic_failed(n, "VipxInspect", rc);
		if (w.full)
			return vnic_fault(n, "no memory for %zu rows", w.rows->n + 1);
	}
	return 0;
}

static void empty(struct look *l)
{
	for (int kind = 0; kind < KINDS; kind++)
		l->table[kind].n = 0;
}

/* The kernel module is there or not: whatever the device says of that is told when it is opened. */
static bool running(struct look *l, const char *device)
{
	const char *module = tool_module_of(device);

	if (module)
		snprintf(l->dir, sizeof(l->dir), "%s", module);
	return module || VipxAgentRuns(l->dir, sizeof(l->dir));
}

int look_take(struct look *l, const char *device, unsigned int kinds, uint32_t pid)
{
	struct rows *segments = &l->table[VIPX_SEG];
	struct vnic n = {0};
	VIP_RETURN rc;
	int err;

	empty(l);
	l->running = running(l, device);
	if (!l->running)
		return 0;
	/*
	 * The agent may leave just now, and VipOpenNic would start another one
	 * only for us: name a program that cannot be started.
	 */
	setenv("VIPL_AGENT", "/dev/null", 1);
	unsetenv("VIPL_LOCK_LEVEL"); /* nothing is registered here: a level that cannot be had is no matter */
	rc = VipOpenNic(device, &n.nic);
	if (rc == VIP_SUCCESS) {
		err = inspect(l, &n, kinds, pid);
		vnic_close(&n);
	} else {
		err = vnic_failed(&n, "VipOpenNic", rc);
	}
	if (!err) {
		if (segments->n)
			qsort(segments->rec, segments->n, sizeof(segments->rec[0]), by_segment);
		return 0;
	}
	empty(l);
	l->running = running(l, device);
	if (!l->running)
		return 0; /* it has left meanwhile: no failure */
	snprintf(l->fault, sizeof(l->fault), "%s", n.fault);
	return -1;
}

void look_free(struct look *l)
{
	for (int kind = 0; kind < KINDS; kind++)
		free(l->table[kind].rec);
}
