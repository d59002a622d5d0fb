package plan

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/lower"
)

// Files says what is in files: package cache/files.
type Files interface {
	Digest(context.Context, files.Set) (*files.Tree, error)
	List(context.Context, files.Set) ([]files.File, error)
}

// An Index knows earlier successes. It never fails: what it can not tell is a
// miss.
type Index interface {
	// Get returns the success with this fingerprint, best the target's own.
	Get(ctx context.Context, fp index.Fingerprint, target string) (index.Entry, bool)
	// Last returns the last success of a target: here, or where it is shared.
	Last(target string) (index.Entry, bool)
	Detail(context.Context, index.Entry) (index.Detail, bool)
	Tree(ctx context.Context, e index.Entry, digest string) ([]byte, bool)
}

// A State says where what is wanted of a target is.
type State int

// The states.
const (
	Missing   State = iota // it has to be made again
	Elsewhere              // the image is there, but not under all wanted tags
	There                  // it is there
)

// Deliveries says whether what a target should leave behind is there as entry
// tells. The reasons are for what is not. Its error ends the plan: a registry
// that refuses the user, for instance.
type Deliveries interface {
	Check(ctx context.Context, t *config.Target, entry index.Entry) (State, []Reason, error)
}

// A Planner makes plans. Set its fields and call Make.
type Planner struct {
	Dir        string // of the project, absolute
	Graph      *graph.Graph
	Targets    []*config.Target // in graph order
	Lowerer    *lower.Lowerer
	Files      Files
	Index      Index
	Deliveries Deliveries
	Memo       Memo // may be nil

	Force  string        // why all that was asked for is solved, "" if it need not be
	MaxAge time.Duration // how old a success may be; 0 is no limit
	Now    time.Time
}

// A FileError says that a file the engine would be sent can not be read. It is
// inside a *graph.TargetError.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

func (p *Planner) fileError(t *config.Target, l lower.Local, err error) error {
	fe := &FileError{Path: l.Dir, Err: err}
	if bad, ok := errors.AsType[*files.Error](err); ok {
		fe.Path = bad.Path
	}
	return &graph.TargetError{ID: graph.ID(t.Name), Attr: "context", Err: fe}
}

// Make decides what has to be done for every target. All that is wrong with
// Dockerfiles and contexts is joined in its error.
func (p *Planner) Make(ctx context.Context) (*Plan, error) {
	subjects, err := p.examineAll(ctx)
	if err != nil {
		return nil, err
	}
	p.Lowerer.Renew()
	p.spread(subjects)
	plan := &Plan{}
	for _, t := range p.Targets {
		plan.Targets = append(plan.Targets, p.start(subjects[t.Name], subjects))
	}
	if err := p.lookUpAll(ctx, plan, subjects); err != nil {
		return nil, err
	}
	for _, t := range plan.Targets {
		if t.Action != Solve {
			continue
		}
		if err := p.explain(ctx, t, subjects[t.Name]); err != nil {
			return nil, err
		}
		p.steps(ctx, t)
		t.forget()
	}
	plan.weigh()
	return plan, nil
}

// lookups is how many targets are looked up at once; a registry is asked over
// few connections.
const lookups = 16

// examineAll examines the targets, as many at once as there are processors.
func (p *Planner) examineAll(ctx context.Context) (map[string]*subject, error) {
	list := make([]*subject, len(p.Targets))
	var g errgroup.Group
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, t := range p.Targets {
		g.Go(func() error {
			list[i] = p.examine(ctx, t)
			return nil
		})
	}
	_ = g.Wait() // the errors are in the list
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	all := map[string]*subject{}
	var errs []error
	for _, s := range list {
		all[s.target.Name] = s
		if _, follows := errors.AsType[*lower.NeedError](s.err); s.err != nil && !follows {
			errs = append(errs, s.err)
		}
	}
	return all, errors.Join(errs...)
}

// fresh reports whether the target is to be made without the engine's cache, so
// that it may come out otherwise though nothing has changed.
func (s *subject) fresh() bool { return s.target.NoCache || len(s.target.NoCacheFilter) > 0 }

