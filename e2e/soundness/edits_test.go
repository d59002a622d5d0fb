package soundness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An edit changes a project and says what it did.
type edit struct {
	name   string
	weight int
	do     func(*project) (string, error)
}

// errSkip says that an edit does not fit the project.
var errSkip = errors.New("this edit does not fit")

// edits that need no more than the project. Those of a context leave it to
// chance whether anybody reads what they change.
var edits = []edit{
	{"nothing", 3, func(*project) (string, error) { return "", nil }},
	{"content", 12, func(p *project) (string, error) { f := p.file(); return f, p.rewrite(f, false) }},
	{"content, same size and time", 12, func(p *project) (string, error) { f := p.file(); return f, p.rewrite(f, true) }},
	{"time", 6, (*project).touch},
	{"mode", 6, (*project).chmod},
	{"new file", 6, (*project).add},
	{"file removed", 4, (*project).remove},
	{"file renamed", 4, (*project).rename},
	{"ignored file", 6, (*project).ignored},
	{"ignore file", 6, (*project).reignore},
	{"ignore file of a named context", 2, func(p *project) (string, error) {
		dir := pick(p.rng, "shared", "other")
		p.Ignores[dir] = p.newIgnore()
		return fmt.Sprintf("%s: %q", dir, p.Ignores[dir]), nil
	}},
	{"needed target", 3, (*project).reparent},
	{"link", 6, (*project).relink},
	{"hard link", 2, (*project).unlink},
	{"empty directory", 3, (*project).directory},
	{"file becomes a directory", 2, (*project).retype},
	{"directories swapped", 5, (*project).swap},
	{"contexts swapped", 2, (*project).swapContexts},
	{"comment", 4, func(p *project) (string, error) {
		t := p.target()
		t.Comment = fmt.Sprintf("words %d", p.unique())
		return t.Name, nil
	}},
	{"instruction", 8, (*project).reinstruct},
	{"unneeded stage", 2, func(p *project) (string, error) {
		t := p.target()
		t.Never = pick(p.rng, "COPY *.go /", "COPY sub /s", "ENV A=c")
		return t.Name, nil
	}},
	{"argument", 4, func(p *project) (string, error) {
		t := p.target()
		t.Args["V0"] = fmt.Sprint(p.unique())
		return t.Name, nil
	}},
	{"unused argument", 3, func(p *project) (string, error) {
		t := p.target()
		t.Args["UNUSED"] = fmt.Sprint(p.unique())
		return t.Name, nil
	}},
	{"label", 3, func(p *project) (string, error) {
		t := p.target()
		t.Labels["own"] = fmt.Sprint(p.unique())
		return t.Name, nil
	}},
	{"provenance", 1, func(p *project) (string, error) {
		t := p.target()
		if t.Kind != "registry" {
			return "", errSkip
		}
		t.Provenance = !t.Provenance
		return t.Name, nil
	}},
	{"tag", 4, func(p *project) (string, error) {
		t := p.target()
		t.Tag = fmt.Sprint(p.unique())
		return t.Name, nil
	}},
	{"context of a target", 2, func(p *project) (string, error) {
		t := p.target()
		t.Context = pick(p.rng, p.contexts()...)
		return t.Name + " to " + t.Context, nil
	}},
}

func (p *project) target() *target { return pick(p.rng, p.Targets...) }

// file is a random file of a context that is neither link nor Dockerfile.
func (p *project) file() string {
	all := p.find(func(d fs.DirEntry) bool { return d.Type().IsRegular() })
	return pick(p.rng, all...)
}

// find lists what is in contexts, from the project. There is always something.
func (p *project) find(want func(fs.DirEntry) bool) []string {
	var out []string
	for _, dir := range p.contexts() {
		_ = filepath.WalkDir(filepath.Join(p.dir, dir), func(full string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "out" {
				return fs.SkipDir
			}
			if err == nil && want(d) && !strings.Contains(d.Name(), "ockerfile") && !strings.Contains(d.Name(), "dockerignore") {
				rel, _ := filepath.Rel(p.dir, full) // both are absolute
				out = append(out, rel)
			}
			return err
		})
	}
	return out
}

func (p *project) at(rel string) string { return filepath.Join(p.dir, rel) }

