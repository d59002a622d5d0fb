package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"
	"github.com/hashicorp/hcl/v2"
	"go.yaml.in/yaml/v3"
)

// This file makes targets of the services of compose files. The files are read
// by compose's own library, of which only what is about building is kept.

// composeName says whether the file's name makes it a compose file; sure is false
// if only its content can tell.
func composeName(name string) (is, sure bool) {
	name = strings.ToLower(name)
	for _, suffix := range []string{".yml", ".yaml"} {
		if strings.HasSuffix(name, suffix) {
			return true, true
		}
	}
	for _, suffix := range []string{".json", ".hcl"} {
		if strings.HasSuffix(name, suffix) {
			return false, true
		}
	}
	return true, false
}

// A composer reads compose files.
type composer struct {
	*module
	dir  string
	vars map[string]string
	env  map[string]string // all of it, as far as it can be listed
	// process is the environment of the process, nil if it may not be read.
	process func(string) (string, bool)
	files   []source
	nodes   map[string]yaml.Node // parsed for places, by file
}

// newComposer prepares the environment: variables given for this run, then that of
// the process, then .env.
func newComposer(m *module, opts LoadOptions) (*composer, error) {
	c := &composer{module: m, dir: workingDir(opts.Dir), env: map[string]string{}, nodes: map[string]yaml.Node{}}
	c.process = opts.envForVariables()
	if c.process != nil {
		for _, kv := range opts.Environ {
			k, v, _ := strings.Cut(kv, "=")
			c.env[k] = v
		}
	}
	if err := c.dotEnv(opts.path(".env")); err != nil {
		return nil, err
	}
	maps.Copy(c.env, opts.Vars)
	c.vars = opts.Vars
	return c, nil
}

// workingDir is dir, or "" if it is the current directory anyway: compose then
// leaves paths as they are written.
func workingDir(dir string) string {
	here, err := os.Getwd()
	if abs, absErr := filepath.Abs(dir); err == nil && absErr == nil && abs == here {
		return ""
	}
	return dir
}

// lookup answers for a variable in a compose file.
func (c *composer) lookup(name string) (string, bool) {
	if v, ok := c.vars[name]; ok {
		return v, true
	}
	if c.process != nil {
		if v, ok := c.process(name); ok {
			return v, true
		}
	}
	v, ok := c.env[name]
	return v, ok
}

func (c *composer) dotEnv(file string) error {
	st, err := os.Stat(file)
	if err != nil || st.IsDir() {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	vars, err := dotenv.UnmarshalBytesWithLookup(data, c.lookup)
	if err != nil {
		return fmt.Errorf("reading .env: %w", err)
	}
	for k, v := range vars {
		if _, set := c.env[k]; !set {
			c.env[k] = v
		}
	}
	return nil
}

// add takes a file if it is a compose file.
func (c *composer) add(src source) bool {
	is, sure := composeName(src.name)
	if !is {
		return false
	}
	_, err := c.load([]source{{data: src.data}}, func(o *loader.Options) { o.SkipConsistencyCheck = true })
	if err != nil && !sure {
		return false
	}
	c.module.files[src.name] = &hcl.File{Bytes: src.data}
	if err != nil {
		c.report(problem(hcl.Range{Filename: src.name}, "Invalid compose file", "%s.", err))
		return true
	}
	c.files = append(c.files, src)
	return true
}

// load reads files as one project, with all that is not about building left out
// before it is checked.
func (c *composer) load(files []source, options ...func(*loader.Options)) (p *types.Project, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading it went wrong: %v", r)
		}
	}()
	details := types.ConfigDetails{WorkingDir: c.dir, Environment: c.env}
	for _, f := range files {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: f.name, Content: f.data})
	}
	project := "bake"
	if name, _ := c.lookup("COMPOSE_PROJECT_NAME"); name != "" {
		project = name
	}
	base := func(o *loader.Options) {
		o.SetProjectName(project, false)
		o.SkipNormalization = true
		o.SkipValidation = true
		o.Interpolate.LookupValue = c.lookup
	}
	raw, err := loader.LoadModelWithContext(context.Background(), details, append([]func(*loader.Options){base}, options...)...)
	if err != nil {
		return nil, err
	}
	model := buildModel(raw)
	if len(model) == 0 {
		return nil, errors.New("the compose file is empty")
	}
	if err := schema.Validate(model); err != nil {
		return nil, err
	}
	all := func(o *loader.Options) {
		o.SkipNormalization = true
		o.Profiles = []string{"*"}
	}
	return loader.ModelToProject(model, loader.ToOptions(&details, append([]func(*loader.Options){all}, options...)), details)
}

