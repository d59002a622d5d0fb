package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	digest "github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/plan"
)

// recordMain is the program strata-record of the scripts:
//
//	strata-record RUN AGE [FLAGS] [TARGET...]
//
// It keeps the records that a run, AGE ago, would have kept if it had built the
// targets, so that what strata says of records is tested without an engine. The
// plan and its inputs are those of strata itself.
func recordMain() {
	a := newApp(osStreams())
	err := record(context.Background(), a, os.Args[1], os.Args[2], os.Args[3:])
	_ = a.close()
	os.Exit(a.finish(err, 0))
}

func record(ctx context.Context, a *app, run, age string, args []string) error {
	old, err := time.ParseDuration(age)
	if err != nil {
		return err
	}
	var opts planOptions
	cmd := &cobra.Command{RunE: func(cmd *cobra.Command, args []string) error {
		opts.targets = args
		r, err := a.planned(ctx, cmd.Flags(), opts.buildOptions)
		if err != nil {
			return err
		}
		for _, t := range r.plan.Targets {
			if t.Action != plan.Solve {
				continue
			}
			e := index.Entry{
				Fingerprint: t.Fingerprint, Project: r.cfg.Dir, Target: t.Name, Run: run, Built: time.Now().Add(-old),
				Digest: digest.FromString(t.Name).String(), Branch: "main", Revision: "0123456789abcdef0123456789abcdef01234567",
			}
			detail := &index.Detail{Inputs: append(t.Inputs, t.StepInputs(func(digest.Digest) time.Duration { return time.Second })...)}
			detail.Record, err = json.Marshal(history.Record{
				Schema: history.Schema, Target: t.Name, Run: run, BuiltAt: e.Built, Digest: e.Digest,
				Images: []history.Image{{Platform: "linux/amd64", Size: 7, SizeKind: "compressed", Layers: []history.Layer{
					{Step: 1, CreatedBy: "COPY f /f", Size: 7, Time: time.Second, State: history.Built},
				}}},
			})
			if err != nil {
				return err
			}
			var trees [][]byte
			for _, tree := range t.Trees {
				if len(tree.Own) > 0 {
					trees = append(trees, tree.Listing)
				}
			}
			if err := r.planning.index.put(ctx, e, detail, trees); err != nil {
				return fmt.Errorf("recording %s: %w", t.Name, err)
			}
		}
		r.planning.index.flush(ctx)
		return nil
	}}
	opts.selectOptions.flags(cmd.Flags())
	opts.requestOptions.flags(cmd.Flags())
	opts.plan.flags(cmd.Flags())
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	return cmd.Execute()
}
