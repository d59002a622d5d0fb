package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	rt "github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// An Error is a failure of a registry, the network or a login. Hint says what
// to change, in a sentence.
type Error struct {
	Host string // registry
	Ref  string // image, as it was asked for
	Op   string // what was being done: "reading", "pushing"
	Err  error
	Hint string

	Status int // of the registry's answer; 0 if there was none
}

// Error says what failed and why.
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Ref, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Explain turns the failure of an operation on ref into an *Error whose cause
// is exact and whose hint names the setting to change. A nil error, the end of
// ctx and a mistake in the reference are returned as they are.
func (c *Client) Explain(ctx context.Context, op, ref string, err error) error {
	if err == nil || ctx.Err() != nil || isReferenceError(err) {
		return err
	}
	if known, ok := errors.AsType[*Error](err); ok {
		return known
	}
	e := &Error{Host: host(ref), Ref: ref, Op: op, Err: err, Status: HTTPStatus(err)}
	for _, explain := range []func(context.Context, *Error) bool{
		c.explainGuard, c.explainTLS, c.explainNetwork, c.explainStatus,
	} {
		if explain(ctx, e) {
			break
		}
	}
	return e
}

// explainGuard knows the refusals of this package.
func (c *Client) explainGuard(_ context.Context, e *Error) bool {
	if creds, ok := errors.AsType[*CredentialsError](e.Err); ok {
		e.Err = creds
		e.Hint = fmt.Sprintf("Mend %s, or log in again with docker login %s.", creds.File, e.Host)
		return true
	}
	if realm, ok := errors.AsType[*RealmError](e.Err); ok {
		e.Err = realm
		e.Hint = fmt.Sprintf("No credentials were sent. If you trust that server, put realms = [%q] under %s.", realmHost(realm.Realm), c.table(realm.Host))
		return true
	}
	return false
}

// explainTLS knows what goes wrong between TLS, certificates and plain http.
func (c *Client) explainTLS(_ context.Context, e *Error) bool {
	plain, isPlain := errors.AsType[*PlainHTTPError](e.Err)
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(e.Err, &unknown):
		e.Err = fmt.Errorf("the certificate of %s is signed by an unknown authority: %w", e.Host, unknown)
		e.Hint = fmt.Sprintf("Put ca = [\"/path/to/ca.pem\"] under %s.", c.table(e.Host))
	case errors.As(e.Err, &invalid):
		e.Err = fmt.Errorf("the certificate of %s is not valid: %w", e.Host, invalid)
		e.Hint = "Have the certificate renewed, and check the clock of this machine."
	case errors.As(e.Err, &name):
		e.Err = fmt.Errorf("the certificate of %s is for another host: %w", e.Host, name)
		e.Hint = "Use the name that the certificate was made for."
	case errors.Is(e.Err, http.ErrSchemeMismatch), errors.As(e.Err, &record):
		e.Err = fmt.Errorf("%s does not speak TLS, it answers by plain http", e.Host)
		e.Hint = c.plainHint(e.Host)
	case isPlain:
		e.Err = plain
		e.Hint = c.plainHint(plain.Host)
	default:
		return false
	}
	return true
}

func (c *Client) plainHint(host string) string {
	return fmt.Sprintf("If that is meant, put http = true under %s, or give --registry-http %s.", c.table(host), host)
}

// explainNetwork knows why a host is not reached.
func (c *Client) explainNetwork(_ context.Context, e *Error) bool {
	var (
		dns *net.DNSError
		op  *net.OpError
	)
	if silent, ok := errors.AsType[*SilentError](e.Err); ok {
		e.Err = silent
		e.Hint = reachHint(e.Host)
		return true
	}
	switch {
	case errors.As(e.Err, &dns) && dns.IsNotFound:
		e.Err = fmt.Errorf("the host name %s does not exist: %w", dns.Name, dns)
		e.Hint = "Check the name, and whether this machine has a name server. A mirror is set with --registry-mirror " + e.Host + "=URL."
	case errors.As(e.Err, &dns):
		e.Err = fmt.Errorf("the host name %s is not to be looked up: %w", dns.Name, dns)
		e.Hint = "Check the name servers of this machine."
	case errors.Is(e.Err, syscall.ECONNREFUSED) && errors.As(e.Err, &op):
		e.Err = fmt.Errorf("nothing listens at %s: %w", op.Addr, syscall.ECONNREFUSED)
		e.Hint = "Check that the registry runs, and the port. A mirror is set with --registry-mirror " + e.Host + "=URL."
	case errors.As(e.Err, &op):
		e.Err = op
		e.Hint = reachHint(e.Host)
	default:
		return false
	}
	return true
}

func reachHint(host string) string {
	return fmt.Sprintf("Check that %s is to be reached from here; HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured.", host)
}

// explainStatus knows what registries answer.
func (c *Client) explainStatus(ctx context.Context, e *Error) bool {
	if passing, ok := errors.AsType[*StatusError](e.Err); ok {
		e.Err = passing
		e.Hint = "Try again later."
		return true
	}
	status := statusOf(e.Err)
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		c.explainDenied(ctx, e, status)
	case http.StatusNotFound:
		e.Err = fmt.Errorf("not found in %s", e.Host)
		e.Hint = c.notFoundHint(ctx, e.Host)
	case http.StatusBadRequest:
		if !c.settings.plain(e.Host) {
			return false
		}
		e.Err = fmt.Errorf("%s does not understand plain http: %w", e.Host, e.Err)
		e.Hint = fmt.Sprintf("If it speaks TLS, put http = false under %s.", c.table(e.Host))
	default:
		return false
	}
	return true
}

func (c *Client) explainDenied(ctx context.Context, e *Error, status int) {
	user, source := c.keys.Account(ctx, e.Host)
	verb := "may not do this"
	if status == http.StatusUnauthorized {
		verb = "is not accepted"
	}
	if user == "" {
		e.Err = fmt.Errorf("%s answers %d: it wants a login: %w", e.Host, status, e.Err)
		e.Hint = fmt.Sprintf("%s has no credentials for it. Log in with docker login %s.", source, e.Host)
		return
	}
	e.Err = fmt.Errorf("%s answers %d: account %q %s: %w", e.Host, status, user, verb, e.Err)
	e.Hint = fmt.Sprintf("The account comes from %s. Log in with docker login %s, or ask for access.", source, e.Host)
}

func (c *Client) notFoundHint(ctx context.Context, host string) string {
	if user, _ := c.keys.Account(ctx, host); user == "" {
		return "Check name and tag. A private image looks like this too: docker login " + host + "."
	}
	return "Check name and tag."
}

// table names the place of a host's settings.
func (c *Client) table(host string) string {
	file := c.settings.file
	if file == "" {
		file = "registries.toml"
	}
	return fmt.Sprintf("[registry.%q] in %s", host, file)
}

// statusOf digs the HTTP status out of the errors of the libraries, 0 if none
// is in there.
func statusOf(err error) int {
	if e, ok := errors.AsType[*rt.Error](err); ok {
		return e.StatusCode
	}
	if e, ok := errors.AsType[remoteerrors.ErrUnexpectedStatus](err); ok {
		return e.StatusCode
	}
	switch {
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return http.StatusUnauthorized
	case errdefs.IsNotFound(err):
		return http.StatusNotFound
	}
	return 0
}

// HTTPStatus is the status that a registry answered with, 0 if err is not
// about an answer.
func HTTPStatus(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	if e, ok := errors.AsType[*StatusError](err); ok {
		return e.StatusCode
	}
	return statusOf(err)
}
