#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# lint.sh ROOT - mandoc finds nothing wrong with a page, and renders each.

command -v mandoc > /dev/null || {
	echo "SKIP: there is no mandoc (Debian: mandoc)"
	exit 77
}
cd "$1" || exit 1
rc=0
n=0
t=$(mktemp) || exit 1
trap 'rm -f "$t"' EXIT
for page in man/man?/*.?; do
	n=$((n + 1))
	# What is below "warning" is a matter of taste, or of what else is installed.
	mandoc -T lint -W warning "$page" || rc=1
	if ! mandoc -T utf8 "$page" > "$t" || [ ! -s "$t" ] || grep -q ERROR: "$t"; then
		echo "lint.sh: $page is not rendered" >&2
		rc=1
	fi
	# A macro that ends up in the text was misplaced.
	if col -b < "$t" 2> /dev/null | grep -nE '(^|[ (])\.?(Dv|Fa|Xr|Fn|Ev|Va) [A-Z]'; then
		echo "lint.sh: $page shows a macro" >&2
		rc=1
	fi
done
[ $n -gt 0 ] || rc=1
[ $rc = 0 ] && echo "lint.sh: $n pages"
exit $rc
