# shellcheck shell=bash disable=SC2154 # peer is pair.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# lost.sh - for tests on two guests that part them: verbs_lost (tests/verbs/lost.c) on each
# holds VIPL connections of all kinds over rxe0, is told what happens, and judges what
# the VIs are told.

# hold [HOST] - without HOST it is the server, and first there
hold() {
	rm -f /tmp/words && mkfifo /tmp/words
	[ $# = 0 ] || meet serves
	VIPL_LOG=info "${VM_BIN%/bin}/tests/verbs/verbs_lost" rxe0 "$@" </tmp/words >/tmp/said 2>&1 &
	holder=$!
	trap 'sed "/VIP_NO_MATCH/d; s/^/      /" /tmp/said' EXIT # who comes first is told so
	exec 9>/tmp/words
	[ $# = 1 ] || meet serves
	must "VIs are connected" within 200 said connected
	meet connected 200
}
said() { grep -q "^$1" /tmp/said; }
tell() { echo "$1" >&9; }

# parted HOW - the other one is gone: what are the VIs told?
parted() {
	tell cut
	must "$1: the VIs are told, and all calls return" within 100 said lost
}

# ends TEXT - the program does, and nothing was wrong
ends() {
	exec 9>&-
	wait "$holder"
	check "$1" test $? = 0
}

port_is() { grep -q "$1" /sys/class/infiniband/rxe0/ports/1/state; }

# parts HOW STATE BACK on one, is_parted on the other: cuts the link; the port's state while it is cut that
# way, and what mends it
parts() {
	hold "$peer"
	host "link $1"
	between "$@"
	host "link $3"
	mended "$@"
}
is_parted() {
	hold
	between "$@"
	mended "$@"
}
between() {
	meet "cut $1"
	parted "$1"
	check "link $1: the port is $2" within 10 port_is "$2"
	meet "lost $1" 120
}
mended() {
	meet "mended $1" 120
	check "link $3: the port is ACTIVE" within 20 port_is ACTIVE
	check "$peer answers again" within 20 busybox ping -c 1 -W 5 "$peer"
	tell mended
	ends "the VIs can be connected again, and data move"
}
