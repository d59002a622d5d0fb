// Command api answers questions about the catalogue of the shop.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"

	"example.com/shop/lib/server"
	"example.com/shop/lib/shop"
)

func main() {
	products, err := load(catalogue())
	if err != nil {
		log.Fatal(err)
	}
	server.Main("api", ":8081", newHandler(products))
}

func catalogue() string {
	if f := os.Getenv("CATALOGUE"); f != "" {
		return f
	}
	return "/data/catalogue.json"
}

func load(file string) ([]shop.Product, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Products []shop.Product `json:"products"`
	}
	return doc.Products, json.Unmarshal(b, &doc)
}

func newHandler(products []shop.Product) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /products", func(w http.ResponseWriter, _ *http.Request) {
		shop.Reply(w, http.StatusOK, products)
	})
	mux.HandleFunc("GET /products/{id}", func(w http.ResponseWriter, r *http.Request) {
		for _, p := range products {
			if p.ID == r.PathValue("id") {
				shop.Reply(w, http.StatusOK, p)
				return
			}
		}
		http.Error(w, "no such product", http.StatusNotFound)
	})
	return mux
}
