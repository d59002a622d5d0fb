package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// merge lays over onto s, by the same rules for inherits, for several files and
// for repeated blocks: most attributes are replaced by what over says, maps are
// merged by key, and some lists grow. Null says nothing and removes nothing.
func (s *spec) merge(over *spec, mode Mode) {
	s.drop(over.clear)
	s.base.merge(over)
	s.mergeSource(over, mode)
	s.mergeMaps(over)
	s.mergeLists(over, mode)
	replace(&s.stage, over.stage)
	replace(&s.link, over.link)
	replace(&s.call, over.call)
	replace(&s.pull, over.pull)
	replace(&s.noCache, over.noCache)
	replace(&s.network, over.network)
	replace(&s.shmSize, over.shmSize)
	replace(&s.cpuDemand, over.cpuDemand)
	replace(&s.memoryDemand, over.memoryDemand)
	replace(&s.pool, over.pool)
	if over.resources != nil {
		s.resources = s.resources.merge(over.resources)
	}
	if over.description != "" {
		s.description = over.description
	}
	if s.places == nil {
		s.places = map[string]hcl.Range{}
	}
	maps.Copy(s.places, over.places)
}

// mergeSource merges what says where the Dockerfile comes from. In Strata's own
// mode the newest of the three kinds wins; bake prints both of its two.
func (s *spec) mergeSource(over *spec, mode Mode) {
	replace(&s.context, over.context)
	if mode == ModeStrata && (over.dockerfile != nil || over.inline != nil || over.steps != nil) {
		s.dockerfile, s.inline, s.steps = nil, nil, nil
	}
	replace(&s.dockerfile, over.dockerfile)
	replace(&s.inline, over.inline)
	replace(&s.steps, over.steps)
}

func (s *spec) mergeMaps(over *spec) {
	mergeMap(&s.args, over.args)
	mergeMap(&s.labels, over.labels)
	mergeMap(&s.extraHosts, over.extraHosts)
	if len(over.contexts) > 0 {
		if s.contexts == nil {
			s.contexts = map[string]string{}
		}
		maps.Copy(s.contexts, over.contexts)
	}
}

func (s *spec) mergeLists(over *spec, mode Mode) {
	if over.tags != nil {
		s.tags = over.tags
	}
	if over.platforms != nil {
		s.platforms = over.platforms
	}
	if over.cacheTo != nil {
		s.cacheTo = over.cacheTo
	}
	if over.outputs != nil {
		s.outputs = cloneOutputs(over.outputs)
	}
	s.inherits = concat(s.inherits, over.inherits)
	s.after = grown(s.after, over.after, mode)
	s.clear = concat(s.clear, over.clear)
	s.annotations = grown(s.annotations, over.annotations, mode)
	s.noCacheFilt = grown(s.noCacheFilt, over.noCacheFilt, mode)
	s.ulimits = grown(s.ulimits, over.ulimits, mode)
	if len(over.meant) > 0 {
		s.meant = maps.Clone(over.meant)
	}
	s.entitlements = grown(s.entitlements, over.entitlements, mode)
	s.policy = grown(s.policy, over.policy, mode)
	s.attest = uniqueByKey(grown(s.attest, over.attest, mode), attestKey)
	s.secrets = uniqueByKey(grown(s.secrets, over.secrets, mode), secretKey)
	s.ssh = uniqueByKey(grown(s.ssh, over.ssh, mode), sshKey)
	s.cacheFrom = dropEqual(grown(s.cacheFrom, over.cacheFrom, mode), CacheRef.equal)
}

// normalize removes what is said twice and what is said to be empty. It runs
// once for every target after its own overrides, so parents are normal already.
func (s *spec) normalize() {
	s.annotations = dropDuplicates(s.annotations)
	s.tags = dropDuplicates(s.tags)
	s.platforms = dropDuplicates(s.platforms)
	s.noCacheFilt = dropDuplicates(s.noCacheFilt)
	s.ulimits = dropDuplicates(s.ulimits)
	s.attest = uniqueByKey(s.attest, attestKey)
	s.secrets = uniqueByKey(s.secrets, secretKey)
	s.ssh = uniqueByKey(s.ssh, sshKey)
	s.cacheFrom = dropEqual(s.cacheFrom, CacheRef.equal)
	s.cacheTo = dropEqual(s.cacheTo, CacheRef.equal)
	s.outputs = dropEqual(s.outputs, Output.equal)
	if s.network != nil && *s.network == "host" {
		s.entitlements = concat(s.entitlements, []string{"network.host"})
	}
	s.entitlements = dropDuplicates(s.entitlements)
	maps.DeleteFunc(s.contexts, func(_, v string) bool { return v == "" })
	if len(s.contexts) == 0 {
		s.contexts = nil
	}
}

