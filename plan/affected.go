package plan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/lower"
)

// A Touched file is one that a change touches. From and To tell its content
// before and after, in any words; "" is that it does not exist then, and both
// empty that nothing is known.
type Touched struct {
	Path     string // absolute
	From, To string
}

// A Change is what targets may be affected by.
type Change struct {
	Files []Touched
	// Before tells what the targets were made of before the change; nil if no
	// build file, Dockerfile or ignore file is touched, or nobody knows.
	Before *Before
	// Unknown says that Before is not known: a touched file that says what a
	// target is made of affects the target, whatever has changed in it.
	Unknown bool
	// Match says whether a set reads a file: (*files.Cache).Match.
	Match func(files.Set, string) (bool, error)
	// Declares says whether a file, an absolute path, is a build file that
	// declares a part of the target; for Unknown.
	Declares func(t *config.Target, file string) bool
}

// Before is what targets were made of before a change.
type Before struct {
	Dir     string // where the project lay, absolute: paths below stand for those below Planner.Dir
	Targets map[string]*config.Target
	Lowerer *lower.Lowerer // of Targets
	// Err says why nothing is known of what was before, nil if something is.
	Err error
}

// An Affected is a target that a change touches.
type Affected struct {
	Name    string
	Needs   []string
	Reasons []Reason // causes first
}

// Affected lists the targets whose inputs change differs, in graph order. What
// is wrong with the targets as they are now is joined in its error; a target
// that was in error before is affected.
func (p *Planner) Affected(ctx context.Context, change Change) ([]Affected, error) {
	briefs, err := p.briefs(ctx)
	if err != nil {
		return nil, err
	}
	e := effects{
		p: p, change: change, briefs: briefs,
		affected: map[string]bool{}, matches: map[string]bool{}, dirs: map[string][]string{}, readings: map[string][]lower.Reading{},
	}
	var out []Affected
	for _, t := range p.Targets {
		reasons, err := e.of(ctx, t)
		if err != nil {
			return nil, err
		}
		if len(reasons) == 0 {
			continue
		}
		if same, err := e.unchanged(ctx, t); err != nil {
			return nil, err
		} else if same {
			continue
		}
		e.affected[t.Name] = true
		a := Affected{Name: t.Name, Reasons: reasons}
		for _, id := range t.Needs {
			a.Needs = append(a.Needs, string(id))
		}
		out = append(out, a)
	}
	return out, nil
}

