#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# pages.sh ROOT BINDIR - each exported function has a page with the prototype of
# its header; each program of BINDIR that has one, a page with its options; and
# pages refer to pages that are there.

root=$1
bin=$2
cd "$root" || exit 1
rc=0
n=0
t=$(mktemp -d) || exit 1
trap 'rm -rf "$t"' EXIT

complain() {
	echo "pages.sh: $*" >&2
	rc=1
}

# ---- functions ----

# Prototypes, one a line, after the name of their header, white space made equal.
awk '
/^(VIP_RETURN|const char|int) .*Vip/ { on = 1 }
on {
	text = text " " $0
	if (/;/) {
		gsub(/[ \t]+/, " ", text)
		sub(/;.*/, "", text)
		sub(/.*\//, "", FILENAME)
		print FILENAME ":" substr(text, 2)
		text = ""
		on = 0
	}
}' include/vipl.h include/vipl_ext.h > "$t/prototypes"

# The synopsis of a page as one prototype, after the name of its header.
synopsis() {
	awk '
	/^\.Sh / { on = $0 == ".Sh SYNOPSIS" }
	!on { next }
	/^\.In / { header = $2 }
	/^\.Ft / { sub(/^\.Ft /, ""); gsub(/"/, ""); type = $0 }
	/^\.Fo / { fn = $2 }
	/^\.Fn / { fn = $2; args = $3 }
	/^\.Fa / { sub(/^\.Fa /, ""); gsub(/"/, ""); args = args (args == "" ? "" : ", ") $0 }
	END { print header ":" type (type ~ /\*$/ ? "" : " ") fn "(" args ")" }' "$1"
}

for fn in $(grep -v '^#' tests/header/exports.txt); do
	page=man/man3/$fn.3
	n=$((n + 1))
	if [ ! -f "$page" ]; then
		complain "$fn has no page"
		continue
	fi
	has=$(synopsis "$page")
	want=$(grep "[ *]$fn(" "$t/prototypes")
	[ "$has" = "$want" ] || complain "$page has '$has', and the header '$want'"
done
for page in man/man3/*.3; do
	fn=$(basename "$page" .3)
	grep -qx "$fn" tests/header/exports.txt || complain "$page is of a function that is not exported"
done

# ---- programs ----

for program in "$bin"/*; do
	name=$(basename "$program")
	page=$(ls man/man[18]/"$name".[18] 2> /dev/null)
	if [ -z "$page" ]; then
		case $name in
		lock_area | lmm_core* | pipe_latency | vip_lmm | vip_multicast | peer_* | mpi_multicast_*) ;; # an example to read, and benchmarks
		*) complain "the program $name has no page" ;;
		esac
		continue
	fi
	n=$((n + 1))
	"$program" --help 2>&1 | grep -oE '(^|[ ,[(])--[a-z][a-z-]*' | sed 's/.*--//' | sort -u > "$t/help"
	grep -oE 'Fl Fl [a-z-]+' "$page" | sed 's/Fl Fl //' | sort -u > "$t/page"
	[ -s "$t/help" ] || complain "$name --help names no option"
	diff "$t/help" "$t/page" > "$t/diff" || {
		complain "options that only $name --help has (<), and only $page (>):"
		cat "$t/diff" >&2
	}
done

# ---- all pages ----

for page in man/man?/*.?; do
	name=$(basename "$page")
	section=${name##*.}
	name=${name%.*}
	head -n 1 "$page" | grep -q 'SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause' ||
		complain "$page has no licence line"
	[ "$(dirname "$page")" = "man/man$section" ] || complain "$page lies in the wrong folder"
	grep -qx ".Nm $name" "$page" && grep -qix ".Dt $name $section" "$page" ||
		complain "$page does not name itself"
	for to in $(awk '/^\.Xr |^\.It Xr / { gsub(/[][().,:;]/, " "); for (i = 1; $i != "Xr"; i++); print $(i + 1) "." $(i + 2) }' \
		"$page" | sort -u); do
		case $to in
		fork.2 | munmap.2 | shmdt.2 | userfaultfd.2 | dlopen.3) ;; # the system's
		*) [ -f "man/man${to##*.}/$to" ] || complain "$page refers to $to, which is not there" ;;
		esac
	done
done
[ $rc = 0 ] && echo "pages.sh: $n functions and programs"
exit $rc
