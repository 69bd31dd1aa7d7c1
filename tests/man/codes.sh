#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# codes.sh ROOT [--self-test] - the return codes that the pages list are those
# of codes.txt, and those that the sources can give.  --self-test changes copies
# of a page, of codes.txt and of the sources, and wants each change found.

here=$(cd "$(dirname "$0")" && pwd)

# Of the tree below the current directory.
compare() {
	LC_ALL=C awk -f "$here/codes.awk" tests/man/codes.txt vipl/*.[ch] nic-*/*.[ch] nic-*/core/*.[ch] \
		kagent/core/*.[ch] kagent/client/*.[ch] man/man3/Vip*.3
}

cd "$1" || exit 1
if [ "$2" != --self-test ]; then
	compare
	exit
fi

room=$(mktemp -d) || exit 1
trap 'rm -rf "$room"' EXIT
root=$(pwd)
n=0
rc=0

# changed FILE SED-EXPRESSION WANTED-TEXT
changed() {
	rm -rf "${room:?}/"*
	mkdir "$room/tests" && cp -R "$root"/vipl "$root"/nic-* "$root"/kagent "$root"/man "$room" &&
		cp -R "$root/tests/man" "$room/tests" && cd "$room" || exit 1
	cp "$1" before
	sed "$2" before > "$1"
	n=$((n + 1))
	if cmp -s before "$1"; then
		echo "codes.sh: '$2' changes nothing in $1: give the self-test another place" >&2
		rc=1
	elif compare > out; then
		echo "codes.sh: '$2' in $1 was not found" >&2
		rc=1
	elif ! grep -q "$3" out; then
		echo "codes.sh: '$2' in $1: '$3' was wanted, and this was said:" >&2
		cat out >&2
		rc=1
	fi
}

changed man/man3/VipCQWait.3 '/^\.It Dv VIP_TIMEOUT/d' 'VipCQWait.3 does not list VIP_TIMEOUT'
changed man/man3/VipCQDone.3 's/^\.It Dv VIP_NOT_DONE/.It Dv VIP_TIMEOUT/' 'VipCQDone.3 lists VIP_TIMEOUT'
changed tests/man/codes.txt 's/^\(VipConnectAccept .*\) VIP_INVALID_QOS/\1/' 'VipConnectAccept can return VIP_INVALID_QOS'
changed tests/man/codes.txt 's/^VipQueryVi .*/& VIP_INVALID_STATE/' 'VipQueryVi cannot return VIP_INVALID_STATE'
# a code of the function itself; of a macro; of a function that it calls
changed vipl/nic.c 's/no place for the attributes");/&\n\tif (h == attr)\n\t\treturn VIP_INVALID_QOS;/' \
	'VipQueryNic can return VIP_INVALID_QOS'
changed vipl/internal.h 's/vip_quiet(VIP_INVALID_PARAMETER,/vip_quiet(VIP_REJECT,/' 'VipCloseNic can return VIP_REJECT'
changed vipl/vi.c 's/vip_fail(VIP_INVALID_RDMAREAD,/vip_fail(VIP_INVALID_MTU,/' \
	'VipSetViAttributes cannot return VIP_INVALID_RDMAREAD'
# an errno of the agent; of its events; of the NIC; what the table makes of it
changed kagent/core/vi.c 's/ka_fail(rep, -ENOSPC, "the NIC handle has %u protection/ka_fail(rep, -EISCONN, "/' \
	'VipCreatePtag can return VIP_INVALID_STATE'
changed kagent/core/conn.c 's/fail_request(core, r, -ETIMEDOUT)/fail_request(core, r, -EMSGSIZE)/' \
	'VipConnectRequest can return VIP_INVALID_MTU'
changed nic-emu/emu_conn.c 's/? -EPROTO : -errno/? -ENOKEY : -errno/' 'VipConnectAccept can return VIP_INVALID_PTAG'
changed vipl/error.c '/-ECONNREFUSED, VIP_REJECT/d' 'VipConnectRequest cannot return VIP_REJECT'
[ $rc = 0 ] && echo "codes.sh: $n changes were found"
exit $rc
