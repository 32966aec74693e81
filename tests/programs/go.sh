# Go's run time: raw system calls, its own threads and signals.
command -v go >/dev/null || exit 77
export GOCACHE=$PWD/cache GOFLAGS=-mod=mod GOTOOLCHAIN=local GO111MODULE=off GOTELEMETRY=off
cat >main.go <<'END'
package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

func main() {
	var wg sync.WaitGroup
	var mu sync.Mutex
	sum := 0
	for i := 0; i < 200; i++ {
		wg.Add(1)
		go func(n int) { defer wg.Done(); time.Sleep(time.Millisecond); mu.Lock(); sum += n; mu.Unlock() }(i)
	}
	wg.Wait()
	out, err := exec.Command("echo", "child").Output()
	fmt.Print(sum, " ", string(out), err, "\n")
	os.WriteFile("f", make([]byte, 1<<20), 0600)
	st, _ := os.Stat("f")
	fmt.Println(st.Size(), st.Mode())
	ch := make(chan int)
	go func() { for i := 0; i < 10000; i++ { ch <- i }; close(ch) }()
	n := 0
	for v := range ch { n += v }
	fmt.Println(n)
}
END
go build -o prog main.go && ./prog
