package config

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// A spec is a target as declared, before and during merging: unlike in a
// [Target], what was not said is nil, because a child inherits only that.
type spec struct {
	name         string
	description  string
	inherits     []string
	after        []string // needs: targets to be built before
	clear        []string // attributes of which nothing is inherited
	annotations  []string
	attest       []Attest
	context      *string
	contexts     map[string]string
	dockerfile   *string
	inline       *string
	args         map[string]*string
	labels       map[string]*string
	tags         []string
	cacheFrom    []CacheRef
	cacheTo      []CacheRef
	stage        *string
	secrets      []Secret
	ssh          []SSH
	platforms    []string
	outputs      []Output
	pull         *bool
	noCache      *bool
	network      *string
	noCacheFilt  []string
	shmSize      *string
	ulimits      []string
	resources    *resources
	call         *string
	entitlements []string
	extraHosts   map[string]*string
	policy       []Policy
	steps        *script
	cpuDemand    *float64
	memoryDemand *int64
	pool         *string

	link  *string
	owner *evaluator // of the file that declares it; nil if compose did

	meant       map[string]string // what some ulimits are in truth
	base        base              // what paths are relative to
	implicitSSH bool              // the context needs the default agent

	rng    hcl.Range            // the header
	places map[string]hcl.Range // see Target.Places
}

// resources is [Resources] with what was not said kept apart from zero.
type resources struct {
	memory, memorySwap             *string
	cpuShares, cpuPeriod, cpuQuota *int64
	cpusetCPUs, cpusetMems         *string
}

// clone copies s so deeply that completing the copy can not change s.
func (s *spec) clone() *spec {
	c := *s
	c.contexts = maps.Clone(s.contexts)
	c.args = maps.Clone(s.args)
	c.labels = maps.Clone(s.labels)
	c.extraHosts = maps.Clone(s.extraHosts)
	c.outputs = cloneOutputs(s.outputs)
	c.base.contexts = maps.Clone(s.base.contexts)
	return &c
}

// target makes the final form of s.
func (s *spec) target(dir string) *Target {
	t := &Target{
		Name: s.name, Description: s.description,
		Context: deref(s.context), Contexts: s.contextsForBuild(),
		Dockerfile: s.dockerfileForBuild(dir), DockerfileInline: s.inline,
		Stage: deref(s.stage), Args: values(s.args), Labels: values(s.labels),
		Annotations: s.annotations, Tags: s.tags, Platforms: s.platforms,
		Outputs: s.outputs, Secrets: s.secrets, SSH: s.agents(),
		CacheFrom: s.cacheFrom, CacheTo: s.cacheTo, Attest: s.attest,
		NoCache: s.noCache != nil && *s.noCache, NoCacheFilter: s.noCacheFilt,
		Pull: s.pull != nil && *s.pull, Network: deref(s.network),
		ShmSize: deref(s.shmSize), Ulimits: s.limits(), Resources: s.resources.plain(),
		ExtraHosts: values(s.extraHosts), Entitlements: s.entitlements,
		Call: deref(s.call), Policy: s.policy, Demand: s.demand(), Pool: deref(s.pool),
		Range: s.rng, Places: s.places, spec: s,
	}
	if s.steps != nil {
		t.Steps = &s.steps.StepScript
	}
	return t
}

func (r *resources) plain() Resources {
	if r == nil {
		return Resources{}
	}
	return Resources{
		Memory: deref(r.memory), MemorySwap: deref(r.memorySwap),
		CPUShares: r.cpuShares, CPUPeriod: r.cpuPeriod, CPUQuota: r.cpuQuota,
		CPUSetCPUs: deref(r.cpusetCPUs), CPUSetMems: deref(r.cpusetMems),
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// values drops the keys that have no value.
func values(m map[string]*string) map[string]string {
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		if v != nil {
			out[k] = *v
		}
	}
	return out
}

// agents are the ssh agents, with the one that a git context needs.
func (s *spec) agents() []SSH {
	if s.implicitSSH {
		return []SSH{{ID: "default"}}
	}
	return s.ssh
}

// limits are the ulimits as they are meant.
func (s *spec) limits() []string {
	if len(s.meant) == 0 {
		return s.ulimits
	}
	out := slices.Clone(s.ulimits)
	for i, u := range out {
		if meant, ok := s.meant[u]; ok {
			out[i] = meant
		}
	}
	return out
}
