package engine

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/sys/atomicwriter"
	"github.com/sirupsen/logrus"
)

// A pruned names the last time that all of a cache was removed. It is kept in a file
// beside the cache, which is not there as long as that has not happened.
type pruned struct {
	file string

	mu   sync.Mutex
	name string
}

func openPruned(root string) (*pruned, error) {
	p := &pruned{file: filepath.Join(root, "pruned")}
	text, err := os.ReadFile(p.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	p.name = string(text)
	return p, nil
}

// label adds the name to the labels of a worker.
func (p *pruned) label(labels map[string]string) map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name == "" {
		return labels
	}
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	out[prunedLabel] = p.name
	return out
}

// again notes that all was removed again. That it can not be kept is no reason to
// fail: the engine is only taken to have what it has no more.
func (p *pruned) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name = identity.NewID()
	if err := atomicwriter.WriteFile(p.file, []byte(p.name), 0o600); err != nil {
		logrus.Warn(err)
	}
}

// Labels implements worker.Worker.
func (w layersWorker) Labels() map[string]string { return w.pruned.label(w.Worker.Labels()) }

// Prune implements worker.Worker.
func (w layersWorker) Prune(ctx context.Context, ch chan client.UsageInfo, opts ...client.PruneInfo) error {
	err := w.Worker.Prune(ctx, ch, opts...)
	if len(opts) == 1 && removesAll(opts[0]) { // a policy has several
		w.pruned.again()
	}
	return err
}

// removesAll reports whether a pruning has no limits.
func removesAll(o client.PruneInfo) bool {
	return len(o.Filter) == 0 && o.KeepDuration == 0 && o.ReservedSpace == 0 && o.MaxUsedSpace == 0 && o.MinFreeSpace == 0
}
