package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/gocty"
)

// An attributeDef is one attribute of a target: how it is read, and what
// target.NAME.ATTRIBUTE sees of it.
type attributeDef struct {
	name string
	set  func(*spec, cty.Value) error
	get  func(*spec) cty.Value
	// pick copies the attribute from one target to another.
	pick func(to, from *spec)
	// byKey says that the places of the entries are kept too.
	byKey bool
	// names says that in Strata's own language the elements can be written as
	// target.NAME.
	names bool
	// own says that only Strata's own language has it.
	own bool
	// inner says that it stands in a block of the target and not in the target.
	inner bool
}

// attributes are all attributes of a target but name and matrix.
var attributes = attributeTable(append(demandAttributes(),
	attributeDef{
		name: "name",
		set:  func(*spec, cty.Value) error { return nil },
		get:  func(s *spec) cty.Value { return cty.StringVal(s.name) },
		pick: func(to, from *spec) { to.name = from.name },
	},
	attributeDef{
		name: "description",
		set:  func(s *spec, v cty.Value) (err error) { s.description, err = stringOf(v); return },
		get:  func(s *spec) cty.Value { return cty.StringVal(s.description) },
		pick: func(to, from *spec) { to.description = from.description },
	},
	namesAttribute("inherits", func(s *spec) *[]string { return &s.inherits }),
	ownAttribute(namesAttribute("needs", func(s *spec) *[]string { return &s.after })),
	ownAttribute(listAttribute("clear", func(s *spec) *[]string { return &s.clear })),
	listAttribute("annotations", func(s *spec) *[]string { return &s.annotations }),
	listAttribute("tags", func(s *spec) *[]string { return &s.tags }),
	listAttribute("platforms", func(s *spec) *[]string { return &s.platforms }),
	listAttribute("no-cache-filter", func(s *spec) *[]string { return &s.noCacheFilt }),
	listAttribute("ulimits", func(s *spec) *[]string { return &s.ulimits }),
	listAttribute("entitlements", func(s *spec) *[]string { return &s.entitlements }),
	stringAttribute("context", func(s *spec) **string { return &s.context }),
	stringAttribute("dockerfile", func(s *spec) **string { return &s.dockerfile }),
	stringAttribute("dockerfile-inline", func(s *spec) **string { return &s.inline }),
	stringAttribute("target", func(s *spec) **string { return &s.stage }),
	stringAttribute("network", func(s *spec) **string { return &s.network }),
	stringAttribute("shm-size", func(s *spec) **string { return &s.shmSize }),
	ownAttribute(linkAttribute()),
	stringAttribute("call", func(s *spec) **string { return &s.call }),
	boolAttribute("pull", func(s *spec) **bool { return &s.pull }),
	boolAttribute("no-cache", func(s *spec) **bool { return &s.noCache }),
	mapAttribute("args", func(s *spec) *map[string]*string { return &s.args }),
	mapAttribute("labels", func(s *spec) *map[string]*string { return &s.labels }),
	mapAttribute("extra-hosts", func(s *spec) *map[string]*string { return &s.extraHosts }),
	attributeDef{name: "contexts", byKey: true, set: setContexts, pick: func(to, from *spec) { to.contexts = from.contexts }, get: func(s *spec) cty.Value {
		if s.contexts == nil {
			return cty.NullVal(cty.Map(cty.String))
		}
		return plainMap(s.contexts)
	}},
	attributeDef{
		name: "output",
		set:  func(s *spec, v cty.Value) (err error) { s.outputs, err = entries(v, outputOf); return },
		pick: func(to, from *spec) { to.outputs = from.outputs },
		get: func(s *spec) cty.Value {
			return listOf(cty.Map(cty.String), s.outputs, func(o Output) cty.Value {
				return plainMap(o.Attrs, "type", o.Type, "dest", o.Dest)
			})
		},
	},
	cacheAttribute("cache-from", func(s *spec) *[]CacheRef { return &s.cacheFrom }),
	cacheAttribute("cache-to", func(s *spec) *[]CacheRef { return &s.cacheTo }),
	attributeDef{
		name: "secret",
		set:  func(s *spec, v cty.Value) (err error) { s.secrets, err = entries(v, secretOf); return },
		pick: func(to, from *spec) { to.secrets = from.secrets },
		get: func(s *spec) cty.Value {
			return listOf(secretType, s.secrets, func(x Secret) cty.Value {
				return cty.ObjectVal(map[string]cty.Value{
					"id": cty.StringVal(x.ID), "src": cty.StringVal(x.Source), "env": cty.StringVal(x.Env),
				})
			})
		},
	},
	attributeDef{
		name: "ssh",
		set:  func(s *spec, v cty.Value) (err error) { s.ssh, err = entries(v, sshOf); return },
		pick: func(to, from *spec) { to.ssh = from.ssh },
		get: func(s *spec) cty.Value {
			return listOf(sshType, s.ssh, func(x SSH) cty.Value {
				return cty.ObjectVal(map[string]cty.Value{
					"id": cty.StringVal(x.ID), "paths": listOf(cty.String, x.Paths, cty.StringVal),
				})
			})
		},
	},
	attributeDef{
		name: "attest",
		set:  func(s *spec, v cty.Value) (err error) { s.attest, err = entries(v, attestOf); return },
		pick: func(to, from *spec) { to.attest = from.attest },
		get: func(s *spec) cty.Value {
			return listOf(cty.Map(cty.String), s.attest, func(a Attest) cty.Value {
				if a.Disabled {
					return plainMap(a.Attrs, "type", a.Type, "disabled", "true")
				}
				return plainMap(a.Attrs, "type", a.Type)
			})
		},
	},
	attributeDef{
		name: "policy",
		set:  func(s *spec, v cty.Value) (err error) { s.policy, err = entries(v, policyEntry); return },
		pick: func(to, from *spec) { to.policy = from.policy },
		get:  func(s *spec) cty.Value { return listOf(cty.Map(cty.String), s.policy, ctyPolicy) },
	},
	attributeDef{name: "resources", set: setResources, get: ctyResources, pick: func(to, from *spec) {
		to.resources, to.cpuDemand, to.memoryDemand = from.resources, from.cpuDemand, from.memoryDemand
	}},
	ownAttribute(stringAttribute("pool", func(s *spec) **string { return &s.pool })),
)...)

