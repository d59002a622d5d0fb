package soundness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/strata-build/strata/internal/testkit"
)

var (
	editsFlag = flag.Int("edits", 300, "how many edits are made and compared")
	seedFlag  = flag.Uint64("seed", 103865, "what the projects are made from; 0 is another one each time")
	treeFlag  = flag.Int("tree", -1, "make only this project of the run")
	eachFlag  = flag.Int("each", 25, "edits of one project")
)

// maxNeedless is how many of 1,000 targets whose image stays the same may be
// solved all the same.
const maxNeedless = 30

func TestPlannedBuildsMakeWhatCleanOnesDo(t *testing.T) {
	total := prove(t, *editsFlag, *eachFlag, false)
	if total.needless*1000 > total.same*maxNeedless && total.same > 1000 {
		t.Errorf("%d of %d targets were solved although their image stayed the same; at most %d of 1000 may", total.needless, total.same, maxNeedless)
	}
}

// Where images of needed targets are in a registry and the engine is another each
// other time, these images stand in for the targets' steps.
func TestPlannedBuildsOnOtherEngines(t *testing.T) {
	total := prove(t, max(*editsFlag/6, 1), 15, true)
	if total.images == 0 && *treeFlag < 0 && *editsFlag >= 300 { // a few need not have one
		t.Error("no image was ever in the place of a needed target")
	}
}

// prove grows, edits, builds and compares projects; published ones on engines that
// often have nothing.
func prove(t *testing.T, edits, each int, published bool) *tally {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1_000_000) + 1
	}
	t.Logf("seed %d", seed)
	strata, err := testkit.BuildStrata(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	registry := testkit.NewRegistry(t)
	home, err := testkit.NewHome(strata, registry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := home.Close(); err != nil {
			t.Error(err)
		}
	})
	total := newTally()
	t.Run("projects", func(t *testing.T) {
		for i := range (edits + each - 1) / each {
			if *treeFlag >= 0 && i != *treeFlag {
				continue
			}
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				w := &world{t: t, each: each, published: published, strata: strata, home: home, registry: registry, tally: newTally(), again: fmt.Sprintf("-seed %d -tree %d -each %d -edits %d", seed, i, *eachFlag, *editsFlag)}
				w.run(i, rand.New(rand.NewPCG(seed, uint64(i))))
				total.add(w.tally)
			})
		}
	})
	t.Log(total)
	if total.stale > 0 {
		t.Errorf("%d stale images", total.stale)
	}
	return total
}

// A tally adds up what came of edits.
type tally struct {
	mu                    sync.Mutex
	edits, targets, stale int
	same, needless        int            // targets whose image stayed the same, and those of them that were solved
	ran                   int            // needless ones of which a step ran: its input was another, as the engine sees it
	byEdit                map[string]int // needless ones
	reused, retagged      int
	images                int // in the place of needed targets
}

func newTally() *tally { return &tally{byEdit: map[string]int{}} }

func (c *tally) add(o *tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.edits += o.edits
	c.targets += o.targets
	c.stale += o.stale
	c.same += o.same
	c.needless += o.needless
	c.ran += o.ran
	c.reused += o.reused
	c.retagged += o.retagged
	c.images += o.images
	for k, n := range o.byEdit {
		c.byEdit[k] += n
	}
}

// String tells the sums in a table.
func (c *tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d edits, %d images compared, %d stale; %d times an image was in the place of a needed target\n", c.edits, c.targets, c.stale, c.images)
	fmt.Fprintf(&b, "%d reused, %d retagged; of %d that stayed the same %d were solved (%.2f %%), %d of them without running a step (%.2f %%)\n",
		c.reused, c.retagged, c.same, c.needless, c.percent(c.needless), c.needless-c.ran, c.percent(c.needless-c.ran))
	for _, name := range slices.Sorted(maps.Keys(c.byEdit)) {
		fmt.Fprintf(&b, "  %4d after: %s\n", c.byEdit[name], name)
	}
	return b.String()
}

// percent is n as a part of the targets whose image stayed the same.
func (c *tally) percent(n int) float64 { return 100 * float64(n) / float64(max(c.same, 1)) }

