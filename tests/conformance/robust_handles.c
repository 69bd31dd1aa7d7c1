/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* robust_handles.c - checks 191 and 192: every handle that is none, every place that is missing. */
#include "robust.h"

#include <string.h>

enum kind { A_NIC, A_VI, A_CQ, A_TAG, A_CONN, A_MEM, KINDS };

/* Good arguments of every kind; a call under test gets one handle in place of the good one. */
static struct good {
	VIP_NIC_HANDLE nic;
	VIP_VI_HANDLE vi;
	VIP_CQ_HANDLE cq;
	VIP_PROTECTION_HANDLE tag;
	VIP_MEM_HANDLE mem;
	VIP_CONN_HANDLE conn;
	void *block;
	VIP_DESCRIPTOR *d;
	VIP_VI_ATTRIBUTES vattr;
	VIP_MEM_ATTRIBUTES mattr;
	union address here, there;
	/* what calls write to */
	VIP_NIC_ATTRIBUTES nattr;
	VIP_AUTODISCOVERY_LIST list;
	VIP_VI_HANDLE out_vi;
	VIP_CQ_HANDLE out_cq;
	VIP_PROTECTION_HANDLE out_tag;
	VIP_MEM_HANDLE out_mem;
	VIP_CONN_HANDLE out_conn;
	VIP_VI_ATTRIBUTES out_vattr;
	VIP_MEM_ATTRIBUTES out_mattr;
	VIP_VI_STATE state;
	VIP_BOOLEAN flag[2];
	VIP_DESCRIPTOR *out_d;
	union address out_addr;
	VIP_CHAR name[256];
	VIP_ULONG len;
} g;

static VIP_MEM_HANDLE mem_of(const void *h)
{
	return (VIP_MEM_HANDLE)(uintptr_t)h;
}

#define CALL(name, expr)                \
	static VIP_RETURN name(void *h) \
	{                               \
		return expr;            \
	}

CALL(close_nic, VipCloseNic(h))
CALL(query_nic, VipQueryNic(h, &g.nattr))
CALL(query_smi, VipQuerySystemManagementInfo(h, VIP_SMI_AUTODISCOVERY, &g.list))
CALL(error_callback, VipErrorCallback(h, NULL, ignore_error))
CALL(create_vi, VipCreateVi(h, &g.vattr, NULL, NULL, &g.out_vi))
CALL(create_vi_scq, VipCreateVi(g.nic, &g.vattr, h, NULL, &g.out_vi))
CALL(create_vi_rcq, VipCreateVi(g.nic, &g.vattr, NULL, h, &g.out_vi))
CALL(create_tag, VipCreatePtag(h, &g.out_tag))
CALL(destroy_tag_nic, VipDestroyPtag(h, g.tag))
CALL(destroy_tag, VipDestroyPtag(g.nic, h))
CALL(register_mem, VipRegisterMem(h, g.block, 4096, &g.mattr, &g.out_mem))
CALL(deregister_nic, VipDeregisterMem(h, g.block, g.mem))
CALL(deregister_mem, VipDeregisterMem(g.nic, g.block, mem_of(h)))
CALL(set_mem_nic, VipSetMemAttributes(h, g.block, g.mem, &g.mattr))
CALL(set_mem, VipSetMemAttributes(g.nic, g.block, mem_of(h), &g.mattr))
CALL(query_mem_nic, VipQueryMem(h, g.block, g.mem, &g.out_mattr))
CALL(query_mem, VipQueryMem(g.nic, g.block, mem_of(h), &g.out_mattr))
CALL(connect_wait, VipConnectWait(h, &g.here.a, 0, &g.out_addr.a, &g.out_vattr, &g.out_conn))
CALL(create_cq, VipCreateCQ(h, 4, &g.out_cq))
CALL(ns_init, VipNSInit(h, NULL))
CALL(ns_by_name, VipNSGetHostByName(h, g.name, &g.out_addr.a, 0))
CALL(ns_by_addr, VipNSGetHostByAddr(h, &g.here.a, g.name, &g.len))
CALL(ns_shutdown, VipNSShutdown(h))
CALL(destroy_vi, VipDestroyVi(h))
CALL(set_vi, VipSetViAttributes(h, &g.vattr))
CALL(query_vi, VipQueryVi(h, &g.state, &g.out_vattr, &g.flag[0], &g.flag[1]))
CALL(accept_vi, VipConnectAccept(g.conn, h))
CALL(connect_request, VipConnectRequest(h, &g.here.a, &g.there.a, 100, &g.out_vattr))
CALL(disconnect, VipDisconnect(h))
CALL(peer_request, VipConnectPeerRequest(h, &g.here.a, &g.there.a, 100))
CALL(peer_done, VipConnectPeerDone(h, &g.out_vattr))
CALL(peer_wait, VipConnectPeerWait(h, &g.out_vattr))
CALL(do_post_send, VipPostSend(h, g.d, g.mem))
CALL(do_post_recv, VipPostRecv(h, g.d, g.mem))
CALL(send_done, VipSendDone(h, &g.out_d))
CALL(recv_done, VipRecvDone(h, &g.out_d))
CALL(send_wait, VipSendWait(h, 0, &g.out_d))
CALL(recv_wait, VipRecvWait(h, 0, &g.out_d))
CALL(send_notify, VipSendNotify(h, NULL, ignore_vi))
CALL(recv_notify, VipRecvNotify(h, NULL, ignore_vi))
CALL(destroy_cq, VipDestroyCQ(h))
CALL(resize_cq, VipResizeCQ(h, 8))
CALL(cq_done, VipCQDone(h, &g.out_vi, &g.flag[0]))
CALL(cq_wait, VipCQWait(h, 0, &g.out_vi, &g.flag[0]))
CALL(cq_notify, VipCQNotify(h, NULL, ignore_cq))
CALL(accept_conn, VipConnectAccept(h, g.vi))
CALL(reject, VipConnectReject(h))

