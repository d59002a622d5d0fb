package registry

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Head says what ref is in its registry, with one request; ok is false if there
// is none. A registry that does not answer HEAD is asked with GET. Mirrors are
// not asked: they may be behind. Its error is an *Error or a *ReferenceError.
func (c *Client) Head(ctx context.Context, ref string) (desc v1.Descriptor, ok bool, err error) {
	n, err := c.Parse(ref)
	if err != nil {
		return desc, false, err
	}
	p, err := c.puller()
	if err != nil {
		return desc, false, err
	}
	found, err := head(ctx, p, n)
	switch {
	case err == nil:
		return *found, true, nil
	case statusOf(err) == http.StatusNotFound:
		return desc, false, nil
	}
	return desc, false, c.Explain(ctx, "looking for", ref, err)
}

func head(ctx context.Context, p *remote.Puller, n name.Reference) (*v1.Descriptor, error) {
	desc, err := p.Head(ctx, n)
	switch statusOf(err) {
	case http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusBadRequest:
	default:
		return desc, err
	}
	got, err := p.Get(ctx, n)
	if err != nil {
		return nil, err
	}
	return &got.Descriptor, nil
}
