/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * host.h - what the agent's core needs from the program it lives in: the
 * daemon, the kernel module, or a unit test.  The host defines these
 * functions; the core calls nothing else, apart from memcpy, memmove, memset
 * and memcmp.
 *
 * Invariants: the core runs in one thread, or under the host's one lock.  No
 * hook calls back into the core: a host that must drop a process does so with
 * ka_core_exit() after the core has returned.
 */
#ifndef KA_CORE_HOST_H
#define KA_CORE_HOST_H

#include "kagent/ka_proto.h"
#include "kagent/ka_shm.h"

/* The shared memory of a NIC handle; `host` is for the host's own use. */
struct ka_nicmem {
	struct ka_tpt_entry *tpt; /* KA_TPT_ENTRIES, writable here alone */
	struct ka_wake *wake;	  /* KA_WAKE_WORDS, and a struct ka_cache */
	long host[2];
};

/* The shared region of a connection, of which the agent sees the control page. */
struct ka_region {
	struct ka_conn_ctl *ctl;
	long host[2];
};

/*
 * What goes with an answer or an event, in this order: the region, then the
 * NIC handle's TPT (read-only) and wake words.  NULL: not given.
 */
struct ka_give {
	struct ka_region *region;
	const struct ka_nicmem *nic;
};

/* ka_host_alloc - @bytes of zeroed memory, NULL when there is none. */
void *ka_host_alloc(size_t bytes);
void ka_host_free(void *mem);

/* ka_host_random - 32 bits that another user cannot guess. */
uint32_t ka_host_random(void);

/*
 * ka_host_resolve - what process @proc has mapped at [@start, @end): resolve of
 * struct lmm_host.  @proc: the host's handle from ka_core_enter().
 * @text: KA_TEXT bytes for the cause of a failure.
 */
int ka_host_resolve(void *proc, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max, char *text);

/* The memory of a NIC handle, zeroed.  create: 0, -ENOMEM, -EMFILE. */
int ka_host_nic_create(struct ka_nicmem *mem);
void ka_host_nic_destroy(struct ka_nicmem *mem);

/* One of the two VIs that a connection joins. */
struct ka_end {
	const struct ka_nicmem *nic;
	const struct ka_vi_attr *attr;
};

/* The region of a connection, KA_CONN_BYTES, zeroed; @end: by sides.  create: 0, -ENOMEM, -EMFILE. */
int ka_host_region_create(struct ka_region *region, const struct ka_end end[2]);
void ka_host_region_destroy(struct ka_region *region);

/* ka_host_wake - wake all who sleep on @word, as futex does. */
void ka_host_wake(uint32_t *word);

/*
 * ka_host_event - send @event to process @proc, with what @give names.
 * A process that cannot take it is dropped by the host, later.
 */
void ka_host_event(void *proc, const struct ka_event *event, const struct ka_give *give);

#endif
