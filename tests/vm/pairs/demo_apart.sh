# shellcheck shell=bash disable=SC2154 # vm_bad is check.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The demo on two hosts: what C sends from one, once, two processes of the other see in the segment
# that they share, which is locked, and registered with the device.
# limit: 200

# shellcheck source=tests/vm/demo_apart.sh
. tests/vm/demo_apart.sh

bytes=400007
file() { seq 200000 | head -c $bytes; } # the same on both hosts

has() { tr -d ' \n' </tmp/results | grep -q "$1"; }

vm1() {
	local sha who
	sha=$(file | sha256sum | cut -d' ' -f1)
	receive_demo --device rxe0 --json >/tmp/results
	check "A and B receive" test $? = 0
	for who in A B B2 P Q; do
		check "$who has the file" has "\"$who\":\"$sha\""
	done
	check "C sent it once for A and B" has "\"shared\":$bytes,"
	check "and twice for P and Q" has "\"private\":$((2 * bytes))"
	check "the segment is registered with the device" has '"bytes":4194304}'
	check "all is well" has '"ok":true'
	[ "$vm_bad" = 0 ] || cat /tmp/results
}
vm2() {
	file >/tmp/file
	check "C sends" send_demo --device rxe0 /tmp/file
}
