package lint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/strata-build/strata/config"
)

// check checks the build files of dir, the group default or all targets.
func check(t *testing.T, dir string, opts Options) *Report {
	t.Helper()
	ctx := context.Background()
	opts.Dir = dir
	cfg, err := config.Load(ctx, config.LoadOptions{Dir: dir})
	if e, ok := errors.AsType[*config.Error](err); ok {
		return Problems(e, opts)
	}
	if err != nil {
		t.Fatal(err)
	}
	sel, err := cfg.Resolve(config.Request{Targets: []string{"*"}})
	if e, ok := errors.AsType[*config.Error](err); ok {
		return Problems(e, opts)
	}
	if err != nil {
		t.Fatal(err)
	}
	rep, err := Check(ctx, cfg, sel, opts)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// unpack writes the files of an archive into a directory of their own.
func unpack(t *testing.T, ar *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range ar.Files {
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// expectation is how a fixture names a finding: at the end of its line, or on a
// line of its own above it.
var expectation = regexp.MustCompile(`# FINDING: ([A-Za-z, -]+)`)

// expected lists "file:line id" for the findings that files name.
func expected(ar *txtar.Archive) []string {
	var out []string
	for _, f := range ar.Files {
		lines := strings.Split(string(f.Data), "\n")
		for i, line := range lines {
			m := expectation.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			at := i + 1
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				for at++; strings.HasPrefix(strings.TrimSpace(lines[at-1]), "#"); at++ {
				}
			}
			for id := range strings.SplitSeq(m[1], ",") {
				out = append(out, fmt.Sprintf("%s:%d %s", f.Name, at, strings.TrimSpace(id)))
			}
		}
	}
	slices.Sort(out)
	return out
}

func found(r *Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s:%d %s", f.Place.Filename, f.Place.Start.Line, f.Rule))
	}
	slices.Sort(out)
	return out
}

// options are what the comment of a fixture asks for: enable=ID, ignore=ID,
// allow-base=PATTERN, home=DIR, and large-file=NAME for a file of 60 MB.
func options(t *testing.T, ar *txtar.Archive, dir string) Options {
	t.Helper()
	var o Options
	for word := range strings.FieldsSeq(string(ar.Comment)) {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "enable":
			o.Enable = append(o.Enable, value)
		case "ignore":
			o.Ignore = append(o.Ignore, value)
		case "allow-base":
			o.AllowBase = append(o.AllowBase, value)
		case "home":
			o.Home = filepath.Join(dir, value)
		case "large-file":
			file := filepath.Join(dir, value)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644), os.Truncate(file, 60<<20)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return o
}

// TestRules checks the fixtures. A target of a fixture reads one image at most:
// BuildKit's front end asks for several at once, and its cache of the answers has
// a race (builder/resolvecache.go, CacheError) that the detector tells.
func TestRules(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := unpack(t, ar)
			rep := check(t, dir, options(t, ar, dir))
			got, want := found(rep), expected(ar)
			if !slices.Equal(got, want) {
				var b strings.Builder
				if err := rep.WriteText(&b, false, 100); err != nil {
					t.Fatal(err)
				}
				t.Errorf("got:\n\t%s\nwant:\n\t%s\n%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"), b.String())
			}
		})
	}
}

// TestFixtures keeps two fixtures for every rule: one that it speaks of and one
// of which it has nothing to say.
func TestFixtures(t *testing.T) {
	for _, r := range Rules() {
		for name, silent := range map[string]bool{r.ID: false, r.ID + ".silent": true} {
			ar, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
			if err != nil {
				t.Error(err)
				continue
			}
			says := slices.ContainsFunc(expected(ar), func(e string) bool { return strings.HasSuffix(e, " "+r.ID) })
			if says == silent {
				t.Errorf("%s: names findings of %s: %v", name, r.ID, says)
			}
			if r.Off && !strings.Contains(string(ar.Comment), "enable="+r.ID) {
				t.Errorf("%s does not enable its rule", name)
			}
		}
	}
}
