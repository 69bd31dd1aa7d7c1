# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# guest.sh - functions that start guests, give them jobs and end them; sourced by what
# runs on the host.  vm_open makes the run's folder, which the guests share; vm_close
# ends what still runs and removes it, keeping the logs.  guest/jobs tells how a job is
# handed over: by files in $vm_run/HOST, which is $mine there.
#
# A guest ends with the script that started it, however that ends.

vm_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
vm_root=$(cd "$vm_here/../.." && pwd)
vm_dir=$vm_root/build/vm${VIP_VM_KERNEL:+-$VIP_VM_KERNEL} # what kernel.sh makes
vm_logs=$vm_root/build/log
vm_boot_limit=180 # seconds until a guest must be ready; 10 are usual
declare -A vm_pid=() vm_monitor=()
vm_terminal=no
vm_counted=no # yes: one emulated processor, whose clock goes on by 2 ns with each instruction

# A stall is reported after a minute and more, and the timer's interrupts are taken to work: an emulated
# processor may have to wait long for a real one.
vm_cmdline="console=ttyS0 quiet panic=-1 oops=panic nokaslr mitigations=off tsc=reliable cryptomgr.notests
 no_timer_check printk.devkmsg=on log_buf_len=4M apparmor=0 audit=0 watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 ${VIP_VM_CMDLINE:-}"

vm_say() { printf 'vm: %s\n' "$*" >&2; }

# vm_cannot - 0 and the reason when there can be no guest here
vm_cannot() {
	local program
	[ "$(uname -m)" = x86_64 ] || { echo "guests are x86_64 as yet, and this machine is $(uname -m)" && return; }
	for program in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio depmod:kmod rdma:iproute2 \
		apt-get:apt ibv_rc_pingpong:ibverbs-utils ib_send_lat:perftest; do
		command -v "${program%:*}" >/dev/null || {
			echo "no ${program%:*} (Debian: ${program#*:})"
			return
		}
	done
	ldd "$(command -v busybox)" >/dev/null 2>&1 && echo "busybox is not a static program (Debian: busybox-static)"
}

# The folders of runs that were killed with no chance to remove them.
vm_sweep() {
	local pid
	for pid in "${TMPDIR:-/tmp}"/vip-vm.*/pid; do
		[ -O "$pid" ] && ! kill -0 "$(cat "$pid")" 2>/dev/null && rm -rf "${pid%/pid}"
	done
}

# vm_open NAME - the logs will be build/log/vm-NAME.HOST.{console,kernel,qemu}.
# 77, with the reason, where there can be no guest.
vm_open() {
	local why log=$vm_logs/vm-kernel.log
	vm_name=$1
	mkdir -p "$vm_logs" || return
	why=$(vm_cannot) && {
		vm_say "$why"
		return 77
	}
	[ -f "$vm_dir/kernel/release" ] || vm_say "fetching Debian's kernel"
	"$vm_here/kernel.sh" "$vm_dir" >"$log" 2>&1 || {
		set -- $?
		tail -n 5 "$log" >&2
		vm_say "no kernel for the guest (whole output: $log)"
		return "$1"
	}
	vm_accel=$("$vm_here/accel.sh" "$vm_dir")
	vm_cpu=qemu64
	[ "$vm_accel" = kvm ] && vm_cpu=host
	vm_sweep
	vm_run=$(mktemp -d "${TMPDIR:-/tmp}/vip-vm.XXXXXX") || return
	echo $$ >"$vm_run/pid"
	mkdir "$vm_run/meet"
	printf '%s\n' "$vm_root" "$PWD" | grep '^/tmp/.' | sort -u >"$vm_run/visible"
	echo "$vm_dir/kernel/lib/modules" >"$vm_run/modules"
}

# vm_boot HOST NET - starts a guest; NET: none, or link to the other guest.
# qemu reads commands for vm_tell, or with vm_terminal=yes it has our standard input and
# output for the guest's second serial line.
vm_boot() {
	local host=$1 net=$2 at=$vm_run/$1 other=vm1 fd out options=(-nic none) processors
	processors=(-accel "$vm_accel" -cpu "$vm_cpu" -smp 2)
	[ $vm_counted = yes ] && processors=(-accel tcg -cpu qemu64 -smp 1 -icount shift=1)
	[ "$host" = vm1 ] && other=vm2
	# shellcheck disable=SC2054 # the commas are qemu's
	# Through a hub, so that the wire can be cut without the card being told.
	[ "$net" = link ] && options=(
		-netdev "dgram,id=wire,local.type=unix,local.path=$vm_run/$host.link,remote.type=unix,remote.path=$vm_run/$other.link"
		-netdev hubport,id=hub0,hubid=0,netdev=wire -netdev hubport,id=hub1,hubid=0
		-device "virtio-net-pci,id=nic,netdev=hub1,mac=52:54:00:77:00:0${host#vm},romfile=")
	vm_keep "$host"
	rm -rf "$at" "$vm_run/$host.link"
	mkdir "$at" && mkfifo "$at/monitor" || return
	if [ $vm_terminal = yes ]; then
		exec {fd}<&0 {out}>&1
		options+=(-chardev "stdio,id=terminal,signal=off" -serial chardev:terminal)
	else
		exec {fd}<>"$at/monitor" {out}>"$at/answers"
		options+=(-qmp stdio)
		echo '{"execute": "qmp_capabilities"}' >&"$fd"
	fi
	setpriv --pdeathsig KILL qemu-system-x86_64 "${processors[@]}" -m 1024 \
		-nodefaults -no-user-config -display none -no-reboot -name "$host" \
		-kernel "$vm_dir/kernel/image" -initrd "$vm_dir/initramfs" \
		-append "${vm_cmdline//$'\n'/} VM_HOST=$host VM_NET=$net" -serial "file:$at/console" \
		-virtfs "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap" \
		-virtfs "local,path=$vm_run,mount_tag=run,security_model=none" "${options[@]}" <&"$fd" >&"$out" 2>"$at/qemu" &
	vm_pid[$host]=$!
	exec {out}>&-
	vm_monitor[$host]=$fd
	echo 0 >"$at/jobs"
}