// buildModel keeps the keys of a model that say how images are built.
func buildModel(raw map[string]any) map[string]any {
	out := map[string]any{}
	if secrets, ok := raw["secrets"]; ok {
		out["secrets"] = secrets
	}
	services, ok := raw["services"].(map[string]any)
	if !ok {
		return out
	}
	kept := map[string]any{}
	for name, svc := range services {
		if svc == nil {
			kept[name] = map[string]any{}
			continue
		}
		all, ok := svc.(map[string]any)
		if !ok {
			continue
		}
		one := map[string]any{}
		for _, key := range []string{"image", "build", "environment", "env_file"} {
			if v, ok := all[key]; ok {
				one[key] = v
			}
		}
		kept[name] = one
	}
	out["services"] = kept
	return out
}

// targets makes a target of each service that is built, and the group default.
func (c *composer) targets() ([]*spec, *group) {
	if len(c.files) == 0 {
		return nil, nil
	}
	project, err := c.load(c.files)
	if err != nil {
		c.report(problem(hcl.Range{Filename: c.files[0].name}, "Invalid compose file", "%s.", err))
		return nil, nil
	}
	if len(project.Services) == 0 {
		return nil, nil
	}
	all := &group{name: "default", rng: hcl.Range{Filename: c.files[0].name}}
	var out []*spec
	for _, name := range sortedKeys(project.Services) {
		svc := project.Services[name]
		if svc.Build == nil {
			continue
		}
		s, err := c.service(project, svc)
		if err != nil {
			c.report(problem(c.place(svc.Name), "Invalid service", "Service %q: %s.", svc.Name, err))
			continue
		}
		if !slices.Contains(all.targets, s.name) { // web.app and web_app are one target
			all.targets = append(all.targets, s.name)
		}
		out = append(out, s)
	}
	return out, all
}

func (c *composer) service(p *types.Project, svc types.ServiceConfig) (*spec, error) {
	b := svc.Build
	name := strings.ReplaceAll(svc.Name, ".", "_")
	if !validName(name) {
		return nil, fmt.Errorf("the name can not be that of a target: only letters, digits, _ and - are allowed")
	}
	s := &spec{
		name: name, rng: c.place(svc.Name), places: c.places(svc.Name),
		context: given(b.Context), contexts: composeContexts(b.AdditionalContexts),
		dockerfile: given(b.Dockerfile), inline: given(b.DockerfileInline), stage: given(b.Target),
		tags: b.Tags, platforms: b.Platforms, network: given(b.Network),
		noCache: only(b.NoCache), pull: only(b.Pull), labels: map[string]*string{}, extraHosts: map[string]*string{},
	}
	if s.context != nil {
		*s.context = c.relative(*s.context)
	}
	for k, v := range s.contexts {
		s.contexts[k] = c.relative(v)
	}
	for k, v := range b.Labels {
		s.labels[k] = &v
	}
	for host, addresses := range b.ExtraHosts {
		joined := strings.Join(addresses, ",")
		s.extraHosts[host] = &joined
	}
	if b.ShmSize > 0 {
		size := units.BytesSize(float64(b.ShmSize))
		s.shmSize = &size
	}
	for _, limit := range sortedKeys(b.Ulimits) {
		s.addUlimit(limit, b.Ulimits[limit])
	}
	s.args = c.args(svc)
	if err := c.entries(p, b, s); err != nil {
		return nil, err
	}
	if err := s.extend(b.Extensions["x-bake"]); err != nil {
		return nil, err
	}
	if len(s.tags) == 0 && svc.Image != "" {
		s.tags = []string{svc.Image}
	}
	return s, nil
}

// addUlimit adds a limit. Bake prints one that is a single number as 0:0, which
// nobody can mean, so that what is printed and what is built differ here.
func (s *spec) addUlimit(name string, u *types.UlimitsConfig) {
	text := fmt.Sprintf("%s=%d:%d", name, u.Soft, u.Hard)
	s.ulimits = append(s.ulimits, text)
	if u.Single != 0 {
		if s.meant == nil {
			s.meant = map[string]string{}
		}
		s.meant[text] = fmt.Sprintf("%s=%d:%d", name, u.Single, u.Single)
	}
}

func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// only is nil for false: compose can not tell it from nothing.
func only(on bool) *bool {
	if !on {
		return nil
	}
	return &on
}

