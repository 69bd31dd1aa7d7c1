#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# kernel.sh DIR - Debian's kernel and an initramfs for it, in DIR, for guest.sh:
#
#   DIR/kernel/    vmlinuz, release (its version) and lib/modules, unpacked from
#                  Debian's package; it is not installed, for that runs hooks and
#                  makes an initramfs and boot entries for this machine
#   DIR/initramfs  busybox, guest/init and the modules that reach the host's files
#
# What is there and up to date stays.  A newer kernel: remove DIR/kernel.

set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$1
# What it takes to reach the host's files; all others come from there by modprobe.
modules=(virtio_pci 9pnet_virtio 9p overlay)

die() {
	printf 'vm: %s\n' "$*" >&2
	exit 1
}

# download PACKAGE - the .deb of it, into this folder.
download() {
	apt-get -q download "$1" && return
	# No lists, or old ones.
	[ "$(id -u)" = 0 ] && apt-get -q update && apt-get -q download "$1"
}

fetch_kernel() {
	local meta=linux-image-amd64 package work=$dir/kernel.part
	rm -rf "$work"
	mkdir -p "$work"
	cd "$work"
	package=$(apt-cache depends "$meta" 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }')
	[ -n "$package" ] || { download "$meta" && package=$(dpkg-deb -f ./*.deb Depends | awk '{ print $1 }'); }
	[ -n "$package" ] || die "apt knows no package $meta"
	rm -f ./*.deb
	download "$package" || die "apt-get could not download $package"
	# Without the drivers of what no guest has: two thirds of it.
	dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x --exclude='*/kernel/sound' \
		--exclude='*/kernel/drivers/'{gpu,media,scsi,staging,usb,iio,hwmon,input,ata,mtd,nvme,target} \
		--exclude='*/kernel/drivers/net/'{ethernet,wireless,can,usb} --exclude='./usr'
	rm -f ./*.deb
	mv boot/vmlinuz-* vmlinuz
	mv boot/config-* config
	basename lib/modules/* >release
	rm -rf boot
	depmod -b "$work" "$(cat release)"
	cd "$dir"
	mv "$work" kernel
}

# The files of the modules, each after those that it needs.
module_files() {
	modprobe -d "$dir/kernel" -S "$(cat "$dir/kernel/release")" --show-depends -a "${modules[@]}" |
		awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

make_initramfs() {
	local work=$dir/initramfs.d file
	rm -rf "$work"
	mkdir -p "$work"/{bin,modules,proc,sys,dev,lower,upper,root}
	cp "$(command -v busybox)" "$work/bin/busybox"
	install -m 755 "$here/guest/init" "$work/init"
	module_files | while read -r file; do
		case $file in
		*.xz) xz -dc "$file" >"$work/modules/$(basename "$file" .xz)" ;;
		*) cp "$file" "$work/modules/" ;;
		esac
		basename "$file" .xz >>"$work/modules/order"
	done
	[ -s "$work/modules/order" ] || die "no modules for the guest in $dir/kernel"
	(cd "$work" && find . | cpio --quiet -o -H newc) >"$dir/initramfs.part"
	rm -rf "$work"
	mv "$dir/initramfs.part" "$dir/initramfs"
}

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
exec 9>"$dir/lock"
flock 9 # one makes it, others wait
[ -f "$dir/kernel/release" ] || fetch_kernel
inputs=$(sha256sum "$here/kernel.sh" "$here/guest/init" "$(command -v busybox)" "$dir/kernel/vmlinuz")
[ "$inputs" = "$(cat "$dir/initramfs.inputs" 2>/dev/null)" ] && [ -f "$dir/initramfs" ] && exit
make_initramfs
printf '%s\n' "$inputs" >"$dir/initramfs.inputs"
