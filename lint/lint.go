// Package lint looks for what is wrong, or likely to be, in build files and
// Dockerfiles before anything is built.
//
// It adds up three sources: problems of the configuration, the Dockerfile
// checks of BuildKit, which come out of lowering, and rules of its own about
// what experience says ends badly. It reads files of this machine and asks a
// resolver for base images if it is given one; it changes nothing, talks to no
// engine and knows no command line.
package lint

import (
	"context"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/client/llb/sourceresolver"

	"github.com/strata-build/strata/config"
)

// A Severity says how bad a finding is.
type Severity int

// The severities, from harmless to wrong.
const (
	Info    Severity = iota // worth knowing
	Warning                 // likely a mistake
	Error                   // does not build, or must not be published
)

var severityNames = []string{Info: "info", Warning: "warning", Error: "error"}

func (s Severity) String() string { return severityNames[s] }

// MarshalText writes the severity as its name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ParseSeverity reads the name of a severity.
func ParseSeverity(name string) (Severity, error) {
	for s, n := range severityNames {
		if n == name {
			return Severity(s), nil
		}
	}
	return 0, fmt.Errorf("%q is not error, warning or info", name)
}

// A Finding is one thing that a rule has to say.
type Finding struct {
	Rule     string // id, by which it can be silenced
	Severity Severity
	Targets  []string  // it is about, in the order of the selection; none for a whole file
	Place    hcl.Range // a zero line is the whole file, no file name is no place
	Title    string    // noun phrase, the same for all findings of the rule
	Message  string    // what is wrong here
	Fix      string    // what to do; "" if Message says so
	URL      string    // where to read more, or ""

	first  int    // line in the same file where the instruction begins; 0 is Place's
	secret string // text in the source that must not be printed
	unless string // mark of another target that makes the finding void
}

// A Report is the result of a check.
type Report struct {
	Findings []Finding // by targets, then by place
	Notes    []string  // what could not be judged, and why
	Targets  int       // how many were looked at
	Sources  map[string][]byte
}

// Count is the number of findings of severity s.
func (r *Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Reaches reports whether there is a finding at least as bad as s.
func (r *Report) Reaches(s Severity) bool {
	for _, f := range r.Findings {
		if f.Severity >= s {
			return true
		}
	}
	return false
}

// Options say how to look.
type Options struct {
	Dir string // where relative paths start, absolute
	// Resolver answers for base images. Without one nothing is asked for, and
	// what depends on base images is not judged.
	Resolver sourceresolver.ImageMetaResolver
	// Home is the user's home directory, "" if unknown.
	Home string
	// AllowBase are patterns of base images that may be used; none allow all.
	AllowBase []string
	// Ignore are ids of rules to leave out, Enable of rules that are off.
	Ignore, Enable []string
	// Denied are targets whose Dockerfile or context may not be read, with the
	// --allow value that would grant it.
	Denied map[string]string
}

// Check looks at the targets of sel. It fails only if ctx ends.
func Check(ctx context.Context, cfg *config.Config, sel *config.Selection, opts Options) (*Report, error) {
	r := newRun(cfg, sel, opts)
	r.configuration(cfg.Warnings, Warning)
	r.configuration(sel.Warnings, Warning)
	for _, t := range sel.Targets {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		r.target(ctx, t)
	}
	for _, rule := range rules {
		if rule.all != nil && r.wants(rule) {
			rule.all(&reporter{run: r, rule: rule})
		}
	}
	return r.report(), nil
}

// Problems is the report on build files that could not be read.
func Problems(e *config.Error, opts Options) *Report {
	r := newRun(&config.Config{Files: e.Files}, &config.Selection{}, opts)
	r.configuration(e.Diags, Error)
	return r.report()
}

// The ids of findings that are not made by a rule.
const (
	configProblem     = "invalid-config"
	configWarning     = "suspicious-config"
	dockerfileProblem = "invalid-dockerfile"
	targetProblem     = "invalid-target"
)

// configuration turns diagnostics into findings.
func (r *run) configuration(diags hcl.Diagnostics, s Severity) {
	id := configProblem
	if s == Warning {
		id = configWarning
	}
	for _, d := range diags {
		f := Finding{Rule: id, Severity: s, Title: d.Summary, Message: d.Detail}
		if d.Subject != nil {
			f.Place = *d.Subject
		}
		r.add(f)
	}
}
