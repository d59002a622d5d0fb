package config

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestErrors loads the files in testdata/errors. A line that is wrong says so:
// "# ERROR: Summary", once for each problem that begins on it.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want := marked(t, file)
			_, err := Load(context.Background(), LoadOptions{Files: []string{file}, Mode: ModeStrata})
			e, ok := err.(*Error)
			if !ok {
				t.Fatalf("got %v, want %d problems", err, len(want))
			}
			var got []string
			for _, d := range e.Diags {
				got = append(got, fmt.Sprintf("%d: %s", d.Subject.Start.Line, d.Summary))
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got:\n  %s\nwant:\n  %s\n%v", strings.Join(got, "\n  "), strings.Join(want, "\n  "), err)
			}
		})
	}
}

// TestTreeErrors loads the trees in testdata/trees by their build.hcl. Lines of all
// files are marked as in TestErrors.
func TestTreeErrors(t *testing.T) {
	dirs, err := filepath.Glob("testdata/trees/*")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var want []string
			err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
				if err == nil && strings.HasSuffix(name, ".hcl") {
					for _, m := range marked(t, filepath.Join(dir, name)) {
						want = append(want, name+":"+m)
					}
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(context.Background(), LoadOptions{Dir: dir})
			e, ok := err.(*Error)
			if !ok {
				t.Fatalf("got %v, want %d problems", err, len(want))
			}
			var got []string
			for _, d := range e.Diags {
				got = append(got, fmt.Sprintf("%s:%d: %s", d.Subject.Filename, d.Subject.Start.Line, d.Summary))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got:\n  %s\nwant:\n  %s\n%v", strings.Join(got, "\n  "), strings.Join(want, "\n  "), err)
			}
		})
	}
}

func marked(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i, line := range strings.Split(string(data), "\n") {
		for j, mark := range strings.Split(line, "# ERROR: ") {
			if j > 0 {
				want = append(want, fmt.Sprintf("%d: %s", i+1, strings.TrimSpace(mark)))
			}
		}
	}
	slices.Sort(want)
	return want
}
