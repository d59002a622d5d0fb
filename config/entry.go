package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tonistiigi/go-csvvalue"
)

// This file reads the comma-separated form of outputs, caches, secrets, ssh
// agents, attestations and policies: "type=local,dest=out".

// A field is one key=value of such an entry, the key in lower case.
type field struct{ key, value string }

func fields(text string) ([]field, error) {
	raw, err := csvvalue.Fields(text, nil)
	if err != nil {
		return nil, err
	}
	out := make([]field, 0, len(raw))
	for _, f := range raw {
		k, v, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not key=value", f)
		}
		out = append(out, field{strings.ToLower(k), v})
	}
	return out, nil
}

// parseOutput reads one output; a text that is not key=value is a directory, and
// "-" is a tar stream to standard output.
func parseOutput(text string) (Output, error) {
	out := Output{Attrs: map[string]string{}}
	raw, err := csvvalue.Fields(text, nil)
	if err != nil {
		return out, err
	}
	if len(raw) == 1 && raw[0] == text && !strings.HasPrefix(text, "type=") {
		out.Type, out.Dest = "local", text
		if text == "-" {
			out.Type = "tar"
		}
		return out, nil
	}
	list, err := fields(text)
	if err != nil {
		return out, err
	}
	for _, f := range list {
		switch key := strings.TrimSpace(f.key); key {
		case "type":
			out.Type = f.value
		case "dest":
			out.Dest = f.value
		default:
			out.Attrs[key] = f.value
		}
	}
	return out, out.check()
}

func (o Output) check() error {
	if o.Type == "" {
		return errors.New("an output needs a type")
	}
	return nil
}

// parseCache reads cache-from and cache-to entries; a text without "=" is a list
// of registry references.
func parseCache(text string) ([]CacheRef, error) {
	if text == "" {
		return nil, nil
	}
	if !strings.Contains(text, "=") {
		refs, err := csvvalue.Fields(text, nil)
		if err != nil {
			return nil, err
		}
		out := make([]CacheRef, 0, len(refs))
		for _, ref := range refs {
			out = append(out, CacheRef{Type: "registry", Attrs: map[string]string{"ref": ref}})
		}
		return out, nil
	}
	list, err := fields(text)
	if err != nil {
		return nil, err
	}
	ref := CacheRef{Attrs: map[string]string{}}
	for _, f := range list {
		if f.key == "type" {
			ref.Type = f.value
		} else {
			ref.Attrs[f.key] = f.value
		}
	}
	return []CacheRef{ref}, ref.check()
}

func (c CacheRef) check() error {
	if c.Type == "" {
		return errors.New("a cache needs a type")
	}
	return nil
}

func parseSecret(text string) (Secret, error) {
	var s Secret
	var kind string
	list, err := fields(text)
	if err != nil {
		return s, err
	}
	for _, f := range list {
		switch f.key {
		case "type":
			if f.value != "file" && f.value != "env" {
				return s, fmt.Errorf("secret type %q is not file or env", f.value)
			}
			kind = f.value
		case "id":
			s.ID = f.value
		case "source", "src":
			s.Source = f.value
		case "env":
			s.Env = f.value
		default:
			return s, fmt.Errorf("a secret has no key %q (it has type, id, src and env)", f.key)
		}
	}
	if kind == "env" && s.Env == "" {
		s.Env, s.Source = s.Source, ""
	}
	return s, nil
}

func parseSSH(text string) (SSH, error) {
	id, paths, ok := strings.Cut(text, "=")
	if !ok {
		return SSH{ID: id}, nil
	}
	return SSH{ID: id, Paths: strings.Split(paths, ",")}, nil
}

func parseAttest(text string) (Attest, error) {
	a := Attest{Attrs: map[string]string{}}
	raw, err := csvvalue.Fields(text, nil)
	if err != nil {
		return a, err
	}
	for _, f := range raw {
		k, v, ok := strings.Cut(f, "=")
		if !ok {
			return a, fmt.Errorf("%q is not key=value", f)
		}
		switch strings.TrimSpace(strings.ToLower(k)) {
		case "type":
			a.Type = v
		case "disabled":
			if a.Disabled, err = strconv.ParseBool(v); err != nil {
				return a, fmt.Errorf("disabled is %q, not true or false", v)
			}
		default:
			a.Attrs[k] = v
		}
	}
	if a.Type == "" {
		return a, errors.New("an attestation needs a type")
	}
	return a, nil
}

func parsePolicy(text string) (Policy, error) {
	list, err := fields(text)
	if err != nil {
		return Policy{}, err
	}
	return policyOf(list)
}

func policyOf(list []field) (Policy, error) {
	var p Policy
	for _, f := range list {
		if err := p.set(strings.TrimSpace(f.key), f.value); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *Policy) set(key, value string) error {
	switch key {
	case "filename":
		if value == "" {
			return errors.New("the policy's filename is empty")
		}
		p.Files = append(p.Files, value)
		return nil
	case "log-level":
		level, ok := logLevels[strings.ToLower(value)]
		if !ok {
			return fmt.Errorf("%q is not a log level", value)
		}
		p.LogLevel = level
		return nil
	case "reset", "disabled", "strict":
	default:
		return fmt.Errorf("a policy has no key %q (it has filename, reset, disabled, strict and log-level)", key)
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return fmt.Errorf("%s is %q, not true or false", key, value)
	}
	switch key {
	case "reset":
		p.Reset = on
	case "disabled":
		p.Disabled = on
	case "strict":
		p.Strict = &on
	}
	return nil
}

var logLevels = map[string]string{
	"panic": "panic", "fatal": "fatal", "error": "error", "warn": "warning",
	"warning": "warning", "info": "info", "debug": "debug", "trace": "trace",
}
