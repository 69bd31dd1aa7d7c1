# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# module.sh - for tests of the kernel module itself: $module, which is not loaded.

module=$(vm_module) || skip "$module"
[ -e /dev/vipka ] && must "the module that another test has left goes" rmmod vipka

# pins - as many have been given back as were taken
pins() {
	cat /proc/sys/vm/stat_refresh # each processor counts for itself until it is asked
	awk '/^nr_foll_pin_acquired/ { n = $2 } /^nr_foll_pin_released/ { m = $2 } END { exit n != m }' /proc/vmstat
}
