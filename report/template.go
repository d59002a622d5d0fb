package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/template"
	"time"

	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/internal/lazyregexp"
)

// historyTemplate prints a record through the user's template.
func historyTemplate(w io.Writer, rec history.Record, f HistoryFormat) error {
	now := f.Now
	if now.IsZero() {
		now = time.Now()
	}
	t, err := template.New("--format").Funcs(templateFuncs(now)).Parse(f.Format)
	if err != nil {
		return fmt.Errorf("reading the format: %s", strings.TrimPrefix(err.Error(), "template: "))
	}
	var b bytes.Buffer
	if err := t.Execute(&b, rec); err != nil {
		return templateError(err)
	}
	text := Sanitize(b.String(), false)
	if !strings.Contains(f.Format, "::") && !strings.Contains(f.Format, "##") {
		text = defuseLines(text) // who writes a CI command into the template means it
	}
	_, err = fmt.Fprintln(w, strings.TrimSuffix(text, "\n"))
	return err
}

// templateFuncs are the functions of templates beyond those of text/template.
func templateFuncs(now time.Time) template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			text, err := marshal(v, "")
			return strings.TrimSuffix(string(text), "\n"), err
		},
		"bytes": Bytes,
		"ago":   func(t time.Time) string { return Ago(t, now) },
		"short": ShortDigest,
		"join":  strings.Join,
		"upper": func(v any) string { return strings.ToUpper(fmt.Sprint(v)) },
		"lower": func(v any) string { return strings.ToLower(fmt.Sprint(v)) },
	}
}

func defuseLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = defuse(line)
	}
	return strings.Join(lines, "\n")
}

var unknownField = lazyregexp.New(`can't evaluate field (\w+) in type (?:\*?history\.)(\w+)`)

// templateError says which fields there are if one was named that is not.
func templateError(err error) error {
	var exec template.ExecError
	if !errors.As(err, &exec) {
		return fmt.Errorf("filling in the format: %w", err)
	}
	text := strings.TrimPrefix(exec.Error(), "template: ")
	m := unknownField.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("filling in the format: %s", text)
	}
	for _, v := range []any{history.Record{}, history.Image{}, history.Layer{}} {
		if t := reflect.TypeOf(v); t.Name() == m[2] {
			return fmt.Errorf("the format names an unknown field %q of a history %s: it has %s",
				m[1], strings.ToLower(t.Name()), fields(t))
		}
	}
	return fmt.Errorf("filling in the format: %s", text)
}

// fields lists the exported fields of a struct.
func fields(t reflect.Type) string {
	var names []string
	for f := range t.Fields() {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}
