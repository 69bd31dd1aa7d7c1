# shellcheck shell=bash disable=SC2154 # peer is pair.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The link is cut while data move: who sends is told by an error, and when the link is back
# all works again.  First the cable is pulled, which the ports show; then packets vanish
# without a word.

# shellcheck source=tests/vm/traffic.sh
. tests/vm/traffic.sh

port_is() { grep -q "$1" /sys/class/infiniband/rxe0/ports/1/state; }

# cut HOW STATE BACK - the port's state while the link is cut that way, and what mends it
vm1_cut() {
	traffic_to_peer "$1"
	host "link $1"
	meet "cut $1"
	check "link $1: the port is $2" within 10 port_is "$2"
	traffic_fails "link $1"
	host "link $3"
	meet "mended $1"
	check "link $3: the port is ACTIVE" within 20 port_is ACTIVE
	check "$peer answers again" within 20 busybox ping -c 1 -W 5 "$peer"
	traffic_end
	meet "over $1"
}
vm2_cut() {
	traffic_sink "$1"
	meet "cut $1"
	check "link $1: the port is $2" within 10 port_is "$2"
	meet "mended $1" 120
	check "link $3: the port is ACTIVE" within 20 port_is ACTIVE
	traffic_end
	meet "over $1"
}
both_ways() {
	"$1" down DOWN up
	"$1" mute ACTIVE on
}
vm1() { both_ways vm1_cut; }
vm2() { both_ways vm2_cut; }
