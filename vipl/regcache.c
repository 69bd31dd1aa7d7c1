/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * regcache.c - see regcache.h.
 */
#include "vipl/regcache.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kagent/host/limit.h"
#include "vipl/env.h"
#include "vipl/mem.h"
#include "vipl/watch.h"

/* What VIPL_REG_CACHE=on means, unless that is more than half of what may be locked. */
#define BY_DEFAULT	   (64ull << 20)
#define BY_DEFAULT_REGIONS (KA_TPT_ENTRIES / 2)

static uint64_t kept_in_all; /* regions, of all NIC handles */

/* ---- the bits and the counters that others see ---- */

static void set_idle(struct vip_nic *nic, uint32_t handle, bool idle)
{
	uint32_t i = handle % KA_TPT_ENTRIES;
	uint64_t bit = 1ull << i % 64, word = nic->idle[i / 64];
	struct ka_cache *told = ka_cache_of(nic->words.wake);

	word = idle ? word | bit : word & ~bit;
	ka_store_release(&nic->idle[i / 64], word);
	/* the next look at it, the peers' or our own threads', comes after this, or who has looked is waited
	 * for */
	if (idle)
		ka_store_relaxed(&told->keeps[i], told->keeps[i] + 1);
	__atomic_exchange_n(&told->idle[i / 64], word, __ATOMIC_SEQ_CST);
}

static void tell(struct vip_nic *nic)
{
	struct ka_cache_counts *to = &ka_cache_of(nic->words.wake)->n;
	const struct ka_cache_counts *n = &nic->cache.n;

	ka_store_relaxed(&to->limit, n->limit);
	ka_store_relaxed(&to->bytes, n->bytes);
	ka_store_relaxed(&to->regions, n->regions);
	ka_store_relaxed(&to->hits, n->hits);
	ka_store_relaxed(&to->misses, n->misses);
	ka_store_relaxed(&to->evictions, n->evictions);
	ka_store_relaxed(&to->invalidations, n->invalidations);
}

/* ---- what is kept ---- */

static struct vip_kept_bucket *bucket_of(struct vip_cache *c, uint64_t start, uint64_t length, uint32_t tag)
{
	uint64_t h = (start ^ length << 20 ^ (uint64_t)tag << 40) * 0x9e3779b97f4a7c15ull;

	return &c->bucket[(h >> 32) % VIP_CACHE_BUCKETS];
}

static void add(struct vip_nic *nic, struct vip_region *r, const struct ka_tpt_entry *e)
{
	struct vip_cache *c = &nic->cache;

	r->kept.start = e->start;
	r->kept.length = e->length;
	r->kept.tag = e->tag;
	r->kept.rdma = e->rights & (KA_R_RDMA_WRITE | KA_R_RDMA_READ);
	TAILQ_INSERT_TAIL(&c->ages, r, kept.by_age);
	LIST_INSERT_HEAD(bucket_of(c, e->start, e->length, e->tag), r, kept.by_key);
	c->n.regions++;
	c->n.bytes += r->length;
	kept_in_all++;
	set_idle(nic, r->handle, true);
}

static void take_out(struct vip_nic *nic, struct vip_region *r)
{
	struct vip_cache *c = &nic->cache;

	TAILQ_REMOVE(&c->ages, r, kept.by_age);
	LIST_REMOVE(r, kept.by_key);
	c->n.regions--;
	c->n.bytes -= r->length;
	kept_in_all--;
}

/* The agent is told, too.  The handle stays invalid, and its index is free afterwards. */
static void drop(struct vip_nic *nic, struct vip_region *r)
{
	uint32_t handle = r->handle;

	take_out(nic, r);
	vip_mem_leave(nic, r->kept.start, handle);
	set_idle(nic, handle, false);
}

static void invalidate(struct vip_nic *nic, struct vip_region *r)
{
	nic->cache.n.invalidations++;
	drop(nic, r);
}

static void evict(struct vip_nic *nic, struct vip_region *r)
{
	nic->cache.n.evictions++;
	drop(nic, r);
}

/* Down to the bounds. */
static void shrink(struct vip_nic *nic)
{
	struct vip_cache *c = &nic->cache;

	while (c->n.regions > c->max_regions || c->n.bytes > c->n.limit)
		evict(nic, TAILQ_FIRST(&c->ages));
}