// attributeNames are the attributes that bake has too.
var attributeNames = slices.DeleteFunc(sortedKeys(attributes), func(n string) bool { return attributes[n].own })

var allAttributeNames = slices.DeleteFunc(sortedKeys(attributes), func(n string) bool { return attributes[n].inner })

// attributeNames are those that the mode has.
func (m *module) attributeNames() []string {
	if m.mode == ModeStrata {
		return allAttributeNames
	}
	return attributeNames
}

// attributeCalled is nil if the mode has no such attribute.
func (m *module) attributeCalled(name string) *attributeDef {
	if def := attributes[name]; def != nil && !def.inner && (!def.own || m.mode == ModeStrata) {
		return def
	}
	return nil
}

func attributeTable(defs ...attributeDef) map[string]*attributeDef {
	table := make(map[string]*attributeDef, len(defs))
	for i := range defs {
		table[defs[i].name] = &defs[i]
	}
	return table
}

// targetSchema is what a target block may hold.
func targetSchema(mode Mode) *hcl.BodySchema {
	schema := &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "matrix"}}}
	m := &module{reading: &reading{mode: mode}}
	for _, name := range m.attributeNames() {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: name})
	}
	if mode == ModeStrata {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: "template"}, hcl.AttributeSchema{Name: "with"})
		schema.Blocks = slices.Concat(stepBlocks, []hcl.BlockHeaderSchema{{Type: "resources"}})
	}
	return schema
}

func listAttribute(name string, at func(*spec) *[]string) attributeDef {
	return attributeDef{
		name: name,
		set:  func(s *spec, v cty.Value) (err error) { *at(s), err = stringsOf(v); return },
		get:  func(s *spec) cty.Value { return stringList(*at(s)) },
		pick: func(to, from *spec) { *at(to) = *at(from) },
	}
}

// namesAttribute is a list of names of targets.
func namesAttribute(name string, at func(*spec) *[]string) attributeDef {
	def := listAttribute(name, at)
	def.names = true
	return def
}

// ownAttribute is def as an attribute that bake does not have.
func ownAttribute(def attributeDef) attributeDef {
	def.own = true
	return def
}

