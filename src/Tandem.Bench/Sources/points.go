package main

import (
	"fmt"
	"runtime"
	"strconv"
)

type point struct{ x, y, z float64 }

var kept []point

func main() {
	serve(map[string]func([]string) string{
		"make": func(a []string) string {
			n, _ := strconv.Atoi(a[0])
			kept = make([]point, n)
			for i := range kept {
				f := float64(i)
				kept[i] = point{f + 0.1, f + 0.2, f + 0.3}
			}
			return strconv.Itoa(n)
		},
		"settle": func([]string) string {
			runtime.GC()
			var sum float64
			for _, p := range kept {
				sum += p.x + p.y + p.z
			}
			return fmt.Sprintf("%.0f", sum)
		},
	})
}
