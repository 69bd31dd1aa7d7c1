/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fake_host.c - the made-up host of fake_host.h.
 */
#include "tests/unit/fake_host.h"

#include <stdlib.h>

struct fake fake = {.allow = -1};

void fake_reset(void)
{
	fake.allow = -1;
	fake.wakes = 0;
	fake.nevents = 0;
}

const struct fake_event *fake_last(const void *proc)
{
	unsigned int i = fake.nevents;

	while (i-- > 0 && i + FAKE_EVENTS >= fake.nevents)
		if (fake.events[i % FAKE_EVENTS].proc == proc)
			return &fake.events[i % FAKE_EVENTS];
	return NULL;
}

uint64_t fake_rand(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

void *ka_host_alloc(size_t bytes)
{
	void *mem;

	if (fake.allow == 0)
		return NULL;
	if (fake.allow > 0)
		fake.allow--;
	mem = calloc(1, bytes);
	fake.live += mem != NULL;
	return mem;
}

void ka_host_free(void *mem)
{
	fake.live -= mem != NULL;
	free(mem);
}

uint32_t ka_host_random(void)
{
	static uint64_t state = 88172645463325252ull;

	return (uint32_t)fake_rand(&state);
}

int ka_host_resolve(void *proc, uint64_t start, uint64_t length, struct ka_map *map, char *text)
{
	uint64_t n = start < SEG_AT(1) ? 0 : (start - SEG_AT(0)) / (SEG_AT(1) - SEG_AT(0));

	(void)proc;
	*map = (struct ka_map){.kind = KA_OBJ_PRIVATE, .writable = start < READ_ONLY_AT};
	if (start >= PRIVATE_AT && start < SEG_AT(0) && length <= SEG_AT(0) - start)
		return 0;
	if (n >= 1 && n <= SEGS && start + length <= SEG_AT(n) + SEG_BYTES) {
		*map = (struct ka_map){.kind = KA_OBJ_SYSV,
				       .writable = true,
				       .object = n,
				       .att_start = SEG_AT(n),
				       .att_length = SEG_BYTES,
				       .offset = start - SEG_AT(n),
				       .object_bytes = SEG_BYTES};
		return 0;
	}
	ka_text(text, KA_TEXT, "nothing is mapped at 0x%llx", (unsigned long long)start);
	return -EINVAL;
}

int ka_host_nic_create(struct ka_nicmem *mem)
{
	mem->tpt = ka_host_alloc(KA_TPT_BYTES);
	mem->wake = ka_host_alloc(KA_WAKE_BYTES);
	if (mem->tpt != NULL && mem->wake != NULL)
		return 0;
	ka_host_nic_destroy(mem);
	return -ENOMEM;
}

void ka_host_nic_destroy(struct ka_nicmem *mem)
{
	ka_host_free(mem->tpt);
	ka_host_free(mem->wake);
}

int ka_host_region_create(struct ka_region *region)
{
	region->ctl = ka_host_alloc(KA_CONN_CTL_BYTES);
	return region->ctl == NULL ? -ENOMEM : 0;
}

void ka_host_region_destroy(struct ka_region *region)
{
	ka_host_free(region->ctl);
}

void ka_host_wake(uint32_t *word)
{
	(void)word;
	fake.wakes++;
}

void ka_host_event(void *proc, const struct ka_event *event, const struct ka_give *give)
{
	fake.events[fake.nevents++ % FAKE_EVENTS] = (struct fake_event){proc, *event, *give};
}
