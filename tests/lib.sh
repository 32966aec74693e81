# Shared by the test runners: counting and the summary. Sourced by bash.
#
# Each test leaves one file in $results: its first line is "pass", "fail" or "skip", the rest what
# to show. So tests can run side by side.

results_start() { # results_start DIR
	results=$1
	rm -rf "$results"
	mkdir -p "$results"
}

result() { # result NAME pass|fail|skip [FILE-WITH-OUTPUT]
	local out=$results/${1//\//_}
	{ echo "$2"; echo "$1"; [ -n "${3-}" ] && head -c 4000 "$3"; } >"$out.tmp"
	mv "$out.tmp" "$out.result"
	case $2 in
	pass) [ -n "${VERBOSE-}" ] && echo "ok    $1" ;;
	skip) echo "skip  $1" ;;
	fail) echo "FAIL  $1"; tail -n +3 "$out.result" | head -n 20 | sed 's/^/      /' ;;
	esac
	return 0
}

results_failed() { # the names of the tests that failed
	local f
	for f in "$results"/*.result; do
		[ "$(head -n 1 "$f")" = fail ] && sed -n 2p "$f"
	done
}

# Prints 'N passed, N failed' and fails if any test did.
results_end() { # results_end WHAT
	local passed failed skipped
	passed=$(grep -lx -m1 pass "$results"/*.result 2>/dev/null | wc -l)
	failed=$(grep -lx -m1 fail "$results"/*.result 2>/dev/null | wc -l)
	skipped=$(grep -lx -m1 skip "$results"/*.result 2>/dev/null | wc -l)
	[ "$skipped" -gt 0 ] && echo "$1: $skipped skipped (the host can't do them)"
	echo "$passed $failed" >"$results/summary"
	echo "$1: $passed passed, $failed failed"
	[ "$failed" -eq 0 ]
}
