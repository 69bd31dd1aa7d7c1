/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check_vi.c - VIs: creation and attributes (42 to 50, 53 to 55), what they say and their end (vi_state.c).
 */
#include "vi.h"

#include <stdlib.h>
#include <string.h>

static const VIP_RELIABILITY_LEVEL levels[] = {VIP_SERVICE_UNRELIABLE, VIP_SERVICE_RELIABLE_DELIVERY,
					       VIP_SERVICE_RELIABLE_RECEPTION};
#define NLEVELS 3

void expect_vi(VIP_VI_HANDLE vi, VIP_VI_STATE state, const VIP_VI_ATTRIBUTES *want)
{
	VIP_BOOLEAN send_empty, recv_empty;
	VIP_VI_ATTRIBUTES a;
	VIP_VI_STATE is;

	memset(&a, 0xa5, sizeof(a));
	EXPECT(VipQueryVi(vi, &is, &a, &send_empty, &recv_empty), VIP_SUCCESS);
	assert_int_equal(is, state);
	assert_int_equal(a.ReliabilityLevel, want->ReliabilityLevel);
	assert_int_equal(a.MaxTransferSize, want->MaxTransferSize);
	assert_ptr_equal(a.QoS, want->QoS);
	assert_ptr_equal(a.Ptag, want->Ptag);
	assert_int_equal(a.EnableRdmaWrite, want->EnableRdmaWrite);
	assert_int_equal(a.EnableRdmaRead, want->EnableRdmaRead);
}

void expect_empty(VIP_VI_HANDLE vi, bool send, bool recv)
{
	VIP_BOOLEAN send_empty = -1, recv_empty = -1;
	VIP_VI_ATTRIBUTES a;
	VIP_VI_STATE state;

	EXPECT(VipQueryVi(vi, &state, &a, &send_empty, &recv_empty), VIP_SUCCESS);
	assert_int_equal(send_empty, send ? VIP_TRUE : VIP_FALSE);
	assert_int_equal(recv_empty, recv ? VIP_TRUE : VIP_FALSE);
}

/* 42 */
static void check_each_level(struct run *r)
{
	VIP_VI_ATTRIBUTES a;
	VIP_VI_HANDLE vi;
	int i;

	run_nic(r);
	for (i = 0; i < NLEVELS; i++) {
		if (!has_level(r, levels[i]))
			continue;
		doing("level 0x%x", levels[i]);
		r->level = levels[i];
		a = run_attr(r);
		EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_SUCCESS);
		assert_non_null(vi);
		expect_vi(vi, VIP_STATE_IDLE, &a);
		expect_empty(vi, true, true);
		EXPECT(VipDestroyVi(vi), VIP_SUCCESS);
	}
	EXPECT(VipCreateVi(r->nic, NULL, NULL, NULL, &vi), VIP_INVALID_PARAMETER);
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, NULL), VIP_INVALID_PARAMETER);
	run_close(r);
}

/* 43 */
static void check_bad_level(struct run *r)
{
	VIP_VI_ATTRIBUTES a;
	VIP_VI_HANDLE vi;
	unsigned int level;

	run_nic(r);
	a = run_attr(r);
	a.EnableRdmaRead = VIP_FALSE;
	for (level = 0; level < 0x10000; level = level < 16 ? level + 1 : level * 2) {
		doing("level 0x%x", level);
		a.ReliabilityLevel = (VIP_RELIABILITY_LEVEL)level;
		if (level != 0 && (level & (level - 1)) == 0 && has_level(r, (VIP_RELIABILITY_LEVEL)level))
			continue;
		EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_INVALID_RELIABILITY_LEVEL);
	}
	run_close(r);
}

/* 44 */
static void check_transfer_size(struct run *r)
{
	VIP_VI_ATTRIBUTES a;
	VIP_VI_HANDLE vi;

	run_nic(r);
	a = run_attr(r);
	a.MaxTransferSize = 0;
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_INVALID_MTU);
	a.MaxTransferSize = r->attr.MaxTransferSize + 1;
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_INVALID_MTU);
	a.MaxTransferSize = r->attr.MaxTransferSize + (1ul << 32);
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_INVALID_MTU);
	a.MaxTransferSize = r->attr.MaxTransferSize;
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_SUCCESS);
	a.MaxTransferSize = 1;
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_SUCCESS);
	run_close(r);
}

