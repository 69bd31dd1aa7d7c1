#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# installed.sh CMAKE BUILD CC - install the build into a prefix, move that somewhere else, and use it there as other
# people's programs do: through pkg-config, statically, through find_package, by dlopen.  Run it by own-agent.sh.

set -u
cmake=$1 build=$2 cc=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d /tmp/vipl-install.XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT

die() {
	echo "installed.sh: $*" >&2
	exit 1
}

# must WHAT command... - its output is shown only when it fails.
must() {
	local what=$1
	shift
	"$@" >"$work/out" 2>&1 || {
		cat "$work/out" >&2
		die "failed: $what"
	}
	echo "ok: $what"
}

unset VIPL_AGENT LD_LIBRARY_PATH LD_PRELOAD PKG_CONFIG_PATH

must "cmake --install" "$cmake" --install "$build" --prefix "$work/first"
mv "$work/first" "$work/moved"
prefix=$work/moved
lib=$(dirname "$(find "$prefix" -name libvipl.so)")
[ -e "$lib/libvipl.so.1" ] || die "no libvipl.so.1 in '$lib'"
vipkad=$(find "$prefix" -name vipkad -type f)

# ---- what is there, and what it says of where it came from ----

for file in include/{vipl,vipl_ext,lmm,lmm_self}.h bin/{vip_info,vip_perf,vip_pingpong,vip_trace,vipstat} \
	share/doc/softvia/LICENSE share/man/man7/vipl.7 share/man/man1/vip_info.1; do
	[ -f "$prefix/$file" ] || die "$file is not installed"
done
for file in "$lib"/lib{vipl,lmm}.{so,a} "$lib/libvipl_trace.so" "$lib"/pkgconfig/{vipl,lmm}.pc; do
	[ -f "$file" ] || die "$file is not installed"
done
for name in $(grep -v '^#' "$here/../header/exports.txt"); do
	[ -f "$prefix/share/man/man3/$name.3" ] || die "$name has no manual page"
done
while read -r file; do
	if readelf -d "$file" 2>/dev/null | grep -E 'RPATH|RUNPATH' | grep -qvF "[\$ORIGIN"; then
		die "$file: $(readelf -d "$file" | grep -E 'RPATH|RUNPATH')"
	fi
done < <(find "$prefix/bin" "$lib" "$vipkad" -type f ! -name '*.a')
for place in "$build" "$work/first"; do
	found=$(grep -rlF "$place" "$lib"/pkgconfig "$lib"/cmake)
	[ -z "$found" ] || die "$place is named in $found"
done
readelf -d "$lib/libvipl.so" | grep -q 'SONAME.*\[libvipl.so.1\]' || die "the soname is not libvipl.so.1"
must "exported names" "$here/../header/exports.sh" "$lib/libvipl.so"

# ---- programs ----

# While it is open, this one and no other agent serves it.
by_ours="readlink /proc/[0-9]*/exe | grep -qxF $vipkad"
export PKG_CONFIG_PATH=$lib/pkgconfig
flags=$(pkg-config --cflags vipl) && libs=$(pkg-config --libs vipl) && static=$(pkg-config --static --libs vipl) ||
	die "pkg-config does not find vipl in $PKG_CONFIG_PATH"

