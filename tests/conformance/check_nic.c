/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* check_nic.c - NIC handles (1 to 15); protection tags (16 to 22) are in tags.c. */
#include "nic.h"

#include <stdlib.h>
#include <string.h>

#include "connecting.h"

#define UNKNOWN_DEVICE "no such device, and never one"
#define MANY	       100000 /* handles: no limit is this high */

static VIP_NIC_HANDLE open_nic(struct run *r)
{
	VIP_NIC_HANDLE nic = NULL;

	EXPECT(VipOpenNic(r->device, &nic), VIP_SUCCESS);
	assert_non_null(nic);
	return nic;
}

void expect_bad_tag(VIP_RETURN is, const char *call)
{
	if (is != VIP_INVALID_PARAMETER)
		expect_code(is, VIP_INVALID_PTAG, call, __FILE__, __LINE__);
}

/* 1 */
static void check_open(struct run *r)
{
	VIP_NIC_HANDLE nic = open_nic(r);

	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
}

/* 2 */
static void check_unknown(struct run *r)
{
	char longer[300];
	VIP_NIC_HANDLE nic;

	EXPECT(VipOpenNic(UNKNOWN_DEVICE, &nic), VIP_INVALID_PARAMETER);
	EXPECT(VipOpenNic("", &nic), VIP_INVALID_PARAMETER);
	memset(longer, 'x', sizeof(longer));
	memcpy(longer, r->device, strlen(r->device));
	longer[sizeof(longer) - 1] = '\0';
	EXPECT(VipOpenNic(longer, &nic), VIP_INVALID_PARAMETER);
}

/* 3 */
static void check_open_null(struct run *r)
{
	VIP_NIC_HANDLE nic;

	EXPECT(VipOpenNic(NULL, &nic), VIP_INVALID_PARAMETER);
	EXPECT(VipOpenNic(r->device, NULL), VIP_INVALID_PARAMETER);
}

/* A second handle of the device with a tag, a CQ, memory and a VI of its own. */
struct second {
	VIP_NIC_HANDLE nic;
	VIP_PROTECTION_HANDLE tag;
	VIP_CQ_HANDLE cq;
	VIP_VI_HANDLE vi;
	VIP_MEM_HANDLE mem; /* of the second half of the block, where its descriptors and data are */
	uint8_t *at;
};

static void open_second(struct run *r, struct second *s)
{
	VIP_MEM_ATTRIBUTES m = {.EnableRdmaWrite = VIP_TRUE};
	VIP_VI_ATTRIBUTES a = run_attr(r);

	s->nic = open_nic(r);
	assert_ptr_not_equal(s->nic, r->nic);
	EXPECT(VipCreatePtag(s->nic, &s->tag), VIP_SUCCESS);
	EXPECT(VipCreateCQ(s->nic, 4, &s->cq), VIP_SUCCESS);
	a.Ptag = m.Ptag = s->tag;
	s->at = r->block + END_BYTES / 2;
	EXPECT(VipRegisterMem(s->nic, s->at, END_BYTES / 2, &m, &s->mem), VIP_SUCCESS);
	EXPECT(VipCreateVi(s->nic, &a, NULL, NULL, &s->vi), VIP_SUCCESS);
}

/* A descriptor at @at with one segment of 64 bytes, and the next page's bytes for data. */
static VIP_DESCRIPTOR *one_segment(uint8_t *at, VIP_MEM_HANDLE mem)
{
	VIP_DESCRIPTOR *d = (VIP_DESCRIPTOR *)at;

	memset(d, 0, sizeof(*d));
	d->CS.SegCount = 1;
	d->CS.Length = 64;
	d->DS[0].Local.Data.AddressBits = (uintptr_t)at + 4096;
	d->DS[0].Local.Handle = mem;
	d->DS[0].Local.Length = 64;
	return d;
}

