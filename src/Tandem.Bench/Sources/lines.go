//go:debug default=go1.24
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// How a bench program is talked with: it says "ready", and answers each line ("fib 40") with "ok" and what it computed.
func serve(phases map[string]func(arguments []string) string) {
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		fmt.Println("ok", phases[words[0]](words[1:]))
	}
}
