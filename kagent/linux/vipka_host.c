// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_host.c - the core's hooks.
 */
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "kagent/linux/vipka.h"

void *ka_host_alloc(size_t bytes)
{
	return kvzalloc(bytes, GFP_KERNEL_ACCOUNT);
}

void ka_host_free(void *mem)
{
	kvfree(mem);
}

uint32_t ka_host_random(void)
{
	return get_random_u32();
}

/* The processes wake each other: see vipka_ioctl.h. */
void ka_host_wake(uint32_t *word)
{
}

int ka_host_resolve(void *proc, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max, char *text)
{
	return -ENOSYS;
}

int ka_host_nic_create(struct ka_nicmem *mem)
{
	return -ENOSYS;
}

void ka_host_nic_destroy(struct ka_nicmem *mem)
{
}

void ka_host_event(void *proc, const struct ka_event *event, const struct ka_give *give)
{
}

/* Until vipka_conn.c is there. */
int __weak ka_host_region_create(struct ka_region *region, const struct ka_end end[2])
{
	return -ENOSYS;
}

void __weak ka_host_region_destroy(struct ka_region *region)
{
}

struct file *__weak vipka_conn_file(struct ka_region *region, u32 side)
{
	return ERR_PTR(-ENOSYS);
}
