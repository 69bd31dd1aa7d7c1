/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ns.c - the name service of a NIC that reaches one host: this one, under
 * "localhost", its loopback addresses, and its own name, whole or cut at the
 * first dot.
 */
#include "vipl/internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void own_name(char *name, size_t n)
{
	if (gethostname(name, n))
		snprintf(name, n, "localhost");
	name[n - 1] = 0;
}

VIP_EXPORT VIP_RETURN VipNSInit(VIP_NIC_HANDLE h, VIP_PVOID info)
{
	struct vip_nic *nic = vip_nic_find(h);

	(void)info;
	if (!nic)
		return vip_bad("not a NIC handle");
	ka_store_relaxed(&nic->ns_ready, 1);
	return VIP_SUCCESS;
}

VIP_EXPORT VIP_RETURN VipNSGetHostByName(VIP_NIC_HANDLE h, VIP_CHAR *name, VIP_NET_ADDRESS *addr,
					 VIP_ULONG index)
{
	struct vip_nic *nic = vip_nic_find(h);
	char own[256];

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!name || !addr)
		return vip_bad("no name, or no place for the address");
	if (!ka_load_relaxed(&nic->ns_ready))
		return vip_fail(VIP_ERROR_NAMESERVICE, "VipNSInit was not called");
	own_name(own, sizeof(own));
	if (strcmp(name, "localhost") != 0 && strcmp(name, "127.0.0.1") != 0 && strcmp(name, "::1") != 0 &&
	    strcmp(name, own) != 0) {
		own[strcspn(own, ".")] = 0;
		if (strcmp(name, own) != 0)
			return vip_quiet(VIP_ERROR_NAMESERVICE,
					 "%s reaches this host only: 'localhost' or '%s', not '%.64s'",
					 nic->device, own, name);
	}
	if (index != 0)
		return vip_quiet(VIP_ERROR_NAMESERVICE, "the host has one address, index 0");
	addr->HostAddressLen = nic->attr.NicAddressLen;
	memcpy((char *)addr + offsetof(VIP_NET_ADDRESS, HostAddress), nic->attr.LocalNicAddress,
	       nic->attr.NicAddressLen);
	return VIP_SUCCESS;
}

VIP_EXPORT VIP_RETURN VipNSGetHostByAddr(VIP_NIC_HANDLE h, VIP_NET_ADDRESS *addr, VIP_CHAR *name,
					 VIP_ULONG *len)
{
	struct vip_nic *nic = vip_nic_find(h);
	VIP_ULONG room;
	char own[256];

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!addr || !name || !len)
		return vip_bad("no address, or no place for the name");
	if (!ka_load_relaxed(&nic->ns_ready))
		return vip_fail(VIP_ERROR_NAMESERVICE, "VipNSInit was not called");
	if (addr->HostAddressLen != nic->attr.NicAddressLen ||
	    memcmp((char *)addr + offsetof(VIP_NET_ADDRESS, HostAddress), nic->attr.LocalNicAddress,
		   nic->attr.NicAddressLen) != 0)
		return vip_quiet(VIP_ERROR_NAMESERVICE, "not the address of this host");
	own_name(own, sizeof(own));
	room = *len;
	*len = strlen(own) + 1;
	if (room < *len)
		return vip_quiet(VIP_ERROR_RESOURCE, "the name needs %lu bytes, there is room for %lu", *len,
				 room);
	memcpy(name, own, *len);
	return VIP_SUCCESS;
}

VIP_EXPORT VIP_RETURN VipNSShutdown(VIP_NIC_HANDLE h)
{
	struct vip_nic *nic = vip_nic_find(h);

	if (!nic)
		return vip_bad("not a NIC handle");
	ka_store_relaxed(&nic->ns_ready, 0);
	return VIP_SUCCESS;
}
