# shellcheck shell=bash disable=SC2034 # the job ends with vm_bad
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Connect, transfer, disconnect, many times: no connection takes as long as one for which
# the kernel has to repeat a request (6 s; 2 s are enough on a machine that does nothing
# else), and the kernel holds no more objects for RDMA than before.
# VM_CYCLES=10000 for as many.
# limit: 7200

tool=${VM_BIN%/bin}/tests/verbs/verbs_cycles
most=5000
if [ ! -x "$tool" ]; then
	skip "verbs_cycles is not built"
fi
before=$(rdma resource show)
echo "before: $before"
if out=$("$tool" "$VM_DEVICE" "${VM_CYCLES:-400}" "$most" 2>&1); then
	grep -v '^vipl:' <<<"$out"
else
	vm_bad=1
	echo "$out"
fi
for counter in /sys/class/infiniband/rxe0/ports/1/cm_tx_retries/re{q,p}; do
	echo "repeated by the kernel, ${counter##*/}: $(cat "$counter")"
done
after=$(rdma resource show)
echo "after:  $after"
check "the device has what it had" test "$before" = "$after"
