package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// A RealmError says that a registry asked to have credentials sent to a place
// that is not its own.
type RealmError struct {
	Host   string // the registry
	Realm  string
	Reason error
}

// Error says what was refused and why.
func (e *RealmError) Error() string {
	return fmt.Sprintf("registry %s names the token server %q: %v", e.Host, e.Realm, e.Reason)
}

// Unwrap returns the reason.
func (e *RealmError) Unwrap() error { return e.Reason }

var (
	errNotURL       = errors.New("not a URL")
	errPlainRealm   = errors.New("it is not spoken to by TLS")
	errForeignRealm = errors.New("it belongs to somebody else")
	errPrivateRealm = errors.New("it is an address of a private network")
)

// checkRealm decides whether a token for host may be fetched from realm. With
// credentials at stake the two must have the same owner; without, the realm
// need only be a public place, as vanity host names for public registries do.
func (s Settings) checkRealm(host, realm string, credentials bool) error {
	refuse := func(reason error) error {
		return &RealmError{Host: host, Realm: realm, Reason: reason}
	}
	u, err := url.Parse(realm)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return refuse(errNotURL)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !s.plain(u.Host)) {
		return refuse(errPlainRealm)
	}
	registry, server := hostname(strings.ToLower(host)), strings.ToLower(u.Hostname())
	switch {
	case registry == server, s.trustsRealm(host, u.Host):
		return nil
	case !isPublicName(server) && isPublicName(registry):
		return refuse(errPrivateRealm)
	case credentials && !sameOwner(registry, server):
		return refuse(errForeignRealm)
	case !credentials && !isPublicName(server) && !sameOwner(registry, server):
		return refuse(errPrivateRealm)
	}
	return nil
}

// trustsRealm reports whether the user's settings name the token server.
func (s Settings) trustsRealm(host, server string) bool {
	return slices.ContainsFunc(s.host(host).Realms, func(r string) bool {
		return strings.EqualFold(r, server)
	})
}

// sameOwner reports whether two host names were registered by one owner.
// Addresses and names without a dot have no owner to compare.
func sameOwner(a, b string) bool {
	if !isPublicName(a) || !isPublicName(b) {
		return false
	}
	ownerA, errA := publicsuffix.EffectiveTLDPlusOne(strings.TrimSuffix(a, "."))
	ownerB, errB := publicsuffix.EffectiveTLDPlusOne(strings.TrimSuffix(b, "."))
	return errA == nil && errB == nil && ownerA == ownerB
}

// isPublicName reports whether host is a name of the public DNS or a public
// address. Spellings of addresses that only some resolvers read ("127.1",
// "0x7f000001", "2130706433") are not names.
func isPublicName(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		return addr.IsGlobalUnicast() && !addr.IsPrivate()
	}
	host = strings.TrimSuffix(host, ".")
	dot := strings.LastIndexByte(host, '.')
	if dot < 0 {
		return false
	}
	switch top := host[dot+1:]; {
	case top == "localhost", top == "local", top == "internal":
		return false
	default:
		return top != "" && (top[0] < '0' || top[0] > '9')
	}
}

// realmHost is the host of a realm, or the realm itself if it has none.
func realmHost(realm string) string {
	if u, err := url.Parse(realm); err == nil && u.Host != "" {
		return u.Host
	}
	return realm
}