static const struct {
	const char *name;
	enum kind kind;
	VIP_RETURN (*call)(void *h);
	bool may_be_null;
} calls[] = {
	{"VipCloseNic", A_NIC, close_nic, false},
	{"VipQueryNic", A_NIC, query_nic, false},
	{"VipQuerySystemManagementInfo", A_NIC, query_smi, false},
	{"VipErrorCallback", A_NIC, error_callback, false},
	{"VipCreateVi", A_NIC, create_vi, false},
	{"VipCreateVi, SendCQHandle", A_CQ, create_vi_scq, true},
	{"VipCreateVi, RecvCQHandle", A_CQ, create_vi_rcq, true},
	{"VipCreatePtag", A_NIC, create_tag, false},
	{"VipDestroyPtag, NicHandle", A_NIC, destroy_tag_nic, false},
	{"VipDestroyPtag, Ptag", A_TAG, destroy_tag, false},
	{"VipRegisterMem", A_NIC, register_mem, false},
	{"VipDeregisterMem, NicHandle", A_NIC, deregister_nic, false},
	{"VipDeregisterMem, MemoryHandle", A_MEM, deregister_mem, false},
	{"VipSetMemAttributes, NicHandle", A_NIC, set_mem_nic, false},
	{"VipSetMemAttributes, MemoryHandle", A_MEM, set_mem, false},
	{"VipQueryMem, NicHandle", A_NIC, query_mem_nic, false},
	{"VipQueryMem, MemoryHandle", A_MEM, query_mem, false},
	{"VipConnectWait", A_NIC, connect_wait, false},
	{"VipCreateCQ", A_NIC, create_cq, false},
	{"VipNSInit", A_NIC, ns_init, false},
	{"VipNSGetHostByName", A_NIC, ns_by_name, false},
	{"VipNSGetHostByAddr", A_NIC, ns_by_addr, false},
	{"VipNSShutdown", A_NIC, ns_shutdown, false},
	{"VipDestroyVi", A_VI, destroy_vi, false},
	{"VipSetViAttributes", A_VI, set_vi, false},
	{"VipQueryVi", A_VI, query_vi, false},
	{"VipConnectAccept, ViHandle", A_VI, accept_vi, false},
	{"VipConnectRequest", A_VI, connect_request, false},
	{"VipDisconnect", A_VI, disconnect, false},
	{"VipConnectPeerRequest", A_VI, peer_request, false},
	{"VipConnectPeerDone", A_VI, peer_done, false},
	{"VipConnectPeerWait", A_VI, peer_wait, false},
	{"VipPostSend", A_VI, do_post_send, false},
	{"VipPostRecv", A_VI, do_post_recv, false},
	{"VipSendDone", A_VI, send_done, false},
	{"VipRecvDone", A_VI, recv_done, false},
	{"VipSendWait", A_VI, send_wait, false},
	{"VipRecvWait", A_VI, recv_wait, false},
	{"VipSendNotify", A_VI, send_notify, false},
	{"VipRecvNotify", A_VI, recv_notify, false},
	{"VipDestroyCQ", A_CQ, destroy_cq, false},
	{"VipResizeCQ", A_CQ, resize_cq, false},
	{"VipCQDone", A_CQ, cq_done, false},
	{"VipCQWait", A_CQ, cq_wait, false},
	{"VipCQNotify", A_CQ, cq_notify, false},
	{"VipConnectAccept, ConnHandle", A_CONN, accept_conn, false},
	{"VipConnectReject", A_CONN, reject, false},
};

