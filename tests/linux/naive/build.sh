#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# build.sh KERNEL_RELEASE FOLDER [MAKE_ARGUMENT...] - builds via_naive.ko for that kernel, whose
# headers are installed, in FOLDER.  Nothing is written beside the sources.

set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
release=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2
ln -sf -t "$out" "$here"/Kbuild "$here"/*.[ch]
exec make -C "/lib/modules/$release/build" M="$out" "$@"
