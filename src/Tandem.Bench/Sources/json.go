package main

import (
	"encoding/json"
	"fmt"
	"os"
	"unicode/utf8"
)

type record struct {
	ID        int64    `json:"id"`
	Email     string   `json:"email"`
	Name      string   `json:"name"`
	CreatedAt string   `json:"created_at"`
	IsActive  bool     `json:"is_active"`
	Score     float64  `json:"score"`
	Tags      []string `json:"tags"`
}

var kept []record

func main() {
	serve(map[string]func([]string) string{
		"parse": func(a []string) string {
			data, err := os.ReadFile(a[0])
			if err == nil {
				err = json.Unmarshal(data, &kept)
			}
			if err != nil {
				panic(err)
			}
			return fmt.Sprint(len(kept))
		},
		"check": func([]string) string {
			var ids int64
			var names, tags int
			for _, r := range kept {
				ids, names, tags = ids+r.ID, names+utf8.RuneCountInString(r.Name), tags+len(r.Tags)
			}
			return fmt.Sprint(len(kept), ids, names, tags)
		},
	})
}
