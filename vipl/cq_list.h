/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cq_list.h - the lists of a completion queue's queues; cq->lock is held.
 */
#ifndef VIPL_CQ_LIST_H
#define VIPL_CQ_LIST_H

#include "vipl/internal.h"

/* At the end; @q is not in it. */
static inline void vip_list_add(struct vip_cq *cq, int list, struct vip_queue *q)
{
	struct vip_queues *l = &cq->list[list];

	q->next[list] = NULL;
	q->in[list] = true;
	if (l->first)
		l->last->next[list] = q;
	else
		l->first = q;
	l->last = q;
	ka_store_relaxed(&l->n, l->n + 1); /* looked at without the lock */
}

/* The first; there is one. */
static inline struct vip_queue *vip_list_take(struct vip_cq *cq, int list)
{
	struct vip_queues *l = &cq->list[list];
	struct vip_queue *q = l->first;

	l->first = q->next[list];
	q->in[list] = false;
	ka_store_relaxed(&l->n, l->n - 1);
	return q;
}

static inline void vip_list_remove(struct vip_cq *cq, int list, struct vip_queue *q)
{
	uint32_t i, n = cq->list[list].n;

	for (i = 0; q->in[list] && i < n; i++) {
		struct vip_queue *other = vip_list_take(cq, list);

		if (other != q)
			vip_list_add(cq, list, other);
	}
}

#endif
