package plan

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/lower"
)

// A defined is what has changed in what a target is made of, but for what is in
// files.
type defined struct {
	reasons []Reason // of the target itself
	differs bool     // it does, or what it stands on
}

// definition compares t with what it was before the change.
func (e *effects) definition(ctx context.Context, t *config.Target, b *lower.Brief) (defined, error) {
	switch {
	case e.change.Unknown:
		reasons := e.definedBy(t, b)
		return defined{reasons, len(reasons) > 0}, nil
	case e.change.Before == nil:
		return defined{}, nil
	}
	before := e.change.Before
	if before.Err != nil {
		return unknownBefore(before.Err), nil
	}
	old := before.Targets[t.Name]
	if old == nil {
		return defined{[]Reason{{Kind: KindNew, Place: placeOf(t, "")}}, true}, nil
	}
	was, err := before.Lowerer.Brief(t.Name)
	if err != nil {
		if need, follows := errors.AsType[*lower.NeedError](err); follows {
			return defined{differs: e.affected[need.Need]}, nil
		}
		return unknownBefore(err), nil
	}
	return e.compare(ctx, &subject{target: old, brief: was}, &subject{target: t, brief: b})
}

// unchanged reports whether t is made of the same as before, though it looked
// affected: a directory may have been renamed with all that is in it, or a file
// been exchanged for an equal one.
func (e *effects) unchanged(ctx context.Context, t *config.Target) (bool, error) {
	before := e.change.Before
	if before == nil || before.Err != nil || before.Targets[t.Name] == nil {
		return false, nil
	}
	old := (&Planner{Dir: before.Dir, Lowerer: before.Lowerer, Files: e.p.Files}).examine(ctx, before.Targets[t.Name])
	if old.err != nil || len(old.brief.Unpinned) > 0 {
		return false, ctx.Err()
	}
	now := e.p.examine(ctx, t)
	if now.err != nil {
		return false, now.err
	}
	if t.Implicit || old.target.Implicit {
		return old.core == now.core, nil
	}
	return old.print == now.print, nil
}

func unknownBefore(err error) defined {
	return defined{[]Reason{{Kind: KindUnknown, Path: "what it was before can not be told: " + err.Error()}}, true}
}

// definedBy are the touched files that say what t is made of.
func (e *effects) definedBy(t *config.Target, b *lower.Brief) []Reason {
	var out []Reason
	for _, f := range e.change.Files {
		place := ""
		switch {
		case slices.ContainsFunc(b.Reads, func(r lower.Read) bool { return r.Path == f.Path }):
		case e.change.Declares != nil && e.change.Declares(t, f.Path):
			place = placeOf(t, "")
		default:
			continue
		}
		out = append(out, Reason{Kind: KindFile, Path: e.p.relative(f.Path), Place: place, From: f.From, To: f.To})
	}
	return out
}

// compare compares two definitions of a target. Content of files does not
// count; which files are read does.
func (e *effects) compare(ctx context.Context, was, is *subject) (defined, error) {
	for _, s := range []*subject{was, is} {
		s.uses = make([]string, len(s.brief.Uses))
		s.fingerprint()
	}
	outputs := !was.target.Implicit && !is.target.Implicit // an implicit target has lost its own
	d := defined{differs: was.core != is.core || outputs && was.print != is.print}
	if d.differs {
		c := comparison{now: &Target{}}
		d.reasons = c.compare(e.named(was, outputs), e.named(is, outputs))
	}
	read, err := e.rules(ctx, was, is)
	if err != nil {
		return d, err
	}
	d.differs = d.differs || len(read.reasons) > 0 || read.differs
	if !slices.ContainsFunc(d.reasons, func(r Reason) bool { return r.Kind == KindStep }) {
		d.reasons = append(d.reasons, read.reasons...) // else they follow from the step
	}
	return d, nil
}

// named are the inputs of s that are no files and no targets.
func (e *effects) named(s *subject, outputs bool) []index.Input {
	return slices.DeleteFunc(e.p.named(s, nil), func(in index.Input) bool {
		return in.Kind == kindFiles || in.Kind == KindParent || in.Kind == KindOutput && !outputs
	})
}

// rules compares which of the files that are there now are taken by the
// patterns of before and by those of now.
func (e *effects) rules(ctx context.Context, was, is *subject) (defined, error) {
	old := e.moved(was.brief)
	if slices.Equal(useKeys(old, true), useKeys(is.brief, true)) {
		return defined{}, nil
	}
	var d defined
	for _, inherited := range []bool{false, true} {
		before, err := e.takenFiles(ctx, old, inherited)
		if err != nil {
			return d, e.p.fileError(is.target, lower.Local{}, err)
		}
		now, err := e.takenFiles(ctx, is.brief, inherited)
		if err != nil {
			return d, e.p.fileError(is.target, lower.Local{}, err)
		}
		changes := files.Diff(before, now)
		if inherited {
			d.differs = len(changes) > 0
			continue
		}
		for _, ch := range changes {
			d.reasons = append(d.reasons, Reason{Kind: KindFile, Path: e.p.relative(ch.Path), From: short(ch.From), To: short(ch.To), Place: e.reader(ctx, is.brief, ch.Path)})
		}
	}
	return d, nil
}

// moved is a brief of before with its directories where they are now.
func (e *effects) moved(b *lower.Brief) *lower.Brief {
	out := &lower.Brief{Uses: b.Uses}
	for _, l := range b.Locals {
		if rel, err := filepath.Rel(e.change.Before.Dir, l.Dir); err == nil && l.Dir != "" {
			l.Dir = filepath.Join(e.p.Dir, rel)
		}
		out.Locals = append(out.Locals, l)
	}
	return out
}

// useKeys tell the uses of a brief, sorted.
func useKeys(b *lower.Brief, inherited bool) []string {
	var out []string
	for _, u := range b.Uses {
		if !u.Inherited || inherited {
			l := b.Locals[u.Local]
			out = append(out, fmt.Sprintf("%v %q %v %q %q %q %q", u.Inherited, u.Src, u.Contents, l.Dir, l.Include, l.Exclude, l.Follow))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// takenFiles are the files that the uses take, under absolute paths, sorted. A
// directory that is not there has none.
func (e *effects) takenFiles(ctx context.Context, b *lower.Brief, inherited bool) ([]files.File, error) {
	all := map[string]files.File{}
	for _, u := range b.Uses {
		if u.Inherited != inherited {
			continue
		}
		set := setOf(b.Locals[u.Local])
		list, err := e.p.Files.List(ctx, set)
		if err != nil {
			if e.isNow(set) {
				return nil, err
			}
			continue // it was there before
		}
		if selections := expand(list, u); u.Src != "" && selections != nil {
			list = matching(list, selections)
		}
		for _, f := range list {
			f.Path = filepath.Join(set.Dir, filepath.FromSlash(f.Path))
			all[f.Path] = f
		}
	}
	out := make([]files.File, 0, len(all))
	for _, f := range all {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b files.File) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// isNow reports whether a target reads a set now.
func (e *effects) isNow(set files.Set) bool {
	for _, b := range e.briefs {
		if b != nil && slices.ContainsFunc(b.Locals, func(l lower.Local) bool { return equalSets(setOf(l), set) }) {
			return true
		}
	}
	return false
}
