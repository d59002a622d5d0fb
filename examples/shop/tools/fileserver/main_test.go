package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestFilesAreServedBelowStatic(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.css"), []byte("a{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := newHandler(root)
	for path, want := range map[string]int{
		"/static/a.css": http.StatusOK,
		"/static/b.css": http.StatusNotFound,
		"/a.css":        http.StatusNotFound,
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Code != want {
			t.Errorf("GET %s = %d, want %d", path, rec.Code, want)
		}
	}
}
