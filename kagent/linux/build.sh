#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# build.sh [-r KERNEL_RELEASE] [-k HEADERS] [-o FOLDER] [MAKE_ARGUMENT...] - builds vipka.ko for that
# kernel (the one that runs here), in FOLDER (build/kagent-linux).  Its headers lie in the folder HEADERS,
# or where they are when they are installed.  The sources are linked to FOLDER, so that nothing is written
# beside them.

set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
release=$(uname -r)
out=$root/build/kagent-linux
headers=
while getopts r:k:o: option; do
	case $option in
	r) release=$OPTARG ;;
	k) headers=$OPTARG ;;
	o) out=$OPTARG ;;
	*)
		echo "usage: ${0##*/} [-r KERNEL_RELEASE] [-k HEADERS] [-o FOLDER] [MAKE_ARGUMENT...]" >&2
		exit 1
		;;
	esac
done
shift $((OPTIND - 1))

headers=${headers:-/lib/modules/$release/build}
[ -e "$headers/Makefile" ] || {
	echo "${0##*/}: no headers of kernel $release in $headers (Debian: linux-headers-$release)" >&2
	exit 1
}

folders=(include kagent kagent/core kagent/linux kagent/linux/libc nic-emu/core)
mkdir -p "$out"
out=$(cd "$out" && pwd)
# What was removed from the sources must not be compiled on.
find "$out" -type l -delete
for folder in "${folders[@]}"; do
	mkdir -p "$out/$folder"
	find "$root/$folder" -maxdepth 1 -name '*.[ch]' -exec ln -s -t "$out/$folder" {} +
done
ln -s "$root/kagent/linux/Kbuild" "$out/Kbuild"
exec make -C "$headers" M="$out" "$@"
