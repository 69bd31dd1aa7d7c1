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

static struct lmm_run private_run(uint64_t start, uint64_t end, bool writable)
{
	return (struct lmm_run){
		.start = start, .end = end, .kind = LMM_PRIVATE, .offset = start, .writable = writable};
}

static struct lmm_run object_run(uint64_t start, uint64_t pages, uint32_t kind, uint64_t object)
{
	uint64_t offset = kind == LMM_SHMEM ? 2 * PAGE : 0;

	return (struct lmm_run){.start = start,
				.end = start + pages * PAGE,
				.kind = kind,
				.dev = kind == LMM_SHMEM  ? SHMEM_DEV
				       : kind == LMM_FILE ? FILE_DEV
							  : 0,
				.object = object,
				.offset = offset,
				.object_bytes = pages * PAGE + offset,
				.seg_start = start,
				.seg_end = start + pages * PAGE,
				.writable = true,
				.can_shrink = kind == LMM_FILE};
}

/* The mapping that contains @addr; false: there is none. */
static bool mapping_at(uint64_t addr, struct lmm_run *run)
{
	const struct lmm_run mixed[] = {
		private_run(MIXED_AT, MIXED_AT + 4 * PAGE, true),
		object_run(MIXED_AT + 4 * PAGE, 4, LMM_SYSV, 101),
		private_run(MIXED_AT + 8 * PAGE, MIXED_AT + 10 * PAGE, false),
		private_run(MIXED_AT + 10 * PAGE, MIXED_AT + 12 * PAGE, true),
		object_run(MIXED_AT + 12 * PAGE, 4, LMM_SHMEM, 102),
		object_run(MIXED_AT + 16 * PAGE, 4, LMM_FILE, 103),
		object_run(MIXED_AT + 20 * PAGE, 4, LMM_SYSV, 104),
		private_run(MIXED_AT + 24 * PAGE, MIXED_AT + 32 * PAGE, true),
	};
	const uint64_t stride = SEG_AT(1) - SEG_AT(0);
	uint64_t n = (addr & (SHMEM_AT(0) - SEG_AT(0) - 1)) / stride, at;
	uint32_t i, kind;

	*run = private_run(PRIVATE_AT, READ_ONLY_AT, true);
	if (addr >= PRIVATE_AT && addr < READ_ONLY_AT)
		return true;
	*run = private_run(READ_ONLY_AT, SEG_AT(0), false);
	if (addr >= READ_ONLY_AT && addr < SEG_AT(0))
		return true;
	for (i = 0; i < 3 && n >= 1 && n <= SEGS; i++) {
		at = i == 0 ? SEG_AT(n) : i == 1 ? SHMEM_AT(n) : FILE_AT(n);
		kind = i == 0 ? LMM_SYSV : i == 1 ? LMM_SHMEM : LMM_FILE;
		*run = object_run(at, SEG_BYTES / PAGE, kind, n);
		if (addr >= run->start && addr < run->end)
			return true;
	}
	for (i = 0; i < sizeof(mixed) / sizeof(mixed[0]); i++) {
		*run = mixed[i];
		if (addr >= run->start && addr < run->end)
			return true;
	}
	n = (addr - MANY_AT) / PAGE;
	*run = object_run(MANY_AT + n * PAGE, 1, LMM_SHMEM, 1000 + n);
	return addr >= MANY_AT && n < MANY_PAGES;
}

int ka_host_resolve(void *proc, uint64_t start, uint64_t end, struct lmm_run *runs, uint32_t max, char *text)
{
	struct lmm_run run;
	uint32_t n = 0;

	(void)proc;
	for (; start < end; start = run.end) {
		if (!mapping_at(start, &run)) {
			ka_text(text, KA_TEXT, "nothing is mapped at 0x%llx", (unsigned long long)start);
			return -EINVAL;
		}
		if (n == max) {
			ka_text(text, KA_TEXT, "more than %u mappings; register in parts", max);
			return -E2BIG;
		}
		run.offset += start - run.start;
		run.start = start;
		run.end = run.end < end ? run.end : end;
		runs[n++] = run;
	}
	return (int)n;
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

int ka_host_region_create(struct ka_region *region, const struct ka_end end[2])
{
	(void)end;
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
