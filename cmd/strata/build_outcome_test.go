package main

import (
	"context"
	"errors"
	"testing"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/executor"
)

func TestStatusOfSeveralFailures(t *testing.T) {
	for _, tt := range []struct {
		failures []int
		want     int
	}{
		{[]int{exitFailed}, exitFailed},
		{[]int{exitRegistry, exitFailed}, exitRegistry},
		{[]int{exitFailed, exitRegistry, exitLocal, exitFailed}, exitLocal},
		{[]int{exitLocal, exitRegistry}, exitLocal},
		{[]int{exitUsage, exitFailed}, exitUsage},
		{[]int{exitDenied, exitEngine}, exitDenied},
	} {
		r := &buildRun{}
		for _, status := range tt.failures {
			r.done.Results = append(r.done.Results, executor.TargetResult{State: executor.Failed, Err: withStatus(status, errors.New("x"))})
		}
		if got := statusOf(r.status(executor.ErrFailed)); got != tt.want {
			t.Errorf("failures %v give status %d, want %d", tt.failures, got, tt.want)
		}
	}
}

// A success is recorded though the run was stopped before it could be.
func TestASuccessIsKeptThoughTheRunWasStopped(t *testing.T) {
	dir := t.TempDir()
	fp := index.Fingerprint("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
	open := func() *planIndex {
		l := index.OpenLocal(dir, index.LocalOptions{Warn: func(err error) { t.Error(err) }})
		t.Cleanup(func() { _ = l.Close() })
		return &planIndex{local: l, project: "/p"}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := open().put(ctx, index.Entry{Fingerprint: fp, Project: "/p", Target: "app"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := open().Get(t.Context(), fp, "app"); !ok {
		t.Error("it is not there")
	}
}
