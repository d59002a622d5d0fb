package lower

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// history lines up three lists of different lengths: the config's history, the
// instructions of the last stage and the vertices that make layers. All three
// end with the same instruction, so they are matched from their ends; what is
// left at the front of the history belongs to the base.
func (r *Result) history(v *vertices, config, base []byte, req *Request) (string, []Entry) {
	entries := historyOf(config)
	script, from := instructionsOf(r.Source, req.Attrs["target"])
	own := min(len(entries), max(len(entries)-len(historyOf(base)), 0))
	if base == nil && len(script) < own {
		own = len(script)
	}
	out := make([]Entry, len(entries))
	chain, source := v.layerChain()
	for i := len(entries) - 1; i >= 0; i-- {
		e := Entry{CreatedBy: entries[i].CreatedBy, Empty: entries[i].EmptyLayer}
		fromEnd := len(entries) - 1 - i
		isOwn := fromEnd < own
		if isOwn {
			e.Number = own - fromEnd
			if n := len(script); n > 0 && sameKeyword(script[n-1].text, e.CreatedBy) {
				e.CreatedBy, e.Line = script[n-1].text, script[n-1].line
				script = script[:n-1]
			} // else it comes from an ONBUILD of the base
		}
		switch {
		case e.Empty:
		case len(chain) > 0:
			e.Vertex = chain[len(chain)-1]
			e.Layer = string(e.Vertex)
			chain = chain[:len(chain)-1]
		default:
			e.Layer = fmt.Sprintf("%s#%d", source, i)
		}
		out[i] = e
	}
	return r.baseName(from, req), out
}

// sameKeyword reports whether an instruction as written and a line of history
// begin with the same Dockerfile keyword.
func sameKeyword(written, createdBy string) bool {
	a, _, _ := strings.Cut(written, " ")
	b, _, _ := strings.Cut(createdBy, " ")
	return strings.EqualFold(a, b)
}

func historyOf(config []byte) []ocispec.History {
	var img ocispec.Image
	if len(config) == 0 || json.Unmarshal(config, &img) != nil {
		return nil
	}
	return img.History
}

// baseName says what FROM name means: an earlier answer of the resolver, a
// parent target, or the word itself.
func (r *Result) baseName(name string, req *Request) string {
	if p, ok := req.parentNamed(name); ok {
		return "target:" + p
	}
	return name
}

type instruction struct {
	text string
	line int
}

// instructionsOf lists the instructions of stage (the last if "") and of the
// stages it starts from, oldest first, without FROM and ONBUILD, which leave no
// history; and the name of what the first of them starts from.
func instructionsOf(src *Source, stage string) ([]instruction, string) {
	if src == nil {
		return nil, ""
	}
	ast, err := parser.Parse(bytes.NewReader(src.Data))
	if err != nil {
		return nil, ""
	}
	stages, meta, err := instructions.Parse(ast.AST, nil)
	if err != nil || len(stages) == 0 {
		return nil, ""
	}
	at := len(stages) - 1
	if i, ok := instructions.HasStage(stages, stage); ok && stage != "" {
		at = i
	}
	lines := strings.Split(string(src.Data), "\n")
	var out []instruction
	for {
		var these []instruction
		for _, c := range stages[at].Commands {
			if _, ok := c.(*instructions.OnbuildCommand); ok {
				continue
			}
			these = append(these, asWritten(c, lines))
		}
		out = append(these, out...)
		next, ok := instructions.HasStage(stages[:at], stages[at].BaseName)
		if !ok {
			return out, expandMeta(stages[at].BaseName, meta, src.Args)
		}
		at = next
	}
}

// asWritten is the source text of an instruction on one line.
func asWritten(c instructions.Command, lines []string) instruction {
	ranges := c.Location()
	if len(ranges) == 0 {
		return instruction{text: c.Name()}
	}
	first, last := ranges[0].Start.Line, ranges[len(ranges)-1].End.Line
	var parts []string
	for l := first; l <= last && l <= len(lines); l++ {
		s := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(lines[l-1]), `\`))
		if s != "" {
			parts = append(parts, s)
		}
	}
	return instruction{text: strings.Join(parts, " "), line: first}
}

// expandMeta replaces $NAME and ${NAME} of global ARGs in a FROM word, for
// display only: the front end has done the real expansion.
func expandMeta(word string, meta []instructions.ArgCommand, args map[string]string) string {
	if !strings.Contains(word, "$") {
		return word
	}
	values := map[string]string{}
	for _, m := range meta {
		for _, kv := range m.Args {
			if kv.Value != nil {
				values[kv.Key] = *kv.Value
			}
			if v, ok := args[kv.Key]; ok {
				values[kv.Key] = v
			}
		}
	}
	for k, v := range values {
		word = strings.NewReplacer("${"+k+"}", v, "$"+k, v).Replace(word)
	}
	return word
}
