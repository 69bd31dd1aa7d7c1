/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check_memory.c - registered memory (23 to 41); memory_use.c has those that move data. */
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

uint8_t *map_pages(size_t bytes, int protection)
{
	const size_t whole = (bytes + PAGE - 1) / PAGE * PAGE;
	uint8_t *at = mmap(NULL, whole + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(mprotect(at, whole, protection), 0);
	return at;
}

VIP_MEM_HANDLE register_at(struct run *r, void *at, size_t bytes, VIP_PROTECTION_HANDLE tag, bool rdma_write)
{
	VIP_MEM_ATTRIBUTES m = {.Ptag = tag, .EnableRdmaWrite = rdma_write};
	VIP_MEM_HANDLE mem = 0;

	EXPECT(VipRegisterMem(r->nic, at, bytes, &m, &mem), VIP_SUCCESS);
	assert_int_not_equal(mem, 0);
	assert_int_not_equal(mem, UINT32_MAX);
	return mem;
}

/* "Name:  1234 kB" of a file of /proc, in bytes. */
static uint64_t number_in(const char *path, const char *name)
{
	unsigned long long kib = 0;
	FILE *f = fopen(path, "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, strlen(name)) == 0)
			sscanf(line + strlen(name), ": %llu", &kib);
	}
	if (f)
		fclose(f);
	return kib * 1024;
}

static struct held held_now(void)
{
	return (struct held){number_in("/proc/self/status", "VmLck"),
			     number_in("/proc/self/status", "VmPin")};
}

static bool held_equal(const struct held *a, const struct held *b)
{
	return a->locked == b->locked && a->pinned == b->pinned;
}

/* What was given back may be counted for a while: by Linux 6.1 io_uring's pins, for a second. */
#define REST_MS 2000u

struct held held_at_rest(void)
{
	struct held is = held_now(), was;
	uint64_t since = now_ms();

	while (now_ms() < since + REST_MS) {
		pause_ms(50);
		was = is;
		is = held_now();
		if (!held_equal(&is, &was))
			since = now_ms();
	}
	return is;
}

void expect_held(struct held want)
{
	uint64_t end = now_ms() + patience_ms();
	struct held is = held_now();

	while (!held_equal(&is, &want) && now_ms() < end) {
		pause_ms(5);
		is = held_now();
	}
	if (!held_equal(&is, &want))
		fail_msg("%lu bytes are locked and %lu pinned, wanted %lu and %lu", is.locked, is.pinned,
			 want.locked, want.pinned);
}

/* Does the system let this process lock @bytes of its memory? */
static bool may_lock(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	bool may;

	if (at == MAP_FAILED)
		return false;
	may = mlock2(at, bytes, MLOCK_ONFAULT) == 0;
	munmap(at, bytes);
	return may;
}

/* 23 */
static void check_sizes(struct run *r)
{
	const size_t sizes[] = {1, 64, PAGE, PAGE + 1, 12345, (5u << 20) + 3}, offsets[] = {0, 1, 63, 4095};
	VIP_MEM_HANDLE mem;
	size_t i, o;

	run_nic(r);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (o = 0; o < sizeof(offsets) / sizeof(offsets[0]); o++) {
			doing("%zu bytes, %zu bytes into a page", sizes[i], offsets[o]);
			mem = register_at(r, r->block + offsets[o], sizes[i], r->tag, false);
			EXPECT(VipDeregisterMem(r->nic, r->block + offsets[o], mem), VIP_SUCCESS);
		}
	}
	run_close(r);
}

