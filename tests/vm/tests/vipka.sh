# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The kernel module as an agent: it loads and unloads, and what it does with processes and their memory.
# It is the module that kagent/linux/build.sh has built for the guest's kernel.
# limit: 600

module=$VM_BIN/../kagent-linux/vipka.ko
[ -e "$module" ] || skip "there is no $module: kagent/linux/build.sh makes it"
[ "$(modinfo -F vermagic "$module" | cut -d ' ' -f 1)" = "$(uname -r)" ] ||
	skip "$module is for another kernel than $(uname -r)"
[ -e /dev/vipka ] && must "the module that another test has left goes" rmmod vipka

# pins - as many have been given back as were taken
pins() {
	cat /proc/sys/vm/stat_refresh # each processor counts for itself until it is asked
	awk '/^nr_foll_pin_acquired/ { n = $2 } /^nr_foll_pin_released/ { m = $2 } END { exit n != m }' /proc/vmstat
}
# loads N - so often, with what little can be done in between
loads() {
	local i
	for ((i = 0; i < $1; i++)); do
		insmod /tmp/vipka.ko && [ -c /dev/vipka ] && rmmod vipka && [ ! -e /dev/vipka ] || return
	done
}
refuses() { ! "$@"; }

# So that pages can be swapped out.
swap() {
	modprobe zram && echo 256M >/sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0
}

must "the module loads" insmod "$module"
check "root alone may use it" [ "$(stat -c %a /dev/vipka)" = 600 ]
swap >/dev/null 2>&1 || echo "note: no swap to be had, so nothing is swapped out"
for test in agent memory process; do
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