// relative undoes that compose puts its directory before paths.
func (c *composer) relative(path string) string {
	below, ok := strings.CutPrefix(path, filepath.Clean(c.dir)+string(filepath.Separator))
	switch {
	case c.dir == "":
		return path
	case path == filepath.Clean(c.dir):
		return "."
	case ok:
		return below
	}
	return path
}

// args resolves arguments without a value: from the service's environment, else
// from ours, else they are left out.
func (c *composer) args(svc types.ServiceConfig) map[string]*string {
	resolved := svc.Build.Args.Resolve(func(name string) (string, bool) {
		if v, ok := svc.Environment[name]; ok && v != nil {
			return *v, true
		}
		return c.lookup(name)
	})
	var out map[string]*string
	mergeMap(&out, resolved)
	return out
}

// entries reads caches, ssh agents, secrets and attestations.
func (c *composer) entries(p *types.Project, b *types.BuildConfig, s *spec) (err error) {
	if s.cacheFrom, err = parseAll(b.CacheFrom, parseCache); err != nil {
		return err
	}
	if s.cacheTo, err = parseAll(b.CacheTo, parseCache); err != nil {
		return err
	}
	for _, key := range b.SSH {
		agent := SSH{ID: key.ID}
		if key.Path != "" {
			agent.Paths = []string{c.relative(key.Path)}
		}
		s.ssh = append(s.ssh, agent)
	}
	sortSSH(s.ssh)
	for _, use := range b.Secrets {
		def := p.Secrets[use.Source]
		if def.External {
			return fmt.Errorf("the secret %q is external, which a build can not have", def.Name)
		}
		s.secrets = append(s.secrets, Secret{ID: use.Source, Source: c.relative(def.File), Env: def.Environment})
	}
	for typ, value := range map[string]string{"sbom": b.SBOM, "provenance": b.Provenance} {
		if value == "" {
			continue
		}
		a, err := parseAttest(attestFlag(typ, value))
		if err != nil {
			return err
		}
		s.attest = append(s.attest, a)
	}
	slices.SortFunc(s.attest, func(a, b Attest) int { return strings.Compare(b.Type, a.Type) }) // sbom first
	return nil
}

