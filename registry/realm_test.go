package registry_test

import (
	"errors"
	"testing"

	"github.com/strata-build/strata/registry"
)

func TestCheckRealm(t *testing.T) {
	s := loadSettings(t, `
[registry."reg.example.org"]
  realms = ["login.example.com"]
[registry."plain.lan:5000"]
  http = true
`)
	tests := []struct {
		host, realm string
		anonymous   bool // allowed without credentials
		login       bool // allowed with credentials
	}{
		{"registry-1.docker.io", "https://auth.docker.io/token", true, true},
		{"registry.gitlab.com", "https://gitlab.com/jwt/auth", true, true},
		{"ghcr.io", "https://ghcr.io/token", true, true},
		{"vanity.example.org", "https://ghcr.io/token", true, false},
		{"reg.example.org", "https://login.example.com/t", true, true},
		{"reg.example.org", "https://login.example.com.evil.net/t", true, false},
		{"reg.example.org", "http://reg.example.org/t", false, false},
		{"a.github.io", "https://b.github.io/t", true, false}, // public suffix
		{"reg.co.uk", "https://evil.co.uk/t", true, false},
		{"reg.example.org", "https://169.254.169.254/latest", false, false},
		{"reg.example.org", "http://169.254.169.254/latest", false, false},
		{"reg.example.org", "https://2852039166/", false, false},
		{"reg.example.org", "https://0xa9fea9fe/", false, false},
		{"reg.example.org", "https://127.1/", false, false},
		{"reg.example.org", "https://[::ffff:10.0.0.1]/", false, false},
		{"reg.example.org", "https://localhost/", false, false},
		{"reg.example.org", "https://vault.internal/", false, false},
		{"reg.example.org", "https://user@reg.example.org/", false, false},
		{"reg.example.org", "file:///etc/passwd", false, false},
		{"reg.example.org", "//reg.example.org/t", false, false},
		{"reg.example.org", "", false, false},
		{"10.0.0.5:5000", "https://10.0.0.5:5001/t", true, true},
		{"10.0.0.5:5000", "https://10.0.0.6/t", false, false},
		{"127.0.0.1:5000", "http://127.0.0.1:5001/t", true, true},
		{"127.0.0.1:5000", "http://127.0.0.2:5001/t", false, false},
		{"plain.lan:5000", "http://plain.lan:5000/t", true, true},
		{"plain.lan:5000", "http://plain.lan:5001/t", false, false},
	}
	for _, tt := range tests {
		for credentials, want := range map[bool]bool{false: tt.anonymous, true: tt.login} {
			err := s.CheckRealm(tt.host, tt.realm, credentials)
			if (err == nil) != want {
				t.Errorf("%s, realm %q, credentials %t: got %v, want allowed %t", tt.host, tt.realm, credentials, err, want)
			}
			var refused *registry.RealmError
			if err != nil && !errors.As(err, &refused) {
				t.Errorf("%s, realm %q: %T is not a RealmError", tt.host, tt.realm, err)
			}
		}
	}
}
