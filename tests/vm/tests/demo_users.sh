# shellcheck shell=bash disable=SC2154 # vm_bad is check.sh's, module is module.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The demo with A, B and C as three users, who meet by the kernel module: A and B share the segment by
# its group, C is a stranger to both.

[ "$VM_DEVICE" = ka0 ] || skip "on ka0 alone processes of different users meet"
# shellcheck source=tests/vm/module.sh
. tests/vm/module.sh
# shellcheck source=tests/vm/users.sh
. tests/vm/users.sh
reach "$VM_BIN"

bytes=300007
head -c $bytes /dev/urandom >/tmp/file
sha=$(sha256sum </tmp/file | cut -d' ' -f1)

demo() { "$VM_BIN/shared_receive" -d ka0 --users ann,bob,cat "$@" /tmp/file; }
refused() { ! demo >/tmp/out 2>/tmp/err && grep -q "$1" /tmp/err; }
has() { tr -d ' \n' </tmp/results | grep -q "$1"; }

must "the module loads, for everybody" insmod "$module" mode=0666 cross_user=1
demo --json >/tmp/results
check "the demo with ann, bob and cat" test $? = 0
for who in A:ann:2001 B:bob:2002 C:cat:2003 P:ann:2001 Q:bob:2002; do
	IFS=: read -r role name uid <<<"$who"
	check "$role is $name, uid $uid" has "\"$role\":{\"name\":\"$name\",\"uid\":$uid}"
done
for who in A B B2 P Q; do
	check "$who has the file" has "\"$who\":\"$sha\""
done
check "it was moved once for A and B" has "\"shared\":$bytes,"
check "and twice for P and Q" has "\"private\":$((2 * bytes))"
check "all is well" has '"ok":true'
[ "$vm_bad" = 0 ] || cat /tmp/results
demo
check "the same for people" test $? = 0
check "nothing stays pinned" within 60 pins
check "the module goes" rmmod vipka

must "the module loads, with users apart" insmod "$module" mode=0666
check "then they are not even started, and it says why" refused "is loaded with cross_user=0"
check "the module goes" rmmod vipka
must "the module loads, for root alone" insmod "$module" cross_user=1
check "then A cannot open the device, and is told why" refused "/dev/vipka may not be opened by uid 2001: its mode is 0600"
check "the module goes" rmmod vipka
