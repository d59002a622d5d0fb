// Package lsp answers editors: it is a language server for build files, which
// tells what is wrong in them while they are written, completes and explains names
// and finds where they are declared.
//
// What is wrong is what [config.Load] says of the same text; the rest is read from
// words ([config.Words]), so that it works in half-written files. The package knows
// no engine, builds nothing and reads no Dockerfile. Positions on the wire are in
// UTF-16 code units; inside of this package they are offsets in bytes.
package lsp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"sync"
	"time"

	"github.com/sourcegraph/jsonrpc2"
)

// Options say what build files may see, and what the server calls itself.
type Options struct {
	// Version is the version of the program.
	Version string
	// LookupEnv answers for environment variables, nil for none.
	LookupEnv func(string) (string, bool)
	// Environ are environment variables as from os.Environ, for compose files.
	Environ []string
	// Vars are values of variables that win over the environment.
	Vars map[string]string
	// AllowEnv are names of environment variables that env() may read.
	AllowEnv []string
}

// ErrNoShutdown says that the client left without asking the server to shut down.
var ErrNoShutdown = errors.New("the editor left without a shutdown request")

// quiet is how long texts must not change before they are read.
const quiet = 150 * time.Millisecond

// Serve speaks the protocol on in and out until the client says exit or in ends.
// It returns nil if the client asked for shutdown before, else ErrNoShutdown, and
// the cause if ctx is cancelled. Nothing else may read in or write to out.
func Serve(ctx context.Context, in io.Reader, out io.Writer, opts Options) error {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := newServer(opts)
	stream := jsonrpc2.NewBufferedStream(pipes{in, out}, jsonrpc2.VSCodeObjectCodec{})
	conn := jsonrpc2.NewConn(inner, stream, s, jsonrpc2.SetLogger(log.New(io.Discard, "", 0)))
	s.work.Go(func() { s.publishing(inner, conn) })
	<-conn.DisconnectNotify()
	cancel(nil)
	s.work.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.stage() != stageDown:
		return ErrNoShutdown
	}
	return nil
}

// pipes are the two directions of the connection. Closing them is left to those
// who opened them.
type pipes struct {
	io.Reader
	io.Writer
}

func (pipes) Close() error { return nil }

// A stage is how far the conversation is.
type stage int

const (
	stageNew  stage = iota
	stageUp         // initialized
	stageDown       // shut down
)

// A server holds what an editor has open. Messages are taken in their order;
// those that change texts are done at once, and questions are answered aside, on
// the texts that there were when they came.
type server struct {
	opts    Options
	work    sync.WaitGroup
	changed chan struct{} // has one element if texts changed

	mu        sync.Mutex
	at        stage
	client    initializeParams
	snapshot  *snapshot
	memory    *memory
	questions map[jsonrpc2.ID]context.CancelFunc // those being answered
}

func newServer(opts Options) *server {
	s := &server{opts: opts, changed: make(chan struct{}, 1), memory: newMemory(), questions: map[jsonrpc2.ID]context.CancelFunc{}}
	s.snapshot = &snapshot{server: s, documents: map[string]*document{}}
	return s
}

func (s *server) stage() stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// Handle takes one message. It is called for one after the other.
func (s *server) Handle(ctx context.Context, conn *jsonrpc2.Conn, req *jsonrpc2.Request) {
	if req.Notif {
		s.notice(ctx, conn, req)
		return
	}
	if refused := s.refused(req.Method); refused != nil {
		_ = conn.ReplyWithError(ctx, req.ID, refused) // a client that is gone needs no answer
		return
	}
	switch req.Method {
	case "initialize":
		s.answer(ctx, conn, req.ID, s.initialize(req))
	case "shutdown":
		s.mu.Lock()
		s.at = stageDown
		s.mu.Unlock()
		_ = conn.Reply(ctx, req.ID, nil)
	case "textDocument/completion":
		s.ask(ctx, conn, req, answer((*question).complete))
	case "textDocument/hover":
		s.ask(ctx, conn, req, answer((*question).hover))
	case "textDocument/definition":
		s.ask(ctx, conn, req, answer((*question).definition))
	default:
		_ = conn.ReplyWithError(ctx, req.ID, problem(jsonrpc2.CodeMethodNotFound, "there is no method "+req.Method))
	}
}

// refused says why a request can not be answered now, nil if it can.
func (s *server) refused(method string) *jsonrpc2.Error {
	switch at := s.stage(); {
	case at == stageDown:
		return problem(jsonrpc2.CodeInvalidRequest, "the server was shut down")
	case at == stageNew && method != "initialize":
		return problem(codeNotInitialized, "the first request is initialize")
	case at == stageUp && method == "initialize":
		return problem(jsonrpc2.CodeInvalidRequest, "the server is initialized already")
	}
	return nil
}

func problem(code int64, message string) *jsonrpc2.Error {
	return &jsonrpc2.Error{Code: code, Message: message}
}

