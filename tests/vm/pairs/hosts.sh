# shellcheck shell=bash disable=SC2154 # peer is pair.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The guests reach each other, by name and by both kinds of address.

reach() {
	check "$peer is known by name" getent hosts "$peer"
	check "ping by name" busybox ping -c 2 -W 10 "$peer"
	check "ping over IPv4" busybox ping -c 2 -W 10 "10.77.0.${peer#vm}"
	check "ping over IPv6" busybox ping -6 -c 2 -W 10 "fd77::${peer#vm}"
	meet reached
}
vm1() { reach; }
vm2() { reach; }
