# shellcheck shell=bash disable=SC2154 # peer is pair.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The other machine is gone in the middle, as with its power: all VIs that lead there are told.
# limit: 500

# shellcheck source=tests/vm/lost.sh
. tests/vm/lost.sh

vm1() {
	hold "$peer"
	host kill
	parted kill
	ends "the NIC handle is closed"
	check "nobody answers" sh -c "! busybox ping -c 1 -W 2 $peer"
}
vm2() {
	hold
	sleep 400 # does not come to its end
}
