package policy

import (
	"fmt"
	"path"
	"strings"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/gitutil"
	"github.com/moby/buildkit/util/gitutil/gitobject"
	"github.com/moby/buildkit/util/gitutil/gitsign"
	"golang.org/x/crypto/ssh"
)

func (s *source) git(remote string, facts *gwpb.ResolveSourceGitResponse) error {
	u, err := parseGit(remote)
	if err != nil {
		return err
	}
	g := &GitInput{Schema: u.Scheme, Remote: u.Remote, Host: u.Host}
	s.input.Git = g
	ref := ""
	if u.Opts != nil {
		ref = u.Opts.Ref
		if dir := path.Clean(u.Opts.Subdir); dir != "/" && dir != "." {
			g.Subdir = u.Opts.Subdir
		}
	}
	if full, ok := s.op.Attrs[pb.AttrFullRemoteURL]; ok {
		if u, err = parseGit(full); err != nil {
			return err
		}
		g.Schema, g.Remote, g.Host, g.FullURL = u.Scheme, u.Remote, u.Host, schemed(full)
	}
	g.named(ref)
	if g.IsCommitRef = gitutil.IsCommitSHA(ref); g.IsCommitRef {
		g.Checksum, g.CommitChecksum = ref, ref
	}
	if facts == nil {
		s.unresolved(g, ref)
	} else if err := s.resolved(g, facts); err != nil {
		return err
	}
	g.IsSHA256 = len(g.Checksum) == 64
	return nil
}

// schemed is a remote as a URL; BuildKit leaves https out.
func schemed(remote string) string {
	if gitutil.IsGitTransport(remote) {
		return remote
	}
	return "https://" + remote
}

func parseGit(remote string) (*gitutil.GitURL, error) { return gitutil.ParseURL(schemed(remote)) }

// named tells tag and branch if ref says which it is.
func (g *GitInput) named(ref string) {
	if name, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		g.TagName = name
	}
	if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		g.Branch = name
	}
}

// unresolved is what a remote has to be asked for.
func (s *source) unresolved(g *GitInput, ref string) {
	if g.TagName != "" || g.Branch != "" || g.IsCommitRef {
		g.Ref = ref
	} else {
		s.miss("git.tagName", "git.branch", "git.ref")
	}
	if g.Checksum == "" {
		s.miss("git.checksum", "git.commitChecksum", "git.isAnnotatedTag", "git.isSHA256")
	}
	s.miss("git.tag", "git.commit")
}

// resolved is what the remote said. Objects are believed as far as their checksums
// go.
func (s *source) resolved(g *GitInput, facts *gwpb.ResolveSourceGitResponse) error {
	g.Ref = facts.Ref
	g.named(facts.Ref)
	g.Checksum, g.CommitChecksum = facts.Checksum, facts.CommitChecksum
	if g.CommitChecksum == "" {
		g.CommitChecksum = g.Checksum
	}
	g.IsAnnotatedTag = g.Checksum != g.CommitChecksum
	if len(facts.CommitObject) == 0 {
		s.miss("git.commit", "git.tag")
		return nil
	}
	var err error
	if s.commit, err = object(facts.CommitObject, g.CommitChecksum); err != nil {
		return err
	}
	c, err := s.commit.ToCommit()
	if err != nil {
		return err
	}
	g.Commit = &CommitInput{
		Tree: c.Tree, Parents: c.Parents, Author: ActorInput(c.Author), Committer: ActorInput(c.Committer), Message: c.Message,
	}
	g.Commit.PGPSignature, g.Commit.SSHSignature = signature(s.commit)
	if len(facts.TagObject) == 0 {
		return nil
	}
	if s.tag, err = object(facts.TagObject, g.Checksum); err != nil {
		return err
	}
	t, err := s.tag.ToTag()
	if err != nil {
		return err
	}
	g.Tag = &TagInput{Object: t.Object, Type: t.Type, Tag: t.Tag, Tagger: ActorInput(t.Tagger), Message: t.Message}
	g.Tag.PGPSignature, g.Tag.SSHSignature = signature(s.tag)
	return nil
}

func object(data []byte, sum string) (*gitobject.GitObject, error) {
	o, err := gitobject.Parse(data)
	if err != nil {
		return nil, err
	}
	return o, o.VerifyChecksum(sum)
}

// signature describes the signature of an object, which may be a lie.
func signature(o *gitobject.GitObject) (*PGPInput, *SSHInput) {
	if o.Signature == "" {
		return nil, nil
	}
	sig, err := gitsign.ParseSignature([]byte(o.Signature))
	if err != nil {
		return nil, nil // it verifies nothing either
	}
	var pgp *PGPInput
	if p := sig.PGPSignature; p != nil {
		pgp = &PGPInput{Version: p.Version}
		if p.IssuerKeyId != nil {
			pgp.KeyID = fmt.Sprintf("%016x", *p.IssuerKeyId)
		}
	}
	var key *SSHInput
	if p := sig.SSHSignature; p != nil {
		key = &SSHInput{Version: int(p.Version), PubKey: ssh.FingerprintSHA256(p.PublicKey)}
	}
	return pgp, key
}
