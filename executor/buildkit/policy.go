package buildkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"google.golang.org/protobuf/proto"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/lower"
)

// SourcePolicy reads the policy that every solve is bound to, nil if there is
// none: the file that EXPERIMENTAL_BUILDKIT_SOURCE_POLICY names, in JSON or as a
// protocol buffer, and with BUILDX_DEFAULT_POLICY=1 what buildx has built in. Of
// that, signatures can not be checked here, so that an image which needs one is
// denied unless it is named by digest.
func SourcePolicy(lookup func(string) (string, bool)) (*spb.Policy, error) {
	var out *spb.Policy
	if name, _ := lookup("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"); name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading the source policy: %w", err)
		}
		out = &spb.Policy{}
		if err := json.Unmarshal(data, out); err != nil && proto.Unmarshal(data, out) != nil {
			return nil, fmt.Errorf("reading the source policy %s: %w", name, err)
		}
	}
	text, _ := lookup("BUILDX_DEFAULT_POLICY")
	if on, err := strconv.ParseBool(text); err != nil || !on {
		return out, nil
	}
	if out == nil {
		out = &spb.Policy{Version: 1}
	}
	out.Rules = append(out.Rules, signedImages()...)
	return out, nil
}

// signedImages denies the tags of which buildx's default policy wants signatures:
// those that move, and those of versions since images are signed.
func signedImages() []*spb.Rule {
	const (
		frontend = `(latest|labs|master|([2-9]|1\d+)(\.\d+)*(-labs)?|1(-labs)?|1\.(2[1-9]|[3-9]\d|\d{3,})(\.\d+)?(-labs)?)`
		scanner  = `(latest|([2-9]|1\d+)(\.\d+)*|1|1\.\d{2,}(\.\d+)?)`
	)
	var out []*spb.Rule
	for image, tags := range map[string]string{
		"docker/dockerfile": frontend, "docker/dockerfile-upstream": frontend, "docker/buildkit-syft-scanner": scanner,
	} {
		out = append(out, &spb.Rule{
			Action: spb.PolicyAction_DENY,
			Selector: &spb.Selector{
				Identifier: `^docker-image://docker\.io/` + image + `:` + tags + `$`, MatchType: spb.MatchType_REGEX,
			},
		})
	}
	slices.SortFunc(out, func(a, b *spb.Rule) int {
		return len(a.Selector.Identifier) - len(b.Selector.Identifier)
	})
	return out
}

// UnderPolicy is why targets are left to the engine, "" if they are not: a policy
// may change what a name stands for, and only the engine knows to what.
func UnderPolicy(policy *spb.Policy) string {
	if policy == nil {
		return ""
	}
	return "a source policy is in force"
}

// checkPolicy refuses targets with policies that are programs, which nothing here
// can run: to build them without would be less than what was asked for.
func checkPolicy(t *config.Target) error {
	for _, p := range t.Policy {
		if p.Disabled && (len(t.Policy) > 1 || len(p.Files) > 0 || p.Reset) {
			return &graph.TargetError{ID: graph.ID(t.Name), Attr: "policy", Err: errors.New("disabled policy cannot be combined with other policy flags")}
		}
		if p.Disabled {
			return nil
		}
	}
	for _, p := range t.Policy {
		if len(p.Files) > 0 {
			return &graph.TargetError{ID: graph.ID(t.Name), Attr: "policy", Err: errRego(p.Files[0])}
		}
	}
	return nil
}

// checkImplied refuses a Dockerfile that has a policy beside it.
func checkImplied(t *config.Target, r *lower.Result) error {
	if slices.ContainsFunc(t.Policy, func(p config.Policy) bool { return p.Disabled || p.Reset }) {
		return nil
	}
	dir, name := r.Request.Locals["dockerfile"], r.Request.Attrs["filename"]
	if dir == "" || t.DockerfileInline != nil || t.Steps != nil {
		return nil
	}
	if name == "" {
		name = "Dockerfile"
	}
	name += ".rego"
	if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return &graph.TargetError{ID: graph.ID(t.Name), Attr: "dockerfile", Err: errRego(name)}
}

func errRego(file string) error {
	return fmt.Errorf("the source policy %s is a program in Rego, which strata does not run. "+
		`Give its rules in the file that EXPERIMENTAL_BUILDKIT_SOURCE_POLICY names, and switch it off by policy = ["disabled=true"] or --policy disabled=true`, file)
}
