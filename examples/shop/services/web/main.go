// Command web renders the pages of the shop from what the api knows.
package main

import (
	"embed"
	"html/template"
	"log"
	"net/http"
	"os"
	"time"

	"example.com/shop/lib/server"
	"example.com/shop/lib/shop"
)

//go:embed templates
var templates embed.FS

func main() {
	api := os.Getenv("API_URL")
	if api == "" {
		api = "http://localhost:8081"
	}
	h, err := newHandler(api)
	if err != nil {
		log.Fatal(err)
	}
	server.Main("web", ":8084", h)
}

func newHandler(api string) (http.Handler, error) {
	pages, err := template.ParseFS(templates, "templates/*.html")
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		var products []shop.Product
		if err := shop.Get(r.Context(), api+"/products", &products); err != nil {
			http.Error(w, "the catalogue is away: "+err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		page := map[string]any{"Products": products, "Now": time.Now().In(zone).Format("15:04")}
		if err := pages.ExecuteTemplate(w, "index.html", page); err != nil {
			log.Print(err)
		}
	})
	return mux, nil
}
