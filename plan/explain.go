package plan

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/lower"
)

// kindFiles is the kind of inputs that stand for a set of files. Their value is
// the digest of the set's listing.
const kindFiles = "files"

// explain gives a target that is solved its listings, and its reasons if it has
// none yet: the difference to its last success.
func (p *Planner) explain(ctx context.Context, t *Target, s *subject) error {
	if last, ok := p.Index.Last(t.Name); ok {
		t.Last = &last
	}
	if err := p.list(ctx, t); err != nil {
		return p.fileError(s.target, lower.Local{}, err)
	}
	if len(t.Reasons) > 0 {
		return nil
	}
	if t.Last == nil {
		t.Reasons = []Reason{{Kind: KindNew}}
		return nil
	}
	old, ok := p.Index.Detail(ctx, *t.Last)
	if !ok {
		t.Reasons = []Reason{{Kind: KindUnknown, Path: "the details of the last build are gone"}}
		return nil
	}
	c := comparison{
		tree: func(digest string) ([]files.File, bool) { return oldTree(ctx, p.Index, *t.Last, digest) }, now: t,
		readings: p.readings(ctx, t.Name),
	}
	if t.Reasons = c.compare(old.Inputs, t.Inputs); len(t.Reasons) == 0 {
		t.Reasons = []Reason{{Kind: KindUnknown, Path: "nothing that is recorded by name has changed"}}
	}
	return nil
}

// list replaces the digests of file sets by those of their listings.
func (p *Planner) list(ctx context.Context, t *Target) error {
	for i := range t.Trees {
		tree := &t.Trees[i]
		if tree.own != nil {
			continue
		}
		list, err := p.Files.List(ctx, tree.Set)
		if err != nil {
			return err
		}
		tree.files = matching(list, withDirs(tree.Uses))
		tree.own = append([]files.File{}, matching(list, tree.Own)...) // not nil: it has been looked at
		tree.Listing = files.Encode(tree.own)
		for j, in := range t.Inputs {
			if in.Kind == kindFiles && in.Name == tree.Name {
				t.Inputs[j].Value = index.DigestOf(tree.Listing)
			}
		}
	}
	return nil
}

// forget lets go of the listings but for the form in which they are kept: those of
// a thousand targets are many files. They are listed again if they are asked for.
func (t *Target) forget() {
	for i := range t.Trees {
		t.Trees[i].files, t.Trees[i].own = nil, nil
	}
}

func (p *Planner) readings(ctx context.Context, name string) []lower.Reading {
	res, err := p.Lowerer.Result(ctx, name)
	if err != nil || res == nil {
		return nil
	}
	return res.Readings()
}

// A comparison finds what differs between two lists of inputs.
type comparison struct {
	tree     func(digest string) ([]files.File, bool) // of the old list
	now      *Target
	readings []lower.Reading
}

// causes are the kinds of inputs, causes before consequences.
var causes = []string{KindFrontend, KindPlatform, KindBase, KindArg, KindStep, KindConfig, kindFiles, KindParent, KindOutput}

// compare lists what differs, causes first. What merely follows from something
// else in the list is left out.
func (c *comparison) compare(old, now []index.Input) []Reason {
	var out, follow []Reason
	for _, kind := range causes {
		was, is := pick(old, kind), pick(now, kind)
		switch kind {
		case KindStep:
			changed, same := compareSteps(was, is)
			out, follow = append(out, changed...), append(follow, same...)
		case KindBase:
			out = append(out, pairBases(compareBases(was, is))...)
		case kindFiles:
			found, loose := c.compareFiles(was, is)
			out, follow = append(out, found...), append(follow, loose...)
		default:
			out = append(out, compareNamed(kind, was, is)...)
		}
	}
	if len(out) == 0 {
		return follow
	}
	return out
}

func pick(list []index.Input, kind string) []index.Input {
	var out []index.Input
	for _, in := range list {
		if in.Kind == kind {
			out = append(out, in)
		}
	}
	return out
}

func find(list []index.Input, name string) (index.Input, bool) {
	i := slices.IndexFunc(list, func(in index.Input) bool { return in.Name == name })
	if i < 0 {
		return index.Input{}, false
	}
	return list[i], true
}

