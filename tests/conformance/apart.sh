#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# apart.sh VIP_CONFORMANCE DEVICE [OPTION...] - the checks of two processes as on
# two hosts, which are both this one.

tool=$1 device=$2
shift 2
port=$((20000 + $$ % 10000))
"$tool" --serve --port $port "$device" &
server=$!
tries=0
until "$tool" --with localhost --port $port "$@" "$device"; do
	rc=$?
	tries=$((tries + 1))
	# 2: nobody listens there yet
	if [ $rc != 2 ] || [ $tries = 100 ] || ! kill -0 $server; then
		kill $server 2>/dev/null
		exit $rc
	fi
	sleep 0.1
done
wait $server
