package main

import (
	"strconv"
	"sync"
)

type entry struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// What the cached read answers from: any number may read and change it at once.
var cached = struct {
	sync.RWMutex
	entries map[string]entry
}{entries: make(map[string]entry)}

func init() {
	for i := range 1000 {
		n := strconv.Itoa(i)
		cached.entries["k"+n] = entry{"k" + n, "value-" + n}
	}
}

func find(key string) (entry, bool) {
	cached.RLock()
	defer cached.RUnlock()
	found, ok := cached.entries[key]
	return found, ok
}
