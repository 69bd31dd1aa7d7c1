/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lmm_run.h - what all hosts of the LMM do with the runs that they find (struct lmm_host, resolve). */
#ifndef LMM_RUN_H
#define LMM_RUN_H

#include "include/lmm.h"

/* Let @a have @b too, which begins where @a ends; false: it is other memory. */
static inline bool lmm_run_join(struct lmm_run *a, const struct lmm_run *b)
{
	if (a->kind != b->kind || a->dev != b->dev || a->object != b->object ||
	    b->offset != a->offset + (b->start - a->start))
		return false;
	a->end = b->end;
	a->writable = a->writable && b->writable;
	a->can_shrink = a->can_shrink || b->can_shrink;
	return true;
}

#endif
