package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/credentials"
	"github.com/docker/cli/cli/config/types"
	helper "github.com/docker/docker-credential-helpers/client"
	helperrors "github.com/docker/docker-credential-helpers/credentials"
	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/sync/singleflight"
)

// dockerHubKey is the name of Docker Hub in Docker's configuration.
const dockerHubKey = "https://index.docker.io/v1/"

// helperTimeout is how long a credential helper may think.
const helperTimeout = 10 * time.Second

// A Keychain finds credentials in the user's Docker configuration and in the
// credential helpers it names. It asks once per host and remembers the answer.
type Keychain struct {
	dir     string
	timeout time.Duration
	load    func() (*configfile.ConfigFile, error)

	flight singleflight.Group
	mu     sync.Mutex
	found  map[string]credential
}

// A credential is what is known for one host.
type credential struct {
	types.AuthConfig
	source string // where it comes from, for messages
	err    error
}

var (
	_ authn.Keychain        = (*Keychain)(nil)
	_ authn.ContextKeychain = (*Keychain)(nil)
)

// NewKeychain returns the keychain of $DOCKER_CONFIG, else ~/.docker. Nothing
// is read before credentials are asked for.
func NewKeychain(lookupEnv func(string) (string, bool)) *Keychain {
	dir, _ := lookupEnv("DOCKER_CONFIG")
	if home, ok := lookupEnv("HOME"); dir == "" && ok {
		dir = filepath.Join(home, ".docker")
	}
	k := &Keychain{dir: dir, timeout: helperTimeout, found: map[string]credential{}}
	k.load = sync.OnceValues(func() (*configfile.ConfigFile, error) {
		if dir == "" {
			return configfile.New(""), nil
		}
		return config.Load(dir)
	})
	return k
}

// File is the Docker configuration file that credentials are looked up in.
func (k *Keychain) File() string { return filepath.Join(k.dir, config.ConfigFileName) }

// AuthConfig returns the credentials of host, empty if there are none. An error
// says that they may exist and were not to be had.
func (k *Keychain) AuthConfig(ctx context.Context, host string) (types.AuthConfig, error) {
	c := k.lookup(ctx, host)
	return c.AuthConfig, c.err
}

// Account says whose credentials are sent to host, and where they come from.
// The user is "" if there are none.
func (k *Keychain) Account(ctx context.Context, host string) (user, source string) {
	c := k.lookup(ctx, host)
	switch {
	case !c.any():
		return "", k.File()
	case c.Username != "":
		return c.Username, c.source
	}
	return "a token", c.source
}

// Resolve finds the credentials of a registry for go-containerregistry.
func (k *Keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), r)
}

// ResolveContext is Resolve with a context.
func (k *Keychain) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	c := k.lookup(ctx, r.RegistryStr())
	if c.err != nil {
		return nil, c.err
	}
	if !c.any() {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(authn.AuthConfig{
		Username:      c.Username,
		Password:      c.Password,
		Auth:          c.Auth,
		IdentityToken: c.IdentityToken,
		RegistryToken: c.RegistryToken,
	}), nil
}

// secret returns the credentials of host as containerd wants them: a token has
// no user.
func (k *Keychain) secret(host string) (user, secret string, err error) {
	c := k.lookup(context.Background(), host)
	if c.IdentityToken != "" {
		return "", c.IdentityToken, c.err
	}
	return c.Username, c.Password, c.err
}

func (c credential) any() bool {
	return c.Username != "" || c.Password != "" || c.Auth != "" || c.IdentityToken != "" || c.RegistryToken != ""
}

func (k *Keychain) lookup(ctx context.Context, host string) credential {
	key := canonicalHost(host)
	if key == "docker.io" {
		key = dockerHubKey
	}
	k.mu.Lock()
	c, ok := k.found[key]
	k.mu.Unlock()
	if ok {
		return c
	}
	v, _, _ := k.flight.Do(key, func() (any, error) {
		c := k.find(ctx, key)
		if ctx.Err() == nil { // what a cancelled helper said is no answer
			k.mu.Lock()
			k.found[key] = c
			k.mu.Unlock()
		}
		return c, nil
	})
	return v.(credential)
}

// find looks where Docker looks, in its order: the environment, the helper of
// the host or of all hosts, the file.
func (k *Keychain) find(ctx context.Context, key string) credential {
	env, err := configfile.New("").GetAuthConfig(key)
	c := credential{AuthConfig: env, source: configfile.DockerEnvConfigKey}
	if err == nil && c.any() {
		return c
	}
	file, err := k.load()
	if err != nil {
		return credential{err: &CredentialsError{File: k.File(), Err: err}}
	}
	name := file.CredentialsStore
	if n, ok := file.CredentialHelpers[key]; ok {
		name = n
	}
	if name != "" {
		return k.askHelper(ctx, name, key)
	}
	ac, err := credentials.NewFileStore(file).Get(key)
	return credential{AuthConfig: ac, source: k.File(), err: err}
}

// askHelper runs docker-credential-NAME and kills it when it hangs.
func (k *Keychain) askHelper(ctx context.Context, name, key string) credential {
	program := "docker-credential-" + name
	ctx, cancel := context.WithTimeoutCause(ctx, k.timeout, fmt.Errorf("no answer within %s", k.timeout))
	defer cancel()
	var stderr bytes.Buffer
	creds, err := helper.Get(func(args ...string) helper.Program {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Stderr = &stderr
		cmd.WaitDelay = time.Second // for children that keep the pipe open
		killGroup(cmd)
		return helperProgram{cmd}
	}, key)
	c := credential{source: program + " (named in " + k.File() + ")"}
	switch {
	case err == nil && creds.Username == "<token>":
		c.IdentityToken = creds.Secret
	case err == nil:
		c.Username, c.Password = creds.Username, creds.Secret
	case helperrors.IsErrCredentialsNotFound(err):
	default:
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		} else if msg := strings.TrimSpace(stderr.String()); msg != "" {
			err = fmt.Errorf("%w: %s", err, msg)
		}
		c.err = &CredentialsError{File: k.File(), Helper: program, Err: err}
	}
	return c
}

// helperProgram makes a command what the helper client wants to run.
type helperProgram struct{ cmd *exec.Cmd }

func (p helperProgram) Output() ([]byte, error) { return p.cmd.Output() }
func (p helperProgram) Input(in io.Reader)      { p.cmd.Stdin = in }

// A CredentialsError says that credentials may exist and were not to be had.
type CredentialsError struct {
	File   string // Docker configuration
	Helper string // program that failed, "" if the file itself is at fault
	Err    error
}

// Error says which file or program failed, and how.
func (e *CredentialsError) Error() string {
	if e.Helper == "" {
		return fmt.Sprintf("reading credentials: %v", e.Err)
	}
	if errors.Is(e.Err, exec.ErrNotFound) {
		return fmt.Sprintf("credential helper %s is not on PATH", e.Helper)
	}
	return fmt.Sprintf("credential helper %s: %v", e.Helper, e.Err)
}

// Unwrap returns the cause.
func (e *CredentialsError) Unwrap() error { return e.Err }
