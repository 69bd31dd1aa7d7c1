#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# readme.sh README.md VIPL.7 VIP_INFO - README's table of environment variables and the manual page list those that the
# library knows, in its order; README with their defaults.

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Name and default, "-" when there is none: from rows "| `NAME` | `a`, `b` (default) | ... |".
sed -nE 's/^\| `(VIPL_[A-Z_]+)` \| ([^|]*) \|.*/\1 \2/p' "$1" |
	sed -E 's/^([A-Z_]+) .*`([^`]*)` \(default\).*/\1 \2/; t; s/ .*/ -/' >"$work/readme"

# In an environment of nothing each value is the default.
env -i "$3" -e >"$work/out" || exit 1
sed -nE 's/^(VIPL_[A-Z_]+)=(.*)/\1 \2/p; s/^(VIPL_[A-Z_]+) \(none\)/\1 -/p' "$work/out" >"$work/library"

if ! [ -s "$work/library" ] || ! diff "$work/readme" "$work/library" >"$work/diff"; then
	echo "readme.sh: README's variables (<) and those of the library (>) differ:" >&2
	cat "$work/diff" >&2
	exit 1
fi
sed -nE 's/^\.It Ev (VIPL_[A-Z_]+)$/\1/p' "$2" >"$work/page"
sed 's/ .*//' "$work/library" >"$work/names"
if ! diff "$work/page" "$work/names" >"$work/diff"; then
	echo "readme.sh: the variables of $2 (<) and those of the library (>) differ:" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "readme.sh: $(wc -l <"$work/library") variables"
