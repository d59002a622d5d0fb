package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/shop/lib/shop"
)

func TestIndexShowsTheCatalogue(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		shop.Reply(w, http.StatusOK, []shop.Product{{ID: "mug", Name: "Mug", Cents: 950, Stock: 3}})
	}))
	defer api.Close()
	h, err := newHandler(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if want := "<td>Mug</td><td>9.50 €</td><td>3 left</td>"; !strings.Contains(rec.Body.String(), want) {
		t.Errorf("the page does not have %q:\n%s", want, rec.Body)
	}
}

func TestIndexSaysThatTheAPIIsAway(t *testing.T) {
	api := httptest.NewServer(http.NotFoundHandler())
	defer api.Close()
	h, err := newHandler(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != http.StatusBadGateway {
		t.Errorf("status %d, want %d", rec.Code, http.StatusBadGateway)
	}
}
