package history

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/atomicfile"

	"github.com/strata-build/strata/store"
)

// maxRecord bounds the file of a record.
const maxRecord = 64 << 20

// Records are the last builds of targets, each in a file of its own. Many
// commands may read and write them at once. A file that cannot be understood
// is as good as none, with a warning.
type Records struct {
	dir  string
	warn func(error)
}

// RecordsDir returns the directory of the user's records: strata/records in the
// user's state directory, "" if there is none.
func RecordsDir(lookupEnv func(string) (string, bool)) string {
	if dir, ok := lookupEnv("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "strata", "records")
	}
	if home, ok := lookupEnv("HOME"); ok && home != "" {
		return filepath.Join(home, ".local", "state", "strata", "records")
	}
	return ""
}

// OpenRecords returns the records in dir, which need not exist; "" holds none
// and keeps none. warn is told of files that are passed over.
func OpenRecords(dir string, warn func(error)) *Records { return &Records{dir: dir, warn: warn} }

// A recordFile is a record and whose it is.
type recordFile struct {
	Project string `json:"project"`
	Record  Record `json:"record"`
}

// Save keeps rec as the latest of its target in project, the absolute directory
// of a build. When it returns, the record survives a crash.
func (r *Records) Save(project string, rec Record) error {
	if r.dir == "" {
		return nil
	}
	data, err := json.Marshal(recordFile{project, rec})
	if err != nil {
		return fmt.Errorf("keeping the record of %q: %w", rec.Target, err)
	}
	dir := r.project(project)
	for _, d := range []string{r.dir, dir} { // one after another: no link is followed
		err := os.MkdirAll(d, 0o700)
		if err == nil {
			err = store.CheckDir(d)
		}
		if err != nil {
			return fmt.Errorf("keeping the record of %q: %w", rec.Target, err)
		}
	}
	if err := writeFile(dir, fileName(rec.Target), data); err != nil {
		return fmt.Errorf("keeping the record of %q: %w", rec.Target, err)
	}
	return nil
}

func writeFile(dir, name string, data []byte) error {
	f, err := atomicfile.New(filepath.Join(dir, name), 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Cancel())
	}
	if err := f.Close(); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Latest returns the latest record of target in project, if there is one.
func (r *Records) Latest(project, target string) (Record, bool) {
	if r.dir == "" {
		return Record{}, false
	}
	path := filepath.Join(r.project(project), fileName(target))
	rec, err := readRecord(path, project)
	switch {
	case err == nil && rec.Target == target:
		return rec, true
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		r.warn(fmt.Errorf("record %s is passed over: %w", path, err))
	}
	return Record{}, false
}

// Targets lists the targets of project that have a record, by name.
func (r *Records) Targets(project string) []string {
	if r.dir == "" {
		return nil
	}
	files, err := os.ReadDir(r.project(project))
	if err != nil {
		return nil
	}
	var targets []string
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		rec, err := readRecord(filepath.Join(r.project(project), f.Name()), project)
		if err == nil {
			targets = append(targets, rec.Target)
		}
	}
	slices.Sort(targets)
	return targets
}

func readRecord(path, project string) (Record, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return Record{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return Record{}, err
	}
	var file recordFile
	if err := json.Unmarshal(data, &file); err != nil {
		return Record{}, err
	}
	if err := file.Record.check(); err != nil {
		return Record{}, err
	}
	if file.Project != project {
		return Record{}, fmt.Errorf("it belongs to %s", file.Project)
	}
	return file.Record, nil
}

// Parse reads the JSON form of a record.
func Parse(data []byte) (Record, error) {
	var rec Record
	if err := json.Unmarshal(data, &rec); err != nil {
		return Record{}, err
	}
	return rec, rec.check()
}

// check refuses what another program may mean by its words.
func (rec *Record) check() error {
	if s := rec.Schema; s < 1 || s > Schema {
		return fmt.Errorf("its schema is %d, and not one from 1 to %d", s, Schema)
	}
	return nil
}

func (r *Records) project(project string) string {
	sum := sha256.Sum256([]byte(project))
	return filepath.Join(r.dir, hex.EncodeToString(sum[:8]))
}

// fileName is the file of a target, readable unless the name is very long.
func fileName(target string) string {
	name := strings.ReplaceAll(url.PathEscape(target), ".", "%2E")
	if len(name) > 200 {
		sum := sha256.Sum256([]byte(target))
		name = name[:100] + hex.EncodeToString(sum[:16])
	}
	return name + ".json"
}