/* 24 */
static void check_bad_arguments(struct run *r)
{
	VIP_MEM_ATTRIBUTES m = {0}, seen;
	VIP_MEM_HANDLE mem = 0;

	run_nic(r);
	m.Ptag = r->tag;
	EXPECT(VipRegisterMem(r->nic, r->block, 0, &m, &mem), VIP_INVALID_PARAMETER);
	EXPECT(VipRegisterMem(r->nic, r->block, PAGE, &m, NULL), VIP_INVALID_PARAMETER);
	EXPECT(VipRegisterMem(r->nic, r->block, PAGE, NULL, &mem), choice(r, "K-16"));
	if (choice(r, "K-16") == VIP_SUCCESS) {
		EXPECT(VipQueryMem(r->nic, r->block, mem, &seen), VIP_SUCCESS);
		assert_false(seen.EnableRdmaWrite || seen.EnableRdmaRead);
		EXPECT(VipDeregisterMem(r->nic, r->block, mem), VIP_SUCCESS);
	}
	run_close(r);
}

static void refuse_range(struct run *r, void *at, size_t bytes)
{
	VIP_MEM_ATTRIBUTES m = {.Ptag = r->tag};
	VIP_MEM_HANDLE mem;
	VIP_RETURN code = VipRegisterMem(r->nic, at, bytes, &m, &mem);

	if (code != VIP_ERROR_RESOURCE)
		expect_code(code, VIP_INVALID_PARAMETER, "VipRegisterMem", __FILE__, __LINE__);
}

/* 25 */
static void check_unmapped(struct run *r)
{
	uint8_t *at = map_pages(4 * PAGE, PROT_READ | PROT_WRITE);
	VIP_MEM_HANDLE mem;
	struct held before;
	VIP_ULONG i;

	run_nic(r);
	munmap(at + 3 * PAGE, 2 * PAGE);
	before = held_at_rest();
	doing("more often than there can be regions");
	for (i = 0; i < r->attr.MaxRegisterRegions + 10 && i < 100000; i++) {
		refuse_range(r, at + 3 * PAGE, PAGE);
		refuse_range(r, at, 4 * PAGE);
	}
	expect_held(before);
	doing("the pages that are there");
	mem = register_at(r, at, 3 * PAGE, r->tag, false);
	EXPECT(VipDeregisterMem(r->nic, at, mem), VIP_SUCCESS);
	expect_held(before);
	run_close(r);
}

/* 27 */
static void check_twice(struct run *r)
{
	VIP_MEM_HANDLE a, b;
	VIP_MEM_ATTRIBUTES m;

	run_nic(r);
	a = register_at(r, r->block, PAGE, r->tag, false);
	b = register_at(r, r->block, PAGE, r->tag, true);
	assert_int_not_equal(a, b);
	assert_int_not_equal(a, r->mem);
	EXPECT(VipDeregisterMem(r->nic, r->block, a), VIP_SUCCESS);
	EXPECT(VipQueryMem(r->nic, r->block, a, &m), VIP_INVALID_PARAMETER);
	EXPECT(VipQueryMem(r->nic, r->block, b, &m), VIP_SUCCESS);
	assert_true(m.EnableRdmaWrite);
	EXPECT(VipDeregisterMem(r->nic, r->block, b), VIP_SUCCESS);
	run_close(r);
}

/* Register @at again and again until that fails, which must be for lack of resources.  Returns how often. */
static VIP_ULONG register_all(struct run *r, uint8_t *at, size_t bytes, VIP_MEM_HANDLE *mem, VIP_ULONG most)
{
	VIP_MEM_ATTRIBUTES m = {.Ptag = r->tag};
	VIP_RETURN code = VIP_SUCCESS;
	VIP_ULONG n = 0;

	while (n < most && (code = VipRegisterMem(r->nic, at, bytes, &m, &mem[n])) == VIP_SUCCESS)
		n++;
	EXPECT(code, VIP_ERROR_RESOURCE);
	return n;
}

/* One of the @n is given back, then there is room for one, and no more. */
static void recover(struct run *r, uint8_t *at, size_t bytes, VIP_MEM_HANDLE *mem, VIP_ULONG n)
{
	VIP_MEM_ATTRIBUTES m = {.Ptag = r->tag};
	VIP_MEM_HANDLE one;

	doing("after one was given back");
	EXPECT(VipDeregisterMem(r->nic, at, mem[n / 2]), VIP_SUCCESS);
	EXPECT(VipRegisterMem(r->nic, at, bytes, &m, &one), VIP_SUCCESS);
	EXPECT(VipRegisterMem(r->nic, at, bytes, &m, &mem[n]), VIP_ERROR_RESOURCE);
}

