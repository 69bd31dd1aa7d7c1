/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * client.c - a program of somebody else, in C or in C++: it opens a NIC,
 * registers memory, makes a VI, and gives all back.  With an argument it runs
 * that as a command while the NIC is open, and fails when it fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vipl.h>
#include <vipl_ext.h>

static char memory[10000];

static int failed(const char *call)
{
	fprintf(stderr, "client: %s: %s\n", call, VipxErrorText());
	return 1;
}

int main(int argc, char **argv)
{
	VIP_VI_ATTRIBUTES attr;
	VIP_NIC_HANDLE nic;
	VIP_MEM_HANDLE mem;
	VIP_VI_HANDLE vi;

	memset(&attr, 0, sizeof(attr));
	attr.ReliabilityLevel = VIP_SERVICE_RELIABLE_DELIVERY;
	attr.MaxTransferSize = 1000;
	if (VipOpenNic("emu0", &nic) != VIP_SUCCESS)
		return failed("VipOpenNic");
	if (VipRegisterMem(nic, memory, sizeof(memory), NULL, &mem) != VIP_SUCCESS)
		return failed("VipRegisterMem");
	if (VipCreateVi(nic, &attr, NULL, NULL, &vi) != VIP_SUCCESS)
		return failed("VipCreateVi");
	if (argc > 1 && system(argv[1])) {
		fprintf(stderr, "client: not so: %s\n", argv[1]);
		return 1;
	}
	if (VipDestroyVi(vi) != VIP_SUCCESS)
		return failed("VipDestroyVi");
	if (VipDeregisterMem(nic, memory, mem) != VIP_SUCCESS)
		return failed("VipDeregisterMem");
	if (VipCloseNic(nic) != VIP_SUCCESS)
		return failed("VipCloseNic");
	return 0;
}