// A world is where one project is built.
type world struct {
	t        *testing.T
	each     int // edits
	strata   string
	home     *testkit.Home
	registry *testkit.Registry
	project  *project
	tally    *tally
	again    string            // flags that make the project again
	was      map[string]string // digests of the last clean build, by target
	damaged  map[string]bool   // targets whose results an edit took away
	data     string            // where clean builds keep images
	number   int
	engine   string // folder of the engine of planned builds, "" for that of clean ones
	engines  int    // how many there were

	published bool              // all images go to the registry, and engines change
	reasons   map[string]string // why the plan solves targets
	log       []string          // the edits so far
}

// plan asks what the next build would do. It is nothing if that would be an
// error.
func (w *world) plan(edit) map[string]string {
	out, err := w.strataCommand(w.planned(), "plan", "--json")
	if err != nil {
		return nil
	}
	var doc struct {
		Targets []struct {
			Name, Action string
			Reasons      []struct{ Kind, Path string }
		}
	}
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&doc); err != nil {
		w.t.Fatalf("reading a plan: %v\n%s", err, out)
	}
	reasons := map[string]string{}
	for _, t := range doc.Targets {
		reasons[t.Name] = ""
		if t.Action == "solve" && len(t.Reasons) > 0 {
			reasons[t.Name] = t.Reasons[0].Kind + " " + t.Reasons[0].Path
		}
	}
	return reasons
}

