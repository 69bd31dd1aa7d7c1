/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* connecting.c - see connecting.h. */
#include "connecting.h"

#include <string.h>

VIP_VI_HANDLE vi_with(struct run *r, VIP_VI_ATTRIBUTES attr)
{
	VIP_VI_HANDLE vi = NULL;

	EXPECT(VipCreateVi(r->nic, &attr, NULL, NULL, &vi), VIP_SUCCESS);
	return vi;
}

VIP_VI_HANDLE another_vi(struct run *r)
{
	return vi_with(r, run_attr(r));
}

VIP_RETURN wait_at(struct run *r, const char *disc, VIP_ULONG timeout, VIP_CONN_HANDLE *conn)
{
	union address local, remote;
	VIP_VI_ATTRIBUTES attr;

	named_address(r, &local, disc);
	return VipConnectWait(r->nic, &local.a, timeout, &remote.a, &attr, conn);
}

static VIP_RETURN ask_attr(struct run *r, VIP_VI_HANDLE vi, const char *disc, VIP_ULONG timeout,
			   VIP_VI_ATTRIBUTES *attr)
{
	union address local, remote;

	named_address(r, &local, "from");
	other_address(r, &remote, disc);
	return VipConnectRequest(vi, &local.a, &remote.a, timeout, attr);
}

VIP_RETURN ask(struct run *r, VIP_VI_HANDLE vi, const char *disc, VIP_ULONG timeout)
{
	VIP_VI_ATTRIBUTES attr;

	return ask_attr(r, vi, disc, timeout, &attr);
}

VIP_RETURN ask_until(struct run *r, VIP_VI_HANDLE vi, const char *disc, VIP_ULONG timeout,
		     VIP_VI_ATTRIBUTES *attr)
{
	uint64_t end = now_ms() + LONG_MS;
	VIP_RETURN code;

	while ((code = ask_attr(r, vi, disc, timeout, attr)) == VIP_NO_MATCH && now_ms() < end)
		pause_ms(1);
	return code;
}

