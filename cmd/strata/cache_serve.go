package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/cache/server"
)

func newCacheServeCmd(a *app) *cobra.Command {
	var opts server.Options
	var asJSON, requests bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a registry for a team or a test",
		Long: `Serve an OCI registry until a signal ends it: the distribution project's, with its
content in a directory. It takes images, layer caches and the index alike. On loopback it
speaks plain http and answers to this machine's names only; anywhere else it needs a
certificate. Without --htpasswd whoever reaches it may read and write.
` + exitStatusHelp,
		Example: "  strata cache serve\n  strata cache serve --addr :443 --tls-cert cert.pem --tls-key key.pem --htpasswd accounts --root /srv/registry",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Root == "" {
				opts.Root = registryDir(a.lookupEnv)
			}
			if requests {
				opts.Log = a.err
			}
			return a.cacheServe(cmd.Context(), opts, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Addr, "addr", server.DefaultAddr, "`host:port` to listen at; port 0 is any that is free")
	f.StringVar(&opts.Root, "root", "", "`directory` of the content; default strata/registry in the user's data directory")
	f.StringVar(&opts.Htpasswd, "htpasswd", "", "`file` of the accounts that may use it, made with htpasswd -B")
	f.BoolVar(&opts.ReadOnly, "readonly", false, "take nothing and delete nothing")
	f.StringVar(&opts.CertFile, "tls-cert", "", "`file` of the certificate, in PEM")
	f.StringVar(&opts.KeyFile, "tls-key", "", "`file` of the certificate's key, in PEM")
	f.BoolVar(&opts.Collect, "gc", false, "first delete what no tag leads to")
	f.BoolVar(&requests, "log", false, "write a line for each request to standard error")
	f.BoolVar(&asJSON, "json", false, "print where it listens as JSON")
	return cmd
}

// registryDir is where a registry keeps its content if nothing is said.
func registryDir(lookupEnv func(string) (string, bool)) string {
	if dir, ok := lookupEnv("XDG_DATA_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "strata", "registry")
	}
	if home, ok := lookupEnv("HOME"); ok && home != "" {
		return filepath.Join(home, ".local", "share", "strata", "registry")
	}
	return ""
}

func (a *app) cacheServe(ctx context.Context, opts server.Options, asJSON bool) error {
	s, err := server.Listen(ctx, opts)
	if err != nil {
		return serveError(err)
	}
	if asJSON {
		err = writeJSON(a.out, map[string]any{"schema": 1, "host": s.Host(), "url": s.URL(), "root": opts.Root})
	} else {
		_, err = fmt.Fprintf(a.out, "serving %s at %s\n", opts.Root, s.URL())
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	if err := s.Serve(ctx); err != nil {
		return withStatus(exitLocal, err)
	}
	return nil
}

// serveError gives a failure to listen its exit status.
func serveError(err error) error {
	if _, ok := errors.AsType[*server.OptionError](err); ok {
		return withStatus(exitUsage, err)
	}
	return withStatus(exitLocal, err)
}
