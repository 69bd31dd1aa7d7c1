# shellcheck shell=bash disable=SC2034 # the job ends with vm_bad
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Processes that are killed while they register, connect and transfer: the others learn of it, and nothing
# of the dead is left.  VM_CYCLES=1000 for as many kills, VM_SEED=7 for other moments.
# limit: 7200

# shellcheck source=tests/vm/module.sh
. tests/vm/module.sh

most=$((2 << 20))
kills() {
	"$VM_BIN/../tests/linux/linux_kills" "$@"
}

must "the module loads" insmod "$module"
kills -n 4 >/dev/null 2>&1 # what is made once is there
within 10 pins
echo 3 >/proc/sys/vm/drop_caches
before=$(held)
kills -n "${VM_CYCLES:-40}" -s "${VM_SEED:-1}" || vm_bad=1
check "no memory is missing" within 20 no_more "$before" $most
no_more "$before" $most
check "the module can go" within 10 rmmod vipka
