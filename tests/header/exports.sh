#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# exports.sh LIBRARY.SO [PATTERN] - the library exports what exports.txt lists and nothing else; with PATTERN of that
# what matches.

want=$(grep -v '^#' "$(dirname "$0")/exports.txt" | sort)
if [ "$(echo "$want" | grep -c '^Vip[A-Z]')" != 41 ]; then
	echo "exports.sh: exports.txt must name the 41 functions of VIPL 1.0" >&2
	exit 1
fi
want=$(echo "$want" | grep "${2:-.}")
# A version node of the symbol map is itself an absolute symbol: not a function.
have=$(nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u)
if [ "$want" != "$have" ]; then
	echo "exports.sh: expected (<) and exported (>) symbols differ:" >&2
	t=$(mktemp)
	echo "$want" > "$t"
	echo "$have" | diff "$t" - >&2
	rm -f "$t"
	exit 1
fi
echo "exports.sh: $(echo "$have" | wc -l) symbols"
