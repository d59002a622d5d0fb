package registry_test

import (
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/strata-build/strata/registry"
)

func TestUnreachableIsNoAnswer(t *testing.T) {
	for status, want := range map[int]bool{
		http.StatusBadGateway: true, http.StatusServiceUnavailable: true, http.StatusTooManyRequests: true,
		http.StatusUnauthorized: false, http.StatusForbidden: false, http.StatusNotFound: false,
	} {
		e := &registry.Error{Status: status, Err: &registry.StatusError{StatusCode: status}}
		if got := e.Unreachable(); got != want {
			t.Errorf("status %d is no answer: %t, want %t", status, got, want)
		}
	}
	if e := (&registry.Error{Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}); !e.Unreachable() {
		t.Error("where nobody listens there is an answer")
	}
	if e := (&registry.Error{Err: errors.New("no image of that name")}); e.Unreachable() {
		t.Error("an error that is not the network's is no answer")
	}
}
