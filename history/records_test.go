package history_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-build/strata/history"
)

func record(target string) history.Record {
	return history.Record{
		Schema: history.Schema, Target: target, Run: "12", BuiltAt: day, Tags: []string{"a"},
		Images: []history.Image{{Platform: "linux/amd64", Size: 7, SizeKind: "compressed", Layers: []history.Layer{
			{Step: 1, CreatedBy: "RUN x", Size: 7, Time: time.Second, State: history.Built},
		}}},
	}
}

// silent fails the test when there is a warning.
func silent(t *testing.T) func(error) { return func(err error) { t.Errorf("warning: %v", err) } }

func TestRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "records")
	r := history.OpenRecords(dir, silent(t))
	if _, ok := r.Latest("/p", "app"); ok {
		t.Error("a record from nowhere")
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading wrote: %v", err)
	}
	odd := []string{"app", "../../etc/passwd", ".", "..", "a/b", "a.b", "A", strings.Repeat("long", 100), strings.Repeat("long", 100) + "er", "ünïcode", "with space"}
	for _, target := range odd {
		if err := r.Save("/p", record(target)); err != nil {
			t.Errorf("%.20s: %v", target, err)
		}
	}
	other := record("app")
	other.Run = "other project"
	if err := r.Save("/q", other); err != nil {
		t.Error(err)
	}
	for _, target := range odd {
		if got, ok := r.Latest("/p", target); !ok || !reflect.DeepEqual(got, record(target)) {
			t.Errorf("%.20s: got %+v, %t", target, got, ok)
		}
	}
	if got, ok := r.Latest("/q", "app"); !ok || got.Run != "other project" {
		t.Errorf("got %+v, %t", got, ok)
	}
	if got := r.Targets("/q"); !reflect.DeepEqual(got, []string{"app"}) {
		t.Errorf("got %q", got)
	}
	if got := r.Targets("/p"); len(got) != len(odd) {
		t.Errorf("got %q", got)
	}
	if got := r.Targets("/none"); got != nil {
		t.Errorf("got %q", got)
	}
	newer := record("app")
	newer.Run = "13"
	if err := r.Save("/p", newer); err != nil {
		t.Error(err)
	}
	if got, _ := r.Latest("/p", "app"); got.Run != "13" {
		t.Errorf("got %+v", got)
	}
	none := history.OpenRecords("", silent(t))
	if err := none.Save("/p", newer); err != nil {
		t.Error(err)
	}
	if _, ok := none.Latest("/p", "app"); ok || none.Targets("/p") != nil {
		t.Error("records without a directory hold something")
	}
}

// A record of version 1 lists all targets that share a layer.
func TestRecordsOfVersion1(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "records")
	r := history.OpenRecords(dir, silent(t))
	if err := r.Save("/p", record("app")); err != nil {
		t.Fatal(err)
	}
	save(t, recordPath(t, dir), []byte(`{"project":"/p","record":{"schema":1,"target":"app","images":[{"platform":"linux/amd64","size":7,"sizeKind":"disk",`+
		`"layers":[{"createdBy":"RUN x","size":7,"sharedWith":["a","b"]},{"createdBy":"RUN y","size":0}]}]}}`))
	rec, ok := r.Latest("/p", "app")
	if !ok || rec.Images[0].Layers[0].Sharers() != 2 || rec.Images[0].Layers[1].Sharers() != 0 {
		t.Errorf("got %+v, %t", rec, ok)
	}
}

