package policy

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/gitutil/gitobject"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/net/idna"
)

// A source is what the rules are asked about, with all that is known of it.
type source struct {
	op       *pb.SourceOp
	platform ocispec.Platform
	verifier func() (Verifier, error)

	input     Input
	unknown   []string  // fields of input that nobody has asked for yet: "image.labels"
	notes     []string  // why a signature does not count
	full      Input     // with what is known of the target, and of materials
	above     []string  // what it is a material of
	materials []*source // in the order of input.image.provenance.materials; nil for what is no source

	commit, tag *gitobject.GitObject
	sum         *gwpb.ChecksumResponse // over a file and the end of its signature
}

// newSource reads what BuildKit tells of a source.
func newSource(ctx context.Context, facts *gwpb.ResolveSourceMetaResponse, platform ocispec.Platform, verifier func() (Verifier, error)) (*source, error) {
	return (&reading{ctx: ctx, verifier: verifier}).source(facts, platform)
}

// A reading reads a source and, below it, those that it was built of.
type reading struct {
	ctx      context.Context
	verifier func() (Verifier, error)
	above    []string
}

func (r *reading) source(facts *gwpb.ResolveSourceMetaResponse, platform ocispec.Platform) (*source, error) {
	s := &source{op: facts.Source, platform: platform, verifier: r.verifier, above: r.above}
	scheme, rest, ok := strings.Cut(s.op.Identifier, "://")
	if !ok {
		return nil, fmt.Errorf("%q is no source", s.op.Identifier)
	}
	var err error
	switch scheme = strings.ToLower(scheme); scheme {
	case "local":
		s.input.Local = &LocalInput{Name: rest}
	case "http", "https":
		err = s.http(scheme, facts.HTTP)
	case "git":
		err = s.git(rest, facts.Git)
	case "docker-image":
		if err = s.image(rest, facts.Image); err == nil {
			err = s.attested(r, facts.Image.GetAttestationChain())
		}
	default:
		err = fmt.Errorf("policies can not judge sources of the kind %s://", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.op.Identifier, err)
	}
	return s, nil
}

func (s *source) miss(fields ...string) { s.unknown = append(s.unknown, fields...) }

func (s *source) http(scheme string, facts *gwpb.ResolveSourceHTTPResponse) error {
	u, err := url.Parse(s.op.Identifier)
	if err != nil {
		return err
	}
	host, err := hostOf(u)
	if err != nil {
		return err
	}
	_, auth := s.op.Attrs[pb.AttrHTTPAuthHeaderSecret]
	s.input.HTTP = &HTTPInput{
		URL: s.op.Identifier, Schema: scheme, Host: host, Path: u.Path, Query: u.Query(), HasAuth: auth, Checksum: facts.GetChecksum(),
	}
	s.sum = facts.GetChecksumResponse()
	if s.input.HTTP.Checksum == "" {
		s.miss("http.checksum")
	}
	return nil
}

// hostOf is the host in one spelling of many, for rules compare it: as an address
// or in lower case ASCII, without the last dot, and the port unless it is the
// scheme's own.
func hostOf(u *url.URL) (string, error) {
	host := u.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.String()
	} else {
		ascii := strings.ToLower(host)
		if strings.ContainsFunc(host, func(r rune) bool { return r > 127 }) {
			if ascii, err = idna.Lookup.ToASCII(host); err != nil {
				return "", fmt.Errorf("the host %q: %w", host, err)
			}
		}
		host = strings.TrimSuffix(ascii, ".")
	}
	port := u.Port()
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return "", fmt.Errorf("the port %q: %w", port, err)
		}
		port = strconv.FormatUint(n, 10)
	}
	if port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		port = ""
	}
	switch {
	case port != "":
		return net.JoinHostPort(host, port), nil
	case strings.Contains(host, ":"):
		return "[" + host + "]", nil
	}
	return host, nil
}

// pinnedTo is an image by this digest.
func pinnedTo(op *pb.SourceOp, d digest.Digest) (*pb.SourceOp, error) {
	ref, ok := strings.CutPrefix(op.Identifier, "docker-image://")
	if !ok {
		return nil, fmt.Errorf("%s is no image and can not be pinned", op.Identifier)
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, err
	}
	pinned, err := reference.WithDigest(named, d)
	if err != nil {
		return nil, err
	}
	attrs := maps.Clone(op.Attrs)
	if attrs == nil {
		attrs = map[string]string{}
	}
	attrs[pb.AttrImageChecksum] = d.String()
	return &pb.SourceOp{Identifier: "docker-image://" + pinned.String(), Attrs: attrs}, nil
}
