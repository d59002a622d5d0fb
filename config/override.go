package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// An override is what --set and the like say about one target. The order in
// which keys were first named is kept; push and load are applied last, so that
// they hold whatever else is set.
type override struct {
	keys   []string
	values map[string]*change
}

// A change is all that was said about one key.
type change struct {
	value  string
	list   []string
	append bool // the list is added to what the files say
	clear  bool // the list was emptied first
}

// overrideAliases are other spellings of keys.
var overrideAliases = map[string]string{
	"annotations": "annotation", "args": "arg", "entitlements": "entitlement",
	"extra-hosts": "extra-host", "labels": "label", "platforms": "platform",
	"resources": "resource", "tags": "tag", "ulimits": "ulimit", "secrets": "secret",
}

var (
	listKeys   = []string{"output", "cache-to", "cache-from", "tag", "platform", "ssh", "attest", "entitlement", "annotation", "policy", "ulimit", "no-cache-filter"}
	namedKeys  = []string{"resource", "arg", "contexts", "label", "extra-host"}
	singleKeys = []string{"context", "dockerfile", "target", "call", "no-cache", "shm-size", "network", "pull", "push", "load"}
)

// parseOverrides reads req.Set and then the fields that stand for flags.
func (r *resolver) parseOverrides(req Request) map[string]*override {
	all := slices.Clone(req.Set)
	if req.Push {
		all = append(all, "*.push=true")
	}
	if req.Load {
		all = append(all, "*.load=true")
	}
	if call := callName(req.Call); call != "" {
		all = append(all, "*.call="+call)
	}
	if req.NoCache != nil {
		all = append(all, fmt.Sprintf("*.no-cache=%t", *req.NoCache))
	}
	if req.Pull != nil {
		all = append(all, fmt.Sprintf("*.pull=%t", *req.Pull))
	}
	if req.SBOM != "" {
		all = append(all, "*.attest="+attestFlag("sbom", req.SBOM))
	}
	if req.Provenance != "" {
		all = append(all, "*.attest="+attestFlag("provenance", req.Provenance))
	}
	all = append(all, r.policyFlags(req.Policy)...)
	out := map[string]*override{}
	for _, text := range all {
		if err := r.parseOverride(text, out); err != nil {
			r.report(&hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Invalid override",
				Detail: fmt.Sprintf("--set %s: %s.", text, err),
			})
		}
	}
	return out
}

// callName is how the methods of --call are named in a target.
func callName(method string) string {
	name, _, _ := strings.Cut(method, ",")
	switch name {
	case "build":
		return ""
	case "check":
		return "lint"
	}
	return name
}

// attestFlag is the attestation that a flag's value stands for.
func attestFlag(typ, value string) string {
	if on, err := strconv.ParseBool(value); err == nil {
		return fmt.Sprintf("type=%s,disabled=%t", typ, !on)
	}
	return fmt.Sprintf("type=%s,%s", typ, value)
}

