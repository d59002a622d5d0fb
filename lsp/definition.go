package lsp

import (
	"slices"
	"strings"

	"github.com/strata-build/strata/config"
)

// definition lists where the name at the place is declared.
func (q *question) definition() *[]location {
	word, ok := config.At(config.Words(q.path, q.data), q.offset)
	if !ok {
		return nil
	}
	m, ok := word.Mention()
	if !ok {
		return q.key(word)
	}
	if m.Kind == config.NameFile {
		return q.included(m.Name)
	}
	return q.locations(q.project.find(m, q.path))
}

// key is for the keys of with, which are parameters of a template.
func (q *question) key(w config.Word) *[]location {
	if w.Role != config.RoleKey || w.Attribute != "with" || len(w.Keys) > 0 {
		return nil
	}
	template := q.project.template(w.Place, q.path)
	var found []declared
	for _, d := range q.project.index().declared {
		if d.Kind == config.NameParam && d.Block == template && d.Name == w.Text {
			found = append(found, d)
		}
	}
	return q.locations(nearest(found, q.path, q.project.dirOf(q.path)))
}

func (q *question) locations(found []declared) *[]location {
	if len(found) == 0 {
		return nil
	}
	out := []location{}
	for _, d := range found {
		out = append(out, location{q.uriOf(d.path), q.project.files[d.path].rangeOf(d.Range)})
	}
	return &out
}

// uriOf is the name of a file as the editor writes it.
func (q *question) uriOf(path string) string {
	if path == q.path {
		return q.uri
	}
	return uriOf(path)
}

// included are the files that a path of an include block stands for.
func (q *question) included(name string) *[]location {
	out := []location{}
	for file := range q.project.files {
		if q.project.means(q.path, name, file) {
			out = append(out, location{URI: q.uriOf(file)})
		}
	}
	if len(out) == 0 {
		return nil
	}
	slices.SortFunc(out, func(a, b location) int { return strings.Compare(a.URI, b.URI) })
	return &out
}
