package lint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/mitchellh/go-wordwrap"

	"github.com/strata-build/strata/config"
)

// WriteText prints the report for people: by targets, each finding with the line
// it is about, and a summary at the end.
func (r *Report) WriteText(w io.Writer, color bool, width int) error {
	if width <= 0 {
		width = 80
	}
	var b bytes.Buffer
	heading := ""
	for _, f := range r.Findings {
		if h := strings.Join(f.Targets, ", "); h != heading {
			fmt.Fprintf(&b, "%s\n\n", paint(color, "1;4", h))
			heading = h
		}
		if err := r.finding(&b, f, color, width); err != nil {
			return err
		}
	}
	for _, n := range r.Notes {
		b.WriteString(wrapped("Note: "+n+".", width, ""))
	}
	fmt.Fprintf(&b, "%s\n", r.summary())
	_, err := w.Write(b.Bytes())
	return err
}

func (r *Report) finding(b *bytes.Buffer, f Finding, color bool, width int) error {
	word := []string{Info: "Info:", Warning: "Warning:", Error: "Error:"}[f.Severity]
	code := []string{Info: "1;36", Warning: "1;33", Error: "1;31"}[f.Severity]
	fmt.Fprintf(b, "%s %s %s\n\n", paint(color, code, word), paint(color, "1", f.Title), paint(color, "2", "["+f.Rule+"]"))
	if err := config.WriteExcerpt(b, r.shown(f), f.Place, color, width); err != nil {
		return err
	}
	text := f.Message
	if f.Fix != "" {
		text += " " + f.Fix
	}
	b.WriteString(wrapped(text, width, "  "))
	if f.URL != "" {
		fmt.Fprintf(b, "  %s\n", f.URL)
	}
	b.WriteByte('\n')
	return nil
}

// shown is the source of f without the secret that f is about.
func (r *Report) shown(f Finding) []byte {
	src := r.Sources[f.Place.Filename]
	if f.secret == "" {
		return src
	}
	return bytes.ReplaceAll(src, []byte(f.secret), []byte(strings.Repeat("*", len(f.secret))))
}

func paint(color bool, code, s string) string {
	if !color || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func wrapped(text string, width int, indent string) string {
	text = wordwrap.WrapString(printable(text), uint(max(width-len(indent), 20)))
	return indent + strings.ReplaceAll(text, "\n", "\n"+indent) + "\n"
}

// printable keeps text of files from driving the reader's terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return '\ufffd'
		}
		return r
	}, s)
}

func (r *Report) summary() string {
	in := "in " + counted(r.Targets, "target")
	if r.Targets == 0 {
		in = "nothing else was looked at"
	}
	if len(r.Findings) == 0 {
		return "No problems " + in + "."
	}
	var parts []string
	for _, s := range []Severity{Error, Warning, Info} {
		if n := r.Count(s); n > 0 {
			parts = append(parts, counted(n, s.String()))
		}
	}
	if r.Targets == 0 {
		in = "; " + in
	} else {
		in = " " + in
	}
	return strings.Join(parts, ", ") + in + "."
}

