package policy

import (
	"bytes"
	"crypto"
	"fmt"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/gitutil/gitsign"
	"github.com/moby/buildkit/util/pgpsign"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	digest "github.com/opencontainers/go-digest"
)

// verifyGit checks a commit or tag with a public key, of OpenPGP or ssh.
func (e *evaluation) verifyGit(bctx rego.BuiltinContext, args []*ast.Term) (any, error) {
	git := e.src.full.Git
	if git == nil {
		return false, nil
	}
	if git.Commit == nil {
		e.want = append(e.want, "git.commit")
		return nil, errUnknown
	}
	object := e.src.commit
	if same(args[0], git.Commit, "git.commit") != nil {
		if git.Tag == nil || same(args[0], git.Tag, "git.tag") != nil {
			return nil, fmt.Errorf("its first argument is neither input.git.commit nor input.git.tag")
		}
		object = e.src.tag
	}
	key, err := e.file(bctx.Context, args[1])
	if err != nil {
		return nil, err
	}
	if err := gitsign.VerifySignature(object, key, nil); err != nil {
		return nil, err
	}
	return true, nil
}

// sums are the checksums that the engine makes of a file and the end of a signature.
var sums = map[crypto.Hash]gwpb.ChecksumRequest_ChecksumAlgo{
	crypto.SHA256: gwpb.ChecksumRequest_CHECKSUM_ALGO_SHA256,
	crypto.SHA384: gwpb.ChecksumRequest_CHECKSUM_ALGO_SHA384,
	crypto.SHA512: gwpb.ChecksumRequest_CHECKSUM_ALGO_SHA512,
}

// verifyHTTP checks a file, which the engine has, with a detached signature and the
// public keys that are here.
func (e *evaluation) verifyHTTP(bctx rego.BuiltinContext, args []*ast.Term) (any, error) {
	file := e.src.full.HTTP
	if file == nil {
		return false, nil
	}
	if err := same(args[0], file, "http"); err != nil {
		return nil, err
	}
	data, err := e.file(bctx.Context, args[1])
	if err != nil {
		return nil, err
	}
	keys, err := e.file(bctx.Context, args[2])
	if err != nil {
		return nil, err
	}
	sig, _, err := pgpsign.ParseArmoredDetachedSignature(data)
	if err != nil {
		return nil, err
	}
	ring, err := pgpsign.ReadAllArmoredKeyRings(keys)
	if err != nil {
		return nil, err
	}
	algo, ok := sums[sig.Hash]
	if !ok {
		return nil, fmt.Errorf("the signature is over a hash of kind %v; SHA-256, SHA-384 and SHA-512 can be checked", sig.Hash)
	}
	sum := e.src.sum
	d, err := digest.Parse(sum.GetDigest())
	if err != nil || !bytes.Equal(sum.Suffix, sig.HashSuffix) || sumName[algo] != d.Algorithm() {
		e.sum = &gwpb.ChecksumRequest{Algo: algo, Suffix: bytes.Clone(sig.HashSuffix)}
		return nil, errUnknown
	}
	if err := pgpsign.VerifySignatureWithDigest(sig, ring, d); err != nil {
		e.say("%v", err)
		return false, nil
	}
	return true, nil
}

var sumName = map[gwpb.ChecksumRequest_ChecksumAlgo]digest.Algorithm{
	gwpb.ChecksumRequest_CHECKSUM_ALGO_SHA256: digest.SHA256,
	gwpb.ChecksumRequest_CHECKSUM_ALGO_SHA384: digest.SHA384,
	gwpb.ChecksumRequest_CHECKSUM_ALGO_SHA512: digest.SHA512,
}
