#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# examples.sh CC ROOT - the examples of sections 3 and 7 compile without a warning.

cc=$1
cd "$2" || exit 1
t=$(mktemp) || exit 1
trap 'rm -f "$t"' EXIT
rc=0
n=0
for page in man/man[37]/*.[37]; do
	awk -f tests/man/example.awk "$page" > "$t"
	[ -s "$t" ] || continue
	"$cc" -x c -std=c11 -Wall -Wextra -pedantic -Werror -Iinclude -fsyntax-only "$t" || {
		echo "examples.sh: the example of $page does not compile" >&2
		rc=1
	}
	n=$((n + 1))
done
[ $n -gt 10 ] || {
	echo "examples.sh: only $n examples were found" >&2
	rc=1
}
[ $rc = 0 ] && echo "examples.sh: $n examples"
exit $rc
