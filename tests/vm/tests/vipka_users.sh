# shellcheck shell=bash disable=SC2154 # module is module.sh's
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The kernel module and its users: who may open the device, who meets whom, what each may use up, what the
# tools show to whom, and when the module can go.  What is refused is told with its cause and the remedy.
# limit: 1200

# shellcheck source=tests/vm/module.sh
. tests/vm/module.sh
# shellcheck source=tests/vm/users.sh
. tests/vm/users.sh
reach "$VM_BIN"
PATH=$PATH:$VM_BIN
tests=$VM_BIN/../tests/linux

# The outcome of a command goes to /tmp/said.
well() { "$@" >/tmp/said 2>&1; }
refused() { ! "$@" >/tmp/said 2>&1; }
says() {
	local text
	for text; do
		grep -qF -- "$text" /tmp/said || {
			echo "\"$text\" is missing in:"
			cat /tmp/said
			return 1
		}
	done
}
load() { must "the module loads: $*" insmod "$module" "$@"; }
goes() { check "the module goes" rmmod vipka; }
run() { check "$1: $2" timeout -s ABRT 300 "$tests/linux_$1"; }

# ---- nobody may, some may, all may ----

check "without the module ka0 is refused" refused vip_info -d ka0
check "... with what loads it" says "there is no /dev/vipka: the kernel module is not loaded" "'modprobe vipka' loads it"
check "--list goes on" well vip_info --list
check "... and says why ka0 cannot be used" says "ka0: cannot be used: there is no /dev/vipka"

load
check "by default root may" well vip_info -d ka0
check "... and ann may not" refused as ann vip_info -d ka0
check "... which is told with the mode and the remedy" says \
	"/dev/vipka may not be opened by uid 2001: its mode is 0600, its owner uid 0, its group gid 0" "mode=0666" "mode=0660"
check "--list goes on" well as ann vip_info --list
check "... and says it" says "ka0: cannot be used: /dev/vipka may not be opened by uid 2001: its mode is 0600"
goes

load mode=0660
chgrp bob /dev/vipka
check "mode=0660: the group may" well as bob vip_info -d ka0
check "... others may not" refused as ann vip_info -d ka0
check "... and are told" says "uid 2001: its mode is 0660, its owner uid 0, its group gid 2002"
goes

# ---- apart ----

load mode=0666
check "mode=0666: all may" well as ann vip_info -d ka0
check "--list goes on" well as cat vip_info --list
check "... and calls it usable" says "ka0: usable"
run version "a library of another version is refused, and both are named"
run users "two users do not meet"
run limits "memory, descriptors and places are limited, each user by himself"
check "nothing stays pinned" within 60 pins

# keys FILE - names of all that a tool has told, into FILE.keys
keys() { grep -o '"[^"]*":' "$1" | sort -u >"$1.keys" && [ -s "$1.keys" ]; }
same_keys() { keys "$1" && keys "$2" && diff "$1.keys" "$2.keys"; }

# busy DEVICE - two of ann's programs have a connection there, and rest
busy() {
	as ann env VIPL_AGENT_DIR=/tmp/ann vip_pingpong -d "$1" --local -w -n 100000000 >/tmp/pingpong 2>&1 &
	within 60 connected "$1" || cat /tmp/pingpong
	pkill -STOP -u ann vip_pingpong
	connected "$1"
}
tables() { as "$1" env VIPL_AGENT_DIR=/tmp/ann vipstat -d "$2" --all --json; }
connected() { tables ann "$1" | jq -e '[.connections[] | select(.connected)] | length == 2'; }
idle() {
	pkill -KILL -u ann vip_pingpong
	wait
} 2>/dev/null

for device in emu0 ka0; do
	as ann env VIPL_AGENT_DIR=/tmp/ann vip_info -d $device --json >/tmp/info.$device
	vip_info -d $device --json >/tmp/info.root.$device
	check "two programs of ann's are busy on $device" busy $device
	tables ann $device >/tmp/ann.$device
	[ $device = ka0 ] || idle
done
check "vip_info tells of ka0 what it tells of emu0" same_keys /tmp/info.emu0 /tmp/info.ka0
check "... root, too" same_keys /tmp/info.root.emu0 /tmp/info.root.ka0
check "vipstat tells of ka0 what it tells of emu0" same_keys /tmp/ann.emu0 /tmp/ann.ka0

# mine FILE - has it rows of ann's programs?
mine() { grep -q '"vip_pingpong"' "$1"; }
tables root ka0 >/tmp/root.ka0
tables bob ka0 >/tmp/bob.ka0
check "ann sees her programs" mine /tmp/ann.ka0
check "... root does" mine /tmp/root.ka0
check "... bob does not" refused mine /tmp/bob.ka0

# ---- in use ----

check "while ann's programs run the module stays" refused rmmod vipka
check "... for it is in use" says "in use"
mkdir -p "/tmp/root/lib/modules/$(uname -r)"
cp "$module" "/tmp/root/lib/modules/$(uname -r)"
check "depmod" depmod -b /tmp/root
check "modprobe -r is refused as well" refused modprobe -d /tmp/root -r vipka
check "... for it is in use" says "in use"
idle
check "it goes when they have ended" within 60 modprobe -d /tmp/root -r vipka
check "modprobe finds it" modprobe -d /tmp/root vipka mode=0666
check "... and its parameters" [ "$(stat -c %a /dev/vipka)" = 666 ]
exec {held}<>/dev/vipka
check "modprobe -r is refused while somebody has it open" refused modprobe -d /tmp/root -r vipka
check "... for it is in use" says "in use"
exec {held}>&-
check "... and works then" modprobe -d /tmp/root -r vipka
check "... with all of it" [ ! -e /dev/vipka ]

# ---- together ----

load mode=0666 cross_user=1
run users "two users meet, and reach what was registered for them and no more"
for test in conn_remote conn_hostile; do
	SCENE_PEER=2001 run $test "the peer is another user"
done
check "nothing stays pinned" within 60 pins
goes
