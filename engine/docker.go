package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	dockerconfig "github.com/docker/cli/cli/config"
	dockercontext "github.com/docker/cli/cli/context"
	dockerendpoint "github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	"github.com/moby/buildkit/client"
	dockerclient "github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
)

const (
	// socketPatience is how long a Docker socket nobody asked for may take to
	// answer; dockerPatience is for a daemon that the user's settings place
	// on another machine.
	socketPatience = 300 * time.Millisecond
	dockerPatience = 3 * time.Second

	// minDockerAPI is the API of Docker Engine 23.0, the first whose BuildKit
	// (0.11) answers the calls that Strata makes.
	minDockerAPI     = "1.42"
	minDockerVersion = "23.0"

	dockerHint = "is the Docker Engine running, and may you use it? docker version tells"
)

// snapshotterLabel is on the worker of a Docker Engine whose images live in
// containerd's store; with a graph driver it is not there.
const snapshotterLabel = "org.mobyproject.buildkit.worker.snapshotter"

// A Docker is the Docker Engine whose BuildKit is used.
type Docker struct {
	// ContainerdStore says that images live in containerd's store, so that
	// BuildKit's image, oci and docker exporters work there. Without it only
	// the exporters of files and "moby" do.
	ContainerdStore bool

	api *dockerclient.Client
}

// Load reads an image archive into the Docker Engine's images.
func (d *Docker) Load(ctx context.Context, archive io.Reader) error {
	res, err := d.api.ImageLoad(ctx, archive, dockerclient.ImageLoadWithQuiet(true))
	if err != nil {
		return fmt.Errorf("loading into docker: %w", err)
	}
	err = loadFailure(res)
	if closeErr := res.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("loading into docker: %w", err)
	}
	return nil
}

// loadFailure finds the error in the messages that Docker answers an upload
// with: its status is 200 whatever happened.
func loadFailure(messages io.Reader) error {
	dec := json.NewDecoder(messages)
	for {
		var m struct {
			Error string `json:"error"`
		}
		err := dec.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.Error != "":
			return errors.New(m.Error)
		}
	}
}

// A dockerPlace is where the user's settings say a Docker Engine is.
type dockerPlace struct {
	endpoint dockerendpoint.Endpoint
	chosen   bool // by the user, not by default
}

// name is the place's host for messages.
func (p dockerPlace) name() string { return "docker (" + p.endpoint.Host + ")" }

// openNamedDocker connects to the Docker Engine that the user asked for: where
// is a context's name, a host, or "" for what the Docker CLI would use.
func openNamedDocker(ctx context.Context, opts Options, where string) (*Engine, error) {
	place, err := findDocker(opts, where)
	if err != nil {
		return nil, &UnreachableError{Address: "docker:" + where, Err: err, Hint: "docker context ls lists the contexts"}
	}
	return openDocker(ctx, opts, place, answerTimeout)
}

// probeDocker connects to the Docker Engine that happens to be there. With
// none there it returns neither an engine nor an error; one that is passed over
// although the user may count on it is an error.
func probeDocker(ctx context.Context, opts Options) (*Engine, error) {
	place, err := findDocker(opts, "")
	if err != nil {
		return nil, &UnreachableError{Address: "docker", Err: err}
	}
	patience := dockerPatience
	if path, isUnix := strings.CutPrefix(place.endpoint.Host, "unix://"); isUnix {
		if _, err := os.Stat(path); err != nil && !place.chosen {
			return nil, nil
		}
		patience = socketPatience
	}
	e, err := openDocker(ctx, opts, place, patience)
	var old *dockerTooOldError
	if err != nil && !place.chosen && !errors.As(err, &old) {
		return nil, nil
	}
	return e, err
}

// A dockerTooOldError reports a Docker Engine that answers but cannot do what
// Strata needs.
type dockerTooOldError struct{ api string }

func (e *dockerTooOldError) Error() string {
	return fmt.Sprintf("it is too old: it speaks API %s, and %s (Docker Engine %s) is needed", e.api, minDockerAPI, minDockerVersion)
}

