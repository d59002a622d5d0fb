package main

import (
	"strings"
	"testing"
	"time"

	"github.com/strata-build/strata/bench/internal/run"
)

func TestFile(t *testing.T) {
	text := file(12)
	if got := strings.Count(text, "\ntarget \"svc-"); got != 12 {
		t.Errorf("there are %d targets", got)
	}
	if !strings.Contains(text, "target:svc-00010") || strings.Contains(text, "target:svc-00011") {
		t.Error("svc-00011 should need svc-00010")
	}
}

func TestMedian(t *testing.T) {
	got := median([]run.Result{
		{Wall: 3 * time.Second, Memory: 10}, {Wall: time.Second, Memory: 30}, {Wall: 2 * time.Second, Memory: 20},
	})
	if got != (row{2 * time.Second, 20}) {
		t.Errorf("got %v", got)
	}
}
