#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# exports.sh LIBRARY.SO [PATTERN] - the library exports what exports.txt lists and nothing else; with PATTERN of that
# what matches.
# exports.sh --private LIBRARY.SO HEADER PLUGIN.SO - under its private version, whose number is that of HEADER
# (vipl/plugin.h), it exports what the plug-in takes and nothing else, and the plug-in its entry alone.

t=$(mktemp -d) || exit 1
trap 'rm -rf "$t"' EXIT

# same WANT HAVE TEXT - lists of names, one a line.
same() {
	[ "$1" = "$2" ] && return
	echo "exports.sh: $3 differ:" >&2
	echo "$1" > "$t/want"
	echo "$2" | diff "$t/want" - >&2
	exit 1
}

if [ "$1" = --private ]; then
	n=$(sed -n 's/^#define VIP_PLUGIN_VERSION *//p' "$3")
	have=$(nm -D --defined-only --with-symbol-versions "$2" | sed -n 's/.* \(.*\)@@VIPL_PRIVATE_/\1@/p' | sort)
	want=$(nm -D --undefined-only --with-symbol-versions "$4" | sed -n 's/.* \(.*\)@VIPL_PRIVATE_/\1@/p' | sort)
	if [ -z "$n" ] || [ -z "$have" ] || echo "$have" | grep -qv "@$n\$"; then
		echo "exports.sh: the private version is not VIPL_PRIVATE_$n, with names" >&2
		exit 1
	fi
	same "$want" "$have" "what the plug-in takes (<) and $2 exports under VIPL_PRIVATE_$n (>)"
	same "vipl_nic_plugin_$n" "$(nm -D --defined-only "$4" | awk '{ print $3 }')" "the entry (<) and $4's exports (>)"
	echo "exports.sh: $(echo "$have" | wc -l) private symbols"
	exit
fi

want=$(grep -v '^#' "$(dirname "$0")/exports.txt" | sort)
if [ "$(echo "$want" | grep -c '^Vip[A-Z]')" != 41 ]; then
	echo "exports.sh: exports.txt must name the 41 functions of VIPL 1.0" >&2
	exit 1
fi
want=$(echo "$want" | grep "${2:-.}")
# The private version (inside.h) is not for programs, nor is its node, an absolute symbol.
have=$(nm -D --defined-only --with-symbol-versions "$1" |
	awk '$2 != "A" && $3 !~ /^vip_.*@@VIPL_PRIVATE_/ { print $3 }' | sort -u)
same "$want" "$have" "expected (<) and exported (>) symbols"
echo "exports.sh: $(echo "$have" | wc -l) symbols"
