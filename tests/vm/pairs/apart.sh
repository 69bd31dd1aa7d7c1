# shellcheck shell=bash disable=SC2034,SC2154 # the job ends with vm_bad; peer is pair.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The conformance checks of two processes, one on each guest.  By default those that are quick;
# VM_CHECKS=1-1037 ./vip vm test rxe0 apart runs all of them.
# limit: 3600

quick=9,64,75-77,93,95,107,108

only_here() { skip "emu0's two processes are on one host"; }

vm1() {
	[ "$VM_DEVICE" = emu0 ] && only_here
	"$VM_BIN/vip_conformance" --serve "$VM_DEVICE" >/tmp/serve 2>&1 &
	serve=$!
	must "the server listens" within 30 listens 18470
	meet listening
	wait $serve
	check "the server ends well" test $? = 0 || tail -n 5 /tmp/serve
}
vm2() {
	[ "$VM_DEVICE" = emu0 ] && only_here
	meet listening
	"$VM_BIN/vip_conformance" --seconds 1 --slowdown 10 --with "$peer" \
		--only "${VM_CHECKS:-$quick}" "$VM_DEVICE" 2>&1 || vm_bad=1
}
