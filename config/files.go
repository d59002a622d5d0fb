package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// OwnFile is the name of Strata's own build file.
const OwnFile = "build.hcl"

// bakeFiles are the default names of bake: all that exist are merged, in order.
var bakeFiles = []string{
	"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml",
	"docker-bake.json", "docker-bake.hcl",
	"docker-bake.override.json", "docker-bake.override.hcl",
}

const (
	maxFile  = 4 << 20
	maxFiles = 32 << 20
)

// A source is one file as read.
type source struct {
	name string // as the user wrote it
	data []byte
}

// read returns the files to load and the mode they are in.
func (o LoadOptions) read(ctx context.Context) ([]source, Mode, hcl.Diagnostics) {
	names, optional := o.Files, false
	if len(names) == 0 && o.Remote == nil {
		if names = o.filesFromEnv(); len(names) == 0 || slices.ContainsFunc(o.Targets, fromTop) {
			names, optional = bakeFiles, true
		}
		if err := o.exists(OwnFile, o.statFile); err == nil && o.Mode != ModeBake {
			names, optional = []string{OwnFile}, false
		}
		if optional && len(o.addresses()) > 0 {
			return nil, ModeStrata, nil // the targets say which files there are
		}
	}
	var out []source
	var diags hcl.Diagnostics
	total := 0
	if o.Remote != nil {
		for _, f := range o.Remote.Files {
			out = append(out, source{f.Name, withoutMark(f.Data)})
			total += len(f.Data)
		}
	}
	for _, name := range names {
		data, err := o.readOne(ctx, name)
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if total += len(data); err == nil && total > maxFiles {
			err = fmt.Errorf("all files together are larger than %d MiB", maxFiles>>20)
		}
		if err != nil {
			diags = append(diags, fileProblem(name, err))
			continue
		}
		out = append(out, source{name, data})
	}
	if len(out) == 0 && len(diags) == 0 {
		detail := fmt.Sprintf("There is no %s here, nor any of %s. Name one with -f, or run strata in the directory that has it.",
			OwnFile, strings.Join(bakeFiles, ", "))
		if o.Mode == ModeBake {
			detail = fmt.Sprintf("couldn't find a bake definition: there is none of %s here. Name one with -f, or run the command in the directory that has it.",
				strings.Join(bakeFiles, ", "))
		}
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "No build file", Detail: detail})
	}
	return out, o.mode(out), diags
}

// ModeOf is the dialect that ModeAuto chooses for files, which are given by name.
func ModeOf(files map[string][]byte) Mode {
	var list []source
	for _, name := range sortedKeys(files) {
		list = append(list, source{name, files[name]})
	}
	return LoadOptions{}.mode(list)
}

func (o LoadOptions) mode(files []source) Mode {
	if o.Mode != ModeAuto {
		return o.Mode
	}
	own := true
	for _, f := range files {
		base := path.Base(filepath.ToSlash(f.name))
		own = own && (base == OwnFile || strings.HasSuffix(base, "."+OwnFile))
	}
	if own || slices.ContainsFunc(files, source.isOwn) {
		return ModeStrata
	}
	return ModeBake
}

// ownWords is what a file must hold to be in Strata's own language under any name.
var ownWords = lazyregexp.New(`(?m)^[ \t]*(strata|step)\b`)

// isOwn reports whether a file with a name of bake's is written in Strata's own
// language: it has a strata block, or a target with steps.
func (s source) isOwn() bool {
	if strings.HasSuffix(s.name, ".json") || !ownWords.Match(s.data) {
		return false
	}
	f, _ := parseHCL(s) // what is wrong is reported when it is read
	if f == nil {
		return false
	}
	body, ok := f.Body.(*hclsyntax.Body)
	return ok && slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool {
		return b.Type == "strata" || b.Type == "target" && slices.ContainsFunc(b.Body.Blocks, func(inner *hclsyntax.Block) bool {
			return inner.Type == "step"
		})
	})
}

func (o LoadOptions) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(o.Dir, name)
}

func (o LoadOptions) readOne(ctx context.Context, name string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if name == "-" {
		if o.Stdin == nil {
			return nil, errors.New("there is no standard input")
		}
		return limited(o.Stdin)
	}
	name = strings.TrimPrefix(name, "cwd://")
	if data, ok := o.overlaid(name); ok {
		return data, tooLarge(data)
	}
	f, err := os.Open(o.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, errors.New("it is a directory")
	}
	return limited(f)
}

func limited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil {
		err = tooLarge(data)
	}
	return withoutMark(data), err
}

func tooLarge(data []byte) error {
	if len(data) > maxFile {
		return fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	return nil
}

// withoutMark drops a byte order mark.
func withoutMark(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) }

func fileProblem(name string, err error) *hcl.Diagnostic {
	detail := err.Error()
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		detail = pathErr.Err.Error()
	}
	return problem(hcl.Range{Filename: name}, "Unreadable file", "Reading %s: %s.", name, detail)
}
