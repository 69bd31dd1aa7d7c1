# shellcheck shell=bash disable=SC2154 # peer is pair.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# RDMA between the guests: ibv_rc_pingpong over both kinds of address, and ib_send_lat.

# server N COMMAND..., client N COMMAND...
server() {
	local n=$1 pid
	shift
	"$@" >"/tmp/server.$n" 2>&1 &
	pid=$!
	within 20 listens 18515
	meet "listening$n"
	wait $pid
	check "server: $*" test $? = 0
	[ -s "/tmp/server.$n" ] && tail -n 2 "/tmp/server.$n"
	meet "over$n"
}
client() {
	local n=$1
	shift
	meet "listening$n"
	check "client: $*" "$@" "$peer"
	meet "over$n"
}
all() {
	"$1" 1 ibv_rc_pingpong -e -d rxe0 -g 1 -c -n 100
	"$1" 2 ibv_rc_pingpong -e -d rxe0 -g 2 -c -n 100
	"$1" 3 ib_send_lat -e -d rxe0 -x 1 -n 100
}
vm1() { all server; }
vm2() { all client; }