func counted(n int, word string) string {
	if n == 1 || word == Info.String() {
		return fmt.Sprintf("%d %s", n, word)
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// WriteGitHub prints the report as workflow commands, which GitHub shows at the
// lines of a change.
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
func (r *Report) WriteGitHub(w io.Writer) error {
	var b bytes.Buffer
	for _, f := range r.Findings {
		command := []string{Info: "notice", Warning: "warning", Error: "error"}[f.Severity]
		props := ""
		if f.Place.Filename != "" {
			props = "file=" + property(filepath.ToSlash(f.Place.Filename)) + ","
		}
		if p := f.Place; p.Start.Line > 0 {
			props += fmt.Sprintf("line=%d,endLine=%d,", p.Start.Line, max(p.End.Line, p.Start.Line))
			if p.Start.Column > 0 && p.End.Line == p.Start.Line {
				props += fmt.Sprintf("col=%d,endColumn=%d,", p.Start.Column, max(p.End.Column, p.Start.Column))
			}
		}
		fmt.Fprintf(&b, "::%s %stitle=%s::%s\n", command, props, property(f.Title+" ["+f.Rule+"]"), data(f.text()))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// text is all that f says in words.
func (f Finding) text() string {
	text := f.Message
	if f.Fix != "" {
		text += " " + f.Fix
	}
	if len(f.Targets) > 0 {
		text += " (target " + strings.Join(f.Targets, ", ") + ")"
	}
	return text
}

func data(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func property(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

type jsonReport struct {
	Schema   int           `json:"schema"`
	Findings []jsonFinding `json:"findings"`
	Notes    []string      `json:"notes"`
	Targets  int           `json:"targets"`
	Errors   int           `json:"errors"`
	Warnings int           `json:"warnings"`
	Infos    int           `json:"infos"`
}

type jsonFinding struct {
	Rule      string   `json:"rule"`
	Severity  Severity `json:"severity"`
	Targets   []string `json:"targets"`
	File      string   `json:"file,omitempty"`
	Line      int      `json:"line,omitempty"`
	Column    int      `json:"column,omitempty"`
	EndLine   int      `json:"endLine,omitempty"`
	EndColumn int      `json:"endColumn,omitempty"`
	Title     string   `json:"title"`
	Message   string   `json:"message"`
	Fix       string   `json:"fix,omitempty"`
	URL       string   `json:"url,omitempty"`
}

// WriteJSON prints the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	out := jsonReport{
		Schema: 1, Findings: []jsonFinding{}, Notes: append([]string{}, r.Notes...), Targets: r.Targets,
		Errors: r.Count(Error), Warnings: r.Count(Warning), Infos: r.Count(Info),
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, jsonFinding{
			Rule: f.Rule, Severity: f.Severity, Targets: append([]string{}, f.Targets...), File: filepath.ToSlash(f.Place.Filename),
			Line: f.Place.Start.Line, Column: f.Place.Start.Column, EndLine: f.Place.End.Line, EndColumn: f.Place.End.Column,
			Title: f.Title, Message: f.Message, Fix: f.Fix, URL: f.URL,
		})
	}
	return encode(w, out)
}

func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// The part of SARIF that is used.
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		Results    []sarifResult `json:"results"`
		ColumnKind string        `json:"columnKind"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string       `json:"id"`
		ShortDescription sarifText    `json:"shortDescription"`
		Help             *sarifText   `json:"help,omitempty"`
		HelpURI          string       `json:"helpUri,omitempty"`
		Configuration    *sarifConfig `json:"defaultConfiguration,omitempty"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifConfig struct {
		Level string `json:"level"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
		EndLine     int `json:"endLine,omitempty"`
		EndColumn   int `json:"endColumn,omitempty"`
	}
)

var sarifLevels = []string{Info: "note", Warning: "warning", Error: "error"}

// WriteSARIF prints the report in SARIF 2.1.0. version is that of the program.
func (r *Report) WriteSARIF(w io.Writer, version string) error {
	run := sarifRun{Results: []sarifResult{}, ColumnKind: "unicodeCodePoints"}
	run.Tool.Driver = sarifDriver{Name: "strata", Version: version, InformationURI: "https://github.com/strata-build/strata", Rules: []sarifRule{}}
	index := map[string]int{}
	for _, f := range r.Findings {
		i, ok := index[f.Rule]
		if !ok {
			i = len(run.Tool.Driver.Rules)
			index[f.Rule] = i
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(f))
		}
		res := sarifResult{RuleID: f.Rule, RuleIndex: i, Level: sarifLevels[f.Severity], Message: sarifText{f.text()}}
		if f.Place.Filename != "" {
			res.Locations = []sarifLocation{{sarifPhysical{sarifArtifact{fileURI(f.Place.Filename)}, region(f)}}}
		}
		run.Results = append(run.Results, res)
	}
	return encode(w, sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run},
	})
}

func sarifRuleOf(f Finding) sarifRule {
	out := sarifRule{ID: f.Rule, ShortDescription: sarifText{f.Title}, HelpURI: f.URL}
	if rule := ruleNamed(f.Rule); rule != nil {
		out.Help, out.Configuration = &sarifText{rule.Fix}, &sarifConfig{sarifLevels[rule.Severity]}
	}
	return out
}

// fileURI is a reference relative to the directory of the check, or a file: URL.
func fileURI(name string) string {
	u := url.URL{Path: filepath.ToSlash(name)}
	if filepath.IsAbs(name) {
		u.Scheme = "file"
	}
	return u.String()
}

func region(f Finding) *sarifRegion {
	s, e := f.Place.Start, f.Place.End
	if s.Line == 0 {
		return nil
	}
	out := &sarifRegion{StartLine: s.Line, StartColumn: s.Column, EndLine: max(e.Line, s.Line)}
	if e.Column > 0 && (e.Line > s.Line || e.Column >= s.Column) {
		out.EndColumn = e.Column
	}
	return out
}
