# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The cable is pulled while VIs send, wait, and are connected: both ports show it, all VIs
# are told, and when the link is back they can be connected again.
# limit: 500

# shellcheck source=tests/vm/lost.sh
. tests/vm/lost.sh

vm1() { parts down DOWN up; }
vm2() { is_parted down DOWN up; }
