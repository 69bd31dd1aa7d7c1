/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * devices.c [NAME] - what a program learns of the devices: a line for each that
 * VipxDevices tells of, and how VipOpenNic likes NAME.  First it opens emu0, which
 * shall load nothing of RDMA.
 */
#include <stdio.h>
#include <string.h>

#include "vipl_ext.h"

static int has_rdma_loaded(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[4352];
	int found = 0;

	while (f && fgets(line, sizeof(line), f))
		found |= strstr(line, "libvipl-verbs") || strstr(line, "libibverbs") ||
			 strstr(line, "librdmacm");
	if (f)
		fclose(f);
	return !f || found;
}

static void row(void *context, const char *name, const char *why)
{
	(void)context;
	printf("device %s: %s\n", name ? name : "(none)", why ? why : "usable");
}

int main(int argc, char **argv)
{
	VIP_NIC_HANDLE nic;
	VIP_RETURN r;

	if (VipOpenNic("emu0", &nic) != VIP_SUCCESS || VipCloseNic(nic) != VIP_SUCCESS) {
		fprintf(stderr, "devices: emu0: %s\n", VipxErrorText());
		return 1;
	}
	if (has_rdma_loaded()) {
		fprintf(stderr, "devices: emu0 needs nothing of RDMA, and something is loaded\n");
		return 1;
	}
	if (VipxDevices(NULL, NULL) != VIP_INVALID_PARAMETER || VipxDevices(row, NULL) != VIP_SUCCESS) {
		fprintf(stderr, "devices: VipxDevices: %s\n", VipxErrorText());
		return 1;
	}
	if (argc < 2)
		return 0;
	r = VipOpenNic(argv[1], &nic);
	printf("open %s: %s: %s\n", argv[1], VipxReturnName(r), r ? VipxErrorText() : "");
	return r == VIP_SUCCESS && VipCloseNic(nic) != VIP_SUCCESS;
}
