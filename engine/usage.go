package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"
)

// A UsageRecord is one entry of an engine's build cache.
type UsageRecord struct {
	ID          string    `json:"id"`
	Type        string    `json:"type"` // regular, internal, frontend, source.local, source.git.checkout, exec.cachemount
	Description string    `json:"description,omitempty"`
	Parents     []string  `json:"parents,omitempty"`
	Size        int64     `json:"size"`
	Created     time.Time `json:"created,omitzero"`
	LastUsed    time.Time `json:"lastUsed,omitzero"` // zero when never
	UsageCount  int       `json:"usageCount"`
	InUse       bool      `json:"inUse"`
	Shared      bool      `json:"shared"`
}

// A Usage lists what an engine's build cache holds, or what was removed,
// largest first.
type Usage struct {
	Records     []UsageRecord `json:"records"`
	Total       int64         `json:"total"`
	Reclaimable int64         `json:"reclaimable"` // bytes of records not in use
}

// PruneOptions say what to remove from an engine's build cache. The zero value
// removes what can be made again and is not in use.
type PruneOptions struct {
	All      bool          // internal and frontend records, and those images share, too
	Filters  []string      // BuildKit's filters, such as type==exec.cachemount
	Unused   time.Duration // only what was not used for so long
	MaxUsed  int64         // remove only until no more bytes than these are used
	Reserved int64         // bytes always kept
	MinFree  int64         // remove only until so many bytes are free on the disk
}

// DiskUsage lists the engine's build cache. Filters are BuildKit's.
func (e *Engine) DiskUsage(ctx context.Context, filters ...string) (Usage, error) {
	infos, err := e.client.DiskUsage(ctx, client.WithFilter(filters))
	if err != nil {
		return Usage{}, e.lost(err)
	}
	u := Usage{Records: []UsageRecord{}}
	for _, info := range infos {
		u.add(*info)
	}
	u.sort()
	return u, nil
}

// Prune removes from the engine's build cache and lists what it removed.
func (e *Engine) Prune(ctx context.Context, opts PruneOptions) (Usage, error) {
	args := []client.PruneOption{
		client.WithFilter(opts.Filters),
		client.WithKeepOpt(opts.Unused, opts.Reserved, opts.MaxUsed, opts.MinFree),
	}
	if opts.All {
		args = append(args, client.PruneAll)
	}
	removed := make(chan client.UsageInfo)
	done := make(chan error, 1)
	go func() {
		defer close(removed)
		done <- e.client.Prune(ctx, removed, args...)
	}()
	u := Usage{Records: []UsageRecord{}}
	for info := range removed {
		u.add(info)
	}
	u.sort()
	if err := <-done; err != nil {
		return u, e.lost(err)
	}
	return u, nil
}

// lost tells an engine that is gone from one that refuses.
func (e *Engine) lost(err error) error {
	if grpcerrors.Code(err) == codes.Unavailable {
		return e.unreachable(err)
	}
	return err
}

func (u *Usage) add(info client.UsageInfo) {
	r := UsageRecord{
		ID:          info.ID,
		Type:        string(info.RecordType),
		Description: info.Description,
		Parents:     info.Parents,
		Size:        info.Size,
		Created:     info.CreatedAt,
		UsageCount:  info.UsageCount,
		InUse:       info.InUse,
		Shared:      info.Shared,
	}
	if info.LastUsedAt != nil {
		r.LastUsed = *info.LastUsedAt
	}
	u.Records = append(u.Records, r)
	u.Total += r.Size
	if !r.InUse {
		u.Reclaimable += r.Size
	}
}

func (u *Usage) sort() {
	slices.SortFunc(u.Records, func(a, b UsageRecord) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.ID, b.ID))
	})
}
