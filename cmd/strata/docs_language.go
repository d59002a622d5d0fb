package main

import (
	"fmt"
	"strings"

	"github.com/strata-build/strata/config"
)

// functionsPage describes every built-in function.
func functionsPage() string {
	var b strings.Builder
	b.WriteString("# Functions\n\nWhat expressions in build files can call. " + generatedNote)
	b.WriteString("\n| function | | example | value |\n|---|---|---|---|\n")
	for _, f := range config.Functions() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Signature, tableText(proseEscapes.Replace(f.Description)), tableCode(f.Example), tableCode(f.Value))
	}
	return b.String()
}

// tableCode is code in a cell of a table.
func tableCode(s string) string { return "`" + tableText(s) + "`" }

// attributesPage describes every block and attribute.
func attributesPage() string {
	var b strings.Builder
	b.WriteString("# Blocks and attributes\n\nWhat build files are made of. " + generatedNote)
	b.WriteString("[build.schema.json](build.schema.json) says the same of files in JSON to editors.\n")
	for _, block := range config.Blocks() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```hcl\n%s```\n\n", block.Name, block.Description, block.Example)
		b.WriteString("| attribute | type | | example |\n|---|---|---|---|\n")
		for _, a := range block.Attributes {
			name, example := tableCode(a.Name), ""
			if a.Required {
				name += ", required"
			}
			if a.Example != "" {
				example = tableCode(strings.ReplaceAll(strings.ReplaceAll(a.Example, "   =", " ="), "\n", "; "))
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, a.Type, tableText(proseEscapes.Replace(a.Description)), example)
		}
	}
	b.WriteString("\n## step\n\nOne Dockerfile instruction of a target in build.hcl; see [steps](steps.md).\n\n| instruction | options |\n|---|---|\n")
	for _, s := range config.Steps() {
		var options []string
		for _, o := range s.Options {
			options = append(options, tableCode(o))
		}
		fmt.Fprintf(&b, "| %s | %s |\n", tableCode(s.Name), strings.Join(options, ", "))
	}
	return b.String()
}