/* 4 */
static void check_two_handles(struct run *r)
{
	VIP_DESCRIPTOR *d, *got;
	struct second s;

	run_vi(r);
	open_second(r, &s);
	connect_here(r, s.nic, s.vi, r->vi);
	doing("a message from the first handle's VI to the second's");
	d = one_segment(s.at, s.mem);
	EXPECT(VipPostRecv(s.vi, d, s.mem), VIP_SUCCESS);
	pattern(data(r), 64, 4);
	post_send(r, 0, data(r), 64);
	got = next_recv(s.vi, NULL);
	assert_ptr_equal(got, d);
	assert_int_equal(differs(s.at + 4096, 64, 4), -1);
	next_sent(r->vi, NULL);
	doing("closing one of them");
	drop_vi(s.vi);
	EXPECT(VipCloseNic(s.nic), VIP_SUCCESS);
	EXPECT(VipQueryNic(r->nic, &r->attr), VIP_SUCCESS);
	run_close(r);
}

static void try_create_with_others(struct run *r, const struct second *s)
{
	VIP_VI_ATTRIBUTES a = run_attr(r);
	VIP_MEM_ATTRIBUTES m = {.Ptag = s->tag}, seen;
	VIP_MEM_HANDLE mem;
	VIP_VI_HANDLE vi;

	doing("the second handle's tag with the first handle");
	EXPECT(VipRegisterMem(r->nic, r->block, 4096, &m, &mem), VIP_INVALID_PTAG);
	EXPECT(VipSetMemAttributes(r->nic, r->block, r->mem, &m), VIP_INVALID_PTAG);
	expect_bad_tag(VipDestroyPtag(r->nic, s->tag), "VipDestroyPtag with another handle's tag");
	a.Ptag = s->tag;
	EXPECT(VipCreateVi(r->nic, &a, NULL, NULL, &vi), VIP_INVALID_PTAG);
	EXPECT(VipSetViAttributes(r->vi, &a), VIP_INVALID_PTAG);
	doing("the second handle's CQ with the first handle");
	a.Ptag = r->tag;
	EXPECT(VipCreateVi(r->nic, &a, s->cq, NULL, &vi), VIP_INVALID_PARAMETER);
	EXPECT(VipCreateVi(r->nic, &a, NULL, s->cq, &vi), VIP_INVALID_PARAMETER);
	/* two handles may have regions of one number: then the address differs */
	doing("the first handle's memory with the second handle");
	EXPECT(VipQueryMem(s->nic, r->block, r->mem, &seen), VIP_INVALID_PARAMETER);
	m.Ptag = s->tag;
	EXPECT(VipSetMemAttributes(s->nic, r->block, r->mem, &m), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(s->nic, r->block, r->mem), VIP_INVALID_PARAMETER);
	doing("the tag and the CQ are where they were");
	EXPECT(VipDestroyCQ(s->cq), VIP_SUCCESS);
	EXPECT(VipQueryMem(r->nic, r->block, r->mem, &seen), VIP_SUCCESS);
}

/* 5 */
static void check_foreign_objects(struct run *r)
{
	struct second s;
	VIP_DESCRIPTOR *d, *got;
	VIP_RETURN code;

	run_vi(r);
	open_second(r, &s);
	try_create_with_others(r, &s);
	connect_here(r, r->nic, r->vi, s.vi);
	doing("sending through the second handle's VI out of memory that only the first has registered");
	post_recv(r, 0, data(r), 64);
	d = one_segment(s.at, r->mem);
	d->DS[0].Local.Data.AddressBits = (uintptr_t)data(r);
	EXPECT(VipPostSend(s.vi, d, s.mem), VIP_SUCCESS);
	got = next_sent(s.vi, &code);
	assert_ptr_equal(got, d);
	EXPECT_STATUS(d, VIP_STATUS_DONE | VIP_STATUS_PROTECTION_ERROR | VIP_STATUS_OP_SEND);
}

/* 6 */
static void check_open_all(struct run *r)
{
	VIP_NIC_HANDLE *nic = calloc(MANY, sizeof(VIP_NIC_HANDLE)), one;
	VIP_RETURN code = VIP_SUCCESS;
	size_t n = 0, i;

	assert_non_null(nic);
	while (n < MANY && (code = VipOpenNic(r->device, &nic[n])) == VIP_SUCCESS)
		n++;
	EXPECT(code, VIP_ERROR_RESOURCE);
	note("%zu handles", n);
	assert_true(n > 1);
	EXPECT(VipCloseNic(nic[n / 2]), VIP_SUCCESS);
	EXPECT(VipOpenNic(r->device, &nic[n / 2]), VIP_SUCCESS);
	EXPECT(VipOpenNic(r->device, &one), VIP_ERROR_RESOURCE);
	for (i = 0; i < n; i++)
		EXPECT(VipCloseNic(nic[i]), VIP_SUCCESS);
	free(nic);
}

