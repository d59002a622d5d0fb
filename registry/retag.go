package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// HeadDigest says what the image ref is now, in its registry itself and in no
// mirror: one HEAD, or a GET where that is not understood. Only Raw is nil in
// what it returns. That nothing is there is no error.
func (c *Client) HeadDigest(ctx context.Context, ref string) (m Manifest, found bool, err error) {
	n, err := c.Parse(ref)
	if err != nil {
		return Manifest{}, false, err
	}
	r, err := c.repository(n.Context())
	if err != nil {
		return Manifest{}, false, err
	}
	m, found, err = r.Head(ctx, n.Identifier())
	m.Raw = nil
	return m, found, err
}

// Retag makes the tag to name the image from, "host/repo@digest": the same
// bytes, for all platforms, attestations included. In one repository nothing
// but the manifest is sent; in others of the registry blobs are mounted, or
// copied where that is refused, and in other registries copied. A tag that
// names the image already is left alone. What the tag then names is read back.
// Its error is an *Error or a *ReferenceError.
func (c *Client) Retag(ctx context.Context, from, to string) error {
	src, err := c.Parse(from)
	if err != nil {
		return err
	}
	want, ok := src.(name.Digest)
	if !ok {
		return &ReferenceError{Ref: from, Err: errors.New("has no digest")}
	}
	dst, err := c.Parse(to)
	if err != nil {
		return err
	}
	if _, ok := dst.(name.Tag); !ok {
		return &ReferenceError{Ref: to, Err: errors.New("is no tag")}
	}
	repo, err := c.repository(dst.Context())
	if err != nil {
		return err
	}
	if now, found, err := repo.Head(ctx, dst.Identifier()); err == nil && found && now.Digest == want.DigestStr() {
		return nil
	}
	if src.Context() == dst.Context() {
		err = repo.retag(ctx, want.DigestStr(), dst.Identifier())
	} else {
		err = c.copyImage(ctx, want, dst)
	}
	if err != nil {
		return err
	}
	return repo.readBack(ctx, dst, want.DigestStr())
}

// retag gives a manifest of r a tag.
func (r *Repository) retag(ctx context.Context, dgst, tag string) error {
	m, found, err := r.Manifest(ctx, dgst)
	if err != nil {
		return err
	}
	if !found {
		return r.missing("tagging", dgst)
	}
	_, err = r.PutManifest(ctx, tag, m.MediaType, m.Raw)
	return err
}

func (r *Repository) missing(op, dgst string) error {
	return &Error{
		Host: r.repo.RegistryStr(), Ref: r.Name() + "@" + dgst, Op: op,
		Err:  errors.New("it is not there any more"),
		Hint: "Build it again.",
	}
}

// copyImage copies an image to another repository, by mounting where it can be.
func (c *Client) copyImage(ctx context.Context, from name.Digest, to name.Reference) error {
	desc, err := remote.Get(from, c.Options(ctx)...)
	if err != nil {
		return c.Explain(ctx, "reading", from.Name(), err)
	}
	return c.Explain(ctx, "pushing", to.Name(), remote.Push(to, desc, c.Options(ctx)...))
}

// readBack fails unless the tag names what was put under it.
func (r *Repository) readBack(ctx context.Context, tag name.Reference, want string) error {
	got, found, err := r.Head(ctx, tag.Identifier())
	if err != nil {
		return err
	}
	if found && got.Digest == want {
		return nil
	}
	has := "nothing"
	if found {
		has = got.Digest
	}
	return &Error{
		Host: r.repo.RegistryStr(), Ref: tag.Name(), Op: "tagging",
		Err:  fmt.Errorf("the registry took %s and then has %s", want, has),
		Hint: "Somebody else may have pushed to the same tag. Try again.",
	}
}