/* 30 */
static void check_all_regions(struct run *r)
{
	VIP_MEM_HANDLE *mem;
	VIP_ULONG n;

	run_nic(r);
	mem = calloc(r->attr.MaxRegisterRegions + 2, sizeof(*mem));
	assert_non_null(mem);
	n = register_all(r, r->block, 64, mem, r->attr.MaxRegisterRegions + 1);
	assert_int_equal(n + 1, r->attr.MaxRegisterRegions); /* the block is one */
	recover(r, r->block, 64, mem, n);
	run_close(r);
	free(mem);
}

/* 31 */
static void check_all_bytes(struct run *r)
{
	const size_t step = 2u << 20; /* of huge pages, which cost a provider less */
	VIP_MEM_HANDLE *mem;
	uint8_t *at;
	size_t block;
	VIP_ULONG n;

	run_nic(r);
	block = r->attr.MaxRegisterBytes / r->attr.MaxRegisterRegions * 2;
	block = (block + step) / step * step;
	if (block > r->attr.MaxRegisterBlockBytes || block > (256u << 20))
		skip_check(
			"%lu regions of what can be locked here do not make MaxRegisterBytes, which is %lu",
			r->attr.MaxRegisterRegions, r->attr.MaxRegisterBytes);
	mem = calloc(r->attr.MaxRegisterRegions + 2, sizeof(*mem));
	assert_non_null(mem);
	at = map_pages(block + step, PROT_READ | PROT_WRITE);
	at += step - (uintptr_t)at % step;
	madvise(at, block, MADV_HUGEPAGE);
	memset(at, 1, block);
	if (!may_lock(block))
		skip_check("the process may not lock a block of %zu bytes (RLIMIT_MEMLOCK)", block);
	n = register_all(r, at, block, mem, r->attr.MaxRegisterRegions);
	note("%lu registrations of %zu MiB", n, block >> 20);
	assert_true(n * block + END_BYTES <= r->attr.MaxRegisterBytes);
	assert_true((n + 1) * block + END_BYTES > r->attr.MaxRegisterBytes);
	recover(r, at, block, mem, n);
	run_close(r);
	free(mem);
}

/* 32 */
static void check_largest_block(struct run *r)
{
	VIP_MEM_ATTRIBUTES m;
	VIP_MEM_HANDLE mem;
	uint8_t *at;
	VIP_ULONG most;

	run_nic(r);
	m = (VIP_MEM_ATTRIBUTES){.Ptag = r->tag};
	most = r->attr.MaxRegisterBlockBytes;
	at = mmap(NULL, most + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		  0);
	if (at == MAP_FAILED)
		skip_check("there is no address space for MaxRegisterBlockBytes, which is %lu", most);
	EXPECT(VipRegisterMem(r->nic, at, most + 1, &m, &mem), choice(r, "K-14"));
	if (number_in("/proc/meminfo", "MemAvailable") < most + most / 2) {
		note("only a byte too much was tried: there is no memory for %lu bytes", most);
	} else if (!may_lock(most)) {
		note("only a byte too much was tried: the process may not lock %lu bytes (RLIMIT_MEMLOCK)",
		     most);
	} else {
		EXPECT(VipRegisterMem(r->nic, at, most, &m, &mem), VIP_SUCCESS);
		EXPECT(VipDeregisterMem(r->nic, at, mem), VIP_SUCCESS);
	}
	munmap(at, most + PAGE);
	run_close(r);
}

