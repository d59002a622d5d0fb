package lsp

import (
	"bytes"
	"context"
	"maps"
	"net/url"
	"path/filepath"
	"sync"

	"github.com/sourcegraph/jsonrpc2"
)

// A document is one version of a text that an editor has open.
type document struct {
	uri     string
	version int
	*text
}

func newDocument(uri string, version int, content string) *document {
	return &document{uri, version, newText(bytes.TrimPrefix([]byte(content), []byte("\ufeff")))}
}

// A snapshot is all that is open at one time. It does not change.
type snapshot struct {
	server    *server
	documents map[string]*document // by path

	mu       sync.Mutex
	analysis *analysis // nil until it was asked for
}

// change puts the text of a document in the place of the one there was, or closes
// it if doc is nil.
func (s *server) change(uri string, doc *document) {
	path, ok := pathOf(uri)
	if !ok {
		return
	}
	s.replace(func(documents map[string]*document) {
		if doc == nil {
			delete(documents, path)
		} else {
			documents[path] = doc
		}
	})
}

// refresh has everything read again.
func (s *server) refresh() { s.replace(func(map[string]*document) {}) }

func (s *server) replace(f func(map[string]*document)) {
	s.mu.Lock()
	documents := maps.Clone(s.snapshot.documents)
	f(documents)
	s.snapshot = &snapshot{server: s, documents: documents}
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default: // it is known already
	}
}

func (s *server) current() *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot
}

// analyse reads what the documents belong to, once.
func (s *snapshot) analyse(ctx context.Context) (*analysis, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.analysis != nil {
		return s.analysis, nil
	}
	a, err := analyse(ctx, s)
	if err != nil {
		return nil, err
	}
	s.analysis = a
	return a, nil
}

// A question is a place in a document that something is asked about.
type question struct {
	*document
	path     string
	offset   int
	project  *project
	snippets bool // the editor can fill in places
}

// question reads the parameters of a request; it is nil if the document is not open
// or no build file in HCL.
func (s *snapshot) question(ctx context.Context, req *jsonrpc2.Request) (*question, error) {
	var p positionParams
	if err := read(req, &p); err != nil {
		return nil, err
	}
	path, ok := pathOf(p.Document.URI)
	doc := s.documents[path]
	if !ok || doc == nil || filepath.Ext(path) == ".json" {
		return nil, nil
	}
	a, err := s.analyse(ctx)
	if err != nil || a.of[path] == nil {
		return nil, err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	return &question{
		document: doc, path: path, offset: doc.offset(p.Position), project: a.of[path],
		snippets: s.server.client.Capabilities.Document.Completion.Item.Snippets,
	}, nil
}

// pathOf is the path of a file: URI; ok is false for all others.
func pathOf(uri string) (path string, ok bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Path == "" {
		return "", false
	}
	return filepath.Clean(u.Path), true
}

func uriOf(path string) string {
	return (&url.URL{Scheme: "file", Path: path}).String()
}
