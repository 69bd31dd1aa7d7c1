# shellcheck shell=bash disable=SC2034 # the job ends with vm_bad
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# module.sh - for tests of the kernel module itself: $module, which is not loaded.

module=$(vm_module) || skip "$module"
[ -e /dev/vipka ] && must "the module that another test has left goes" rmmod vipka

# held - bytes of memory that modules can leave behind, as far as the kernel names them: objects of the
# general caches and those behind files and processes, what vmap() has mapped, shared and unevictable pages
held() {
	local cache
	for cache in /sys/kernel/slab/*/shrink; do
		echo 1 >"$cache" # or what is kept for the next one counts, too
	done 2>/dev/null
	awk 'FILENAME ~ /slabinfo/ && /^(kmalloc-|vmap_area|filp|inode_cache|shmem_inode|dentry|mm_struct|pid|cred|task_struct)/ {
			n += $2 * $4 }
		/^(Shmem|Unevictable|Mlocked):/ { n += $2 * 1024 }
		END { print n + 0 }' /proc/slabinfo /proc/meminfo
}

# no_more BEFORE MOST - is MOST bytes the most by which held() has grown?  It prints what there is.
no_more() {
	local after
	sync
	echo 3 >/proc/sys/vm/drop_caches
	after=$(held)
	echo "held before: $1 bytes, and now: $after"
	[ $((after - $1)) -le "$2" ] && ! grep -q 'vipka' /proc/vmallocinfo
}

# swap - from now on pages can be swapped out
swap() {
	grep -q /dev/zram /proc/swaps || {
		modprobe zram && echo 256M >/sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0
	} >/dev/null 2>&1
}

# storm PROGRAM FEW COUNT [PARAMETER...] - the module, loaded with these, bears COUNT (or VM_CYCLES) calls or kills of a
# program of tests/linux/storm, and afterwards holds no more than it did after FEW
storm() {
	local program=$VM_BIN/../tests/linux/$1 before most=$((2 << 20))
	must "the module loads" insmod "$module" "${@:4}"
	"$program" -n "$2" >/dev/null 2>&1 # what is made once is there
	within 10 pins
	echo 3 >/proc/sys/vm/drop_caches
	before=$(held)
	"$program" -n "${VM_CYCLES:-$3}" -s "${VM_SEED:-1}" || vm_bad=1
	check "no memory is missing" within 20 no_more "$before" $most
	no_more "$before" $most
	check "the module can go" within 10 rmmod vipka
}
