#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# shell.sh - a shell on this terminal, in a guest with rxe0; when it ends, so does the guest.

set -u
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/guest.sh"

if [ ! -t 0 ] || [ ! -t 1 ]; then
	vm_say "a shell needs a terminal; for one command: tests/vm/run.sh COMMAND"
	exit 1
fi

vm_terminal=yes
vm_guard
before=$(stty -g)
trap 'vm_close; stty "$before"' EXIT
vm_open shell || exit
vm_say "starting a guest ($vm_accel)"
vm_boot vm1 none
vm_ready vm1 || exit 125
read -r rows columns < <(stty size)
vm_start vm1 1000000 <<END
# shell
cd ${PWD@Q} || cd /
stty -F /dev/ttyS1 sane rows $rows columns $columns
export TERM=${TERM@Q}
{
	printf 'rxe0 is up; vm1 is 10.77.0.1 and fd77::1.  What is written is gone afterwards.\r\n'
	PS1='vm1:\w# ' exec setsid -c -w bash --norc -i # what is in ~/.bashrc may take long here
} </dev/ttyS1 >/dev/ttyS1 2>&1
END
vm_finish vm1 1000000 2>/dev/null
rc=$?
vm_end vm1
exit $rc
