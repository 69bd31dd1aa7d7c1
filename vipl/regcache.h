/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * regcache.h - the registration cache of a NIC handle (VipxRegCache): regions
 * that the consumer has deregistered and the agent has not.
 *
 * A kept region has its bit in nic->idle, at which everybody looks before the
 * TPT, and in the shared struct ka_cache, for the peers; so its handle is
 * invalid for all.  It can be taken out by whoever asks for the same bytes
 * with the same tag and RDMA rights, as long as its memory is the same.
 *
 * Invariants: what is kept was watched from its registration on (watch.h); its
 * TPT entry is as it was when it was kept, or has tag 0.  Of memory that has a
 * name (a segment, a file) the name is looked at, too, before it is taken:
 * nobody tells of shmdt.  All of this is under vip_mem_lock but for the bits,
 * which are written under it.
 */
#ifndef VIPL_REGCACHE_H
#define VIPL_REGCACHE_H

#include <stdbool.h>
#include <sys/queue.h>

#include "kagent/ka_proto.h"
#include "kagent/ka_shm.h"
#include "vipl.h"

struct vip_nic;
struct vip_region;

#define VIP_CACHE_BUCKETS 512u /* a power of two */

/* Of a region: what it is found by, and its neighbours. */
struct vip_kept {
	uint64_t start, length; /* bytes, exact */
	uint32_t tag, rdma;
	TAILQ_ENTRY(vip_region) by_age;
	LIST_ENTRY(vip_region) by_key;
};

TAILQ_HEAD(vip_kept_ages, vip_region);
LIST_HEAD(vip_kept_bucket, vip_region);

struct vip_cache {
	uint64_t max_regions;
	struct ka_cache_counts n;  /* n.limit 0: off */
	uint32_t losses;	   /* of which all that is kept has been cleared */
	struct vip_kept_ages ages; /* the least recently kept is first */
	struct vip_kept_bucket bucket[VIP_CACHE_BUCKETS];
};

/* At a NIC handle's opening: as VIPL_REG_CACHE says.  -EINVAL with vip_why(): it says nonsense. */
int vip_cache_open(struct vip_nic *nic);
void vip_cache_forked(void);

/* ---- vip_mem_lock held ---- */

/* Take a region that @req (MEM_REG) asks for out of the cache; false: there is none. */
bool vip_cache_take(struct vip_nic *nic, const struct ka_req *req, VIP_MEM_HANDLE *out);
/* Keep the region that is being deregistered; false: it is for the agent. */
bool vip_cache_keep(struct vip_nic *nic, uint64_t start, VIP_MEM_HANDLE mem);

/* Does any NIC handle keep something? */
bool vip_cache_any(void);
/* Deregister some @bytes of what this and then what other NIC handles keep; false: they keep nothing. */
bool vip_cache_make_room(struct vip_nic *nic, uint64_t bytes);
/* Deregister what has this tag. */
void vip_cache_drop_tag(struct vip_nic *nic, uint32_t tag);
/* The agent forgets the handle, and all its regions. */
void vip_cache_close(struct vip_nic *nic);

#endif
