#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# demo.sh - the demo on two guests over rxe0: A and B, who share a segment, on vm1, and C, who sends a
# file to them, on vm2.  What both say comes in one stream, the host's name before each line.
# Exit status: 0 all is well, 1 something is not, 77 there can be no guests here, 125 none came up.

set -u
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/guest.sh"
# shellcheck source=tests/vm/klog.sh
. "$vm_here/klog.sh"
limit=200

# job COMMAND - what a guest is to do
job() {
	cat <<-END
		# demo
		cd ${vm_root@Q} || exit
		export VM_BIN=build/bin VM_TEST=demo VIPL_AGENT_DIR=/tmp/agent
		. tests/vm/check.sh
		. tests/vm/pair.sh
		. tests/vm/demo_apart.sh
		$1
	END
}

# stream HOST - what it says, as it comes
stream() {
	setpriv --pdeathsig KILL tail -s 0.1 --pid="${vm_pid[$1]}" -n +1 -f "$vm_run/$1/out.1" 2>/dev/null |
		sed -u "s/^/$1  /"
}

vm_guard
vm_open demo || exit
vm_say "starting two guests ($vm_accel), which a network joins"
for host in vm1 vm2; do
	vm_boot $host link
done
for host in vm1 vm2; do
	vm_ready $host || exit 125
done
job "receive_demo --device rxe0" | vm_start vm1 $limit
job "head -c 4194311 /dev/urandom >/tmp/file; send_demo --device rxe0 /tmp/file" | vm_start vm2 $limit
for host in vm1 vm2; do
	stream $host &
done
rc=0
for host in vm1 vm2; do
	vm_finish $host $limit || rc=1
done
for host in vm1 vm2; do
	vm_end $host
done
wait
vm_all_well vm1 vm2 || rc=1
exit $rc
