# Archives and compressors, there and back.
set -e
mkdir -p tree/sub && for i in $(seq 1 40); do seq "$i" $((i * 50)) >tree/f"$i"; done
ln -s ../f1 tree/sub/link && ln tree/f2 tree/sub/hard && chmod 751 tree/sub && mkfifo tree/fifo
for z in '' -z -j -J; do
	[ "$z" = -J ] && ! command -v xz >/dev/null && continue
	tar $z -cf t.tar tree && rm -rf out && mkdir out && tar $z -xf t.tar -C out
	diff -r --no-dereference -x fifo tree out/tree && [ -p out/tree/fifo ] && echo "tar $z ok"
	stat -c '%a %h' out/tree/sub out/tree/f2
done
tar -cf - tree | gzip -9 | gunzip | tar -tvf - | awk '{ print $1, $3, $6 }' | sort | md5sum
seq 1 200000 >big && gzip -k big && gzip -l big.gz | awk 'NR == 2 { print $2 }' && zcat big.gz | cmp - big && echo gzip ok
command -v cpio >/dev/null && find tree -type f | cpio -o --quiet | cpio -it --quiet | wc -l
command -v openssl >/dev/null && openssl enc -aes-256-cbc -pbkdf2 -k key -in big | openssl enc -d -aes-256-cbc -pbkdf2 -k key | cmp - big && openssl dgst -sha256 big | cut -d' ' -f2
[ -d /proc/self ] && echo done