func stringAttribute(name string, at func(*spec) **string) attributeDef {
	return attributeDef{
		name: name,
		set:  func(s *spec, v cty.Value) (err error) { *at(s), err = optionalString(v); return },
		get:  func(s *spec) cty.Value { return ctyString(*at(s)) },
		pick: func(to, from *spec) { *at(to) = *at(from) },
	}
}

// linkAttribute takes one of two words.
func linkAttribute() attributeDef {
	def := stringAttribute("link", func(s *spec) **string { return &s.link })
	set := def.set
	def.set = func(s *spec, v cty.Value) error {
		err := set(s, v)
		if err == nil && s.link != nil && *s.link != linkAuto && *s.link != linkNone {
			err = badLink(*s.link)
		}
		return err
	}
	return def
}

func boolAttribute(name string, at func(*spec) **bool) attributeDef {
	return attributeDef{
		name: name,
		set:  func(s *spec, v cty.Value) (err error) { *at(s), err = optionalBool(v); return },
		get:  func(s *spec) cty.Value { return ctyBool(*at(s)) },
		pick: func(to, from *spec) { *at(to) = *at(from) },
	}
}

func mapAttribute(name string, at func(*spec) *map[string]*string) attributeDef {
	return attributeDef{
		name: name, byKey: true,
		set:  func(s *spec, v cty.Value) (err error) { *at(s), err = stringMap(v); return },
		get:  func(s *spec) cty.Value { return ctyMap(*at(s)) },
		pick: func(to, from *spec) { *at(to) = *at(from) },
	}
}

func cacheAttribute(name string, at func(*spec) *[]CacheRef) attributeDef {
	return attributeDef{
		name: name,
		pick: func(to, from *spec) { *at(to) = *at(from) },
		set: func(s *spec, v cty.Value) error {
			lists, err := entries(v, cacheOf)
			*at(s) = []CacheRef{}
			for _, l := range lists {
				*at(s) = append(*at(s), l...)
			}
			return err
		},
		get: func(s *spec) cty.Value {
			return listOf(cty.Map(cty.String), *at(s), func(c CacheRef) cty.Value {
				return plainMap(c.Attrs, "type", c.Type)
			})
		},
	}
}

// attribute evaluates one attribute of a target if it is not yet. ok is false if
// it went wrong, which has been reported.
func (e *evaluator) attribute(in *instance, def *attributeDef, from hcl.Range) (ok bool) {
	attr := in.block.content.Attributes[def.name]
	if attr == nil || def.name == "name" {
		return true
	}
	e = in.owner
	if in.states[def.name] == done {
		return !in.failed[def.name]
	}
	if !e.enter(in.String()+"."+def.name, from, in.states[def.name]) {
		return false
	}
	defer e.leave()
	in.states[def.name] = busy
	ok = e.decode(in, def, attr)
	in.states[def.name] = done
	in.failed[def.name] = !ok
	return ok
}

func (e *evaluator) decode(in *instance, def *attributeDef, attr *hcl.Attribute) bool {
	evaluate := e.value
	if def.names && e.mode == ModeStrata {
		evaluate = e.names
	}
	v, ok := evaluate(attr.Expr, in.scope())
	if !ok {
		return false
	}
	if err := def.set(in.spec, v); err != nil {
		e.report(problem(guilty(attr.Expr, err), "Unsuitable value", "The attribute %s %s.", def.name, reason(err)))
		return false
	}
	if v.IsNull() {
		return true
	}
	named := e.nameTargets(in.spec, def.name, attr.Expr)
	in.spec.places[def.name] = attr.Expr.Range()
	if def.byKey {
		in.spec.placeEntries(def.name, attr.Expr, v)
	}
	switch {
	case !named:
		return false
	case def.name == "needs":
		for i, rng := range listPlaces(attr.Expr, len(in.spec.after)) {
			in.spec.places["needs."+in.spec.after[i]] = rng
		}
	case def.name == "clear":
		return e.checkClear(in.spec, attr.Expr)
	}
	return true
}

// checkClear reports what can not be cleared.
func (e *evaluator) checkClear(s *spec, expr hcl.Expression) bool {
	ok := true
	for i, rng := range listPlaces(expr, len(s.clear)) {
		switch name := s.clear[i]; {
		case name == "step":
		case e.attributeCalled(name) == nil, name == "name", name == "clear", name == "inherits":
			e.report(problem(rng, "Unknown attribute", "A target inherits no attribute %q.%s", name, didYouMean(name, e.attributeNames())))
			ok = false
		}
	}
	return ok
}

