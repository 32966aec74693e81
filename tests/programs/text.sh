# Filters over some text.
command -v bc >/dev/null && command -v patch >/dev/null || exit 77
set -e
for i in $(seq 1 300); do echo "line $i of $((i * i)) words $((i % 7))"; done >text
sed -n '10,12p;s/line 29\([0-9]\)/LINE <\1>/p' text
awk '{ s += $4; n[$6]++ } END { print s; for (k in n) print k, n[k] | "sort"; close("sort") }' text
grep -c 'words 3' text && grep -n 'line 1.5 ' text | head -n 3
grep -r --include=text 'line 100 ' . && ! grep -q nothing text && echo not found
sort -k4,4n -k6,6nr text | md5sum && cut -d' ' -f2,6 text | tail -n 2
sed 's/words/WORDS/' text >text2 && diff text text2 | wc -l && diff -u text text2 | head -n 1 | cut -c1-8
diff text text2 >p || patch -s text <p && cmp text text2 && echo patched
tr a-z A-Z <text | sha256sum && fold -w 20 text | wc -l && rev text | head -n 1 && nl text | sed -n 5p
join <(seq 5) <(seq 3 8) | tr '\n' ' '; comm -12 <(seq 5) <(seq 3 8) | paste -sd+ | bc
od -An -tx1 -N8 text && base64 text | md5sum && expand <<<$'a\tb' && xargs -n 2 echo <<<'1 2 3 4 5'
sed -i 's/^line/LINE/' text && head -n 1 text
