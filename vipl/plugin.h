/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plugin.h - a NIC in a shared object of its own, loaded when one of its devices
 * is first asked for: libvipl-verbs.so beside libvipl.so.
 *
 * A plug-in uses the inside of libvipl (nic.h, internal.h), which libvipl.so
 * exports to it under a private version, VIPL_PRIVATE_n, and its one entry has
 * the same n in its name.  n changes with anything that both see.
 */
#ifndef VIPL_PLUGIN_H
#define VIPL_PLUGIN_H

#include "vipl/nic.h"

#define VIP_PLUGIN_VERSION  2
#define VIP_PLUGIN_NAME_(n) vipl_nic_plugin_##n
#define VIP_PLUGIN_NAME(n)  VIP_PLUGIN_NAME_(n)
#define VIP_PLUGIN_ENTRY    VIP_PLUGIN_NAME(VIP_PLUGIN_VERSION)

struct vip_plugin {
	const struct nic_ops *ops;
	/* Is there a device @name?  0, or negative errno with a text in vip_why(). */
	int (*find)(const char *name);
	/*
	 * Call for each device there is; @why: NULL, or why it cannot be used, one line.
	 * @name NULL: why there is none, or none can be found out.
	 */
	void (*list)(void (*row)(void *context, const char *name, const char *why), void *context);
};

typedef const struct vip_plugin *vip_plugin_entry(void);

#endif