func TestRecordsDir(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"/s/strata/records":               {"XDG_STATE_HOME": "/s", "HOME": "/h"},
		"/h/.local/state/strata/records":  {"HOME": "/h"},
		"/h2/.local/state/strata/records": {"XDG_STATE_HOME": "relative", "HOME": "/h2"},
		"":                                {},
	} {
		got := history.RecordsDir(func(k string) (string, bool) { v, ok := env[k]; return v, ok })
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// recordPath finds the file of the only record in dir.
func recordPath(t *testing.T, dir string) string {
	t.Helper()
	found := must(filepath.Glob(filepath.Join(dir, "*", "*.json")))
	if len(found) != 1 {
		t.Fatalf("found %q", found)
	}
	return found[0]
}

// A record that is cut short anywhere, or that is another's, is as good as none.
func TestDamagedRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "records")
	var warnings []string
	r := history.OpenRecords(dir, func(err error) { warnings = append(warnings, err.Error()) })
	if err := r.Save("/p", record("app")); err != nil {
		t.Fatal(err)
	}
	path := recordPath(t, dir)
	whole := must(os.ReadFile(path))
	for n := range len(whole) {
		save(t, path, whole[:n])
		warnings = nil
		if rec, ok := r.Latest("/p", "app"); ok || len(warnings) != 1 || !strings.Contains(warnings[0], path) {
			t.Fatalf("cut at %d: got %+v, %t, %q", n, rec, ok, warnings)
		}
	}
	for _, bad := range []string{
		strings.Repeat("\x00", 4096), "null", "[]", `{"project":"/p"}`,
		strings.Replace(string(whole), `"schema":2`, `"schema":3`, 1),
		strings.Replace(string(whole), `"schema":2`, `"schema":0`, 1),
		strings.Replace(string(whole), `"project":"/p"`, `"project":"/q"`, 1),
	} {
		save(t, path, []byte(bad))
		warnings = nil
		if _, ok := r.Latest("/p", "app"); ok || len(warnings) != 1 {
			t.Errorf("%.40q: found %t, %q", bad, ok, warnings)
		}
	}
	if err := r.Save("/p", record("app")); err != nil {
		t.Error(err)
	}
	if _, ok := r.Latest("/p", "app"); !ok {
		t.Error("a new record does not mend a damaged one")
	}
}

func TestRecordsAreNotFollowed(t *testing.T) {
	bashrc := save(t, filepath.Join(t.TempDir(), ".bashrc"), []byte("precious"))
	precious := t.TempDir()
	dir := filepath.Join(t.TempDir(), "records")
	var warnings int
	r := history.OpenRecords(dir, func(error) { warnings++ })
	if err := r.Save("/p", record("app")); err != nil {
		t.Fatal(err)
	}
	path := recordPath(t, dir)
	relink := func(from, to string) {
		if err := errors.Join(os.RemoveAll(from), os.Symlink(to, from)); err != nil {
			t.Fatal(err)
		}
	}
	relink(path, bashrc)
	if _, ok := r.Latest("/p", "app"); ok || warnings != 1 {
		t.Errorf("a link was read: %t, %d warnings", ok, warnings)
	}
	if err := r.Save("/p", record("app")); err != nil { // replaces the link itself
		t.Error(err)
	}
	relink(filepath.Dir(path), precious)
	if err := r.Save("/p", record("app")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
	relink(dir, precious)
	if err := r.Save("/p", record("app")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
	if got := string(must(os.ReadFile(bashrc))); got != "precious" {
		t.Errorf("the file behind the link is %q", got)
	}
	var written []string
	_ = filepath.WalkDir(precious, func(path string, e fs.DirEntry, _ error) error {
		if path != precious {
			written = append(written, path)
		}
		return nil
	})
	if written != nil {
		t.Errorf("written through a link: %q", written)
	}
}

func TestConcurrentRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "records")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			r := history.OpenRecords(dir, silent(t))
			for j := range 5 {
				rec := record("shared")
				rec.Run = fmt.Sprint(i, j)
				if err := errors.Join(r.Save("/p", rec), r.Save("/p", record(fmt.Sprint("own", i)))); err != nil {
					t.Error(err)
				}
				if got, ok := r.Latest("/p", "shared"); !ok || got.Run == "" {
					t.Errorf("got %+v, %t", got, ok)
				}
			}
		})
	}
	wg.Wait()
	if got := history.OpenRecords(dir, silent(t)).Targets("/p"); len(got) != 21 {
		t.Errorf("got %q", got)
	}
}
