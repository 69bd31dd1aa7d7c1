# shellcheck shell=bash disable=SC2154 # vm_run is guest.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# klog.sh - what a guest's kernel has to say against a job: functions for test.sh.
#
# A stall (soft lockup, RCU, hung task) fails the run like a BUG does.  That an emulated
# processor is slow is no excuse here, for the kernel is told to wait: two minutes, where
# the longest that a busy machine was seen to need is some seconds (guest.sh, vm_cmdline).

vm_klog_bad='(^|[^A-Z])BUG(:| at| [^ ]+ \()|pagealloc: |WARNING:|Oops|[Uu]nable to handle|^general protection fault|Kernel panic|Call Trace|rcu: .*(stall|self-detected)|soft lockup|hard LOCKUP|blocked for more than|refcount_t:|scheduling while atomic|Bad page|list_(add|del) corruption|UBSAN:|KASAN:|KCSAN:|kmemleak|possible .*locking|Out of memory|oom-kill|invoked oom-killer|leaked on module|still referenced'

# vm_klog_part HOST N|beside - the kernel's words on job N, as text; N 0: those before the first job; beside: those
# on no job, before the first, between two of them and after the last
vm_klog_part() {
	awk -v n="$2" '
		/^ / { next }	# further properties of a line
		{ sub(/^[^;]*;/, "") }
		/^vm: begin / { at = $3 }
		n == "beside" ? at <= 0 : at == n + 0 { print }
		/^vm: end / { at = -1 }' "$vm_run/$1/kernel"
}

# vm_look_back HOST - at a guest that has ended: 0 and what there is to say against its end, or against what
# was beside the jobs
vm_look_back() {
	local bad=1
	[ -e "$vm_run/$1/kernel" ] || return 1
	[ -n "${vm_pid[$1]:-}" ] && bad=0 && echo "$1 died beside the jobs:" && tail -n 20 "$vm_run/$1/console"
	{
		vm_klog_part "$1" beside
		cat "$vm_run/$1/console"
	} | grep -E -A 12 "$vm_klog_bad" && bad=0
	return $bad
}

# vm_all_well HOST... - for a script that has ended its guests: false, and the complaints, if there are any
vm_all_well() {
	local host well=0
	for host; do
		cat "$vm_run/$host/kernel" "$vm_run/$host/console" 2>/dev/null | sed 's/^[0-9,]*,[^;]*;//' |
			grep -E -A 12 "$vm_klog_bad" && well=1 && echo "the kernel of $host complains"
	done >&2
	return $well
}

# vm_complaints HOST N - 0 and the lines when there are any
vm_complaints() {
	local i
	# The log comes by another way than the status.
	for ((i = 0; i < 50 && $2 > 0; i++)); do
		grep -q ";vm: end $2\$" "$vm_run/$1/kernel" && break
		vm_alive "$1" || break
		sleep 0.1
	done
	{
		vm_klog_part "$1" "$2"
		vm_alive "$1" || cat "$vm_run/$1/console" # how it ended
	} | grep -E -A 12 "$vm_klog_bad"
}
