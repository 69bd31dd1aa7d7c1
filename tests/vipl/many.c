/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* many.c - see many.h. */
#include "tests/vipl/many.h"

#include <sys/mman.h>

#define SLOT 128u /* a descriptor, and the message behind it */

struct message {
	uint64_t i, k;
};

struct many_shared *many_share(void)
{
	void *p = mmap(NULL, sizeof(struct many_shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static VIP_DESCRIPTOR *slot(const struct many *m, uint32_t i, uint32_t k)
{
	return (VIP_DESCRIPTOR *)(m->e->block + ((size_t)i * (MANY_RECVS + 1) + k) * SLOT);
}

static VIP_DESCRIPTOR *fill(const struct many *m, uint32_t i, uint32_t k)
{
	VIP_DESCRIPTOR *d = slot(m, i, k);

	memset(d, 0, sizeof(*d));
	d->CS.SegCount = 1;
	d->CS.Length = sizeof(struct message);
	d->DS[0].Local.Data.Address = d + 1;
	d->DS[0].Local.Handle = m->e->mem;
	d->DS[0].Local.Length = sizeof(struct message);
	return d;
}

void many_open(struct many *m, struct end *e, uint32_t n)
{
	VIP_VI_ATTRIBUTES a = {.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)e->level, .MaxTransferSize = 4096};
	struct many_shared *shared = m->shared;
	uint32_t i, k;

	memset(m, 0, sizeof(*m));
	m->shared = shared;
	m->e = e;
	m->n = n;
	a.Ptag = e->tag;
	for (i = 0; i < n; i++) {
		CHECK_EQ(VipCreateVi(e->nic, &a, e->scq, e->rcq, &m->vi[i]), VIP_SUCCESS);
		for (k = 0; k < MANY_RECVS; k++)
			CHECK_EQ(VipPostRecv(m->vi[i], fill(m, i, k), e->mem), VIP_SUCCESS);
		if (e->server)
			__atomic_store_n(&shared->got[i], 0, __ATOMIC_RELEASE);
	}
}

void many_connect(struct many *m)
{
	union addr_room local, remote;
	VIP_VI_ATTRIBUTES attr;
	VIP_CONN_HANDLE conn;
	VIP_RETURN r;
	char name[20];
	uint32_t i;

	end_sync(m->e);
	for (i = 0; i < m->n; i++) {
		snprintf(name, sizeof(name), "many %u", i);
		net_addr(&local.a, &m->e->attr, name);
		net_addr(&remote.a, &m->e->attr, name);
		if (m->e->server) {
			CHECK_EQ(VipConnectWait(m->e->nic, &local.a, 20000, &remote.a, &attr, &conn),
				 VIP_SUCCESS);
			CHECK_EQ(VipConnectAccept(conn, m->vi[i]), VIP_SUCCESS);
			continue;
		}
		do
			r = VipConnectRequest(m->vi[i], &local.a, &remote.a, 20000, &attr);
		while (r == VIP_NO_MATCH);
		CHECK_EQ(r, VIP_SUCCESS);
	}
	end_sync(m->e);
}

void many_end(struct many *m)
{
	VIP_DESCRIPTOR *d;
	uint32_t i;

	for (i = 0; i < m->n; i++) {
		CHECK_EQ(VipDisconnect(m->vi[i]), VIP_SUCCESS);
		do
			VipRecvDone(m->vi[i], &d);
		while (d);
		do
			VipSendDone(m->vi[i], &d);
		while (d);
		CHECK_EQ(VipDestroyVi(m->vi[i]), VIP_SUCCESS);
	}
}

uint32_t many_index(const struct many *m, VIP_VI_HANDLE vi)
{
	uint32_t i;

	for (i = 0; i < m->n && m->vi[i] != vi; i++)
		;
	CHECK(i < m->n);
	return i;
}

bool many_may_send(const struct many *m, uint32_t i)
{
	return !m->sending[i] &&
	       m->sent[i] - __atomic_load_n(&m->shared->got[i], __ATOMIC_ACQUIRE) < MANY_RECVS;
}

void many_send(struct many *m, uint32_t i)
{
	VIP_DESCRIPTOR *d = fill(m, i, MANY_RECVS);

	*(struct message *)(void *)(d + 1) = (struct message){i, m->sent[i]++};
	m->sending[i] = 1;
	m->nsending++;
	CHECK_EQ(VipPostSend(m->vi[i], d, m->e->mem), VIP_SUCCESS);
}

void many_sent(struct many *m, uint32_t i)
{
	VIP_DESCRIPTOR *d;

	CHECK_EQ(VipSendDone(m->vi[i], &d), VIP_SUCCESS);
	CHECK(d == slot(m, i, MANY_RECVS));
	m->sending[i] = 0;
	m->nsending--;
}

void many_received(struct many *m, uint32_t i)
{
	const struct message *is;
	VIP_DESCRIPTOR *d;

	CHECK_EQ(VipRecvDone(m->vi[i], &d), VIP_SUCCESS);
	CHECK(d == slot(m, i, (uint32_t)(m->got[i] % MANY_RECVS)));
	is = (const struct message *)(const void *)(d + 1);
	CHECK_EQ(is->i, i);
	CHECK_EQ(is->k, m->got[i]);
	m->got[i]++;
	CHECK_EQ(VipPostRecv(m->vi[i], fill(m, i, (uint32_t)((m->got[i] - 1) % MANY_RECVS)), m->e->mem),
		 VIP_SUCCESS);
	__atomic_store_n(&m->shared->got[i], m->got[i], __ATOMIC_RELEASE);
}
