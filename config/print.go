package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// This file prints a selection as bake does with --print. The order of the
// fields and what is escaped are part of that format.

type printed struct {
	Group  map[string]*printedGroup  `json:"group,omitempty"`
	Target map[string]*printedTarget `json:"target"`
}

type printedGroup struct {
	Description string   `json:"description,omitempty"`
	Targets     []string `json:"targets"`
}

type printedTarget struct {
	Description      string              `json:"description,omitempty"`
	Annotations      []string            `json:"annotations,omitempty"`
	Attest           []map[string]any    `json:"attest,omitempty"`
	Context          *string             `json:"context,omitempty"`
	Contexts         map[string]string   `json:"contexts,omitempty"`
	Dockerfile       *string             `json:"dockerfile,omitempty"`
	DockerfileInline *string             `json:"dockerfile-inline,omitempty"`
	Args             map[string]*string  `json:"args,omitempty"`
	Labels           map[string]*string  `json:"labels,omitempty"`
	Tags             []string            `json:"tags,omitempty"`
	CacheFrom        []map[string]string `json:"cache-from,omitempty"`
	CacheTo          []map[string]string `json:"cache-to,omitempty"`
	Target           *string             `json:"target,omitempty"`
	Secret           []printedSecret     `json:"secret,omitempty"`
	SSH              []printedSSH        `json:"ssh,omitempty"`
	Platforms        []string            `json:"platforms,omitempty"`
	Output           []map[string]string `json:"output,omitempty"`
	Pull             *bool               `json:"pull,omitempty"`
	NoCache          *bool               `json:"no-cache,omitempty"`
	Network          *string             `json:"network,omitempty"`
	NoCacheFilter    []string            `json:"no-cache-filter,omitempty"`
	ShmSize          *string             `json:"shm-size,omitempty"`
	Ulimits          []string            `json:"ulimits,omitempty"`
	Resources        *printedResources   `json:"resources,omitempty"`
	Call             *string             `json:"call,omitempty"`
	Entitlements     []string            `json:"entitlements,omitempty"`
	ExtraHosts       map[string]*string  `json:"extra-hosts,omitempty"`
	Policy           []printedPolicy     `json:"policy,omitempty"`
	Needs            []string            `json:"needs,omitempty"`
}

type printedSecret struct {
	ID  string `json:"id,omitempty"`
	Src string `json:"src,omitempty"`
	Env string `json:"env,omitempty"`
}

type printedSSH struct {
	ID    string   `json:"id,omitempty"`
	Paths []string `json:"paths,omitempty"`
}

type printedResources struct {
	Memory     *string `json:"memory,omitempty"`
	MemorySwap *string `json:"memory-swap,omitempty"`
	CPUShares  *int64  `json:"cpu-shares,omitempty"`
	CPUPeriod  *int64  `json:"cpu-period,omitempty"`
	CPUQuota   *int64  `json:"cpu-quota,omitempty"`
	CPUSetCPUs *string `json:"cpuset-cpus,omitempty"`
	CPUSetMems *string `json:"cpuset-mems,omitempty"`
}

// printedPolicy has the names of Go fields, as bake prints them.
type printedPolicy struct {
	Files    []printedPolicyFile
	Reset    bool
	Disabled bool
	Strict   *bool
	LogLevel *string
}

type printedPolicyFile struct {
	Filename string
	Data     []byte
}

// PrintJSON returns the selection as bake prints it with --print: the requested
// names as the group "default", other groups, and all targets with everything
// decided. Steps appear as the Dockerfile they stand for.
func (s *Selection) PrintJSON() ([]byte, error) {
	out := printed{Target: map[string]*printedTarget{}}
	for name, g := range s.groups {
		if out.Group == nil {
			out.Group = map[string]*printedGroup{}
		}
		out.Group[name] = &printedGroup{Description: g.description, Targets: g.targets}
	}
	for _, t := range s.Targets {
		out.Target[t.Name] = t.spec.print()
	}
	return json.MarshalIndent(out, "", "  ")
}

func (s *spec) print() *printedTarget {
	t := &printedTarget{
		Description: s.description, Annotations: escapedList(s.annotations),
		Context: s.context, Contexts: s.contexts, Dockerfile: s.dockerfile,
		DockerfileInline: escaped(s.inline), Args: escapedMap(s.args), Labels: escapedMap(s.labels),
		Tags: s.tags, Target: s.stage, Platforms: s.platforms, Pull: s.pull, NoCache: s.noCache,
		Network: s.network, NoCacheFilter: s.noCacheFilt, ShmSize: s.shmSize, Ulimits: s.ulimits,
		Call: s.call, Entitlements: s.entitlements, ExtraHosts: escapedMap(s.extraHosts), Needs: s.after,
	}
	if s.steps != nil {
		t.DockerfileInline = escaped(&s.steps.Text)
		t.Contexts = maps.Clone(s.contexts)
		if t.Contexts == nil && len(s.steps.Contexts) > 0 {
			t.Contexts = map[string]string{}
		}
		maps.Copy(t.Contexts, s.steps.Contexts)
	}
	for _, a := range s.attest {
		t.Attest = append(t.Attest, printedAttest(a))
	}
	for _, c := range s.cacheFrom {
		t.CacheFrom = append(t.CacheFrom, typed(c.Type, c.Attrs))
	}
	for _, c := range s.cacheTo {
		t.CacheTo = append(t.CacheTo, typed(c.Type, c.Attrs))
	}
	for _, o := range s.outputs {
		m := typed(o.Type, o.Attrs)
		if o.Dest != "" {
			m["dest"] = o.Dest
		}
		t.Output = append(t.Output, m)
	}
	for _, x := range s.secrets {
		t.Secret = append(t.Secret, printedSecret{x.ID, x.Source, x.Env})
	}
	for _, x := range s.ssh {
		t.SSH = append(t.SSH, printedSSH(x))
	}
	for _, p := range s.policy {
		t.Policy = append(t.Policy, printPolicy(p))
	}
	if r := s.resources; r != nil {
		t.Resources = &printedResources{r.memory, r.memorySwap, r.cpuShares, r.cpuPeriod, r.cpuQuota, r.cpusetCPUs, r.cpusetMems}
	}
	return t
}

func typed(typ string, attrs map[string]string) map[string]string {
	m := maps.Clone(attrs)
	if m == nil {
		m = map[string]string{}
	}
	m["type"] = typ
	return m
}

func printedAttest(a Attest) map[string]any {
	m := map[string]any{}
	for k, v := range a.Attrs {
		m[k] = v
	}
	m["type"] = a.Type
	if a.Disabled {
		m["disabled"] = true
	}
	return m
}

func printPolicy(p Policy) printedPolicy {
	out := printedPolicy{Reset: p.Reset, Disabled: p.Disabled, Strict: p.Strict}
	for _, f := range p.Files {
		out.Files = append(out.Files, printedPolicyFile{Filename: f})
	}
	if p.LogLevel != "" {
		out.LogLevel = &p.LogLevel
	}
	return out
}

// escapeTemplate makes text literal in a JSON bake file.
var escapeTemplate = strings.NewReplacer("${", "$${", "%{", "%%{")

func escaped(s *string) *string {
	if s == nil {
		return nil
	}
	e := escapeTemplate.Replace(*s)
	return &e
}

func escapedList(list []string) []string {
	out := slices.Clone(list)
	for i, s := range out {
		out[i] = escapeTemplate.Replace(s)
	}
	return out
}

func escapedMap(m map[string]*string) map[string]*string {
	out := maps.Clone(m)
	for k, v := range out {
		out[k] = escaped(v)
	}
	return out
}
