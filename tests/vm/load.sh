# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# load.sh - in a guest: what a VIPL device needs before it can be opened.

vm_module=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/kagent-linux/vipka.ko

# vm_load DEVICE [PARAMETER...] - the kernel module, for ka0, if it is not loaded yet
vm_load() {
	[ "$1" != ka0 ] || [ -e /dev/vipka ] || insmod "$vm_module" "${@:2}"
}