static const char *const kind_names[KINDS] = {"a NIC", "a VI", "a CQ", "a tag", "a connection", "a region"};

static void *of_mem(VIP_MEM_HANDLE mem)
{
	return (void *)(uintptr_t)mem; /* NOLINT(performance-no-int-to-ptr) */
}

static void make_good(struct run *r)
{
	run_vi(r);
	g.nic = r->nic;
	g.vi = r->vi;
	g.tag = r->tag;
	g.mem = r->mem;
	g.block = r->block;
	g.d = fill(r, 0, data(r), 10, r->mem);
	g.vattr = run_attr(r);
	g.mattr = (VIP_MEM_ATTRIBUTES){.Ptag = r->tag};
	g.len = sizeof(g.name);
	strcpy(g.name, "localhost");
	named_address(r, &g.here, "here");
	named_address(r, &g.there, "there");
	EXPECT(VipCreateCQ(r->nic, 4, &g.cq), VIP_SUCCESS);
}

/* A handle of each kind that was good once. */
static void make_stale(struct run *r, void *stale[KINDS])
{
	VIP_MEM_ATTRIBUTES a = g.mattr;
	VIP_MEM_HANDLE mem;
	struct client c;

	EXPECT(VipOpenNic(r->device, &stale[A_NIC]), VIP_SUCCESS);
	EXPECT(VipCloseNic(stale[A_NIC]), VIP_SUCCESS);
	stale[A_VI] = another_vi(r);
	EXPECT(VipDestroyVi(stale[A_VI]), VIP_SUCCESS);
	EXPECT(VipCreateCQ(r->nic, 4, &stale[A_CQ]), VIP_SUCCESS);
	EXPECT(VipDestroyCQ(stale[A_CQ]), VIP_SUCCESS);
	EXPECT(VipCreatePtag(r->nic, &stale[A_TAG]), VIP_SUCCESS);
	EXPECT(VipDestroyPtag(r->nic, stale[A_TAG]), VIP_SUCCESS);
	EXPECT(VipRegisterMem(r->nic, r->block, 4096, &a, &mem), VIP_SUCCESS);
	EXPECT(VipDeregisterMem(r->nic, r->block, mem), VIP_SUCCESS);
	stale[A_MEM] = of_mem(mem);
	client_start(&c, r, r->vi, "stale", LONG_MS);
	EXPECT(wait_at(r, "stale", LONG_MS, &stale[A_CONN]), VIP_SUCCESS);
	EXPECT(VipConnectReject(stale[A_CONN]), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_REJECT);
}

static void try_handle(size_t i, const char *what, void *h)
{
	VIP_RETURN code;

	doing("%s with %s (%p)", calls[i].name, what, h);
	code = calls[i].call(h);
	if (calls[i].kind != A_TAG || code != VIP_INVALID_PTAG)
		expect_code(code, VIP_INVALID_PARAMETER, calls[i].name, __FILE__, __LINE__);
}

