# shellcheck shell=bash disable=SC2034 # the job ends with vm_bad
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# check.sh - for the tests in a guest: what they say with, and their exit status.
#
#   check TEXT COMMAND...   prints TEXT; a COMMAND that fails fails the test, and it goes on
#   must TEXT COMMAND...    the same, and the test ends there
#   within SECONDS COMMAND...   tries until COMMAND succeeds
#   listens PORT            is there a TCP server?
#   skip REASON             ends the test: it makes no sense here
#
# They have VM_HOST (vm1 or vm2), VM_DEVICE (the VIPL device) and VM_BIN (the programs).

vm_bad=0

check() {
	local text=$1 out rc start=$SECONDS
	shift
	out=$("$@" 2>&1)
	rc=$?
	if [ $rc = 0 ]; then
		echo "ok    $text$([ $((SECONDS - start)) = 0 ] || echo " ($((SECONDS - start)) s)")"
	else
		vm_bad=1
		printf 'FAIL  %s: exit status %s of: %s\n%s\n' "$text" $rc "$*" "$out"
	fi
	return $rc
}

must() {
	check "$@" || exit 1
}

within() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}

# listens PORT - is there a server?
listens() {
	grep -qiE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [^ ]+ 0A " /proc/net/tcp /proc/net/tcp6
}

skip() {
	echo "SKIP: $*"
	exit 77
}
