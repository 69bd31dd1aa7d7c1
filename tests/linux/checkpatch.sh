#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# checkpatch.sh DIR - the kernel's checkpatch.pl, with all that it has (--strict), over what the module is
# made of.  It comes from Debian's package linux-source, into DIR, where it stays; nothing is installed.
# What is not asked of our files is below, each with its reason.
#
# Exit status: 1 when there is a complaint, 77 when the package cannot be had, with the reason on stderr.

set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

ignored=(
	# .clang-format decides, which does these a little otherwise
	SPACING PARENTHESIS_ALIGNMENT OPEN_ENDED_LINE
	# the texts say the cause, the limit and the remedy: longer than a line
	SPLIT_STRING
	# a = b = NULL says that they are the same
	MULTIPLE_ASSIGNMENTS
	# takes what is written in capitals for a constant, and ours are compared with each other
	CONSTANT_COMPARISON
	# knows one way to spell of two
	TYPO_SPELLING
)
# What is compiled for processes, too, and has no header of the kernel's.
ignored_shared=(
	# so it has C's own types and attributes ...
	PREFER_KERNEL_TYPES PREFER_DEFINED_ATTRIBUTE_MACRO BIT_MACRO
	# ... among them, by a typedef, words that lie anywhere
	NEW_TYPEDEFS
	# house style: SPDX line, field comments of two lines, != NULL for pointers
	SPDX_LICENSE_TAG BLOCK_COMMENT_STYLE COMPARISON_TO_NULL
	# X macros: one list of what is counted
	COMPLEX_MACRO MACRO_ARG_REUSE
	# names that VIPL has given, and the answer to an unknown request
	CAMELCASE ENOSYS
)

fetch() {
	local part=$dir.part package
	rm -rf "$part"
	mkdir -p "$part"
	cd "$part"
	package=$(apt-cache depends linux-source 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }')
	apt-get -q download "${package:=linux-source}" >&2 || {
		echo "apt-get cannot download the package $package, which has checkpatch.pl" >&2
		exit 77
	}
	dpkg-deb --fsys-tarfile ./*.deb | tar -x --to-stdout --wildcards '*.tar.xz' | xz -dc |
		tar -x --strip-components=2 --wildcards '*/scripts/'{checkpatch.pl,spelling.txt,const_structs.checkpatch}
	rm ./*.deb
	cd "${dir%/*}"
	mv "$part" "$dir"
}

# check IGNORED FILE... - in a folder of its own, for it looks for names in include/ and keeps them
check() {
	(cd "$dir" && mkdir -p include && perl checkpatch.pl --root=. --no-tree --strict --terse --show-types --no-summary \
		--max-line-length=110 --ignore "$1" -f "${@:2}")
}

list() {
	local IFS=,
	echo "$*"
}

mkdir -p "$1"
dir=$(cd "$1" && pwd)/checkpatch
[ -e "$dir/checkpatch.pl" ] || (fetch)
bad=0
check "$(list "${ignored[@]}")" "$root"/kagent/linux/*.[ch] "$root"/kagent/linux/libc/*.h || bad=1
check "$(list "${ignored[@]}" "${ignored_shared[@]}")" "$root"/kagent/core/*.[ch] "$root"/nic-emu/core/*.[ch] \
	"$root"/kagent/*.h "$root/include/lmm.h" || bad=1
exit $bad