/* 45 */
static void check_bad_tag(struct run *r)
{
	VIP_PROTECTION_HANDLE gone, foreign;
	VIP_NIC_HANDLE other;
	VIP_VI_ATTRIBUTES a;
	VIP_VI_HANDLE vi;

	run_nic(r);
	EXPECT(VipCreatePtag(r->nic, &gone), VIP_SUCCESS);
	EXPECT(VipDestroyPtag(r->nic, gone), VIP_SUCCESS);
	EXPECT(VipOpenNic(r->device, &other), VIP_SUCCESS);
	EXPECT(VipCreatePtag(other, &foreign), VIP_SUCCESS);
	a = run_attr(r);
	doing("a tag that was destroyed");
	a.Ptag = gone;
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_INVALID_PTAG);
	doing("a tag of another NIC handle");
	a.Ptag = foreign;
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_INVALID_PTAG);
	doing("no tag");
	a.Ptag = NULL;
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), choice(r, "K-6"));
	if (choice(r, "K-6") == VIP_SUCCESS)
		expect_vi(vi, VIP_STATE_IDLE, &a);
	EXPECT(VipCloseNic(other), VIP_SUCCESS);
	run_close(r);
}

/* 46 */
static void check_rdma_read(struct run *r)
{
	VIP_VI_ATTRIBUTES a;
	VIP_VI_HANDLE vi;
	int i;

	run_nic(r);
	for (i = 0; i < NLEVELS; i++) {
		if (!has_level(r, levels[i]))
			continue;
		doing("level 0x%x", levels[i]);
		r->level = levels[i];
		a = run_attr(r);
		a.EnableRdmaRead = VIP_TRUE;
		EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi),
		       levels[i] != VIP_SERVICE_UNRELIABLE && has_rdma_read(r) ? VIP_SUCCESS
									       : VIP_INVALID_RDMAREAD);
	}
	run_close(r);
}

/* 47 */
static void check_cq_choices(struct run *r)
{
	VIP_CQ_HANDLE cq[3] = {NULL};
	static const int pairs[][2] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}, {1, 2}};
	VIP_VI_ATTRIBUTES a;
	VIP_VI_HANDLE vi, of;
	VIP_BOOLEAN recv;
	size_t i;

	run_nic(r);
	EXPECT(VipCreateCQ(r->nic, 8, &cq[1]), VIP_SUCCESS);
	EXPECT(VipCreateCQ(r->nic, 8, &cq[2]), VIP_SUCCESS);
	a = run_attr(r);
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		doing("CQ %d for sends, %d for receives; 0 is none", pairs[i][0], pairs[i][1]);
		EXPECT(VipCreateVi(r->nic, &a, cq[pairs[i][0]], cq[pairs[i][1]], &vi), VIP_SUCCESS);
		expect_vi(vi, VIP_STATE_IDLE, &a);
		EXPECT(VipPostRecv(vi, fill(r, 0, NULL, 0, 0), r->mem), VIP_SUCCESS);
		EXPECT(VipDisconnect(vi), VIP_SUCCESS);
		if (pairs[i][1]) {
			EXPECT(VipCQDone(cq[pairs[i][1]], &of, &recv), VIP_SUCCESS);
			assert_ptr_equal(of, vi);
			assert_int_equal(recv, VIP_TRUE);
		}
		EXPECT(VipCQDone(cq[1], &of, &recv), VIP_NOT_DONE);
		EXPECT(VipCQDone(cq[2], &of, &recv), VIP_NOT_DONE);
		drop_vi(vi);
	}
	run_close(r);
}

/* 48 */
static void check_bad_cq(struct run *r)
{
	VIP_CQ_HANDLE foreign, gone;
	VIP_NIC_HANDLE other;
	VIP_VI_ATTRIBUTES a;
	VIP_VI_HANDLE vi;

	run_nic(r);
	EXPECT(VipOpenNic(r->device, &other), VIP_SUCCESS);
	EXPECT(VipCreateCQ(other, 8, &foreign), VIP_SUCCESS);
	EXPECT(VipCreateCQ(r->nic, 8, &gone), VIP_SUCCESS);
	EXPECT(VipDestroyCQ(gone), VIP_SUCCESS);
	a = run_attr(r);
	EXPECT(VipCreateVi(r->nic, &a, foreign, NULL, &vi), VIP_INVALID_PARAMETER);
	EXPECT(VipCreateVi(r->nic, &a, NULL, foreign, &vi), VIP_INVALID_PARAMETER);
	EXPECT(VipCreateVi(r->nic, &a, gone, NULL, &vi), VIP_INVALID_PARAMETER);
	EXPECT(VipCreateVi(r->nic, &a, NULL, gone, &vi), VIP_INVALID_PARAMETER);
	EXPECT(VipDestroyCQ(foreign), VIP_SUCCESS);
	EXPECT(VipCloseNic(other), VIP_SUCCESS);
	run_close(r);
}