// policyFlags turns --policy into overrides. A flag can switch policies and not
// name files: those come from where the targets are declared.
func (r *resolver) policyFlags(flags []string) []string {
	var out []string
	for _, text := range flags {
		p, err := parsePolicy(text)
		switch {
		case err != nil:
		case len(p.Files) > 0:
			err = errors.New("--policy does not accept filename; name policy files in the build file")
		case p.Reset:
			err = errors.New("--policy does not accept reset; compose policies in the build file")
		case p.Disabled && (p.Strict != nil || p.LogLevel != "" || len(flags) > 1):
			err = errors.New("disabled policy cannot be combined with other policy flags")
		case p.Disabled:
			r.noPolicy = true
			return nil
		}
		if err != nil {
			r.report(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid policy", Detail: fmt.Sprintf("--policy %s: %s.", text, err)})
			continue
		}
		out = append(out, "*.policy+="+text)
	}
	return out
}

// A setting is one --set, taken apart.
type setting struct {
	key, sub string
	hasSub   bool
	value    string
	hasValue bool
	append   bool
}

func (r *resolver) parseOverride(text string, out map[string]*override) error {
	left, value, hasValue := strings.Cut(text, "=")
	name := strings.TrimSuffix(left, "+")
	parts := splitOverride(name)
	if len(parts) < 2 {
		return errors.New("write target.key=value")
	}
	set := setting{key: parts[1], value: value, hasValue: hasValue, append: name != left}
	if len(parts) == 3 {
		set.sub, set.hasSub = parts[2], true
	}
	if set.key == "secrets" && set.hasSub {
		return errors.New("write secret.ID to change one secret")
	}
	if alias := overrideAliases[set.key]; alias != "" {
		set.key = alias
	}
	if !hasValue && set.key != "arg" {
		return errors.New("write target.key=value")
	}
	names, err := r.expand(parts[0])
	if err != nil {
		return err
	}
	for _, target := range names {
		if out[target] == nil {
			out[target] = &override{values: map[string]*change{}}
		}
		if err := out[target].add(set, r.varEnv); err != nil {
			return err
		}
	}
	return nil
}

// splitOverride takes PATTERN.KEY.SUB apart. A path in the pattern may have dots:
// the key is the first known one after the path.
func splitOverride(text string) []string {
	from := 0
	for {
		dot := strings.IndexByte(text[from:], '.')
		if dot < 0 {
			return strings.SplitN(text, ".", 3)
		}
		pattern, rest := text[:from+dot], text[from+dot+1:]
		key, sub, hasSub := strings.Cut(rest, ".")
		if !strings.ContainsAny(pattern, "/:") {
			return strings.SplitN(text, ".", 3)
		}
		if !isOverrideKey(key) {
			from += dot + 1
			continue
		}
		if !hasSub {
			return []string{pattern, key}
		}
		return []string{pattern, key, sub}
	}
}

func isOverrideKey(key string) bool {
	return overrideAliases[key] != "" || key == "secret" ||
		slices.Contains(listKeys, key) || slices.Contains(namedKeys, key) || slices.Contains(singleKeys, key)
}

// expand lists the targets that a pattern stands for; groups are not meant.
func (r *resolver) expand(pattern string) ([]string, error) {
	if r.specs[pattern] != nil {
		return []string{pattern}, nil
	}
	list := slices.DeleteFunc(slices.Clone(r.plainTargets()[pattern]), func(full string) bool { return r.specs[full] == nil })
	switch {
	case len(list) == 1:
		return list, nil
	case len(list) > 1:
		return nil, fmt.Errorf("several files declare %q: %s", pattern, someOf(list, 10))
	}
	means, err := r.pattern(pattern)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range r.order {
		if means(name) {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no target matches %q.%s", pattern, strings.TrimSuffix(didYouMean(pattern, r.order), "?"))
	}
	return out, nil
}

func (o *override) at(s setting) *change {
	key := s.key
	if s.hasSub {
		key += "." + s.sub
	}
	if o.values[key] == nil {
		o.values[key] = &change{}
		o.keys = append(o.keys, key)
	}
	return o.values[key]
}

func (o *override) add(s setting, env func(string) (string, bool)) error {
	switch {
	case slices.Contains(listKeys, s.key) || s.key == "secret" && !s.hasSub:
		if s.hasSub {
			return fmt.Errorf("%s has no parts", s.key)
		}
		o.at(s).addList(s)
		return nil
	case s.key == "secret" || s.key == "resource":
		if s.append {
			return fmt.Errorf("%s.%s can not be added to", s.key, s.sub)
		}
	case slices.Contains(singleKeys, s.key) && s.hasSub:
		return fmt.Errorf("%s has no parts", s.key)
	}
	if slices.Contains(namedKeys, s.key) && !s.hasSub {
		return fmt.Errorf("name the entry: %s.NAME", s.key)
	}
	if !s.hasValue { // an argument from the environment
		if env == nil {
			o.at(s)
			return nil
		}
		v, ok := env(s.sub)
		if !ok {
			return nil
		}
		s.value = v
	}
	o.at(s).value = s.value
	return nil
}

// addList adds to a list; the last operator says whether the files' list stays.
func (c *change) addList(s setting) {
	if !s.append && s.value == "" {
		c.clear = true
		c.list = nil
	} else {
		c.list = append(c.list, s.value)
	}
	c.append = s.append && !c.clear
}

// apply changes s. A nil override changes nothing.
func (o *override) apply(s *spec) hcl.Diagnostics {
	if o == nil {
		return nil
	}
	var diags hcl.Diagnostics
	for _, key := range o.ordered() {
		name, sub, hasSub := strings.Cut(key, ".")
		if err := s.override(name, sub, hasSub, o.values[key]); err != nil {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Invalid override",
				Detail: fmt.Sprintf("--set %s.%s: %s.", s.name, key, err), Subject: s.place(name).Ptr(),
			})
		}
	}
	return diags
}

