/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* consumer_memory.c - what consumers do with registered memory and tags. */
#include "consumer.h"

#include <sched.h>
#include <string.h>
#include <sys/mman.h>

/* An RDMA write of 8 bytes from r->vi; true: it arrived, false: it was refused. */
static bool write_to(struct run *r, uint8_t *to, VIP_MEM_HANDLE mem)
{
	static uint8_t byte;
	uint64_t end = now_ms() + LONG_MS;
	int refused = errors_of(r, VIP_ERROR_RDMAW_PROT);
	VIP_RETURN code;

	memset(data(r), ++byte, 8);
	memset(to, 0, 8);
	post_rdma(r, 0, VIP_CONTROL_OP_RDMAWRITE, data(r), 8, (uintptr_t)to, mem);
	next_sent(r->vi, &code);
	while (*(volatile uint8_t *)(to + 7) != byte) {
		if (code != VIP_SUCCESS || errors_of(r, VIP_ERROR_RDMAW_PROT) > refused)
			return false;
		if (now_ms() > end)
			fail_msg("an RDMA write was neither done nor refused");
	}
	return true;
}

/* L-12 */
void check_twice_registered(struct run *r)
{
	VIP_MEM_ATTRIBUTES a = {0};
	VIP_MEM_HANDLE plain, writable;
	VIP_VI_HANDLE other;
	uint8_t *to;

	run_vi(r);
	to = data(r) + (1u << 20);
	a.Ptag = r->tag;
	EXPECT(VipRegisterMem(r->nic, to, 10000, &a, &plain), VIP_SUCCESS);
	a.EnableRdmaWrite = VIP_TRUE;
	EXPECT(VipRegisterMem(r->nic, to, 10000, &a, &writable), VIP_SUCCESS);
	assert_int_not_equal(plain, writable);
	other = run_pair_here(r);
	assert_true(write_to(r, to + 100, writable));
	assert_false(write_to(r, to + 100, plain));
	drop_vi(other);
	EXPECT(VipDisconnect(r->vi), VIP_SUCCESS);
	drain(r->vi);
	doing("after deregistering the plain one");
	EXPECT(VipDeregisterMem(r->nic, to, plain), VIP_SUCCESS);
	other = run_pair_here(r);
	assert_true(write_to(r, to + 200, writable));
	drop_vi(other);
	run_close(r);
}

/* L-13 */
void check_handle_values(struct run *r)
{
	VIP_MEM_ATTRIBUTES a = {0};
	VIP_MEM_HANDLE mem;
	unsigned int i;

	run_nic(r);
	a.Ptag = r->tag;
	for (i = 0; i < share(r, 20000); i++) {
		EXPECT(VipRegisterMem(r->nic, data(r), 64, &a, &mem), VIP_SUCCESS);
		assert_int_not_equal(mem, 0);
		assert_int_not_equal(mem, 0xffffffff);
		EXPECT(VipDeregisterMem(r->nic, data(r), mem), VIP_SUCCESS);
	}
}

/* A send from r->vi out of memory that another NIC handle has registered: its tags are not this one's. */
static void send_foreign(struct run *r, VIP_VI_HANDLE other)
{
	VIP_MEM_ATTRIBUTES a = {0};
	VIP_NIC_HANDLE nic;
	VIP_MEM_HANDLE mem;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;
	uint8_t *at;

	/* not in the block, which this handle has registered */
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(at != MAP_FAILED);
	EXPECT(VipOpenNic(r->device, &nic), VIP_SUCCESS);
	EXPECT(VipCreatePtag(nic, &a.Ptag), VIP_SUCCESS);
	EXPECT(VipRegisterMem(nic, at, 4096, &a, &mem), VIP_SUCCESS);
	EXPECT(VipPostRecv(other, fill(r, 0, data(r), 100, r->mem), r->mem), VIP_SUCCESS);
	d = fill(r, 1, at, 100, mem);
	EXPECT(VipPostSend(r->vi, d, r->mem), VIP_SUCCESS);
	assert_ptr_equal(next_sent(r->vi, &code), d);
	EXPECT(code, VIP_DESCRIPTOR_ERROR);
	EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_OP_SEND);
	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
	munmap(at, 4096);
}

