#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# detects.sh LMM_MODEL - the model finds what is broken on purpose, each way
# that --break knows, and shrinks it to 20 steps or fewer.

model=$1
for way in 1 2 3 4; do
	out=$("$model" --break $way --steps 200000 2>/dev/null)
	rc=$?
	steps=$(printf '%s\n' "$out" | sed -n 's/^short sequence: \([0-9]*\) steps.*/\1/p')
	if [ $rc != 1 ] || [ -z "$steps" ] || [ "$steps" -gt 20 ]; then
		printf '%s\n' "$out"
		echo "detects: --break $way: status $rc, '$steps' steps" >&2
		exit 1
	fi
	printf '%s\n' "$out" | sed -n "s/^     disagreement: /--break $way, $steps steps: /p"
done
