#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# compiles.sh CC ROOT - each public header compiles alone and included twice, in
# every language that vipl.h promises, with no warning; with and without the
# VIA-era switch VIPL095.

cc=$1
root=$2
rc=0
n=0
for header in vipl.h vipl_ext.h lmm.h lmm_self.h; do
	for lang in c:gnu89 c:c99 c:c11 c++:c++98 c++:c++17; do
		for define in -DNOTHING -DVIPL095; do
			printf '#include <%s>\n#include <%s>\n' $header $header |
				"$cc" -x "${lang%%:*}" -std="${lang#*:}" -Wall -Wextra -Werror -pedantic $define \
					-I"$root/include" -fsyntax-only - || {
				echo "compiles.sh: $header fails as ${lang#*:} $define" >&2
				rc=1
			}
			n=$((n + 1))
		done
	done
done
[ $rc = 0 ] && echo "compiles.sh: $n combinations"
exit $rc
