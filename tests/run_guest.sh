#!/bin/bash
# run_guest.sh BUILD OUT NAME...: runs guest tests natively, then in the sandbox.
#
# Linux is the oracle: a test that fails natively is a wrong test. Inside, the static program runs
# in the sandbox's own /tmp, the dynamic one in a directory of the host.
#   ONLY=pattern    only the tests whose name matches
#   PLATFORMS="a b" the platforms to run on (default: "seccomp ptrace")
#   JOBS=n          tests side by side (default: 2)
# Exit status 77 of a test means: this host can't do it. A test that fails beside others is run once
# more alone: what fails then, too, has failed; what passes then is told ("unsteady") and wants a look.
cd "$(dirname "$0")/.." || exit 1
. tests/lib.sh
build=$(realpath "$1")
export build
limit=${TEST_TIMEOUT-60}
export limit
if [ "$3" = --one ]; then
	results=$2
else
	results_start "$2/guest-results"
fi
results=$(realpath "$results")

verdict() { # verdict NAME STATUS OUTPUT
	case $2 in
	0) result "$1" pass ;;
	77) result "$1" skip ;;
	124 | 137) echo "no end after $limit s" >>"$3"; result "$1" fail "$3" ;;
	*) echo "exit status $2" >>"$3"; result "$1" fail "$3" ;;
	esac
}

run_one() {
	local name=$1 dir log status
	dir=$(mktemp -d "${TMPDIR:-/tmp}/sentry-test.XXXXXX") || exit 1
	# shellcheck disable=SC2064 # now: the variable is local
	trap "rm -rf '$dir'" EXIT
	chmod 777 "$dir"
	log=$results/$name.log
	mkdir "$dir/native" "$dir/work" && chmod 777 "$dir/native" "$dir/work"
	(cd "$dir/native" && TMPDIR=$dir/native exec timeout -k 5 "$limit" \
		"$build/guest/static/$name") >"$log" 2>&1 </dev/null
	status=$?
	verdict "native/$name" $status "$log"
	[ $status -eq 77 ] && return
	for platform in ${PLATFORMS-seccomp ptrace}; do
		timeout -k 5 "$limit" "$build/sentry" exec --platform "$platform" \
			-v "$build/guest:/guest:ro" -w /tmp -- "/guest/static/$name" \
			>"$log" 2>&1 </dev/null
		verdict "$platform/static/$name" $? "$log"
		timeout -k 5 "$limit" "$build/sentry" exec --platform "$platform" \
			-v "$build/guest:/guest:ro" -v "$dir/work:/work" -w /work \
			-- "/guest/dynamic/$name" >"$log" 2>&1 </dev/null
		verdict "$platform/dynamic/$name" $? "$log"
	done
}

if [ "$3" = --one ]; then
	run_one "$4"
	exit 0
fi
for name in "${@:3}"; do
	# shellcheck disable=SC2053 # a pattern on purpose
	[[ $name == ${ONLY-*} ]] && printf '%s\n' "$name"
done | nice xargs -r -P "${JOBS-2}" -n 1 "$0" "$build" "$results" --one
for name in $(results_failed | sed 's:.*/::' | sort -u); do
	echo "again $name, alone"
	"$0" "$build" "$results" --one "$name"
	results_failed | grep -q "/$name\$" || echo "unsteady  $name"
done
results_end "guest tests"
