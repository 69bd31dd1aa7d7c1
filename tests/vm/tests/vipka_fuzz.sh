# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Hostile users of the kernel module: random, mutated and raced calls; afterwards nothing is left.
# VM_CYCLES=10000000 for as many calls, VM_SEED=7 for others.
# limit: 20000

# shellcheck source=tests/vm/module.sh
. tests/vm/module.sh
storm linux_fuzz 2000 100000 mode=0666