/* ---- is it still there? ---- */

/* The memory of this entry has a name, in the kernel's list of mappings: has it still? */
static bool same_object(const struct vip_region *r, const struct ka_tpt_entry *e)
{
	uint32_t dev = e->kind == LMM_SYSV ? r->seen.dev : e->dev; /* a shmid needs no device */
	struct vip_seen now;

	vip_touch_see(e->start, e->length, &now);
	return now.uniform && now.inode == e->object && now.dev == dev && e->start - now.address == e->offset;
}

static bool still_there(struct vip_nic *nic, const struct vip_region *r)
{
	struct ka_tpt_entry e;

	return ka_tpt_get(nic->tpt, r->handle, &e) && e.tag == r->kept.tag &&
	       (!e.object || (same_object(r, &e) && vip_touch_same(r->start, r->length, &r->seen)));
}

/* What has gone since the last time; its handle, its lock beside the hole and its pin are of no use. */
static void clear_losses(struct vip_nic *nic)
{
	struct vip_cache *c = &nic->cache;
	struct vip_region *r, *next;
	struct ka_tpt_entry e;
	uint32_t losses;

	vip_watch_settle();
	losses = vip_gone_losses();
	if (losses == c->losses)
		return;
	c->losses = losses;
	for (r = TAILQ_FIRST(&c->ages); r; r = next) {
		next = TAILQ_NEXT(r, kept.by_age);
		if (!ka_tpt_get(nic->tpt, r->handle, &e) || !e.tag)
			invalidate(nic, r);
	}
}

/* ---- in and out ---- */

static bool works(const struct vip_nic *nic)
{
	return nic->cache.n.limit && !ka_load_relaxed(&nic->dead);
}

static struct vip_region *find(struct vip_cache *c, const struct ka_req *req)
{
	uint64_t start = req->u.reg.start, length = req->u.reg.length;
	struct vip_region *r;

	LIST_FOREACH(r, bucket_of(c, start, length, req->u.reg.tag), kept.by_key)
	{
		if (r->kept.start == start && r->kept.length == length && r->kept.tag == req->u.reg.tag &&
		    r->kept.rdma == req->u.reg.rdma)
			return r;
	}
	return NULL;
}

bool vip_cache_take(struct vip_nic *nic, const struct ka_req *req, VIP_MEM_HANDLE *out)
{
	struct vip_cache *c = &nic->cache;
	struct vip_region *r;

	if (!works(nic))
		return false;
	clear_losses(nic);
	while ((r = find(c, req)) && !still_there(nic, r))
		invalidate(nic, r);
	if (r) {
		c->n.hits++;
		take_out(nic, r);
		set_idle(nic, r->handle, false);
		*out = r->handle;
	} else {
		c->n.misses++;
	}
	tell(nic);
	return r;
}

bool vip_cache_keep(struct vip_nic *nic, uint64_t start, VIP_MEM_HANDLE mem)
{
	struct vip_region *r = vip_region_of(nic, mem);
	struct vip_cache *c = &nic->cache;
	struct ka_tpt_entry e;

	if (!works(nic) || r->handle != mem || !r->watched || r->length > c->n.limit)
		return false;
	clear_losses(nic);
	/* memory that may be read only might be writable when it is registered again */
	if (!ka_tpt_get(nic->tpt, mem, &e) || e.start != start || !e.tag || !(e.rights & KA_R_WRITE) ||
	    e.kind == LMM_MIXED)
		return false;
	add(nic, r, &e);
	/* a peer may be at it, through a mapping of its own or by way of our progress thread; or a thread is,
	 * beside the queues' locks
	 */
	if (e.object || r->kept.rdma || nic->beside)
		vip_links_quiet(nic);
	else
		vip_queues_quiet(nic);
	shrink(nic);
	tell(nic);
	return true;
}

/* ---- room for others ---- */

bool vip_cache_any(void)
{
	return kept_in_all;
}

struct room {
	const struct vip_nic *without;
	uint64_t wanted, made; /* bytes */
};

static void make_room(void *obj, void *arg)
{
	struct vip_nic *nic = obj;
	struct room *room = arg;
	struct vip_region *r;

	if (nic == room->without)
		return;
	while (room->made < room->wanted && (r = TAILQ_FIRST(&nic->cache.ages))) {
		room->made += r->length;
		evict(nic, r);
		tell(nic);
	}
}

