//go:debug default=go1.24
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"
)

func main() {
	router := gin.New()
	router.Use(gin.Recovery())
	router.GET("/health", func(c *gin.Context) {
		c.JSON(http.StatusOK, gin.H{"status": "healthy"})
	})
	router.GET("/cached/:key", func(c *gin.Context) {
		found, ok := find(c.Param("key"))
		if !ok {
			c.Status(http.StatusNotFound)
			return
		}
		c.JSON(http.StatusOK, found)
	})
	log.Fatal(router.Run("127.0.0.1:" + os.Args[1]))
}
