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

VIP_EXPORT VIP_RETURN VipSendNotify(VIP_VI_HANDLE h, VIP_PVOID context, VIP_VI_CALLBACK handler)
{
	(void)context, (void)handler;
	return unbuilt(h, VIP_T_VI, __func__);
}

VIP_EXPORT VIP_RETURN VipRecvNotify(VIP_VI_HANDLE h, VIP_PVOID context, VIP_VI_CALLBACK handler)
{
	(void)context, (void)handler;
	return unbuilt(h, VIP_T_VI, __func__);
}

VIP_EXPORT VIP_RETURN VipCQNotify(VIP_CQ_HANDLE h, VIP_PVOID context, VIP_CQ_CALLBACK handler)
{
	(void)context, (void)handler;
	return unbuilt(h, VIP_T_CQ, __func__);
}

VIP_EXPORT VIP_RETURN VipResizeCQ(VIP_CQ_HANDLE h, VIP_ULONG entries)
{
	(void)entries;
	return unbuilt(h, VIP_T_CQ, __func__);
}

VIP_EXPORT VIP_RETURN VipQuerySystemManagementInfo(VIP_NIC_HANDLE h, VIP_ULONG type, VIP_PVOID info)
{
	(void)type, (void)info;
	return unbuilt(h, VIP_T_NIC, __func__);
}
