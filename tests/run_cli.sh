#!/bin/bash
# run_cli.sh SENTRY OUT: the command line: options, what is visible inside, exit statuses, messages,
# signals, and that nothing stays behind. ONLY=pattern as for the other runners.
cd "$(dirname "$0")/.." || exit 1
. tests/lib.sh
sentry=$(realpath "$1")
results_start "$2/cli-results"
results=$(realpath "$results")
dir=$(mktemp -d "${TMPDIR:-/tmp}/sentry-test.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
cd "$dir" || exit 1

# check NAME STATUS STDOUT STDERR-PATTERN COMMAND...: runs it and compares. '-' skips a comparison;
# the pattern is one of [[ == ]].
check() {
	local name=cli/$1 status=$2 want=$3 err=$4 got
	shift 4
	[[ $name == *${ONLY-}* ]] || return 0
	timeout -k 2 20 "$@" >"$dir/out" 2>"$dir/err" </dev/null
	got=$?
	{
		[ "$got" = "$status" ] || echo "status $got, wanted $status"
		[ "$want" = - ] || [ "$(cat "$dir/out")" = "$want" ] ||
			{ echo "stdout, wanted '$want':"; cat "$dir/out"; }
		# shellcheck disable=SC2053 # a pattern
		[ "$err" = - ] || [[ $(cat "$dir/err") == $err ]] ||
			{ echo "stderr, wanted '$err':"; cat "$dir/err"; }
	} >"$dir/log"
	if [ -s "$dir/log" ]; then
		{ cat "$dir/log"; head -c 600 "$dir/err"; } >"$dir/log2"
		result "$name" fail "$dir/log2"
	else
		result "$name" pass
	fi
}
run() { # run NAME STATUS STDOUT STDERR-PATTERN ARG...: sentry exec ARG...
	local name=$1 status=$2 want=$3 err=$4
	shift 4
	check "$name" "$status" "$want" "$err" "$sentry" exec "$@"
}

# ---- exit statuses and messages
run status 3 '' '' sh -c 'exit 3'
run killed-by-signal 137 '' '' sh -c 'kill -9 $$'
run no-command 125 '' 'sentry: no command given*'
run not-found 127 '' "sentry: 'no-such-program': not found in PATH" no-such-program
run not-found-path 127 '' "sentry: './no-such': not found*" ./no-such
run directory 126 '' "sentry: '/etc': can't be executed*" /etc
echo text >plain && chmod 644 plain
run not-executable 126 '' "sentry: './plain': can't be executed*" ./plain
chmod 755 plain
run no-format 126 '' "sentry: './plain': not a program*" ./plain
printf '#!/no/such/interpreter\n' >script && chmod 755 script
run script-interpreter-missing 127 '' "sentry: './script': not found (the program, or the interpreter*" ./script
head -c 100 /bin/true >truncated && chmod 755 truncated
run truncated-elf 126 '' "sentry: './truncated': *" ./truncated
{ head -c 18 /bin/true; printf '\267\0'; tail -c +21 /bin/true; } >aarch64 && chmod 755 aarch64
run wrong-architecture 126 '' "sentry: './aarch64': not a program for x86-64*" ./aarch64
run unknown-option 125 '' 'sentry: option*--nonsense*' --nonsense true
run option-without-value 125 '' 'sentry: option*needs a value*' --rootfs
run timeout-malformed 125 '' "sentry: --timeout 'soon': *" --timeout soon true
run memory-malformed 125 '' "sentry: --memory 'much': *" --memory much true
run rootfs-missing 125 '' "sentry: --rootfs '/no/such': *" --rootfs /no/such true
run volume-missing 125 '' "sentry: --volume '/no/such:/x': *" -v /no/such:/x true
run volume-relative 125 '' "sentry: --volume '/tmp:x': *absolute*" -v /tmp:x true
run workdir-missing 125 '' "sentry: working directory '/no/such': *" -w /no/such true
run user-unknown 125 '' "sentry: --user 'nobody-here': *" -u nobody-here true
run platform-unknown 125 '' "sentry: --platform 'kvm': *" --platform kvm true
run quiet 127 '' '' -q no-such-program
check unknown-command 125 '' "sentry: unknown command 'jump'*" "$sentry" jump
check help 0 - '' "$sentry" exec --help
check version 0 'sentry '"$("$sentry" --version | cut -d' ' -f2)" '' "$sentry" --version

# ---- what is inside
run environment-clean 0 'HOME LANG PATH TERM USER' '' -e HOME=/ -e USER=x -e TERM=dumb -- \
	/usr/bin/python3 -c 'import os; print(*sorted(k for k in os.environ if k != "LC_CTYPE"))'
run environment-set 0 'v w' '' -e A=v -e B=w sh -c 'echo $A $B'
A_B_C=passed check environment-passed 0 'passed' '' "$sentry" exec -e A_B_C sh -c 'echo $A_B_C'
A_B_C=all check environment-all 0 'all' '' "$sentry" exec --env-all sh -c 'echo $A_B_C'
run hostname 0 'box' '' --hostname box uname -n
run user 0 '65534:65534' '' -u 65534:65534 sh -c 'echo $(id -u):$(id -g)'
run user-by-name 0 '65534' '' -u nobody id -u
run workdir 0 '/usr/lib' '' -w /usr/lib pwd
run cwd 0 "$dir" '' pwd
run writes-vanish 0 'new' '' sh -c 'echo new >vanishes; cat vanishes'
check writes-vanished 1 '' - cat "$dir/vanishes"
printf 12345 >old && chmod 640 old
run old-file-changed 0 '5,5,5,9,640,600' '' /usr/bin/python3 -c '
import os
s = lambda: os.stat("old").st_size
m = lambda: oct(os.stat("old").st_mode & 0o777)[2:]
out = [s(), s(), s()]
open("old", "a").write("6789")
out += [s(), m()]
os.chmod("old", 0o600)
print(*out, m(), sep=",")'
check volume-changed-outside 0 "$(printf 'no\nyes\n4')" '' sh -c "mkdir -p seen; '$sentry' exec -v '$dir/seen:/seen' sh -c '
	for i in 1 2 3 4 5 6; do test -e /seen/f; done; test -e /seen/f || echo no
	echo >/seen/go; until test -e /seen/f; do sleep 0.05; done; echo yes
	for i in 1 2 3 4 5 6; do stat -c %s /seen/f >/dev/null; done; stat -c %s /seen/f' &
	until test -e seen/go; do sleep 0.05; done; printf 1234 >seen/t; mv seen/t seen/f; wait"
run read-only 2 '' '*Read-only file system*' --read-only sh -c 'echo x >/usr/new'
other=$(mktemp -d "$dir.XXXXXX") && chmod 755 "$other"
run nothing-else-of-the-host 2 '' '*No such file*' ls "$other"
rmdir "$other"
run no-host-processes 0 '/proc/1' '' sh -c 'echo /proc/[0-9]*'
mkdir vol && echo inside >vol/f && chmod 777 vol && chmod 666 vol/f
run volume-read 0 'inside' '' -v "$dir/vol:/data" cat /data/f
run volume-write 0 '' '' -v "$dir/vol:/data" sh -c 'echo written >/data/out'
check volume-written 0 'written' '' cat "$dir/vol/out"
run volume-read-only 2 '' '*Read-only file system*' -v "$dir/vol:/data:ro" sh -c 'echo x >/data/no'
run volume-file 0 'inside' '' -v "$dir/vol/f:/etc/hostname:ro" cat /etc/hostname
run tmpfs 0 'tmpfs' '' --tmpfs /scratch:size=1m stat -f -c %T /scratch
run tmpfs-size 1 '' '*No space left*' --tmpfs /scratch:size=64k \
	dd if=/dev/zero of=/scratch/f bs=1k count=100 status=none
run stdin-closed 0 '' '' cat
check stdin-pipe 0 'piped' '' sh -c "echo piped | '$sentry' exec cat"
check stdout-file 0 '' '' sh -c "'$sentry' exec echo to-file >'$dir/outfile'"
check stdout-file-content 0 'to-file' '' cat "$dir/outfile"
printf 'one\ntwo\n' >lines
check stdin-offset 0 'two' '' sh -c "{ read x; '$sentry' exec cat; } <'$dir/lines'"
check stdin-not-eaten 0 "$(printf 'one\ntwo')" '' \
	sh -c "{ '$sentry' exec head -c 4; cat; } <'$dir/lines'"
# A loop of calls makes the C library's call sites jumps, which shows in the maps; unless that is forbidden.
hot='i=0; while [ $((i += 1)) -lt 400 ]; do : </dev/null; [ $i != 200 ] || sleep 0.2; done
	while read -r line; do [[ $line != *thunks* ]] || { echo patched; break; }; done </proc/self/maps'
if grep -qw fsgsbase /proc/cpuinfo; then
	run hot-calls-are-patched 0 'patched' '' bash -c "$hot"
	run hot-calls-are-left-alone 0 '' '' --no-patch bash -c "$hot"
	# What traps only some hundred times is spared the scan of the C library.
	libc=$(ldd /bin/bash | awk '/libc\.so/ { print $3 }')
	[ -z "$libc" ] || check short-programs-are-not-scanned 1 0 - sh -c "'$sentry' exec --debug bash -c '
		i=0; while [ \$((i += 1)) -lt 20 ]; do : </dev/null; done; sleep 0.2' 2>&1 |
		grep -c 'shadow of inode $(stat -Lc %i "$libc") '"
	# No process makes many calls in the dynamic linker, but all make some: it and the C library.
	run dynamic-linker-is-patched 0 'patched' '' sh -c 'i=0; while [ $((i += 1)) -lt 100 ]; do /bin/true; done
		sleep 0.5; [ $(cat /proc/self/maps | grep -c thunks) -ge 2 ] && echo patched'
fi
if [ "$(id -u)" = 0 ]; then
	run system-writable-in-memory 0 'x' '' sh -c 'echo x >/usr/lib/new && cat /usr/lib/new'
	run secrets-hidden 1 '' '*Permission denied*' cat /etc/shadow
	chmod 755 "$dir"
	check ordinary-user 0 'ok' '' setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$sentry" exec echo ok
	check ordinary-user-id 0 '65534' '' setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$sentry" exec id -u
fi

# Where no namespaces can be made; as root, who may not be without them, as somebody else.
alone=(unshare -U --map-current-user --keep-caps sh -c '
	for n in user pid mnt net ipc uts; do echo 0 >/proc/sys/user/max_${n}_namespaces || exit 9; done
	exec "$@"' -)
[ "$(id -u)" != 0 ] || alone=(setpriv --reuid 65534 --regid 65534 --clear-groups "${alone[@]}")
if "${alone[@]}" true 2>/dev/null; then
	for p in seccomp ptrace; do
		check no-namespaces-$p 7 'ok' '*no user namespaces*' "${alone[@]}" "$sentry" exec --debug \
			--platform $p sh -c '(echo ok | cat); sleep 60 & kill $!; wait $!; exit 7'
	done
fi

# ---- limits, tracing
run timeout 124 '' '' --timeout 0.3 sleep 100
run timeout-not-reached 0 'done' '' --timeout 20 echo 'done'
run memory-limit 137 '' '' --memory 64m -- python3 -c 'x = b"a" * 400_000_000'
run memory-limit-leader-gone 137 '' '' --memory 64m -- python3 -c "
import ctypes, threading, time
def fill():
	time.sleep(0.2)
	x = b'a' * 400_000_000
	time.sleep(2)
threading.Thread(target=fill).start()
ctypes.CDLL(None).syscall(60, 0)"
run memory-limit-detached-segment 137 '' '' --memory 64m -- python3 -c "
import ctypes, time
c = ctypes.CDLL(None)
c.shmat.restype = ctypes.c_void_p
for i in range(200):
	p = c.shmat(c.shmget(0, 4 << 20, 0o1600), None, 0)
	ctypes.memset(p, 1, 4 << 20)
	c.shmdt(ctypes.c_void_p(p))
	time.sleep(0.05)"
run memory-limit-unmapped-file 137 '' '' --memory 64m -- python3 -c "
import mmap, os, time
f = os.open('/tmp/f', os.O_CREAT | os.O_RDWR)
os.truncate(f, 800 << 20)
for i in range(200):
	m = mmap.mmap(f, 4 << 20, offset=i * (4 << 20))
	m[:] = b'x' * (4 << 20)
	m.close()
	time.sleep(0.05)"
run memory-limit-shared-once 0 '' '' --memory 64m -- python3 -c "
import mmap, os, time
m = mmap.mmap(-1, 16 << 20)
m[:] = b'x' * (16 << 20)
time.sleep(0.5)"
run memory-limit-pipes 137 '' '' --memory 64m -- python3 -c "
import fcntl, os, time
for i in range(300):
	r, w = os.pipe2(os.O_NONBLOCK)
	fcntl.fcntl(w, 1031, 1 << 20)
	os.write(w, bytes(1 << 20))
time.sleep(2)"
run strace-stderr 0 'hi' '*write(1, "hi\\n", 3)*= 3*' --strace echo hi
run strace-file 0 'hi' '' --strace="$dir/trace" echo hi
check strace-file-content 0 - '' grep -q 'execve\|write(1, "hi' "$dir/trace"
run nofile-tiny 0 'ok' '' sh -c 'ulimit -n 8; echo ok'
check host-nofile-too-few 125 '' 'sentry: RLIMIT_NOFILE is 20; *' sh -c "ulimit -n 20; '$sentry' exec echo ok"
check host-nofile-tiny 0 'ok' '' sh -c "ulimit -n 64; '$sentry' exec echo ok"
check host-nofile-low-many-files 0 "$(cat /usr/include/*.h | cksum)" '' sh -c "ulimit -n 1000
	'$sentry' exec sh -c 'ls -l /usr/include >/dev/null; cat /usr/include/*.h | cksum'"

run hostname-resolves 0 '127.0.0.1' '' sh -c 'getent hosts $(hostname) | cut -d" " -f1'
run hostname-given-resolves 0 '127.0.0.1' '' --hostname some-box sh -c 'getent hosts some-box | cut -d" " -f1'
run hostname-in-file 0 'some-box' '' --hostname some-box cat /etc/hostname
run hosts-of-host-too 0 '' '' -v /etc/hosts:/host-hosts:ro sh -c 'grep -Fvxf /etc/hosts /host-hosts; ls -ln /etc/hosts | grep -qE "^-rw-r--r-- +1 0 0" && { [ $(id -u) != 0 ] || echo x >>/etc/hosts; }'

# ---- standard streams that are files: their offset is the host's, shared with whoever else has them
stream() { # stream NAME WANT SCRIPT: with $S for `sentry exec`, stdout and stderr in `log`
	[[ cli/$1 == *${ONLY-}* ]] || return 0
	(S="$sentry exec" && exec >"$dir/log.txt" 2>&1 </dev/null && eval "$3")
	check "$1" 0 "$2" '' cat "$dir/log.txt"
}
three=$'out\nerr\nend'
stream streams-share-an-offset "$three" \
	'$S python3 -c "import os; os.write(1, b\"out\n\"); os.lseek(2, 0, 1); os.write(2, b\"err\n\"); print(\"end\")"'
stream streams-follow-the-host "$three" '$S echo out; echo err; $S sh -c "echo end >&2"'
stream streams-outside-writes-between "$three" \
	'echo out; { $S sh -c "read x; echo end" < <(sleep 0.2; echo err >&2; echo x); }'
stream streams-pwrite "end" '$S python3 -c "import os; os.write(2, b\"abc\"); os.pwrite(1, b\"end\n\", 0)"'
stream streams-reopened-append "$three" '$S sh -c "echo out; echo err >>/dev/stdout"; echo end >>"$dir/log.txt"'
stream streams-append-flag "$three" '$S python3 -c "
import os, fcntl
os.write(2, b\"out\nerr\n\"); os.lseek(1, 0, 0)
fcntl.fcntl(1, fcntl.F_SETFL, os.O_APPEND); os.write(1, b\"end\n\")"'
printf 'one\ntwo\nthree\n' >lines
check streams-input-shared 0 $'one\ntwo\nthree' '' sh -c "{ read a; echo \$a; $sentry exec sh -c 'read a; echo \$a'; cat; } <lines"

# ---- signals: those sent to the launcher reach the program
signal_test() { # signal_test NAME SIGNAL STATUS SCRIPT
	[[ cli/$1 == *${ONLY-}* ]] || return 0
	rm -f "$dir/out"
	"$sentry" exec sh -c "$4" >"$dir/out" 2>"$dir/err" </dev/null &
	local pid=$! i st
	for ((i = 0; i < 100; i++)); do
		grep -q ready "$dir/out" 2>/dev/null && break
		sleep 0.05
	done
	kill "-$2" $pid
	wait $pid
	st=$?
	if [ $st -eq "$3" ]; then
		result "cli/$1" pass
	else
		{ echo "status $st, wanted $3"; cat "$dir/out" "$dir/err"; } >"$dir/log"
		result "cli/$1" fail "$dir/log"
	fi
}
signal_test sigterm TERM 143 'echo ready; exec sleep 100'
signal_test sigint INT 130 'echo ready; exec sleep 100'
signal_test sigterm-caught TERM 9 'trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done'
signal_test sighup HUP 129 'echo ready; exec sleep 100'

# ---- nothing stays behind, whoever is killed
tree() { # the processes below $1
	local p
	for p in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		echo "$p"
		tree "$p"
	done
}
# bash tells of a job that was killed: nobody wants to know.
kill_test() { # kill_test NAME WHICH: kills the launcher, or the WHICHth of its processes
	[[ cli/$1 == *${ONLY-}* ]] || return 0
	rm -f "$dir/out"
	"$sentry" exec sh -c 'sleep 1000 & echo ready; wait' >"$dir/out" 2>"$dir/err" </dev/null &
	local pid=$! i all victim left
	for ((i = 0; i < 100; i++)); do
		grep -q ready "$dir/out" 2>/dev/null && break
		sleep 0.05
	done
	all=$(tree $pid)
	case $2 in
	launcher) victim=$pid ;;
	stubs) # all guest processes, asleep in system calls
		victim=
		for p in $all; do [ "$(cat /proc/"$p"/comm)" = memfd:stub ] && victim+=" $p"; done
		;;
	sentry | gofer)
		for victim in $all; do [ "$(cat /proc/"$victim"/comm)" = "$2" ] && break; done
		;;
	esac
	# shellcheck disable=SC2086 # a list
	kill -9 $victim
	for ((i = 0; i < 60; i++)); do
		left=
		for p in $pid $all; do
			[ -d "/proc/$p" ] && ! grep -q '^State:.*Z' "/proc/$p/status" 2>/dev/null && left+=" $p"
		done
		[ -z "$left" ] && break
		# A sandbox without its gofer may go on; it must end when asked.
		[ "$2" = gofer ] && [ $i = 10 ] && kill -TERM $pid
		[ "$2" = gofer ] && [ $i = 20 ] && kill -KILL $pid
		sleep 0.1
	done
	wait $pid 2>/dev/null
	if [ -z "$left" ]; then
		result "cli/$1" pass
	else
		{ echo "left:"; for p in $left; do ps -o pid,stat,args -p "$p"; done; } >"$dir/log" 2>&1
		result "cli/$1" fail "$dir/log"
		for p in $left; do kill -9 "$p"; done
	fi
} 2>/dev/null
kill_test kill-launcher launcher
kill_test kill-sentry sentry
kill_test kill-gofer gofer
kill_test kill-stubs stubs

# ---- a gofer that lives and doesn't answer: what waits for it can be killed, and the sandbox ended
stuck_test() { # stuck_test NAME STATUS SIGNAL ARG...: stops the gofer, sends SIGNAL to the launcher
	[[ cli/$1 == *${ONLY-}* ]] || return 0
	local name=$1 want=$2 signal=$3 pid i p gofer='' st=0
	shift 3
	rm -f "$dir/out"
	timeout -k 1 20 "$sentry" exec "$@" >"$dir/out" 2>"$dir/err" </dev/null &
	local outer=$!
	for ((i = 0; i < 100; i++)); do
		grep -q ready "$dir/out" 2>/dev/null && break
		sleep 0.05
	done
	pid=$(cat /proc/$outer/task/*/children)
	for p in $(tree "${pid% }"); do [ "$(cat /proc/"$p"/comm)" = gofer ] && gofer=$p; done
	kill -STOP "$gofer"
	sleep 2
	# shellcheck disable=SC2086 # one number
	[ -z "$signal" ] || kill "-$signal" $pid
	wait $outer || st=$?
	for ((i = 0; i < 20; i++)); do
		[ -d "/proc/$gofer" ] || break
		sleep 0.1
	done
	if [ $st = "$want" ] && [ ! -d "/proc/$gofer" ]; then
		result "cli/$name" pass
	else
		{ echo "status $st, wanted $want; gofer $gofer:"; ps -p "$gofer"; cat "$dir/out" "$dir/err"; } >"$dir/log"
		result "cli/$name" fail "$dir/log"
		kill -9 "$gofer" 2>/dev/null
	fi
}
asks="import os, time; print('ready', flush=True); time.sleep(1.5); os.stat('/usr/share/doc/no-such')"
stuck_test stuck-gofer-sigterm 143 TERM python3 -c "$asks"
stuck_test stuck-gofer-timeout 124 '' --timeout 3s python3 -c "$asks"
stuck_test stuck-gofer-guest-kills 7 '' python3 -c "
import os, signal, time
pid = os.fork()
if pid == 0:
	$asks
time.sleep(2.5); os.kill(pid, 9); os._exit(7 if os.waitpid(pid, 0)[1] == 9 else 8)"

# Likewise an overlay's lock of one file, held while it is copied up.
echo lower >"$dir/vol/lower"
stuck_test stuck-gofer-copy-up-waiter-killed 7 '' -v "$dir/vol:/data" python3 -c "
import ctypes, os, time
os.mkdir('/tmp/u'); os.mkdir('/tmp/w'); os.mkdir('/tmp/m')
if ctypes.CDLL(None).mount(b'overlay', b'/tmp/m', b'overlay', 0, b'lowerdir=/data,upperdir=/tmp/u,workdir=/tmp/w'): os._exit(9)
f = os.open('/tmp/m/lower', os.O_RDONLY)
print('ready', flush=True)
time.sleep(1)
if os.fork() == 0:
	os.fchmod(f, 0o640)
	os._exit(0)
time.sleep(0.5)
pid = os.fork()
if pid == 0:
	os.fchmod(f, 0o600)
	os._exit(0)
time.sleep(0.5); os.kill(pid, 9); os._exit(7 if os.waitpid(pid, 0)[1] == 9 else 8)"

# One process waits for the gofer and holds the directory's lock; one waits for the lock, and is killed.
stuck_test stuck-gofer-lock-waiter-killed 7 '' -v "$dir/vol:/data" python3 -c "
import os, select, time
r, w = os.pipe()
if os.fork() == 0:
	while True:
		os.mkdir('/data/%f' % time.time())
		os.write(w, b'x')
		time.sleep(0.02)
print('ready', flush=True)
while select.select([r], [], [], 1)[0]:
	os.read(r, 100)
pid = os.fork()
if pid == 0:
	os.mkdir('/data/other')
	time.sleep(100)
time.sleep(1); os.kill(pid, 9); os._exit(7 if os.waitpid(pid, 0)[1] == 9 else 8)"

results_end cli
