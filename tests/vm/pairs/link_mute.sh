# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Packets vanish without a word while VIs send, wait, and are connected: the ports show
# nothing, all VIs are told, and when packets pass again they can be connected again.
# limit: 500

# shellcheck source=tests/vm/lost.sh
. tests/vm/lost.sh

vm1() { parts mute ACTIVE on; }
vm2() { is_parted mute ACTIVE on; }
