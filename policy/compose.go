package policy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"

	"github.com/strata-build/strata/config"
)

// A Policy is the files of one entry of a build file, whose rules are evaluated
// together.
type Policy struct {
	Files  []File
	Strict bool         // rather fail than build on an engine that asks no policies
	Level  logrus.Level // how much is told of the evaluation

	builtin bool // it is not asked for capabilities
}

// A File is one file of rules.
type File struct {
	Name     string // as the build file has it
	Optional bool   // it need not be there
	Data     []byte // nil if it is still to be read
}

// A Place is where a target's Dockerfile is, as far as it decides which policy
// binds it. The zero value is a Dockerfile that is in no file.
type Place struct {
	Path   string // of a Dockerfile on this machine
	Remote string // path of a Dockerfile in a context that only the engine reads
}

// suffix makes the name of a policy of that of the Dockerfile it stands beside.
const suffix = ".rego"

// Of says which policies bind t: the one beside its Dockerfile, and those that
// its build file composes. With signed, the policy that wants signatures of
// Docker's own images comes before them.
func Of(t *config.Target, at Place, signed bool) ([]Policy, error) {
	implied, err := at.implied()
	if err != nil {
		return nil, err
	}
	list, disabled, err := compose(implied, t.Policy)
	if err != nil || disabled || !signed {
		return list, err
	}
	return append([]Policy{signedPolicy()}, list...), nil
}

func (p Place) implied() (*Policy, error) {
	switch {
	case p.Remote != "":
		return newPolicy(File{Name: p.Remote + suffix, Optional: true}), nil
	case p.Path == "":
		return nil, nil
	}
	data, err := os.ReadFile(p.Path + suffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return newPolicy(File{Name: filepath.Base(p.Path) + suffix, Data: data}), nil
}

func newPolicy(files ...File) *Policy { return &Policy{Files: files, Level: logrus.InfoLevel} }

var errDisabled = errors.New("a policy that is disabled can not be combined with other policies or options")

// compose applies the entries of a build file one after the other. One without
// files says how the policy before it is evaluated or, if there is none, those
// that follow.
func compose(implied *Policy, entries []config.Policy) (list []Policy, disabled bool, err error) {
	for _, e := range entries {
		if !e.Disabled {
			continue
		}
		if len(entries) > 1 || e.Reset || e.Strict != nil || e.LogLevel != "" || len(e.Files) > 0 {
			return nil, true, errDisabled
		}
		return nil, true, nil
	}
	if implied != nil {
		list = []Policy{*implied}
	}
	var before config.Policy
	for _, e := range entries {
		if e.Reset {
			list = nil
		}
		switch {
		case len(e.Files) > 0:
			p := newPolicy()
			for _, name := range e.Files {
				p.Files = append(p.Files, File{Name: name})
			}
			if err := errors.Join(p.set(before), p.set(e)); err != nil {
				return nil, false, err
			}
			list = append(list, *p)
		case len(list) > 0:
			if err := list[len(list)-1].set(e); err != nil {
				return nil, false, err
			}
		default:
			before = e
		}
	}
	return list, false, nil
}

// set applies the options of e that are given.
func (p *Policy) set(e config.Policy) error {
	if e.Strict != nil {
		p.Strict = *e.Strict
	}
	if e.LogLevel == "" {
		return nil
	}
	level, err := logrus.ParseLevel(e.LogLevel)
	if err == nil {
		p.Level = level
	}
	return err
}
