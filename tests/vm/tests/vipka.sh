# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The kernel module as an agent: it loads and unloads, and what it does with processes and their memory.
# limit: 600

# shellcheck source=tests/vm/module.sh
. tests/vm/module.sh

# loads N - so often, with what little can be done in between
loads() {
	local i
	for ((i = 0; i < $1; i++)); do
		insmod /tmp/vipka.ko && [ -c /dev/vipka ] && rmmod vipka && [ ! -e /dev/vipka ] || return
	done
}
refuses() { ! "$@"; }

must "the module loads" insmod "$module"
check "root alone may use it" [ "$(stat -c %a /dev/vipka)" = 600 ]
swap || echo "note: no swap to be had, so nothing is swapped out"
for test in agent memory gone process; do
	check "$test" timeout -s ABRT 150 "$VM_BIN/../tests/linux/linux_$test"
	check "$test: every pin was given back" pins
done
exec {held}<>/dev/vipka
check "it stays while somebody has it open" refuses rmmod vipka
exec {held}>&-
check "and goes then" rmmod vipka
check "wrong permissions are refused" refuses insmod "$module" mode=0777
must "it loads with mode=0666" insmod "$module" mode=0666
check "everybody may use it then" [ "$(stat -c %a /dev/vipka)" = 666 ]
rmmod vipka
strip -g -o /tmp/vipka.ko "$module" # what is left is read sooner
check "100 times loaded and unloaded" loads 100
