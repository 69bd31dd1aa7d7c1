#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# kernel.sh DIR - Debian's kernel and an initramfs for it, in DIR, for guest.sh:
#
#   DIR/kernel/    image, release (its version) and lib/modules, unpacked from
#                  Debian's package; it is not installed, for that runs hooks and
#                  makes an initramfs and boot entries for this machine
#   DIR/initramfs  busybox, guest/* and the modules
#
# What is there and up to date stays.  A newer kernel: remove DIR/kernel.  Which package:
# linux-image-amd64, or linux-image-$VIP_VM_KERNEL.
# Exit status: 77 when the package cannot be had, with the reason on stderr.

set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$1
# The host's files; networks; RDMA.  rxe wants crc32_generic and does not say so.
modules=(virtio_pci 9pnet_virtio 9p overlay dummy virtio_net crc32_generic ib_uverbs rdma_ucm rdma_rxe)

die() {
	printf 'vm: %s\n' "$2" >&2
	exit "$1"
}

# download PACKAGE - the .deb of it, into this folder.
download() {
	apt-get -q download "$1" && return
	# No lists, or old ones.
	[ "$(id -u)" = 0 ] && apt-get -q update && apt-get -q download "$1"
}

# number OFFSET BYTES - from the header of vmlinuz
number() {
	od -An -v -t "u$2" -j "$1" -N "$2" vmlinuz | tr -d ' '
}

# The kernel out of vmlinuz: qemu starts that as well, and an emulated processor need not
# unpack it (5 s).  If it is packed in an unknown way, vmlinuz itself.
unpack_image() {
	local start length unpack
	# Linux's boot protocol: setup_sects, payload_offset, payload_length.
	start=$((($(number 0x1f1 1) + 1) * 512 + $(number 0x248 4)))
	length=$(number 0x24c 4)
	for unpack in "xz -dc" "zstd -dc" "gzip -dc" "lz4 -dc"; do
		# The last four bytes are the size.
		tail -c +$((start + 1)) vmlinuz | head -c $((length - 4)) | $unpack >image 2>/dev/null && break
	done || true
	if [ "$(head -c 4 image | tail -c 3)" = ELF ]; then
		rm vmlinuz
	else
		mv vmlinuz image
	fi
}

# What the package that stands for the newest kernel depends on.
image_of() {
	awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'
}

fetch_kernel() {
	local meta=linux-image-${VIP_VM_KERNEL:-amd64} package work=$dir/kernel.part
	rm -rf "$work"
	mkdir -p "$work"
	cd "$work"
	package=$(apt-cache depends "$meta" 2>/dev/null | image_of)
	if [ -z "$package" ]; then
		download "$meta" || die 77 "apt-get cannot download the package $meta"
		package=$(dpkg-deb -f ./*.deb Depends | tr ',' '\n' | sed 's/^/Depends: /' | image_of)
		rm -f ./*.deb
	fi
	package=${package:-$meta} # which names a release itself
	download "$package" || die 77 "apt-get cannot download the package $package"
	# Without the drivers of what no guest has: two thirds of it.
	dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x --exclude='*/kernel/sound' --exclude='./usr/share' \
		--exclude='*/kernel/drivers/'{gpu,media,scsi,staging,usb,iio,hwmon,input,ata,mtd,nvme,target} \
		--exclude='*/kernel/drivers/net/'{ethernet,wireless,can,usb}
	[ -d lib ] || mv usr/lib lib
	rm -f ./*.deb
	mv boot/vmlinuz-* vmlinuz
	mv boot/config-* config
	rm -rf boot usr
	unpack_image
	basename lib/modules/* >release
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
	cp "$here"/guest/* "$work"
	module_files >"$work/modules/files"
	while read -r file; do
		case $file in
		*.xz) xz -dc "$file" >"$work/modules/$(basename "$file" .xz)" ;;
		*) cp "$file" "$work/modules/" ;;
		esac
		basename "$file" .xz >>"$work/modules/order"
	done <"$work/modules/files"
	[ -s "$work/modules/order" ] || die 1 "no modules for the guest in $dir/kernel"
	(cd "$work" && find . | cpio --quiet -o -H newc) >"$dir/initramfs.part"
	rm -rf "$work"
	mv "$dir/initramfs.part" "$dir/initramfs"
}

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
exec 9>"$dir/lock"
flock 9 # one makes it, others wait
[ -f "$dir/kernel/release" ] || fetch_kernel
inputs=$(sha256sum "$here/kernel.sh" "$here"/guest/* "$(command -v busybox)")
inputs+=$(cat "$dir/kernel/release")
[ "$inputs" = "$(cat "$dir/initramfs.inputs" 2>/dev/null)" ] && [ -f "$dir/initramfs" ] && exit
make_initramfs
printf '%s\n' "$inputs" >"$dir/initramfs.inputs"
