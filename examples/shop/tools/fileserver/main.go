// Command fileserver serves the files below /srv at /static/.
package main

import (
	"net/http"
	"os"

	"example.com/shop/lib/server"
)

func main() {
	root := "/srv"
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	server.Main("fileserver", ":8085", newHandler(root))
}

func newHandler(root string) http.Handler {
	files := http.StripPrefix("/static/", http.FileServer(http.Dir(root)))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		files.ServeHTTP(w, r)
	})
	return mux
}
