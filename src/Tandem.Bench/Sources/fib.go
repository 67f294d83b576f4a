package main

import "strconv"

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func main() {
	serve(map[string]func([]string) string{"fib": func(a []string) string {
		n, _ := strconv.Atoi(a[0])
		return strconv.Itoa(fib(n))
	}})
}
