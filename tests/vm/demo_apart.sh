# shellcheck shell=bash disable=SC2154 # peer is pair.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# demo_apart.sh - the demo on two guests, for a test and for showing it: receive_demo on one, send_demo on
# the other, each with the options of the program, the latter with a file.

receive_demo() {
	local receiver
	"$VM_BIN/shared_receive" "$@" --receive &
	receiver=$!
	within 60 listens 18471 || return
	meet receives
	wait $receiver
}
send_demo() {
	meet receives
	"$VM_BIN/shared_receive" --to "$peer" "$@"
}
