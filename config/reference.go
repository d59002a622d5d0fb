package config

import (
	"encoding/json"
	"slices"

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
		{"template", "What several targets have in common, with typed parameters: param.NAME in it. It takes the attributes of a target too.", templateExample, []AttributeInfo{
			{"params", attributeHelp["template.params"][1], attributeHelp["template.params"][0], "", false},
		}},
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

const schemaID = "https://json-schema.org/draft/2020-12/schema"

// A jsonSchema is a JSON schema, or a part of one.
type jsonSchema map[string]any

// Schema is the JSON schema, draft 2020-12, of build files in JSON.
func Schema() ([]byte, error) {
	blocks := jsonSchema{}
	for _, b := range Blocks() {
		if b.Name != "validation" && b.Name != "steps" && b.Name != "dynamic" && b.Name != "template" {
			blocks[b.Name] = b.schema()
		}
	}
	properties := jsonSchema{"//": jsonSchema{"description": "a comment"}}
	for name, block := range blocks {
		if name == "strata" || name == "locals" || name == "include" {
			properties[name] = oneOrMore(block) // these have no label
			continue
		}
		properties[name] = jsonSchema{
			"description":          blocks[name].(jsonSchema)["description"],
			"type":                 "object",
			"additionalProperties": oneOrMore(block),
		}
	}
	out, err := json.MarshalIndent(jsonSchema{
		"$schema":     schemaID,
		"title":       "Build file of Strata and docker buildx bake, in JSON",
		"description": "Other names at the top are values that expressions can use.",
		"type":        "object",
		"properties":  properties,
	}, "", "  ")
	return append(out, '\n'), err
}

// oneOrMore is one block, or several of one name.
func oneOrMore(block any) jsonSchema {
	return jsonSchema{"anyOf": []any{block, jsonSchema{"type": "array", "items": block}}}
}

// schema describes one block. Text stands for an expression wherever another
// type is expected.
func (b BlockInfo) schema() jsonSchema {
	properties := jsonSchema{"//": jsonSchema{"description": "a comment"}}
	var required []string
	for _, a := range b.Attributes {
		properties[a.Name] = a.schema(b.Name)
		if a.Required {
			required = append(required, a.Name)
		}
	}
	if b.Name == "variable" {
		properties["validation"] = oneOrMore(jsonSchema{"type": "object", "required": []string{"condition", "error_message"}})
	}
	out := jsonSchema{"type": "object", "description": b.Description, "properties": properties, "additionalProperties": b.Name == "locals"}
	if required != nil {
		out["required"] = required
	}
	return out
}

func (a AttributeInfo) schema(block string) jsonSchema {
	expression := jsonSchema{"type": "string"}
	var types []any
	switch {
	case block != "target":
		return jsonSchema{"description": a.Description}
	case a.Type == "string":
		types = []any{jsonSchema{"type": []string{"string", "number", "boolean", "null"}}}
	case a.Type == "bool":
		types = []any{jsonSchema{"type": []string{"boolean", "null"}}, expression}
	case a.Type == "map of strings":
		scalar := jsonSchema{"type": []string{"string", "number", "boolean", "null"}}
		types = []any{jsonSchema{"type": "object", "additionalProperties": scalar}, expression}
	case a.Type == "list of strings":
		types = []any{jsonSchema{"type": "array", "items": jsonSchema{"type": []string{"string", "number", "boolean"}}}, expression}
	case a.Type == "list of strings or objects":
		types = []any{jsonSchema{"type": "array", "items": jsonSchema{"type": []string{"string", "object"}}}, expression}
	case a.Type == "object":
		types = []any{resourcesSchema(), expression}
	default:
		types = []any{jsonSchema{"type": "object"}, expression}
	}
	return jsonSchema{"description": a.Description, "anyOf": types}
}

func resourcesSchema() jsonSchema {
	properties := jsonSchema{}
	for name, typ := range resourceTypes {
		kinds := []string{"string", "null"}
		if typ == cty.Number {
			kinds = []string{"number", "string", "null"}
		}
		properties[name] = jsonSchema{"type": kinds}
	}
	return jsonSchema{"type": "object", "properties": properties, "additionalProperties": false}
}