// placeEntries notes where each entry of a map is written.
func (s *spec) placeEntries(name string, expr hcl.Expression, v cty.Value) {
	for k, elem := range v.Elements() {
		if !elem.IsNull() {
			s.places[name+"."+k.AsString()] = expr.Range()
		}
	}
	for _, p := range pairs(expr) {
		if _, ok := s.places[name+"."+p.key]; ok {
			s.places[name+"."+p.key] = p.value.Range()
		}
	}
}

// reason says which element err is about, if it is about one.
func reason(err error) string {
	pathErr, ok := errors.AsType[cty.PathError](err)
	if !ok || len(pathErr.Path) == 0 {
		return err.Error()
	}
	var where strings.Builder
	for _, step := range pathErr.Path {
		switch s := step.(type) {
		case cty.GetAttrStep:
			fmt.Fprintf(&where, ".%s", s.Name)
		case cty.IndexStep:
			if s.Key.Type() == cty.String {
				fmt.Fprintf(&where, ".%s", s.Key.AsString())
			} else {
				fmt.Fprintf(&where, "[%s]", s.Key.AsBigFloat().Text('f', -1))
			}
		}
	}
	return "has an unsuitable element " + where.String() + ": " + err.Error()
}

func setContexts(s *spec, v cty.Value) error {
	m, err := stringMap(v)
	if err != nil {
		return err
	}
	for _, k := range sortedKeys(m) {
		if m[k] == nil {
			return cty.IndexStringPath(k).NewError(errNull)
		}
	}
	s.contexts = values(m)
	return nil
}

// entries reads a list whose elements are texts or objects; empty texts are left
// out, which is how a condition can drop an element.
func entries[T any](v cty.Value, read func(cty.Value) (T, error)) ([]T, error) {
	if v.IsNull() {
		return nil, errNull
	}
	if !v.Type().IsTupleType() && !v.Type().IsListType() {
		return nil, fmt.Errorf("must be a list, not %s", article(v.Type()))
	}
	out := []T{}
	for i, elem := range v.Elements() {
		if elem.IsNull() {
			return nil, cty.Path{cty.IndexStep{Key: i}}.NewError(errNull)
		}
		if elem.Type() == cty.String && elem.AsString() == "" {
			continue
		}
		x, err := read(elem)
		if err != nil {
			return nil, within(i, err)
		}
		out = append(out, x)
	}
	return out, nil
}

// within puts the index of the element before the path that err has.
func within(i cty.Value, err error) error {
	path := cty.Path{cty.IndexStep{Key: i}}
	if inner, ok := errors.AsType[cty.PathError](err); ok {
		path = append(path, inner.Path...)
		err = errors.New(inner.Error())
	}
	return path.NewError(err)
}

// texts reads an object whose values are all text.
func texts(v cty.Value) (map[string]string, error) {
	m, err := stringMap(v)
	if err != nil {
		return nil, err
	}
	for _, k := range sortedKeys(m) {
		if m[k] == nil {
			return nil, cty.GetAttrPath(k).NewError(errNull)
		}
	}
	return values(m), nil
}

func take(m map[string]string, key string) string {
	v := m[key]
	delete(m, key)
	return v
}

func outputOf(v cty.Value) (Output, error) {
	if v.Type() == cty.String {
		return parseOutput(v.AsString())
	}
	m, err := texts(v)
	if err != nil {
		return Output{}, err
	}
	o := Output{Type: take(m, "type"), Dest: take(m, "dest"), Attrs: m}
	return o, o.check()
}

func cacheOf(v cty.Value) ([]CacheRef, error) {
	if v.Type() == cty.String {
		return parseCache(v.AsString())
	}
	m, err := texts(v)
	if err != nil {
		return nil, err
	}
	c := CacheRef{Type: take(m, "type"), Attrs: m}
	return []CacheRef{c}, c.check()
}

