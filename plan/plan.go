// Package plan decides what has to be done for each target, and says why,
// before anything is done.
//
// It is a function from graph, inputs and index to actions and reasons. It
// never solves, writes or prints, and never asks an engine.
package plan

import (
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/cache/index"
)

// An Action is what is done for a target.
type Action string

// The actions.
const (
	Reuse Action = "reuse" // what is wanted exists
	Retag Action = "retag" // the image exists, its tags are elsewhere
	Solve Action = "solve" // the engine has to make it
)

// The kinds of reasons. What a build file or a Dockerfile says comes before
// what follows from it.
const (
	KindForced   = "forced"   // somebody asked for it: --force, no-cache
	KindNew      = "new"      // there is no record of this target
	KindAge      = "age"      // the record is older than allowed
	KindMissing  = "missing"  // the record is there, what it tells of is not
	KindOutput   = "output"   // something is wanted that no record tells of
	KindUnpinned = "unpinned" // a source may have changed with nothing here telling
	KindFrontend = "frontend" // the front end that reads the Dockerfile
	KindPlatform = "platform"
	KindBase     = "base"   // a base image moved
	KindArg      = "arg"    // a build argument
	KindStep     = "step"   // a Dockerfile instruction
	KindConfig   = "config" // a part of the image config
	KindFile     = "file"   // a file that the engine is sent
	KindParent   = "parent" // a needed target
	KindTag      = "tag"    // a tag that is elsewhere
	KindUnknown  = "unknown"
)

// A Reason says why something is done for a target.
type Reason struct {
	Kind  string `json:"kind"`
	Path  string `json:"path,omitempty"`  // file, image, argument, step, target, tag: what Kind is about
	Place string `json:"place,omitempty"` // file:line where it is read or declared
	From  string `json:"from,omitempty"`  // as it was, "" if it was not
	To    string `json:"to,omitempty"`    // as it is, "" if it is no more
}

// A Step is one of a target's own steps.
type Step struct {
	Number int
	Name   string // "RUN make"
	Place  string // "Dockerfile:8"
	Digest digest.Digest
	Runs   bool // it is expected to run, else to be in the engine's cache
	Past   time.Duration
}

// A Target is what is decided for one target.
type Target struct {
	Name        string
	Action      Action
	Fingerprint index.Fingerprint
	Reasons     []Reason // empty for Reuse; the first is the first cause
	Implicit    bool     // nobody asked for it: it is only needed
	Spared      bool     // nobody that is solved needs it, so that no record of it was looked for
	Needs       []string
	Steps       []Step        // of a target that is solved and can be lowered here
	Estimate    time.Duration // of solving it, from past records; 0 if unknown

	// Entry is the success that Reuse and Retag rest on, nil if none is
	// needed.
	Entry *index.Entry
	// Last is the last success of this target here, nil if there is none.
	Last *index.Entry
	// Inputs are what the fingerprint is made of, by name.
	Inputs []index.Input
	// Trees are the sets of files that belong to Inputs of kind "files".
	Trees []Tree
	// Keys are what the engine's cache knows steps by, as far as can be told.
	Keys map[digest.Digest]string
	past map[string]time.Duration // of steps by what they say
	// Unrecorded says why a success must not be recorded, "" if it may.
	Unrecorded string
}

// A Plan is what is decided for all targets of a run.
type Plan struct {
	Targets  []*Target     // in graph order
	Critical []string      // the longest chain of targets to solve, needs first
	Estimate time.Duration // of that chain; 0 if unknown
}

// Count is the number of targets with the action.
func (p *Plan) Count(a Action) int {
	n := 0
	for _, t := range p.Targets {
		if t.Action == a {
			n++
		}
	}
	return n
}

// Target returns what is decided for the target called name, nil if it is not in
// the plan.
func (p *Plan) Target(name string) *Target {
	for _, t := range p.Targets {
		if t.Name == name {
			return t
		}
	}
	return nil
}