// openDocker connects to the Docker Engine at place, which must say within
// patience that it is there.
func openDocker(ctx context.Context, opts Options, place dockerPlace, patience time.Duration) (*Engine, error) {
	e := &Engine{
		kind:    KindDocker,
		name:    place.name(),
		address: place.name(),
		hint:    dockerHint,
		notice:  opts.Notice,
	}
	apiOpts, err := place.endpoint.ClientOpts()
	if err != nil {
		return nil, e.unreachable(err)
	}
	api, err := dockerclient.New(apiOpts...)
	if err != nil {
		return nil, e.unreachable(err)
	}
	e.closers = append(e.closers, api.Close)
	if err := checkDocker(ctx, api, patience); err != nil {
		return nil, errors.Join(e.unreachable(err), e.Close())
	}
	err = e.connect(ctx, "passthrough:///docker",
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return api.DialHijack(ctx, "/grpc", "h2c", nil)
		}),
		client.WithSessionDialer(func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
			return api.DialHijack(ctx, "/session", proto, meta)
		}))
	if err != nil {
		return nil, err
	}
	_, containerd := e.workers[0].Labels[snapshotterLabel]
	e.docker = &Docker{ContainerdStore: containerd, api: api}
	return e, nil
}

// checkDocker asks what is behind the API socket.
func checkDocker(ctx context.Context, api *dockerclient.Client, patience time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errNoAnswerWithin(patience))
	defer cancel()
	ping, err := api.Ping(ctx, dockerclient.PingOptions{})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	switch {
	case ping.OSType == "windows":
		return errors.New("it runs Windows containers, which BuildKit there does not build")
	case ping.APIVersion == "" || versions.LessThan(ping.APIVersion, minDockerAPI):
		return &dockerTooOldError{api: ping.APIVersion}
	}
	return nil
}

// findDocker reads where a Docker Engine is as the Docker CLI does: a host or
// context by name, DOCKER_HOST, DOCKER_CONTEXT, the current context, and last
// the default socket.
func findDocker(opts Options, where string) (dockerPlace, error) {
	host, name := opts.env("DOCKER_HOST"), opts.env("DOCKER_CONTEXT")
	switch {
	case strings.Contains(where, "://"):
		host = where
	case where != "":
		host, name = "", where
	}
	if host != "" {
		return dockerHost(opts, host)
	}
	dir := dockerConfigDir(opts)
	if name == "" {
		name = currentContext(dir)
	}
	if name == "" || name == "default" {
		place, err := dockerHost(opts, dockerclient.DefaultDockerHost)
		place.chosen = false
		return place, err
	}
	return dockerContext(dir, name)
}

// dockerHost is the place at a host, with TLS if DOCKER_TLS_VERIFY asks for it.
func dockerHost(opts Options, host string) (dockerPlace, error) {
	place := dockerPlace{chosen: true}
	place.endpoint.Host = host
	if opts.env("DOCKER_TLS_VERIFY") == "" {
		return place, nil
	}
	certs := opts.env("DOCKER_CERT_PATH")
	if certs == "" {
		certs = dockerConfigDir(opts)
	}
	tls, err := dockercontext.TLSDataFromFiles(
		filepath.Join(certs, "ca.pem"), filepath.Join(certs, "cert.pem"), filepath.Join(certs, "key.pem"))
	if err != nil {
		return place, fmt.Errorf("reading DOCKER_CERT_PATH: %w", err)
	}
	place.endpoint.TLSData = tls
	return place, nil
}

// dockerContext is the place of a context in the Docker CLI's store.
func dockerContext(dir, name string) (dockerPlace, error) {
	contexts := store.New(filepath.Join(dir, "contexts"), store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter(dockerendpoint.DockerEndpoint, func() any { return &dockerendpoint.EndpointMeta{} }),
	))
	place := dockerPlace{chosen: true}
	meta, err := contexts.GetMetadata(name)
	if err != nil {
		return place, err
	}
	endpoint, err := dockerendpoint.EndpointFromContext(meta)
	if err != nil {
		return place, fmt.Errorf("context %q: %w", name, err)
	}
	place.endpoint, err = dockerendpoint.WithTLSData(contexts, name, endpoint)
	if err != nil {
		return place, fmt.Errorf("context %q: %w", name, err)
	}
	return place, nil
}

// dockerConfigDir is where the Docker CLI keeps its settings.
func dockerConfigDir(opts Options) string {
	if dir := opts.env("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	return filepath.Join(opts.env("HOME"), ".docker")
}

// currentContext is the context that "docker context use" chose. Settings that
// cannot be read choose none: the Docker CLI is the one to complain.
func currentContext(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, dockerconfig.ConfigFileName))
	if err != nil {
		return ""
	}
	settings, err := dockerconfig.LoadFromReader(bytes.NewReader(text))
	if err != nil {
		return ""
	}
	return settings.CurrentContext
}