# vm_tell HOST COMMAND - to qemu, in its language QMP; back when it has been done
vm_tell() {
	local answers=$vm_run/$1/answers before i
	before=$(grep -cE '^{"(return|error)"' "$answers")
	printf '%s\n' "$2" >&"${vm_monitor[$1]}"
	for ((i = 0; i < 200; i++)); do
		if [ "$(grep -cE '^{"(return|error)"' "$answers")" -gt "$before" ]; then
			tail -n 1 "$answers" | grep -v '^{"error"' >/dev/null && return
			break
		fi
		sleep 0.05
	done
	vm_say "$1: qemu does not do $2: $(tail -n 1 "$answers")"
	return 1
}

# vm_link HOST NAME true|false
vm_link() {
	vm_tell "$1" '{"execute": "set_link", "arguments": {"name": "'"$2"'", "up": '"$3"'}}'
}

vm_alive() {
	[ -n "${vm_pid[$1]:-}" ] && kill -0 "${vm_pid[$1]}" 2>/dev/null
}

# What else is to be done while a guest is waited for; test.sh has something.
vm_meanwhile() { :; }

# vm_await HOST FILE SECONDS - until the guest has written FILE; 1: it has ended, 2: it is too late
vm_await() {
	local end=$((SECONDS + $3)) file=$vm_run/$1/$2
	until [ -e "$file" ]; do
		vm_meanwhile
		if ! vm_alive "$1"; then
			[ -e "$file" ]
			return
		fi
		[ $SECONDS -lt $end ] || return 2
		sleep 0.1
	done
}

# vm_last_words HOST - what qemu and the kernel said at last
vm_last_words() {
	tail -qn 5 "$vm_run/$1/qemu" "$vm_run/$1/console" 2>/dev/null | sed 's/^/      /' >&2
}

# vm_ready HOST - until it takes jobs
vm_ready() {
	local why
	vm_await "$1" up $vm_boot_limit
	case $? in
	0)
		why=$(cat "$vm_run/$1/up")
		[ "$why" = ready ] && return
		vm_say "$1: $why"
		;;
	1) vm_say "$1 ended while it started:" && vm_last_words "$1" ;;
	2) vm_say "$1 is not up after $vm_boot_limit s:" && vm_last_words "$1" ;;
	esac
	return 1
}

# vm_start HOST SECONDS - hands it the job on stdin, which may take so long
vm_start() {
	local at=$vm_run/$1 n
	n=$(($(cat "$at/jobs") + 1))
	echo $n >"$at/jobs" # a file, for this may be the end of a pipe
	echo "$2" >"$at/limit.$n"
	: >"$at/out.$n"
	cat >"$at/job.part"
	mv "$at/job.part" "$at/job.$n"
}

# vm_finish HOST SECONDS - waits for the job that was started; its exit status, or 125 when
# the guest ended or does not answer
vm_finish() {
	local n
	n=$(cat "$vm_run/$1/jobs")
	vm_await "$1" "status.$n" $(($2 + 60))
	case $? in
	0) return "$(cat "$vm_run/$1/status.$n")" ;;
	1) vm_say "$1 ended in the middle:" ;;
	2) vm_say "$1 does not answer any more:" ;;
	esac
	vm_last_words "$1"
	return 125
}

vm_kill() {
	local fd
	vm_alive "$1" && kill -KILL "${vm_pid[$1]}"
	wait "${vm_pid[$1]}" 2>/dev/null
	fd=${vm_monitor[$1]}
	exec {fd}>&-
	unset "vm_pid[$1]"
}

# vm_end HOST - lets it end by itself, for its logs' sake, or makes it
vm_end() {
	vm_alive "$1" || return
	echo end | vm_start "$1" 0
	timeout 10 tail --pid="${vm_pid[$1]}" -s 0.1 -f /dev/null
	vm_kill "$1"
}

# vm_keep HOST - its logs, where they outlast the run
vm_keep() {
	local part
	for part in console kernel qemu; do
		cat "$vm_run/$1/$part" 2>/dev/null >>"$vm_run/$1.$part"
		[ -s "$vm_run/$1.$part" ] && cp "$vm_run/$1.$part" "$vm_logs/vm-$vm_name.$1.$part"
	done
}

vm_close() {
	local host
	[ -n "${vm_run:-}" ] || return
	for host in "${!vm_pid[@]}"; do
		vm_kill "$host"
	done
	for host in vm1 vm2; do
		vm_keep $host
	done
	rm -rf "$vm_run"
	vm_run=
}

# vm_guard - the traps of a script that has guests
vm_guard() {
	trap vm_close EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}