func (r *resources) merge(over *resources) *resources {
	out := resources{}
	if r != nil {
		out = *r
	}
	replace(&out.memory, over.memory)
	replace(&out.memorySwap, over.memorySwap)
	replace(&out.cpuShares, over.cpuShares)
	replace(&out.cpuPeriod, over.cpuPeriod)
	replace(&out.cpuQuota, over.cpuQuota)
	replace(&out.cpusetCPUs, over.cpusetCPUs)
	replace(&out.cpusetMems, over.cpusetMems)
	return &out
}

func replace[T any](old **T, with *T) {
	if with != nil {
		*old = with
	}
}

func mergeMap(old *map[string]*string, over map[string]*string) {
	for k, v := range over {
		if v == nil {
			continue
		}
		if *old == nil {
			*old = map[string]*string{}
		}
		(*old)[k] = v
	}
}

// drop forgets what attributes say.
func (s *spec) drop(names []string) {
	for _, name := range names {
		if name == "step" {
			s.steps = nil
		} else if def := attributes[name]; def != nil {
			def.pick(s, &spec{})
		}
		maps.DeleteFunc(s.places, func(at string, _ hcl.Range) bool {
			return at == name || strings.HasPrefix(at, name+".")
		})
	}
}

// grown is list with what over adds. In Strata's own mode an empty list that is
// written down says that there shall be nothing.
func grown[T any](list, over []T, mode Mode) []T {
	if mode == ModeStrata && over != nil && len(over) == 0 {
		return over
	}
	return concat(list, over)
}

// concat joins two lists into a new one; nil only if there is nothing in both.
func concat[T any](a, b []T) []T {
	if len(a) == 0 && len(b) == 0 {
		return nil
	}
	return append(slices.Clip(slices.Clone(a)), b...)
}

// dropDuplicates removes repeated and empty strings. An empty list that is not
// nil stays so: it overrides an inherited one.
func dropDuplicates(list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, 0, len(list))
	seen := make(map[string]bool, len(list))
	for _, s := range list {
		if s != "" && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// uniqueByKey keeps one element a key: the newest, at the place of the first.
func uniqueByKey[T any](list []T, key func(T) string) []T {
	if len(list) == 0 {
		return list
	}
	var out []T
	at := map[string]int{}
	for _, v := range list {
		if i, ok := at[key(v)]; ok {
			out[i] = v
			continue
		}
		at[key(v)] = len(out)
		out = append(out, v)
	}
	return out
}

// dropEqual removes equal elements the way bake does: the duplicate's place is
// taken by the last element, so the order that bake prints is kept.
func dropEqual[T any](list []T, equal func(T, T) bool) []T {
	if len(list) == 0 {
		return list
	}
	out := slices.Clone(list)
	for i := len(out) - 2; i >= 0; i-- {
		j := slices.IndexFunc(out[i+1:], func(v T) bool { return equal(out[i], v) })
		if j >= 0 {
			last := len(out) - 1
			out[i+1+j] = out[last]
			out = out[:last]
		}
	}
	return out
}

func attestKey(a Attest) string { return a.Type }
func secretKey(s Secret) string { return s.ID }
func sshKey(s SSH) string       { return s.ID }

func (o Output) equal(p Output) bool {
	return o.Type == p.Type && o.Dest == p.Dest && maps.Equal(o.Attrs, p.Attrs)
}

func (c CacheRef) equal(d CacheRef) bool {
	return c.Type == d.Type && maps.Equal(c.Attrs, d.Attrs)
}

func cloneOutputs(list []Output) []Output {
	out := slices.Clone(list)
	for i := range out {
		out[i].Attrs = maps.Clone(out[i].Attrs)
	}
	return out
}

// targetName is the NAME of a "target:NAME" reference.
func targetName(ref string) (string, bool) { return strings.CutPrefix(ref, "target:") }
