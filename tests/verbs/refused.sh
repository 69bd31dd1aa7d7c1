#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# refused.sh CC LIBVIPL.SO HEADER DEVICES DEVICES-STATIC - a plug-in that cannot be used is refused with a text that
# says why, and emu0 is as ever.  HEADER: vipl/plugin.h; DEVICES: devices.c, linked with either libvipl.

set -u
cc=$1 lib=$2 header=$3 devices=$4 static=$5
n=$(sed -n 's/^#define VIP_PLUGIN_VERSION *//p' "$header")
work=$(mktemp -d /tmp/vipl-refused.XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
rc=0

# case NAME PROGRAM TEXT - the program sees emu0 and ka0 alone, and the text in its list and in what VipOpenNic says.
case_is() {
	local name=$1 program=$2 text=$3
	LD_LIBRARY_PATH="$work" "$program" rxe0 >"$work/out" 2>&1
	if [ $? = 0 ] && [ "$(wc -l <"$work/out")" = 4 ] && grep -q "^device ka0: " "$work/out" && grep -qx 'device emu0: usable' "$work/out" &&
		grep -q "^device (none): .*$text" "$work/out" &&
		grep -q "^open rxe0: VIP_INVALID_PARAMETER: there is no device 'rxe0' but emu0 and ka0: .*$text" "$work/out"; then
		echo "ok: $name"
		return
	fi
	echo "refused.sh: $name: '$text' was wanted, and this was said:" >&2
	cat "$work/out" >&2
	rc=1
}

# library NAME option... - from standard input.
library() {
	local name=$1
	shift
	"$cc" -x c -shared -fPIC -o "$work/$name" - -x none "$@" || exit 1
}

cp -L "$lib" "$work/libvipl.so.1"
plugin=$work/libvipl-verbs.so

case_is "there is none" "$devices" "this softvia was built or installed without libvipl-verbs.so: .*$plugin"

echo "this is no library" >"$plugin"
case_is "a broken file" "$devices" "$plugin: \(file too short\|invalid ELF header\); libvipl-verbs.so needs libibverbs and librdmacm"

echo 'int vipl_nic_plugin_'$((n + 1))'(void) { return 0; }' | library libvipl-verbs.so
case_is "an entry of another version" "$devices" \
	"undefined symbol: vipl_nic_plugin_$n, not a libvipl-verbs.so of this softvia: install both from one build"

mkdir "$work/other"
echo "VIPL_PRIVATE_$((n + 1)) { global: vip_complete; };" >"$work/other.map"
echo 'void vip_complete(void) { }' | library other/libvipl.so.1 -Wl,-soname,libvipl.so.1 "-Wl,--version-script=$work/other.map"
echo 'void vip_complete(void); void vipl_nic_plugin_'"$n"'(void) { vip_complete(); }' |
	library libvipl-verbs.so -Wl,--no-as-needed "$work/other/libvipl.so.1"
case_is "the inside of another version" "$devices" "version .VIPL_PRIVATE_$((n + 1)). not found"

echo 'void gone(void) { }' | library other/libibverbs.so.77 -Wl,-soname,libibverbs.so.77
echo 'void vipl_nic_plugin_'"$n"'(void) { }' |
	library libvipl-verbs.so -Wl,--no-as-needed "$work/other/libibverbs.so.77"
case_is "a library that it needs is not there" "$devices" \
	"libibverbs.so.77: cannot open shared object file: No such file.*(Debian: libibverbs1 librdmacm1)"

case_is "a program with libvipl.a" "$static" \
	"this program has libvipl linked statically, and libvipl-verbs.so needs the shared library"
exit $rc
