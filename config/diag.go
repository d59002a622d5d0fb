package config

import (
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// An Error is everything that is wrong with the user's files.
type Error struct {
	Diags hcl.Diagnostics
	Files map[string]*hcl.File
}

// Error returns one line a problem: file:line:col: Summary; Detail.
func (e *Error) Error() string {
	var lines []string
	for _, d := range e.Diags {
		lines = append(lines, fmt.Sprintf("%s: %s; %s", d.Subject, d.Summary, d.Detail))
	}
	return strings.Join(lines, "\n")
}

// Write prints the problems for people.
func (e *Error) Write(w io.Writer, color bool, width int) error {
	_, err := fmt.Fprintln(w, e.Error())
	return err
}

// Diagnose turns an error of a later stage into diagnostics at the user's lines.
func (c *Config) Diagnose(err error) *Error {
	return &Error{Files: c.Files, Diags: hcl.Diagnostics{{
		Severity: hcl.DiagError, Summary: "Build failed", Detail: err.Error(),
	}}}
}
