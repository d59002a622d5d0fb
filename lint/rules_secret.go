package lint

import (
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/internal/lazyregexp"
)

// secretName is BuildKit's idea of a name that tells of a secret, and ours;
// notSecret are words that make it harmless.
var (
	secretName = lazyregexp.New(`(?i)(_|^)(api_?key|access_?key|auth|credentials?|key|passwd|password|passphrase|pword|secret|token)(_|$)`)
	notSecret  = lazyregexp.New(`(?i)(_|^)(public|file|path|dir|version|sock|url|uri|id|name|size|length|type|header|ttl|expiry|gpg)(_|$)`)
)

// tellsSecret reports whether a variable of this name may hold a secret.
func tellsSecret(name string) bool {
	return secretName.MatchString(name) && !notSecret.MatchString(name)
}

// keys are texts that are keys wherever they stand.
var keys = []struct {
	what string
	re   *lazyregexp.Regexp
}{
	{"an access key of AWS", lazyregexp.New(`\b(AKIA|ASIA)[A-Z0-9]{16}\b`)},
	{"a private key", privateKey},
	{"a token of GitHub", lazyregexp.New(`\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\b`)},
	{"a token of GitLab", lazyregexp.New(`\bglpat-[A-Za-z0-9_-]{20,}`)},
	{"a token of Docker Hub", lazyregexp.New(`\bdckr_pat_[A-Za-z0-9_-]{20,}`)},
	{"a token of npm", lazyregexp.New(`\bnpm_[A-Za-z0-9]{36}\b`)},
	{"a token of Slack", lazyregexp.New(`\bxox[abprs]-[A-Za-z0-9-]{10,}`)},
	{"a key of Google", lazyregexp.New(`\bAIza[A-Za-z0-9_-]{35}\b`)},
	{"a key of Stripe", lazyregexp.New(`\b[sr]k_live_[A-Za-z0-9]{20,}\b`)},
	{"a password in a URL", lazyregexp.New(`\b[a-z][a-z0-9+.-]*://[^/\s:@$"']+:[^/\s@$"'{}]+@`)},
}

// keyIn finds a key in text.
func keyIn(text string) (what, key string) {
	for _, k := range keys {
		if m := k.re.FindString(text); m != "" {
			return k.what, m
		}
	}
	return "", ""
}

// secretInBuild looks at names: ARG and ENV of the Dockerfile, then arguments
// that the Dockerfile does not declare.
func secretInBuild(s *scope, r *reporter) {
	said := map[string]bool{}
	if s.file != nil {
		for i := range s.file.meta {
			s.secretArgs(r, &s.file.meta[i], said)
		}
	}
	each(s, func(_ *stage, c *instructions.ArgCommand) { s.secretArgs(r, c, said) })
	each(s, func(_ *stage, c *instructions.EnvCommand) {
		for _, kv := range c.Env {
			if tellsSecret(kv.Key) && kv.Value != "" {
				r.at(s.file.at(c.Location(), kv.Key), "The variable %s is in the config of the image, for everybody who has it.", kv.Key)
			}
		}
	})
	for _, name := range slices.Sorted(maps.Keys(s.target.Args)) {
		if tellsSecret(name) && !said[name] {
			r.at(spot{rng: s.target.Place("args." + name)}, "The argument %s is in the history of the image, for everybody who has it.", name)
		}
	}
}

func (s *scope) secretArgs(r *reporter, c *instructions.ArgCommand, said map[string]bool) {
	for _, arg := range c.Args {
		if tellsSecret(arg.Key) {
			said[arg.Key] = true
			r.at(s.file.at(c.Location(), arg.Key), "The argument %s is in the history of the image, for everybody who has it.", arg.Key)
		}
	}
}

func secretInLabel(s *scope, r *reporter) {
	each(s, func(_ *stage, c *instructions.LabelCommand) {
		for _, kv := range c.Labels {
			if labelTells(kv.Key) {
				r.at(s.file.at(c.Location(), kv.Key), "The label %s is published with the image.", kv.Key)
			}
		}
	})
	for _, name := range slices.Sorted(maps.Keys(s.target.Labels)) {
		if labelTells(name) {
			r.at(spot{rng: s.target.Place("labels." + name)}, "The label %s is published with the image.", name)
		}
	}
}

// labelTells reports whether the last part of a label's name tells of a secret.
func labelTells(name string) bool {
	name = strings.Trim(name, `"'`)
	name = name[strings.LastIndexByte(name, '.')+1:]
	return tellsSecret(strings.ReplaceAll(name, "-", "_"))
}

// keyInFile looks at values, wherever they stand.
func keyInFile(s *scope, r *reporter) {
	found := func(at func(word string) spot, text string) {
		what, key := keyIn(text)
		if key == "" {
			return
		}
		p := at(key)
		f := r.at(p, "It holds %s (%s...), for everybody who has the image or this file.", what, key[:min(4, len(key))])
		f.secret = key
	}
	for _, st := range s.stages {
		for _, c := range st.Commands {
			for _, text := range texts(c) {
				found(func(word string) spot { return s.file.at(c.Location(), word) }, text)
			}
		}
	}
	s.keysInTarget(found)
}

// texts are the parts of an instruction that end up in the image or its history.
func texts(c instructions.Command) []string {
	var out []string
	switch c := c.(type) {
	case *instructions.ArgCommand:
		for _, a := range c.Args {
			if a.Value != nil {
				out = append(out, *a.Value)
			}
		}
	case *instructions.EnvCommand:
		for _, kv := range c.Env {
			out = append(out, kv.Value)
		}
	case *instructions.LabelCommand:
		for _, kv := range c.Labels {
			out = append(out, kv.Value)
		}
	case *instructions.RunCommand:
		out = append(out, script(c))
	case *instructions.CopyCommand:
		for _, f := range c.SourceContents {
			out = append(out, f.Data)
		}
	case *instructions.AddCommand:
		for _, f := range c.SourceContents {
			out = append(out, f.Data)
		}
		out = append(out, c.SourcePaths...)
	}
	return out
}

func (s *scope) keysInTarget(found func(at func(string) spot, text string)) {
	t := s.target
	for attr, m := range map[string]map[string]string{"args": t.Args, "labels": t.Labels} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			found(func(string) spot { return spot{rng: t.Place(attr + "." + k)} }, m[k])
		}
	}
	for _, a := range t.Annotations {
		found(func(string) spot { return spot{rng: t.Place("annotations")} }, a)
	}
	for attr, refs := range map[string][]config.CacheRef{"cache-from": t.CacheFrom, "cache-to": t.CacheTo} {
		for _, c := range refs {
			for _, k := range slices.Sorted(maps.Keys(c.Attrs)) {
				found(func(string) spot { return spot{rng: t.Place(attr)} }, c.Attrs[k])
			}
		}
	}
}
