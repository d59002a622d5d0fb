package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerui"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	"github.com/moby/buildkit/util/archiveutil"
	"github.com/moby/buildkit/util/gitutil"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor"
)

// maxDefinition is bake's limit for one file of a remote definition.
const maxDefinition = 2 << 20

// IsRemote reports whether an argument of bake is a URL or a git reference and
// not the name of a target.
func IsRemote(arg string) bool {
	if strings.HasPrefix(arg, "https://") || strings.HasPrefix(arg, "http://") {
		return true
	}
	_, ok, _ := dfgitutil.ParseGitRef(arg) // a bad one is told when it is read
	return ok
}

// A RemoteReader reads build files from git repositories, archives and web
// servers.
type RemoteReader struct {
	// Engine opens the engine, which fetches repositories and archives. A
	// single file needs none.
	Engine func(context.Context) (*engine.Engine, error)
	// Dir is a new directory for what is in an archive. It is the caller's.
	Dir       func() (string, error)
	LookupEnv func(string) (string, bool)
	// Emit is told what the engine does meanwhile. It may be nil.
	Emit func(executor.Event)
}

// Read reads the build files called names of what address stands for; without
// names those of bake's names that are there. An address of one file is that
// file, and contexts are local then.
func (r *RemoteReader) Read(ctx context.Context, address string, names []string) (*config.Remote, error) {
	out, err := r.read(ctx, address, names)
	if err != nil {
		return nil, fmt.Errorf("reading the definition %s: %w", redacted(address), err)
	}
	return out, nil
}

func (r *RemoteReader) read(ctx context.Context, address string, names []string) (*config.Remote, error) {
	advice, _ := r.LookupEnv("BUILDX_BAKE_GIT_ADVICE")
	withAdvice, _ := strconv.ParseBool(advice) // as bake: what is no bool is false
	keepGitDir := false
	repo, isGit, err := dockerui.DetectGitContext(address, &keepGitDir, llb.GitAdvice(withAdvice))
	if isGit {
		if err != nil {
			return nil, err
		}
		files, err := r.repository(ctx, *repo, address, names)
		return &config.Remote{Files: files, Context: address}, err
	}
	data, err := fetch(ctx, address)
	if err != nil {
		return nil, err
	}
	if archiveutil.IsArchive(data) {
		return r.archive(ctx, address, names)
	}
	if len(data) > maxDefinition {
		return nil, errTooLarge
	}
	return &config.Remote{Files: []config.RemoteFile{{Name: address, Data: data}}}, nil
}

var errTooLarge = fmt.Errorf("it is larger than %d MiB", maxDefinition>>20)

// fetch gets at most one byte more than a definition may have.
func fetch(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	c := &http.Client{Timeout: time.Minute}
	defer c.CloseIdleConnections()
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answers %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxDefinition+1))
}

// repository reads files of a git repository.
func (r *RemoteReader) repository(ctx context.Context, repo llb.State, address string, names []string) ([]config.RemoteFile, error) {
	var files []config.RemoteFile
	err := r.solve(ctx, repo, client.SolveOpt{Session: r.gitSession(address)}, func(ctx context.Context, ref gwclient.Reference) error {
		var err error
		files, err = readFiles(names, func(name string) ([]byte, error) {
			st, err := ref.StatFile(ctx, gwclient.StatRequest{Path: name})
			if err != nil {
				return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err) // all else was found out by solving
			}
			if st.Size > maxDefinition {
				return nil, errTooLarge
			}
			return ref.ReadFile(ctx, gwclient.ReadRequest{Filename: name})
		})
		return err
	})
	return files, err
}

// archive has the engine unpack an archive and reads files of it.
func (r *RemoteReader) archive(ctx context.Context, address string, names []string) (*config.Remote, error) {
	packed, name, ok := dockerui.DetectHTTPContext(address)
	if !ok {
		return nil, errors.New("it is no address of an archive")
	}
	dir, err := r.Dir()
	if err != nil {
		return nil, err
	}
	unpacked := llb.Scratch().File(llb.Copy(*packed, name, "/", &llb.CopyInfo{AttemptUnpack: true}), llb.WithCustomName("unpack "+redacted(address)))
	out := client.SolveOpt{Exports: []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: dir}}}
	if err := r.solve(ctx, unpacked, out, nil); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	files, err := readFiles(names, func(name string) ([]byte, error) {
		f, err := root.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxDefinition+1))
		if err == nil && len(data) > maxDefinition {
			err = errTooLarge
		}
		return data, err
	})
	return &config.Remote{Files: files, Context: dir}, err
}

