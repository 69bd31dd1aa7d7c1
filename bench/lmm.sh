#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# lmm.sh BIN OUT [--quick] - what registering memory costs: run the programs of
# BIN, print their tables, and leave lmm.csv, lmm.json, lmm-shared.svg and
# lmm-private.svg in OUT.  0: it ran, whether or not targets are met.

set -u
bin=$1
out=$2
shift 2
here=$(dirname "${BASH_SOURCE[0]}")

die() {
	printf 'lmm.sh: %s\n' "$*" >&2
	exit 1
}

room=$(mktemp -d "${TMPDIR:-/tmp}/vip-lmm.XXXXXX") || die "no temporary folder"

# The agent leaves a moment after its last client, and takes its folder along.
finish() {
	local i
	for ((i = 0; i < 50; i++)); do
		[ -e "$room/agent" ] || break
		sleep 0.1
	done
	rm -rf "$room"
}
trap finish EXIT

# An agent of our own: nobody else's registrations are in its tables.
export VIPL_AGENT_DIR=$room/agent

mkdir -p "$out" || die "cannot make $out"
for core in lmm_core lmm_core_merge; do
	"$bin/$core" --json "$@" >"$room/$core.json" || die "$core failed"
done
"$bin/vip_lmm" --csv "$room/lmm.csv" --json "$room/lmm.json" --core "$room/lmm_core.json" \
	--core "$room/lmm_core_merge.json" "$@" || die "vip_lmm failed"
gnuplot -e "csv='$room/lmm.csv'; dir='$room'" "$here/lmm.gnuplot" || die "gnuplot failed"
for plot in "$room"/lmm-shared.svg "$room"/lmm-private.svg; do
	sed -i '1a <!-- SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause -->' "$plot"
done
cp "$room"/lmm.csv "$room"/lmm.json "$room"/lmm-shared.svg "$room"/lmm-private.svg "$out" || die "cannot write to $out"
printf '\nlmm.csv, lmm.json, lmm-shared.svg and lmm-private.svg are in %s\n' "$out"
