package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tonistiigi/go-csvvalue"
)

// This file reads the values of bake's command-line flags that have a language
// of their own.

// Jobs is how targets are executed.
type Jobs struct {
	// Mode is fail-fast, defer-output or defer-error.
	Mode string
	// Parallel is how many targets run at once; 0 is all.
	Parallel int
}

// ParseJobs reads -j: "N" or "mode[,parallel=N]".
func ParseJobs(text string) (Jobs, error) {
	jobs := Jobs{Mode: "fail-fast"}
	text = strings.TrimSpace(text)
	if text == "" {
		return jobs, nil
	}
	if _, err := strconv.Atoi(text); err == nil {
		text = "parallel=" + text
	}
	list, err := csvvalue.Fields(text, nil)
	if err != nil {
		return jobs, fmt.Errorf("jobs %q: %w", text, err)
	}
	seen := map[string]bool{}
	for _, f := range list {
		key, value, ok := strings.Cut(strings.TrimSpace(f), "=")
		if !ok {
			key, value = "mode", key
		}
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		if seen[key] {
			return jobs, fmt.Errorf("jobs has %s twice", key)
		}
		seen[key] = true
		if err := jobs.set(key, value); err != nil {
			return jobs, err
		}
	}
	return jobs, nil
}

func (j *Jobs) set(key, value string) error {
	switch key {
	case "mode":
		switch value {
		case "fail-fast", "defer-output", "defer-error":
			j.Mode = value
			return nil
		}
		return fmt.Errorf("jobs mode %q is not fail-fast, defer-output or defer-error", value)
	case "parallel":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("jobs parallel %q is not a number of targets", value)
		}
		j.Parallel = n
		return nil
	}
	return fmt.Errorf("jobs has no option %q", key)
}

// A Call is what to do with targets instead of building them.
type Call struct {
	Method       string // lint, outline, targets or another; "" is build
	Format       string // "" or json
	IgnoreStatus bool   // problems found do not make the command fail
}

// ParseCall reads --call: METHOD[,format=json][,ignorestatus=BOOL].
func ParseCall(text string) (Call, error) {
	var c Call
	if text == "" {
		return c, nil
	}
	list, err := csvvalue.Fields(text, nil)
	if err != nil {
		return c, fmt.Errorf("call %q: %w", text, err)
	}
	for _, f := range list {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case !ok && c.Method != "":
			return c, fmt.Errorf("call %q names two methods", text)
		case !ok:
			c.Method = f
		case key == "format":
			c.Format = value
		case key == "ignorestatus":
			if c.IgnoreStatus, err = strconv.ParseBool(value); err != nil {
				return c, fmt.Errorf("call: ignorestatus is %q, not true or false", value)
			}
		default:
			return c, fmt.Errorf("call has no option %q", key)
		}
	}
	c.Method = callName(c.Method)
	return c, nil
}

// ParseList reads --list: targets, variables, or type=...,format=table|json.
func ParseList(text string) (typ, format string, err error) {
	format = "table"
	list, err := csvvalue.Fields(text, nil)
	if err != nil {
		return "", "", fmt.Errorf("list %q: %w", text, err)
	}
	for _, f := range list {
		key, value, ok := strings.Cut(f, "=")
		switch key = strings.TrimSpace(strings.ToLower(key)); {
		case !ok && len(list) == 1:
			typ = f
		case key == "type" && ok:
			typ = value
		case key == "format" && ok:
			format = value
		default:
			return "", "", fmt.Errorf("list has no option %q", f)
		}
	}
	if typ != "targets" && typ != "variables" {
		return "", "", fmt.Errorf("list type %q is not targets or variables", typ)
	}
	if format != "table" && format != "json" {
		return "", "", fmt.Errorf("list format %q is not table or json", format)
	}
	return typ, format, nil
}

// ParseVars reads --var: NAME=VALUE.
func ParseVars(list []string) (map[string]string, error) {
	out := make(map[string]string, len(list))
	for _, text := range list {
		if text == "" {
			continue
		}
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("variable %q is not NAME=VALUE", text)
		}
		out[name] = value
	}
	return out, nil
}
