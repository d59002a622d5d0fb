package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
)

// Usage is what an index takes, wherever it is.
type Usage struct {
	Entries   int            `json:"entries"`
	Bytes     int64          `json:"bytes"`     // all in all
	Blobs     int            `json:"blobs"`     // details and listings, each counted once
	BlobBytes int64          `json:"blobBytes"` // packed
	Projects  []ProjectUsage `json:"projects"`  // by name
}

// A ProjectUsage is what a project takes of an index. What several share counts
// for each.
type ProjectUsage struct {
	Project string `json:"project"`
	Targets int    `json:"targets"`
	Entries int    `json:"entries"`
	Bytes   int64  `json:"bytes"`
}

// A Problem is something in an index that is not as it should be.
type Problem struct {
	What   string `json:"what"` // journal, entry, detail, listing, blob, snapshot, signature
	Name   string `json:"name"` // file, fingerprint, digest or tag
	Target string `json:"target,omitempty"`
	Detail string `json:"detail"`
}

// Usage tells what the index takes on disk.
func (l *Local) Usage() (Usage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.load()
	count := newCounter()
	for _, s := range l.table.live() {
		if e, ok := l.parse(s); ok {
			count.add(e, s.size(), l.blobSizes(e, nil))
		}
	}
	u := count.usage()
	if l.dir == "" {
		return u, nil
	}
	u.Blobs, u.BlobBytes, u.Bytes = 0, 0, l.table.size
	err := filepath.WalkDir(l.path(blobDir), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			u.Blobs++
			u.BlobBytes += fi.Size()
		}
		return err
	})
	u.Bytes += u.BlobBytes
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return u, fmt.Errorf("index: %w", err)
	}
	return u, nil
}

// A counter adds up what entries take.
type counter struct {
	entries  int
	bytes    int64
	blobs    map[string]int64
	projects map[string]*projectCount
}

type projectCount struct {
	entries int
	bytes   int64
	targets map[string]bool
	blobs   map[string]int64
}

func newCounter() *counter {
	return &counter{blobs: map[string]int64{}, projects: map[string]*projectCount{}}
}

// add counts an entry of size bytes and the blobs it needs.
func (c *counter) add(e Entry, size int64, blobs map[string]int64) {
	p := c.projects[e.Project]
	if p == nil {
		p = &projectCount{targets: map[string]bool{}, blobs: map[string]int64{}}
		c.projects[e.Project] = p
	}
	c.entries++
	c.bytes += size
	p.entries++
	p.bytes += size
	p.targets[e.Target] = true
	maps.Copy(c.blobs, blobs)
	maps.Copy(p.blobs, blobs)
}

func (c *counter) usage() Usage {
	u := Usage{Entries: c.entries, Bytes: c.bytes, Blobs: len(c.blobs), Projects: []ProjectUsage{}}
	for _, n := range c.blobs {
		u.BlobBytes += n
	}
	u.Bytes += u.BlobBytes
	for name, p := range c.projects {
		pu := ProjectUsage{Project: name, Targets: len(p.targets), Entries: p.entries, Bytes: p.bytes}
		for _, n := range p.blobs {
			pu.Bytes += n
		}
		u.Projects = append(u.Projects, pu)
	}
	slices.SortFunc(u.Projects, func(a, b ProjectUsage) int { return cmp.Compare(a.Project, b.Project) })
	return u
}

// Verify reads the whole index and tells what is wrong with it. Nothing is
// changed, but that damaged blobs are removed, as they are whenever one is
// read.
func (l *Local) Verify(ctx context.Context) ([]Problem, error) {
	if l.dir == "" {
		return nil, nil
	}
	if err := checkDir(l.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	release, err := l.lock(ctx, lockFile, false)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	err = l.readAll()
	release()
	l.loaded = true
	var problems []Problem
	switch {
	case errors.Is(err, errDamaged):
		problems = append(problems, Problem{What: "journal", Name: l.path(journalFile), Detail: "it " + err.Error()})
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("index: %w", err)
	}
	return l.verifyEntries(ctx, problems)
}

func (l *Local) verifyEntries(ctx context.Context, problems []Problem) ([]Problem, error) {
	checked := map[string]error{}
	blob := func(digest string) error {
		err, done := checked[digest]
		if !done {
			_, err = l.readBlob(digest)
			checked[digest] = err
		}
		return err
	}
	for _, s := range l.table.live() {
		if ctx.Err() != nil {
			return problems, context.Cause(ctx)
		}
		fp := fingerprint(s.key)
		e, err := parseEntry(s.json, fp)
		if err != nil {
			problems = append(problems, Problem{What: "entry", Name: string(fp), Detail: err.Error()})
			continue
		}
		problems = append(problems, blobProblems(e, blob)...)
	}
	return problems, nil
}

// blobProblems checks the blobs of an entry.
func blobProblems(e Entry, check func(digest string) error) (problems []Problem) {
	add := func(what, digest string) {
		if err := check(digest); err != nil {
			detail := err.Error()
			if errors.Is(err, fs.ErrNotExist) {
				detail = "it is missing"
			}
			problems = append(problems, Problem{What: what, Name: digest, Target: e.Target, Detail: detail})
		}
	}
	if e.Detail != "" {
		add("detail", e.Detail)
	}
	for _, t := range e.Trees {
		add("listing", t)
	}
	return problems
}
