// Package cache says what a target imports from and exports to BuildKit's layer
// caches. It checks and translates; it decides nothing about what to build.
package cache

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
)

// needed names, per cache type, the attribute without which it means nothing.
// The types are those of BuildKit 0.34 (https://docs.docker.com/build/cache/backends/).
var needed = map[string]struct{ from, to string }{
	"registry": {"ref", "ref"},
	"local":    {"src", "dest"},
	"inline":   {"", ""},
	"gha":      {"", ""},
	"s3":       {"bucket", "bucket"},
	"azblob":   {"account_url", "account_url"},
}

// Imports are the caches t reads, in order.
func Imports(t *config.Target) ([]client.CacheOptionsEntry, error) {
	return entries(t, "cache-from", t.CacheFrom, func(n string) string { return needed[n].from })
}

// Exports are the caches t writes.
func Exports(t *config.Target) ([]client.CacheOptionsEntry, error) {
	return entries(t, "cache-to", t.CacheTo, func(n string) string { return needed[n].to })
}

func entries(t *config.Target, attr string, refs []config.CacheRef, must func(string) string) ([]client.CacheOptionsEntry, error) {
	var out []client.CacheOptionsEntry
	var errs []error
	for _, r := range refs {
		if _, ok := needed[r.Type]; !ok {
			errs = append(errs, fmt.Errorf("cache type %q is not known; use one of %s", r.Type, strings.Join(slices.Sorted(maps.Keys(needed)), ", ")))
			continue
		}
		if key := must(r.Type); key != "" && r.Attrs[key] == "" {
			errs = append(errs, fmt.Errorf("a cache of type %s needs %s=", r.Type, key))
			continue
		}
		out = append(out, client.CacheOptionsEntry{Type: r.Type, Attrs: maps.Clone(r.Attrs)})
	}
	if len(errs) > 0 {
		return nil, &graph.TargetError{ID: graph.ID(t.Name), Attr: attr, Err: errors.Join(errs...)}
	}
	return out, nil
}

// A Clash is a cache reference that several targets of a run write: the last
// one wins and the others' layers are lost (docker/buildx#3819).
type Clash struct {
	Ref     string
	Targets []string
}

// Clashes finds them among targets.
func Clashes(targets []*config.Target) []Clash {
	writers := map[string][]string{}
	var order []string
	for _, t := range targets {
		for _, r := range t.CacheTo {
			if r.Type == "inline" {
				continue
			}
			key := r.Type + " " + where(r)
			if writers[key] == nil {
				order = append(order, key)
			}
			if !slices.Contains(writers[key], t.Name) {
				writers[key] = append(writers[key], t.Name)
			}
		}
	}
	var out []Clash
	for _, key := range order {
		if len(writers[key]) > 1 {
			out = append(out, Clash{key, writers[key]})
		}
	}
	return out
}

// where is the place that a cache reference writes to.
func where(r config.CacheRef) string {
	switch r.Type {
	case "registry":
		return r.Attrs["ref"]
	case "local":
		return r.Attrs["dest"]
	case "gha":
		return r.Attrs["scope"]
	}
	return r.Attrs["bucket"] + r.Attrs["account_url"] + "/" + r.Attrs["name"]
}
