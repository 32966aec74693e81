"""The real work: a shell script each, run in an empty directory; the time of the whole command counts,
the sandbox's start and end included. `needs` are the programs without which it is left out."""
import shutil

WORK = {
    "python_start": ("python3", "/usr/bin/python3 -c pass"),
    "python_10_starts": ("python3", "for i in 1 2 3 4 5 6 7 8 9 10; do /usr/bin/python3 -c pass; done"),
    "python_cpu": ("python3", "/usr/bin/python3 -c 'print(sum(i * i for i in range(16000000)))'"),
    "node_start": ("node", "node -e 0"),
    "shell_loop": ("", "for i in $(seq 200); do /bin/true; done"),
    "compile": ("gcc make", """
        for i in 1 2 3 4 5 6; do
            printf '#include <stdio.h>\\nint f%d(void){return puts("x");}\\n' $i >f$i.c
        done
        echo 'int main(void){return 0;}' >main.c
        printf 'a: main.o f1.o f2.o f3.o f4.o f5.o f6.o\\n\\t$(CC) -o $@ $^\\n' >Makefile
        make -s -j2 CFLAGS=-O2"""),
    # The same with files that take the compiler some time.
    "compile_long": ("gcc make", """
        for i in 1 2 3 4; do {
            echo '#include <stdio.h>'
            echo '#include <stdlib.h>'
            echo '#include <string.h>'
            for j in $(seq 120); do
                echo "int f${i}_$j(int *a, int n) { int s = 0;"
                echo "for (int i = 0; i < n; i++) { a[i] = a[i] * $j + i % ($i + 3); if (a[i] & 1) s ^= a[i]; }"
                echo "qsort(a, n, sizeof(*a), (int (*)(const void *, const void *))strcmp);"
                echo "return s + printf(\\"%d\\", s); }"
            done
        } >f$i.c; done
        echo 'int main(void){return 0;}' >main.c
        printf 'a: main.o f1.o f2.o f3.o f4.o\\n\\t$(CC) -o $@ $^\\n' >Makefile
        make -s -j2 CFLAGS=-O2"""),
    "git_commit": ("git", """
        git init -q r && cd r && for i in $(seq 50); do echo $i >f$i; done && git add . &&
        git -c user.name=a -c user.email=b commit -qm x && git status -s"""),
    "git_clone": ("git", """
        git init -q r && cd r && for i in $(seq 50); do echo $i >f$i; done && git add . &&
        git -c user.name=a -c user.email=b commit -qm x && cd .. && git clone -q r s &&
        cd s && for i in 1 2 3 4 5; do git status -s; done"""),
    "sqlite_write": ("sqlite3", """
        sqlite3 d.db 'create table t(a,b); with recursive c(i) as (select 1 union all
            select i+1 from c where i<50000) insert into t select i, i*2 from c;'
        for i in 1 2 3 4 5; do sqlite3 d.db "insert into t values($i,$i)"; done"""),
    "sqlite_query": ("sqlite3", """
        sqlite3 :memory: 'create table t(a integer primary key,b); with recursive c(i) as (select 1 union
            all select i+1 from c where i<200000) insert into t select i, i*7%1000 from c;
            select b, count(*) from t group by b order by 2 desc limit 3; select sum(b) from t;'"""),
    "tar": ("tar", "tar cf u.tar -C /usr/share/perl5 ."),
    "untar": ("tar", "tar cf - -C /usr/share/perl5 . | tar xf - && rm -r *"),
    "find": ("find", "find /usr/share -name '*.conf' | wc -l"),
    "gzip": ("gzip", "head -c 8000000 /dev/urandom | gzip -9 | wc -c"),
    "sha256sum": ("sha256sum", "head -c 50000000 /dev/zero | sha256sum"),
}


def here():
    return {name: script for name, (needs, script) in WORK.items()
            if all(shutil.which(n) for n in needs.split())}
