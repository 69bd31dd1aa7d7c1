# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# users.sh - in a guest: three users, ann, bob and cat, each with a group of his own.
#
#   as USER COMMAND...   runs it as that user, with his groups and no capabilities
#   reach FOLDER         lets everybody come to FOLDER, wherever the tree lies; here, not on the host

grep -q ^ann: /etc/passwd || for name in ann:2001 bob:2002 cat:2003; do
	echo "${name%:*}:x:${name#*:}:${name#*:}::/tmp:/bin/sh" >>/etc/passwd
	echo "${name%:*}:x:${name#*:}:" >>/etc/group
done

as() {
	setpriv --reuid "$1" --regid "$1" --init-groups -- "${@:2}"
}

reach() {
	local dir
	dir=$(realpath "$1")
	until [ "$dir" = / ]; do
		chmod o+x "$dir" 2>/dev/null
		dir=$(dirname "$dir")
	done
}
