package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestCheck(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	for _, addr := range []string{"", "nonsense", srv.Listener.Addr().String()} {
		if check(addr) == nil {
			t.Errorf("check(%q) = nil, want an error", addr)
		}
	}
}
