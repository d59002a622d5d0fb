package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/report"
)

func newListCmd(a *app) *cobra.Command {
	var opts selectOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list [TARGET...]",
		Aliases: []string{"ls"},
		Short:   "List the targets and groups of the build files",
		Long: `List the targets and groups of the build files, in the order they are declared:
all, or those that the names, patterns and paths mean.
` + exitStatusHelp,
		Example: "  strata list --json\n  strata list '*'\n  strata list //...",
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.targets = args
			return a.list(cmd.Context(), opts, asJSON)
		},
		ValidArgsFunction: a.completeTargets,
	}
	opts.flags(cmd.Flags())
	opts.envFlags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// A listedName is one entry of list --json.
type listedName struct {
	Name        string   `json:"name"`
	Kind        string   `json:"kind"` // "group" or "target"
	Description string   `json:"description,omitempty"`
	Members     []string `json:"members,omitempty"` // of a group
	Needs       []string `json:"needs,omitempty"`   // of a target
	Tags        []string `json:"tags,omitempty"`
	Place       string   `json:"place"`
}

func (a *app) list(ctx context.Context, opts selectOptions, asJSON bool) error {
	cfg, err := a.load(ctx, opts)
	if err != nil {
		return err
	}
	found, err := cfg.Find(opts.targets)
	if err != nil {
		return err
	}
	var names []listedName
	for _, n := range found {
		names = append(names, listed(n))
	}
	if asJSON {
		return writeJSON(a.out, map[string]any{"schema": 1, "names": names})
	}
	var rows [][]string
	for _, n := range names {
		of := n.Needs
		if n.Kind == "group" {
			of = n.Members
		}
		rows = append(rows, []string{n.Name, n.Kind, strings.Join(of, " "), n.Description})
	}
	return report.Table(a.out, a.term(), []report.Column{
		{Title: "NAME"}, {Title: "KIND"}, {Title: "MEMBERS, NEEDS", Kind: report.Free}, {Title: "DESCRIPTION", Kind: report.Free},
	}, rows)
}

func listed(n config.Name) listedName {
	out := listedName{Name: n.Name, Kind: "target", Description: n.Description, Needs: n.Needs, Tags: n.Tags, Place: n.Place}
	if n.Group {
		out.Kind, out.Members = "group", n.Targets
	}
	return out
}

// writeJSON prints v as people and programs can read it.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
