package main

import (
	"testing"
	"time"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/plan"
)

func TestSchedule(t *testing.T) {
	decided := map[string]*plan.Target{
		"app": {Name: "app", Action: plan.Solve, Estimate: 3 * time.Second},
		"web": {Name: "web", Action: plan.Solve},
		"old": {Name: "old", Action: plan.Reuse},
	}
	cfg := &config.Config{Dir: "/p", Pools: map[string]int{"heavy": 2}}
	targets := []*config.Target{{Name: "app", Pool: "heavy", Demand: config.Demand{CPUs: 1.5, Memory: 64}}, {Name: "web"}, {Name: "old", Pool: "heavy"}}
	var got executor.Options
	(&scheduleOptions{cpus: 3, memory: "2g"}).apply(&got, cfg, targets, decided)
	if got.CPUs != 3 || got.Memory != 2<<30 || got.Pools["heavy"] != 2 {
		t.Errorf("%v cores, %d bytes, pools %v", got.CPUs, got.Memory, got.Pools)
	}
	if d := got.Demand("app"); d != (executor.Demand{CPUs: 1.5, Memory: 64, Pool: "heavy"}) {
		t.Errorf("app demands %v", d)
	}
	if d := got.Demand("web"); d != (executor.Demand{}) {
		t.Errorf("web demands %v", d)
	}
	if d := got.Demand("old"); d != (executor.Demand{}) {
		t.Errorf("old is reused and demands %v", d)
	}
	if app, web := got.Estimate("app"), got.Estimate("web"); app != 3*time.Second || web != 0 {
		t.Errorf("app took %v and web %v", app, web)
	}
	(&scheduleOptions{}).apply(&got, cfg, targets, decided)
	if got.CPUs < 1 || got.Memory < 1<<20 {
		t.Errorf("the machine has %v cores and %d bytes", got.CPUs, got.Memory)
	}
	for _, bad := range []scheduleOptions{{cpus: -1}, {memory: "much"}, {memory: "0"}} {
		if err := bad.check(); statusOf(err) != exitUsage {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
