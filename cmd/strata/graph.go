package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newGraphCmd(a *app) *cobra.Command {
	var opts selectOptions
	var format string
	cmd := &cobra.Command{
		Use:     "graph [TARGET...]",
		Example: "  strata graph\n  strata graph api --format mermaid\n  strata graph --format dot > graph.dot",
		Short:   "Show which target needs which",
		Long:    "Show which target needs which, as a tree, JSON, or the text of Graphviz or Mermaid.\n" + exitStatusHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.targets = args
			return a.graph(cmd.Context(), opts, format)
		},
		ValidArgsFunction: a.completeTargets,
	}
	opts.flags(cmd.Flags())
	opts.envFlags(cmd.Flags())
	cmd.Flags().StringVar(&format, "format", "tree", "tree, json, dot or mermaid `format`")
	return cmd
}

func (a *app) graph(ctx context.Context, opts selectOptions, format string) error {
	_, sel, err := a.selectTargets(ctx, opts, nil)
	if err != nil {
		return err
	}
	switch format {
	case "tree":
		_, err = fmt.Fprint(a.out, sel.Graph.Tree())
	case "dot":
		_, err = fmt.Fprint(a.out, sel.Graph.DOT())
	case "mermaid":
		_, err = fmt.Fprint(a.out, sel.Graph.Mermaid())
	case "json":
		type node struct {
			Name  string   `json:"name"`
			Needs []string `json:"needs"`
		}
		nodes := []node{}
		for _, id := range sel.Graph.Order() {
			n := node{Name: string(id), Needs: []string{}}
			for _, need := range sel.Graph.Needs(id) {
				n.Needs = append(n.Needs, string(need))
			}
			nodes = append(nodes, n)
		}
		err = writeJSON(a.out, map[string]any{"schema": 1, "targets": nodes})
	default:
		return usageError("--format %q is not known; use tree, json, dot or mermaid", format)
	}
	return err
}
