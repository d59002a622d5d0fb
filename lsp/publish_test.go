package lsp

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sourcegraph/jsonrpc2"
)

// A recorder notes what the editor is told: FILE vVERSION: N.
type recorder struct{ got []string }

func (r *recorder) Notify(_ context.Context, _ string, params any, _ ...jsonrpc2.CallOption) error {
	p := params.(publishParams)
	version := 0
	if p.Version != nil {
		version = *p.Version
	}
	r.got = append(r.got, fmt.Sprintf("%s v%d: %d", filepath.Base(p.URI), version, len(p.Diagnostics)))
	return nil
}

// take returns what was told since the last time.
func (r *recorder) take() []string {
	got := r.got
	r.got = nil
	return got
}

func TestWhatIsToldIsWhatChanged(t *testing.T) {
	dir := t.TempDir()
	s := newServer(Options{})
	heard := &recorder{}
	p := &publisher{conn: heard, told: map[string]publishParams{}}
	edit := func(name string, version int, text string) {
		uri := uriOf(filepath.Join(dir, name))
		if version == 0 {
			s.change(uri, nil)
		} else {
			s.change(uri, newDocument(uri, version, text))
		}
	}
	steps := []struct {
		name    string
		version int
		text    string
		want    []string
	}{
		{"build.hcl", 1, "x = y", []string{"build.hcl v1: 1"}},
		{"docker-bake.hcl", 1, "target \"a\" { nosuch = 1 }", []string{"docker-bake.hcl v1: 1"}},
		{"terragrunt.hcl", 1, "include \"root\" { path = x }", nil},
		{"ci.hcl", 1, "target \"a\" { args = 1 }", []string{"ci.hcl v1: 1"}},
		{"build.hcl", 2, "x = y", []string{"build.hcl v2: 1"}},
		{"build.hcl", 3, "x = 1", []string{"build.hcl v3: 0"}},
		{"docker-bake.hcl", 0, "", []string{"docker-bake.hcl v0: 0"}},
		{"build.hcl", 0, "", nil}, // it had no problems
	}
	for _, step := range steps {
		edit(step.name, step.version, step.text)
		<-s.changed
		s.publish(t.Context(), s.current(), p)
		if got := heard.take(); !slices.Equal(got, step.want) {
			t.Errorf("%s v%d: told %q, want %q", step.name, step.version, got, step.want)
		}
	}
	s.refresh()
	<-s.changed
	s.publish(t.Context(), s.current(), p)
	if got := heard.take(); len(got) > 0 {
		t.Errorf("told again: %q", got)
	}
}

// TestChangesStopReading: while a text is read, another version comes; nothing is
// said of the first.
func TestChangesStopReading(t *testing.T) {
	s := newServer(Options{})
	heard := &recorder{}
	p := &publisher{conn: heard, told: map[string]publishParams{}}
	uri := uriOf(filepath.Join(t.TempDir(), "build.hcl"))
	s.change(uri, newDocument(uri, 1, "x = y"))
	<-s.changed
	first := s.current()
	first.mu.Lock() // reading waits for this
	done := make(chan struct{})
	go func() {
		s.publish(t.Context(), first, p)
		close(done)
	}()
	s.change(uri, newDocument(uri, 2, "x = z"))
	for len(s.changed) > 0 { // until the change is seen
		time.Sleep(time.Millisecond)
	}
	first.mu.Unlock()
	<-done
	if got := heard.take(); len(got) > 0 || first.analysis != nil {
		t.Errorf("told %q", got)
	}
	<-s.changed // the second version is still to be read
	s.publish(t.Context(), s.current(), p)
	if got := heard.take(); !slices.Equal(got, []string{"build.hcl v2: 1"}) {
		t.Errorf("told %q", got)
	}
}

// TestBurstsAreOneReading counts readings on a clock that only waits move.
func TestBurstsAreOneReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(Options{})
		ctx, cancel := context.WithCancel(t.Context())
		readings := 0
		go func() {
			for s.settled(ctx) {
				readings++
			}
		}()
		for want := 1; want <= 3; want++ {
			for range 20 {
				s.refresh()
				time.Sleep(quiet / 2)
			}
			time.Sleep(quiet)
			synctest.Wait()
			if readings != want {
				t.Errorf("%d readings, want %d", readings, want)
			}
		}
		cancel()
		synctest.Wait()
	})
}

// TestAnyPrefixIsAnswered cuts a file anywhere, as someone does who types it.
func TestAnyPrefixIsAnswered(t *testing.T) {
	const text = others + "target \"a\" {\n  inherits = [target.base]\n  tags = [\"${local.registry}/é:${image(VERSION)}\"]\n  contexts = { x = \"target:base\" }\n  step {\n    run = <<EOT\nx ${self.name}\nEOT\n  }\n}\n"
	s := newServer(Options{})
	s.at = stageUp
	uri := uriOf(filepath.Join(t.TempDir(), "build.hcl"))
	for i := range len(text) {
		s.change(uri, newDocument(uri, i, text[:i]))
		req := &jsonrpc2.Request{}
		if err := req.SetParams(positionParams{documentID{uri}, newText([]byte(text[:i])).position(i)}); err != nil {
			t.Fatal(err)
		}
		q, err := s.current().question(t.Context(), req)
		if err != nil || q == nil {
			t.Fatalf("%q: %v", text[:i], err)
		}
		if q.complete() == nil {
			t.Errorf("%q: no list", text[:i])
		}
		q.hover()
		q.definition()
	}
}