/* 49 */
static void check_all_vis(struct run *r)
{
	VIP_RETURN code = VIP_SUCCESS;
	VIP_VI_ATTRIBUTES a;
	VIP_VI_HANDLE *vi;
	VIP_ULONG n = 0;

	run_nic(r);
	a = run_attr(r);
	vi = calloc(r->attr.MaxVI + 2, sizeof(*vi));
	assert_non_null(vi);
	while (n <= r->attr.MaxVI && (code = VipCreateVi(r->nic, &a, NULL, NULL, &vi[n])) == VIP_SUCCESS)
		n++;
	EXPECT(code, VIP_ERROR_RESOURCE);
	assert_int_equal(n, r->attr.MaxVI);
	note("%lu VIs", n);
	EXPECT(VipDestroyVi(vi[n / 2]), VIP_SUCCESS);
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi[n / 2]), VIP_SUCCESS);
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi[n]), VIP_ERROR_RESOURCE);
	run_close(r);
	free(vi);
}

/* The attributes that differ from one another in combination @i. */
static VIP_VI_ATTRIBUTES mixed(struct run *r, VIP_PROTECTION_HANDLE tag, unsigned int i)
{
	VIP_VI_ATTRIBUTES a;

	do
		r->level = levels[i++ % NLEVELS];
	while (!has_level(r, r->level));
	a = run_attr(r);
	a.MaxTransferSize = i % 4 == 0 ? 1 : r->attr.MaxTransferSize / (i % 4);
	a.Ptag = i & 1 ? tag : r->tag;
	a.EnableRdmaWrite = i & 2 ? VIP_TRUE : VIP_FALSE;
	a.EnableRdmaRead = a.EnableRdmaRead && (i & 4) ? VIP_TRUE : VIP_FALSE;
	return a;
}

/* 50 */
static void check_query_vi(struct run *r)
{
	VIP_PROTECTION_HANDLE tag;
	VIP_BOOLEAN e[2];
	VIP_VI_ATTRIBUTES a;
	VIP_VI_STATE state;
	VIP_VI_HANDLE vi;
	unsigned int i;

	run_nic(r);
	EXPECT(VipCreatePtag(r->nic, &tag), VIP_SUCCESS);
	for (i = 0; i < 24; i++) {
		a = mixed(r, tag, i);
		doing("level 0x%x, %lu bytes, RDMA write %d, RDMA read %d", a.ReliabilityLevel,
		      a.MaxTransferSize, a.EnableRdmaWrite, a.EnableRdmaRead);
		EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_SUCCESS);
		expect_vi(vi, VIP_STATE_IDLE, &a);
		EXPECT(VipDestroyVi(vi), VIP_SUCCESS);
	}
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_SUCCESS);
	EXPECT(VipQueryVi(vi, NULL, &a, &e[0], &e[1]), VIP_INVALID_PARAMETER);
	EXPECT(VipQueryVi(vi, &state, NULL, &e[0], &e[1]), VIP_INVALID_PARAMETER);
	EXPECT(VipQueryVi(vi, &state, &a, NULL, &e[1]), VIP_INVALID_PARAMETER);
	EXPECT(VipQueryVi(vi, &state, &a, &e[0], NULL), VIP_INVALID_PARAMETER);
	run_close(r);
}

/* 53 */
static void check_set(struct run *r)
{
	VIP_PROTECTION_HANDLE tag;
	VIP_VI_ATTRIBUTES a;
	unsigned int i;

	run_vi(r);
	EXPECT(VipCreatePtag(r->nic, &tag), VIP_SUCCESS);
	for (i = 0; i < 24; i++) {
		a = mixed(r, tag, i);
		doing("level 0x%x, %lu bytes, RDMA write %d, RDMA read %d", a.ReliabilityLevel,
		      a.MaxTransferSize, a.EnableRdmaWrite, a.EnableRdmaRead);
		EXPECT(VipSetViAttributes(r->vi, &a), VIP_SUCCESS);
		expect_vi(r->vi, VIP_STATE_IDLE, &a);
	}
	run_close(r);
}

