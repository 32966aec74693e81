# Files and directories with the everyday tools.
set -e
mkdir -p a/b/c && echo hello >a/b/file && ln -s b/file a/link && ln a/b/file a/hard
stat -c '%n %s %F %h %a' a/b/file a/link a/hard
cat a/link
cp -a a copy && diff -r a copy && echo same
mv copy/b/file copy/moved && ls copy copy/b
chmod 640 a/b/file && stat -c %a a/b/file
touch -d '2001-02-03 04:05:06 UTC' a/b/file && stat -c %Y a/b/file
seq 1 100000 | md5sum
seq 1 50000 >numbers && wc numbers && head -n 2 numbers && tail -n 2 numbers && tac numbers | head -n 1
dd if=/dev/zero of=zeros bs=1k count=64 status=none && stat -c %s zeros && cksum <zeros
truncate -s 1M sparse && stat -c '%s' sparse && du -k --apparent-size sparse
split -n 4 numbers part. && cat part.* | cmp - numbers && echo split ok
sort -rn numbers | uniq | head -n 3 | tr '\n' ' '; echo
find . -type f | sort
find . -name 'part.*' -delete && ls
readlink -f a/link | sed "s|$PWD|.|"
mktemp -d ./tmp.XXXX >/dev/null && ls -d tmp.* | wc -l && rm -r tmp.*
mkfifo pipe && { echo through the pipe >pipe & cat pipe; wait; }
ls /nonexistent 2>/dev/null || echo "ls: $?"
rm -rf a copy && ls
df . >/dev/null && echo df ok
id -u && whoami && basename "$PWD" && printf '%s\n' "$(dirname /a/b/c)"
env | grep -c '^PATH=' && nproc | grep -q '^[0-9]' && date -u -d @0 +%FT%TZ
{ timeout 0.1 sleep 5 || echo "timeout: $?"; }
sleep 0.05 && echo slept
tee t1 t2 <<<'tee text' && cat t1 t2 && install -m 700 t1 t3 && stat -c %a t3
shuf -i 1-10 | sort -n | paste -sd,