static void use_stale_memory(struct run *r, VIP_NIC_HANDLE nic, VIP_PROTECTION_HANDLE tag, VIP_MEM_HANDLE mem)
{
	VIP_MEM_ATTRIBUTES m = {0};
	VIP_PROTECTION_HANDLE new_tag;
	VIP_MEM_HANDLE new_mem;

	EXPECT(VipCreatePtag(nic, &new_tag), VIP_INVALID_PARAMETER);
	EXPECT(VipDestroyPtag(nic, tag), VIP_INVALID_PARAMETER);
	EXPECT(VipRegisterMem(nic, r->block, 4096, &m, &new_mem), VIP_INVALID_PARAMETER);
	EXPECT(VipDeregisterMem(nic, r->block, mem), VIP_INVALID_PARAMETER);
	EXPECT(VipSetMemAttributes(nic, r->block, mem, &m), VIP_INVALID_PARAMETER);
	EXPECT(VipQueryMem(nic, r->block, mem, &m), VIP_INVALID_PARAMETER);
}

static void use_stale_names(VIP_NIC_HANDLE nic, union address *here)
{
	VIP_CHAR name[64] = "localhost";
	VIP_ULONG room = sizeof(name);

	EXPECT(VipNSInit(nic, NULL), VIP_INVALID_PARAMETER);
	EXPECT(VipNSGetHostByName(nic, name, &here->a, 0), VIP_INVALID_PARAMETER);
	EXPECT(VipNSGetHostByAddr(nic, &here->a, name, &room), VIP_INVALID_PARAMETER);
	EXPECT(VipNSShutdown(nic), VIP_INVALID_PARAMETER);
}

/* 7 */
static void check_stale(struct run *r)
{
	VIP_NIC_HANDLE nic = open_nic(r);
	VIP_PROTECTION_HANDLE tag;
	VIP_AUTODISCOVERY_LIST list;
	union address here, from;
	VIP_VI_ATTRIBUTES a;
	VIP_NIC_ATTRIBUTES attr;
	VIP_MEM_HANDLE mem;
	VIP_CONN_HANDLE conn;
	VIP_CQ_HANDLE cq;
	VIP_VI_HANDLE vi;

	run_nic(r);
	named_address(r, &here, "stale");
	EXPECT(VipCreatePtag(nic, &tag), VIP_SUCCESS);
	EXPECT(VipRegisterMem(nic, r->block, 4096, &(VIP_MEM_ATTRIBUTES){.Ptag = tag}, &mem), VIP_SUCCESS);
	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
	a = run_attr(r);
	EXPECT(VipCloseNic(nic), VIP_INVALID_PARAMETER);
	EXPECT(VipQueryNic(nic, &attr), VIP_INVALID_PARAMETER);
	EXPECT(VipQuerySystemManagementInfo(nic, VIP_SMI_AUTODISCOVERY, &list), VIP_INVALID_PARAMETER);
	EXPECT(VipErrorCallback(nic, r, ignore_error), VIP_INVALID_PARAMETER);
	EXPECT(VipCreateVi(nic, &a, NULL, NULL, &vi), VIP_INVALID_PARAMETER);
	EXPECT(VipCreateCQ(nic, 4, &cq), VIP_INVALID_PARAMETER);
	EXPECT(VipConnectWait(nic, &here.a, 100, &from.a, &a, &conn), VIP_INVALID_PARAMETER);
	use_stale_memory(r, nic, tag, mem);
	use_stale_names(nic, &here);
}

/* 8 */
static void check_close_twice(struct run *r)
{
	VIP_NIC_HANDLE nic = open_nic(r), other = open_nic(r);

	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
	EXPECT(VipCloseNic(nic), VIP_INVALID_PARAMETER);
	EXPECT(VipCloseNic(other), VIP_SUCCESS);
	EXPECT(VipCloseNic(nic), VIP_INVALID_PARAMETER);
}

