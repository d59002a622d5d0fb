package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestCheck(t *testing.T) {
	well := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	defer well.Close()
	ill := httptest.NewServer(http.NotFoundHandler())
	defer ill.Close()
	if err := check(well.Listener.Addr().String()); err != nil {
		t.Errorf("a server that is well: %v", err)
	}
	for _, addr := range []string{"", "nonsense", ill.Listener.Addr().String()} {
		if check(addr) == nil {
			t.Errorf("check(%q) = nil, want an error", addr)
		}
	}
}
