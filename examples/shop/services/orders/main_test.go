package main

import (
	"net/http/httptest"
	"testing"

	"example.com/shop/lib/shop"
)

func TestAnOrderIsPlacedAndShipped(t *testing.T) {
	srv := httptest.NewServer(newHandler())
	defer srv.Close()
	var placed, shipped shop.Order
	if err := shop.Post(t.Context(), srv.URL+"/orders", shop.Order{Product: "mug", Pieces: 2}, &placed); err != nil {
		t.Fatal(err)
	}
	if want := (shop.Order{ID: 1, Product: "mug", Pieces: 2, State: shop.Placed}); placed != want {
		t.Errorf("placed %+v, want %+v", placed, want)
	}
	if err := shop.Post(t.Context(), srv.URL+"/orders/1/ship", nil, &shipped); err != nil {
		t.Fatal(err)
	}
	var open []shop.Order
	if err := shop.Get(t.Context(), srv.URL+"/orders?state=placed", &open); err != nil {
		t.Fatal(err)
	}
	if shipped.State != shop.Shipped || len(open) != 0 {
		t.Errorf("shipped %+v, still open %+v", shipped, open)
	}
}

func TestAnEmptyOrderIsRefused(t *testing.T) {
	srv := httptest.NewServer(newHandler())
	defer srv.Close()
	if err := shop.Post(t.Context(), srv.URL+"/orders", shop.Order{}, nil); err == nil {
		t.Error("an order for nothing was taken")
	}
}
