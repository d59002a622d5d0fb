package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// This file tells what the language has, from the tables that read it: for the
// reference pages and the JSON schema.

// A BlockInfo describes a block of build files.
type BlockInfo struct {
	Name        string
	Description string
	Example     string // a whole file that uses the block
	Attributes  []AttributeInfo
}

// An AttributeInfo describes an attribute of a block.
type AttributeInfo struct {
	Name        string
	Type        string
	Description string
	Example     string // "tags = [...]", empty for blocks that have one example
	Required    bool
}

// A StepInfo is an instruction of step blocks with its options.
type StepInfo struct {
	Name    string
	Options []string
}

// Blocks describes the blocks of build files with their attributes.
func Blocks() []BlockInfo {
	return []BlockInfo{
		{"target", targetText, targetExample, targetAttributes()},
		blockInfo("group", "A name for several targets and groups.", groupExample, groupSchema),
		blockInfo("variable", "A value that the environment and --var can change. It may hold validation blocks with a condition and an error_message.", variableExample, variableSchema),
		blockInfo("validation", "A condition that the value of a variable must meet, inside of its variable block.", variableExample, newSchema(validationSchema)),
		blockInfo("function", "A function of the file's own.", functionExample, newSchema(functionSchema)),
		blockInfo("strata", "Says that the file is in Strata's own language, whatever its name.", strataExample, editionSchema),
		blockInfo("include", "Reads other build files. Paths in them are relative to their own directory, which their targets have in front of their names. See [language.md](language.md#include).", includeExample, includeSchema),
		{Name: "locals", Description: "Names for values: local.NAME. Each is evaluated when it is needed.", Example: localsExample},
		{Name: "steps", Description: "Step blocks that several targets use: step { use = \"NAME\" }. See [steps.md](steps.md).", Example: stepsExample},
		blockInfo("template", "What several targets have in common, with typed parameters: param.NAME in it. It takes the attributes of a target too.", templateExample,
			newSchema(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "params"}}})),
		blockInfo("resources", "What a target takes of the machine while it is evaluated, inside of a target or template block: see --cpus and --memory of strata build. In JSON there is no such block.", demandExample, demandSchema),
		blockInfo("pool", "A bound on how many of the targets that name it are evaluated at once.", poolExample, poolSchema),
		blockInfo("cache", "The cache in a registry that all targets share.", cacheExample, cacheSchema),
		blockInfo("dynamic", "Makes a step for every element of a value, inside of target and steps blocks: dynamic \"step\". Its block content is the step.", dynamicExample, dynamicSchema),
	}
}

// Steps lists the instructions that a step block can have, by name.
func Steps() []StepInfo {
	var out []StepInfo
	for _, name := range sortedKeys(stepOptions) {
		out = append(out, StepInfo{name, stepOptions[name]})
	}
	return out
}

func targetAttributes() []AttributeInfo {
	schema := targetSchema(ModeStrata)
	var out []AttributeInfo
	for _, a := range schema.Attributes {
		help := attributeHelp[a.Name]
		out = append(out, AttributeInfo{a.Name, attributeType(a.Name), help[0], help[1], a.Required})
	}
	slices.SortFunc(out, func(a, b AttributeInfo) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

func blockInfo(name, text, example string, schema *blockSchema) BlockInfo {
	b := BlockInfo{Name: name, Description: text, Example: example}
	for _, a := range schema.hcl.Attributes {
		help := attributeHelp[name+"."+a.Name]
		b.Attributes = append(b.Attributes, AttributeInfo{a.Name, help[1], help[0], "", a.Required})
	}
	return b
}

// attributeType is the type of a target's attribute as people say it.
func attributeType(name string) string {
	switch t := valueType(name); {
	case name == "template":
		return "string"
	case name == "with":
		return "object"
	case name == "matrix":
		return "map of lists"
	case t == cty.String:
		return "string"
	case t == cty.Bool:
		return "bool"
	case t.IsMapType():
		return "map of strings"
	case t.IsListType() && t.ElementType() == cty.String:
		return "list of strings"
	case t.IsListType():
		return "list of strings or objects"
	case t.IsObjectType():
		return "object"
	}
	return "any"
}

// valueType is the type that target.NAME.ATTRIBUTE has.
func valueType(name string) cty.Type {
	if def := attributes[name]; def != nil && def.get != nil {
		return def.get(&spec{}).Type()
	}
	return cty.DynamicPseudoType
}
