#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# table.sh [--write] VIP_CONFORMANCE PAGE - the table of checks in PAGE
# (docs/conformance.md) is what the program lists; with --write it becomes that.

write=
if [ "$1" = --write ]; then
	write=yes
	shift
fi
program=$1
page=$2
fresh=$(mktemp) || exit 1
trap 'rm -f "$fresh"' EXIT

# Between the two marks stands what the program prints.
sed '/^<!-- checks -->$/q' "$page" >"$fresh" &&
	"$program" --list --markdown >>"$fresh" &&
	sed -n '/^<!-- end of checks -->$/,$p' "$page" >>"$fresh" || exit 1
if [ "$write" ]; then
	cat "$fresh" >"$page"
elif ! diff "$page" "$fresh"; then
	echo "the table of checks in $page is not what $program lists: run $0 --write $program $page" >&2
	exit 1
fi
