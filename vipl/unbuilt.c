/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * unbuilt.c - the functions that are not built yet; README.md lists them.
 * Each says so, after its arguments' handle was looked at.
 */
#include "vipl/internal.h"

static VIP_RETURN unbuilt(const void *handle, enum vip_type type, const char *call)
{
	if (!vip_obj_find(handle, type))
		return vip_fail_at(VIP_LOG_INFO, call, VIP_INVALID_PARAMETER,
				   "not a handle of the type wanted");
	return vip_fail_at(VIP_LOG_WARN, call, VIP_ERROR_NOT_SUPPORTED, "not built yet");
}

VIP_EXPORT VIP_RETURN VipConnectPeerRequest(VIP_VI_HANDLE h, VIP_NET_ADDRESS *local, VIP_NET_ADDRESS *remote,
					    VIP_ULONG timeout)
{
	(void)local, (void)remote, (void)timeout;
	return unbuilt(h, VIP_T_VI, __func__);
}

VIP_EXPORT VIP_RETURN VipConnectPeerDone(VIP_VI_HANDLE h, VIP_VI_ATTRIBUTES *attr)
{
	(void)attr;
	return unbuilt(h, VIP_T_VI, __func__);
}

VIP_EXPORT VIP_RETURN VipConnectPeerWait(VIP_VI_HANDLE h, VIP_VI_ATTRIBUTES *attr)
{
	(void)attr;
	return unbuilt(h, VIP_T_VI, __func__);
}