/* 9 */
static void check_close_connected(struct run *r)
{
	run_vi(r);
	post_recv(r, 0, data(r), 64);
	run_connect(r);
	if (r->side == 1) {
		EXPECT(VipCloseNic(r->nic), choice(r, "K-7"));
		meet(r);
		return;
	}
	await_state(r->vi, VIP_STATE_ERROR);
	await_error(r, VIP_ERROR_CONN_LOST, 1);
	assert_ptr_equal(r->last[VIP_ERROR_CONN_LOST].ViHandle, r->vi);
	assert_ptr_equal(r->last[VIP_ERROR_CONN_LOST].NicHandle, r->nic);
	flushed(r, r->vi, true, 0, 1);
	meet(r);
	run_close(r);
}

/* ---- queries ---- */

/* 10 */
static void check_query(struct run *r)
{
	VIP_NIC_HANDLE nic = open_nic(r);
	uint8_t address[65536];
	VIP_NIC_ATTRIBUTES a;

	memset(&a, 0xa5, sizeof(a));
	EXPECT(VipQueryNic(nic, &a), VIP_SUCCESS);
	assert_non_null(memchr(a.Name, '\0', sizeof(a.Name)));
	assert_int_not_equal(a.NicAddressLen, 0);
	assert_non_null(a.LocalNicAddress);
	memcpy(address, a.LocalNicAddress, a.NicAddressLen);
	assert_true(a.ThreadSafe == VIP_TRUE || a.ThreadSafe == VIP_FALSE);
	assert_int_not_equal(a.MaxDiscriminatorLen, 0);
	assert_int_not_equal(a.MaxRegisterBytes, 0);
	assert_int_not_equal(a.MaxRegisterRegions, 0);
	assert_int_not_equal(a.MaxRegisterBlockBytes, 0);
	assert_int_not_equal(a.MaxVI, 0);
	assert_int_not_equal(a.MaxDescriptorsPerQueue, 0);
	assert_int_not_equal(a.MaxSegmentsPerDesc, 0);
	assert_int_not_equal(a.MaxCQ, 0);
	assert_int_not_equal(a.MaxCQEntries, 0);
	assert_int_not_equal(a.MaxTransferSize, 0);
	assert_int_not_equal(a.NativeMTU, 0);
	assert_int_not_equal(a.MaxPtags, 0);
	EXPECT(VipQueryNic(nic, NULL), VIP_INVALID_PARAMETER);
	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
}

static void same_attributes(const VIP_NIC_ATTRIBUTES *a, const VIP_NIC_ATTRIBUTES *b)
{
	assert_string_equal(a->Name, b->Name);
	assert_int_equal(a->HardwareVersion, b->HardwareVersion);
	assert_int_equal(a->ProviderVersion, b->ProviderVersion);
	assert_int_equal(a->NicAddressLen, b->NicAddressLen);
	assert_memory_equal(a->LocalNicAddress, b->LocalNicAddress, a->NicAddressLen);
	assert_int_equal(a->ThreadSafe, b->ThreadSafe);
	assert_int_equal(a->MaxDiscriminatorLen, b->MaxDiscriminatorLen);
	assert_int_equal(a->MaxRegisterBytes, b->MaxRegisterBytes);
	assert_int_equal(a->MaxRegisterRegions, b->MaxRegisterRegions);
	assert_int_equal(a->MaxRegisterBlockBytes, b->MaxRegisterBlockBytes);
	assert_int_equal(a->MaxVI, b->MaxVI);
	assert_int_equal(a->MaxDescriptorsPerQueue, b->MaxDescriptorsPerQueue);
	assert_int_equal(a->MaxSegmentsPerDesc, b->MaxSegmentsPerDesc);
	assert_int_equal(a->MaxCQ, b->MaxCQ);
	assert_int_equal(a->MaxCQEntries, b->MaxCQEntries);
	assert_int_equal(a->MaxTransferSize, b->MaxTransferSize);
	assert_int_equal(a->NativeMTU, b->NativeMTU);
	assert_int_equal(a->MaxPtags, b->MaxPtags);
	assert_int_equal(a->ReliabilityLevelSupport, b->ReliabilityLevelSupport);
	assert_int_equal(a->RDMAReadSupport, b->RDMAReadSupport);
}

