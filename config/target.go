package config

import (
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/strata-build/strata/graph"
)

// A Target is one image to build with everything decided: variables evaluated,
// inherits merged, matrix expanded, overrides applied.
//
// Paths are relative to [Config.Dir]. Strings and maps are never nil-significant
// here except where said.
type Target struct {
	Name        string // that of an included file is PATH:NAME, the path from Config.Dir
	Description string

	Context  string            // directory or git/http URL; "." when not given
	Contexts map[string]string // named contexts: dir, target:NAME, docker-image://, oci-layout://, URL

	Dockerfile       string      // path relative to Context; "Dockerfile" when not given
	DockerfileInline *string     // wins over Dockerfile
	Steps            *StepScript // step blocks, compiled; wins over both

	Stage         string            // target attribute: the stage to build, "" is the last
	Args          map[string]string // build arguments
	Labels        map[string]string
	Annotations   []string
	Tags          []string
	Platforms     []string // as written; empty means the engine's own
	Outputs       []Output // empty means none was declared
	Secrets       []Secret
	SSH           []SSH
	CacheFrom     []CacheRef
	CacheTo       []CacheRef
	Attest        []Attest
	NoCache       bool
	NoCacheFilter []string
	Pull          bool
	Network       string // "", default, none, host
	ShmSize       string
	Ulimits       []string
	Resources     Resources
	ExtraHosts    map[string]string
	Entitlements  []string
	Call          string
	Policy        []Policy
	Demand        Demand // for the scheduler
	Pool          string // for the scheduler: a name in [Config.Pools], "" is none

	// Needs are the targets this one needs: from target: contexts, from steps
	// that name target:NAME, and those of the attribute needs, which are only
	// built before; in the order declared, each once.
	Needs []graph.ID

	// Implicit says that the target was not asked for but is needed by another
	// one: its own outputs are dropped.
	Implicit bool

	// Range is the target's header: `target "app"`.
	Range hcl.Range

	// Places are the ranges of attribute values by attribute name as written in
	// HCL ("context", "tags"), or "contexts.base", "args.V" for one entry.
	Places map[string]hcl.Range

	spec *spec
}

// Place returns the best known range for attr: that of the entry
// ("contexts.base"), of the whole attribute ("contexts"), or of the header.
func (t *Target) Place(attr string) hcl.Range {
	return placeOf(t.Places, attr, t.Range)
}

func placeOf(places map[string]hcl.Range, attr string, header hcl.Range) hcl.Range {
	if r, ok := places[attr]; ok {
		return r
	}
	if whole, _, ok := strings.Cut(attr, "."); ok {
		if r, ok := places[whole]; ok {
			return r
		}
	}
	return header
}

// An Output is one thing to do with a result, as in bake:
// https://docs.docker.com/build/exporters/.
type Output struct {
	Type  string            // image, registry, docker, oci, local, tar, cacheonly
	Dest  string            // file or directory; "-" is standard output
	Attrs map[string]string // all other attributes: name, push, compression, ...
}

// Names are the names of the image that o makes of t: its tags, or without any
// those that the output itself has, as in docker buildx.
func (t *Target) Names(o Output) []string {
	if name := o.Attrs["name"]; name != "" && len(t.Tags) == 0 {
		return strings.Split(name, ",")
	}
	return t.Tags
}

// A Secret is a build secret: the id that a RUN mount names and where its value
// comes from. At most one of Source and Env is set; with neither, an
// environment variable named ID is used if it exists, else a file named ID.
type Secret struct {
	ID, Source, Env string

	dir string // where a file named ID is looked for
}

// SSH is an agent socket or keys for RUN --mount=type=ssh.
type SSH struct {
	ID    string
	Paths []string
}

// A CacheRef is one cache-from or cache-to entry.
type CacheRef struct {
	Type  string
	Attrs map[string]string
}

// An Attest is one attestation: type is "provenance" or "sbom", Attrs the rest.
type Attest struct {
	Type     string
	Disabled bool
	Attrs    map[string]string
}

// A StepScript is the Dockerfile that a target's step blocks stand for.
//
// A step that names another target (from = "target:base", copy with
// from = "target:tools", mounts) appears in Text under the named context
// "target:base" mapped in Contexts, so the Dockerfile front end links it.
type StepScript struct {
	Text     string            // Dockerfile source
	Lines    []hcl.Range       // Lines[i] is the HCL place of line i+1 of Text
	Contexts map[string]string // named contexts the steps add: stage name -> target:NAME
}

// Resources limit what a RUN step may use. Empty strings and nil say nothing.
type Resources struct {
	Memory, MemorySwap             string
	CPUShares, CPUPeriod, CPUQuota *int64
	CPUSetCPUs, CPUSetMems         string
}

// A Policy is one source policy: a file of rules, or a switch over the ones
// before it.
type Policy struct {
	Files    []string
	Reset    bool
	Disabled bool
	Strict   *bool
	LogLevel string
}
