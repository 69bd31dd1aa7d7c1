#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# vm_ka0.sh lmm|latency BIN OUT [--quick] - what registering memory costs on the kernel module's device
# beside an RDMA device, or what a message takes beside a pipe, in a virtual machine.  Twice: with two
# emulated processors, and with one whose clock counts instructions, which does not depend on what else
# the machine does.  Prints the tables; leaves lmm-ka0.csv, lmm-ka0.json or latency-ka0.json in OUT, and
# the same with -counted.  0: it ran, whether or not targets are met.

set -u
what=$1
bin=$2
out=$3
quick=${4:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
vm=$here/../tests/vm

die() {
	printf 'vm_ka0.sh: %s\n' "$*" >&2
	exit 1
}

room=$(mktemp -d "${TMPDIR:-/tmp}/vip-ka0.XXXXXX") || die "no temporary folder"
trap 'rm -rf "$room"' EXIT

# in_guest OPTION... -- COMMAND... - its output, but for what follows a line "= NAME": that goes
# to $room/NAME.
in_guest() {
	local options=() rc
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	# shellcheck disable=SC2016 # is for the guest
	"$vm/run.sh" "${options[@]}" bash -c '. "$1/load.sh" && vm_load ka0 && shift && exec "$@"' guest "$vm" "$@" |
		awk -v out="$room/" '/^= / { file = out $2; next } file { print >file; next } { print; fflush() }'
	rc=${PIPESTATUS[0]}
	[ "$rc" = 0 ] || die "it ended with status $rc"
}

# lmm NAME SECONDS OPTION... - seconds of the guest's clock: one that counts instructions is many times slower than ours
lmm() {
	local name=$1 seconds=$2
	shift 2
	# shellcheck disable=SC2016
	in_guest "$@" -- bash -c '"$1/vip_lmm" -d ka0 -t "$2" --csv /tmp/csv --json /tmp/json &&
		echo "= $3.csv" && cat /tmp/csv && echo "= $3.json" && cat /tmp/json' lmm "$bin" "$seconds" "$name"
}

latency() {
	local name=$1 cpus=$2 rounds=$3
	shift 3
	# shellcheck disable=SC2016
	in_guest "$@" -- bash -c 'python3 "$1/ka0.py" --bin "$2" --cpus "$3" --rounds "$4" --json /tmp/json $6 &&
		echo "= $5.json" && cat /tmp/json' latency "$here" "$bin" "$cpus" "$rounds" "$name" "$quick"
}

case $what in
lmm)
	echo "== two emulated processors"
	lmm lmm-ka0 "$([ -n "$quick" ] && echo 2 || echo 60)" -t 900
	echo && echo "== counted instructions"
	lmm lmm-ka0-counted 1 -c -t 900
	;;
latency)
	echo "== two emulated processors"
	latency latency-ka0 0,1 7 -t 1800
	echo && echo "== counted instructions, on one processor"
	latency latency-ka0-counted 0,0 3 -c -t 900
	;;
esac
if ! mkdir -p "$out" || ! cp "$room"/* "$out"; then
	die "cannot write to $out"
fi
printf '\n%sare in %s\n' "$(cd "$room" && printf '%s ' *)" "$out"
