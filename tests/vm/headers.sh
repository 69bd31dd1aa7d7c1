#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# headers.sh DIR RELEASE - the headers of Debian's kernel RELEASE, in DIR/RELEASE; prints which folder
# there kagent/linux/build.sh -k wants.  They are unpacked and not installed, for newer ones would bring
# the kernel itself with them.  What is there stays.
#
# Exit status: 77 when a package cannot be had, with the reason on stderr.

set -eu
mkdir -p "$1"
dir=$(cd "$1" && pwd)/$2
name=linux-headers-$2
headers=$dir/usr/src/$name

# One package of it needs the others: -common and linux-kbuild.
parts() {
	apt-cache depends "$name" | awk '$1 == "Depends:" && $2 ~ /^linux-(headers|kbuild)-/ { print $2 }'
}

fetch() {
	local part=$dir.part file
	rm -rf "$part"
	mkdir -p "$part"
	cd "$part"
	# shellcheck disable=SC2046
	apt-get -q download "$name" $(parts) >&2 || {
		echo "vm: apt-get cannot download the package $name and what it needs" >&2
		exit 77
	}
	for file in *.deb; do
		dpkg-deb -x "$file" .
		rm "$file"
	done
	sed -i 's|^include /usr/src|include ..|' "usr/src/$name/Makefile"
	# Of use for debugging information alone, which wants pahole.
	rm -f "usr/src/$name/vmlinux"
	cd "${dir%/*}"
	mv "$part" "$dir"
}

exec 9>"${dir%/*}/lock"
flock 9 # one makes it, others wait
[ -d "$headers" ] || fetch
echo "$headers"
