#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# accel.sh DIR - how qemu is to run a guest here: kvm or tcg.  That /dev/kvm can be
# opened says little: there are machines on which a guest never starts with it, or qemu
# aborts.  So a guest is started with it once in this machine's uptime, and must be up
# within seconds.  VIP_VM_ACCEL=kvm or tcg decides instead.
#
# DIR has what kernel.sh puts there, and keeps what was found out.

set -u
dir=$1
know=$dir/accel
boot=$(cat /proc/sys/kernel/random/boot_id)

if [ -n "${VIP_VM_ACCEL:-}" ]; then
	echo "$VIP_VM_ACCEL"
	exit
fi
if [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
	echo tcg
	exit
fi
[ "$(sed -n 1p "$know" 2>/dev/null)" = "$boot" ] && {
	sed -n 2p "$know"
	exit
}
said=$(timeout -s KILL 5 qemu-system-x86_64 -accel kvm -cpu host -smp 2 -m 512 -nodefaults -no-user-config \
	-display none -no-reboot -serial stdio -kernel "$dir/kernel/image" -initrd "$dir/initramfs" \
	-append "console=ttyS0 quiet panic=-1 vm=probe" 2>&1 </dev/null)
accel=tcg
[[ $said == *"vm: probe: booted"* ]] && accel=kvm
printf '%s\n' "$boot" "$accel" >"$know.$$" && mv "$know.$$" "$know"
echo "$accel"