static void *run_client(void *arg)
{
	struct client *c = arg;
	uint64_t end = now_ms() + LONG_MS, start;

	do {
		start = now_ms();
		c->code = ask_attr(c->r, c->vi, c->disc, c->timeout, &c->attr);
	} while (c->code == VIP_NO_MATCH && now_ms() < end);
	c->took = now_ms() - start;
	__atomic_store_n(&c->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

void client_start(struct client *c, struct run *r, VIP_VI_HANDLE vi, const char *disc, VIP_ULONG timeout)
{
	*c = (struct client){.r = r, .vi = vi, .disc = disc, .timeout = timeout};
	assert_int_equal(pthread_create(&c->thread, NULL, run_client, c), 0);
}

bool client_ended(struct client *c)
{
	return __atomic_load_n(&c->ended, __ATOMIC_ACQUIRE);
}

VIP_RETURN client_end(struct client *c)
{
	assert_int_equal(pthread_join(c->thread, NULL), 0);
	return c->code;
}

static void *run_waiter(void *arg)
{
	struct waiter *w = arg;
	union address local;

	named_address(w->r, &local, w->disc);
	w->code = VipConnectWait(w->nic, &local.a, w->timeout, &w->from.a, &w->attr, &w->conn);
	__atomic_store_n(&w->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

void waiter_start(struct waiter *w, struct run *r, const char *disc, VIP_ULONG timeout)
{
	*w = (struct waiter){.r = r, .nic = r->nic, .disc = disc, .timeout = timeout};
	assert_int_equal(pthread_create(&w->thread, NULL, run_waiter, w), 0);
}

bool waiter_ended(struct waiter *w)
{
	return __atomic_load_n(&w->ended, __ATOMIC_ACQUIRE);
}

VIP_RETURN waiter_end(struct waiter *w)
{
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	return w->code;
}

bool same_address(const union address *a, const union address *b)
{
	return a->a.HostAddressLen == b->a.HostAddressLen && a->a.DiscriminatorLen == b->a.DiscriminatorLen &&
	       memcmp(a->room + 4, b->room + 4, (size_t)a->a.HostAddressLen + a->a.DiscriminatorLen) == 0;
}

void assert_attr(const VIP_VI_ATTRIBUTES *is, const VIP_VI_ATTRIBUTES *want)
{
	assert_int_equal(is->ReliabilityLevel, want->ReliabilityLevel);
	assert_int_equal(is->MaxTransferSize, want->MaxTransferSize);
	assert_ptr_equal(is->QoS, want->QoS);
	assert_int_equal(!!is->EnableRdmaWrite, !!want->EnableRdmaWrite);
	assert_int_equal(!!is->EnableRdmaRead, !!want->EnableRdmaRead);
}

void talk(struct run *r, VIP_VI_HANDLE from, VIP_VI_HANDLE to, uint32_t len)
{
	uint8_t *src = data(r), *dst = data(r) + (1u << 20);
	static unsigned int seed;
	VIP_DESCRIPTOR *s, *d;

	pattern(src, len, ++seed);
	memset(dst, 0, len + 1);
	d = fill(r, END_DESCS - 1, dst, len, r->mem);
	EXPECT(VipPostRecv(to, d, r->mem), VIP_SUCCESS);
	s = fill(r, END_DESCS - 2, src, len, r->mem);
	EXPECT(VipPostSend(from, s, r->mem), VIP_SUCCESS);
	assert_ptr_equal(next_recv(to, NULL), d);
	EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_OP_RECEIVE);
	assert_int_equal(d->CS.Length, len);
	assert_int_equal(differs(dst, len, seed), -1);
	assert_ptr_equal(next_sent(from, NULL), s);
	EXPECT_STATUS(s, VIP_STATUS_DONE | VIP_STATUS_OP_SEND);
}

void talk_both(struct run *r, uint32_t len)
{
	uint8_t *src = data(r), *dst = data(r) + (1u << 20);
	unsigned int seed = len + 7;
	VIP_DESCRIPTOR *s, *d;

	d = post_recv(r, END_DESCS - 1, dst, len);
	meet(r);
	pattern(src, len, seed + (unsigned int)r->side);
	s = post_send(r, END_DESCS - 2, src, len);
	assert_ptr_equal(next_recv(r->vi, NULL), d);
	assert_int_equal(d->CS.Length, len);
	assert_int_equal(differs(dst, len, seed + !r->side), -1);
	assert_ptr_equal(next_sent(r->vi, NULL), s);
	meet(r);
}

void flushed(const struct run *r, VIP_VI_HANDLE vi, bool recv, int first, int n)
{
	VIP_DESCRIPTOR *d;
	VIP_RETURN code;
	int i;

	for (i = first; i < first + n; i++) {
		d = recv ? next_recv(vi, &code) : next_sent(vi, &code);
		assert_int_equal(code, VIP_DESCRIPTOR_ERROR);
		assert_ptr_equal(d, desc(r, i));
		EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_DESC_FLUSHED_ERROR |
					 (recv ? VIP_STATUS_OP_RECEIVE : VIP_STATUS_OP_SEND));
		if (choice(r, "K-28"))
			assert_int_equal(d->CS.Length, 0);
	}
}

void each_mismatch(struct run *r, void (*try)(struct run *r, VIP_VI_ATTRIBUTES wrong, VIP_RETURN code))
{
	static uint32_t some_qos;
	VIP_VI_ATTRIBUTES wrong;
	VIP_VI_HANDLE vi;
	int i;

	for (i = 1; i <= 4; i *= 2) {
		wrong = run_attr(r);
		wrong.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)i;
		wrong.EnableRdmaRead = VIP_FALSE;
		if (has_level(r, wrong.ReliabilityLevel) && i != r->level)
			try(r, wrong, VIP_INVALID_RELIABILITY_LEVEL);
	}
	wrong = run_attr(r);
	wrong.MaxTransferSize--;
	try(r, wrong, VIP_INVALID_MTU);
	wrong = run_attr(r);
	wrong.QoS = &some_qos;
	if (VipCreateVi(r->nic, &wrong, NULL, NULL, &vi) == VIP_SUCCESS) {
		EXPECT(VipDestroyVi(vi), VIP_SUCCESS);
		try(r, wrong, VIP_INVALID_QOS);
	} else {
		note("the device takes no QoS but NULL: two that differ cannot meet");
	}
}
