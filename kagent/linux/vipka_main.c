// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vipka_main.c - the module: its parameters, the device, loading and unloading.
 */
#include <linux/module.h>

#include "kagent/linux/vipka.h"

static int __init vipka_init(void)
{
	return 0;
}

static void __exit vipka_exit(void)
{
}

module_init(vipka_init);
module_exit(vipka_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("softvia: the kernel agent of the Virtual Interface Architecture");