# shellcheck disable=SC2086
{
	must "C, shared, builds" "$cc" -Wall -Wextra -Werror $flags "$here/client.c" -o "$work/shared" $libs
	must "C, shared, runs" env LD_LIBRARY_PATH="$lib" "$work/shared" "$by_ours"

	# In bin/, from where it finds the agent without being told, also when PATH found it.
	must "C, static, builds" "$cc" -Wall -Wextra -Werror $flags "$here/client.c" -o "$prefix/bin/client" \
		${static/-lvipl/-l:libvipl.a}
	readelf -d "$prefix/bin/client" | grep -q 'NEEDED.*libvipl' && die "the static client needs libvipl.so"
	must "C, static, runs" "$prefix/bin/client" "$by_ours"
	must "C, static, runs from PATH" env PATH="$prefix/bin:$PATH" client "$by_ours"
	must "C, static, elsewhere" env VIPL_AGENT="$vipkad" bash -c \
		"cp '$prefix/bin/client' '$work/static' && '$work/static' '$by_ours'"

	if command -v c++ >/dev/null; then
		must "C++, builds" c++ -x c++ -Wall -Wextra -Werror $flags "$here/client.c" -o "$work/plus" $libs
		must "C++, runs" env LD_LIBRARY_PATH="$lib" "$work/plus" "$by_ours"
		must "C++, static, builds" c++ -x c++ -Wall -Wextra -Werror $flags "$here/client.c" -x none \
			-o "$prefix/bin/plus" ${static/-lvipl/-l:libvipl.a}
		must "C++, static, runs" "$prefix/bin/plus" "$by_ours"
	else
		echo "SKIP: C++: there is no c++ here"
	fi

	must "dlopen, builds" "$cc" -Wall -Wextra -Werror "$here/loader.c" -o "$work/loader" -ldl
	names=$(grep '^Vip[A-Z]' "$here/../header/exports.txt")
	must "dlopen, runs" env LD_LIBRARY_PATH="$lib" "$work/loader" libvipl.so.1 $names
	grep -q "^loader: 41 names" "$work/out" || die "the loader looked up: $(cat "$work/out")"
}

mkdir "$work/project"
cp "$here/client.c" "$work/project"
cp "$here/package.cmake" "$work/project/CMakeLists.txt"
must "find_package" "$cmake" -S "$work/project" -B "$work/project/build" -DCMAKE_C_COMPILER="$cc" \
	-DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_FLAGS="-Wall -Wextra -Werror"
must "find_package, builds" "$cmake" --build "$work/project/build"
must "find_package, softvia::vipl" "$work/project/build/client_vipl" "$by_ours"
must "find_package, softvia::vipl_static" env VIPL_AGENT="$vipkad" "$work/project/build/client_vipl_static" "$by_ours"

# ---- the conformance suite, as one builds it for any VIPL that has a vipl.pc ----

must "conformance suite" "$cmake" -S "$here/../conformance" -B "$work/suite" -DCMAKE_C_COMPILER="$cc" \
	-DCMAKE_C_FLAGS=-Werror
must "conformance suite, builds" "$cmake" --build "$work/suite" --parallel 2
readelf -d "$work/suite/vip_conformance" | grep -q 'NEEDED.*libvipl.so.1' || die "the suite does not need libvipl.so.1"
# Tags, NICs and the header, the latter with compilers at run time.
must "conformance suite, runs" env LD_LIBRARY_PATH="$lib" "$work/suite/vip_conformance" --only 1-22,1028,1035 emu0
tail -n 1 "$work/out"

# ---- the tools, from where they lie ----

must "vip_info" "$prefix/bin/vip_info"
must "vip_info --list" "$prefix/bin/vip_info" --list
grep -qx "emu0: usable" "$work/out" || die "vip_info --list: $(cat "$work/out")"
if [ -e "$build/lib/libvipl-verbs.so" ]; then
	[ -f "$lib/libvipl-verbs.so" ] || die "$lib/libvipl-verbs.so is not installed"
	grep -qE 'without libvipl-verbs|cannot open shared object' "$work/out" && die "vip_info --list: $(cat "$work/out")"
	must "private names" "$here/../header/exports.sh" --private "$lib/libvipl.so" "$here/../../vipl/plugin.h" \
		"$lib/libvipl-verbs.so"
fi
must "vip_trace" "$prefix/bin/vip_trace" -o "$work/trace" "$prefix/bin/vip_info"
grep -q ' VipOpenNic(DeviceName="emu0") = VIP_SUCCESS' "$work/trace" || die "no VipOpenNic in the trace"

# ---- a package's build ----

must "DESTDIR" env DESTDIR="$work/dest" "$cmake" --install "$build" --prefix /usr
[ -f "$work/dest/usr/include/vipl.h" ] || die "DESTDIR was not obeyed"
echo "installed.sh: all is well"
