# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# rxe0 is up, and two processes move data over it.

devinfo=$(ibv_devinfo -d rxe0)
must "rxe0 is there and its port active" grep -q 'state:.*PORT_ACTIVE' <<<"$devinfo"
gids=$(cat /sys/class/infiniband/rxe0/ports/1/gids/{1,2})
check "GID 1 is the IPv4 address" grep -q ":ffff:0a4d:000${VM_HOST#vm}\$" <<<"$gids"
check "GID 2 is the IPv6 address" grep -q "^fd77:.*:000${VM_HOST#vm}\$" <<<"$gids"

# both COMMAND... - as server and as client
both() {
	local rc server
	"$@" &
	server=$!
	within 20 listens 18515 || return
	"$@" "$VM_HOST"
	rc=$?
	wait $server && return $rc
}
# -e: they sleep until there is something, for processors are few.
check "ibv_rc_pingpong, checked" both ibv_rc_pingpong -e -d rxe0 -g 1 -c -n 100
check "ibv_rc_pingpong over the IPv6 GID" both ibv_rc_pingpong -e -d rxe0 -g 2 -c -n 100
check "ib_send_lat" both ib_send_lat -e -d rxe0 -x 1 -n 100
