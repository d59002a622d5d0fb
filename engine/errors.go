package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/buildkit/util/grpcerrors"
)

var (
	errNoAnswer = errNoAnswerWithin(answerTimeout)
	errSilent   = fmt.Errorf("no sign of life for %s", silentLimit)
	errNoHome   = errors.New("it has no folder for its state")
)

func errNoAnswerWithin(d time.Duration) error { return fmt.Errorf("no answer within %s", d) }

// An UnreachableError reports an engine that does not answer, or no longer.
// Its text leaves the hint to whoever prints it.
type UnreachableError struct {
	Address string // as the user would name it
	Err     error
	Hint    string // what to do, a clause without full stop; may be ""
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("engine %s: %v", e.Address, e.Err) }

func (e *UnreachableError) Unwrap() error { return e.Err }

// A RuntimeError reports that this machine cannot run the embedded engine:
// no OCI runtime, one too old, or no user namespaces. Its text leaves the hint
// to whoever prints it.
type RuntimeError struct {
	Problem string `json:"problem"` // what is missing
	Hint    string `json:"hint"`    // how to get it, a clause without full stop
}

func (e *RuntimeError) Error() string { return e.Problem }

// A BusyError reports an embedded engine that is left running because other
// commands use it.
type BusyError struct {
	Clients []int // their process ids
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("the embedded engine is in use by process %s", joinInts(e.Clients))
}

func joinInts(ints []int) string {
	words := make([]string, len(ints))
	for i, n := range ints {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, ", ")
}

// dialNoise is what gRPC puts before the cause of a failed dial.
var dialNoise = []string{
	"transport: ",
	"Error while dialing: ",
	"error reading server preface: ",
	"authentication handshake failed: ",
}

// plainCause reduces a gRPC error to the words of its cause.
func plainCause(err error) error {
	answer, isStatus := grpcerrors.AsGRPCStatus(err)
	if !isStatus {
		return err
	}
	text := answer.Message()
	if i := strings.LastIndex(text, "desc = "); i >= 0 {
		text = strings.Trim(text[i+len("desc = "):], `"`)
	}
	for _, noise := range dialNoise {
		text = strings.TrimPrefix(text, noise)
	}
	return errors.New(text)
}
