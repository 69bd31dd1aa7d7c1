/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memory.h - what the checks of registered memory share: check_memory.c and memory_use.c. */
#ifndef CONFORMANCE_MEMORY_H
#define CONFORMANCE_MEMORY_H

#include "suite.h"

#define PAGE 4096u

/* Bytes of private memory, whole pages, with an inaccessible page behind them. */
uint8_t *map_pages(size_t bytes, int protection);

VIP_MEM_HANDLE register_at(struct run *r, void *at, size_t bytes, VIP_PROTECTION_HANDLE tag, bool rdma_write);

/* Bytes that the system says are held for this process; a provider may use either way, or both. */
struct held {
	uint64_t locked, pinned;
};
struct held held_at_rest(void);
/* They become it, as long as patience_ms() lasts. */
void expect_held(struct held want);

void check_read_only(struct run *r);
void check_overlap(struct run *r);
void check_two_rights(struct run *r);
void check_send_stale(struct run *r);
void check_write_switched_off(struct run *r);
void check_other_tag(struct run *r);
void check_one_page_more(struct run *r);
void check_wrap(struct run *r);
void check_fork(struct run *r);

#endif
