package config

import (
	"fmt"
	"reflect"
	"testing"
)

func TestDemandAndPools(t *testing.T) {
	c, err := loadText(`
variable "N" { default = 2 }
pool "heavy" { size = N }
pool "net" { size = 1 + length(target.app.tags) }
template "service" {
  params = { cores = number }
  resources {
    cpu    = param.cores
    memory = "512m"
  }
}
target "app" {
  template  = "service"
  with      = { cores = 1.5 }
  tags      = ["a", "b"]
  resources = { memory = "64m" }
}
target "own" {
  inherits = ["app"]
  pool     = "heavy"
  resources {
    cpu = 3
  }
}
target "clear" {
  inherits = ["own"]
  clear    = ["pool", "resources"]
}
target "m" {
  name   = "m${n}"
  matrix = { n = [1, 2] }
  resources {
    cpu = n
  }
}
group "default" { targets = ["app", "own", "clear", "m"] }
`)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"heavy": 2, "net": 3}; !reflect.DeepEqual(c.Pools, want) {
		t.Errorf("pools %v, want %v", c.Pools, want)
	}
	sel, err := c.Resolve(Request{})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, x := range sel.Targets {
		got += fmt.Sprintf("%s %v %d %q %q\n", x.Name, x.Demand.CPUs, x.Demand.Memory>>20, x.Pool, x.Resources.Memory)
	}
	want := `app 1.5 512 "" "64m"
own 3 512 "heavy" "64m"
clear 0 0 "" ""
m1 1 0 "" ""
m2 2 0 "" ""
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestPoolsAndCacheInJSON(t *testing.T) {
	c, err := load(t, map[string]string{
		"build.hcl": `locals { limit = { memory = "64m" } }`,
		"more.json": `{
  "pool": { "heavy": { "size": "${1 + 1}" } },
  "cache": { "repository": "r.example/shop", "scopes": ["x"] },
  "target": {
    "default": { "pool": "heavy", "resources": { "memory": "64m" } },
    "other":   { "resources": "${local.limit}" }
  }
}`}, LoadOptions{Files: []string{"build.hcl", "more.json"}, Mode: ModeStrata})
	if err != nil {
		t.Fatal(err)
	}
	if c.Pools["heavy"] != 2 || plainCache(c.Cache) != `r.example/shop [{x }] write=false max "" "" []` {
		t.Errorf("pools %v, cache %s", c.Pools, plainCache(c.Cache))
	}
	sel, err := c.Resolve(Request{Targets: []string{"default", "other"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range sel.Targets {
		if x.Resources.Memory != "64m" || x.Demand != (Demand{}) {
			t.Errorf("%s: resources %v, demand %v", x.Name, x.Resources, x.Demand)
		}
	}
}

// In bake's language a pool is nothing, and resources is the attribute.
func TestPoolsAreNotBakes(t *testing.T) {
	c, err := load(t, map[string]string{"docker-bake.hcl": `
pool "heavy" { size = 2 }
cache { repository = "x/y" }
target "default" {
  pool      = "heavy"
  resources = { memory = "64m" }
}
`}, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := c.Resolve(Request{})
	if err != nil {
		t.Fatal(err)
	}
	if x := sel.Targets[0]; x.Pool != "" || x.Demand != (Demand{}) || x.Resources.Memory != "64m" {
		t.Errorf("pool %q, demand %v, resources %v", x.Pool, x.Demand, x.Resources)
	}
	if len(c.Pools) != 0 || c.Cache != nil || len(c.Warnings) != 3 {
		t.Errorf("pools %v, cache %v, warnings %v", c.Pools, c.Cache, c.Warnings)
	}
}
