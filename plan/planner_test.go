package plan

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/lower"
)

// A fakeIndex remembers entries; what a plan solves is put in by done.
type fakeIndex struct {
	entries map[index.Fingerprint]index.Entry
	last    map[string]index.Entry
	details map[string]index.Detail // by target
	trees   map[string][]byte
}

func (x *fakeIndex) Get(_ context.Context, fp index.Fingerprint, _ string) (index.Entry, bool) {
	e, ok := x.entries[fp]
	return e, ok
}

func (x *fakeIndex) Last(target string) (index.Entry, bool) { e, ok := x.last[target]; return e, ok }

func (x *fakeIndex) Detail(_ context.Context, e index.Entry) (index.Detail, bool) {
	d, ok := x.details[e.Target]
	return d, ok
}

func (x *fakeIndex) Tree(_ context.Context, _ index.Entry, d string) ([]byte, bool) {
	t, ok := x.trees[d]
	return t, ok
}

// done records that what p says was done at a time.
func (x *fakeIndex) done(p *Plan, at time.Time) {
	for _, t := range p.Targets {
		if t.Action != Solve || t.Unrecorded != "" {
			continue
		}
		e := index.Entry{Fingerprint: t.Fingerprint, Target: t.Name, Built: at}
		x.entries[t.Fingerprint], x.last[t.Name] = e, e
		x.details[t.Name] = index.Detail{Inputs: t.Inputs}
		for _, tree := range t.Trees {
			if tree.Listing != nil {
				x.trees[index.DigestOf(tree.Listing)] = tree.Listing
			}
		}
	}
}

// fakeDeliveries say of each target where its result is; there if nothing is said.
type fakeDeliveries map[string]State

func (d fakeDeliveries) Check(_ context.Context, t *config.Target, _ index.Entry) (State, []Reason, error) {
	s, ok := d[t.Name]
	switch {
	case !ok || s == There:
		return There, nil, nil
	case s == Elsewhere:
		return s, []Reason{{Kind: KindTag, Path: t.Name + ":1"}}, nil
	}
	return s, []Reason{{Kind: KindMissing, Path: t.Name}}, nil
}

// A project is what plans are made of, and each can be changed: lib, app that
// stands on it, and other.
type project struct {
	t       *testing.T
	dir     string
	targets []*config.Target
	index   *fakeIndex
	places  fakeDeliveries
	planner func(*Planner)
	foreign func(*config.Target) string // see lower.Options
}

func newProject(t *testing.T) *project {
	p := &project{t: t, dir: t.TempDir(), places: fakeDeliveries{}, index: &fakeIndex{
		entries: map[index.Fingerprint]index.Entry{}, last: map[string]index.Entry{}, details: map[string]index.Detail{}, trees: map[string][]byte{},
	}}
	script := func(s string) *string { return &s }
	p.targets = []*config.Target{
		{Name: "lib", Context: "lib", DockerfileInline: script("FROM scratch\nCOPY f /f\n")},
		{Name: "app", Context: "app", DockerfileInline: script("FROM scratch\nARG V=1\nCOPY f /f\nCOPY --from=lib /f /lib\nENV V=$V\n"),
			Contexts: map[string]string{"lib": "target:lib"}, Needs: []graph.ID{"lib"}, Args: map[string]string{}, Labels: map[string]string{}},
		{Name: "other", Context: "app", DockerfileInline: script("FROM scratch\nCOPY f /f\n")},
	}
	p.write("lib/f", "lib")
	p.write("app/f", "app")
	p.write("app/unused", "unused")
	return p
}

func (p *project) write(name, text string) {
	p.t.Helper()
	full := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) target(name string) *config.Target {
	for _, t := range p.targets {
		if t.Name == name {
			return t
		}
	}
	p.t.Fatalf("no target is named %q", name)
	return nil
}

