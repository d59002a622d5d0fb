package policy

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/pgpsign"
	verifier "github.com/moby/policy-helpers"
	"github.com/moby/policy-helpers/image"
	"github.com/moby/policy-helpers/types"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

// pgp is a signature of data, and the public key that it was made with.
func pgp(t *testing.T, data []byte) (sig, key []byte) {
	t.Helper()
	who, err := openpgp.NewEntity("a", "", "a@localhost", &packet.Config{DefaultHash: crypto.SHA256, RSABits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	var s, k bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&s, who, bytes.NewReader(data), &packet.Config{DefaultHash: crypto.SHA256}); err != nil {
		t.Fatal(err)
	}
	w, err := armor.Encode(&k, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(who.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	return s.Bytes(), k.Bytes()
}

const allowIf = "package docker\ndefault allow := false\nallow if %s\ndecision := {\"allow\": allow}\n"

func TestVerifyHTTP(t *testing.T) {
	data := []byte("what was signed")
	sig, key := pgp(t, data)
	_, other := pgp(t, data)
	parsed, _, err := pgpsign.ParseArmoredDetachedSignature(sig)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	sum.Write(data)
	sum.Write(parsed.HashSuffix)
	for _, tt := range []struct{ name, key, digest, want, note string }{
		{"good", string(key), fmt.Sprintf("sha256:%x", sum.Sum(nil)), "allow", ""},
		{"other file", string(key), digest.FromString("other").String(), "deny", ""},
		{"other key", string(other), fmt.Sprintf("sha256:%x", sum.Sum(nil)), "deny", ""},
		{"no key", "x", "", "deny", "verify_http_pgp_signature: failed to read armored public key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld("")
			w.files = map[string][]byte{
				"a.asc": sig, "key.asc": []byte(tt.key), "p.rego": fmt.Appendf(nil, allowIf, `verify_http_pgp_signature(input.http, "a.asc", "key.asc")`),
			}
			w.http = &gwpb.ResolveSourceHTTPResponse{Checksum: "sha256:aa", ChecksumResponse: &gwpb.ChecksumResponse{Digest: tt.digest}}
			s, err := w.load(t, "p.rego")
			if err != nil {
				t.Fatal(err)
			}
			d, err := w.ask(t, s, "https://example.com/a")
			check(t, d, err, tt.want)
			if denial := s.Denied("https://example.com/a"); tt.note != "" && (denial == nil || !strings.Contains(denial.Error(), tt.note)) {
				t.Errorf("got %v", denial)
			}
		})
	}
}

// commit is a commit object, signed, with its checksum.
func commit(t *testing.T) (object []byte, sum string, key []byte) {
	t.Helper()
	head := "tree " + strings.Repeat("1", 40) + "\nauthor A <a@localhost> 1700000000 +0000\ncommitter A <a@localhost> 1700000000 +0000\n"
	message := "\nfirst\n"
	sig, key := pgp(t, []byte(head+message))
	signed := head + "gpgsig " + strings.ReplaceAll(strings.TrimSpace(string(sig)), "\n", "\n ") + "\n" + message
	return []byte(signed), gitSum("commit", signed), key
}

func TestVerifyGit(t *testing.T) {
	object, sum, key := commit(t)
	_, _, other := commit(t)
	for _, tt := range []struct{ name, rule, key, want, note string }{
		{"good", `verify_git_signature(input.git.commit, "key.asc")`, string(key), "allow", ""},
		{"who", `input.git.commit.author.name == "A"`, "", "allow", ""},
		{"kind", `input.git.commit.pgpSignature.keyID`, "", "allow", ""},
		{"other key", `verify_git_signature(input.git.commit, "key.asc")`, string(other), "deny", "verify_git_signature: signature by"},
		{"other object", `verify_git_signature({}, "key.asc")`, string(key), "deny", "neither input.git.commit nor input.git.tag"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld("")
			w.files = map[string][]byte{"key.asc": []byte(tt.key), "p.rego": fmt.Appendf(nil, allowIf, tt.rule)}
			w.git = &gwpb.ResolveSourceGitResponse{Ref: "refs/heads/main", Checksum: sum, CommitObject: object}
			s, err := w.load(t, "p.rego")
			if err != nil {
				t.Fatal(err)
			}
			const source = "git://example.com/a.git#main"
			d, err := w.ask(t, s, source)
			check(t, d, err, tt.want)
			if denial := s.Denied(source); tt.note != "" && (denial == nil || !strings.Contains(denial.Error(), tt.note)) {
				t.Errorf("got %v", denial)
			}
		})
	}
	w := newWorld("")
	w.files["p.rego"] = fmt.Appendf(nil, allowIf, "input.git.commit")
	w.git = &gwpb.ResolveSourceGitResponse{Ref: "refs/heads/main", Checksum: strings.Repeat("2", 40), CommitObject: object}
	s, err := w.load(t, "p.rego")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ask(t, s, "git://example.com/a.git#main"); err == nil {
		t.Error("an object was believed that has another checksum")
	}
}

// A stamp says of every image and file that info signed it.
type stamp struct{ info *types.SignatureInfo }

func (s stamp) VerifyImage(context.Context, image.ReferrersProvider, ocispec.Descriptor, *ocispec.Platform) (*types.SignatureInfo, error) {
	if s.info == nil {
		return nil, errors.New("signed by nobody")
	}
	return s.info, nil
}

func (s stamp) VerifyArtifact(context.Context, digest.Digest, []byte, ...verifier.ArtifactVerifyOpt) (*types.SignatureInfo, error) {
	if s.info == nil {
		return nil, errors.New("signed by nobody")
	}
	return s.info, nil
}

// builder is a signature of Docker's builder, for a reference of a repository.
func builder(repo, ref string) *types.SignatureInfo {
	const workflow = "https://github.com/docker/github-builder/.github/workflows/build.yml"
	info := &types.SignatureInfo{
		SignatureType: types.SignatureBundleV03,
		Timestamps:    []types.TimestampVerificationResult{{Type: "Tlog", Timestamp: time.Unix(1, 0)}},
		Signer: &certificate.Summary{
			CertificateIssuer: "CN=sigstore-intermediate,O=sigstore.dev", SubjectAlternativeName: workflow,
			Extensions: certificate.Extensions{
				Issuer: "https://token.actions.githubusercontent.com", BuildSignerURI: workflow, RunnerEnvironment: "github-hosted",
				SourceRepositoryURI: "https://github.com/" + repo, SourceRepositoryRef: ref,
			},
		},
	}
	info.Kind = info.DetectKind()
	return info
}

// chainOf is what an engine tells of an index with an image, its attestations and
// their signature.
func chainOf(t *testing.T, statements map[string]string) *gwpb.AttestationChain {
	t.Helper()
	blobs := map[string]*gwpb.Blob{}
	put := func(mediaType string, v any, annotations map[string]string) ocispec.Descriptor {
		data, ok := v.([]byte)
		if !ok {
			var err error
			if data, err = json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data)), Annotations: annotations}
		blobs[d.Digest.String()] = &gwpb.Blob{Data: data, Descriptor_: &gwpb.Descriptor{
			MediaType: mediaType, Digest: d.Digest.String(), Size: d.Size, Annotations: annotations,
		}}
		return d
	}
	version := specs.Versioned{SchemaVersion: 2}
	img := put(ocispec.MediaTypeImageManifest, ocispec.Manifest{Versioned: version, MediaType: ocispec.MediaTypeImageManifest}, nil)
	attestation := ocispec.Manifest{Versioned: version, MediaType: ocispec.MediaTypeImageManifest, Subject: &img}
	for kind, text := range statements {
		attestation.Layers = append(attestation.Layers, put("application/vnd.in-toto+json", []byte(text), map[string]string{annotationPredicate: kind}))
	}
	att := put(ocispec.MediaTypeImageManifest, attestation, nil)
	sig := put(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: version, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: image.ArtifactTypeSigstoreBundle, Subject: &att,
	}, nil)
	img.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	att.Annotations = map[string]string{image.AnnotationDockerReferenceType: image.AttestationManifestType, image.AnnotationDockerReferenceDigest: img.Digest.String()}
	att.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	root := put(ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: version, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{img, att}}, nil)
	return &gwpb.AttestationChain{
		Root: root.Digest.String(), ImageManifest: img.Digest.String(), AttestationManifest: att.Digest.String(),
		SignatureManifests: []string{sig.Digest.String()}, Blobs: blobs,
	}
}

