# Smaller programs of all kinds.
# After some runs, when the dynamic linker is patched for others.
command -v valgrind >/dev/null && for i in 1 2 3 4 5 6; do /bin/true; done && valgrind -q /bin/echo translated
command -v jq >/dev/null && echo '{"a":[1,2,{"b":null}]}' | jq -c '.a[2], (.a[:2] | add)'
command -v bc >/dev/null && echo 'scale=30; 4*a(1)' | bc -l
command -v vim >/dev/null && echo 'one two' >v && vim -es -u NONE -c '%s/one/three/' -c wq v && cat v
command -v script >/dev/null && script -qc 'tty >/dev/null && echo on a terminal; stty size >/dev/null && echo size' /dev/null </dev/null | tr -d '\r'
ps -o comm= -p $$ 2>/dev/null; cat /proc/$$/comm; tr '\0' ' ' </proc/self/cmdline; echo
grep -c . /proc/cpuinfo >/dev/null && grep -q MemTotal /proc/meminfo && echo proc ok; head -c 16 /dev/urandom | wc -c
sed -n 's/^Name:\t//p;s/^Threads:\t//p' /proc/self/status; grep -q '\[stack\]' /proc/self/maps && echo stack
readlink /proc/self/exe; [ -c /dev/null ] && [ -c /dev/tty ] && [ -L /dev/stdin ] && echo devices; ls /dev/pts >/dev/null && echo pts
hostname >/dev/null && uname -s -m; locale charmap; getent passwd root | cut -d: -f1,3; getconf PAGESIZE
logger --help >/dev/null 2>&1; flock lock -c 'echo locked'; setsid sh -c 'echo session'; nohup true 2>/dev/null; echo "nohup $?"
