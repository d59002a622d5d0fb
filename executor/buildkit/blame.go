package buildkit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/internal/lazyregexp"
	"github.com/strata-build/strata/lower"
)

// A StepError is the failure of a target with all that is known of it.
type StepError struct {
	Failure  executor.Failure
	Registry bool // a registry or the way to it failed, not a step
	Denied   bool // a source policy denied what the target reads
	Err      error
}

func (e *StepError) Error() string { return e.Failure.Message }

// Unwrap returns BuildKit's error.
func (e *StepError) Unwrap() error { return e.Err }

// A LostError says that the engine went away during a solve.
type LostError struct {
	Address string
	Err     error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s was lost: %s", e.Address, trimError(e.Err.Error()))
}

// Unwrap returns the transport's error.
func (e *LostError) Unwrap() error { return e.Err }

// failed is the result of a target that failed with err.
func (b *Builder) failed(t *config.Target, r *lower.Result, err error) (executor.TargetResult, error) {
	res := executor.TargetResult{Target: t.Name, Size: -1}
	err = b.blame(t, r, err)
	if se, ok := errors.AsType[*StepError](err); ok {
		res.Failure = &se.Failure
	}
	res.Steps, res.Ran = b.tracker.ran(t.Name)
	return res, err
}

// blame finds the step that err is about.
func (b *Builder) blame(t *config.Target, r *lower.Result, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if lost(err) {
		return &LostError{b.Address, err}
	}
	f := executor.Failure{Message: messageOf(err)}
	if b.Command != nil {
		f.Command = b.Command(t.Name)
	}
	if v, ok := errors.AsType[*errdefs.VertexError](err); ok && v.Vertex != nil {
		if k, ok := b.tracker.find(digest.Digest(v.Digest)); ok {
			f.Step, f.Log, f.Clipped = k.step, k.log, k.clipped
			f.Ran = ranFor(k)
		}
	}
	if src, ok := errors.AsType[*lower.SourceError](err); ok {
		f.Step.Place = src.Place.String()
	}
	first, last := lower.ErrorLines(err)
	if r != nil && r.Source != nil && first > 0 {
		if f.Step.Place == "" {
			f.Step.Place = r.Source.Place(first).String()
		}
		f.Excerpt = b.excerpt(r.Source, first, last)
	}
	denied := b.addDenial(t, &f, err)
	registry := registryFailure(err) && !denied
	if registry && loginText.MatchString(f.Message) {
		f.Message += "; log in with docker login, or check that the account may do this"
	}
	return &StepError{f, registry, denied, err}
}

// addDenial says in f what a policy denied, if err is about that.
func (b *Builder) addDenial(t *config.Target, f *executor.Failure, err error) bool {
	judge := b.plans[t.Name].judge
	if d := judge.denied(err); d != nil {
		f.Message = d.Error()
		return true
	}
	if policyText.MatchString(f.Message) {
		f.Message += "; the rules are those of EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"
		return true
	}
	for _, d := range judge.refused() { // the step was told no more than 403
		f.Message += "; " + d.Error()
	}
	return false
}

// What the engine's pulls and pushes say when a registry refuses or is not
// there (containerd core/remotes/docker, BuildKit util/push).
var (
	registryText = lazyregexp.New(`failed to push |failed to authorize|unexpected status from (HEAD|GET|PUT|POST|PATCH) request|failed to do request|failed to copy: httpReadSeeker|failed to resolve source metadata`)
	policyText   = lazyregexp.New(`denied by policy|not allowed by policy`)
	loginText    = lazyregexp.New(`401|403|[Uu]nauthorized|[Dd]enied|insufficient_scope|failed to authorize`)
)

// registryFailure reports whether err is about a registry. The failure of a
// program in a step never is, whatever it printed.
func registryFailure(err error) bool {
	if _, ok := errors.AsType[*gatewaypb.ExitError](err); ok {
		return false
	}
	return registryText.MatchString(err.Error())
}

func ranFor(k tracked) time.Duration {
	if k.started.IsZero() || k.completed.IsZero() {
		return 0
	}
	return k.completed.Sub(k.started)
}

// lost reports whether the connection to the engine failed, not the build.
func lost(err error) bool {
	if _, ok := errors.AsType[*errdefs.VertexError](err); ok {
		return false
	}
	return grpcerrors.Code(err) == codes.Unavailable &&
		(strings.Contains(err.Error(), "error reading from server") ||
			strings.Contains(err.Error(), "connection error") ||
			strings.Contains(err.Error(), "transport is closing") ||
			strings.Contains(err.Error(), "connection refused"))
}

// messageOf says in few words what went wrong.
func messageOf(err error) string {
	if exit, ok := errors.AsType[*gatewaypb.ExitError](err); ok && exit.ExitCode != gatewaypb.UnknownExitStatus {
		if exit.ExitCode > 128 && exit.ExitCode < 160 {
			return fmt.Sprintf("exit status %d (signal %d)", exit.ExitCode, exit.ExitCode-128)
		}
		return fmt.Sprintf("exit status %d", exit.ExitCode)
	}
	return plainly(err.Error())
}

// What BuildKit says at length, as solver/llbsolver and its ops word it.
var (
	exitText    = lazyregexp.New(`(?s)^process ".*" did not complete successfully: exit code: (\d+)$`)
	missingText = lazyregexp.New(`^(?:failed to compute cache key: )?failed to calculate checksum of ref [^ ]+: "(.*)": not found$`)
)

// plainly says BuildKit's message in few words.
func plainly(msg string) string {
	msg = trimError(msg)
	if m := exitText.FindStringSubmatch(msg); m != nil {
		return "exit status " + m[1]
	}
	if m := missingText.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("%q was not found; check the path, and .dockerignore", m[1])
	}
	return msg
}

// excerpt is the guilty lines with two lines before them, as the user wrote
// them: in the Dockerfile, or in the build file that holds steps.
func (b *Builder) excerpt(src *lower.Source, first, last int) []executor.SourceLine {
	text := src.Data
	if src.InBuildFile() {
		from, to := src.Place(first), src.Place(last)
		if b.BuildFile == nil || b.BuildFile(from.File) == nil || to.File != from.File {
			return nil
		}
		text, first, last = b.BuildFile(from.File), from.Line, max(from.Line, to.Line)
	}
	lines := strings.Split(string(text), "\n")
	var out []executor.SourceLine
	for n := max(1, first-2); n <= min(last, len(lines)); n++ {
		out = append(out, executor.SourceLine{Number: n, Text: strings.TrimRight(lines[n-1], "\r"), Guilty: n >= first})
	}
	return out
}
