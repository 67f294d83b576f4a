//go:debug default=go1.24
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"os"
	"strconv"

	"github.com/valyala/fasthttp"
)

type status struct {
	Status string `json:"status"`
}

var body = bytes.Repeat([]byte("0123456789abcdef"), 64*1024/16)

// What a proxy has made of a request, for those who compare proxies; "requests" is how many came over this connection.
func echo(c *fasthttp.RequestCtx) {
	heard := map[string]string{"requests": strconv.FormatUint(c.ConnRequestNum(), 10)}
	c.Request.Header.VisitAll(func(name, value []byte) { heard[string(name)] = string(value) })
	c.SetContentType("application/json")
	json.NewEncoder(c).Encode(heard)
}

func main() {
	log.Fatal(fasthttp.ListenAndServe("127.0.0.1:"+os.Args[1], func(c *fasthttp.RequestCtx) {
		switch string(c.Path()) {
		case "/health", "/service/health":
			c.SetContentType("application/json")
			json.NewEncoder(c).Encode(status{"healthy"})
		case "/service/body":
			c.SetContentType("application/octet-stream")
			c.Write(body)
		case "/service/headers":
			echo(c)
		default:
			if key, isCached := bytes.CutPrefix(c.Path(), []byte("/cached/")); isCached {
				if found, ok := find(string(key)); ok {
					c.SetContentType("application/json")
					json.NewEncoder(c).Encode(found)
					return
				}
			}
			c.Error("Not Found", fasthttp.StatusNotFound)
		}
	}))
}
