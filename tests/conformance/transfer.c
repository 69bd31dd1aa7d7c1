/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* transfer.c - see transfer.h. */
#include "transfer.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

VIP_MEM_ATTRIBUTES open_to_all(const struct run *r)
{
	return (VIP_MEM_ATTRIBUTES){
		.Ptag = r->tag, .EnableRdmaWrite = VIP_TRUE, .EnableRdmaRead = has_rdma_read(r)};
}

void make_area(struct run *r, struct area *a, size_t size, bool shared, VIP_MEM_ATTRIBUTES attr)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	a->size = (size + page - 1) / page * page;
	a->segment = -1;
	if (shared) {
		a->segment = shmget(IPC_PRIVATE, a->size + page, 0600);
		assert_int_not_equal(a->segment, -1);
		a->at = shmat(a->segment, NULL, 0);
		/* It goes with its last attachment, however this process ends. */
		shmctl(a->segment, IPC_RMID, NULL);
	} else {
		a->at = mmap(NULL, a->size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
	}
	assert_true(a->at != MAP_FAILED);
	EXPECT(VipRegisterMem(r->nic, a->at, a->size, &attr, &a->mem), VIP_SUCCESS);
}

void drop_area(struct run *r, struct area *a)
{
	EXPECT(VipDeregisterMem(r->nic, a->at, a->mem), VIP_SUCCESS);
	if (a->segment >= 0)
		shmdt(a->at);
	else
		munmap(a->at, a->size + (size_t)sysconf(_SC_PAGESIZE));
}

VIP_MEM_HANDLE stale_handle(struct run *r)
{
	VIP_MEM_ATTRIBUTES attr = open_to_all(r);
	VIP_MEM_HANDLE mem;

	EXPECT(VipRegisterMem(r->nic, r->block, 4096, &attr, &mem), VIP_SUCCESS);
	EXPECT(VipDeregisterMem(r->nic, r->block, mem), VIP_SUCCESS);
	return mem;
}

uint32_t largest(const struct run *r)
{
	return r->attr.MaxTransferSize < LARGEST ? (uint32_t)r->attr.MaxTransferSize : LARGEST;
}

void open_vi(struct run *r, bool rdma_write, bool rdma_read)
{
	VIP_VI_ATTRIBUTES a;

	if (!r->nic)
		run_nic(r);
	a = run_attr(r);
	a.MaxTransferSize = largest(r);
	a.EnableRdmaWrite = rdma_write;
	a.EnableRdmaRead = a.EnableRdmaRead && rdma_read;
	EXPECT(VipCreateVi(r->nic, &a, r->scq, r->rcq, &r->vi), VIP_SUCCESS);
}

int list_sizes(uint32_t *to, uint32_t least, uint32_t most)
{
	static const uint32_t edges[] = {0,	 1,	 3,	 4,	 48,	  63,	   64,
					 65,	 239,	 240,	 241,	 255,	  256,	   4095,
					 4096,	 4097,	 32767,	 32768,	 65535,	  65536,   65537,
					 131071, 262143, 262144, 262145, 1000001, 1048576, 2097153};
	size_t i;
	int n = 0;

	for (i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		if (edges[i] >= least && edges[i] < most - 1)
			to[n++] = edges[i];
	}
	to[n++] = most - 1;
	to[n++] = most;
	return n;
}

void cut(VIP_DESCRIPTOR *d, int first, int n, uint8_t *at, uint32_t len, uint32_t gap, VIP_MEM_HANDLE mem,
	 uint32_t *random)
{
	uint32_t left = len, part;
	int i;

	for (i = 0; i < n; i++) {
		/* up to twice an even share, and at least one byte for each segment that follows */
		part = 1 + random32(random) % (2 * (left / (uint32_t)(n - i)));
		if (part > left - (uint32_t)(n - 1 - i) || i == n - 1)
			part = left - (uint32_t)(n - 1 - i);
		segment(d, first + i)->Local =
			(VIP_DATA_SEGMENT){.Data.Address = at, .Handle = mem, .Length = part};
		at += part + gap;
		left -= part;
	}
	d->CS.SegCount = (VIP_UINT16)(first + n);
	d->CS.Length = len;
}

void scatter(VIP_DESCRIPTOR *d, int first, const uint8_t *from)
{
	VIP_DATA_SEGMENT *s;
	int i;

	for (i = first; i < d->CS.SegCount; i++) {
		s = &segment(d, i)->Local;
		memcpy(s->Data.Address, from, s->Length);
		from += s->Length;
	}
}

void gather(VIP_DESCRIPTOR *d, int first, uint8_t *to)
{
	VIP_DATA_SEGMENT *s;
	int i;

	for (i = first; i < d->CS.SegCount; i++) {
		s = &segment(d, i)->Local;
		memcpy(to, s->Data.Address, s->Length);
		to += s->Length;
	}
}

void aim(VIP_DESCRIPTOR *d, uint64_t remote, VIP_MEM_HANDLE mem)
{
	segment(d, 0)->Remote = (VIP_ADDRESS_SEGMENT){.Data.AddressBits = remote, .Handle = mem};
}

void send_on(struct run *r, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	EXPECT(VipPostSend(vi, d, r->mem), VIP_SUCCESS);
}

void recv_on(struct run *r, VIP_VI_HANDLE vi, VIP_DESCRIPTOR *d)
{
	EXPECT(VipPostRecv(vi, d, r->mem), VIP_SUCCESS);
}

void expect_next(VIP_VI_HANDLE vi, bool recv, const VIP_DESCRIPTOR *d, VIP_UINT32 want, const char *file,
		 int line)
{
	VIP_RETURN code;
	VIP_DESCRIPTOR *is = recv ? next_recv(vi, &code) : next_sent(vi, &code);

	if (is != d)
		fail_msg("%s:%d: another descriptor completes next (%p, not %p)", file, line, (void *)is,
			 (const void *)d);
	expect_status(is, want, file, line);
	expect_code(code, VIP_SUCCESS, recv ? "VipRecvDone" : "VipSendDone", file, line);
}

void await_pattern(const uint8_t *p, size_t n, unsigned int seed)
{
	uint64_t end = now_ms() + patience_ms();

	while (differs(p, n, seed) >= 0 && now_ms() < end)
		pause_ms(1);
	EXPECT_PATTERN(p, n, seed);
}
