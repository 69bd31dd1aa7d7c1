# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Connections of the kernel module: messages from page to page, errors, peers that do not keep to the rules.
# limit: 400

module=$VM_BIN/../kagent-linux/vipka.ko
[ -e "$module" ] || skip "there is no $module: kagent/linux/build.sh makes it"
[ -e /dev/vipka ] || must "the module loads" insmod "$module"
for test in conn conn_remote conn_hostile; do
	check "$test" timeout -s ABRT 120 "$VM_BIN/../tests/linux/linux_$test"
done
