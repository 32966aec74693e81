#!/bin/bash
# run_programs.sh SENTRY OUT: runs each tests/programs/*.sh natively and in the sandbox, in an empty
# directory, and compares standard output and exit status. A script exits with 77 when it needs a
# program that isn't installed.
#   ONLY=pattern, JOBS=n: as for run_guest.sh; PLATFORMS="a b" (default: seccomp)
cd "$(dirname "$0")/.." || exit 1
. tests/lib.sh
sentry=$(realpath "$1")
limit=${TEST_TIMEOUT-120}
if [ "$3" = --one ]; then
	results=$2
else
	results_start "$2/program-results"
fi
results=$(realpath "$results")

run_one() {
	local script name dir work status inside log
	script=$(realpath "$1")
	name=$(basename "$script" .sh)
	dir=$(mktemp -d "${TMPDIR:-/tmp}/sentry-test.XXXXXX") || exit 1
	# shellcheck disable=SC2064 # now: the variable is local
	trap "rm -rf '$dir'" EXIT
	work=$dir/work
	log=$results/$name.log
	mkdir "$work"
	cp "$script" "$dir/script.sh"
	local vars=(PATH=/usr/local/bin:/usr/bin:/bin HOME="$work" USER=root LANG=C.UTF-8 TERM=dumb
		TMPDIR="$work")
	(cd "$work" && exec env -i "${vars[@]}" timeout -k 5 "$limit" bash "$dir/script.sh") \
		>"$dir/native.out" 2>"$dir/native.err" </dev/null
	status=$?
	if [ $status -eq 77 ]; then
		result "programs/$name" skip
		return
	fi
	for platform in ${PLATFORMS-seccomp}; do
		rm -rf "$work"
		mkdir "$work"
		timeout -k 5 "$limit" "$sentry" exec --platform "$platform" -v "$dir:$dir" -w "$work" \
			"${vars[@]/#/--env=}" -- bash "$dir/script.sh" \
			>"$dir/inside.out" 2>"$dir/inside.err" </dev/null
		inside=$?
		if [ $inside -eq $status ] && cmp -s "$dir/native.out" "$dir/inside.out"; then
			result "$platform/programs/$name" pass
			continue
		fi
		{
			echo "exit status: native $status, inside $inside"
			diff "$dir/native.out" "$dir/inside.out" | head -n 12
			echo "stderr:"
			tail -n 8 "$dir/inside.err"
		} >"$log"
		result "$platform/programs/$name" fail "$log"
	done
}

if [ "$3" = --one ]; then
	run_one "$4"
	exit 0
fi
for script in tests/programs/*.sh; do
	# shellcheck disable=SC2053 # a pattern on purpose
	[ -e "$script" ] && [[ $(basename "$script" .sh) == ${ONLY-*} ]] && printf '%s\n' "$script"
done | nice xargs -r -P "${JOBS-2}" -n 1 "$0" "$sentry" "$results" --one
results_end "programs"