void check_bad_handles(struct run *r)
{
	void *stale[KINDS], *good[KINDS];
	VIP_VI_HANDLE asker;
	uintptr_t random[16];
	uint32_t seed = 191;
	struct client c;
	size_t i, k, n = 0;

	make_good(r);
	make_stale(r, stale);
	/* a request that waits for its answer all the time */
	asker = another_vi(r);
	client_start(&c, r, asker, "good", VIP_INFINITE);
	EXPECT(wait_at(r, "good", LONG_MS, &g.conn), VIP_SUCCESS);
	good[A_NIC] = g.nic;
	good[A_VI] = g.vi;
	good[A_CQ] = g.cq;
	good[A_TAG] = g.tag;
	good[A_CONN] = g.conn;
	good[A_MEM] = of_mem(g.mem);
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (!calls[i].may_be_null)
			try_handle(i, "NULL", NULL);
		try_handle(i, "all ones", of_mem(0xffffffff));
		try_handle(i, "all ones", (void *)~0ul); /* NOLINT(performance-no-int-to-ptr) */
		/* memory that is there, full of what might look right */
		memset(random, 1, sizeof(random));
		if (calls[i].kind != A_MEM)
			try_handle(i, "the address of a variable", random);
		for (k = 0; k < 20; k++) {
			random[0] = (uintptr_t)random32(&seed) << 32 | random32(&seed);
			try_handle(i, "a random number",
				   (void *)random[0]); /* NOLINT(performance-no-int-to-ptr) */
		}
		for (k = 0; k < KINDS; k++) {
			if (k != calls[i].kind)
				try_handle(i, kind_names[k], good[k]);
		}
		try_handle(i, "a stale handle", stale[calls[i].kind]);
		n++;
	}
	note("%zu handle arguments", n);
	doing("whether all is well after it");
	EXPECT(VipConnectAccept(g.conn, g.vi), VIP_SUCCESS);
	EXPECT(client_end(&c), VIP_SUCCESS);
	talk(r, asker, g.vi, 100);
}

#define BAD(call) EXPECT(call, VIP_INVALID_PARAMETER)

static void null_outs_of_vi(void)
{
	BAD(VipCreateVi(g.nic, &g.vattr, NULL, NULL, NULL));
	BAD(VipQueryVi(g.vi, NULL, &g.out_vattr, &g.flag[0], &g.flag[1]));
	BAD(VipQueryVi(g.vi, &g.state, NULL, &g.flag[0], &g.flag[1]));
	BAD(VipQueryVi(g.vi, &g.state, &g.out_vattr, NULL, &g.flag[1]));
	BAD(VipQueryVi(g.vi, &g.state, &g.out_vattr, &g.flag[0], NULL));
	BAD(VipSendDone(g.vi, NULL));
	BAD(VipRecvDone(g.vi, NULL));
	BAD(VipSendWait(g.vi, 0, NULL));
	BAD(VipRecvWait(g.vi, 0, NULL));
	BAD(VipConnectRequest(g.vi, &g.here.a, &g.there.a, 100, NULL));
	EXPECT(VipConnectPeerRequest(g.vi, &g.here.a, &g.there.a, 1000), VIP_SUCCESS);
	BAD(VipConnectPeerDone(g.vi, NULL));
	BAD(VipConnectPeerWait(g.vi, NULL));
	EXPECT(VipDisconnect(g.vi), VIP_SUCCESS);
}

void check_null_outs(struct run *r)
{
	make_good(r);
	BAD(VipOpenNic(r->device, NULL));
	BAD(VipQueryNic(g.nic, NULL));
	BAD(VipQuerySystemManagementInfo(g.nic, VIP_SMI_AUTODISCOVERY, NULL));
	BAD(VipCreatePtag(g.nic, NULL));
	BAD(VipRegisterMem(g.nic, g.block, 4096, &g.mattr, NULL));
	BAD(VipQueryMem(g.nic, g.block, g.mem, NULL));
	BAD(VipConnectWait(g.nic, &g.here.a, 0, NULL, &g.out_vattr, &g.out_conn));
	BAD(VipConnectWait(g.nic, &g.here.a, 0, &g.out_addr.a, NULL, &g.out_conn));
	BAD(VipConnectWait(g.nic, &g.here.a, 0, &g.out_addr.a, &g.out_vattr, NULL));
	BAD(VipCreateCQ(g.nic, 4, NULL));
	BAD(VipCQDone(g.cq, NULL, &g.flag[0]));
	BAD(VipCQDone(g.cq, &g.out_vi, NULL));
	BAD(VipCQWait(g.cq, 0, NULL, &g.flag[0]));
	BAD(VipCQWait(g.cq, 0, &g.out_vi, NULL));
	EXPECT(VipNSInit(g.nic, NULL), VIP_SUCCESS);
	BAD(VipNSGetHostByName(g.nic, g.name, NULL, 0));
	BAD(VipNSGetHostByAddr(g.nic, &g.here.a, NULL, &g.len));
	BAD(VipNSGetHostByAddr(g.nic, &g.here.a, g.name, NULL));
	null_outs_of_vi();
	run_close(r);
}
