//go:debug default=go1.24
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/valyala/fasthttp"
)

type status struct {
	Status string `json:"status"`
}

func main() {
	log.Fatal(fasthttp.ListenAndServe("127.0.0.1:"+os.Args[1], func(c *fasthttp.RequestCtx) {
		if string(c.Path()) != "/health" {
			c.Error("Not Found", fasthttp.StatusNotFound)
			return
		}
		c.SetContentType("application/json")
		json.NewEncoder(c).Encode(status{"healthy"})
	}))
}
