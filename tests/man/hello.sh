#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# hello.sh PROGRAM - the example of vipl.7: what the client is given, the server prints.

out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
"$1" > "$out" &
server=$!
i=0
# The server may take longer to come than a request is held.
until "$1" "hello, neighbour"; do
	i=$((i + 1))
	[ $i -lt 50 ] && kill -0 $server 2> /dev/null || exit 1
	sleep 0.1
done
wait $server || {
	echo "hello.sh: the server failed" >&2
	exit 1
}
[ "$(cat "$out")" = "hello, neighbour" ] || {
	echo "hello.sh: the server printed '$(cat "$out")'" >&2
	exit 1
}
echo "hello.sh: $(cat "$out")"