// rewrite gives a file new content, of the same size; with keep it has the same
// times too.
func (p *project) rewrite(f string, keep bool) error {
	fi, err := os.Stat(p.at(f))
	if err != nil {
		return err
	}
	text := fmt.Appendf(nil, "content %06d\n", p.unique())
	if !keep && p.likely(50) {
		text = append(text, "more\n"...)
	}
	if err := os.WriteFile(p.at(f), text, 0); err != nil || !keep {
		return err
	}
	return os.Chtimes(p.at(f), fi.ModTime(), fi.ModTime())
}

func (p *project) touch() (string, error) {
	f := p.file()
	when := pick(p.rng, time.Now(), time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
	return fmt.Sprintf("%s %d", f, when.Year()), os.Chtimes(p.at(f), when, when)
}

func (p *project) chmod() (string, error) {
	f := pick(p.rng, p.find(func(d fs.DirEntry) bool { return d.Type().IsRegular() || d.IsDir() })...)
	fi, err := os.Stat(p.at(f))
	if err != nil {
		return "", err
	}
	mode := pick(p.rng, fs.FileMode(0o644), 0o755, 0o600)
	if fi.IsDir() {
		mode = pick(p.rng, fs.FileMode(0o755), 0o700, 0o777|fs.ModeSticky)
	}
	return fmt.Sprintf("%s %v", f, mode), os.Chmod(p.at(f), mode)
}

func (p *project) folder() string {
	return pick(p.rng, p.find(func(d fs.DirEntry) bool { return d.IsDir() })...)
}

func (p *project) add() (string, error) {
	f := filepath.Join(p.folder(), fmt.Sprintf("%sn%d.%s", pick(p.rng, "", "."), p.unique(), pick(p.rng, "txt", "md", "go", "log")))
	return f, p.put(p.at(f))
}

// extra is a file that no instruction names.
func (p *project) extra() string {
	named := []string{"a.txt", "b.txt", "x.txt", "z", "exe.sh"}
	return pick(p.rng, p.find(func(d fs.DirEntry) bool { return d.Type().IsRegular() && !slices.Contains(named, d.Name()) })...)
}

func (p *project) remove() (string, error) {
	f := p.extra()
	if p.likely(15) {
		f = p.file()
	}
	return f, os.Remove(p.at(f))
}

func (p *project) rename() (string, error) {
	f := p.extra()
	to := filepath.Join(filepath.Dir(f), fmt.Sprintf("r%d%s", p.unique(), filepath.Ext(f)))
	return f + " to " + to, os.Rename(p.at(f), p.at(to))
}

func (p *project) ignored() (string, error) {
	f := filepath.Join(pick(p.rng, p.contexts()...), pick(p.rng, "run.log", "ignored/i", "sub/run.log"))
	if fi, err := os.Stat(p.at(filepath.Dir(f))); err != nil || !fi.IsDir() {
		return "", errSkip
	}
	return f, p.put(p.at(f))
}

func (p *project) reignore() (string, error) {
	t := p.target()
	if p.likely(30) {
		t.OwnIgnore = p.newIgnore()
		return fmt.Sprintf("%s's own: %q", t.Name, t.OwnIgnore), nil
	}
	ignore := p.newIgnore()
	for _, x := range p.Targets {
		if x.Context == t.Context {
			x.Ignore = ignore
		}
	}
	return fmt.Sprintf("%s: %q", t.Context, ignore), nil
}

func (p *project) relink() (string, error) {
	dir := pick(p.rng, p.contexts()...)
	link := pick(p.rng, "flink", "dlink", "nolink", "sub/up")
	to := map[string][]string{
		"flink": {"a.txt", "b.txt", "sub/x.txt", "./a.txt"}, "dlink": {"sub", "alt", "./sub", "sub/../alt"},
		"nolink": {"nowhere", "a.txt", "/etc", "../../.."}, "sub/up": {"../b.txt", "../a.txt", "x.txt", "/a.txt"},
	}[link]
	target := pick(p.rng, to...)
	at := p.at(filepath.Join(dir, link))
	if fi, err := os.Lstat(at); err != nil || fi.IsDir() {
		return "", errSkip
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return fmt.Sprintf("%s/%s to %s", dir, link, target), os.Symlink(target, at)
}

// unlink makes a file of its own of a hard link, or a hard link of a file.
func (p *project) unlink() (string, error) {
	dir := p.at(pick(p.rng, p.contexts()...))
	one, two := filepath.Join(dir, "h1.txt"), filepath.Join(dir, "h2.txt")
	if err := os.RemoveAll(two); err != nil {
		return "", err
	}
	if p.likely(50) {
		return two + " apart", p.put(two)
	}
	if _, err := os.Lstat(one); err != nil {
		if err := p.put(one); err != nil {
			return "", err
		}
	}
	return two + " linked", os.Link(one, two)
}

func (p *project) directory() (string, error) {
	dir := p.at(filepath.Join(pick(p.rng, p.contexts()...), pick(p.rng, "empty", "sub/empty")))
	if os.Remove(dir) == nil {
		return dir + " removed", nil
	}
	return dir, os.MkdirAll(dir, 0o755)
}

func (p *project) retype() (string, error) {
	f := p.extra()
	if err := os.Remove(p.at(f)); err != nil {
		return "", err
	}
	if err := os.Mkdir(p.at(f), 0o755); err != nil {
		return "", err
	}
	return f, p.put(p.at(filepath.Join(f, "inner.txt")))
}

// swap exchanges two directories whose files have the same names, sizes and
// perhaps times.
func (p *project) swap() (string, error) {
	dir := pick(p.rng, p.contexts()...)
	a, b := filepath.Join(dir, "sub"), filepath.Join(dir, "alt")
	if p.likely(40) {
		a, b = "shared", "other"
	}
	for _, d := range []string{a, b} {
		if _, err := os.Lstat(p.at(d)); err != nil {
			return "", errSkip
		}
	}
	tmp := p.at("swap")
	return a + " and " + b, errors.Join(os.Rename(p.at(a), tmp), os.Rename(p.at(b), p.at(a)), os.Rename(tmp, p.at(b)))
}

func (p *project) swapContexts() (string, error) {
	p.Contexts["shared"], p.Contexts["other"] = p.Contexts["other"], p.Contexts["shared"]
	return "", nil
}

// reparent has a target copy from another one, or from none.
func (p *project) reparent() (string, error) {
	i := p.rng.IntN(len(p.Targets))
	t := p.Targets[i]
	if t.Parent != "" && p.likely(50) {
		t.Parent = ""
		return t.Name + " from none", nil
	}
	if i == 0 {
		return "", errSkip
	}
	parent := p.Targets[p.rng.IntN(i)]
	if parent.Matrix || t.Platforms || parent.Name == t.From {
		return "", errSkip
	}
	t.Parent = parent.Name
	return t.Name + " from " + parent.Name, nil
}

func (p *project) reinstruct() (string, error) {
	t := p.target()
	i := p.rng.IntN(len(t.Main))
	switch pick(p.rng, "insert", "remove", "replace") {
	case "insert":
		t.Main = slices.Insert(t.Main, i, p.newInstruction(t))
		return t.Name + " has " + t.Main[i].Text, nil
	case "remove":
		if len(t.Main) > 1 {
			gone := t.Main[i]
			t.Main = slices.Delete(t.Main, i, i+1)
			return t.Name + " without " + gone.Text, nil
		}
	}
	t.Main[i] = p.newInstruction(t)
	return t.Name + " has now " + t.Main[i].Text, nil
}

// keep remembers the project in the directory dir, which must not exist.
func (p *project) keep(dir string) (*snapshot, error) {
	data, err := json.Marshal(p.model)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return &snapshot{data, dir}, copyAll(p.dir, dir, p.entries(p.dir))
}

// restore makes the project what it was. Files have their times of then, and
// are new ones.
func (p *project) restore(s *snapshot) error {
	for _, name := range p.entries(p.dir) {
		if err := os.RemoveAll(p.at(name)); err != nil {
			return err
		}
	}
	unique := p.Unique
	p.model = model{}
	if err := json.Unmarshal(s.model, &p.model); err != nil {
		return err
	}
	p.Unique = unique
	return copyAll(s.files, p.dir, p.entries(s.files))
}

// entries are what is in dir but for what builds leave there.
func (*project) entries(dir string) []string {
	list, _ := os.ReadDir(dir) // none is none
	var out []string
	for _, d := range list {
		if d.Name() != "out" {
			out = append(out, d.Name())
		}
	}
	return out
}

func copyAll(from, to string, names []string) error {
	args := []string{"-a"}
	for _, name := range names {
		args = append(args, filepath.Join(from, name))
	}
	if out, err := exec.Command("cp", append(args, to)...).CombinedOutput(); err != nil {
		return fmt.Errorf("copying the project: %w\n%s", err, out)
	}
	return nil
}
