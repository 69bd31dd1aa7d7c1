// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_main.c - the module: its parameters, the device, loading and unloading.
 */
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "kagent/linux/vipka_file.h"

struct workqueue_struct *vipka_wq;

static ushort mode = 0600;
module_param(mode, ushort, 0444);
MODULE_PARM_DESC(mode,
		 "permissions of /dev/vipka, octal (0600: root alone, until somebody decides who may pin "
		 "memory and take part of the agent's tables, which all users share; 0666: everybody)");

bool vipka_cross_user;
module_param_named(cross_user, vipka_cross_user, bool, 0444);
MODULE_PARM_DESC(cross_user, "processes of different users may connect (N: a server does not learn whose "
			     "the process is that asks for a connection)");

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vipka",
	.fops = &vipka_fops,
};

static int __init vipka_init(void)
{
	int err;

	if (mode & ~0666) {
		pr_err("vipka: mode=0%o: only the bits of 0666 can be set\n", mode);
		return -EINVAL;
	}
	device.mode = mode;
	/* Unbound: what waits for one process must not keep others waiting. */
	vipka_wq = alloc_workqueue("vipka", WQ_UNBOUND, 0);
	if (!vipka_wq)
		return -ENOMEM;
	vipka_core_begin();
	err = misc_register(&device);
	if (err)
		destroy_workqueue(vipka_wq);
	return err;
}

static void __exit vipka_exit(void)
{
	misc_deregister(&device);
	vipka_core_end();
	destroy_workqueue(vipka_wq);
}

module_init(vipka_init);
module_exit(vipka_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("softvia: the kernel agent of the Virtual Interface Architecture");
