# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# module.sh - for tests of the kernel module itself: $module, as kagent/linux/build.sh has made it
# for the guest's kernel, and not loaded.

module=$VM_BIN/../kagent-linux/vipka.ko
[ -e "$module" ] || skip "there is no $module: kagent/linux/build.sh makes it"
[ "$(modinfo -F vermagic "$module" | cut -d ' ' -f 1)" = "$(uname -r)" ] ||
	skip "$module is for another kernel than $(uname -r)"
[ -e /dev/vipka ] && must "the module that another test has left goes" rmmod vipka

# pins - as many have been given back as were taken
pins() {
	cat /proc/sys/vm/stat_refresh # each processor counts for itself until it is asked
	awk '/^nr_foll_pin_acquired/ { n = $2 } /^nr_foll_pin_released/ { m = $2 } END { exit n != m }' /proc/vmstat
}

# swap - from now on pages can be swapped out
swap() {
	grep -q /dev/zram /proc/swaps || {
		modprobe zram && echo 256M >/sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0
	} >/dev/null 2>&1
}
