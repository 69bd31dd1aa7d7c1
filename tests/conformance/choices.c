/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * choices.c - where the specification leaves a question open: what the suite
 * expects, by default and with --strict.  One edit here corrects it.
 * docs/spec-choices.md tells more of each.
 */
#include "suite.h"

#include <string.h>

static const struct {
	const char *number;
	const char *what;
	int by_default, strict;
} table[] = {
	{"1", "QueryMem and SetMemAttributes take any address inside the region", 1, 1},
	{"2", "a descriptor may have MaxSegmentsPerDesc data segments and an address segment", 1, 1},
	{"3", "Length of a receive that a write with immediate data consumed is the bytes written", 1, 1},
	{"4", "code of a post whose descriptor has a bad place", VIP_SUCCESS, VIP_SUCCESS},
	{"4 break", "a descriptor with a bad place breaks a reliable connection", 1, 1},
	{"5", "a send's Length may differ from the sum of its segments", 1, 0},
	{"6", "code of VipCreateVi with a NULL tag", VIP_SUCCESS, VIP_INVALID_PTAG},
	{"7", "code of VipCloseNic with live objects", VIP_SUCCESS, VIP_SUCCESS},
	{"8 state", "code of VipDestroyVi on a VI that is not Idle", VIP_INVALID_STATE, VIP_INVALID_STATE},
	{"8 queue", "code of VipDestroyVi with a descriptor not dequeued", VIP_ERROR_RESOURCE,
	 VIP_ERROR_RESOURCE},
	{"9", "code of SendWait and RecvWait on a queue with a CQ", VIP_ERROR_RESOURCE, VIP_ERROR_RESOURCE},
	{"9b", "code of SendWait and RecvWait on an empty queue", VIP_DESCRIPTOR_ERROR, VIP_DESCRIPTOR_ERROR},
	{"10", "code of VipDisconnect on an Idle VI", VIP_SUCCESS, VIP_SUCCESS},
	{"11", "code of VipPostSend outside Connected", VIP_SUCCESS, VIP_SUCCESS},
	{"12", "a CQ that overflows loses no entry", 1, 1},
	{"13", "code of VipResizeCQ below the entries queued", VIP_ERROR_RESOURCE, VIP_ERROR_RESOURCE},
	{"14", "code for a region above MaxRegisterBlockBytes", VIP_ERROR_RESOURCE, VIP_ERROR_RESOURCE},
	{"15", "two may wait on one address, first come, first served", 1, 1},
	{"16", "code for NULL memory attributes", VIP_SUCCESS, VIP_INVALID_PARAMETER},
	{"17", "code for registering read-only memory", VIP_SUCCESS, VIP_SUCCESS},
	{"18", "an RDMA write of no bytes: handle and tag are checked, the range is not", 1, 1},
	{"19", "code of SendNotify and RecvNotify on a queue with a CQ", VIP_ERROR_RESOURCE,
	 VIP_ERROR_RESOURCE},
	{"20 transfer", "MaxTransferSize is at least", 32768, 32768},
	{"20 segments", "MaxSegmentsPerDesc is at least", 252, 252},
	{"20 descriptors", "MaxDescriptorsPerQueue is at least", 1024, 1024},
	{"20 entries", "MaxCQEntries is at least", 1024, 1024},
	{"20 vis", "MaxVI is at least", 1024, 1024},
	{"21", "receives stay posted when a connect fails", 1, 1},
	{"22", "code of VipNSGetHostByAddr with little room", VIP_ERROR_RESOURCE, VIP_ERROR_RESOURCE},
	{"24", "RECVQ_EMPTY is raised on Unreliable VIs, too", 1, 1},
	{"25", "a request that finds nobody is held for a moment", 1, 0},
	{"26", "0xFFFFFFFF and all ones are both infinite", 1, 1},
	{"28", "a flushed descriptor has Length 0 and its operation bits", 1, 1},
	{"29", "a handler may call VIPL and is not called beside itself", 1, 1},
	{"30", "a refused RDMA read shows RDMA_PROT at Reliable Delivery", 1, 1},
	{"31", "a peer request may match a client-server wait", 0, 0},
	{"32", "code of a post on a broken connection that the consumer has not seen yet", VIP_SUCCESS,
	 VIP_SUCCESS},
};

int choice(const struct run *r, const char *number)
{
	size_t i;

	if (strncmp(number, "K-", 2) == 0)
		number += 2;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(table[i].number, number) == 0)
			return r->strict ? table[i].strict : table[i].by_default;
	}
	fail_msg("choices.c knows no K-%s", number);
	return -1;
}

bool bad_place_breaks(const struct run *r)
{
	return is_reliable(r) && choice(r, "K-4") == VIP_SUCCESS && choice(r, "K-4 break");
}
