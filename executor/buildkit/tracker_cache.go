package buildkit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/executor"
)

// What BuildKit calls its work on caches (solver/llbsolver/bridge.go and
// solver.go).
const (
	importingCache = "importing cache manifest from "
	exportingCache = "exporting cache"
)

// maxMates bounds how many targets with a step in common are looked at: the
// first few have it too.
const maxMates = 4

// mates are the targets that have a step in common with target, in graph order
// of the steps' owners.
func (t *tracker) mates(target string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := map[string]bool{}
	for _, k := range t.steps {
		if k.source || k.step.Number == 0 || !slices.Contains(k.targets, target) {
			continue
		}
		for _, other := range k.targets {
			if other != target {
				count[other] = true
			}
		}
	}
	var out []string
	for _, name := range t.order {
		if count[name] && len(out) < maxMates {
			out = append(out, name)
		}
	}
	return out
}

// built reports whether a step of target ran in this run, for whichever target
// that has it.
func (t *tracker) built(target string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.steps {
		if k.state == executor.Built && !k.source && k.step.Number > 0 && slices.Contains(k.targets, target) {
			return true
		}
	}
	return false
}

// again forgets what became of target's steps, because it is built again.
func (t *tracker) again(target string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.steps {
		if k.state != executor.Built && slices.Contains(k.targets, target) {
			k.state, k.err, k.stream, k.log, k.clipped = "", "", "", nil, false
		}
	}
}

// updateExport takes a message of a solve that writes a cache. Of what it tells
// only the writing is news. It reports whether a step runs again.
func (t *tracker) updateExport(target string, s *client.SolveStatus) (runs bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, v := range s.Vertexes {
		if strings.HasPrefix(v.Name, exportingCache) {
			quiet := *v
			quiet.Error = "" // told as a warning
			t.vertex(target, &quiet)
			continue
		}
		k, known := t.steps[v.Digest]
		runs = runs || known && k.state == executor.Built && !k.source && k.step.Number > 0 && v.Started != nil && v.Completed == nil && !v.Cached
	}
	for _, st := range s.Statuses {
		if k, known := t.steps[st.Vertex]; known && strings.HasPrefix(k.step.Name, exportingCache) {
			t.progress(target, st)
		}
	}
	return runs
}

// missed tells that a cache was not read, once, and returns v as what it is: no
// failure.
func (t *tracker) missed(target string, v *client.Vertex) *client.Vertex {
	ref := strings.TrimPrefix(v.Name, importingCache)
	if ref == v.Name || v.Error == "" {
		return v
	}
	quiet := *v
	quiet.Error = ""
	if strings.Contains(v.Error, "context canceled") || t.unread[ref] {
		return &quiet
	}
	t.unread[ref] = true
	name, _, _ := strings.Cut(ref, "@"+string(digest.SHA256)+":")
	text := fmt.Sprintf("the layer cache %s is not read: %s", name, plainly(v.Error))
	if strings.Contains(v.Error, "is too large") {
		text += "; split the target in two, or write it with mode=min"
	}
	t.emit(executor.Warning{Time: time.Now(), Target: target, Text: text})
	return &quiet
}
