package config

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestIncludedFilesAreLimited: what holds for the files of the command holds for
// those that they lead to.
func TestIncludedFilesAreLimited(t *testing.T) {
	big := "#" + strings.Repeat("x", maxFile-100) + "\n" // one word, quick to parse
	many := map[string]string{OwnFile: `include { paths = ["*"] }` + "\n" + big}
	for _, dir := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		many[dir+"/"+OwnFile] = big
	}
	for name, tt := range map[string]struct {
		files      map[string]string
		want, file string
	}{
		"size":       {map[string]string{OwnFile: "include { paths = [\"a\"] }\n", "a/build.hcl": big + big}, "it is larger than 4 MiB", OwnFile},
		"all sizes":  {many, "all files together are larger than 32 MiB", OwnFile},
		"loops":      {map[string]string{OwnFile: "include { paths = [\"a\"] }\n", "a/build.hcl": "x = " + nested(10, "0") + "\n"}, "loops run more than", "a/build.hcl"},
		"discovered": {map[string]string{OwnFile: "target \"t\" { needs = [\"a:a\"] }\n", "a/build.hcl": "x = " + nested(10, "0") + "\n"}, "loops run more than", "a/build.hcl"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tt.files, LoadOptions{})
			e, ok := err.(*Error)
			if !ok {
				t.Fatalf("got %v", err)
			}
			d := e.Diags[0]
			// on a slow machine the limit of time may be met first
			bounded := strings.Contains(d.Detail, tt.want) && d.Subject.Filename == tt.file || d.Summary == "Evaluation given up"
			if !bounded || e.Files[d.Subject.Filename] == nil {
				t.Errorf("got %v %s", d.Subject, d.Detail)
			}
		})
	}
}

// TestStoppedReading: a watch that has stopped ends the reading of files, and what
// was read is there to show.
func TestStoppedReading(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		writeTo(t, filepath.Join(dir, name, OwnFile), "target \"x\" {}\n")
	}
	m := newModule(ModeStrata)
	l := newIncluder(m, nil, LoadOptions{Dir: dir})
	defer l.close()
	if l.discover("a/build.hcl") == nil {
		t.Fatal("a was not read")
	}
	m.watch.stopped.Store(true)
	if l.discover("b/build.hcl") != nil {
		t.Error("b was read")
	}
	if _, err := l.glob("*"); err != errStopped {
		t.Errorf("looking for files: %v", err)
	}
	files := m.unparsed([]source{{OwnFile, nil}})
	if len(files) != 2 || files[OwnFile] == nil || files["a/build.hcl"] == nil {
		t.Errorf("got %v", files)
	}
}
