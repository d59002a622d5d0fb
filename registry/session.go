package registry

import (
	"context"
	"errors"
	"net/http"
	"time"

	authutil "github.com/containerd/containerd/v2/core/remotes/docker/auth"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/auth/authprovider"
	"google.golang.org/grpc"
)

// SessionAuth returns the session attachable through which an engine logs in:
// as BuildKit's own, but tokens are fetched by c, under the same rules as all
// its requests. It lives as long as c.
func (c *Client) SessionAuth() session.Attachable {
	inner := authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: func(ctx context.Context, host string, _ []string, _ authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
			return c.keys.AuthConfig(ctx, host)
		},
	})
	return &sessionAuth{AuthServer: inner.(auth.AuthServer), client: c}
}

// sessionAuth is BuildKit's provider with a FetchToken of ours.
type sessionAuth struct {
	auth.AuthServer
	client *Client
}

// Register implements session.Attachable.
func (a *sessionAuth) Register(server *grpc.Server) { auth.RegisterAuthServer(server, a) }

// FetchToken fetches a token for the engine, so that it never sees a password.
func (a *sessionAuth) FetchToken(ctx context.Context, req *auth.FetchTokenRequest) (*auth.FetchTokenResponse, error) {
	ac, err := a.client.keys.AuthConfig(ctx, req.Host)
	if err != nil {
		return nil, err
	}
	if ac.RegistryToken != "" {
		return tokenResponse(ac.RegistryToken, time.Time{}, 0), nil
	}
	user, secret, err := a.client.keys.secret(req.Host)
	if err != nil {
		return nil, err
	}
	if err := a.client.settings.checkRealm(req.Host, req.Realm, secret != ""); err != nil {
		return nil, err
	}
	a.client.guard.note(req.Realm)
	return a.client.fetchToken(ctx, authutil.TokenOptions{
		Realm: req.Realm, Service: req.Service, Scopes: req.Scopes, Username: user, Secret: secret,
	})
}

// fetchToken asks as OAuth wants it, and as older token servers want it if this
// one does not know OAuth.
func (c *Client) fetchToken(ctx context.Context, to authutil.TokenOptions) (*auth.FetchTokenResponse, error) {
	client := &http.Client{Transport: c.http.Transport, CheckRedirect: noRedirect}
	if to.Secret != "" {
		resp, err := authutil.FetchTokenWithOAuth(ctx, client, nil, "strata", to)
		if err == nil {
			return tokenResponse(resp.AccessToken, resp.IssuedAt, resp.ExpiresInSeconds), nil
		}
		status, ok := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
		if !ok || !speaksNoOAuth(status.StatusCode, to.Username) {
			return nil, err
		}
	}
	resp, err := authutil.FetchToken(ctx, client, nil, to)
	if err != nil {
		return nil, err
	}
	return tokenResponse(resp.Token, resp.IssuedAt, resp.ExpiresInSeconds), nil
}

// speaksNoOAuth reports whether a token server's refusal of an OAuth request
// means that it wants the other kind, as containerd reads it.
func speaksNoOAuth(status int, user string) bool {
	switch status {
	case http.StatusMethodNotAllowed:
		return user != ""
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusBadRequest:
		return true
	}
	return false
}

func noRedirect(*http.Request, []*http.Request) error { return errRedirect }

func tokenResponse(token string, issued time.Time, expires int) *auth.FetchTokenResponse {
	if expires == 0 {
		expires = 60 // what the protocol says when the server does not
	}
	resp := &auth.FetchTokenResponse{Token: token, ExpiresIn: int64(expires)}
	if !issued.IsZero() {
		resp.IssuedAt = issued.Unix()
	}
	return resp
}
