package plan

import (
	"slices"
	"strings"
)

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
