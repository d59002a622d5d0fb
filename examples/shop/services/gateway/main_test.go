package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRoutes(t *testing.T) {
	behind := map[string]string{}
	for _, env := range []string{"API_URL", "ORDERS_URL", "SITE_URL", "WEB_URL"} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, env, " ", r.URL.Path)
		}))
		defer srv.Close()
		behind[env] = srv.URL
	}
	h, err := newHandler(func(name string) string { return behind[name] })
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/":                 "WEB_URL /",
		"/about":            "WEB_URL /about",
		"/products":         "API_URL /products",
		"/products/mug":     "API_URL /products/mug",
		"/orders":           "ORDERS_URL /orders",
		"/static/style.css": "SITE_URL /static/style.css",
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if got, _ := io.ReadAll(rec.Body); string(got) != want {
			t.Errorf("GET %s went to %q, want %q", path, got, want)
		}
	}
}
