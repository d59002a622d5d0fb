package lsp

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/sourcegraph/jsonrpc2"
)

// publishing tells the editor what is wrong whenever texts change. A change that
// comes while one is read makes that reading stop.
func (s *server) publishing(ctx context.Context, conn *jsonrpc2.Conn) {
	p := &publisher{conn: conn, told: map[string]publishParams{}}
	for s.settled(ctx) {
		s.publish(ctx, s.current(), p)
	}
}

// settled waits until texts have changed and then were left alone for a while. It
// is false if the server ends.
func (s *server) settled(ctx context.Context) bool {
	select {
	case <-s.changed:
	case <-ctx.Done():
		return false
	}
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	for {
		select {
		case <-s.changed:
			timer.Reset(quiet)
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// publish reads the texts of snap and tells what is wrong, unless they change meanwhile.
func (s *server) publish(ctx context.Context, snap *snapshot, p *publisher) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan *analysis, 1)
	s.work.Go(func() {
		a, _ := snap.analyse(inner) // it fails only if it is cancelled
		done <- a
	})
	select {
	case a := <-done:
		if a != nil && s.current() == snap {
			p.tell(ctx, snap, a)
		}
	case <-s.changed:
		cancel()
		<-done
		select {
		case s.changed <- struct{}{}: // it is still to be read
		default:
		}
	case <-ctx.Done():
		<-done
	}
}

// A notifier tells the editor something. A jsonrpc2.Conn is one.
type notifier interface {
	Notify(ctx context.Context, method string, params any, opts ...jsonrpc2.CallOption) error
}

// A publisher remembers what the editor was told, by URI.
type publisher struct {
	conn notifier
	told map[string]publishParams
}

// tell sends what differs from what was told. Files without problems are told of
// once if they are open or had some.
func (p *publisher) tell(ctx context.Context, snap *snapshot, a *analysis) {
	now := a.diagnostics(snap)
	for uri, old := range p.told {
		if _, there := now[uri]; !there && len(old.Diagnostics) > 0 {
			now[uri] = publishParams{URI: uri, Diagnostics: []diagnostic{}}
		}
	}
	for _, uri := range slices.Sorted(maps.Keys(now)) {
		if old, told := p.told[uri]; told && reflect.DeepEqual(old, now[uri]) {
			continue
		}
		_ = p.conn.Notify(ctx, "textDocument/publishDiagnostics", now[uri]) // an editor that is gone needs none
	}
	p.told = now
}

// diagnostics are what is wrong, by URI. A document has what its own project says
// of it, other files what the first project says that reads them.
func (a *analysis) diagnostics(snap *snapshot) map[string]publishParams {
	out := map[string]publishParams{}
	for path, doc := range snap.documents {
		if p := a.of[path]; p != nil {
			out[doc.uri] = publishParams{URI: doc.uri, Version: &doc.version, Diagnostics: p.diagnosticsOf(path, doc.text)}
		}
	}
	for _, p := range a.projects {
		for path := range p.problems {
			uri := uriOf(path)
			if _, there := out[uri]; there || snap.documents[path] != nil {
				continue
			}
			out[uri] = publishParams{URI: uri, Diagnostics: p.diagnosticsOf(path, p.files[path])}
		}
	}
	return out
}

func (p *project) diagnosticsOf(path string, t *text) []diagnostic {
	out := []diagnostic{}
	for _, d := range p.problems[path] {
		one := diagnostic{Severity: severityError, Source: "strata", Message: d.Summary}
		if d.Severity == hcl.DiagWarning {
			one.Severity = severityWarning
		}
		if d.Detail != "" {
			one.Message += ": " + d.Detail
		}
		if d.Subject != nil && t != nil {
			one.Range = t.rangeOf(*d.Subject)
		}
		out = append(out, one)
	}
	return out
}
