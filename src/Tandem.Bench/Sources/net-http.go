//go:debug default=go1.24
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
)

type status struct {
	Status string `json:"status"`
}

func main() {
	http.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(status{"healthy"})
	})
	http.HandleFunc("GET /cached/{key}", func(w http.ResponseWriter, r *http.Request) {
		found, ok := find(r.PathValue("key"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(found)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