// TestSignedImages judges images under BUILDX_DEFAULT_POLICY: which have to be
// signed, and by whom.
func TestSignedImages(t *testing.T) {
	chain := chainOf(t, nil)
	for _, tt := range []struct{ image, repo, ref, want string }{
		{"docker.io/docker/dockerfile:1", "", "", "deny"},
		{"docker.io/docker/dockerfile:1", "moby/buildkit", "refs/tags/dockerfile/1.21.0", "allow"},
		{"docker.io/docker/dockerfile:1.21", "moby/buildkit", "refs/tags/dockerfile/1.21.3", "allow"},
		{"docker.io/docker/dockerfile:1.21", "moby/buildkit", "refs/tags/dockerfile/1.22.0", "deny"},
		{"docker.io/docker/dockerfile:1.21.3", "moby/buildkit", "refs/tags/dockerfile/1.21.3", "allow"},
		{"docker.io/docker/dockerfile:1.21.3", "moby/buildkit", "refs/tags/dockerfile/1.21.4", "deny"},
		{"docker.io/docker/dockerfile:1.21.3", "moby/buildkit", "refs/tags/v1.21.3", "deny"},
		{"docker.io/docker/dockerfile:1-labs", "moby/buildkit", "refs/tags/dockerfile/1.21.0-labs", "allow"},
		{"docker.io/docker/dockerfile:1-labs", "moby/buildkit", "refs/tags/dockerfile/1.21.0", "deny"},
		{"docker.io/docker/dockerfile:1", "somebody/buildkit", "refs/tags/dockerfile/1.21.0", "deny"},
		{"docker.io/docker/dockerfile:latest", "moby/buildkit", "refs/heads/master", "allow"},
		{"docker.io/docker/dockerfile-upstream:master", "", "", "deny"},
		{"docker.io/docker/dockerfile:2", "", "", "deny"},
		{"docker.io/docker/dockerfile:1.20", "", "", "allow"},
		{"docker.io/docker/dockerfile:1.3-labs", "", "", "allow"},
		{"docker.io/docker/dockerfile@" + digest.FromString("x").String(), "", "", "allow"},
		{"docker.io/docker/buildkit-syft-scanner:latest", "", "", "deny"},
		{"docker.io/docker/buildkit-syft-scanner:1.10", "docker/buildkit-syft-scanner", "refs/tags/1.10.2", "allow"},
		{"docker.io/docker/buildkit-syft-scanner:1.9", "", "", "allow"},
		{"docker.io/docker/buildkit-syft-scanner:stable-1", "", "", "allow"},
		{"docker.io/moby/buildkit:v0.26.3", "", "", "allow"},
		{"docker.io/moby/buildkit:v0.27.0", "", "", "deny"},
		{"docker.io/moby/buildkit:v0.27.0-rootless", "moby/buildkit", "refs/tags/v0.27.0", "allow"},
		{"docker.io/moby/buildkit:v0.27.0-rc1", "moby/buildkit", "refs/tags/v0.27.0-rc1", "allow"},
		{"docker.io/moby/buildkit:v0.27.0-rc1", "moby/buildkit", "refs/tags/v0.27.0", "deny"},
		{"docker.io/moby/buildkit:buildx-stable-1", "", "", "deny"},
		{"docker.io/moby/buildkit:master-cache", "", "", "allow"},
		{"docker.io/library/busybox:latest", "", "", "allow"},
		{"localhost:5000/docker/dockerfile:1", "", "", "allow"},
	} {
		var info *types.SignatureInfo
		if tt.repo != "" {
			info = builder(tt.repo, tt.ref)
		}
		s, err := Load(t.Context(), []Policy{signedPolicy()}, Options{Verifier: func() (Verifier, error) { return stamp{info}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld("")
		w.image = &gwpb.ResolveSourceImageResponse{Digest: chain.Root, AttestationChain: chain}
		d, err := w.ask(t, s, "docker-image://"+tt.image)
		got := "deny"
		if err == nil && s.Denied("docker-image://"+tt.image) == nil {
			got = "allow"
		}
		if err != nil || got != tt.want || len(d.DenyMessages) > 0 != (tt.want == "deny") {
			t.Errorf("%s signed from %s %s: got %s, %v", tt.image, tt.repo, tt.ref, got, err)
		}
	}
}

// TestSignaturesAreNotBelieved that nobody can check.
func TestSignaturesAreNotBelieved(t *testing.T) {
	rule := []byte(fmt.Sprintf(allowIf, "input.image.signatures"))
	for name, v := range map[string]func() (Verifier, error){
		"signed by nobody":                   func() (Verifier, error) { return stamp{}, nil },
		"there is nothing to check it with":  nil,
		"the roots of trust can not be read": func() (Verifier, error) { return nil, errors.New("the roots of trust can not be read") },
	} {
		w := newWorld("")
		w.files["p.rego"] = rule
		chain := chainOf(t, nil)
		w.image = &gwpb.ResolveSourceImageResponse{Digest: chain.Root, AttestationChain: chain}
		s, err := Load(t.Context(), []Policy{*newPolicy(File{Name: "p.rego"})}, Options{Read: w.read, Verifier: v})
		if err != nil {
			t.Fatal(err)
		}
		d, err := w.ask(t, s, busybox)
		check(t, d, err, "deny")
		if denial := s.Denied(busybox); denial == nil || !strings.Contains(denial.Error(), name) {
			t.Errorf("%s: got %v", name, denial)
		}
	}
}

func TestArtifactAttestation(t *testing.T) {
	for rule, want := range map[string]string{
		`docker_github_builder_bundle(input.http, "a.json", "a/b")`: "allow",
		`docker_github_builder_bundle(input.http, "a.json", "a/c")`: "deny",
		`artifact_attestation(input.http, "missing.json")`:          "deny",
		`artifact_attestation({}, "a.json")`:                        "deny",
	} {
		w := newWorld("-- a.json --\n{}\n")
		w.files["p.rego"] = fmt.Appendf(nil, allowIf, rule)
		w.http = &gwpb.ResolveSourceHTTPResponse{Checksum: digest.FromString("a").String()}
		s, err := Load(t.Context(), []Policy{*newPolicy(File{Name: "p.rego"})}, Options{
			Read: w.read, Verifier: func() (Verifier, error) { return stamp{builder("a/b", "refs/heads/main")}, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		d, err := w.ask(t, s, "https://example.com/a")
		check(t, d, err, want)
	}
}

// A lab is an engine that knows some images and URLs.
type lab struct {
	images map[string]*gwpb.ResolveSourceImageResponse
	urls   map[string]string
	asked  []string
}

func (l *lab) Resolve(_ context.Context, req *gwpb.ResolveSourceMetaRequest) (*gwpb.ResolveSourceMetaResponse, error) {
	l.asked = append(l.asked, req.Source.Identifier)
	w := &world{image: l.images[req.Source.Identifier]}
	if w.image == nil {
		return nil, errors.New("no such image")
	}
	return w.answer(req), nil
}

func (l *lab) Fetch(_ context.Context, url, _ string) ([]byte, error) {
	l.asked = append(l.asked, url)
	text, ok := l.urls[url]
	if !ok {
		return nil, errors.New("404")
	}
	return []byte(text), nil
}

// TestGitHubAttestation takes the bundle that is in GitHub's answer or at the URL
// in it.
func TestGitHubAttestation(t *testing.T) {
	sum := digest.FromString("a")
	api := "https://api.github.com/repos/a/b/attestations/" + sum.String() + "?predicate_type=https%3A%2F%2Fslsa.dev%2Fprovenance%2Fv1"
	for _, tt := range []struct {
		name string
		urls map[string]string
		want string
	}{
		{"inside", map[string]string{api: `{"attestations":[{"bundle":{}}]}`}, "allow"},
		{"elsewhere", map[string]string{api: `{"attestations":[{"bundle":null,"bundle_url":"https://x/b"}]}`, "https://x/b": "{}"}, "allow"},
		{"none", map[string]string{api: `{"attestations":[]}`}, "deny"},
		{"unknown", nil, "deny"},
		{"gone", map[string]string{api: `{"attestations":[{"bundle_url":"https://x/b"}]}`}, "deny"},
	} {
		w := newWorld("")
		w.files["p.rego"] = fmt.Appendf(nil, allowIf, `github_release_attestation(input.http).signer.sourceRepositoryURI == "https://github.com/a/b"`)
		w.http = &gwpb.ResolveSourceHTTPResponse{Checksum: sum.String()}
		s, err := Load(t.Context(), []Policy{*newPolicy(File{Name: "p.rego"})}, Options{
			Read: w.read, Engine: &lab{urls: tt.urls}, Verifier: func() (Verifier, error) { return stamp{builder("a/b", "refs/tags/v1")}, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		d, err := w.ask(t, s, "https://github.com/a/b/releases/download/v1/f")
		t.Log(tt.name)
		check(t, d, err, tt.want)
	}
}

// TestProvenance follows an image to what it was built of.
func TestProvenance(t *testing.T) {
	base := "docker-image://docker.io/library/base:1@" + digest.FromString("base").String()
	chain := chainOf(t, map[string]string{predicates[1]: fmt.Sprintf(`{"predicateType": %q, "predicate": {
		"buildDefinition": {
			"buildType": "https://example.com/type",
			"externalParameters": {"request": {"frontend": "dockerfile.v0", "args": {"build-arg:A": "1"}}},
			"resolvedDependencies": [
				{"uri": "pkg:docker/base@1?platform=linux%%2Famd64", "digest": {"sha256": %q}},
				{"uri": "https://example.com/f", "digest": {"sha256": "00"}},
				{"uri": "https://example.com/r.git#main", "digest": {"sha1": "00"}},
				{"uri": "something else"}
			]
		},
		"runDetails": {"builder": {"id": "me"}, "metadata": {"buildkit_hermetic": true}}
	}}`, predicates[1], digest.FromString("base").Encoded())})
	for rule, want := range map[string]struct {
		want  string
		asked []string
	}{
		`input.image.provenance.buildType == "https://example.com/type"`:                         {want: "allow"},
		`input.image.provenance.buildArgs.A == "1"`:                                              {want: "allow"},
		`count(input.image.provenance.materials) == 3`:                                           {want: "allow"},
		`some m in input.image.provenance.materials; m.http.host == "example.com"`:               {want: "allow"},
		`some m in input.image.provenance.materials; m.git.host == "example.com"`:                {want: "allow"},
		`some m in input.image.provenance.materials; m.env.depth == 1; m.image.repo == "base"`:   {want: "allow"},
		`input.image.provenance.materials[0].image.labels.team == "a"`:                           {"allow", []string{base}},
		`some m in input.image.provenance.materials; m.image.labels.team == "b"`:                 {"deny", []string{base}},
		`every m in input.image.provenance.materials { not m.image.labels.team == "a" }`:         {"deny", []string{base}},
		`every m in input.image.provenance.materials { not m.image.labels.team == "b" }`:         {"allow", []string{base}},
		`input.image.provenance.materials[0].image.provenance.materials[0].image.repo == "base"`: {"deny", []string{base}},
	} {
		w := newWorld("")
		w.files["p.rego"] = fmt.Appendf(nil, strings.Replace(allowIf, "%s", "{\n%s\n}", 1), strings.ReplaceAll(rule, "; ", "\n"))
		w.image = &gwpb.ResolveSourceImageResponse{Digest: chain.Root, AttestationChain: chain}
		below := imageFacts(t, ocispec.ImageConfig{Labels: map[string]string{"team": "a"}})
		below.AttestationChain = chain // it was built of itself, as it says
		engine := &lab{images: map[string]*gwpb.ResolveSourceImageResponse{base: below}}
		w.engine = engine
		s, err := w.load(t, "p.rego")
		if err != nil {
			t.Fatal(err)
		}
		d, err := w.ask(t, s, busybox)
		t.Log(rule)
		check(t, d, err, want.want)
		if !slices.Equal(engine.asked, want.asked) {
			t.Errorf("asked %v", engine.asked)
		}
	}
}

func gitSum(kind, text string) string {
	return fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", kind, len(text), text)))
}