/* 33 */
static void check_bad_deregister(struct run *r)
{
	VIP_NIC_HANDLE other;
	VIP_MEM_HANDLE mem;

	run_nic(r);
	EXPECT(VipOpenNic(r->device, &other), VIP_SUCCESS);
	mem = register_at(r, r->block + 64, 2 * PAGE, r->tag, false);
	EXPECT(VipDeregisterMem(r->nic, r->block + 65, mem), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(r->nic, r->block, mem), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(r->nic, r->block + 64 + PAGE, mem), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(r->nic, NULL, mem), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(r->nic, r->block + 64, 0), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(r->nic, r->block + 64, UINT32_MAX), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(r->nic, r->block + 64, mem ^ 0x40000000), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(r->nic, r->block + 64, r->mem), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(other, r->block + 64, mem), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(r->nic, r->block + 64, mem), VIP_SUCCESS);
	EXPECT(VipDeregisterMem(r->nic, r->block + 64, mem), VIP_INVALID_PARAMETER);
	EXPECT(VipCloseNic(other), VIP_SUCCESS);
	run_close(r);
}

static void expect_attr(struct run *r, void *at, VIP_MEM_HANDLE mem, const VIP_MEM_ATTRIBUTES *want)
{
	VIP_MEM_ATTRIBUTES m;

	memset(&m, 0xa5, sizeof(m));
	EXPECT(VipQueryMem(r->nic, at, mem, &m), VIP_SUCCESS);
	assert_ptr_equal(m.Ptag, want->Ptag);
	assert_int_equal(m.EnableRdmaWrite, want->EnableRdmaWrite);
	assert_int_equal(m.EnableRdmaRead, want->EnableRdmaRead);
}

/* 35 */
static void check_query_mem(struct run *r)
{
	VIP_PROTECTION_HANDLE tag;
	VIP_MEM_ATTRIBUTES m;
	VIP_MEM_HANDLE mem;
	uint8_t *at;
	unsigned int i;

	run_nic(r);
	at = r->block + 100;
	EXPECT(VipCreatePtag(r->nic, &tag), VIP_SUCCESS);
	mem = register_at(r, at, 3 * PAGE, r->tag, true);
	expect_attr(r, at, mem, &(VIP_MEM_ATTRIBUTES){r->tag, VIP_TRUE, VIP_FALSE});
	for (i = 0; i < 8; i++) {
		m = (VIP_MEM_ATTRIBUTES){i & 4 ? tag : r->tag, !!(i & 1),
					 (i & 2) && r->attr.RDMAReadSupport ? VIP_TRUE : VIP_FALSE};
		doing("tag %u, RDMA write %d, RDMA read %d", i >> 2, m.EnableRdmaWrite, m.EnableRdmaRead);
		EXPECT(VipSetMemAttributes(r->nic, at, mem, &m), VIP_SUCCESS);
		expect_attr(r, at, mem, &m);
		if (choice(r, "K-1")) {
			expect_attr(r, at + 3 * PAGE - 1, mem, &m);
			m.EnableRdmaWrite = !m.EnableRdmaWrite;
			EXPECT(VipSetMemAttributes(r->nic, at + PAGE + 1, mem, &m), VIP_SUCCESS);
			expect_attr(r, at, mem, &m);
		}
	}
	doing("outside, and what was given back");
	EXPECT(VipQueryMem(r->nic, at - 1, mem, &m), VIP_INVALID_PARAMETER);
	EXPECT(VipQueryMem(r->nic, at + 3 * PAGE, mem, &m), VIP_INVALID_PARAMETER);
	EXPECT(VipQueryMem(r->nic, at, mem, NULL), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(r->nic, at, mem), VIP_SUCCESS);
	EXPECT(VipQueryMem(r->nic, at, mem, &m), VIP_INVALID_PARAMETER);
	EXPECT(VipSetMemAttributes(r->nic, at, mem, &m), VIP_INVALID_PARAMETER);
	run_close(r);
}

