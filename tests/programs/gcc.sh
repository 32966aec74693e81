# Compiles, links, runs; with make.
command -v gcc >/dev/null && command -v make >/dev/null || exit 77
set -e
cat >main.c <<'END'
#include <pthread.h>
#include <stdio.h>
int twice(int);
static void *thread(void *arg) { return (void *)(long)twice((int)(long)arg); }
int main(void)
{
	pthread_t t[8];
	long sum = 0;
	for (long i = 0; i < 8; i++) pthread_create(&t[i], NULL, thread, (void *)i);
	for (int i = 0; i < 8; i++) { void *r; pthread_join(t[i], &r); sum += (long)r; }
	printf("sum %ld\n", sum);
}
END
echo 'int twice(int x) { return 2 * x; }' >twice.c
cat >Makefile <<'END'
prog: main.o twice.o
	$(CC) -pthread -o $@ $^
clean:
	rm -f *.o prog
END
make -s -j2 && ./prog && make -q && echo up to date && touch twice.c && ! make -q 2>/dev/null && make -s && ./prog
gcc -O2 -static -pthread main.c twice.c -o static && ./static
gcc -shared -fPIC twice.c -o libtwice.so && gcc -pthread main.c -L. -ltwice -Wl,-rpath,"$PWD" -o shared && ./shared
gcc -g -c main.c && nm main.o | grep -c ' [TtU] ' && objdump -d prog | grep -c '<main>:' && size prog | wc -l
echo 'int main(void) { return x; }' | gcc -xc - -o bad 2>/dev/null || echo "error $?"
ar rcs lib.a twice.o && ar t lib.a && strip prog && ./prog && ldd ./shared | grep -c twice && make -s clean && ls
