# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Page frames: what is registered keeps them, through all that the kernel does to memory; and the tests that
# say so are seen to fail where memory is locked as it must not be (tests/linux/naive).
# limit: 3600

# shellcheck source=tests/vm/module.sh
. tests/vm/module.sh

naive=$VM_BIN/../kagent-naive/via_naive.ko
twice=$VM_BIN/../tests/linux/linux_twice
[ -e "$naive" ] || skip "there is no $naive: tests/linux/naive/build.sh makes it"

frames() {
	timeout -s ABRT 1800 "$VM_BIN/../tests/linux/linux_frames" >/tmp/frames.out 2>&1
}
# gives STATUS ARGUMENT... - linux_twice does so, and its words are kept
gives() {
	local status=$1 rc
	shift
	timeout -s ABRT 600 "$twice" "$@" >/tmp/twice.out 2>&1
	rc=$?
	cat /tmp/twice.out
	[ $rc = "$status" ]
}

must "there is swap" swap
must "the module loads" insmod "$module"
check "registered memory keeps its frames" frames
grep -E '^(seen|void|note):|SKIPPED \] [a-z]' /tmp/frames.out
# Where there is but one memory node nothing can be moved to another; all else is shown here.
shown() { [ "$(grep '^void:' /tmp/frames.out | grep -vc 'one memory node')" = 0 ]; }
check "beside it frames changed, in each test" shown
check "every pin was given back" pins

# What is still registered is held: the same test for all.
check "ka0 loses nothing by swapping" gives 0 ka0 swap
check "ka0 loses nothing by fork and write" gives 0 ka0 fork
check "every pin was given back" pins
check "the module can go" rmmod vipka

must "the naive NIC loads" insmod "$naive"
check "the naive variant 'flag' holds what is registered as often as deregistered never" gives 0 flag swap kept
check "the naive variant 'flag' loses pages" gives 3 flag swap
check "the naive variant 'mlock' holds what is deregistered never" gives 0 mlock swap kept
check "the naive variant 'mlock' loses pages" gives 3 mlock swap
check "the naive variant 'mlock' loses pages by fork and write, never deregistered" gives 3 mlock fork kept
check "the naive variant 'reference' loses pages by fork and write" gives 3 reference fork
check "the naive NIC can go" rmmod via_naive
check "it has given back every pin" pins
