# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# guest.sh - functions that start guests, give them jobs and end them; sourced by what
# runs on the host.  vm_open makes the run's folder, which the guests share (see
# guest/start); vm_close ends what still runs and removes it, keeping the logs.

vm_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
vm_root=$(cd "$vm_here/../.." && pwd)
vm_dir=$vm_root/build/vm
vm_logs=$vm_root/build/log
vm_boot_limit=120 # seconds until a guest must be ready; 7 are usual
declare -A vm_pid vm_job

vm_say() { printf 'vm: %s\n' "$*" >&2; }

# vm_open NAME - the logs will be $vm_logs/vm-NAME.GUEST.{console,kernel}
vm_open() {
	vm_name=$1
	mkdir -p "$vm_logs" || return
	"$vm_here/kernel.sh" "$vm_dir" >"$vm_logs/vm-kernel.log" 2>&1 || {
		tail -n 5 "$vm_logs/vm-kernel.log" >&2
		vm_say "no kernel for the guest (whole output: $vm_logs/vm-kernel.log)"
		return 1
	}
	vm_accel=tcg
	vm_run=$(mktemp -d "${TMPDIR:-/tmp}/vip-vm.XXXXXX") || return
	cp "$vm_here/guest/start" "$vm_run/start"
	printf '%s=%q\n' VM_TREE "$vm_root" VM_CWD "$PWD" VM_MODULES "$vm_dir/kernel/lib/modules" >"$vm_run/env"
}

# vm_boot HOST NET [qemu-option...] - starts a guest; NET: none, or link with a -netdev in the options
vm_boot() {
	local host=$1 net=$2 at=$vm_run/$1
	shift 2
	rm -rf "$at"
	mkdir -p "$at"
	setpriv --pdeathsig KILL qemu-system-x86_64 -accel "$vm_accel" -cpu max -smp 2 -m 1024 \
		-nodefaults -no-user-config -display none -no-reboot -name "$host" \
		-kernel "$vm_dir/kernel/vmlinuz" -initrd "$vm_dir/initramfs" \
		-append "console=ttyS0 quiet panic=-1 oops=panic nokaslr VM_HOST=$host VM_NET=$net" \
		-serial "file:$at/console" \
		-qmp "unix:$at/qmp,server=on,wait=off" \
		-virtfs "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap" \
		-virtfs "local,path=$vm_run,mount_tag=run,security_model=none" "$@" >"$at/qemu" 2>&1 </dev/null &
	vm_pid[$host]=$!
	vm_job[$host]=0
}

# vm_await HOST FILE SECONDS - until the guest has written FILE; 1 when it has ended, 2 when it is too late
vm_await() {
	local end=$((SECONDS + $3))
	until [ -e "$vm_run/$1/$2" ]; do
		kill -0 "${vm_pid[$1]}" 2>/dev/null || { [ -e "$vm_run/$1/$2" ] && return; return 1; }
		[ $SECONDS -lt $end ] || return 2
		sleep 0.1
	done
}

# vm_ready HOST - until it takes jobs
vm_ready() {
	local why
	vm_await "$1" up $vm_boot_limit
	case $? in
	1) vm_say "$1 ended while it started: $(tail -n 3 "$vm_run/$1/qemu" "$vm_run/$1/console" 2>/dev/null)" ;;
	2) vm_say "$1 is not up after $vm_boot_limit s" ;;
	*)
		why=$(cat "$vm_run/$1/up")
		[ "$why" = ready ] && return
		vm_say "$1: $why"
		;;
	esac
	return 1
}

# vm_start HOST SECONDS - hands it the bash script on stdin, which may take so long
vm_start() {
	local n=$((vm_job[$1] + 1)) at=$vm_run/$1
	vm_job[$1]=$n
	echo "$2" >"$at/limit.$n"
	: >"$at/out.$n"
	cat >"$at/job.part" && mv "$at/job.part" "$at/job.$n"
}

# vm_end HOST - lets it end by itself, or makes it
vm_end() {
	local pid=${vm_pid[$1]}
	echo end | vm_start "$1" 0
	timeout 10 tail --pid="$pid" -s 0.1 -f /dev/null
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
}

vm_close() {
	local host pid
	[ -n "${vm_run:-}" ] || return
	for host in "${!vm_pid[@]}"; do
		pid=${vm_pid[$host]}
		kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
		for pid in console kernel; do
			cp "$vm_run/$host/$pid" "$vm_logs/vm-$vm_name.$host.$pid" 2>/dev/null
		done
	done
	rm -rf "$vm_run"
	vm_run=
}
