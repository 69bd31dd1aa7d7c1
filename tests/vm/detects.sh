#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# detects.sh - that klog.sh finds what a kernel complains of, in the job that it belongs to,
# or beside the jobs, and lets pass what is no complaint.  Needs no guest.

set -u
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/klog.sh"
vm_run=$(mktemp -d) || exit 1
trap 'rm -rf "$vm_run"' EXIT
mkdir "$vm_run/vm1"
vm_alive() { true; }
bad=0

# log LINE - job 2 is the one with LINE
log() {
	printf '%s\n' "6,1,1000,-;Linux version 6.1" "12,2,2000,-;vm: begin 1 first" "4,3,2500,-;d0 speed is unknown" \
		"12,4,3000,-;vm: end 1" "12,5,4000,-;vm: begin 2 second" "4,6,5000,-;$1" " SUBSYSTEM=pci" \
		"12,7,6000,-;vm: end 2" "12,8,7000,-;vm: begin 3 third" "12,9,7000,-;vm: end 3" >"$vm_run/vm1/kernel"
}

: >"$vm_run/vm1/console"
declare -A vm_pid=()

# beside N LINE - after line N of the log
beside() {
	log "infiniband rxe0: added d0"
	sed -i "$1a 4,9,8000,-;$2" "$vm_run/vm1/kernel"
}

# expect STATUS TEXT COMMAND...
expect() {
	local want=$1 text=$2
	shift 2
	"$@" >/dev/null 2>&1
	[ $? = "$want" ] || { echo "$text" && bad=1; }
}

oops="Oops: 0000 [#1] PREEMPT SMP"
for at in 1 4 8 10; do
	beside $at "$oops"
	expect 0 "not found beside the jobs, line $at" vm_look_back vm1
	expect 1 "not found in the whole, line $at" vm_all_well vm1
done
beside 5 "$oops"
expect 1 "what is a job's is found beside the jobs" vm_look_back vm1
expect 1 "a job's complaint is not found in the whole" vm_all_well vm1
log "infiniband rxe0: added d0"
expect 1 "found beside the jobs, where nothing is" vm_look_back vm1
expect 0 "found in the whole, where nothing is" vm_all_well vm1
vm_pid[vm1]=1
expect 0 "a guest that died beside the jobs is not found" vm_look_back vm1
vm_pid=()
echo "[    9.0] $oops" >"$vm_run/vm1/console"
expect 0 "not found on the console" vm_look_back vm1
expect 1 "not found on the console" vm_all_well vm1
: >"$vm_run/vm1/console"
expect 1 "a guest that never was is found" vm_look_back vm2

while IFS= read -r line; do
	log "$line"
	vm_complaints vm1 2 | grep -qF "$line" || { echo "not found: $line" && bad=1; }
	for job in 0 1 3; do
		vm_complaints vm1 $job >/dev/null && echo "found in job $job, too: $line" && bad=1
	done
done <<'END'
BUG: kernel NULL pointer dereference, address: 0000000000000010
kernel BUG at mm/slub.c:4000!
WARNING: CPU: 1 PID: 100 at drivers/infiniband/sw/rxe/rxe_pool.c:100
BUG: unable to handle page fault for address: ffffffffc0000000
Oops: 0000 [#1] PREEMPT SMP
general protection fault, probably for non-canonical address 0xdead000000000108: 0000
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
rcu: INFO: rcu_preempt self-detected stall on CPU
watchdog: BUG: soft lockup - CPU#1 stuck for 134s!
INFO: task ib_send_lat:200 blocked for more than 120 seconds.
refcount_t: underflow; use-after-free.
BUG kmalloc-64 (Tainted: G           OE     ): Poison overwritten
pagealloc: memory corruption
BUG: scheduling while atomic: swapper/0/0/0x00000002
Out of memory: Killed process 100 (vipkad)
unregister_netdevice: waiting for d0 to become free. Usage count = 2: still referenced
Kernel panic - not syncing: Fatal exception
END

while IFS= read -r line; do
	log "$line"
	vm_complaints vm1 2 && echo "found: $line" && bad=1
done <<'END'
infiniband rxe0: added d0
clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable because the skew is too large
hrtimer: interrupt took 34348210 ns
DEBUG: nothing
traps: ib_write_bw[395] general protection fault ip:7f0e638f3472 sp:7ffd3a57d490 error:0 in librdmacm.so.1.3.44.0
END
[ $bad = 0 ] && echo "detects.sh: what a kernel complains of is found, and nothing else"
exit $bad
