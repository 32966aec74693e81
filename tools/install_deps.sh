#!/bin/bash
# Installs what building and testing need (Debian 12 or later, Ubuntu 22.04 or later). Does
# nothing, and needs no privilege, when all of it is there. --check only says what is missing.
set -e
packages=(
	gcc make libc6-dev linux-libc-dev pkg-config
	libseccomp-dev libcapstone-dev
	libcriterion-dev	# unit tests
	cppcheck python3-minimal	# make check
)

missing=()
for p in "${packages[@]}"; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "${1-}" = --check ]; then
	echo "missing: ${missing[*]}"
	exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { echo "install_deps: needs root, or sudo, for: ${missing[*]}" >&2; exit 1; }
	as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"
