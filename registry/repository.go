package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	rt "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Repository is one repository of a registry, spoken to with as few requests
// as the OCI distribution specification allows: none to find out whether a
// login is wanted, none twice. Mirrors are left out. It may be used by many
// goroutines.
type Repository struct {
	client *Client
	repo   name.Repository
	host   docker.RegistryHost
	noHead atomic.Bool // the registry does not understand HEAD
}

// A Manifest is what a tag or a digest names: a manifest or an index.
type Manifest struct {
	Digest    string
	MediaType string
	Size      int64  // bytes
	Raw       []byte // nil after a HEAD
}

// Repository returns the repository "host/name". Nothing is asked yet. Its
// error is a *ReferenceError.
func (c *Client) Repository(ref string) (*Repository, error) {
	repo, err := name.NewRepository(ref)
	if err != nil {
		return nil, &ReferenceError{Ref: ref, Err: err}
	}
	return c.repository(repo)
}

func (c *Client) repository(repo name.Repository) (*Repository, error) {
	hosts, err := c.hosts(repo.RegistryStr())
	if err != nil {
		return nil, err
	}
	return &Repository{client: c, repo: repo, host: hosts[len(hosts)-1]}, nil
}

// Name is the repository as "host/name".
func (r *Repository) Name() string { return r.repo.Name() }

// Host is the registry, as it stands in references.
func (r *Repository) Host() string { return r.repo.RegistryStr() }

// Head says what a tag or digest names, without reading it. A registry that
// does not understand the question is asked to send it.
func (r *Repository) Head(ctx context.Context, identifier string) (m Manifest, found bool, err error) {
	if r.noHead.Load() {
		return r.Manifest(ctx, identifier)
	}
	resp, err := r.do(ctx, call{method: http.MethodHead, path: "manifests/" + identifier, accept: manifestTypes})
	if err != nil {
		return Manifest{}, false, r.explain(ctx, "asking for", identifier, err)
	}
	finish(resp)
	switch resp.StatusCode {
	case http.StatusOK:
		m = Manifest{
			Digest:    resp.Header.Get("Docker-Content-Digest"),
			MediaType: resp.Header.Get("Content-Type"),
			Size:      resp.ContentLength,
		}
		if digest.Digest(m.Digest).Validate() == nil && m.Size >= 0 {
			return m, true, nil
		}
	case http.StatusNotFound:
		return Manifest{}, false, nil
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented:
	default:
		return Manifest{}, false, r.explain(ctx, "asking for", identifier, rt.CheckError(resp, http.StatusOK))
	}
	m, found, err = r.Manifest(ctx, identifier)
	if err == nil && found {
		r.noHead.Store(true)
	}
	return m, found, err
}

// Manifest reads what a tag or digest names, and checks its digest. What is
// larger than 4 MiB is refused.
func (r *Repository) Manifest(ctx context.Context, identifier string) (m Manifest, found bool, err error) {
	resp, err := r.do(ctx, call{method: http.MethodGet, path: "manifests/" + identifier, accept: manifestTypes})
	if err != nil {
		return Manifest{}, false, r.explain(ctx, "reading", identifier, err)
	}
	defer finish(resp)
	if resp.StatusCode == http.StatusNotFound {
		return Manifest{}, false, nil
	}
	if err := rt.CheckError(resp, http.StatusOK); err != nil {
		return Manifest{}, false, r.explain(ctx, "reading", identifier, err)
	}
	data, err := readBody(resp, maxManifest)
	if err != nil {
		return Manifest{}, false, r.explain(ctx, "reading", identifier, err)
	}
	want := identifier
	if !isDigest(identifier) {
		want = resp.Header.Get("Docker-Content-Digest")
	}
	m = Manifest{MediaType: mediaType(resp, data), Size: int64(len(data)), Raw: data}
	m.Digest, err = verify(data, want)
	if err != nil {
		return Manifest{}, false, r.explain(ctx, "reading", identifier, err)
	}
	return m, true, nil
}

// PutManifest stores raw under a tag or its digest and returns the digest.
func (r *Repository) PutManifest(ctx context.Context, identifier, mediaType string, raw []byte) (string, error) {
	resp, err := r.do(ctx, call{
		method: http.MethodPut, path: "manifests/" + identifier, push: true, body: raw, contentType: mediaType,
	})
	if err != nil {
		return "", r.explain(ctx, "writing", identifier, err)
	}
	defer finish(resp)
	if err := rt.CheckError(resp, http.StatusOK, http.StatusCreated, http.StatusAccepted); err != nil {
		return "", r.explain(ctx, "writing", identifier, err)
	}
	return digest.FromBytes(raw).String(), nil
}

// DeleteManifest removes a manifest by its digest, and with it its tags. One
// that is gone already is no error.
func (r *Repository) DeleteManifest(ctx context.Context, dgst string) error {
	resp, err := r.do(ctx, call{method: http.MethodDelete, path: "manifests/" + dgst, push: true, remove: true})
	if err != nil {
		return r.explain(ctx, "removing", dgst, err)
	}
	defer finish(resp)
	if err := rt.CheckError(resp, http.StatusOK, http.StatusAccepted, http.StatusNotFound); err != nil {
		return r.explain(ctx, "removing", dgst, err)
	}
	return nil
}

