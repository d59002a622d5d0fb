package config

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/zclconf/go-cty/cty"
)

const schemaID = "https://json-schema.org/draft/2020-12/schema"

// A jsonSchema is a JSON schema, or a part of one.
type jsonSchema map[string]any

// Schema is the JSON schema, draft 2020-12, of build files in JSON.
func Schema() ([]byte, error) {
	properties := jsonSchema{"//": comment}
	for _, b := range Blocks() {
		switch b.Name {
		case "validation", "dynamic", "resources": // these are inside of others
		case "strata", "locals", "include", "cache": // these have no label
			properties[b.Name] = jsonSchema{"description": b.Description, "anyOf": oneOrMore(b.schema())}
		default:
			properties[b.Name] = jsonSchema{
				"description":          b.Description,
				"type":                 "object",
				"additionalProperties": jsonSchema{"anyOf": oneOrMore(b.schema())},
			}
		}
	}
	out, err := json.MarshalIndent(jsonSchema{
		"$schema":     schemaID,
		"title":       "Build file of Strata and docker buildx bake, in JSON",
		"description": "Other names at the top are values that expressions can use.",
		"type":        "object",
		"properties":  properties,
		"$defs": jsonSchema{
			"expression": jsonSchema{"type": "string", "description": "a template: ${...} in it is an expression"},
			"scalar":     jsonSchema{"type": []string{"string", "number", "boolean", "null"}},
			"step":       stepsItem(),
			"dynamic":    dynamicItem(),
		},
	}, "", "  ")
	return append(out, '\n'), err
}

var comment = jsonSchema{"description": "a comment"}

func ref(name string) jsonSchema { return jsonSchema{"$ref": "#/$defs/" + name} }

// oneOrMore is one thing, or a list of several.
func oneOrMore(item jsonSchema) []any {
	return []any{item, jsonSchema{"type": "array", "items": item}}
}

func listOfAny(item any) jsonSchema { return jsonSchema{"type": "array", "items": item} }

func mapOfAny(value any) jsonSchema {
	return jsonSchema{"type": "object", "additionalProperties": value}
}

// schema describes one block. Text stands for an expression wherever another
// type is expected.
func (b BlockInfo) schema() jsonSchema {
	properties := jsonSchema{"//": comment}
	out := jsonSchema{"type": "object", "properties": properties, "additionalProperties": b.Name == "locals"}
	attributes := b.Attributes
	if b.Name == "template" {
		for _, a := range targetAttributes() {
			if templateSchema.attrs[a.Name] {
				attributes = append(attributes, a)
			}
		}
	}
	var required []string
	for _, a := range attributes {
		properties[a.Name] = jsonSchema{"description": a.Description, "anyOf": typeSchema(a.Name, a.Type)}
		if a.Required {
			required = append(required, a.Name)
		}
	}
	switch b.Name {
	case "variable":
		properties["validation"] = jsonSchema{"anyOf": oneOrMore(blockCalled("validation").schema())}
	case "target", "template", "steps":
		properties["step"] = jsonSchema{"description": "One instruction of the Dockerfile.", "anyOf": oneOrMore(ref("step"))}
		properties["dynamic"] = jsonSchema{
			"description": blockCalled("dynamic").Description, "anyOf": oneOrMore(ref("dynamic")),
		}
	}
	if required != nil {
		out["required"] = required
	}
	return out
}

func blockCalled(name string) BlockInfo {
	all := Blocks()
	return all[slices.IndexFunc(all, func(b BlockInfo) bool { return b.Name == name })]
}

// typeSchema is what an attribute of a type, named as people name it, can be.
func typeSchema(name, typ string) []any {
	switch typ {
	case "string", "number":
		return []any{ref("scalar")}
	case "type", "name": // as text: "list(string)"
		return []any{jsonSchema{"type": "string"}}
	case "bool":
		return []any{jsonSchema{"type": []string{"boolean", "null"}}, ref("expression")}
	case "map of strings":
		return []any{mapOfAny(ref("scalar")), ref("expression"), jsonSchema{"type": "null"}}
	case "map of lists":
		return []any{mapOfAny(jsonSchema{"type": []string{"array", "string"}}), ref("expression")}
	case "object of types":
		return []any{mapOfAny(jsonSchema{"type": "string"})}
	case "list of names":
		return []any{listOfAny(jsonSchema{"type": "string"})}
	case "list of strings":
		return []any{listOfAny(ref("scalar")), ref("expression"), jsonSchema{"type": "null"}}
	case "list of strings or objects":
		fields := mapOfAny(jsonSchema{"anyOf": []any{ref("scalar"), listOfAny(ref("scalar"))}})
		return []any{listOfAny(jsonSchema{"anyOf": []any{ref("expression"), fields}}), ref("expression"), jsonSchema{"type": "null"}}
	}
	if name == "resources" {
		return []any{resourcesSchema(), ref("expression")}
	}
	if name == "with" {
		return []any{jsonSchema{"type": "object"}, ref("expression")}
	}
	return []any{jsonSchema{"type": []string{"string", "number", "boolean", "null", "array", "object"}}}
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

// stepsItem is a step block: one instruction with its options, or the name of
// other steps.
func stepsItem() jsonSchema {
	choices := []any{oneStep("use", nil)}
	for _, s := range Steps() {
		choices = append(choices, oneStep(s.Name, s.Options))
	}
	return jsonSchema{"anyOf": choices}
}

func oneStep(name string, options []string) jsonSchema {
	text := jsonSchema{"anyOf": []any{ref("scalar"), listOfAny(ref("scalar"))}}
	properties := jsonSchema{"//": comment, "when": jsonSchema{"type": []string{"boolean", "string"}}}
	for _, o := range options {
		properties[o] = text
	}
	switch name {
	case "run":
		mount := mapOfAny(ref("scalar"))
		properties["mount"] = jsonSchema{"anyOf": oneOrMore(mount)}
		properties["mounts"] = jsonSchema{"anyOf": []any{listOfAny(jsonSchema{"anyOf": []any{mount, ref("expression")}}), ref("expression")}}
		properties[name] = text
	case "env", "arg", "label":
		properties[name] = jsonSchema{"anyOf": []any{ref("scalar"), listOfAny(ref("scalar")), mapOfAny(ref("scalar"))}}
	case "onbuild":
		properties[name] = jsonSchema{"anyOf": []any{ref("expression"), ref("step"), listOfAny(ref("step"))}}
	default:
		properties[name] = text
	}
	return jsonSchema{"type": "object", "required": []string{name}, "properties": properties, "additionalProperties": false}
}

// dynamicItem is a dynamic block, whose label is a key in JSON.
func dynamicItem() jsonSchema {
	block := blockCalled("dynamic").schema()
	properties := maps.Clone(block["properties"].(jsonSchema))
	properties["content"] = jsonSchema{"anyOf": []any{ref("step"), jsonSchema{"type": "array", "items": ref("step"), "maxItems": 1}}}
	block["properties"] = properties
	block["required"] = []string{"for_each", "content"}
	return jsonSchema{
		"type": "object", "properties": jsonSchema{"step": jsonSchema{"anyOf": oneOrMore(block)}}, "additionalProperties": false,
	}
}
