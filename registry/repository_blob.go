package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	rt "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	digest "github.com/opencontainers/go-digest"
)

// HasBlob reports whether a blob is there.
func (r *Repository) HasBlob(ctx context.Context, dgst string) (bool, error) {
	resp, err := r.do(ctx, call{method: http.MethodHead, path: "blobs/" + dgst})
	if err != nil {
		return false, r.explain(ctx, "asking for", dgst, err)
	}
	finish(resp)
	if resp.StatusCode == http.StatusNotFound {
		return false, nil
	}
	if err := rt.CheckError(resp, http.StatusOK); err != nil {
		return false, r.explain(ctx, "asking for", dgst, err)
	}
	return true, nil
}

// ReadBlob reads a blob of at most limit bytes and checks its digest.
func (r *Repository) ReadBlob(ctx context.Context, dgst string, limit int64) (data []byte, found bool, err error) {
	resp, err := r.do(ctx, call{method: http.MethodGet, path: "blobs/" + dgst})
	if err != nil {
		return nil, false, r.explain(ctx, "reading", dgst, err)
	}
	defer finish(resp)
	if resp.StatusCode == http.StatusNotFound {
		return nil, false, nil
	}
	if err := rt.CheckError(resp, http.StatusOK); err != nil {
		return nil, false, r.explain(ctx, "reading", dgst, err)
	}
	data, err = readBody(resp, limit)
	if err == nil {
		_, err = verify(data, dgst)
	}
	if err != nil {
		return nil, false, r.explain(ctx, "reading", dgst, err)
	}
	return data, true, nil
}

// WriteBlob stores data, unless it is there already, and returns its digest.
func (r *Repository) WriteBlob(ctx context.Context, data []byte) (string, error) {
	dgst := digest.FromBytes(data).String()
	// A registry that cannot tell is sent the blob.
	if there, err := r.HasBlob(ctx, dgst); err == nil && there {
		return dgst, nil
	}
	err := r.upload(ctx, dgst, data)
	if HTTPStatus(err) == http.StatusNotFound {
		// An upload whose answer was lost is gone when it is sent again.
		if there, headErr := r.HasBlob(ctx, dgst); headErr == nil && there {
			err = nil
		}
	}
	if err != nil {
		return "", r.explain(ctx, "writing", dgst, err)
	}
	return dgst, nil
}

func (r *Repository) upload(ctx context.Context, dgst string, data []byte) error {
	resp, err := r.do(ctx, call{method: http.MethodPost, path: "blobs/uploads/", push: true})
	if err != nil {
		return err
	}
	defer finish(resp)
	if err := rt.CheckError(resp, http.StatusAccepted, http.StatusCreated); err != nil {
		return err
	}
	at, err := resp.Location()
	if err != nil {
		return fmt.Errorf("an upload without a place: %w", err)
	}
	q := at.Query()
	q.Set("digest", dgst)
	at.RawQuery = q.Encode()
	return r.put(ctx, at, data)
}

func (r *Repository) put(ctx context.Context, at *url.URL, data []byte) error {
	resp, err := r.do(ctx, call{
		method: http.MethodPut, path: at.String(), push: true, body: data, contentType: "application/octet-stream",
	})
	if err != nil {
		return err
	}
	defer finish(resp)
	if err := rt.CheckError(resp, http.StatusCreated, http.StatusOK, http.StatusNoContent); err != nil {
		return err
	}
	return nil
}
