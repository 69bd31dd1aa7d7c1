#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# nolibc.sh CC ROOT [--self-test] - kagent/core and nic-emu/core compile without any
# header of libc, and what they call is what a kernel module has as well.
#
# Only asm/, asm-generic/ and linux/ of the system's headers are visible.  An
# undefined symbol must be one of the four that a compiler may emit by itself,
# a function of the host (ka_host_*), or defined by another file of the cores.
# --self-test adds a file that calls malloc and succeeds if that is found.

cc=$1
root=$2
self=0
[ "$3" = --self-test ] && self=1
work=$(mktemp -d /tmp/vipl-nolibc.XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT

mkdir "$work/include"
for dir in asm asm-generic linux; do
	for base in /usr/include "/usr/include/$("$cc" -print-multiarch 2>/dev/null || gcc -print-multiarch)"; do
		[ -d "$base/$dir" ] && [ ! -e "$work/include/$dir" ] && ln -s "$base/$dir" "$work/include/$dir"
	done
done
own=$("$cc" -print-file-name=include) # gcc: the compiler's own headers
[ -e "$own/stdint.h" ] || own=$("$cc" -print-resource-dir)/include # clang

set -- "$root"/kagent/core/*.c "$root"/nic-emu/core/*.c
found=0
for file; do
	[ -e "$file" ] && found=1
done
if [ $found = 0 ]; then
	echo "nolibc: no source found under $root" >&2
	exit 1
fi
if [ $self = 1 ]; then
	echo 'void *malloc(__SIZE_TYPE__); void *ka_leak(void); void *ka_leak(void) { return malloc(3); }' \
		> "$work/leak.c"
	set -- "$@" "$work/leak.c"
fi

n=0
for file; do
	[ -e "$file" ] || continue
	n=$((n + 1))
	"$cc" -std=gnu11 -O2 -w -ffreestanding -fno-stack-protector -fno-pic -nostdinc \
		-isystem "$own" -isystem "$work/include" -I"$root" -I"$root/include" \
		-c "$file" -o "$work/$n-$(basename "$file" .c).o" || exit 1
done

nm --defined-only -g "$work"/*.o | awk 'NF == 3 { print $3 }' | sort -u > "$work/defined"
bad=$(nm -u "$work"/*.o | awk 'NF == 2 && $1 == "U" { print $2 }' | sort -u |
	grep -vxE 'memcpy|memset|memcmp|memmove|ka_host_.*' | grep -vxFf "$work/defined")
if [ $self = 1 ]; then
	[ "$bad" = malloc ] && exit 0
	echo "nolibc: a call of malloc was not found; found: '$bad'" >&2
	exit 1
fi
if [ -n "$bad" ]; then
	echo "nolibc: the cores call what a kernel does not have:" $bad >&2
	exit 1
fi
echo "nolibc: $n files, nothing but ka_host_* and the mem functions"
