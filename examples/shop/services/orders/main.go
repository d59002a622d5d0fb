// Command orders takes orders and remembers what became of them.
package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"example.com/shop/lib/server"
	"example.com/shop/lib/shop"
)

func main() { server.Main("orders", ":8082", newHandler()) }

// A book is all orders since the start, in the order they came.
type book struct {
	mu     sync.Mutex
	orders []shop.Order
}

func newHandler() http.Handler {
	b := &book{orders: []shop.Order{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", b.list)
	mux.HandleFunc("POST /orders", b.place)
	mux.HandleFunc("POST /orders/{id}/ship", b.ship)
	return mux
}

func (b *book) list(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state := r.URL.Query().Get("state")
	found := []shop.Order{}
	for _, o := range b.orders {
		if state == "" || o.State == state {
			found = append(found, o)
		}
	}
	shop.Reply(w, http.StatusOK, found)
}

func (b *book) place(w http.ResponseWriter, r *http.Request) {
	var o shop.Order
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&o)
	if err != nil || o.Product == "" || o.Pieces < 1 {
		http.Error(w, "an order needs a product and a number of pieces", http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o.ID, o.State = len(b.orders)+1, shop.Placed
	b.orders = append(b.orders, o)
	shop.Reply(w, http.StatusCreated, o)
}

func (b *book) ship(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil || id < 1 || id > len(b.orders) {
		http.Error(w, "no such order", http.StatusNotFound)
		return
	}
	o := &b.orders[id-1]
	o.State = shop.Shipped
	shop.Reply(w, http.StatusOK, *o)
}
