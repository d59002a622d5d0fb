package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/config"
)

//go:generate go run . docs ../../docs/reference

// newDocsCmd writes the pages of docs/reference that are made from the code. It
// is for those who work on strata.
func newDocsCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "docs DIR",
		Example: "  strata docs docs/reference",
		Short:   "Write the generated reference pages",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pages, err := referencePages(cmd.Root())
			if err != nil {
				return err
			}
			for name, text := range pages {
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(text), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// referencePages are the generated pages by file name.
func referencePages(root *cobra.Command) (map[string]string, error) {
	schema, err := config.Schema()
	return map[string]string{
		"commands.md":       commandsPage(root),
		"functions.md":      functionsPage(),
		"attributes.md":     attributesPage(),
		"build.schema.json": string(schema),
	}, err
}

// generatedNote ends the introduction of every generated page.
const generatedNote = "This page is made from the code by `go generate ./cmd/strata`.\n"

// commandsPage describes every command with its flags and examples.
func commandsPage(root *cobra.Command) string {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var b strings.Builder
	b.WriteString("# Commands\n\n" + generatedNote)
	b.WriteString("\n| command | |\n|---|---|\n")
	shown := documented(root)
	for _, c := range shown {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), tableText(c.Short))
	}
	b.WriteString("\n## Flags of every command\n\n")
	writeFlags(&b, root.PersistentFlags())
	b.WriteString("\n## Exit status\n\nThe same for every command but `strata bake`, which ends with 1 for every failure, as bake does.\n\n")
	_, statuses, _ := strings.Cut(exitStatusHelp, "EXIT STATUS\n")
	writeCode(&b, statuses)
	for _, c := range shown {
		writeCommand(&b, c)
	}
	return b.String()
}

// documented are the commands below c that help shows, in its order.
func documented(c *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, sub := range c.Commands() {
		if sub.Hidden {
			continue
		}
		all = append(all, sub)
		all = append(all, documented(sub)...)
	}
	return all
}

func writeCommand(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n", c.CommandPath())
	long, _, _ := strings.Cut(c.Long, "\nEXIT STATUS")
	if long = strings.TrimSpace(long); long == "" {
		long = c.Short + "."
	}
	writeCode(b, c.UseLine())
	b.WriteString("\n")
	writeProse(b, long)
	if len(c.Aliases) > 0 {
		fmt.Fprintf(b, "Also called `%s`.\n\n", strings.Join(c.Aliases, "`, `"))
	}
	if c.Example != "" {
		b.WriteString("Examples:\n\n")
		writeCode(b, c.Example)
		b.WriteString("\n")
	}
	if c.LocalFlags().HasAvailableFlags() {
		writeFlags(b, c.LocalFlags())
	}
}

// writeProse writes the help of a command: paragraphs, and code where help is
// indented.
func writeProse(b *strings.Builder, text string) {
	for part := range strings.SplitSeq(text, "\n\n") {
		part = strings.Trim(part, "\n")
		if part == "" {
			continue
		}
		if part[0] == ' ' || part[0] == '\t' {
			writeCode(b, part)
		} else {
			b.WriteString(proseEscapes.Replace(strings.TrimLeft(part, "# ")) + "\n")
		}
		b.WriteString("\n")
	}
}

var proseEscapes = strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`, "[", `\[`)

// writeCode writes text as a code block without the indentation of help.
func writeCode(b *strings.Builder, text string) {
	b.WriteString("```\n")
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		b.WriteString(strings.TrimPrefix(strings.TrimPrefix(strings.TrimRight(line, "\n"), "  "), "\t") + "\n")
	}
	b.WriteString("```\n")
}

func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	b.WriteString("| flag | | default |\n|---|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", tableText(name), tableText(usage), defaultText(f))
	})
}

// defaultText is the default of a flag, "" if it is the zero value.
func defaultText(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "[]", "false", "0", "0s":
		return ""
	}
	return "`" + f.DefValue + "`"
}

func tableText(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
