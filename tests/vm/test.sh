#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# test.sh [-d DEVICE] [NAME...] - the tests of tests/ in one guest, and those of pairs/ on
# two that a network joins; all, or those named.  One line for each; a guest that dies is
# started anew for the next.  After each test the guest's kernel log is looked through.
#
# Exit status: 0 none failed, 1 one did, 77 there can be no guest here, 125 none came up.

set -u
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/guest.sh"
# shellcheck source=tests/vm/klog.sh
. "$vm_here/klog.sh"

device=emu0
bin=$vm_root/build/bin
limit=240 # seconds for a test, unless it says otherwise in a line "# limit: SECONDS"
failed=0
passed=0
skipped=0
kept=$vm_logs/vm-test

while getopts d:b: option; do
	case $option in
	d) device=$OPTARG ;;
	b) bin=$(cd "$OPTARG" && pwd) || exit 1 ;;
	*) exit 1 ;;
	esac
done
shift $((OPTIND - 1))

# choose [NAME...] - what is to be run, into one[] and two[]
choose() {
	local file name
	one=()
	two=()
	for file in "$vm_here"/tests/*.sh "$vm_here"/pairs/*.sh; do
		name=$(basename "$file" .sh)
		[ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
		case $file in
		*/pairs/*) two+=("$name") ;;
		*) one+=("$name") ;;
		esac
	done
	for name; do
		[[ " ${one[*]} ${two[*]} " == *" $name "* ]] || {
			vm_say "no test $name; there are: $(cd "$vm_here" && basename -as .sh tests/*.sh pairs/*.sh | tr '\n' ' ')"
			exit 1
		}
	done
}

# The requests of the test that runs: see pair.sh.
vm_meanwhile() {
	local host ask
	for host in vm1 vm2; do
		[ -e "$vm_run/$host/ask" ] || continue
		ask=$(cat "$vm_run/$host/ask")
		rm "$vm_run/$host/ask"
		serve "$host" "$ask" >"$vm_run/$host/answer.part" 2>&1 && echo "done" >"$vm_run/$host/answer.part"
		mv "$vm_run/$host/answer.part" "$vm_run/$host/answer"
	done
}

# both NAME true|false - the state of that part of the link at both ends
both() {
	vm_link vm1 "$@" && vm_link vm2 "$@"
}

serve() {
	local peer=vm1
	[ "$1" = vm1 ] && peer=vm2
	case $2 in
	"link down") both nic false ;;
	"link up") both nic true ;;
	"link mute") both wire false ;;
	"link on") both wire true ;;
	kill) vm_kill $peer ;;
	*)
		echo "unknown request: $2"
		false
		;;
	esac
}

# job FOLDER NAME - the script that a guest gets
job() {
	cat <<-END
		# $2
		cd ${vm_root@Q} || exit
		VM_TEST=$2 VM_DEVICE=${device@Q} VM_BIN=${bin@Q} VM_CHECKS=${VM_CHECKS:-} VM_CYCLES=${VM_CYCLES:-} VM_SEED=${VM_SEED:-}
		export VM_DEVICE VM_BIN VM_CHECKS VM_CYCLES VM_SEED VIPL_AGENT_DIR=/tmp/agent
		. tests/vm/load.sh
		vm_load "\$VM_DEVICE" || exit
		. tests/vm/check.sh
		. tests/vm/pair.sh
		. tests/vm/$1/$2.sh
	END
	# shellcheck disable=SC2016 # is for the guest
	[ "$1" = pairs ] && echo '"$VM_HOST"'
	# shellcheck disable=SC2016
	printf '%s\n' 'vm_after "$VM_DEVICE"' 'exit $vm_bad'
}

# look_back HOST - at one that has ended
look_back() {
	vm_look_back "$1" >"$kept/beside.$1" || return
	failed=$((failed + 1))
	result FAIL "the guest $1 beside the tests" 0 "$kept/beside.$1"
	sed 's/^/      /' "$kept/beside.$1"
}

# ensure HOST... - guests that take jobs; those that died, or never were, are started
ensure() {
	local host
	for host; do
		vm_alive "$host" && continue
		look_back "$host"
		vm_boot "$host" "$net" || return
	done
	for host; do
		vm_ready "$host" || return
	done
}

result() {
	printf '%-4s  %-34s %4d s  %s\n' "$1" "$2" "$3" "${4:-}"
}

# run FOLDER NAME HOST... - one test, one line
run() {
	local folder=$1 name=$2 host n rc=0 one start=$SECONDS seconds why="" out
	shift 2
	seconds=$(sed -n 's/^# limit: //p' "$vm_here/$folder/$name.sh")
	seconds=${seconds:-$limit}
	if ! ensure "$@"; then
		failed=$((failed + 1))
		result FAIL "$name" $((SECONDS - start)) "no guest for it"
		return
	fi
	start=$SECONDS
	for host; do
		job "$folder" "$name" | vm_start "$host" "$seconds"
	done
	for host; do
		n=$(cat "$vm_run/$host/jobs")
		out=$vm_run/$name.$host
		: >"$out.why"
		one=0 # if the test has killed it
		[ -n "${vm_pid[$host]:-}" ] && { vm_finish "$host" "$seconds" 2>"$out.why" || one=$?; }
		{
			cat "$vm_run/$host/out.$n" "$out.why"
			vm_complaints "$host" "$n" && one=1 && why="${why}the kernel of $host complains; "
		} >"$out"
		cp "$out" "$kept/"
		case $one in
		0) ;;
		77)
			[ $rc = 0 ] && rc=77
			why=$(sed -n 's/^SKIP: *//p' "$out" | tail -n 1)
			;;
		124) rc=1 && why="${why}took longer than $seconds s on $host; " ;;
		125)
			rc=1 && why="${why}$host died; "
			vm_alive "$host" || vm_kill "$host" # this is known
			;;
		*) rc=1 ;;
		esac
	done
	case $rc in
	0)
		passed=$((passed + 1))
		result ok "$name" $((SECONDS - start))
		;;
	77)
		skipped=$((skipped + 1))
		result skip "$name" $((SECONDS - start)) "$why"
		;;
	*)
		failed=$((failed + 1))
		result FAIL "$name" $((SECONDS - start)) "$why$kept/$name.*"
		for host; do
			tail -n 40 "$vm_run/$name.$host" | sed "s/^/      $host: /"
		done
		;;
	esac
}

choose "$@"
vm_guard
vm_open test || exit
mkdir -p "$kept" || exit 1

net=none
hosts=(vm1)
[ ${#two[@]} -gt 0 ] && net=link hosts=(vm1 vm2)
start=$SECONDS
if ! ensure "${hosts[@]}"; then
	result FAIL "the guests start ($vm_accel)" $((SECONDS - start)) "$vm_logs/vm-test.*"
	exit 125
fi
result ok "the guests start ($vm_accel)" $((SECONDS - start)) "${#hosts[@]}, Linux $(cat "$vm_dir/kernel/release")"
for host in "${hosts[@]}"; do
	if vm_complaints "$host" 0 >"$kept/start.$host"; then
		failed=$((failed + 1))
		result FAIL "the kernel of $host starts well" 0 "$kept/start.$host"
		sed 's/^/      /' "$kept/start.$host"
	fi
done
for name in "${one[@]}"; do
	run tests "$name" vm1
done
for name in "${two[@]}"; do
	run pairs "$name" vm1 vm2
done
for host in vm1 vm2; do
	vm_end "$host"
	look_back "$host"
done
echo "$passed passed, $failed failed, $skipped skipped on $device"
[ $failed = 0 ] && [ $passed != 0 ]
