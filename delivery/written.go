package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/plan"
)

// A written is one file that an output wrote. Equal size, times and inode mean
// that it is as it was; else its content decides.
type written struct {
	Path string `json:"path"` // from the output's place, "" for an archive
	Mode uint32 `json:"mode"`
	Size int64  `json:"size"`
	Time int64  `json:"ctime"` // status change, ns
	Node uint64 `json:"inode"`
	Sum  string `json:"sum"` // SHA-256 of the content, or of a link's target
}

func (p *Places) path(dest string) string { return config.Output{Dest: dest}.Path(p.Dir) }

// Written describes what o has written, to be kept with an entry, and a blob
// that has to be kept as one of its trees. paths are the files that were
// written, from o's place; nil for an archive.
func (p *Places) Written(o config.Output, paths []string) (index.Output, []byte, error) {
	if paths == nil {
		paths = []string{""}
	}
	list := make([]written, 0, len(paths))
	h := sha256.New()
	for _, rel := range paths {
		w, err := look(p.path(o.Dest), rel)
		if err != nil {
			return index.Output{}, nil, err
		}
		if w.Sum, err = w.content(p.path(o.Dest)); err != nil {
			return index.Output{}, nil, err
		}
		fmt.Fprintf(h, "%q %o %s\n", w.Path, w.Mode, w.Sum)
		list = append(list, w)
	}
	stat, err := json.Marshal(list)
	if err != nil {
		return index.Output{}, nil, err
	}
	return index.Output{
		Type: o.Type, Dest: o.Dest, Digest: "sha256:" + hex.EncodeToString(h.Sum(nil)), Stat: index.DigestOf(stat),
	}, stat, nil
}

func look(root, rel string) (written, error) {
	fi, err := os.Lstat(filepath.Join(root, filepath.FromSlash(rel)))
	if err != nil {
		return written{}, err
	}
	w := written{Path: rel, Mode: uint32(fi.Mode()), Size: fi.Size()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		w.Time, w.Node = st.Ctim.Nano(), st.Ino
	}
	return w, nil
}

// content is the hash of a file's content.
func (w written) content(root string) (string, error) {
	full := filepath.Join(root, filepath.FromSlash(w.Path))
	h := sha256.New()
	switch fs.FileMode(w.Mode).Type() {
	case fs.ModeSymlink:
		to, err := os.Readlink(full)
		if err != nil {
			return "", err
		}
		io.WriteString(h, to) //nolint:errcheck // a hash takes everything
	case 0:
		f, err := os.Open(full)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// checkWritten looks for what an output wrote.
func (p *Places) checkWritten(ctx context.Context, w want, entry index.Entry) (plan.State, []plan.Reason, error) {
	for _, o := range entry.Outputs {
		if o.Type != w.out.Type || o.Dest != w.out.Dest {
			continue
		}
		data, ok := p.Blob(ctx, entry, o.Stat)
		var list []written
		if !ok || json.Unmarshal(data, &list) != nil {
			break
		}
		for _, was := range list {
			if !was.same(p.path(o.Dest)) {
				return plan.Missing, []plan.Reason{{Kind: plan.KindMissing, Path: filepath.Join(o.Dest, was.Path)}}, nil
			}
		}
		return plan.There, nil, nil
	}
	return plan.Missing, []plan.Reason{{Kind: plan.KindOutput, Path: w.out.Dest}}, nil
}

func (w written) same(root string) bool {
	now, err := look(root, w.Path)
	if err != nil || now.Mode != w.Mode {
		return false
	}
	if now.Size == w.Size && now.Time == w.Time && now.Node == w.Node {
		return true
	}
	sum, err := now.content(root)
	return err == nil && sum == w.Sum
}
