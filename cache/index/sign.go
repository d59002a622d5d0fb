package index

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// signed are the bytes that a signature is made over. They name the place, so
// that an entry counts nowhere else, and hold the entry as it is stored.
func signed(s Scope, entry []byte) []byte {
	return append(fmt.Appendf(nil, "strata index entry 1\n%q %q\n", s.Repository, s.Name), entry...)
}

// sign returns the signature of an entry: the id of the key, a colon, base64.
func sign(key ed25519.PrivateKey, s Scope, entry []byte) string {
	public, _ := key.Public().(ed25519.PublicKey)
	return KeyID(public) + ":" + base64.StdEncoding.EncodeToString(ed25519.Sign(key, signed(s, entry)))
}

// KeyID names a public key: 16 hex digits.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

var (
	errUnsigned   = errors.New("it is not signed")
	errUnknownKey = errors.New("it is signed by a key that is not trusted")
	errForged     = errors.New("its signature is wrong")
)

// verify checks the signature of an entry against the keys of its scope. Where
// there are none every entry is good.
func (s Scope) verify(entry []byte, signature string) error {
	if len(s.Keys) == 0 {
		return nil
	}
	if signature == "" {
		return errUnsigned
	}
	id, text, _ := strings.Cut(signature, ":")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return errForged
	}
	for _, k := range s.Keys {
		if KeyID(k) != id {
			continue
		}
		if !ed25519.Verify(k, signed(s, entry), raw) {
			return errForged
		}
		return nil
	}
	return fmt.Errorf("%w (%q)", errUnknownKey, id)
}

// ReadSigningKey reads an ed25519 private key from a file, or from an
// environment variable that is named as env://NAME. It is PEM, as openssl
// genpkey -algorithm ed25519 writes it, or the 32 or 64 bytes of the key, raw
// or in base64.
func ReadSigningKey(source string, lookupEnv func(string) (string, bool)) (ed25519.PrivateKey, error) {
	data, err := readKey(source, lookupEnv)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %s is not an unencrypted PKCS #8 key: %w", source, block.Type, err)
		}
		if key, ok := parsed.(ed25519.PrivateKey); ok {
			return key, nil
		}
		return nil, fmt.Errorf("signing key %s: it is a %T; make one with openssl genpkey -algorithm ed25519", source, parsed)
	}
	switch raw := rawKey(data); len(raw) {
	case ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(raw), nil
	case ed25519.PrivateKeySize:
		key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
		if !key.Equal(ed25519.PrivateKey(raw)) {
			return nil, fmt.Errorf("signing key %s: its two halves do not belong together", source)
		}
		return key, nil
	}
	return nil, fmt.Errorf("signing key %s: it is neither PEM nor a raw ed25519 key", source)
}

// ReadPublicKeys reads ed25519 public keys from a file, or from an environment
// variable that is named as env://NAME: PEM, of which there may be several, as
// openssl pkey -pubout writes it, or the 32 bytes of one, raw or in base64.
func ReadPublicKeys(source string, lookupEnv func(string) (string, bool)) ([]ed25519.PublicKey, error) {
	data, err := readKey(source, lookupEnv)
	if err != nil {
		return nil, err
	}
	var keys []ed25519.PublicKey
	rest := data
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("public key %s: %s is not a public key: %w", source, block.Type, err)
		}
		key, ok := parsed.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("public key %s: it is a %T; only ed25519 keys sign entries", source, parsed)
		}
		keys = append(keys, key)
	}
	if raw := rawKey(data); len(keys) == 0 && len(raw) == ed25519.PublicKeySize {
		keys = append(keys, ed25519.PublicKey(raw))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("public key %s: it is neither PEM nor a raw ed25519 key", source)
	}
	return keys, nil
}

// readKey reads a small file or a variable.
func readKey(source string, lookupEnv func(string) (string, bool)) ([]byte, error) {
	if name, ok := strings.CutPrefix(source, "env://"); ok {
		value, set := lookupEnv(name)
		if !set || value == "" {
			return nil, fmt.Errorf("reading a key: the environment variable %s is not set", name)
		}
		return []byte(value), nil
	}
	data, err := os.ReadFile(source)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return data, nil
}

// rawKey is data, or what it is the base64 of.
func rawKey(data []byte) []byte {
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data))); err == nil {
		return raw
	}
	return data
}
