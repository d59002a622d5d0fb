package buildkit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
)

// maxSecret is BuildKit's limit on a secret's size
// (session/secrets/secretsprovider).
const maxSecret = 500 << 10

// attachables are what the engine may ask of this machine on behalf of t: its
// own secrets, its own ssh agents and registry logins, and nothing of another
// target's. Secret values are read now, once.
func (b *Builder) attachables(t *config.Target) ([]session.Attachable, error) {
	var out []session.Attachable
	if b.Auth != nil {
		out = append(out, b.Auth())
	}
	var errs []error
	if secrets, err := b.secrets(t); err != nil {
		errs = append(errs, &graph.TargetError{ID: graph.ID(t.Name), Attr: "secret", Err: err})
	} else if secrets != nil {
		out = append(out, secrets)
	}
	if agents, err := b.agents(t); err != nil {
		errs = append(errs, &graph.TargetError{ID: graph.ID(t.Name), Attr: "ssh", Err: err})
	} else if agents != nil {
		out = append(out, agents)
	}
	return out, errors.Join(errs...)
}

func (b *Builder) secrets(t *config.Target) (session.Attachable, error) {
	if len(t.Secrets) == 0 {
		return nil, nil
	}
	values := map[string][]byte{}
	var errs []error
	for _, s := range t.Secrets {
		v, ok, err := b.secret(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("secret %q: %w", s.ID, err))
		} else if ok {
			values[s.ID] = v
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return secretsprovider.FromMap(values), nil
}

// secret reads one secret: an environment variable if it is named or bears the
// id, else a file. A named variable that is not set is no secret, as in buildx:
// a step that requires it fails.
func (b *Builder) secret(s config.Secret) (value []byte, ok bool, err error) {
	if s.Env != "" {
		v, ok := b.LookupEnv(s.Env)
		return []byte(v), ok, nil
	}
	file := s.Source
	if file == "" {
		if v, ok := b.LookupEnv(s.ID); ok {
			return []byte(v), true, nil
		}
		file = s.ID
	}
	fi, err := os.Stat(b.path(file))
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.Source == "":
		return nil, false, fmt.Errorf("there is neither an environment variable nor a file of that name; set src= or env=")
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, fmt.Errorf("there is no file %q", file)
	case err != nil:
		return nil, false, err
	case !fi.Mode().IsRegular():
		return nil, false, fmt.Errorf("%q is not a regular file", file)
	case fi.Size() > maxSecret:
		return nil, false, fmt.Errorf("%q has %d bytes, more than the %d a secret may have", file, fi.Size(), maxSecret)
	}
	value, err = os.ReadFile(b.path(file))
	return value, err == nil, err
}

func (b *Builder) agents(t *config.Target) (session.Attachable, error) {
	if len(t.SSH) == 0 {
		return nil, nil
	}
	var conf []sshprovider.AgentConfig
	for _, s := range t.SSH {
		c := sshprovider.AgentConfig{ID: s.ID}
		for _, p := range s.Paths {
			c.Paths = append(c.Paths, b.path(p))
		}
		if len(c.Paths) == 0 {
			sock, ok := b.LookupEnv("SSH_AUTH_SOCK")
			if !ok || strings.TrimSpace(sock) == "" {
				return nil, fmt.Errorf("ssh %q needs an agent, and SSH_AUTH_SOCK is not set; start one or name a key", s.ID)
			}
			c.Paths = []string{sock}
		}
		conf = append(conf, c)
	}
	return sshprovider.NewSSHAgentProvider(conf)
}