// ordered puts what changes the outcome of other keys after them.
func (o *override) ordered() []string {
	rank := func(key string) int {
		switch {
		case strings.HasPrefix(key, "secret."):
			return 1
		case key == "push":
			return 2
		case key == "load":
			return 3
		}
		return 0
	}
	keys := slices.Clone(o.keys)
	slices.SortStableFunc(keys, func(a, b string) int { return rank(a) - rank(b) })
	return keys
}

// override applies one change.
func (s *spec) override(key, sub string, hasSub bool, c *change) error {
	if slices.Contains(listKeys, key) || key == "secret" && !hasSub {
		return s.overrideList(key, c)
	}
	value := c.value
	switch key {
	case "context":
		s.context, s.base.context = &value, nil
	case "dockerfile":
		s.dockerfile, s.steps = &value, nil
	case "target":
		s.stage = &value
	case "call":
		s.call = &value
	case "shm-size":
		s.shmSize = &value
	case "network":
		s.network = &value
	case "arg":
		setEntry(&s.args, sub, value)
	case "label":
		setEntry(&s.labels, sub, value)
	case "extra-host":
		setEntry(&s.extraHosts, sub, value)
	case "contexts":
		s.contexts = maps.Clone(s.contexts)
		if s.contexts == nil {
			s.contexts = map[string]string{}
		}
		s.contexts[sub] = value
	case "secret":
		return s.overrideSecret(sub, value)
	case "resource":
		return s.overrideResource(sub, value)
	case "no-cache", "pull", "push", "load":
		return s.overrideBool(key, value)
	default:
		return fmt.Errorf("there is no key %q", key)
	}
	return nil
}

func setEntry(m *map[string]*string, key, value string) {
	if *m == nil {
		*m = map[string]*string{}
	}
	(*m)[key] = &value
}

func (s *spec) overrideBool(key, value string) error {
	on, err := strconv.ParseBool(value)
	if err != nil {
		return fmt.Errorf("%q is not true or false", value)
	}
	switch key {
	case "no-cache":
		s.noCache = &on
	case "pull":
		s.pull = &on
	case "push":
		s.outputs = withPush(cloneOutputs(s.outputs), on)
	case "load":
		s.outputs = withLoad(s.outputs, on)
	}
	return nil
}

func (s *spec) overrideList(key string, c *change) error {
	switch key {
	case "tag":
		s.tags = c.strings(s.tags)
	case "platform":
		s.platforms = c.strings(s.platforms)
	case "ulimit":
		s.ulimits = c.strings(s.ulimits)
	case "no-cache-filter":
		s.noCacheFilt = c.strings(s.noCacheFilt)
	case "entitlement":
		s.entitlements = c.added(s.entitlements)
	case "annotation":
		s.annotations = c.added(s.annotations)
	default:
		return s.overrideEntries(key, c)
	}
	return nil
}

// strings is the list with the change made.
func (c *change) strings(old []string) []string {
	if c.append {
		return concat(old, c.list)
	}
	return c.list
}

// added is the list with the change made, for lists that only grow.
func (c *change) added(old []string) []string {
	if c.clear {
		old = nil
	}
	return concat(old, c.list)
}

