# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Processes that are killed while they register, connect and transfer: the others learn of it, and nothing
# of the dead is left.  VM_CYCLES=1000 for as many kills, VM_SEED=7 for other moments.
# limit: 7200

# shellcheck source=tests/vm/module.sh
. tests/vm/module.sh
storm linux_kills 4 40
