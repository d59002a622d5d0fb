package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/plan"
)

// scheduleOptions are the flags about what runs at once, besides --jobs.
type scheduleOptions struct {
	cpus   float64
	memory string
}

func (o *scheduleOptions) flags(f *pflag.FlagSet) {
	f.Float64Var(&o.cpus, "cpus", 0, "`cores` that the resources of targets are counted against; 0 is those of this machine")
	f.StringVar(&o.memory, "memory", "", "memory that the resources of targets are counted against, such as 16g; empty is that of this machine `size`")
}

// check refuses what is no size.
func (o *scheduleOptions) check() error {
	if o.cpus < 0 {
		return usageError("--cpus %v: give a number of cores, or 0 for those of this machine", o.cpus)
	}
	_, err := o.bytes()
	return err
}

func (o *scheduleOptions) bytes() (int64, error) {
	if o.memory == "" {
		return machineMemory(), nil
	}
	n, err := units.RAMInBytes(o.memory)
	if err != nil || n <= 0 {
		return 0, usageError("--memory %q is not a size such as 512m or 16g", o.memory)
	}
	return n, nil
}

// apply fills in what the scheduler has to know of targets and machine.
// What is not solved takes no time and none of the machine.
func (o *scheduleOptions) apply(to *executor.Options, cfg *config.Config, targets []*config.Target, decided map[string]*plan.Target) {
	to.CPUs = o.cpus
	if to.CPUs == 0 {
		to.CPUs = float64(runtime.GOMAXPROCS(0))
	}
	to.Memory, _ = o.bytes() // checked before
	to.Pools = cfg.Pools
	demands := make(map[graph.ID]executor.Demand, len(targets))
	for _, t := range targets {
		if decided[t.Name].Action != plan.Solve {
			continue
		}
		demands[graph.ID(t.Name)] = executor.Demand{CPUs: t.Demand.CPUs, Memory: t.Demand.Memory, Pool: t.Pool}
	}
	to.Demand = func(id graph.ID) executor.Demand { return demands[id] }
	to.Estimate = func(id graph.ID) time.Duration {
		if t := decided[string(id)]; t.Action == plan.Solve {
			return t.Estimate
		}
		return time.Nanosecond // 0 is unknown
	}
}

// machineMemory is how many bytes of memory this machine lets the command have:
// its own, or less if a control group limits it; 0 if that is not known.
func machineMemory() int64 {
	var total int64
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		total = memTotal(data)
	}
	if data, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		limit, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64) // else "max"
		if err == nil && limit > 0 && (total == 0 || limit < total) {
			return limit
		}
	}
	return total
}

// memTotal reads proc_meminfo(5).
func memTotal(data []byte) int64 {
	for line := range bytes.Lines(data) {
		var kib int64
		if n, _ := fmt.Sscanf(string(line), "MemTotal: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
