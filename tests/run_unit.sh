#!/bin/bash
# run_unit.sh OUT BINARY...: runs Criterion binaries and sums their results up. A test that fails beside
# others is run once more alone ("unsteady" if it passes then).
cd "$(dirname "$0")/.." || exit 1
. tests/lib.sh
results_start "$1/unit-results"
shift
for bin in "$@"; do
	folder=$(basename "$bin")
	log=$results/$folder.log
	timeout -k 5 300 "$bin" --verbose --jobs 2 >"$log" 2>&1
	status=$?
	# One result a test, from Criterion's "[PASS] suite::name: (0.00s)" lines.
	while read -r verdict name; do
		name=${name%%: *}
		case $verdict in
		'[PASS]') result "unit/$folder/$name" pass ;;
		'[FAIL]') echo "again unit/$folder/$name, alone"
			if timeout -k 5 120 "$bin" --filter "${name/::/\/}" >"$results/out" 2>&1; then
				echo "unsteady  unit/$folder/$name"
				result "unit/$folder/$name" pass
				status=0
				continue
			fi
			grep -F "${name##*::}" -B 8 "$log" | grep -v '\[RUN' >"$results/out"
			result "unit/$folder/$name" fail "$results/out" ;;
		'[SKIP]') result "unit/$folder/$name" skip ;;
		esac
	done < <(sed 's/\x1b\[[0-9;]*m//g; s/\[\([A-Z]*\)\] */[\1] /' "$log" |
		grep -E '^\[(PASS|FAIL|SKIP)\] ')
	if [ $status -ne 0 ] && ! grep -lqx fail "$results"/unit_"$folder"_*.result 2>/dev/null; then
		tail -n 20 "$log" >"$results/out"
		result "unit/$folder (exit status $status)" fail "$results/out"
	fi
done
results_end "unit tests"
