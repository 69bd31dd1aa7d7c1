# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# load.sh - in a guest: what a VIPL device needs before it can be opened.

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

# vm_load DEVICE [PARAMETER...] - the kernel module, for ka0, if it is not loaded yet
vm_load() {
	local module
	[ "$1" != ka0 ] || [ -e /dev/vipka ] && return
	module=$(vm_module) || { echo "$module" >&2 && return 1; }
	insmod "$module" "${@:2}"
}
