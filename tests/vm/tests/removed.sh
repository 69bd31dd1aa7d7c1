# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The device is removed while two processes connect and talk: no call of theirs hangs,
# and when they have closed their NIC handles nothing keeps it.

[ "$VM_DEVICE" = rxe0 ] || skip "it removes rxe0"
tool=${VM_BIN%/bin}/tests/verbs/verbs_cycles
[ -x "$tool" ] || skip "verbs_cycles is not built"
netdev=$(rdma link show rxe0/1 | sed -n 's/.* netdev \([^ ]*\).*/\1/p')

ended() { ! kill -0 "$1" 2>/dev/null; }
"$tool" rxe0 100000 1e9 >/tmp/removed.out 2>&1 &
talk=$!
talks() { rdma resource show qp | grep -q 'comm verbs_cycles'; }
must "two processes talk" within 60 talks
rdma link delete rxe0 &
delete=$!
check "both processes are told, and end" within 60 ended $talk
check "an error says that the device was removed" grep -q 'device was removed' /tmp/removed.out
check "the device is gone" within 20 ended $delete
grep -v CONN_LOST /tmp/removed.out | head -n 8
wait
# For the tests after this one.
must "it comes back" rdma link add rxe0 type rxe netdev "$netdev"
check "a NIC handle opens it" within 20 "$VM_BIN/vip_info" -d rxe0