bool vip_cache_make_room(struct vip_nic *nic, uint64_t bytes)
{
	struct room room = {.wanted = bytes};

	if (!kept_in_all)
		return false;
	make_room(nic, &room);
	room.without = nic;
	if (!room.made)
		vip_obj_each(VIP_T_NIC, make_room, &room);
	return room.made;
}

void vip_cache_drop_tag(struct vip_nic *nic, uint32_t tag)
{
	struct vip_region *r, *next;

	for (r = TAILQ_FIRST(&nic->cache.ages); r; r = next) {
		next = TAILQ_NEXT(r, kept.by_age);
		if (r->kept.tag == tag)
			evict(nic, r);
	}
	tell(nic);
}

/* ---- the handle's life ---- */

/* Bytes, with K, M or G behind them; 0: it is no number. */
static uint64_t parse_bytes(const char *text)
{
	static const char units[] = "KMG";
	const char *unit;
	char *end;
	uint64_t n;

	if (!isdigit((unsigned char)text[0]))
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit && !end[1] && n < 1ull << 32)
		n <<= 10 * (unit - units + 1);
	else if (*end)
		return 0;
	return errno ? 0 : n;
}

static uint64_t by_default(void)
{
	char text[KA_TEXT + 100];

	return limit_exceeded(2 * BY_DEFAULT, text, sizeof(text)) ? limit_kib() / 2 << 10 : BY_DEFAULT;
}

static int wanted(uint64_t *bytes)
{
	const char *text = vip_env_text(VIP_ENV_REG_CACHE);

	*bytes = strcmp(text, "off") == 0 ? 0 : strcmp(text, "on") == 0 ? by_default() : parse_bytes(text);
	if (*bytes || strcmp(text, "off") == 0)
		return 0;
	vip_why("VIPL_REG_CACHE is '%.32s': it may be off, on, or the most bytes to keep, as 16M", text);
	return -EINVAL;
}

int vip_cache_open(struct vip_nic *nic)
{
	struct vip_cache *c = &nic->cache;
	uint64_t bytes;
	int err = wanted(&bytes);

	if (err)
		return err;
	if (bytes && nic->pinned) {
		vip_log(VIP_LOG_INFO, "VIPL_REG_CACHE: %s has no registration cache", nic->device);
		bytes = 0;
	}
	memset(c, 0, sizeof(*c)); /* empty buckets */
	TAILQ_INIT(&c->ages);
	memset(nic->idle, 0, sizeof(nic->idle));
	c->n.limit = bytes;
	c->max_regions = bytes ? BY_DEFAULT_REGIONS : 0;
	return 0;
}

void vip_cache_close(struct vip_nic *nic)
{
	struct vip_region *r;

	while ((r = TAILQ_FIRST(&nic->cache.ages)))
		take_out(nic, r);
	nic->cache.n.limit = nic->cache.max_regions = 0;
}

void vip_cache_forked(void)
{
	kept_in_all = 0;
}

VIP_EXPORT VIP_RETURN VipxRegCache(VIP_NIC_HANDLE h, VIP_ULONG max_regions, VIP_ULONG max_bytes)
{
	struct vip_nic *nic = vip_nic_find(h);
	VIP_RETURN r = VIP_SUCCESS;

	if (!nic)
		return vip_bad("not a NIC handle");
	pthread_mutex_lock(&nic->lock);
	if (!vip_obj_is(nic, h)) {
		r = vip_bad("not a NIC handle");
	} else if (nic->pinned && max_bytes && max_regions) {
		/* who copies is the kernel, which does not see what is kept */
		r = vip_quiet(VIP_ERROR_NOT_SUPPORTED, "%s has no registration cache", nic->device);
	} else {
		pthread_mutex_lock(&vip_mem_lock);
		nic->cache.max_regions = max_bytes ? max_regions : 0;
		nic->cache.n.limit = max_regions ? max_bytes : 0;
		shrink(nic);
		tell(nic);
		pthread_mutex_unlock(&vip_mem_lock);
	}
	pthread_mutex_unlock(&nic->lock);
	return r;
}