// parseAll parses texts that stand for several entries each.
func parseAll[T any](list []string, parse func(string) ([]T, error)) ([]T, error) {
	var out []T
	for _, text := range list {
		some, err := parse(text)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

func sortSSH(list []SSH) {
	slices.SortFunc(list, func(a, b SSH) int {
		if a.ID != b.ID {
			return strings.Compare(a.ID, b.ID)
		}
		return slices.Compare(a.Paths, b.Paths)
	})
}

// composeContexts turns services that are contexts into targets.
func composeContexts(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		if kind, name, ok := strings.Cut(v, ":"); ok && (kind == "service" || kind == "target") {
			v = "target:" + strings.ReplaceAll(name, ".", "_")
		}
		out[k] = v
	}
	return out
}

// bakeExtension is x-bake, what compose has no words for.
type bakeExtension struct {
	Tags          oneOrMany         `yaml:"tags"`
	CacheFrom     oneOrMany         `yaml:"cache-from"`
	CacheTo       oneOrMany         `yaml:"cache-to"`
	Secrets       oneOrMany         `yaml:"secret"`
	SSH           oneOrMany         `yaml:"ssh"`
	Platforms     oneOrMany         `yaml:"platforms"`
	Outputs       oneOrMany         `yaml:"output"`
	Pull          *bool             `yaml:"pull"`
	NoCache       *bool             `yaml:"no-cache"`
	NoCacheFilter oneOrMany         `yaml:"no-cache-filter"`
	Contexts      map[string]string `yaml:"contexts"`
}

// oneOrMany is a list, also as words in one string.
type oneOrMany []string

// UnmarshalYAML reads either form.
func (l *oneOrMany) UnmarshalYAML(node *yaml.Node) error {
	var many []string
	if err := node.Decode(&many); err == nil {
		*l = many
		return nil
	}
	var one string
	if err := node.Decode(&one); err != nil {
		return err
	}
	*l = strings.Fields(one)
	return nil
}

// extend merges the x-bake extension of a service.
func (s *spec) extend(ext any) error {
	if ext == nil {
		return nil
	}
	text, err := yaml.Marshal(ext)
	if err != nil {
		return fmt.Errorf("x-bake: %w", err)
	}
	var x bakeExtension
	if err := yaml.Unmarshal(text, &x); err != nil {
		return fmt.Errorf("x-bake: %w", err)
	}
	s.tags = extended(s.tags, x.Tags)
	s.platforms = extended(s.platforms, x.Platforms)
	s.noCacheFilt = extended(s.noCacheFilt, x.NoCacheFilter)
	replace(&s.pull, x.Pull)
	replace(&s.noCache, x.NoCache)
	for k, v := range composeContexts(x.Contexts) {
		if _, set := s.contexts[k]; !set {
			s.mergeMaps(&spec{contexts: map[string]string{k: v}})
		}
	}
	return s.extendEntries(x)
}

func extended(list []string, more oneOrMany) []string {
	if len(more) == 0 {
		return list
	}
	return dropRepeats(concat(list, more))
}

func (s *spec) extendEntries(x bakeExtension) error {
	over := &spec{}
	var err error
	if over.cacheFrom, err = parseAll(x.CacheFrom, parseCache); err != nil {
		return err
	}
	if over.cacheTo, err = parseAll(x.CacheTo, parseCache); err != nil {
		return err
	}
	if over.secrets, err = parseAll(x.Secrets, each(parseSecret)); err != nil {
		return err
	}
	if over.ssh, err = parseAll(x.SSH, each(parseSSH)); err != nil {
		return err
	}
	if over.outputs, err = parseAll(x.Outputs, each(parseOutput)); err != nil {
		return err
	}
	s.cacheTo = dropEqual(concat(s.cacheTo, over.cacheTo), CacheRef.equal)
	s.outputs = dropEqual(concat(s.outputs, over.outputs), Output.equal)
	over.cacheTo, over.outputs = nil, nil
	s.mergeLists(over, ModeBake)
	sortSSH(s.ssh)
	return nil
}

// each adapts a parser of one entry; an empty text is none.
func each[T any](parse func(string) (T, error)) func(string) ([]T, error) {
	return func(text string) ([]T, error) {
		if text == "" {
			return nil, nil
		}
		v, err := parse(text)
		return []T{v}, err
	}
}

// place is where a service is declared: the last file that has it.
func (c *composer) place(service string) hcl.Range {
	for _, f := range slices.Backward(c.files) {
		if key, _ := find(c.node(f), "services", service); key != nil {
			return nodeRange(f.name, key)
		}
	}
	return hcl.Range{Filename: c.files[0].name}
}

// composeKeys are the keys of build by the names of attributes.
var composeKeys = map[string]string{
	"context": "context", "dockerfile": "dockerfile", "dockerfile_inline": "dockerfile-inline",
	"args": "args", "labels": "labels", "cache_from": "cache-from", "cache_to": "cache-to",
	"network": "network", "no_cache": "no-cache", "pull": "pull", "target": "target",
	"shm_size": "shm-size", "tags": "tags", "platforms": "platforms", "ulimits": "ulimits",
	"extra_hosts": "extra-hosts", "additional_contexts": "contexts", "ssh": "ssh", "secrets": "secret",
}

// places is where the attributes of a service are declared.
func (c *composer) places(service string) map[string]hcl.Range {
	out := map[string]hcl.Range{}
	for _, f := range c.files {
		for key, attr := range composeKeys {
			k, v := find(c.node(f), "services", service, "build", key)
			if k == nil {
				continue
			}
			out[attr] = nodeRange(f.name, v)
			if v.Kind == yaml.MappingNode {
				for i := 0; i+1 < len(v.Content); i += 2 {
					out[attr+"."+v.Content[i].Value] = nodeRange(f.name, v.Content[i+1])
				}
			}
		}
	}
	return out
}

func (c *composer) node(f source) *yaml.Node {
	n, ok := c.nodes[f.name]
	if !ok {
		if err := yaml.Unmarshal(f.data, &n); err != nil {
			n = yaml.Node{} // the library that loads the file says what is wrong
		}
		c.nodes[f.name] = n
	}
	return &n
}

// find follows keys through mappings.
func find(n *yaml.Node, keys ...string) (key, value *yaml.Node) {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	for _, k := range keys {
		key, value = nil, nil
		if n.Kind != yaml.MappingNode {
			return nil, nil
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == k {
				key, value = n.Content[i], n.Content[i+1]
			}
		}
		if key == nil {
			return nil, nil
		}
		n = value
	}
	return key, value
}

func nodeRange(file string, n *yaml.Node) hcl.Range {
	start := hcl.Pos{Line: n.Line, Column: n.Column}
	end := start
	end.Column += len(n.Value)
	return hcl.Range{Filename: file, Start: start, End: end}
}
