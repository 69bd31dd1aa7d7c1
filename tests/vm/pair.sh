# shellcheck shell=bash disable=SC2154 # VM_TEST is the job's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# pair.sh - for the tests on two guests, beside check.sh.  Such a test has a function for
# each guest, vm1 and vm2; both run at once.
#
#   meet NAME [SECONDS]   waits until the other guest has come to meet NAME as well (60);
#                         by the host's files, so that it works with no link
#   host WORDS            asks the host, who does it at once (test.sh):
#     link down, link up  both ends lose their carrier, as with the cable pulled; or get it back
#     link mute, link on  packets vanish between the two, and neither is told; or pass again
#     kill                the other guest ends as with the power gone

peer=vm2
[ "$VM_HOST" = vm2 ] && peer=vm1

meet() {
	local at=/run/vm/meet/$VM_TEST.$1
	touch "$at.$VM_HOST"
	within "${2:-60}" test -e "$at.$peer" && return
	echo "FAIL  $peer did not come to meet $1"
	exit 1
}

host() {
	local at=/run/vm/$VM_HOST
	rm -f "$at/answer"
	echo "$*" >"$at/ask.part"
	mv "$at/ask.part" "$at/ask"
	within 30 test -e "$at/answer" && [ "$(cat "$at/answer")" = "done" ] && return
	echo "FAIL  the host did not do: $*: $(cat "$at/answer" 2>&1)"
	exit 1
}
