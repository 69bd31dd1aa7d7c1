/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * device.h - which device name is which NIC: the software NIC and its names of
 * the VIA era, the same by way of the kernel module, and what a plug-in (plugin.h)
 * has.
 */
#ifndef VIPL_DEVICE_H
#define VIPL_DEVICE_H

#include "vipl/internal.h"

/*
 * The NIC of the device @name, and the device's own name; NULL with the cause in
 * vip_why(): there is none, or it cannot be used.  @agent: the device by which its
 * agent is met (struct ka_agent_at); NULL: that is a process.
 */
const struct nic_ops *vip_device(const char *name, char device[VIP_DEVICE_NAME], const char **agent);
void vip_devices_forked(void);
/* The agent has died, and its NIC handles are marked so: tell the plug-in. */
void vip_devices_agent_dead(struct ka_agent *agent);

#endif
