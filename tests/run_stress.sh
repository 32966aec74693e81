#!/bin/bash
# run_stress.sh BUILD: runs the programs of tests/stress for SECONDS (default: 20) each, inside the sandbox, with a seed that
# is told. They have failed if the sandbox dies or hangs, or a sanitizer has something to say: meant for builds with
# sanitizers (make asan, make tsan), whose other reports end up in $BUILD/stress/*.log. Lock order is not kept by overlays that a guest
# mounts, so the build for the address sanitizer has to be without LOCK_CHECK.
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "$1")
seconds=${SECONDS_EACH-20}
seed=${SEED-$RANDOM}
export ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=0}
failed=0
host=$(mktemp -d "${TMPDIR:-/tmp}/sentry-stress.XXXXXX") || exit 1
chmod 777 "$host"
trap 'rm -rf "$host"' EXIT
for prog in descriptors processes files; do
	log=$build/stress/$prog.log
	timeout -k 5 $((seconds * 3 + 30)) "$build/sentry" exec -v "$build/stress:/stress:ro" -v "$host:/host" -w /tmp \
		-- "/stress/$prog" "$seconds" "$seed" /host >"$log" 2>&1
	status=$?
	if [ $status -ne 0 ] || grep -q 'ERROR: AddressSanitizer\|runtime error:' "$log"; then
		echo "FAIL  $prog $seconds $seed: status $status, see $log"
		failed=1
	else
		echo "ok    $prog $seconds $seed: $(tail -n 1 "$log")"
	fi
done
exit $failed
