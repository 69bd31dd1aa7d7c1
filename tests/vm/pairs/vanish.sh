# shellcheck shell=bash disable=SC2154 # peer is pair.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The other machine is gone in the middle, as with its power.  What is sent to it fails.

# shellcheck source=tests/vm/traffic.sh
. tests/vm/traffic.sh

vm1() {
	traffic_to_peer vanish
	host kill
	traffic_fails "the peer is gone"
	check "nobody answers" sh -c "! busybox ping -c 1 -W 2 $peer"
	traffic_end
}
vm2() {
	traffic_sink vanish
	sleep 200 # does not come to its end
}
