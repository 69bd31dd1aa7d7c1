# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Packets vanish without a word while data move: the ports show nothing, who sends is told by
# an error, and when packets pass again all works again.

# shellcheck source=tests/vm/traffic.sh
. tests/vm/traffic.sh

vm1() { cut_writer mute ACTIVE on; }
vm2() { cut_sink mute ACTIVE on; }