func attestOf(v cty.Value) (Attest, error) {
	if v.Type() == cty.String {
		return parseAttest(v.AsString())
	}
	m, err := texts(v)
	if err != nil {
		return Attest{}, err
	}
	a := Attest{Type: take(m, "type"), Attrs: m}
	if text, ok := m["disabled"]; ok {
		delete(m, "disabled")
		if a.Disabled, err = strconv.ParseBool(text); err != nil {
			return a, cty.GetAttrPath("disabled").NewError(errors.New("must be true or false"))
		}
	}
	return a, nil
}

var secretType = cty.ObjectWithOptionalAttrs(map[string]cty.Type{
	"id": cty.String, "src": cty.String, "env": cty.String,
}, []string{"id", "src", "env"})

func secretOf(v cty.Value) (Secret, error) {
	if v.Type() == cty.String {
		return parseSecret(v.AsString())
	}
	v, err := convertTo(v, secretType)
	if err != nil {
		return Secret{}, err
	}
	return Secret{ID: attrText(v, "id"), Source: attrText(v, "src"), Env: attrText(v, "env")}, nil
}

func attrText(v cty.Value, name string) string {
	if a := v.GetAttr(name); !a.IsNull() {
		return a.AsString()
	}
	return ""
}

var sshType = cty.ObjectWithOptionalAttrs(map[string]cty.Type{
	"id": cty.String, "paths": cty.List(cty.String),
}, []string{"id", "paths"})

func sshOf(v cty.Value) (SSH, error) {
	if v.Type() == cty.String {
		return parseSSH(v.AsString())
	}
	v, err := convertTo(v, sshType)
	if err != nil {
		return SSH{}, err
	}
	paths, err := stringsOf(v.GetAttr("paths"))
	return SSH{ID: attrText(v, "id"), Paths: paths}, err
}

func policyEntry(v cty.Value) (Policy, error) {
	if v.Type() == cty.String {
		return parsePolicy(v.AsString())
	}
	m, err := stringMap(v)
	if err != nil {
		return Policy{}, err
	}
	var list []field
	for _, k := range sortedKeys(m) {
		if m[k] != nil && *m[k] != "" {
			list = append(list, field{strings.ToLower(k), *m[k]})
		}
	}
	return policyOf(list)
}

func ctyPolicy(p Policy) cty.Value {
	var more []string
	if len(p.Files) > 0 {
		more = append(more, "filename", p.Files[0])
	}
	if p.Reset {
		more = append(more, "reset", "true")
	}
	if p.Disabled {
		more = append(more, "disabled", "true")
	}
	if p.Strict != nil {
		more = append(more, "strict", strconv.FormatBool(*p.Strict))
	}
	if p.LogLevel != "" {
		more = append(more, "log-level", p.LogLevel)
	}
	return plainMap(nil, more...)
}

var resourceTypes = map[string]cty.Type{
	"memory": cty.String, "memory-swap": cty.String,
	"cpu-shares": cty.Number, "cpu-period": cty.Number, "cpu-quota": cty.Number,
	"cpuset-cpus": cty.String, "cpuset-mems": cty.String,
}

func setResources(s *spec, v cty.Value) error {
	if v.IsNull() {
		return errNull
	}
	typ := cty.ObjectWithOptionalAttrs(resourceTypes, sortedKeys(resourceTypes))
	v, err := convertTo(v, typ)
	if err != nil {
		return err
	}
	s.resources = &resources{}
	for _, name := range sortedKeys(resourceTypes) {
		if err := s.resources.set(name, v.GetAttr(name)); err != nil {
			return cty.GetAttrPath(name).NewError(err)
		}
	}
	return nil
}

func (r *resources) set(name string, v cty.Value) error {
	if v.IsNull() {
		return nil
	}
	if v.Type() == cty.String {
		text := v.AsString()
		*r.text(name) = &text
		return nil
	}
	var n int64
	if err := gocty.FromCtyValue(v, &n); err != nil {
		return err
	}
	*r.number(name) = &n
	return nil
}

func (r *resources) text(name string) **string {
	switch name {
	case "memory":
		return &r.memory
	case "memory-swap":
		return &r.memorySwap
	case "cpuset-cpus":
		return &r.cpusetCPUs
	case "cpuset-mems":
		return &r.cpusetMems
	}
	return nil
}

func (r *resources) number(name string) **int64 {
	switch name {
	case "cpu-shares":
		return &r.cpuShares
	case "cpu-period":
		return &r.cpuPeriod
	case "cpu-quota":
		return &r.cpuQuota
	}
	return nil
}

