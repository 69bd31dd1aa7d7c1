#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# run.sh [-c] [-t SECONDS] COMMAND [ARG...] - runs COMMAND in a guest with an RDMA NIC, rxe0:
# as root, with this machine's files (what it writes is gone afterwards), in this folder.
# Its output comes as it is written; its exit status is ours: 124 when SECONDS (300) are
# over, 125 when the guest fails, 77 when there can be none here.  -c: times are counted
# instructions, of the guest's one processor.

set -u
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/guest.sh"
# shellcheck source=tests/vm/klog.sh
. "$vm_here/klog.sh"

limit=300
while getopts ct: option; do
	case $option in
	c) vm_counted=yes ;;
	t) limit=$OPTARG ;;
	*) exit 125 ;;
	esac
done
shift $((OPTIND - 1))
if [ $# = 0 ] || [[ ! $limit =~ ^[1-9][0-9]*$ ]]; then
	echo "usage: ${0##*/} [-c] [-t SECONDS] COMMAND [ARG...]" >&2
	exit 125
fi

vm_guard
vm_open run || exit
vm_boot vm1 none
vm_ready vm1 || exit 125
printf '# run\ncd %q || exit\nexec %s\n' "$PWD" "${*@Q}" | vm_start vm1 "$limit"
setpriv --pdeathsig KILL tail -s 0.1 --pid="${vm_pid[vm1]}" -n +1 -f "$vm_run/vm1/out.1" 2>/dev/null &
shown=$!
vm_finish vm1 "$limit"
rc=$?
vm_end vm1
wait "$shown"
vm_all_well vm1 || [ "$rc" != 0 ] || rc=1
[ "$rc" = 124 ] && vm_say "$1 took longer than $limit s"
exit "$rc"