// readFiles reads the files called names, or of bake's names those that exist.
func readFiles(names []string, read func(string) ([]byte, error)) ([]config.RemoteFile, error) {
	wanted := names
	if len(names) == 0 {
		wanted = config.BakeFiles()
	}
	var out []config.RemoteFile
	for _, name := range wanted {
		data, err := read(name)
		switch {
		case err == nil:
			out = append(out, config.RemoteFile{Name: name, Data: data})
		case errors.Is(err, fs.ErrNotExist) && len(names) == 0:
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("there is no file %q", name)
		default:
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("it has none of %s; name its file with -f", strings.Join(wanted, ", "))
	}
	return out, nil
}

// solve evaluates st on the engine and lets read look at it.
func (r *RemoteReader) solve(ctx context.Context, st llb.State, opt client.SolveOpt, read func(context.Context, gwclient.Reference) error) error {
	e, err := r.Engine(ctx)
	if err != nil {
		return err
	}
	def, err := st.Marshal(ctx)
	if err != nil {
		return err
	}
	opt.Internal = true
	emit := r.Emit
	if emit == nil {
		emit = func(executor.Event) {}
	}
	status, tracker := make(chan *client.SolveStatus, 16), newTracker(emit)
	var told sync.WaitGroup
	told.Go(func() {
		for s := range status {
			tracker.update("", s)
		}
	})
	var found error // by read, without the words that BuildKit puts before it
	_, err = e.Client().Build(ctx, opt, "strata", func(ctx context.Context, gw gwclient.Client) (*gwclient.Result, error) {
		res, err := gw.Solve(ctx, gwclient.SolveRequest{Definition: def.ToPB(), Evaluate: true})
		if err != nil || read == nil {
			return res, err
		}
		ref, err := res.SingleRef()
		if err != nil {
			return nil, err
		}
		found = read(ctx, ref)
		return gwclient.NewResult(), found
	}, status)
	told.Wait()
	if found != nil {
		return found
	}
	return err
}

// gitSession is what the engine may use to read the repository: the ssh keys and
// the credentials that the environment gives for it.
func (r *RemoteReader) gitSession(address string) []session.Attachable {
	var out []session.Attachable
	keys, _ := r.LookupEnv("BUILDX_BAKE_GIT_SSH")
	if keys == "" {
		keys, _ = r.LookupEnv("SSH_AUTH_SOCK")
	}
	if keys != "" {
		// What can not be used is no mistake until the repository asks for it.
		if p, err := sshprovider.NewSSHAgentProvider([]sshprovider.AgentConfig{{ID: "default", Paths: strings.Split(keys, ",")}}); err == nil {
			out = append(out, p)
		}
	}
	values := map[string][]byte{}
	for _, s := range GitSecrets(address, address, r.LookupEnv) {
		v, _ := r.LookupEnv(s.Env)
		values[s.ID] = []byte(v)
	}
	if len(values) > 0 {
		out = append(out, secretsprovider.FromMap(values))
	}
	return out
}

// GitSecrets are the credentials of the environment for the host of the remote
// definition, if context is on that host too.
func GitSecrets(definition, context string, lookupEnv func(string) (string, bool)) []config.Secret {
	host := gitHost(definition)
	if host == "" || !strings.EqualFold(host, gitHost(context)) {
		return nil
	}
	var out []config.Secret
	for _, s := range []config.Secret{
		{ID: llb.GitAuthTokenKey + "." + host, Env: "BUILDX_BAKE_GIT_AUTH_TOKEN"},
		{ID: llb.GitAuthHeaderKey + "." + host, Env: "BUILDX_BAKE_GIT_AUTH_HEADER"},
	} {
		if v, ok := lookupEnv(s.Env); ok && v != "" {
			out = append(out, s)
		}
	}
	return out
}

// gitHost is the host of a git reference, "" if there is none.
func gitHost(address string) string {
	ref, ok, err := dfgitutil.ParseGitRef(address)
	if !ok || err != nil {
		return ""
	}
	u, err := gitutil.ParseURL(ref.Remote)
	if err != nil {
		return ""
	}
	return u.Host
}

// redacted is address without a password.
func redacted(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return address
}
