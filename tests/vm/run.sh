#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# run.sh [-t SECONDS] COMMAND [ARG...] - runs COMMAND in a guest with an RDMA NIC, rxe0:
# as root, with this machine's files (what it writes is gone afterwards), in this folder.
# Its output comes as it is written; its exit status is ours, 124 when SECONDS (300) are
# over, 125 when there is no guest.

set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/guest.sh"

limit=300
while getopts t: option; do
	case $option in
	t) limit=$OPTARG ;;
	*) exit 125 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { echo "usage: ${0##*/} [-t SECONDS] COMMAND [ARG...]" >&2; exit 125; }

trap vm_close EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
vm_open run || exit 125
vm_boot vm1 none
vm_ready vm1 || exit 125
printf 'exec %s\n' "${*@Q}" | vm_start vm1 "$limit"
setpriv --pdeathsig KILL tail -s 0.1 --pid="${vm_pid[vm1]}" -n +1 -f "$vm_run/vm1/out.1" &
shown=$!
vm_await vm1 status.1 $((limit + 30))
case $? in
0) rc=$(cat "$vm_run/vm1/status.1") ;;
1) vm_say "the guest ended before the command did (build/log/vm-run.vm1.console)" && rc=125 ;;
*) vm_say "the guest does not answer any more" && rc=125 ;;
esac
vm_end vm1
wait "$shown"
[ "$rc" = 124 ] && vm_say "$1 took longer than $limit s"
exit "$rc"
