package config

import (
	"os"
	"strconv"
	"strings"
)

// This file reads the environment variables that steer how files are read.

// lookup answers for an environment variable.
func (o LoadOptions) lookup(name string) (string, bool) {
	if o.LookupEnv != nil {
		return o.LookupEnv(name)
	}
	for _, kv := range o.Environ {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v, true
		}
	}
	return "", false
}

// withEnviron makes LookupEnv answer from Environ.
func (o LoadOptions) withEnviron() LoadOptions {
	if o.LookupEnv != nil {
		return o
	}
	env := make(map[string]string, len(o.Environ))
	for _, kv := range o.Environ {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	o.LookupEnv = func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
	return o
}

// envForVariables is where variables are looked for; nil if that is switched off.
func (o LoadOptions) envForVariables() func(string) (string, bool) {
	text, _ := o.lookup("BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP")
	if off, err := strconv.ParseBool(text); err == nil && off {
		return nil
	}
	return o.lookup
}

// filesFromEnv are the files that BUILDX_BAKE_FILE names instead of the default
// ones; none if it is not set.
func (o LoadOptions) filesFromEnv() []string { return FilesFromEnv(o.lookup) }

// FilesFromEnv are the files that BUILDX_BAKE_FILE names, in order; none if it is
// not set. They stand for the default names, also of a remote definition.
func FilesFromEnv(lookup func(string) (string, bool)) []string {
	text, ok := lookup("BUILDX_BAKE_FILE")
	if !ok {
		return nil
	}
	sep, _ := lookup("BUILDX_BAKE_PATH_SEPARATOR")
	if sep == "" {
		sep = string(os.PathListSeparator)
	}
	var out []string
	for name := range strings.SplitSeq(text, sep) {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, name)
		}
	}
	return out
}