// Tags lists all tags of the repository. A repository that does not exist has
// none.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	const page = 1000
	var tags []string
	next, last := fmt.Sprintf("tags/list?n=%d", page), ""
	for next != "" {
		resp, err := r.do(ctx, call{method: http.MethodGet, path: next})
		if err != nil {
			return nil, r.explain(ctx, "listing", "", err)
		}
		list, more, err := readTags(resp)
		if err != nil {
			return nil, r.explain(ctx, "listing", "", err)
		}
		tags, next = append(tags, list...), ""
		if more && len(list) > 0 && list[len(list)-1] != last { // a registry may not know paging
			last = list[len(list)-1]
			next = fmt.Sprintf("tags/list?n=%d&last=%s", page, url.QueryEscape(last))
		}
	}
	return tags, nil
}

func readTags(resp *http.Response) (tags []string, more bool, err error) {
	defer finish(resp)
	if resp.StatusCode == http.StatusNotFound {
		return nil, false, nil
	}
	if err := rt.CheckError(resp, http.StatusOK); err != nil {
		return nil, false, err
	}
	data, err := readBody(resp, maxManifest)
	if err != nil {
		return nil, false, err
	}
	var list struct{ Tags []string }
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, false, err
	}
	return list.Tags, resp.Header.Get("Link") != "", nil
}

// verify returns the digest of data, which must be want unless that is "".
func verify(data []byte, want string) (string, error) {
	if want == "" {
		return digest.FromBytes(data).String(), nil
	}
	d := digest.Digest(want)
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("%w %q: %w", errWrongDigest, want, err)
	}
	if got := d.Algorithm().FromBytes(data); got != d {
		return "", fmt.Errorf("%w: %s has the content of %s", errWrongDigest, want, got)
	}
	return want, nil
}

// errWrongDigest says that something is not what it is named by.
var errWrongDigest = errors.New("wrong digest")

// IsDamaged reports whether err says that a registry sent something, but not
// what was asked for: another digest, more than there can be, or less than it
// announced.
func IsDamaged(err error) bool {
	return errors.Is(err, errWrongDigest) || errors.Is(err, errTooLarge) || errors.Is(err, io.ErrUnexpectedEOF)
}

func isDigest(identifier string) bool { return strings.Contains(identifier, ":") }

func mediaType(resp *http.Response, data []byte) string {
	if t := resp.Header.Get("Content-Type"); images.IsManifestType(t) || images.IsIndexType(t) {
		return t
	}
	var said struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(data, &said) == nil && said.MediaType != "" {
		return said.MediaType
	}
	return resp.Header.Get("Content-Type")
}

// manifestTypes is the Accept header for manifests.
var manifestTypes = strings.Join([]string{
	ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest,
	images.MediaTypeDockerSchema2ManifestList, images.MediaTypeDockerSchema2Manifest, "*/*",
}, ", ")

// A call is one request to a repository.
type call struct {
	method       string
	path         string // below the repository; or a whole URL
	push, remove bool   // what the token must allow beside pulling
	from         string // another repository that the token must allow to pull from
	accept       string
	contentType  string
	body         []byte
}

// do sends a request, once more after the registry has asked for a login.
func (r *Repository) do(ctx context.Context, c call) (*http.Response, error) {
	ctx = r.scoped(ctx, c)
	var asked []*http.Response
	for {
		req, err := r.request(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := r.host.Authorizer.Authorize(ctx, req); err != nil {
			return nil, err
		}
		resp, err := r.host.Client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusUnauthorized || len(asked) == 2 {
			return resp, nil
		}
		asked = append(asked, resp)
		err = r.host.Authorizer.AddResponses(ctx, asked)
		if errdefs.IsNotImplemented(err) { // it does not say which login it wants
			return resp, nil
		}
		finish(resp)
		if err != nil {
			return nil, err
		}
	}
}

// scoped returns ctx with what the token of c must allow.
func (r *Repository) scoped(ctx context.Context, c call) context.Context {
	actions := "pull"
	if c.push {
		actions += ",push"
	}
	if c.remove {
		actions += ",delete"
	}
	ctx = docker.WithScope(ctx, "repository:"+r.repo.RepositoryStr()+":"+actions)
	if c.from != "" {
		ctx = docker.WithScope(ctx, "repository:"+c.from+":pull")
	}
	return ctx
}

func (r *Repository) request(ctx context.Context, c call) (*http.Request, error) {
	at := c.path
	if !strings.Contains(at, "://") {
		at = r.host.Scheme + "://" + r.host.Host + r.host.Path + "/" + r.repo.RepositoryStr() + "/" + c.path
	}
	var body io.Reader
	if c.body != nil {
		body = bytes.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, at, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "strata")
	if c.accept != "" {
		req.Header.Set("Accept", c.accept)
	}
	if c.contentType != "" {
		req.Header.Set("Content-Type", c.contentType)
	}
	return req, nil
}

func (r *Repository) explain(ctx context.Context, op, identifier string, err error) error {
	ref := r.Name()
	switch {
	case identifier == "":
	case isDigest(identifier):
		ref += "@" + identifier
	default:
		ref += ":" + identifier
	}
	return r.client.Explain(ctx, op, ref, err)
}

// readBody reads a whole answer of at most limit bytes.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, fmt.Errorf("an answer of %d bytes %w", resp.ContentLength, errTooLarge)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("an answer %w", errTooLarge)
	}
	return data, nil
}

// finish reads the rest of a short answer and closes it, so that the connection
// is used again.
func finish(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
}
