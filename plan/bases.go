package plan

import (
	"slices"
	"strings"

	"github.com/strata-build/strata/cache/index"
)

// compareBases compares base images. Another digest of the same content is no
// reason: an index has a new one when any of its platforms does.
func compareBases(was, is []index.Input) []Reason {
	old := slices.Clone(was)
	for i, in := range old {
		if now, ok := find(is, in.Name); ok && sameBase(in.Value, now.Value) {
			old[i].Value = now.Value
		}
	}
	return compareNamed(KindBase, digestsOf(old), digestsOf(is))
}

// sameBase compares values of base images: a digest, then a line that tells of
// the content if it is known.
func sameBase(a, b string) bool {
	digest1, content1, _ := strings.Cut(a, "\n")
	digest2, content2, _ := strings.Cut(b, "\n")
	return digest1 == digest2 || content1 != "" && content1 == content2
}

// digestsOf leaves out what tells the content.
func digestsOf(bases []index.Input) []index.Input {
	out := slices.Clone(bases)
	for i, in := range out {
		out[i].Value, _, _ = strings.Cut(in.Value, "\n")
	}
	return out
}

// pairBases makes one reason of a base image that is named no more and one of
// the same repository that is new: the Dockerfile names another tag. From and To
// are the references then.
func pairBases(list []Reason) []Reason {
	var out []Reason
	gone := slices.DeleteFunc(slices.Clone(list), func(r Reason) bool { return r.To != "" })
	for _, r := range list {
		switch {
		case r.To == "": // after the others, unless it is paired
		case r.From != "":
			out = append(out, r)
		default:
			i := slices.IndexFunc(gone, func(g Reason) bool { return repositoryOf(g.Path) == repositoryOf(r.Path) })
			if i >= 0 {
				r.From, r.To = gone[i].Path, r.Path
				gone = slices.Delete(gone, i, i+1)
			}
			out = append(out, r)
		}
	}
	return append(out, gone...)
}

// repositoryOf is a reference without its tag and digest.
func repositoryOf(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		ref = ref[:i]
	}
	return ref
}