func (s *spec) overrideEntries(key string, c *change) error {
	var err error
	switch key {
	case "output":
		s.outputs, err = changed(c, s.outputs, parseOutput)
		s.outputs = dropEqual(s.outputs, Output.equal)
	case "cache-from":
		s.cacheFrom, err = changedCache(c, s.cacheFrom)
	case "cache-to":
		s.cacheTo, err = changedCache(c, s.cacheTo)
	case "ssh":
		s.ssh, err = changed(c, s.ssh, parseSSH)
		s.ssh = uniqueByKey(s.ssh, sshKey)
	case "secret":
		s.secrets, err = changed(c, s.secrets, parseSecret)
		s.secrets = uniqueByKey(s.secrets, secretKey)
	case "attest":
		merging := *c
		merging.append = !c.clear
		s.attest, err = changed(&merging, s.attest, parseAttest)
		s.attest = uniqueByKey(s.attest, attestKey)
	case "policy":
		s.policy, err = changed(c, s.policy, parsePolicy)
	}
	return err
}

func changed[T any](c *change, old []T, parse func(string) (T, error)) ([]T, error) {
	out := []T{}
	if c.append {
		out = slices.Clone(old)
	}
	for _, text := range c.list {
		if text == "" {
			continue
		}
		v, err := parse(text)
		if err != nil {
			return out, err
		}
		out = append(out, v)
	}
	return out, nil
}

func changedCache(c *change, old []CacheRef) ([]CacheRef, error) {
	lists, err := changed(&change{list: c.list}, nil, parseCache)
	out := slices.Concat(lists...)
	if c.append {
		out = concat(old, out)
	}
	return dropEqual(out, CacheRef.equal), err
}

// overrideSecret changes where a declared secret comes from.
func (s *spec) overrideSecret(id, value string) error {
	if id == "" {
		return errors.New("write secret.ID=src=FILE or secret.ID=env=NAME")
	}
	i := slices.IndexFunc(s.secrets, func(x Secret) bool { return x.ID == id })
	if i < 0 {
		return fmt.Errorf("the secret %q must be declared before it can be overridden", id)
	}
	next, err := parseSecret(value)
	if err != nil {
		return err
	}
	if next.ID != "" && next.ID != id {
		return fmt.Errorf("the id %q is not %q", next.ID, id)
	}
	s.secrets = slices.Clone(s.secrets)
	s.secrets[i].Source, s.secrets[i].Env = next.Source, next.Env
	return nil
}

func (s *spec) overrideResource(name, value string) error {
	r := (*resources)(nil).merge(&resources{})
	if s.resources != nil {
		r = s.resources.merge(&resources{})
	}
	s.resources = r
	if at := r.text(name); at != nil {
		*at = &value
		return nil
	}
	at := r.number(name)
	if at == nil {
		return fmt.Errorf("resources has no %q.%s", name, didYouMean(name, sortedKeys(resourceTypes)))
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a whole number", value)
	}
	*at = &n
	return nil
}

// withPush is what bake's --push makes of outputs. Pushing is added to images,
// and an image that is pushed to targets that only go to Docker or nowhere.
func withPush(outputs []Output, on bool) []Output {
	if !on {
		outputs = dropRegistry(outputs)
	}
	only := true
	for i, o := range outputs {
		only = only && o.Type == "docker"
		if o.Type == "image" {
			if o.Attrs == nil {
				outputs[i].Attrs = map[string]string{}
			}
			outputs[i].Attrs["push"] = strconv.FormatBool(on)
		}
	}
	if on && only {
		outputs = append(outputs, Output{Type: "image", Attrs: map[string]string{"push": "true"}})
	}
	return outputs
}

// dropRegistry moves the last output to the place of each that is dropped, which
// gives the order that bake prints.
func dropRegistry(outputs []Output) []Output {
	for i := 0; i < len(outputs); {
		if outputs[i].Type != "registry" {
			i++
			continue
		}
		outputs[i] = outputs[len(outputs)-1]
		outputs = outputs[:len(outputs)-1]
	}
	return outputs
}

// withLoad is what bake's --load makes of outputs: the image goes into Docker
// too, unless the target makes files or nothing.
func withLoad(outputs []Output, on bool) []Output {
	if !on {
		return outputs
	}
	for _, o := range outputs {
		switch o.Type {
		case "docker":
			if o.Dest == "" {
				return outputs
			}
		case "image", "registry", "oci":
		default:
			return outputs
		}
	}
	return concat(outputs, []Output{{Type: "docker"}})
}
