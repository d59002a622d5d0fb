package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"example.com/shop/lib/shop"
)

func TestARoundShipsWhatIsOpen(t *testing.T) {
	var shipped []string
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, _ *http.Request) {
		shop.Reply(w, http.StatusOK, []shop.Order{{ID: 3}, {ID: 5}})
	})
	mux.HandleFunc("POST /orders/{id}/ship", func(_ http.ResponseWriter, r *http.Request) {
		shipped = append(shipped, r.PathValue("id"))
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	w := &worker{orders: srv.URL}
	if err := w.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"3", "5"}; !slices.Equal(shipped, want) || w.shipped.Load() != 2 {
		t.Errorf("shipped %v (%d counted), want %v", shipped, w.shipped.Load(), want)
	}
}
