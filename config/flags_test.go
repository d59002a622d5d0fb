package config

import (
	"fmt"
	"testing"
)

func TestParseFlags(t *testing.T) {
	for in, want := range map[string]string{
		"": "fail-fast 0", "4": "fail-fast 4", "defer-error": "defer-error 0", " defer-output, PARALLEL = 2": "defer-output 2",
		"mode=fail-fast,parallel=0": "fail-fast 0", "-1": "error", "x": "error", "parallel=x": "error", "2,3": "error",
		"parallel=1,parallel=2": "error", "nope=1": "error", `"`: "error",
	} {
		jobs, err := ParseJobs(in)
		check(t, "jobs "+in, fmt.Sprint(jobs.Mode, " ", jobs.Parallel), err, want)
	}
	for in, want := range map[string]string{
		"": " false", "build": " false", "check": "lint false", "outline,format=json": "outlinejson false", "targets,ignorestatus=1": "targets true",
		"a,b": "error", "x,nope=1": "error", "x,ignorestatus=q": "error",
	} {
		c, err := ParseCall(in)
		check(t, "call "+in, fmt.Sprint(c.Method+c.Format, " ", c.IgnoreStatus), err, want)
	}
	for in, want := range map[string]string{
		"targets": "targets table", "type=variables,format=json": "variables json", "format=json": "error", "x": "error",
		"type=targets,format=x": "error", "targets,format=json": "error", "": "error",
	} {
		typ, format, err := ParseList(in)
		check(t, "list "+in, typ+" "+format, err, want)
	}
	for in, want := range map[string]string{"A=1": "map[A:1]", "A=": "map[A:]", "A=b=c": "map[A:b=c]", "": "map[]", "A": "error", "=x": "error"} {
		vars, err := ParseVars([]string{in})
		check(t, "var "+in, fmt.Sprint(vars), err, want)
	}
}

func check(t *testing.T, what, got string, err error, want string) {
	t.Helper()
	if err != nil {
		got = "error"
	}
	if got != want {
		t.Errorf("%s: got %q, want %q (%v)", what, got, want, err)
	}
}

func TestList(t *testing.T) {
	c, err := loadText(`
group "all" {
  description = "both"
  targets     = ["b", "a"]
}
target "a" { description = "first" }
target "b" {}
target "_hidden" {}
target "m" {
  name   = "m-${x}"
  matrix = { x = ["1"] }
}
variable "L" {
  type        = list(string)
  default     = ["x"]
  description = "a list"
}
variable "N" { default = 1.50 }
variable "Z" { default = null }
`)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, l := range c.List() {
		got += fmt.Sprintf("%s %q %t %v; ", l.Name, l.Description, l.Group, l.Members)
	}
	if want := `a "first" false []; all "both" true [a b]; b "" false []; m "" true [m-1]; m-1 "" false []; `; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got = ""
	for _, v := range c.Variables() {
		value := "null"
		if v.Value != nil {
			value = *v.Value
		}
		got += fmt.Sprintf("%s %q %q %s; ", v.Name, v.Type, v.Description, value)
	}
	if want := `L "list of string" "a list" ["x"]; N "" "" 1.5; Z "" "" null; `; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
