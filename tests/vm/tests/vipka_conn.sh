# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Connections of the kernel module: messages from page to page, errors, peers that do not keep to the rules.
# limit: 1200

# shellcheck source=tests/vm/module.sh
. tests/vm/module.sh

must "the module loads" insmod "$module"
for test in conn conn_remote conn_hostile; do
	check "$test" timeout -s ABRT 900 "$VM_BIN/../tests/linux/linux_$test"
	check "$test: every pin was given back" within 10 pins
done
check "the module can go" rmmod vipka
