package config

import (
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// This file makes paths that are relative to one directory relative to another.
// Both are relative to the directory of the command.

// moved is s as a file in the directory to would write it, if a file in from has
// written s.
func (s *spec) moved(from, to string) *spec {
	if from == to {
		return s
	}
	move := func(p string) string { return moved(p, from, to) }
	out := *s
	if s.context != nil {
		context := movedContext(*s.context, move)
		out.context = &context
	}
	out.contexts = maps.Clone(s.contexts)
	for k, v := range s.contexts {
		out.contexts[k] = movedContext(v, move)
	}
	out.outputs = slices.Clone(s.outputs)
	for i, o := range s.outputs {
		out.outputs[i].Dest = move(o.Dest)
	}
	out.secrets = slices.Clone(s.secrets)
	for i, x := range s.secrets {
		out.secrets[i].Source = move(x.Source)
		out.secrets[i].dir = path.Join(move("."), x.dir)
	}
	out.ssh = slices.Clone(s.ssh)
	for i, x := range s.ssh {
		out.ssh[i].Paths = movedList(x.Paths, move)
	}
	out.cacheFrom = movedCaches(s.cacheFrom, "src", move)
	out.cacheTo = movedCaches(s.cacheTo, "dest", move)
	return &out
}

// moved is a path that is relative to from, relative to to.
func moved(p, from, to string) string {
	if from == to || p == "" || p == "-" || path.IsAbs(p) || strings.HasPrefix(p, "cwd://") {
		return p
	}
	out := path.Join(from, p)
	if to == "" {
		return out
	}
	rel, err := filepath.Rel(to, out)
	if err != nil {
		return out
	}
	return filepath.ToSlash(rel)
}

// movedContext moves what is a directory and leaves other contexts alone.
func movedContext(c string, move func(string) string) string {
	if layout, ok := strings.CutPrefix(c, "oci-layout://"); ok {
		return "oci-layout://" + move(layout)
	}
	for _, scheme := range []string{"target:", "docker-image:"} {
		if strings.HasPrefix(c, scheme) {
			return c
		}
	}
	if isRemote(c) {
		return c
	}
	out := move(c)
	if isRemote(out) {
		out = "./" + out // a directory that is called like a host
	}
	return out
}

func movedList(list []string, move func(string) string) []string {
	out := slices.Clone(list)
	for i, p := range out {
		out[i] = move(p)
	}
	return out
}

func movedCaches(list []CacheRef, key string, move func(string) string) []CacheRef {
	out := slices.Clone(list)
	for i, c := range out {
		if c.Type != "local" || c.Attrs[key] == "" {
			continue
		}
		out[i].Attrs = maps.Clone(c.Attrs)
		out[i].Attrs[key] = move(c.Attrs[key])
	}
	return out
}
