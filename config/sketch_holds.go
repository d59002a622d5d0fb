package config

import (
	"slices"
	"strings"
)

// Holds describes what a block may hold in one dialect: its attributes and the
// blocks in it. types are the types of the block and of those around it, outermost
// first; none are a file. What is not known holds nothing.
func Holds(mode Mode, types []string) (attributes []AttributeInfo, blocks []BlockInfo) {
	if mode != ModeBake {
		return ownHolds(types)
	}
	if len(types) == 0 {
		return nil, slices.DeleteFunc(Blocks(), func(b BlockInfo) bool { return !bakeBlocks[b.Name] })
	}
	if !bakeBlocks[types[0]] {
		return nil, nil
	}
	attributes, blocks = ownHolds(types)
	if types[0] == "target" {
		known := newSchema(targetSchema(mode)).attrs
		return slices.DeleteFunc(attributes, func(a AttributeInfo) bool { return len(types) > 1 || !known[a.Name] }), nil
	}
	return attributes, blocks
}

// bakeBlocks are the types of blocks that bake has.
var bakeBlocks = blockTypes(fileSchema)

func ownHolds(types []string) (attributes []AttributeInfo, blocks []BlockInfo) {
	if len(types) == 0 {
		return nil, topBlockInfos()
	}
	switch types[len(types)-1] {
	case "target":
		return targetAttributes(), append(stepBlockInfos(), findBlock("resources"))
	case "template":
		return templateAttributes(), append(stepBlockInfos(), findBlock("resources"))
	case "steps":
		return nil, stepBlockInfos()
	case "step", "content", "onbuild":
		return stepAttributes(), []BlockInfo{
			{Name: "mount", Description: "A mount of run."},
			{Name: "onbuild", Description: "An instruction that is run when another image is built from this one."},
		}
	case "mount":
		return mountAttributes(), nil
	case "dynamic":
		return findBlock("dynamic").Attributes, []BlockInfo{{Name: "content", Description: "The step to make."}}
	case "variable":
		return findBlock("variable").Attributes, []BlockInfo{findBlock("validation")}
	}
	return findBlock(types[len(types)-1]).Attributes, nil
}

func topBlockInfos() []BlockInfo {
	return slices.DeleteFunc(Blocks(), func(b BlockInfo) bool { return !topBlocks[b.Name] })
}

func findBlock(name string) BlockInfo {
	for _, b := range Blocks() {
		if b.Name == name {
			return b
		}
	}
	return BlockInfo{}
}

func stepBlockInfos() []BlockInfo {
	return []BlockInfo{{Name: "step", Description: "One Dockerfile instruction."}, findBlock("dynamic")}
}

// templateAttributes are params and what a template takes of a target.
func templateAttributes() []AttributeInfo {
	out := slices.DeleteFunc(targetAttributes(), func(a AttributeInfo) bool { return !templateSchema.attrs[a.Name] })
	return append(findBlock("template").Attributes, out...)
}

// stepAttributes are the instructions, and their options.
func stepAttributes() []AttributeInfo {
	options := map[string][]string{} // the instructions that have them
	var out []AttributeInfo
	for _, s := range Steps() {
		text := "The instruction " + strings.ToUpper(s.Name) + "."
		if len(s.Options) > 0 {
			text += " It has the options " + strings.Join(s.Options, ", ") + "."
		}
		out = append(out, AttributeInfo{Name: s.Name, Type: "instruction", Description: text})
		for _, o := range s.Options {
			options[o] = append(options[o], s.Name)
		}
	}
	for _, name := range sortedKeys(options) {
		text := "An option of " + strings.Join(options[name], " and ") + "."
		if i := slices.IndexFunc(out, func(a AttributeInfo) bool { return a.Name == name }); i >= 0 {
			out[i].Description += " Also " + strings.ToLower(text[:1]) + text[1:]
			continue
		}
		out = append(out, AttributeInfo{Name: name, Type: "option", Description: text})
	}
	return append(out,
		AttributeInfo{Name: "use", Type: "string", Description: "The name of a steps block whose steps stand here."},
		AttributeInfo{Name: "when", Type: "bool", Description: "The step is left out if it is false."})
}

func mountAttributes() []AttributeInfo {
	types := map[string][]string{}
	for _, typ := range sortedKeys(mountKeys) {
		for _, key := range mountKeys[typ] {
			types[key] = append(types[key], typ)
		}
	}
	out := []AttributeInfo{{Name: "type", Type: "string", Description: "The type of the mount: " + strings.Join(sortedKeys(mountKeys), ", ") + "."}}
	for _, key := range sortedKeys(types) {
		out = append(out, AttributeInfo{Name: key, Type: "option", Description: "Of mounts of type " + strings.Join(types[key], ", ") + "."})
	}
	return out
}

// A ValueInfo is a name that expressions begin with, or a member of one.
type ValueInfo struct{ Name, Description string }

// Roots are the names that expressions can begin with besides variables.
func Roots() []ValueInfo {
	return []ValueInfo{
		{"target", "target.NAME.ATTRIBUTE: an attribute of another target, with what that inherits"},
		{"group", "group.NAME.targets: the names in a group"},
		{"local", "local.NAME: a value of a locals block"},
		{"self", "self.ATTRIBUTE: an attribute of the target it stands in"},
		{"super", "super.ATTRIBUTE: what the target inherits of the attribute"},
		{"param", "param.NAME: a parameter of the template"},
		{"git", "git.commit, git.branch, git.tag, git.dirty: what is checked out"},
	}
}

// GitMembers are what git has.
func GitMembers() []ValueInfo {
	return []ValueInfo{
		{"branch", "the branch that is checked out, empty if there is none"},
		{"commit", "the full hash of what is checked out"},
		{"dirty", "whether tracked files were changed"},
		{"tag", "the tag of the commit, of several the highest version, empty if there is none"},
	}
}
