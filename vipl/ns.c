/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ns.c - the name service.  This host is known everywhere, under "localhost", its
 * loopback addresses, and its own name, whole or cut at the first dot; others are
 * the NIC's business.
 */
#include "vipl/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void own_name(char *name, size_t n)
{
	if (gethostname(name, n))
		snprintf(name, n, "localhost");
	name[n - 1] = 0;
}

static bool is_own_name(const char *name, char *own, size_t n)
{
	own_name(own, n);
	if (strcmp(name, "localhost") == 0 || strcmp(name, "127.0.0.1") == 0 || strcmp(name, "::1") == 0 ||
	    strcmp(name, own) == 0)
		return true;
	own[strcspn(own, ".")] = 0;
	return strcmp(name, own) == 0;
}

/* 0, or it is known why not: vip_why(). */
static int find_host(struct vip_nic *nic, const char *name, VIP_ULONG index, uint8_t host[NIC_MAX_HOST])
{
	char own[256];
	bool is_own = is_own_name(name, own, sizeof(own));

	if (is_own && index == 0) {
		memcpy(host, nic->attr.LocalNicAddress, nic->attr.NicAddressLen);
		return 0;
	}
	if (nic->ops->ns_name)
		return nic->ops->ns_name(nic, name, is_own, index, host);
	if (is_own)
		vip_why("the host has one address, index 0");
	else
		vip_why("%s reaches this host only: 'localhost' or '%s', not '%.64s'", nic->device, own,
			name);
	return -ENOENT;
}

static int find_name(struct vip_nic *nic, const uint8_t host[NIC_MAX_HOST], char *name, size_t n)
{
	int own = memcmp(host, nic->attr.LocalNicAddress, nic->attr.NicAddressLen) == 0;

	if (!own && !nic->ops->ns_addr) {
		vip_why("not the address of this host");
		return -ENOENT;
	}
	if (!own)
		own = nic->ops->ns_addr(nic, host, name, n);
	if (own == 1)
		own_name(name, n);
	return own < 0 ? own : 0;
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
	uint8_t host[NIC_MAX_HOST];
	int err;

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!name || !addr)
		return vip_bad("no name, or no place for the address");
	if (!ka_load_relaxed(&nic->ns_ready))
		return vip_fail(VIP_ERROR_NAMESERVICE, "VipNSInit was not called");
	if (!vip_nic_enter(nic, h))
		return vip_bad("not a NIC handle");
	err = find_host(nic, name, index, host);
	vip_nic_leave(nic);
	if (err)
		return vip_quiet(VIP_ERROR_NAMESERVICE, NULL);
	addr->HostAddressLen = nic->attr.NicAddressLen;
	memcpy((char *)addr + offsetof(VIP_NET_ADDRESS, HostAddress), host, nic->attr.NicAddressLen);
	return VIP_SUCCESS;
}

VIP_EXPORT VIP_RETURN VipNSGetHostByAddr(VIP_NIC_HANDLE h, VIP_NET_ADDRESS *addr, VIP_CHAR *name,
					 VIP_ULONG *len)
{
	struct vip_nic *nic = vip_nic_find(h);
	uint8_t host[NIC_MAX_HOST];
	VIP_ULONG room;
	char found[256];
	int err;

	if (!nic)
		return vip_bad("not a NIC handle");
	if (!addr || !name || !len)
		return vip_bad("no address, or no place for the name");
	if (!ka_load_relaxed(&nic->ns_ready))
		return vip_fail(VIP_ERROR_NAMESERVICE, "VipNSInit was not called");
	if (addr->HostAddressLen != nic->attr.NicAddressLen)
		return vip_quiet(VIP_ERROR_NAMESERVICE,
				 "HostAddressLen %u: addresses of this NIC have %u bytes",
				 addr->HostAddressLen, nic->attr.NicAddressLen);
	memcpy(host, (char *)addr + offsetof(VIP_NET_ADDRESS, HostAddress), nic->attr.NicAddressLen);
	if (!vip_nic_enter(nic, h))
		return vip_bad("not a NIC handle");
	err = find_name(nic, host, found, sizeof(found));
	vip_nic_leave(nic);
	if (err)
		return vip_quiet(VIP_ERROR_NAMESERVICE, NULL);
	room = *len;
	*len = strlen(found) + 1;
	if (room < *len)
		return vip_quiet(VIP_ERROR_RESOURCE, "the name needs %lu bytes, there is room for %lu", *len,
				 room);
	memcpy(name, found, *len);
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
