# What shells do with processes: pipes, subshells, traps, job control, substitutions.
echo $((6 * 7)) "$(echo nested "$(echo substitution)")"
for i in 1 2 3; do echo $i; done | while read -r x; do echo "got $x"; done
f() { local x=$1; [ "$x" -le 1 ] && echo 1 && return; echo $((x * $(f $((x - 1))))); }
f 6
(exit 3); echo "status $?"
true | false | true; echo "${PIPESTATUS[@]}"
sleep 0.05 & wait $!; echo "waited $?"
(sleep 5 & echo $! >pid; wait) & sleep 0.2; kill "$(cat pid)"; wait; echo killed
trap 'echo trapped USR1' USR1; kill -USR1 $$; echo after
bash -c 'trap "echo exit trap" EXIT; exit 7'; echo $?
bash -c 'kill -SEGV $$' 2>/dev/null; echo $?
bash -c 'ulimit -n 64; ulimit -n'
cat <<<"here string"; cat <<END
here $((1 + 1)) document
END
exec 5<>file; echo one >&5; echo two >&5; exec 5>&-; cat file
{ echo out; echo err >&2; } 2>&1 | sort
coproc cat; echo to the coprocess >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "$line"
eval "exec ${COPROC[1]}>&-"; wait; jobs >/dev/null 2>&1
set -m; sleep 0.1 & jobs -r | sed 's/  */ /g'; fg %1 >/dev/null; set +m
(cd / && pwd); [ -t 0 ] || echo no terminal
read -r -t 0.05 x < <(sleep 0.3); echo "read: $(($? > 128))"
echo "$BASH_SUBSHELL" "${#PWD}" >/dev/null; dash -c 'echo dash $((2 + 3))'
seq 1 2000 | while read -r n; do :; done; echo done
for i in $(seq 50); do /bin/true; done; echo 50 children
yes | head -n 100000 | wc -l
kill -l | head -n 1 | cut -c1-12; type -t cd
sh -c 'umask 027; >masked; stat -c %a masked'
