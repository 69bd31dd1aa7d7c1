# shellcheck shell=bash disable=SC2034 # the job ends with vm_bad
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The conformance suite, those checks that are quick in an emulated processor: 0.3 s
# at most on emu0.  All of them take half an hour there: VM_CHECKS=1-1037 ./vip vm test.
# limit: 3600

quick=1-3,7,8,10-13,15,16,18-22,24,26,27,32,33,35-40,42-46,48,50-63,66,69,70,72-74,78,82,87-89
quick+=,92,93,96,102,103,105,109-112,117,125,127,128,130,133,136,157,174,176,180,183-185
quick+=,187-192,194,195,1001-1005,1011,1012,1014,1016,1019-1025,1027
out=$("$VM_BIN/vip_conformance" --seconds 1 --slowdown 10 --only "${VM_CHECKS:-$quick}" "$VM_DEVICE" 2>&1)
rc=$?
tail -n 3 <<<"$out"
# Which failed, and why.
[ $rc = 0 ] || { grep -vE '^ok ' <<<"$out"; vm_bad=1; }