func ctyResources(s *spec) cty.Value {
	if s.resources == nil {
		return cty.NullVal(cty.Object(resourceTypes))
	}
	out := map[string]cty.Value{}
	for name, typ := range resourceTypes {
		if typ == cty.String {
			out[name] = ctyString(*s.resources.text(name))
		} else {
			out[name] = ctyInt(*s.resources.number(name))
		}
	}
	return cty.ObjectVal(out)
}

// target evaluates all of a target.
func (e *evaluator) target(in *instance) {
	for _, name := range sortedKeys(in.block.content.Attributes) {
		if def := attributes[name]; def != nil {
			e.attribute(in, def, in.block.label)
		}
	}
	if e.mode == ModeStrata {
		e.steps(in)
		e.checkSource(in)
	}
}

// checkSource reports a block that says in two ways what the Dockerfile is.
func (e *evaluator) checkSource(in *instance) {
	var found []string
	var ranges []hcl.Range
	for _, name := range []string{"dockerfile", "dockerfile-inline"} {
		if attr := in.block.content.Attributes[name]; attr != nil {
			found, ranges = append(found, name), append(ranges, attr.NameRange)
		}
	}
	if len(in.block.content.Blocks) > 0 {
		found, ranges = append(found, "step"), append(ranges, in.block.content.Blocks[0].TypeRange)
	}
	for i := 1; i < len(found); i++ {
		e.report(problem(ranges[i], "Two Dockerfiles",
			"A target has one of dockerfile, dockerfile-inline and steps: there is %s here and %s at %s.",
			found[i], found[0], position(ranges[0])))
	}
}

// Group blocks.

var groupSchema = newSchema(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "targets", Required: true}, {Name: "description"},
}})

// A groupDecl is a group block, evaluated when first needed.
type groupDecl struct {
	owner             *evaluator // of the file it is declared in
	block             *block
	state             map[string]state
	name, description string
	targets           []string
	rng               hcl.Range
	places            []hcl.Range // of each of targets
}

func (e *evaluator) groupAttribute(g *groupDecl, name string, from hcl.Range) bool {
	e = g.owner
	attr := g.block.content.Attributes[name]
	if attr == nil || g.state[name] == done {
		return true
	}
	if !e.enter("group."+g.name+"."+name, from, g.state[name]) {
		return false
	}
	defer e.leave()
	g.state[name] = busy
	evaluate := e.value
	if name == "targets" && e.mode == ModeStrata {
		evaluate = e.names
	}
	v, ok := evaluate(attr.Expr, scope{ctx: e.root, refs: true})
	g.state[name] = done
	if !ok {
		return false
	}
	var err error
	if name == "description" {
		g.description, err = stringOf(v)
	} else {
		g.targets, err = stringsOf(v)
		g.places = listPlaces(attr.Expr, len(g.targets))
		if err == nil && !e.fullNames(&g.targets, g.places) {
			return false
		}
	}
	if err != nil {
		e.report(problem(guilty(attr.Expr, err), "Unsuitable value", "The attribute %s %s.", name, reason(err)))
	}
	return err == nil
}

// listPlaces is where each of n elements is written.
func listPlaces(expr hcl.Expression, n int) []hcl.Range {
	list, diags := hcl.ExprList(expr)
	return slices.Collect(func(yield func(hcl.Range) bool) {
		for i := range n {
			rng := expr.Range()
			if !diags.HasErrors() && len(list) == n {
				rng = list[i].Range()
			}
			if !yield(rng) {
				return
			}
		}
	})
}

func (e *evaluator) groupObject(name string, attrs map[string]hcl.Range) (map[string]cty.Value, bool, bool) {
	g := e.group[name]
	if g == nil {
		return nil, false, true
	}
	ok := true
	for _, attr := range sortedKeys(attrs) {
		for _, a := range []string{"targets", "description"} {
			if attr == "" || attr == a {
				ok = e.groupAttribute(g, a, attrs[attr]) && ok
			}
		}
	}
	return map[string]cty.Value{
		"name":        cty.StringVal(g.block.name),
		"description": cty.StringVal(g.description),
		"targets":     stringList(g.targets),
	}, true, ok
}
