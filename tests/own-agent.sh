#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# own-agent.sh PROGRAM... - run a test with a kernel agent of its own, so that
# tests side by side do not meet, and see that the agent has gone afterwards.

room=$(mktemp -d /tmp/vipl-test.XXXXXX) || exit 1
VIPL_AGENT_DIR=$room/agent
export VIPL_AGENT_DIR
"$@"
rc=$?
i=0
while [ -e "$room/agent" ] && [ $i -lt 600 ]; do
	sleep 0.1
	i=$((i + 1))
done
if [ -e "$room/agent" ]; then
	echo "own-agent.sh: a minute after its last client the agent's folder is still there:" \
	     "$(ls "$room/agent")" >&2
	[ $rc -ne 0 ] || rc=1
fi
rm -rf "$room"
exit $rc