func compareNamed(kind string, was, is []index.Input) []Reason {
	var out []Reason
	for _, in := range is {
		old, ok := find(was, in.Name)
		if !ok || old.Value != in.Value {
			out = append(out, Reason{Kind: kind, Path: in.Name, Place: in.Place, From: old.Value, To: in.Value})
		}
	}
	for _, in := range was {
		if _, ok := find(is, in.Name); !ok {
			out = append(out, Reason{Kind: kind, Path: in.Name, Place: in.Place, From: in.Value})
		}
	}
	return out
}

// compareSteps compares steps by what they do, not by their number: one that
// is put in does not change those after it. A step that reads the same and yet
// differs does so because of something else, an argument for instance.
func compareSteps(was, is []index.Input) (changed, same []Reason) {
	gone, came := without(was, is), without(is, was)
	for _, in := range came {
		text := stepText(in)
		old, ok := find(gone, in.Name)
		switch {
		case ok && stepText(old) == text:
			same = append(same, Reason{Kind: KindStep, Path: text, Place: in.Place, From: stepHash(old), To: stepHash(in)})
		case ok:
			changed = append(changed, Reason{Kind: KindStep, Path: text, Place: in.Place, From: stepText(old), To: text})
		default:
			changed = append(changed, Reason{Kind: KindStep, Path: text, Place: in.Place, To: text})
		}
	}
	for _, in := range gone {
		if _, ok := find(came, in.Name); !ok {
			changed = append(changed, Reason{Kind: KindStep, Path: stepText(in), Place: in.Place, From: stepText(in)})
		}
	}
	return changed, same
}

// without lists the inputs of a whose value is not in b.
func without(a, b []index.Input) []index.Input {
	values := map[string]bool{}
	for _, in := range b {
		values[in.Value] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(in index.Input) bool { return values[in.Value] })
}

func stepText(in index.Input) string {
	text, _, _ := strings.Cut(in.Value, "\n")
	return text
}

func stepHash(in index.Input) string {
	_, hash, _ := strings.Cut(in.Value, "\n")
	return hash
}

// compareFiles compares listings. Sets that are only in one of the lists differ
// because a step reads something else than before; they are loose.
func (c *comparison) compareFiles(was, is []index.Input) (found, loose []Reason) {
	for _, in := range is {
		old, ok := find(was, in.Name)
		if !ok {
			loose = append(loose, Reason{Kind: KindFile, Path: dirOf(in.Name), To: short(in.Value)})
			continue
		}
		if old.Value == in.Value {
			continue
		}
		found = append(found, c.diff(in.Name, old.Value, in.Value)...)
	}
	for _, in := range was {
		if _, ok := find(is, in.Name); !ok {
			loose = append(loose, Reason{Kind: KindFile, Path: dirOf(in.Name), From: short(in.Value)})
		}
	}
	return found, loose
}

func dirOf(name string) string {
	dir, _, _ := strings.Cut(name, "#")
	return dir
}

// diff names the files that differ between the old listing and now.
func (c *comparison) diff(name, from, to string) []Reason {
	i := slices.IndexFunc(c.now.Trees, func(t Tree) bool { return t.Name == name })
	old, ok := c.tree(from)
	if !ok || i < 0 {
		return []Reason{{Kind: KindFile, Path: dirOf(name), From: short(from), To: short(to)}}
	}
	var out []Reason
	for _, ch := range files.Diff(old, c.now.Trees[i].own) {
		out = append(out, Reason{
			Kind: KindFile, Path: path.Join(dirOf(name), ch.Path), Place: c.reader(c.now.Trees[i].Set, ch.Path),
			From: short(ch.From), To: short(ch.To),
		})
	}
	return out
}

// reader is the line of the first step that reads a file.
func (c *comparison) reader(set files.Set, file string) string {
	for _, r := range c.readings {
		for _, sel := range r.Reads {
			if sel.Local.Dir == set.Dir && sel.Matches(file) {
				return r.Place
			}
		}
	}
	return ""
}

// short is enough of a digest for people.
func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(12, len(digest))]
}