/* 55 */
static void check_set_bad(struct run *r)
{
	VIP_PROTECTION_HANDLE gone;
	VIP_VI_ATTRIBUTES old, a;

	run_vi(r);
	EXPECT(VipCreatePtag(r->nic, &gone), VIP_SUCCESS);
	EXPECT(VipDestroyPtag(r->nic, gone), VIP_SUCCESS);
	old = run_attr(r);
#define REFUSED(field, value, code)                            \
	do {                                                   \
		a = old;                                       \
		a.EnableRdmaWrite = !old.EnableRdmaWrite;      \
		a.field = (value);                             \
		EXPECT(VipSetViAttributes(r->vi, &a), (code)); \
		expect_vi(r->vi, VIP_STATE_IDLE, &old);        \
	} while (0)
	REFUSED(ReliabilityLevel, 0, VIP_INVALID_RELIABILITY_LEVEL);
	REFUSED(ReliabilityLevel, 0x8, VIP_INVALID_RELIABILITY_LEVEL);
	REFUSED(ReliabilityLevel, 0x3, VIP_INVALID_RELIABILITY_LEVEL);
	REFUSED(MaxTransferSize, 0, VIP_INVALID_MTU);
	REFUSED(MaxTransferSize, r->attr.MaxTransferSize + 1, VIP_INVALID_MTU);
	REFUSED(Ptag, gone, VIP_INVALID_PTAG);
	REFUSED(Ptag, (VIP_PROTECTION_HANDLE)&gone, VIP_INVALID_PTAG);
	doing("RDMA read on an Unreliable VI");
	a = old;
	a.ReliabilityLevel = VIP_SERVICE_UNRELIABLE;
	a.EnableRdmaRead = VIP_TRUE;
	EXPECT(VipSetViAttributes(r->vi, &a), VIP_INVALID_RDMAREAD);
	expect_vi(r->vi, VIP_STATE_IDLE, &old);
	EXPECT(VipSetViAttributes(r->vi, NULL), VIP_INVALID_PARAMETER);
	run_close(r);
}

const struct check vi_checks[] = {
	{42, EARLY, 0, "VipCreateVi", "at each level: Idle, and both queues empty", check_each_level},
	{43, EARLY, 0, "VipCreateVi", "no level, two levels, an unsupported one", check_bad_level},
	{44, EARLY, 0, "VipCreateVi", "MaxTransferSize 0, the maximum, and above it", check_transfer_size},
	{45, FUNCTIONAL, 0, "K-6", "a tag that is NULL, destroyed, or another handle's", check_bad_tag},
	{46, FUNCTIONAL, 0, "VipCreateVi", "RDMA read where the level does not have it", check_rdma_read},
	{47, EARLY, 0, "VipCreateVi", "completion queues for either work queue, or both", check_cq_choices},
	{48, EARLY, 0, "VipCreateVi", "a completion queue of another handle, and a destroyed one",
	 check_bad_cq},
	{49, EARLY, 0, "VipCreateVi", "MaxVI, and one more; destroying one makes room", check_all_vis},
	{50, EARLY, 0, "VipQueryVi", "the attributes are those given", check_query_vi},
	{51, EARLY, 0, "VipQueryVi", "a posted receive makes its queue not empty", check_query_empty},
	{52, EARLY, 0, "VipQueryVi", "the state is told in each of the four", check_states},
	{53, FUNCTIONAL, 0, "VipSetViAttributes", "attributes of an Idle VI change", check_set},
	{54, FUNCTIONAL, 0, "VipSetViAttributes", "not in Pending, Connected and Error", check_set_states},
	{55, FUNCTIONAL, 0, "VipSetViAttributes", "bad attributes are refused, the old ones stay",
	 check_set_bad},
	{56, EARLY, 0, "VipDestroyVi", "the handle is stale in every call afterwards", check_stale_vi},
	{57, EARLY, 0, "K-8", "not in Pending, Connected and Error", check_destroy_states},
	{58, EARLY, 0, "K-8", "not with a descriptor in a queue", check_destroy_full},
	{0},
};
