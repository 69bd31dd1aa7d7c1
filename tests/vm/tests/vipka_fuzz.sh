# shellcheck shell=bash disable=SC2034 # the job ends with vm_bad
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Hostile users of the kernel module: random, mutated and raced calls; afterwards nothing is left.
# VM_CYCLES=10000000 for as many calls, VM_SEED=7 for others.
# limit: 20000

# shellcheck source=tests/vm/module.sh
. tests/vm/module.sh

most=$((2 << 20))
fuzz() {
	"$VM_BIN/../tests/linux/linux_fuzz" "$@"
}

must "the module loads" insmod "$module" mode=0666
fuzz -n 2000 >/dev/null 2>&1 # what is made once is there
within 10 pins
echo 3 >/proc/sys/vm/drop_caches
before=$(held)
fuzz -n "${VM_CYCLES:-100000}" -s "${VM_SEED:-1}" || vm_bad=1
check "no memory is missing" within 20 no_more "$before" $most
no_more "$before" $most
check "the module can go" within 10 rmmod vipka