func (s *server) answer(ctx context.Context, conn *jsonrpc2.Conn, id jsonrpc2.ID, f func() (any, error)) {
	result, err := f()
	switch known, ok := errors.AsType[*jsonrpc2.Error](err); {
	case ok:
		_ = conn.ReplyWithError(ctx, id, known)
	case errors.Is(err, context.Canceled):
		_ = conn.ReplyWithError(ctx, id, problem(codeCancelled, "the request was cancelled"))
	case err != nil:
		_ = conn.ReplyWithError(ctx, id, problem(jsonrpc2.CodeInternalError, err.Error()))
	default:
		_ = conn.Reply(ctx, id, result)
	}
}

// read decodes the parameters of a message.
func read(req *jsonrpc2.Request, params any) error {
	if req.Params == nil {
		return problem(jsonrpc2.CodeInvalidParams, req.Method+" needs parameters")
	}
	if err := json.Unmarshal(*req.Params, params); err != nil {
		return problem(jsonrpc2.CodeInvalidParams, "the parameters of "+req.Method+": "+err.Error())
	}
	return nil
}

func (s *server) initialize(req *jsonrpc2.Request) func() (any, error) {
	return func() (any, error) {
		var params initializeParams
		if err := read(req, &params); err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.client, s.at = params, stageUp
		return initializeResult{
			Capabilities: serverCapabilities{
				PositionEncoding: "utf-16",
				Sync:             syncOptions{OpenClose: true, Change: syncWhole, Save: true},
				Completion:       completionOptions{Triggers: []string{".", "\"", ":"}},
				Hover:            true,
				Definition:       true,
			},
			Server: serverInfo{"strata", s.opts.Version},
		}, nil
	}
}

// ask answers a question aside, on the texts there are now.
func (s *server) ask(ctx context.Context, conn *jsonrpc2.Conn, req *jsonrpc2.Request, f func(context.Context, *question) (any, error)) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	snap := s.snapshot
	s.questions[req.ID] = cancel
	s.mu.Unlock()
	s.work.Go(func() {
		defer func() {
			cancel()
			s.mu.Lock()
			delete(s.questions, req.ID)
			s.mu.Unlock()
		}()
		s.answer(context.WithoutCancel(ctx), conn, req.ID, func() (any, error) {
			q, err := snap.question(ctx, req)
			if err != nil || q == nil {
				return nil, err
			}
			return f(ctx, q)
		})
	})
}

// answer makes a question's answer a result, which is null if there is none.
func answer[T any](f func(*question) *T) func(context.Context, *question) (any, error) {
	return func(ctx context.Context, q *question) (any, error) {
		if result := f(q); result != nil && ctx.Err() == nil {
			return result, nil
		}
		return nil, ctx.Err()
	}
}

// notice takes a notification. One that is not understood is not answered.
func (s *server) notice(ctx context.Context, conn *jsonrpc2.Conn, req *jsonrpc2.Request) {
	if req.Method == "exit" {
		_ = conn.Close()
		return
	}
	if s.stage() != stageUp {
		return
	}
	switch req.Method {
	case "initialized":
		s.watch(ctx, conn)
	case "$/cancelRequest":
		s.cancel(req)
	case "textDocument/didOpen":
		var p openParams
		if read(req, &p) == nil {
			s.change(p.Document.URI, newDocument(p.Document.URI, p.Document.Version, p.Document.Text))
		}
	case "textDocument/didChange":
		var p changeParams
		if read(req, &p) == nil && len(p.Changes) > 0 {
			last := p.Changes[len(p.Changes)-1].Text
			s.change(p.Document.URI, newDocument(p.Document.URI, p.Document.Version, last))
		}
	case "textDocument/didClose":
		var p closeParams
		if read(req, &p) == nil {
			s.change(p.Document.URI, nil)
		}
	case "textDocument/didSave", "workspace/didChangeWatchedFiles":
		s.refresh()
	}
}

// watch asks the client to tell when build files change on disk.
func (s *server) watch(ctx context.Context, conn *jsonrpc2.Conn) {
	s.mu.Lock()
	can := s.client.Capabilities.Workspace.WatchedFiles.Dynamic
	s.mu.Unlock()
	if !can {
		return
	}
	// Whether it can be done is of no use here, so the answer is not waited for.
	_, _ = conn.DispatchCall(ctx, "client/registerCapability", registrationParams{[]registration{{
		ID: "files", Method: "workspace/didChangeWatchedFiles",
		Options: watchOptions{[]watcher{{"**/*.hcl"}, {"**/docker-bake*.json"}, {"**/*compose.y*ml"}}},
	}}})
}

func (s *server) cancel(req *jsonrpc2.Request) {
	var p cancelParams
	if read(req, &p) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.questions[p.ID]; cancel != nil {
		cancel()
	}
}
