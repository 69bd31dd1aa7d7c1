# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# load.sh - in a guest: what a VIPL device needs before it can be opened, and what must be so after a test.

# vm_module - the kernel module, as kagent/linux/build.sh has made it for the guest's kernel
vm_module() {
	local build file
	build=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build
	for file in "$build"/kagent-linux*/vipka.ko; do
		[ "$(modinfo -F vermagic "$file" 2>/dev/null | cut -d ' ' -f 1)" = "$(uname -r)" ] && echo "$file" && return
	done
	echo "$build has no vipka.ko for Linux $(uname -r): kagent/linux/build.sh makes it"
	return 1
}

# vm_watched - are the kernel's checks of memory on that its command line asks for?
vm_watched() {
	local flag
	if grep -qw slub_debug=FZPU /proc/cmdline; then
		for flag in sanity_checks red_zone poison store_user; do
			[ "$(cat /sys/kernel/slab/kmalloc-64/$flag)" = 1 ] || {
				echo "FAIL  slub_debug=FZPU was asked for, and there is no $flag"
				return 1
			}
		done
	fi
	if grep -qw page_poison=1 /proc/cmdline && ! dmesg | grep -q 'CONFIG_PAGE_POISONING is on'; then
		echo "FAIL  page_poison=1 was asked for, and pages are not poisoned"
		return 1
	fi
}

# vm_load DEVICE [PARAMETER...] - the kernel module, for ka0, if it is not loaded yet
vm_load() {
	local module
	vm_watched || return
	[ "$1" != ka0 ] || [ -e /dev/vipka ] && return
	module=$(vm_module) || { echo "$module" >&2 && return 1; }
	insmod "$module" "${@:2}"
}

# pins - as many have been given back as were taken
pins() {
	cat /proc/sys/vm/stat_refresh # each processor counts for itself until it is asked
	awk '/^nr_foll_pin_acquired/ { n = $2 } /^nr_foll_pin_released/ { m = $2 } END { exit n != m }' /proc/vmstat
}

# vm_after DEVICE - after each test: on ka0 no memory has stayed pinned
vm_after() {
	[ "$1" != ka0 ] || check "every pin was given back" within 10 pins
}
