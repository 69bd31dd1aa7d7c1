# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The cable is pulled while data move: both ports show it, who sends is told by an error, and
# when the link is back all works again.

# shellcheck source=tests/vm/traffic.sh
. tests/vm/traffic.sh

vm1() { cut_writer down DOWN up; }
vm2() { cut_sink down DOWN up; }