// briefs are those of all targets, as many at once as there are processors.
func (p *Planner) briefs(ctx context.Context) (map[string]*lower.Brief, error) {
	list := make([]*lower.Brief, len(p.Targets))
	errs := make([]error, len(p.Targets))
	var g errgroup.Group
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, t := range p.Targets {
		g.Go(func() error {
			list[i], errs[i] = p.Lowerer.Brief(t.Name)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	errs = slices.DeleteFunc(errs, func(err error) bool {
		_, follows := errors.AsType[*lower.NeedError](err)
		return follows
	})
	all := map[string]*lower.Brief{}
	for i, t := range p.Targets {
		all[t.Name] = list[i]
	}
	return all, errors.Join(errs...)
}

// effects finds out what a change does to targets, needs first.
type effects struct {
	p        *Planner
	change   Change
	briefs   map[string]*lower.Brief
	affected map[string]bool
	matches  map[string]bool     // answers of Match, by set and path
	dirs     map[string][]string // a directory and what it is without links, with a slash at their ends
	readings map[string][]lower.Reading
}

// of are the reasons for which t is affected, none if it is not.
func (e *effects) of(ctx context.Context, t *config.Target) ([]Reason, error) {
	b := e.briefs[t.Name]
	d, err := e.definition(ctx, t, b)
	if err != nil {
		return nil, err
	}
	own, inherited, err := e.files(ctx, t, b)
	if err != nil {
		return nil, err
	}
	reasons := slices.Concat(d.reasons, own)
	if d.differs || inherited || e.change.Unknown {
		for _, in := range b.Inputs {
			if in.Kind == KindParent && e.affected[in.Name] {
				reasons = append(reasons, Reason{Kind: KindParent, Path: in.Name, Place: in.Place})
			}
		}
	}
	if len(reasons) == 0 && (d.differs || inherited) {
		reasons = []Reason{{Kind: KindUnknown, Path: "another part of its definition changed"}}
	}
	return reasons, nil
}

// files are the touched files that t's own steps take, and whether steps of
// targets it needs, on which it stands, take one.
func (e *effects) files(ctx context.Context, t *config.Target, b *lower.Brief) (own []Reason, inherited bool, err error) {
	for _, f := range e.change.Files {
		mine, theirs, err := e.taken(ctx, b, f.Path)
		if err != nil {
			return nil, false, e.p.fileError(t, lower.Local{}, err)
		}
		inherited = inherited || theirs
		if mine < 0 && !e.judges(b, f.Path) {
			continue
		}
		own = append(own, Reason{Kind: KindFile, Path: e.p.relative(f.Path), From: f.From, To: f.To, Place: e.reader(ctx, b, f.Path)})
	}
	return own, inherited, nil
}

// judges reports whether a file has, or had, a policy's rules for the target: the one
// beside its Dockerfile or, if the engine lowers it, any in its directories. Ignore
// files are no reason not to read one.
func (e *effects) judges(b *lower.Brief, file string) bool {
	dockerfile, ok := strings.CutSuffix(file, ".rego")
	if !ok {
		return false
	}
	return slices.ContainsFunc(b.Reads, func(r lower.Read) bool { return r.Path == dockerfile }) ||
		b.Foreign != "" && slices.ContainsFunc(b.Locals, func(l lower.Local) bool { return e.below(l, file) != "" })
}

// reader is the line of the target's first step that reads a file. It takes
// lowering the target wholly.
func (e *effects) reader(ctx context.Context, b *lower.Brief, file string) string {
	readings, known := e.readings[b.Target]
	if !known {
		readings = e.p.readings(ctx, b.Target)
		e.readings[b.Target] = readings
	}
	c := comparison{readings: readings}
	for _, l := range b.Locals {
		if rel := e.below(l, file); rel != "" {
			if place := c.reader(setOf(l), rel); place != "" {
				return place
			}
		}
	}
	return ""
}

// taken finds the use that takes a file: the number of its local source, -1 if
// none of the target's own does.
func (e *effects) taken(ctx context.Context, b *lower.Brief, file string) (mine int, theirs bool, err error) {
	mine = -1
	for _, u := range b.Uses {
		if u.Inherited && theirs || !u.Inherited && mine >= 0 {
			continue
		}
		rel := e.below(b.Locals[u.Local], file)
		if rel == "" {
			continue
		}
		set := setOf(b.Locals[u.Local])
		takes, err := e.takes(ctx, set, u, rel)
		if err == nil && !takes {
			takes, err = e.took(set, u.Src, rel, file)
		}
		switch {
		case err != nil:
			return -1, false, err
		case takes && u.Inherited:
			theirs = true
		case takes:
			mine = u.Local
		}
	}
	return mine, theirs, nil
}

// takes reports whether a use of a set takes the file at rel, by the rules of
// [Planner.selected].
func (e *effects) takes(ctx context.Context, set files.Set, u lower.Use, rel string) (bool, error) {
	read, err := e.match(set, rel)
	if !read || err != nil {
		return false, err
	}
	if u.Src == "" || (lower.Selection{Src: u.Src}).Matches(rel) || mayLead(rel, u.Src) {
		return true, nil
	}
	list, err := e.p.Files.List(ctx, set)
	if err != nil {
		return false, err
	}
	selections := expand(list, u)
	return selections == nil || len(matching([]files.File{{Path: rel}}, selections)) > 0, nil
}

// took reports whether a use of a set took a file that is there no more: what a
// set follows is only known of files that are there.
func (e *effects) took(set files.Set, src, rel, file string) (bool, error) {
	if _, err := os.Lstat(file); err == nil || len(set.Follow) == 0 || !(lower.Selection{Src: src}).Matches(rel) {
		return false, nil
	}
	set.Follow = nil
	return e.match(set, rel)
}

func (e *effects) match(set files.Set, rel string) (bool, error) {
	key := fmt.Sprintf("%q %q %q %q %q", set.Dir, set.Include, set.Exclude, set.Follow, rel)
	if known, ok := e.matches[key]; ok {
		return known, nil
	}
	read, err := e.change.Match(set, rel)
	if err == nil {
		e.matches[key] = read
	}
	return read, err
}

// below is the path of a file from the directory of a local source, "" if it is
// not below it. The directory may be reached by a link.
func (e *effects) below(l lower.Local, file string) string {
	dirs, known := e.dirs[l.Dir]
	if !known {
		slash := string(filepath.Separator)
		dirs = []string{strings.TrimSuffix(l.Dir, slash) + slash}
		if real, err := filepath.EvalSymlinks(l.Dir); err == nil && real != l.Dir {
			dirs = append(dirs, strings.TrimSuffix(real, slash)+slash)
		}
		e.dirs[l.Dir] = dirs
	}
	for _, dir := range dirs {
		if rel, ok := strings.CutPrefix(file, dir); ok {
			return filepath.ToSlash(rel)
		}
	}
	return ""
}

// relative says a path as people do: from the project's directory.
func (p *Planner) relative(file string) string {
	if rel, err := filepath.Rel(p.Dir, file); err == nil {
		return filepath.ToSlash(rel)
	}
	return file
}