/* 11 */
static void check_query_again(struct run *r)
{
	VIP_NIC_HANDLE nic = open_nic(r), other = open_nic(r);
	VIP_NIC_ATTRIBUTES a, b;

	memset(&a, 0xa5, sizeof(a));
	memset(&b, 0x5a, sizeof(b));
	EXPECT(VipQueryNic(nic, &a), VIP_SUCCESS);
	EXPECT(VipQueryNic(nic, &b), VIP_SUCCESS);
	same_attributes(&a, &b);
	doing("two handles");
	EXPECT(VipQueryNic(other, &b), VIP_SUCCESS);
	same_attributes(&a, &b);
	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
	doing("one handle is closed");
	EXPECT(VipQueryNic(other, &a), VIP_SUCCESS);
	same_attributes(&a, &b);
	EXPECT(VipCloseNic(other), VIP_SUCCESS);
}

/* 12 */
static void check_levels(struct run *r)
{
	const VIP_RELIABILITY_LEVEL all =
		VIP_SERVICE_UNRELIABLE | VIP_SERVICE_RELIABLE_DELIVERY | VIP_SERVICE_RELIABLE_RECEPTION;
	VIP_NIC_HANDLE nic = open_nic(r);
	VIP_NIC_ATTRIBUTES a;

	EXPECT(VipQueryNic(nic, &a), VIP_SUCCESS);
	assert_true(a.ReliabilityLevelSupport & VIP_SERVICE_UNRELIABLE);
	assert_int_equal(a.ReliabilityLevelSupport & ~all, 0);
	assert_int_equal(a.RDMAReadSupport & ~a.ReliabilityLevelSupport, 0);
	assert_int_equal(a.RDMAReadSupport & VIP_SERVICE_UNRELIABLE, 0);
	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
}

/* 13 */
static void check_minimum(struct run *r)
{
	VIP_NIC_HANDLE nic = open_nic(r);
	VIP_NIC_ATTRIBUTES a;

	EXPECT(VipQueryNic(nic, &a), VIP_SUCCESS);
	assert_in_range(a.MaxTransferSize, choice(r, "K-20 transfer"), UINT64_MAX);
	assert_in_range(a.MaxSegmentsPerDesc, choice(r, "K-20 segments"), UINT16_MAX);
	assert_in_range(a.MaxDescriptorsPerQueue, choice(r, "K-20 descriptors"), UINT64_MAX);
	assert_in_range(a.MaxCQEntries, choice(r, "K-20 entries"), UINT64_MAX);
	assert_in_range(a.MaxVI, choice(r, "K-20 vis"), UINT64_MAX);
	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
}

/* The address with a discriminator of ours is one that a request can name.  True: it is the device's own. */
static bool use_address(struct run *r, const VIP_NET_ADDRESS *found)
{
	VIP_VI_ATTRIBUTES seen;
	union address local, remote;
	struct waiter w;
	VIP_RETURN code;
	bool own;

	assert_non_null(found);
	assert_in_range(found->HostAddressLen, 1, r->attr.NicAddressLen);
	assert_in_range(found->DiscriminatorLen, 0, r->attr.MaxDiscriminatorLen);
	named_address(r, &local, "smi");
	named_address(r, &remote, "smi");
	own = found->HostAddressLen == r->attr.NicAddressLen &&
	      memcmp(found->HostAddress, r->attr.LocalNicAddress, found->HostAddressLen) == 0;
	remote.a.HostAddressLen = found->HostAddressLen;
	memcpy(remote.room + 4, found->HostAddress, found->HostAddressLen);
	memcpy(remote.room + 4 + found->HostAddressLen, "smi", 3);
	if (own)
		waiter_start(&w, r, "smi", LONG_MS);
	do
		code = VipConnectRequest(r->vi, &local.a, &remote.a, 300, &seen);
	while (own && code == VIP_NO_MATCH);
	/* of the local one the waiter hears; behind any other there may be nobody */
	if (own || code != VIP_NO_MATCH)
		EXPECT(code, VIP_TIMEOUT);
	if (own)
		EXPECT(waiter_end(&w), VIP_SUCCESS);
	return own;
}