// spread notes which targets stand on one that is made afresh.
func (p *Planner) spread(all map[string]*subject) {
	for _, t := range p.Targets { // needs come first
		s := all[t.Name]
		for _, in := range s.brief.Inputs {
			if parent := all[in.Name]; in.Kind == KindParent && parent != nil && (parent.fresh() || parent.on != "") {
				s.on = in.Name
			}
		}
	}
}

// start is a target before anything is looked up: to solve if the index need not
// be asked, else undecided.
func (p *Planner) start(s *subject, all map[string]*subject) *Target {
	t := &Target{Name: s.target.Name, Fingerprint: s.print, Implicit: s.target.Implicit, Trees: s.trees}
	for _, id := range s.target.Needs {
		t.Needs = append(t.Needs, string(id))
	}
	t.Inputs = p.named(s, all)
	switch {
	case len(s.brief.Unpinned) > 0:
		t.Unrecorded = "its inputs can not be told"
		for _, u := range s.brief.Unpinned {
			t.Reasons = append(t.Reasons, Reason{Kind: KindUnpinned, Path: u})
		}
	case p.Force != "" && !t.Implicit:
		t.Reasons = []Reason{{Kind: KindForced, Path: p.Force}}
	case s.fresh():
		t.Reasons = []Reason{{Kind: KindForced, Path: "no-cache", Place: placeOf(s.target, "no-cache")}}
	case s.on != "":
		t.Reasons = []Reason{{Kind: KindParent, Path: s.on, Place: placeOf(s.target, "contexts")}}
	default:
		return t
	}
	if !t.Implicit { // one that is only needed may be spared yet
		t.Action = Solve
	}
	return t
}

// lookUpAll decides all targets: those that were asked for at once, then those
// that they need, as far as something that is solved needs them. The others are
// spared, and nobody is asked about them.
func (p *Planner) lookUpAll(ctx context.Context, plan *Plan, all map[string]*subject) error {
	var next []*Target
	for _, t := range plan.Targets {
		if !t.Implicit && t.Action == "" {
			next = append(next, t)
		}
	}
	for {
		if err := p.lookUpSome(ctx, next, all); err != nil {
			return err
		}
		wanted := map[string]bool{}
		for _, t := range plan.Targets {
			if t.Action == Solve {
				for _, n := range t.Needs {
					wanted[n] = true
				}
			}
		}
		next = nil
		for _, t := range plan.Targets {
			if t.Action == "" && wanted[t.Name] {
				next = append(next, t)
			}
		}
		if len(next) == 0 {
			break
		}
	}
	for _, t := range plan.Targets {
		if t.Action == "" {
			t.Spared = len(t.Reasons) == 0
			t.Action, t.Reasons = Reuse, nil
		}
	}
	return nil
}

// lookUpSome looks targets up at once. One that has a reason already is solved.
func (p *Planner) lookUpSome(ctx context.Context, list []*Target, all map[string]*subject) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(lookups)
	for _, t := range list {
		t.Action = Solve
		if len(t.Reasons) == 0 {
			g.Go(func() error { return p.lookUp(gctx, t, all[t.Name]) })
		}
	}
	return g.Wait()
}

func placeOf(t *config.Target, attr string) string {
	r := t.Place(attr)
	if r.Filename == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line)
}

// lookUp finds an earlier success and whether it still counts.
func (p *Planner) lookUp(ctx context.Context, t *Target, s *subject) error {
	entry, ok := p.Index.Get(ctx, t.Fingerprint, t.Name)
	if !ok {
		return nil // explain says why
	}
	if age := p.Now.Sub(entry.Built); p.MaxAge > 0 && age > p.MaxAge {
		t.Reasons = []Reason{{Kind: KindAge, From: entry.Built.Format(time.RFC3339)}}
		return nil
	}
	state := There
	if !t.Implicit {
		var err error
		if state, t.Reasons, err = p.Deliveries.Check(ctx, s.target, entry); err != nil {
			return &graph.TargetError{ID: graph.ID(t.Name), Attr: "tags", Err: err}
		}
	}
	switch state {
	case There:
		t.Action, t.Entry = Reuse, &entry
	case Elsewhere:
		t.Action, t.Entry = Retag, &entry
	default:
		if len(t.Reasons) == 0 {
			t.Reasons = []Reason{{Kind: KindMissing}}
		}
	}
	return nil
}
