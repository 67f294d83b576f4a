package main

import (
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
)

func main() {
	gate := make(chan struct{})
	var begun atomic.Int64
	var all sync.WaitGroup
	count := 0
	answer := func() string { return strconv.Itoa(count) }
	serve(map[string]func([]string) string{
		"spawn": func(a []string) string {
			count, _ = strconv.Atoi(a[0])
			all.Add(count)
			for range count {
				go func() {
					begun.Add(1)
					<-gate
					all.Done()
				}()
			}
			for begun.Load() < int64(count) {
				runtime.Gosched()
			}
			return answer()
		},
		"settle": func([]string) string { runtime.GC(); return answer() },
		"wake":   func([]string) string { close(gate); all.Wait(); return answer() },
	})
}
