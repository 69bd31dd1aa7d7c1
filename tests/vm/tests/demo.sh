# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The demo: a file into a segment that two processes share.

file=$(mktemp)
head -c 300007 /dev/urandom >"$file"
device=()
[ "$VM_DEVICE" = emu0 ] || device=(--device "$VM_DEVICE")
check "the demo sends a file" "$VM_BIN/shared_receive" "${device[@]}" "$file"
check "vip_pingpong, verified" "$VM_BIN/vip_pingpong" -d "$VM_DEVICE" --local -w -c -n 100