var today = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// plan makes a plan and says it shortly: "lib: reuse; app: solve arg V".
func (p *project) plan() (*Plan, string) {
	p.t.Helper()
	planner := &Planner{
		Dir: p.dir, Targets: p.targets, Files: files.Open("", files.Options{}), Index: p.index, Deliveries: p.places, Now: today,
		Lowerer: lower.NewLowerer(p.t.Context(), p.targets, nil, lower.Options{Dir: p.dir, RunID: "run", Foreign: p.foreign}),
	}
	if p.planner != nil {
		p.planner(planner)
	}
	made, err := planner.Make(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	var out []string
	for _, t := range made.Targets {
		line := fmt.Sprintf("%s: %s", t.Name, t.Action)
		for _, r := range t.Reasons {
			line += " " + r.Kind + " " + r.Path
		}
		out = append(out, line)
	}
	return made, strings.Join(out, "; ")
}

func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*project)
		want   string
	}{
		{"nothing", func(*project) {}, "lib: reuse; app: reuse; other: reuse"},
		{"a file", func(p *project) { p.write("lib/f", "x") }, "lib: solve file lib/f; app: solve parent lib; other: reuse"},
		{"a file of two", func(p *project) { p.write("app/f", "x") }, "lib: reuse; app: solve file app/f; other: solve file app/f"},
		{"a file that nobody takes", func(p *project) { p.write("app/unused", "x") }, "lib: reuse; app: reuse; other: reuse"},
		{"an argument", func(p *project) { p.target("app").Args["V"] = "2" }, "lib: reuse; app: solve arg V config Env; other: reuse"},
		{"a label", func(p *project) { p.target("app").Labels["a"] = "b" }, "lib: reuse; app: solve config Labels; other: reuse"},
		{"a tag", func(p *project) { p.target("app").Tags = []string{"app:1"}; p.places["app"] = Elsewhere }, "lib: reuse; app: retag tag app:1; other: reuse"},
		{"a result gone", func(p *project) { p.places["lib"] = Missing }, "lib: solve missing lib; app: reuse; other: reuse"},
		{"a needed result gone", func(p *project) { p.target("lib").Implicit = true; p.places["lib"] = Missing }, "lib: reuse; app: reuse; other: reuse"},
		{"an output", func(p *project) { p.target("other").Outputs = []config.Output{{Type: "local", Dest: "out"}} },
			"lib: reuse; app: reuse; other: solve output local  output image  "},
		{"inline cache", func(p *project) { p.target("other").CacheTo = []config.CacheRef{{Type: "inline"}} },
			"lib: reuse; app: reuse; other: solve unknown nothing that is recorded by name has changed"},
		{"force", func(p *project) { p.planner = func(x *Planner) { x.Force = "--force" } },
			"lib: solve forced --force; app: solve forced --force; other: solve forced --force"},
		{"force of what is only needed", func(p *project) {
			p.target("lib").Implicit = true
			p.planner = func(x *Planner) { x.Force = "--force" }
		}, "lib: reuse; app: solve forced --force; other: solve forced --force"},
		{"no cache", func(p *project) { p.target("app").NoCache = true }, "lib: reuse; app: solve forced no-cache; other: reuse"},
		{"no cache for what others need", func(p *project) { p.target("lib").NoCache = true },
			"lib: solve forced no-cache; app: solve parent lib; other: reuse"},
		{"age", func(p *project) { p.planner = func(x *Planner) { x.MaxAge, x.Now = time.Hour, today.Add(time.Hour+1) } },
			"lib: solve age ; app: solve age ; other: solve age "},
		{"young enough", func(p *project) { p.planner = func(x *Planner) { x.MaxAge, x.Now = time.Hour, today.Add(time.Hour) } },
			"lib: reuse; app: reuse; other: reuse"},
		{"policy", func(p *project) {
			p.foreign = func(t *config.Target) string { return map[string]string{"lib": "a policy"}[t.Name] }
		}, "lib: solve unpinned what its Dockerfile names (a policy); app: solve unpinned what its Dockerfile names; other: reuse"},
		{"what can not be told", func(p *project) {
			s := "FROM scratch\nADD http://127.0.0.1/f /f\n"
			p.target("other").DockerfileInline = &s
		}, "lib: reuse; app: reuse; other: solve unpinned http://127.0.0.1/f"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newProject(t)
			first, said := p.plan()
			if want := "lib: solve new ; app: solve new ; other: solve new "; said != want {
				t.Fatalf("the first plan is %q, want %q", said, want)
			}
			p.index.done(first, today)
			tt.change(p)
			if _, said := p.plan(); said != tt.want {
				t.Errorf("the plan is\n%s\nwant\n%s", said, tt.want)
			}
		})
	}
}

// TestPlanInAnotherCheckout has the entries of one directory count in another.
func TestPlanInAnotherCheckout(t *testing.T) {
	a, b := newProject(t), newProject(t)
	made, _ := a.plan()
	a.index.done(made, today)
	b.index = a.index
	if _, said := b.plan(); said != "lib: reuse; app: reuse; other: reuse" {
		t.Errorf("the plan is %q", said)
	}
}

// TestStepsThatAreKnownAreExpectedInTheCache changes the last of the steps.
func TestStepsThatAreKnownAreExpectedInTheCache(t *testing.T) {
	p := newProject(t)
	made, _ := p.plan()
	p.index.done(made, today)
	for name, d := range p.index.details {
		d.Inputs = append(d.Inputs, made.Target(name).StepInputs(func(digest.Digest) time.Duration { return time.Second })...)
		p.index.details[name] = d
	}
	p.write("lib/f", "other")
	again, _ := p.plan()
	var got []string
	for _, st := range again.Target("app").Steps {
		got = append(got, fmt.Sprintf("%s %t", st.Name, st.Runs))
	}
	if want := "COPY f /f false, COPY --from=lib /f /lib true"; strings.Join(got, ", ") != want {
		t.Errorf("the steps that run are %q, want %q", strings.Join(got, ", "), want)
	}
}

// TestAChangeBehindALinkCounts looks at what is checked before an export.
func TestAChangeBehindALinkCounts(t *testing.T) {
	p := newProject(t)
	script := "FROM scratch\nCOPY link /f\n"
	p.target("other").DockerfileInline = &script
	p.write("app/sub/f", "f")
	if err := os.Symlink("sub/f", filepath.Join(p.dir, "app/link")); err != nil {
		t.Fatal(err)
	}
	made, _ := p.plan()
	tree := made.Target("other").Trees[0]
	for file, want := range map[string]bool{"link": true, "sub/f": true, "f": false} {
		if got := tree.Counts(file); got != want {
			t.Errorf("a change of %s counts: %t, want %t", file, got, want)
		}
	}
	p.index.done(made, today)
	p.write("app/sub/f", "other")
	if _, said := p.plan(); said != "lib: reuse; app: reuse; other: solve file app/sub/f" {
		t.Errorf("the plan is %q", said)
	}
}
