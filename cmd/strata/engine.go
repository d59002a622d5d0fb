package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/report"
)

func newEngineCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "engine",
		Example: "  strata engine status\n  strata engine prune --all\n  strata engine stop",
		Short:   "Look after the engine that builds",
		Long: `Look after the engine that builds: the embedded one, which starts when a command
needs it, is shared by commands, and ends when none has used it for a while.
` + exitStatusHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newEngineStatusCmd(a),
		newEngineStartCmd(a),
		newEngineStopCmd(a),
		newEngineLogsCmd(a),
		newEnginePruneCmd(a),
		newEngineServeCmd(a),
	)
	return cmd
}

func newEngineStatusCmd(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Example: "  strata engine status\n  strata engine status --json",
		Short:   "Tell whether the embedded engine runs, and for whom",
		Long: `Tell whether the embedded engine runs, what it is and which processes use it.
Nothing is started.
` + exitStatusHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := a.engineOptions()
			if err != nil {
				return err
			}
			info, err := engine.Status(cmd.Context(), opts)
			if err != nil {
				return err
			}
			return a.printStatus(info, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newEngineStartCmd(a *app) *cobra.Command {
	var asJSON bool
	var idle time.Duration
	cmd := &cobra.Command{
		Use:     "start",
		Example: "  strata engine start --idle-timeout 1h",
		Short:   "Start the embedded engine before a command needs it",
		Long: `Start the embedded engine, or find it running, and tell about it. Commands start it
by themselves; this is for who wants the first one to be fast, or another idle time.
` + exitStatusHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := a.engineOptions()
			if err != nil {
				return err
			}
			opts.IdleTimeout = idle
			info, err := engine.Start(cmd.Context(), opts)
			if err != nil {
				return err
			}
			return a.printStatus(info, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&idle, "idle-timeout", 0, "end after so long without a command; default 10m")
	return cmd
}

func newEngineStopCmd(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "stop",
		Example: "  strata engine stop",
		Short:   "End the embedded engine",
		Long: `End the embedded engine. One that a command uses is left alone, with status 6,
unless --force is given: then what it builds is cancelled. Its cache stays.
` + exitStatusHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := a.engineOptions()
			if err != nil {
				return err
			}
			err = engine.Stop(cmd.Context(), opts, force)
			if busy, ok := errors.AsType[*engine.BusyError](err); ok {
				return withStatus(exitLocal, fmt.Errorf("%w\n  --force ends it and cancels what they build", busy))
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "end it although it is in use, kill it if it hangs")
	return cmd
}

func newEngineLogsCmd(a *app) *cobra.Command {
	var lines int
	cmd := &cobra.Command{
		Use:     "logs",
		Example: "  strata engine logs --lines 20",
		Short:   "Print what the embedded engine had to say",
		Long:    "Print the end of the embedded engine's log: warnings, and its last words if it crashed.\n" + exitStatusHelp,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			opts, err := a.engineOptions()
			if err != nil {
				return err
			}
			return a.printLog(engine.LogPath(opts), lines)
		},
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", 100, "print the last `N` lines; 0 prints all")
	return cmd
}

// newEngineServeCmd is the embedded engine itself. Commands run it; a person
// may, to see it work or to have it looked after by an init system.
func newEngineServeCmd(a *app) *cobra.Command {
	var opts engine.ServeOptions
	cmd := &cobra.Command{
		Use:     "serve",
		Example: "  strata engine serve --idle-timeout 0s --dir /var/lib/strata",
		Short:   "Run the embedded engine in the foreground",
		Long: `Run the embedded engine in the foreground until it is idle for too long or ended by
a signal. Commands use it as if they had started it.
` + exitStatusHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Runtime == "" {
				opts.Runtime = a.flags.runtime
			}
			return engine.Serve(cmd.Context(), opts)
		},
	}
	opts.Flags(cmd.Flags())
	for _, name := range engine.InternalServeFlags {
		cmd.Flags().Lookup(name).Hidden = true
	}
	return cmd
}

// printStatus prints what is known of the embedded engine.
func (a *app) printStatus(info engine.StatusInfo, asJSON bool) error {
	if asJSON {
		return printJSON(a.out, info)
	}
	state := "stopped"
	if info.Running {
		state = "running"
	}
	rows := [][]string{
		{"state", state},
		{"folder", info.Dir},
		{"log", info.Log},
	}
	if info.Running {
		rows = append(rows,
			[]string{"process", fmt.Sprint(info.PID)},
			[]string{"since", report.Ago(info.Started, time.Now())},
			[]string{"used by", usedBy(info)},
			[]string{"idle exit", "after " + info.IdleTimeout},
			[]string{"BuildKit", info.Version},
			[]string{"runtime", info.Runtime},
			[]string{"snapshots", info.Snapshotter},
			[]string{"rootless", yesNo(info.Rootless)},
			[]string{"grants", strings.Join(info.Entitlements, ", ")},
			[]string{"socket", info.Socket},
		)
	}
	return report.Table(a.out, a.term(), []report.Column{{}, {}}, rows)
}

func usedBy(info engine.StatusInfo) string {
	if len(info.Clients) == 0 {
		return "nobody"
	}
	return "process " + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(info.Clients)), ", "), "[]")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// printLog prints the last lines of a log.