// run makes a project, and edits, builds and compares it.
func (w *world) run(number int, rng *rand.Rand) {
	dir := filepath.Join(w.t.TempDir(), fmt.Sprintf("p%d", number))
	if err := os.Mkdir(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	base := fmt.Sprintf("system%d:1", number)
	w.pushBase(base, 0)
	p, err := grow(dir, w.registry.Host, base, rng, w.published)
	if err != nil {
		w.t.Fatal(err)
	}
	w.project, w.data, w.number = p, w.t.TempDir(), number
	defer w.stopEngine()
	w.damaged = map[string]bool{}
	w.settle()
	good := w.keep()
	older := good
	for n := 0; n < w.each && !w.t.Failed(); {
		e, ok := w.edit(older)
		if !ok {
			continue
		}
		n++
		if w.published && n%3 > 0 {
			w.newEngine()
		}
		if w.compare(e) {
			if rng.IntN(3) == 0 {
				older = good
			}
			good = w.keep()
			continue
		}
		// what does not build is taken back, which is an edit too
		if err := p.restore(good); err != nil {
			w.t.Fatal(err)
		}
		w.log = append(w.log, "taken back")
		n++
		w.compare(edit{name: "taken back", do: func(*project) (string, error) { return "", nil }})
	}
	if w.t.Failed() {
		w.t.Logf("again: go test ./e2e/soundness -run %s -args %s\nedits:\n  %s\n%s", strings.Split(w.t.Name(), "/")[0], w.again, strings.Join(w.log, "\n  "), p.describe())
	}
}

// settle makes simpler what does not build: first there are no ignore files, then
// one file is copied.
func (w *world) settle() {
	for tries := 0; !w.compare(edit{name: "the first build"}); tries++ {
		w.tally.edits--
		if tries > 2 {
			w.t.Fatalf("it does not build:\n%s", w.project.describe())
		}
		w.project.Ignores = map[string]string{}
		for _, t := range w.project.Targets {
			if _, builds := w.was[t.outputs()[0]]; builds {
				continue
			}
			t.Ignore, t.OwnIgnore = "", ""
			if tries > 0 {
				t.From, t.Parent, t.Never, t.First, t.Platforms = "scratch", "", "", nil, false
				t.Main = []instruction{{"COPY a.txt /a", `copy = ["a.txt", "/a"]`}}
			}
		}
		if err := w.project.write(); err != nil {
			w.t.Fatal(err)
		}
	}
	w.tally.edits--
}

func (w *world) keep() *snapshot {
	dir := filepath.Join(w.t.TempDir(), "kept")
	s, err := w.project.keep(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// worldEdits are edits that need more than the project.
var worldEdits = []struct {
	name   string
	weight int
	do     func(w *world, older *snapshot) (string, error)
}{
	{"base image moved", 3, func(w *world, _ *snapshot) (string, error) {
		n := w.project.unique()
		w.pushBase(w.project.Base, n)
		return fmt.Sprint(n), nil
	}},
	{"back to what it was", 4, func(w *world, older *snapshot) (string, error) { return "", w.project.restore(older) }},
	{"result removed", 4, (*world).removeResult},
}

// edit makes a random edit, not ok if the one it chose does not fit.
func (w *world) edit(older *snapshot) (edit, bool) {
	sum := 0
	for _, e := range edits {
		sum += e.weight
	}
	for _, e := range worldEdits {
		sum += e.weight
	}
	n := w.project.rng.IntN(sum)
	chosen := edit{}
	for _, e := range edits {
		if n -= e.weight; n < 0 && chosen.name == "" {
			chosen = e
		}
	}
	for _, e := range worldEdits {
		if n -= e.weight; n < 0 && chosen.name == "" {
			chosen = edit{e.name, e.weight, func(*project) (string, error) { return e.do(w, older) }}
		}
	}
	w.damaged = map[string]bool{}
	what, err := chosen.do(w.project)
	if errors.Is(err, errSkip) {
		return chosen, false
	}
	if err == nil {
		err = w.project.write()
	}
	if err != nil {
		w.t.Fatalf("edit %q: %v", chosen.name, err)
	}
	w.log = append(w.log, strings.TrimSuffix(chosen.name+": "+what, ": "))
	return chosen, true
}

// pushBase makes another image of the name.
func (w *world) pushBase(name string, n int) {
	img, err := testkit.Busybox()
	if err != nil {
		w.t.Fatal(err)
	}
	moved, err := mutate.Config(img, v1.Config{Env: []string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin", fmt.Sprintf("MOVED=%d", n)}, Cmd: []string{"/bin/sh"}})
	layer, lerr := random.Layer(100, types.DockerLayer)
	if err == nil && lerr == nil {
		moved, err = mutate.AppendLayers(moved, layer)
	}
	if err = errors.Join(err, lerr); err == nil {
		err = w.registry.Push(context.Background(), "library/"+name, moved)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// removeResult takes away or damages what a target has left.
func (w *world) removeResult(*snapshot) (string, error) {
	t := w.project.target()
	name := t.outputs()[0]
	dest := w.project.at(w.project.dest(t, "planned", name))
	w.damaged[name] = true
	switch t.Kind {
	case "oci":
		return name, errors.Join(os.WriteFile(dest, []byte("damaged"), 0o644))
	case "local":
		files, err := ofDirectory(dest)
		if err != nil || len(files) == 0 {
			return "", errSkip
		}
		return name, os.RemoveAll(dest)
	case "image":
		_, err := w.strataCommand(w.planned(), "image", "rm", w.project.tag(t, "planned", name))
		if err != nil {
			return "", errSkip
		}
		for _, x := range w.project.Targets { // others of the same image lose it too
			for _, other := range x.outputs() {
				w.damaged[other] = true
			}
		}
		return name, nil
	}
	return "", errSkip
}

// planned is the environment of builds that keep what they know.
func (w *world) planned() []string {
	if w.engine == "" {
		return w.home.Vars()
	}
	return append(w.home.Vars(), "STRATA_ENGINE_DIR="+w.engine)
}

// newEngine has an engine that has built nothing do the planned builds from now on.
func (w *world) newEngine() {
	w.stopEngine()
	w.engines++
	w.engine = filepath.Join(w.home.Dir, fmt.Sprintf("engine-%d-%d", w.number, w.engines))
	w.log = append(w.log, "another engine")
}

// stopEngine ends the engine of this world, if it has one of its own.
func (w *world) stopEngine() {
	if w.engine == "" {
		return
	}
	if _, err := w.strataCommand(w.planned(), "engine", "stop", "--force"); err != nil {
		w.t.Error(err)
	}
	if err := os.RemoveAll(w.engine); err != nil {
		w.t.Error(err)
	}
}

// clean is the environment of a build that knows nothing, on the same engine.
func (w *world) clean() []string {
	return append(w.home.Vars(), "XDG_CACHE_HOME="+w.t.TempDir(), "XDG_DATA_HOME="+w.data,
		"STRATA_ENGINE_DIR="+filepath.Join(w.home.Dir, "data", "strata", "engine"))
}

func (w *world) strataCommand(env []string, args ...string) ([]byte, error) {
	cmd := exec.Command(w.strata, args...)
	cmd.Dir, cmd.Env = w.project.dir, append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("strata %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return append(out, stderr.Bytes()...), err
}

// build builds all and returns the states of the targets.
func (w *world) build(env []string, args ...string) (map[string]string, []byte) {
	out, err := w.strataCommand(env, append([]string{"build", "--keep-going", "--progress", "rawjson"}, args...)...)
	states := map[string]string{}
	for line := range bytes.Lines(out) {
		var e struct {
			Results []struct{ Target, State string }
		}
		if json.Unmarshal(line, &e) == nil {
			for _, r := range e.Results {
				states[r.Target] = r.State
			}
		}
	}
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 2) {
		w.t.Fatal(err)
	}
	return states, out
}

func done(state string) bool {
	return state != "" && state != "failed" && state != "skipped" && state != "canceled"
}

// compare builds as planned and cleanly, and compares what is left. It is false
// if the project does not build.
func (w *world) compare(e edit) bool {
	w.tally.edits++
	w.reasons = w.plan(e)
	planned, said := w.build(w.planned())
	w.tally.images += bytes.Count(said, []byte(`"outputs":["taken as image `)) / 2 // when it is done, and at the end
	if err := os.RemoveAll(w.project.at("out/clean")); err != nil {
		w.t.Fatal(err)
	}
	cleanEnv := w.clean()
	clean, cleanSaid := w.build(cleanEnv, "--var", "OUT=clean", "--force", "--no-cache")
	now := map[string]string{}
	whole := len(clean) > 0
	for name, reason := range w.reasons {
		solved := planned[name] != "reused" && planned[name] != "retagged"
		if (reason != "") != solved {
			w.t.Errorf("after %q target %s is %q, and the plan said: %q", e.name, name, planned[name], reason)
		}
	}
	for _, t := range w.project.Targets {
		for _, name := range t.outputs() {
			if done(planned[name]) != done(clean[name]) {
				w.t.Errorf("after %q target %s is %q, in a clean build %q\n%s\n%s", e.name, name, planned[name], clean[name], said, cleanSaid)
			}
			if !done(clean[name]) {
				whole = false
				continue
			}
			now[name] = w.compareOne(e, t, name, planned[name])
		}
	}
	w.was, w.damaged = now, map[string]bool{}
	return whole
}

// compareOne compares one target's results and returns the clean one's digest.
func (w *world) compareOne(e edit, t *target, name, state string) string {
	ctx := context.Background()
	clean, err := w.outcome(ctx, t, "clean", name, w.data)
	if err != nil {
		w.t.Fatalf("the clean build of %s: %v", name, err)
	}
	w.tally.targets++
	planned, err := w.outcome(ctx, t, "planned", name, filepath.Join(w.home.Dir, "data"))
	if err != nil {
		w.t.Errorf("after %q target %s is %q, but: %v", e.name, name, state, err)
		return ""
	}
	differ, err := planned.compare(clean)
	if err != nil {
		w.t.Fatalf("comparing %s: %v", name, err)
	}
	if planned.name != clean.name {
		differ = fmt.Sprintf("it is named %q and should be %q; %s", planned.name, clean.name, differ)
	}
	if differ != "" {
		w.tally.stale++
		w.t.Errorf("after %q the image of %s (%s) is stale: %s", e.name, name, state, differ)
	}
	digest := clean.digest + " " + clean.name
	if clean.files != nil {
		digest = fmt.Sprint(clean.files)
	}
	switch state {
	case "reused":
		w.tally.reused++
	case "retagged":
		w.tally.retagged++
	}
	if w.was[name] == digest && !w.damaged[name] && e.do != nil {
		w.tally.same++
		if state != "reused" && state != "retagged" {
			w.tally.needless++
			if state == "built" {
				w.tally.ran++
			}
			w.tally.byEdit[e.name+"; because of "+w.reasons[name]]++
		}
	}
	return digest
}