/* 36 */
static void check_bad_attributes(struct run *r)
{
	VIP_MEM_ATTRIBUTES m, old;
	VIP_PROTECTION_HANDLE gone;
	VIP_MEM_HANDLE mem;

	run_nic(r);
	old = m = (VIP_MEM_ATTRIBUTES){r->tag, VIP_TRUE, VIP_FALSE};
	mem = register_at(r, r->block, PAGE, r->tag, true);
	EXPECT(VipCreatePtag(r->nic, &gone), VIP_SUCCESS);
	EXPECT(VipDestroyPtag(r->nic, gone), VIP_SUCCESS);
	m.EnableRdmaWrite = VIP_FALSE;
	m.Ptag = gone;
	EXPECT(VipSetMemAttributes(r->nic, r->block, mem, &m), VIP_INVALID_PTAG);
	expect_attr(r, r->block, mem, &old);
	m.Ptag = (VIP_PROTECTION_HANDLE)&gone;
	EXPECT(VipSetMemAttributes(r->nic, r->block, mem, &m), VIP_INVALID_PTAG);
	expect_attr(r, r->block, mem, &old);
	m.Ptag = r->tag;
	m.EnableRdmaRead = VIP_TRUE;
	if (r->attr.RDMAReadSupport)
		note("RDMA read is supported at some level: nothing to refuse");
	else
		EXPECT(VipSetMemAttributes(r->nic, r->block, mem, &m), VIP_INVALID_RDMAREAD);
	if (!r->attr.RDMAReadSupport)
		EXPECT(VipRegisterMem(r->nic, r->block, PAGE, &m, &mem), VIP_INVALID_RDMAREAD);
	expect_attr(r, r->block, mem, &old);
	EXPECT(VipSetMemAttributes(r->nic, r->block, mem, NULL), VIP_INVALID_PARAMETER);
	expect_attr(r, r->block, mem, &old);
	run_close(r);
}

const struct check memory_checks[] = {
	{23, EARLY, 0, "VipRegisterMem", "sizes and addresses of any kind", check_sizes},
	{24, EARLY, 0, "VipRegisterMem", "length 0, no attributes (K-16), no place for the handle",
	 check_bad_arguments},
	{25, EARLY, 0, "VipRegisterMem", "memory that is not there is refused, and nothing leaks",
	 check_unmapped},
	{26, FUNCTIONAL, 0, "K-17", "read-only memory: sent from, not received into", check_read_only},
	{27, EARLY, 0, "VipRegisterMem", "a range registered twice has two handles", check_twice},
	{28, EARLY, 0, "VipDeregisterMem", "of two that overlap one goes: the other stays whole and locked",
	 check_overlap},
	{29, EARLY, 0, "VipRegisterMem", "a range with and without RDMA write: the handle decides",
	 check_two_rights},
	{30, EARLY, 0, "VipRegisterMem", "MaxRegisterRegions, and one more; giving one back makes room",
	 check_all_regions},
	{31, FUNCTIONAL, 0, "VipRegisterMem", "MaxRegisterBytes, and more; giving one back makes room",
	 check_all_bytes},
	{32, FUNCTIONAL, 0, "K-14", "MaxRegisterBlockBytes, and a byte more", check_largest_block},
	{33, EARLY, 0, "VipDeregisterMem", "wrong address, handle, NIC, and twice", check_bad_deregister},
	{34, EARLY, 0, "VipDeregisterMem", "sending out of memory that was given back", check_send_stale},
	{35, FUNCTIONAL, 0, "VipQueryMem", "attributes are as they were set", check_query_mem},
	{36, FUNCTIONAL, 0, "VipSetMemAttributes", "bad attributes are refused, the old ones stay",
	 check_bad_attributes},
	{37, FUNCTIONAL, 0, "VipSetMemAttributes", "RDMA write switched off", check_write_switched_off},
	{38, FUNCTIONAL, 0, "VipCreatePtag", "another tag than the VI's, for every use of memory",
	 check_other_tag},
	{39, FUNCTIONAL, 0, "Protection", "a segment that ends a page behind its region",
	 check_one_page_more},
	{40, FUNCTIONAL, 0, "Protection", "a segment that wraps around the end of memory", check_wrap},
	{41, FULL, 0, "Fork", "a child does not disturb its parent's communication", check_fork},
	{0},
};