func (a *app) printLog(path string, lines int) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(a.err, "There is no log at %s: the embedded engine has not run yet.\n", path)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var last []string
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			last = append(last, strings.TrimSuffix(line, "\n"))
		}
		if lines > 0 && len(last) > lines {
			last = last[1:]
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	for _, line := range last {
		fmt.Fprintln(a.out, report.SanitizeLine(line))
	}
	return nil
}

func newEnginePruneCmd(a *app) *cobra.Command {
	var (
		opts                      engine.PruneOptions
		maxUsed, reserve, minFree string
		asJSON                    bool
	)
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove what the engine has cached",
		Long: `Remove what the engine has cached and does not use, and list it. Without limits
everything goes that can be made again; sizes are written as 500MB or 2GiB.
It works with every engine; see strata build --help for how one is selected.
` + exitStatusHelp,
		Example: "  strata engine prune --unused 72h\n  strata engine prune --max-used 20GB\n  strata engine prune --filter type==exec.cachemount",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := errors.Join(
				parseSize("--max-used", maxUsed, &opts.MaxUsed),
				parseSize("--reserve", reserve, &opts.Reserved),
				parseSize("--min-free", minFree, &opts.MinFree),
			)
			if err != nil {
				return withStatus(exitUsage, err)
			}
			return a.prune(cmd.Context(), opts, asJSON)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&opts.All, "all", "a", false, "remove what BuildKit keeps for itself, too")
	f.StringArrayVar(&opts.Filters, "filter", nil, "remove only records that match: `FILTER`, repeatable")
	f.DurationVar(&opts.Unused, "unused", 0, "remove only what was not used for so long")
	f.StringVar(&maxUsed, "max-used", "", "remove only until the cache is no larger than this `size`")
	f.StringVar(&reserve, "reserve", "", "keep this `size` in any case")
	f.StringVar(&minFree, "min-free", "", "remove only until the disk has this `size` free")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func parseSize(flag, text string, size *int64) error {
	if text == "" {
		return nil
	}
	parse := units.FromHumanSize
	if strings.Contains(strings.ToLower(text), "i") {
		parse = units.RAMInBytes
	}
	n, err := parse(text)
	if err != nil {
		return fmt.Errorf("%s: %q is no size such as 500MB or 2GiB", flag, text)
	}
	*size = n
	return nil
}

func (a *app) prune(ctx context.Context, opts engine.PruneOptions, asJSON bool) error {
	e, err := a.openEngine(ctx, nil)
	if err != nil {
		return err
	}
	removed, err := e.Prune(ctx, opts)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(a.out, removed)
	}
	if err := a.printUsage(removed); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "%s: %s removed, %s.\n", e.Name(), plural(len(removed.Records), "record"), report.Bytes(removed.Total))
	return nil
}

func newDuCmd(a *app) *cobra.Command {
	var filters []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "du",
		Short: "Show what the engine's cache holds",
		Long: `Show what the engine's cache holds, largest first, and how much of it could be
removed. It works with every engine; see strata build --help for how one is
selected.
` + exitStatusHelp,
		Example: "  strata du\n  strata du --filter type==exec.cachemount --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.du(cmd.Context(), filters, asJSON)
		},
	}
	cmd.Flags().StringArrayVar(&filters, "filter", nil, "show only records that match: `FILTER`, repeatable")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) du(ctx context.Context, filters []string, asJSON bool) error {
	e, err := a.openEngine(ctx, nil)
	if err != nil {
		return err
	}
	usage, err := e.DiskUsage(ctx, filters...)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(a.out, usage)
	}
	if err := a.printUsage(usage); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "%s: %s, %s, of which %s can be removed.\n",
		e.Name(), plural(len(usage.Records), "record"), report.Bytes(usage.Total), report.Bytes(usage.Reclaimable))
	return nil
}

// printUsage prints records of an engine's cache.
func (a *app) printUsage(u engine.Usage) error {
	if len(u.Records) == 0 {
		return nil
	}
	now := time.Now()
	var rows [][]string
	for _, r := range u.Records {
		lastUsed, state := "never", ""
		if !r.LastUsed.IsZero() {
			lastUsed = report.Ago(r.LastUsed, now)
		}
		if r.InUse {
			state = "in use"
		}
		rows = append(rows, []string{r.ID, r.Type, report.Bytes(r.Size), lastUsed, fmt.Sprint(r.UsageCount), state, r.Description})
	}
	return report.Table(a.out, a.term(), []report.Column{
		{Title: "ID"},
		{Title: "TYPE", Optional: true},
		{Title: "SIZE", Kind: report.Number},
		{Title: "LAST USED", Optional: true},
		{Title: "USES", Kind: report.Number, Optional: true},
		{Title: "STATE"},
		{Title: "WHAT", Kind: report.Free},
	}, rows)
}

// printJSON prints a listing for programs.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