/* 14 */
static void check_discovery(struct run *r)
{
	VIP_AUTODISCOVERY_LIST list;
	VIP_ULONG i, own = 0;

	run_vi(r);
	memset(&list, 0xa5, sizeof(list));
	EXPECT(VipQuerySystemManagementInfo(r->nic, VIP_SMI_AUTODISCOVERY, &list), VIP_SUCCESS);
	note("%lu addresses, %lu hops", list.NumAdAddrs, list.NumberOfHops);
	assert_in_range(list.NumAdAddrs, 1, 1000000);
	assert_non_null(list.ADAddrArray);
	for (i = 0; i < list.NumAdAddrs; i++) {
		doing("using address %lu of %lu", i + 1, list.NumAdAddrs);
		own += use_address(r, list.ADAddrArray[i]);
	}
	doing("looking for LocalNicAddress among them");
	assert_int_equal(own, 1);
	run_close(r);
}

/* 15 */
static void check_discovery_bad(struct run *r)
{
	VIP_NIC_HANDLE nic = open_nic(r);
	VIP_AUTODISCOVERY_LIST list;

	EXPECT(VipQuerySystemManagementInfo(nic, 0, &list), VIP_INVALID_PARAMETER);
	EXPECT(VipQuerySystemManagementInfo(nic, 99, &list), VIP_INVALID_PARAMETER);
	EXPECT(VipQuerySystemManagementInfo(nic, VIP_SMI_AUTODISCOVERY, NULL), VIP_INVALID_PARAMETER);
	EXPECT(VipCloseNic(nic), VIP_SUCCESS);
}

const struct check nic_checks[] = {
	{1, EARLY, 0, "VipOpenNic", "the device opens, and its handle is not NULL", check_open},
	{2, EARLY, 0, "VipOpenNic", "an unknown and an empty name are refused", check_unknown},
	{3, EARLY, 0, "VipOpenNic", "no name, or no place for the handle", check_open_null},
	{4, EARLY, 0, "VipOpenNic", "opened twice: two handles, both usable", check_two_handles},
	{5, EARLY, 0, "VipOpenNic", "objects of one handle are not good for another", check_foreign_objects},
	{6, FUNCTIONAL, 0, "VipOpenNic", "handles end at a limit; closing one makes room", check_open_all},
	{7, EARLY, 0, "VipCloseNic", "a stale handle in every call that takes one", check_stale},
	{8, EARLY, 0, "VipCloseNic", "closing twice", check_close_twice},
	{9, FUNCTIONAL, TWO, "K-7", "closing with a connected VI: the peer loses its connection",
	 check_close_connected},
	{10, EARLY, 0, "VipQueryNic", "all attributes are filled in", check_query},
	{11, EARLY, 0, "VipQueryNic", "asked again, and through another handle: the same", check_query_again},
	{12, EARLY, 0, "VipQueryNic", "Unreliable is supported, and RDMA read nowhere below", check_levels},
	{13, EARLY, 0, "K-20", "attributes are not below the minimum", check_minimum},
	{14, FULL, 0, "VipQuerySystemManagementInfo",
	 "discovered addresses can be used; LocalNicAddress is one", check_discovery},
	{15, FULL, 0, "VipQuerySystemManagementInfo", "unknown kinds, and no place", check_discovery_bad},
	{16, FUNCTIONAL, 0, "VipCreatePtag", "tags are created, differ, and go", check_tags},
	{17, FUNCTIONAL, 0, "VipCreatePtag", "MaxPtags, and one more; destroying one makes room",
	 check_all_tags},
	{18, FUNCTIONAL, 0, "VipDestroyPtag", "a region uses it: refused, and it still works",
	 check_tag_of_region},
	{19, FUNCTIONAL, 0, "VipDestroyPtag", "a VI uses it: refused", check_tag_of_vi},
	{20, FUNCTIONAL, 0, "VipDestroyPtag", "the last user has moved to another tag", check_tag_moved},
	{21, FUNCTIONAL, 0, "VipDestroyPtag", "twice, NULL, and what is no tag", check_tag_bad},
	{22, FUNCTIONAL, 0, "VipCreatePtag", "a destroyed tag is good for nothing", check_tag_destroyed},
	{0},
};
