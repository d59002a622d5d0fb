package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/report"
)

type printOptions struct {
	selectOptions
	explain bool
	format  string
}

func newPrintCmd(a *app) *cobra.Command {
	var opts printOptions
	cmd := &cobra.Command{
		Use:   "print [TARGET...]",
		Short: "Print targets with everything decided",
		Long: `Print targets as they would be built: variables evaluated, inherited values
merged, the matrix expanded, overrides applied, steps as the Dockerfile they
stand for. With --format bake it is a docker-bake.json that docker buildx bake
builds: the same, with names of included targets that bake can read.

With --explain each attribute is listed with the file and line it comes from.
` + exitStatusHelp,
		Example: "  strata print api --explain\n  strata print --format bake > docker-bake.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.targets = args
			return a.print(cmd.Context(), opts)
		},
		ValidArgsFunction: a.completeTargets,
	}
	opts.flags(cmd.Flags())
	opts.envFlags(cmd.Flags())
	cmd.Flags().BoolVar(&opts.explain, "explain", false, "list where each value comes from")
	cmd.Flags().StringVar(&opts.format, "format", "", "json or bake `format`; with --explain table (the default) or json")
	return cmd
}

func (a *app) print(ctx context.Context, opts printOptions) error {
	_, sel, err := a.selectTargets(ctx, opts.selectOptions, nil)
	if err != nil {
		return err
	}
	switch {
	case opts.explain:
		return a.explain(sel, opts.format)
	case opts.format != "" && opts.format != "json" && opts.format != "bake":
		return usageError("--format %q is not known; use json or bake", opts.format)
	}
	text := sel.PrintJSON
	if opts.format == "bake" {
		text = sel.PrintBake
	}
	out, err := text()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", out)
	return err
}

// An explainedValue is one value of print --explain --format json.
type explainedValue struct {
	Target    string `json:"target"`
	Attribute string `json:"attribute"`
	Value     string `json:"value"`
	Place     string `json:"place"` // file:line
}

// explain lists the attributes that were declared, with the place of each.
func (a *app) explain(sel *config.Selection, format string) error {
	printed, err := sel.PrintJSON()
	if err != nil {
		return err
	}
	var defs struct {
		Target map[string]map[string]json.RawMessage `json:"target"`
	}
	if err := json.Unmarshal(printed, &defs); err != nil {
		return err
	}
	values := []explainedValue{}
	for _, t := range sel.Targets {
		for _, attr := range slices.Sorted(maps.Keys(t.Places)) {
			if inEntries(t.Places, attr) {
				continue
			}
			r := t.Places[attr]
			values = append(values, explainedValue{t.Name, attr, shownValue(defs.Target[t.Name], attr), fmt.Sprintf("%s:%d", r.Filename, r.Start.Line)})
		}
	}
	switch format {
	case "", "table":
	case "json":
		return writeJSON(a.out, map[string]any{"schema": 1, "values": values})
	default:
		return usageError("--format %q is not known; with --explain use table or json", format)
	}
	var rows [][]string
	last := ""
	for _, v := range values {
		name := v.Target
		if name == last {
			name = ""
		}
		last = v.Target
		rows = append(rows, []string{name, v.Attribute, v.Value, v.Place})
	}
	return report.Table(a.out, a.term(), []report.Column{
		{Title: "TARGET"}, {Title: "ATTRIBUTE"}, {Title: "VALUE", Kind: report.Free}, {Title: "FROM"},
	}, rows)
}

// inEntries reports whether attr is a map whose entries are listed themselves.
func inEntries[T any](places map[string]T, attr string) bool {
	for other := range places {
		if strings.HasPrefix(other, attr+".") {
			return true
		}
	}
	return false
}

// shownValue is the value of an attribute, or of one entry of it ("args.V"), as
// it is printed.
func shownValue(def map[string]json.RawMessage, attr string) string {
	name, entry, isEntry := strings.Cut(attr, ".")
	raw, ok := def[name]
	if !ok {
		return ""
	}
	if isEntry {
		var entries map[string]json.RawMessage
		if json.Unmarshal(raw, &entries) != nil {
			return ""
		}
		raw = entries[entry]
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return ""
	}
	compact, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(compact)
}
