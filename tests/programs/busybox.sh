# A static program that forks and execs itself.
command -v busybox >/dev/null || exit 77
busybox sh -c 'for i in 1 2 3; do echo $i; done | busybox sort -r; busybox seq 1 10 | busybox awk "{ s += \$1 } END { print s }"; echo $((3 * 4))'
busybox mkdir -p d && busybox touch d/x d/y && busybox ls d && busybox find d -type f | busybox wc -l && busybox rm -r d
busybox echo text | busybox sed s/e/E/ | busybox md5sum; busybox date -u -d @86400 +%F; busybox uname -m; busybox vi --help 2>&1 | busybox head -n 1 | busybox cut -c1-7
busybox dd if=/dev/zero bs=4096 count=16 2>/dev/null | busybox gzip | busybox gunzip | busybox wc -c
