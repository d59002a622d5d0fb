package main

import (
	"errors"
	"slices"
	"testing"

	"github.com/strata-build/strata/bench/internal/run"
)

func TestCompare(t *testing.T) {
	failed := run.Result{Err: errors.New("no")}
	for _, c := range []struct {
		ours, theirs run.Result
		want         []string
	}{
		{failed, failed, nil},
		{failed, run.Result{Out: []byte("{}")}, []string{"only strata refuses it: no"}},
		{run.Result{Out: []byte("{}")}, failed, []string{"only buildx refuses it: no"}},
		{run.Result{Out: []byte(`{"a":{"b":1}}`)}, run.Result{Out: []byte(`{"a": {"b": 1}}`)}, nil},
		{
			run.Result{Out: []byte(`{"a":{"b":["x"],"c":1}}`)}, run.Result{Out: []byte(`{"a":{"b":["y"]}}`)},
			[]string{`."a"."b" is ["x"], with buildx ["y"]`, `."a"."c" is 1, with buildx missing`},
		},
	} {
		if got := compare(c.ours, c.theirs); !slices.Equal(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