/* L-14: the VI has no tag, the memory has a real one */
void check_null_tag(struct run *r)
{
	VIP_VI_ATTRIBUTES attr;
	VIP_VI_HANDLE other = NULL;
	VIP_RETURN want = (VIP_RETURN)choice(r, "K-6");

	run_nic(r);
	attr = run_attr(r);
	attr.Ptag = NULL;
	EXPECT(VipCreateVi(r->nic, &attr, NULL, NULL, &r->vi), want);
	if (want != VIP_SUCCESS)
		return;
	EXPECT(VipCreateVi(r->nic, &attr, NULL, NULL, &other), VIP_SUCCESS);
	connect_here(r, r->nic, r->vi, other);
	doing("VIs without a tag, memory with one");
	talk(r, r->vi, other, 1000);
	doing("a VI without a tag, memory of another NIC handle");
	send_foreign(r, other);
	drop_vi(other);
	run_close(r);
}

/* L-15: one write brings data and, behind it, the word that the target polls */
#define WRITES 5000
#define BODY   4092

struct poller {
	uint8_t *at;
	uint32_t seen;
	pthread_t thread;
};

static void *poll_flag(void *arg)
{
	struct poller *p = arg;
	uint32_t i;

	for (i = 1; i <= WRITES; i++) {
		while (__atomic_load_n((uint32_t *)(p->at + BODY), __ATOMIC_ACQUIRE) != i)
			sched_yield(); /* the writer may need this processor */
		if (p->at[0] != (uint8_t)i || p->at[BODY / 2] != (uint8_t)i || p->at[BODY - 1] != (uint8_t)i)
			fail_msg("write no. %u: the word was there before the data", i);
		__atomic_store_n(&p->seen, i, __ATOMIC_RELEASE);
	}
	return NULL;
}

void check_flag_word(struct run *r)
{
	struct poller p = {0};
	VIP_VI_HANDLE other;
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;
	uint64_t end;
	uint32_t i;

	run_vi(r);
	other = run_pair_here(r);
	p.at = data(r) + (1u << 20);
	assert_int_equal(pthread_create(&p.thread, NULL, poll_flag, &p), 0);
	for (i = 1; i <= WRITES; i++) {
		doing("write no. %u", i);
		memset(data(r), (int)(uint8_t)i, BODY);
		memcpy(data(r) + BODY, &i, sizeof(i));
		post_rdma(r, 0, VIP_CONTROL_OP_RDMAWRITE, data(r), BODY + 4, (uintptr_t)p.at, r->mem);
		while ((code = VipSendDone(r->vi, &d)) == VIP_NOT_DONE)
			sched_yield();
		EXPECT(code, VIP_SUCCESS);
		for (end = now_ms() + LONG_MS; __atomic_load_n(&p.seen, __ATOMIC_ACQUIRE) != i; sched_yield())
			assert_true(now_ms() < end);
	}
	assert_int_equal(pthread_join(p.thread, NULL), 0);
	drop_vi(other);
	run_close(r);
}

/* L-30 */
void check_null_attributes(struct run *r)
{
	VIP_RETURN want = (VIP_RETURN)choice(r, "K-16");
	VIP_MEM_ATTRIBUTES a;
	VIP_VI_ATTRIBUTES attr;
	VIP_VI_HANDLE other;
	VIP_MEM_HANDLE mem;
	int i;

	run_nic(r);
	for (i = 0; i < 10; i++)
		EXPECT(VipRegisterMem(r->nic, data(r) + i * 1000, 5000, NULL, &mem), want);
	if (want != VIP_SUCCESS)
		return;
	EXPECT(VipQueryMem(r->nic, data(r) + 9000, mem, &a), VIP_SUCCESS);
	assert_false(a.EnableRdmaWrite);
	assert_false(a.EnableRdmaRead);
	doing("a VI with the default tag and memory with NULL attributes");
	EXPECT(VipRegisterMem(r->nic, r->block, END_BYTES, NULL, &r->mem), VIP_SUCCESS);
	attr = run_attr(r);
	attr.Ptag = NULL;
	EXPECT(VipCreateVi(r->nic, &attr, NULL, NULL, &r->vi), VIP_SUCCESS);
	EXPECT(VipCreateVi(r->nic, &attr, NULL, NULL, &other), VIP_SUCCESS);
	connect_here(r, r->nic, r->vi, other);
	talk(r, r->vi, other, 1000);
	assert_false(write_to(r, data(r) + 9000, mem));
}
