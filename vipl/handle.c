/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * handle.c - opaque handles: numbers that are looked up, never followed.
 *
 * A handle is (generation << 24 | index << 4 | type): a random pointer, a stale
 * handle or one of another type is told from a good one.  Generations count up
 * for the whole process, so a value comes again only after 2^40 objects.
 * Look-up takes no lock: vip_objs only grows, and objects are never given back.
 */
#include "vipl/internal.h"

#include <stdlib.h>

struct vip_obj *vip_objs[VIP_MAX_OBJECTS];
static uint32_t used;
static struct vip_obj *free_list[VIP_T_CONN + 1];
static uint64_t generation;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

_Static_assert(sizeof(uintptr_t) == 8, "a handle holds index, type and generation in 64 bits");

void *vip_obj_new(enum vip_type type, size_t bytes, bool *fresh)
{
	struct vip_obj *o;

	pthread_mutex_lock(&table_lock);
	o = free_list[type];
	*fresh = !o;
	if (o) {
		free_list[type] = o->next_free;
	} else if (used < VIP_MAX_OBJECTS) {
		o = calloc(1, bytes);
		if (o) {
			o->type = type;
			o->index = used;
			ka_store_release(&vip_objs[used], o);
			ka_store_release(&used, used + 1);
		}
	}
	pthread_mutex_unlock(&table_lock);
	return o;
}

void *vip_obj_publish(void *obj)
{
	struct vip_obj *o = obj;
	uintptr_t h;

	pthread_mutex_lock(&table_lock);
	h = (uintptr_t)(++generation) << 24 | (uintptr_t)o->index << 4 | o->type;
	pthread_mutex_unlock(&table_lock);
	ka_store_release(&o->handle, h);
	return (void *)h; /* NOLINT(performance-no-int-to-ptr) */
}

bool vip_obj_retire(void *obj)
{
	return __atomic_exchange_n(&((struct vip_obj *)obj)->handle, (uintptr_t)0, __ATOMIC_ACQ_REL) != 0;
}

void vip_obj_free(void *obj)
{
	struct vip_obj *o = obj;

	pthread_mutex_lock(&table_lock);
	o->next_free = free_list[o->type];
	free_list[o->type] = o;
	pthread_mutex_unlock(&table_lock);
}

uint64_t vip_obj_cookie(const void *obj)
{
	static uint64_t last;

	return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED) * VIP_MAX_OBJECTS +
	       ((const struct vip_obj *)obj)->index;
}

void *vip_obj_of(uint64_t cookie, enum vip_type type)
{
	uint32_t index = cookie % VIP_MAX_OBJECTS;
	struct vip_obj *o = index < ka_load_acquire(&used) ? ka_load_acquire(&vip_objs[index]) : NULL;

	return o && o->type == (uint32_t)type && ka_load_acquire(&o->handle) ? o : NULL;
}

void vip_obj_each(enum vip_type type, void (*fn)(void *obj, void *arg), void *arg)
{
	uint32_t i, n = ka_load_acquire(&used);

	for (i = 0; i < n; i++) {
		struct vip_obj *o = ka_load_acquire(&vip_objs[i]);

		if (o->type == (uint32_t)type && ka_load_acquire(&o->handle))
			fn(o, arg);
	}
}

void vip_obj_forked(void)
{
	uint32_t i;

	pthread_mutex_init(&table_lock, NULL);
	for (i = 0; i < used; i++)
		vip_objs[i]->handle = 0;
	/* the parent's objects may be locked for ever: they are not used again */
	for (i = 0; i <= VIP_T_CONN; i++)
		free_list[i] = NULL;
}
