# shellcheck shell=bash disable=SC2154 # peer is pair.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# traffic.sh - for tests on two guests that disturb data on their way: one writes without
# end into the other's memory, so that it always has something unfinished to lose.
#
# By rdma_cm, for there ib_write_bw lets choose how often it tries again.  Its usual 7 times
# are, to rxe, for ever: a QP with retry_cnt 7 never fails for a peer that does not answer.

writer() {
	ib_write_bw -R --retry_count=1 -d rxe0 -x 1 -s 1024 -D 600 "$@" >/tmp/traffic 2>&1 &
	traffic=$!
}

# traffic_to_peer NAME on one, traffic_sink NAME on the other; back when data move
traffic_to_peer() {
	meet "listening $1"
	writer "$peer"
	check "data move" within 20 moves
}
traffic_sink() {
	writer
	within 20 listens_cm
	meet "listening $1"
}

# By rdma_cm no TCP port is listened on.
listens_cm() { rdma resource show cm_id | grep -q 'state LISTEN'; }

sent() { cat /sys/class/infiniband/rxe0/ports/1/hw_counters/sent_pkts; }

# The handshake alone would be a few packets.
moves() {
	local before
	before=$(sent)
	sleep 1
	[ $(($(sent) - before)) -gt 100 ]
}

traffic_fails() {
	check "the writer fails: $1" within 60 grep -q 'Failed status' /tmp/traffic
	grep 'Failed status' /tmp/traffic
}

traffic_end() {
	kill "$traffic" 2>/dev/null
	wait "$traffic" 2>/dev/null
}

port_is() { grep -q "$1" /sys/class/infiniband/rxe0/ports/1/state; }

# cut_writer HOW STATE BACK on one, cut_sink on the other: cuts the link while data move; the port's state while the link is cut that way, and what mends it
cut_writer() {
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
cut_sink() {
	traffic_sink "$1"
	meet "cut $1"
	check "link $1: the port is $2" within 10 port_is "$2"
	meet "mended $1" 120
	check "link $3: the port is ACTIVE" within 20 port_is ACTIVE
	traffic_end
	meet "over $1"
}
