#!/bin/bash
# run_all.sh BUILD OUT "UNIT BINARIES" "GUEST NAMES": every test; ends in 'N passed, N failed'.
cd "$(dirname "$0")/.." || exit 1
# shellcheck disable=SC2086 # lists of words
{
	tests/run_unit.sh "$2" $3
	tests/run_guest.sh "$1" "$2" $4
	tests/run_cli.sh "$1/sentry" "$2"
	tests/run_programs.sh "$1/sentry" "$2"
}
awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 || !p }' \
	"$2"/*-results/summary
