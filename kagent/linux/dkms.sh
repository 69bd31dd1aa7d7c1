#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# dkms.sh [FOLDER] - copies what vipka.ko is made of into FOLDER (/usr/src/vipka-VERSION), as
# DKMS wants it, and prints VERSION; docs/kernel-module.md tells what to do with it.

set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
version=$(sed -n 's/^project(softvia VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
[ -n "$version" ] || {
	echo "${0##*/}: no version in $root/CMakeLists.txt" >&2
	exit 1
}
to=${1:-/usr/src/vipka-$version}

mkdir -p "$to"
(cd "$root" && find include kagent nic-emu -type f \( -name '*.[ch]' -o -name Kbuild -o -name build.sh \) -print0 |
	tar -c --null -T -) | tar -x -C "$to"
sed "s/#MODULE_VERSION#/$version/" "$root/kagent/linux/dkms.conf" >"$to/dkms.conf"
echo "$version"
